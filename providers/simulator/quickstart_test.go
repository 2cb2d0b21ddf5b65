package simulator

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// quickstart reads the example's dataset.
func quickstart(t testing.TB) (rows []struct{ ID, Prompt, Target, Category string }) {
	t.Helper()
	f, err := os.Open("../../examples/quickstart/prompts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		rows = append(rows, struct{ ID, Prompt, Target, Category string }{})
		if err := json.Unmarshal(lines.Bytes(), &rows[len(rows)-1]); err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

// knows makes answers of prompts, each followed by its target.
func knows(t testing.TB, pairs ...string) *Answers {
	t.Helper()
	var lines strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		lines.WriteString(`{"prompt":` + quote(pairs[i]) + `,"target":` + quote(pairs[i+1]) + "}\n")
	}
	answers, err := ReadAnswers(strings.NewReader(lines.String()), "pairs")
	if err != nil {
		t.Fatal(err)
	}
	return answers
}

// TestQuickstartAnswers holds the example's dataset to what the simulator
// needs to answer it.
func TestQuickstartAnswers(t *testing.T) {
	answers, err := OpenAnswers("../../examples/quickstart/prompts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	rows := quickstart(t)
	if len(rows) < 240 {
		t.Errorf("%d prompts, want 240 or more", len(rows))
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r.ID] || seen[r.Prompt] {
			t.Errorf("%s: id or prompt occurs twice", r.ID)
		}
		seen[r.ID], seen[r.Prompt] = true, true
		for _, suffix := range []string{"", "\n\nEnd with 'Answer: <answer>'.", "\n\nThink step by step. Give only the answer on the last line, as 'Answer: X'."} {
			if got, ok := answers.target(r.Prompt + suffix); !ok || got != r.Target {
				t.Errorf("%s: %q: answer %q (%v), want %q", r.ID, r.Prompt+suffix, got, ok, r.Target)
			}
		}
		if wrong := answers.wrong(r.Target, fnvOffset.with(r.ID)); strings.EqualFold(wrong, r.Target) || wrong == "" {
			t.Errorf("%s: wrong answer %q is right", r.ID, wrong)
		}
	}
}
