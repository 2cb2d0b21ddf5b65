package scorers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"nightshift"
)

// eachLine reads a file of one JSON value a line.
func eachLine[T any](t *testing.T, path string, visit func(T)) (lines int) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(bytes.NewReader(raw))
	for ; s.Scan(); lines++ {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatalf("%s:%d: %v", path, lines+1, err)
		}
		visit(v)
	}
	return lines
}

// TestNumberStyles scores numbers as models and datasets write them. Each has
// the reason why it is right, wrong, no answer ("no_answer") or unscored
// (null).
func TestNumberStyles(t *testing.T) {
	type style struct {
		Answer, Target, Reason string
		Want                   any
	}
	s := mustNew(t, "number", nil)
	n := eachLine(t, "testdata/number_styles.jsonl", func(c style) {
		r := s.Score(Answer{Text: c.Answer}, OneTarget(c.Target))
		var got any
		switch {
		case r.Status == nightshift.NoAnswer:
			got = "no_answer"
		case r.Value != nil:
			got = *r.Value
		}
		if got != c.Want || c.Reason == "" {
			t.Errorf("%q for %q: %v (found %q, %s), want %v: %s", c.Answer, c.Target, got, text(r.Answer),
				text(r.Explanation), c.Want, c.Reason)
		}
	})
	if n < 120 {
		t.Errorf("%d styles, want 120", n)
	}
}

// TestChoiceStyles scores multiple-choice answers as models write them, each
// with all four letters: {X} is the letter, {Y} and {Z} are others. Most right
// ones must be found, and no letter where none was chosen.
func TestChoiceStyles(t *testing.T) {
	type style struct{ Answer, Want string }
	s := mustNew(t, "choice", map[string]any{"choices": 4})
	right, found, none, wrong := 0, 0, 0, 0
	eachLine(t, "testdata/choice_styles.jsonl", func(c style) {
		for i, letter := range "ABCD" {
			x := string(letter)
			answer := strings.NewReplacer("{X}", x, "{Y}", string(rune('A'+(i+1)%4)), "{Z}",
				string(rune('A'+(i+2)%4))).Replace(c.Answer)
			if answer == c.Answer && i > 0 {
				break
			}
			got := text(s.Score(Answer{Text: answer}, OneTarget("A")).Answer)
			switch {
			case c.Want == "none":
				if none++; got != "" {
					wrong++
					t.Errorf("%q chose %s, want none", answer, got)
				}
			case got == x:
				right++
				found++
			default:
				right++
				t.Logf("%q chose %q", answer, got)
				if got != "" {
					t.Errorf("%q chose %s, want %s or none", answer, got, x)
				}
			}
		}
	})
	t.Logf("%d of %d right ones found, %d of %d false ones", found, right, wrong, none)
	if right < 368 || none < 420 || float64(found) < 330./368*float64(right) {
		t.Errorf("%d of %d right ones found beside %d false ones; want 330 of 368 beside 420", found, right, none)
	}
}
