package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift/reports"
)

// TestCheckBoundsJudges: what check says that judges take at most is no less than what they take, also of
// answers as long as they may be, for a judge that is asked again and for one of pairs.
func TestCheckBoundsJudges(t *testing.T) {
	t.Parallel()
	w := &workspace{dir: t.TempDir()}
	var rows strings.Builder
	for i := range 12 {
		fmt.Fprintf(&rows, `{"prompt": "Write about number %d.", "target": "%s"}`+"\n", i, strings.Repeat("a text ", 5*i))
	}
	w.write(t, "rows.jsonl", rows.String())
	w.write(t, "plan.yaml", `version: 1
dataset: {path: rows.jsonl, target: "{{ target }}"}
models:
  - {name: a, endpoint: sim, model: sim-large, params: {max_tokens: 20}, price: {input: 1, output: 5}}
  - {name: b, endpoint: sim, model: sim-small, params: {max_tokens: 30}, price: {input: 1, output: 5}}
endpoints: {sim: {preset: simulator, protocol: chat}}
scorers:
  - {type: judge_grade, name: grade, model: a, reask: true, partial: true}
  - {type: judge_pairwise, name: better, model: b}
out: out
`)
	plan, out := filepath.Join(w.dir, "plan.yaml"), filepath.Join(w.dir, "out")
	var forecast struct {
		Models []struct {
			Model  string
			Judge  bool
			Tokens *float64 `json:"at_most_tokens"`
			USD    *float64 `json:"at_most_usd"`
		}
	}
	said := succeeds(t, "check", plan, "--json")
	if err := json.Unmarshal(said, &forecast); err != nil {
		t.Fatal(err)
	}
	// The simulator gives no grades: how the run ends is of no interest here.
	run(context.Background(), []string{"run", "-q", plan}, nil, io.Discard, io.Discard, os.LookupEnv)
	bill, err := reports.Cost([]string{out}, reports.CostOptions{})
	if err != nil || len(bill.Judges) != 2 {
		t.Fatalf("%v: %+v", err, bill)
	}
	for _, judge := range bill.Judges {
		known := false
		for _, m := range forecast.Models {
			if !m.Judge || m.Model != judge.Key[0] {
				continue
			}
			known = m.Tokens != nil && m.USD != nil
			took := judge.Input + judge.CacheRead + judge.CacheWrite + judge.Output
			if known && (took == 0 || float64(took) > *m.Tokens || float64(judge.CostNanoUSD) > *m.USD*1e9) {
				t.Errorf("%s takes %d tokens and %d nano-dollars, at most %.0f and $%v", judge.Key[0], took, judge.CostNanoUSD,
					*m.Tokens, *m.USD)
			}
		}
		if !known {
			t.Errorf("%s: no bound: %s", judge.Key[0], said)
		}
	}
}
