package scorers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
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
			t.Errorf("%q for %q: %v (found %q, %s), want %v: %s", c.Answer, c.Target, got, text(r.Answer), text(r.Explanation), c.Want, c.Reason)
		}
	})
	if n < 120 {
		t.Errorf("%d styles, want 120", n)
	}
}
