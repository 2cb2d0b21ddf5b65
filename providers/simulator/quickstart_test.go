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

func TestRulesSolveTheQuickstart(t *testing.T) {
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
			got, ok := solve(newQuery(r.Prompt + suffix))
			if !ok || got.answer != r.Target {
				t.Errorf("%s: %q: answer %q (%v), want %q", r.ID, r.Prompt+suffix, got.answer, ok, r.Target)
				break
			}
			if wrong := got.wrong(fnvOffset.with(r.ID)); strings.EqualFold(wrong, r.Target) || wrong == "" {
				t.Errorf("%s: wrong answer %q is right", r.ID, wrong)
			}
		}
	}
}
