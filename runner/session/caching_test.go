package session

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift/reports"
	"nightshift/runner/plan"
)

// cachedPlan is a run of rows that share handbooks, in a simulator with a prompt
// cache. more is further YAML.
func cachedPlan(t *testing.T, dir string, handbooks, each int, cache, more string) *plan.Resolved {
	t.Helper()
	var b strings.Builder
	for i := range handbooks * each {
		book := strings.Repeat(fmt.Sprintf("Rule %d: answer in one line. ", i%handbooks), 250)
		row, _ := json.Marshal(map[string]string{"system": book, "prompt": fmt.Sprintf("Question %d?", i), "target": "x"})
		b.Write(append(row, '\n'))
	}
	if err := os.WriteFile(filepath.Join(dir, "rows.jsonl"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return planIn(t, dir, `version: 1
dataset: {path: rows.jsonl}
models: [{name: m, endpoint: sim, model: sim-large, cache: "`+cache+`", params: {max_tokens: 20},
  price: {input: 3, output: 15, cache_read: 0.3, cache_write_5m: 3.75, cache_write_1h: 6}}]
endpoints: {sim: {preset: simulator, protocol: messages, simulator: {cache: "on"}}}
`+more)
}

// TestReportByPrefix: every rendering of the report has the prompt cache of each
// prefix, the sum of which is the model's; and so has the bill.
func TestReportByPrefix(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	result, err := Run(t.Context(), cachedPlan(t, dir, 3, 20, "auto", "out: out\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := result.Page.Models[0]
	if len(m.Prefixes) != 3 || m.PrefixesLeft != nil {
		t.Fatalf("%d prefixes", len(m.Prefixes))
	}
	var read, written, saved int64
	for _, p := range m.Prefixes {
		read, written, saved = read+p.CacheRead, written+p.CacheWrite, saved+p.SavedNanoUSD
		if p.Rows != 20 || p.CacheRead < 19*1024 || p.CacheWrite != p.CacheRead/19 || p.CacheMisses != 0 {
			t.Errorf("%+v", p)
		}
	}
	if read != m.Bill.CacheRead || written != m.Bill.CacheWrite || saved != m.Bill.SavedNanoUSD || saved <= 0 {
		t.Errorf("the prefixes read %d, wrote %d, saved %d; the model %+v", read, written, saved, m.Bill)
	}
	for _, name := range []string{"report.html", "report.md"} {
		text, err := os.ReadFile(filepath.Join(dir, "out", name))
		if err != nil || !bytes.Contains(text, []byte(m.Prefixes[2].Prefix)) {
			t.Errorf("%s does not name a prefix: %v", name, err)
		}
	}
	bill, err := reports.Cost([]string{filepath.Join(dir, "out")}, reports.CostOptions{By: []string{"prefix"}})
	if err != nil || len(bill.Lines) != 3 || bill.Total.CacheRead != read {
		t.Errorf("the bill by prefix: %+v, %v", bill, err)
	}
}

// TestJudgeIsCached: the long rubric of a judge is a prefix that its requests share.
func TestJudgeIsCached(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rubric := strings.Repeat("Rule 9: be strict, and say why. ", 250) + " {question} {answer}"
	if err := os.WriteFile(filepath.Join(dir, "rubric.txt"), []byte(rubric), 0o600); err != nil {
		t.Fatal(err)
	}
	// The simulator gives no grades, so that the judge is stopped after its last request.
	_, _ = Run(t.Context(), cachedPlan(t, dir, 1, 20, "auto",
		"out: out\nscorers: [{type: judge_grade, model: m, template: \"file:rubric.txt\"}]\n"), Options{})
	bill, err := reports.Cost([]string{filepath.Join(dir, "out")}, reports.CostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if j := bill.Judges; len(j) != 1 || j[0].CacheWrite == 0 || j[0].CacheRead < 15*j[0].CacheWrite {
		t.Errorf("the judge's requests: %+v", j)
	}
}
