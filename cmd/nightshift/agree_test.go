package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"nightshift"
	"nightshift/reports"
	"nightshift/runner/session"
	"nightshift/runner/store/view"
)

// Budget, records and bill say the same of a run in which answers are cut,
// with what was known of their usage.
func TestBudgetRecordAndBillAgree(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]string{
		"models": "dataset: {path: rows.jsonl}\n",
		"datasets": "datasets: [{name: first, path: rows.jsonl, limit: 50}, " +
			"{name: last, path: rows.jsonl, offset: 50, prompt: \"Say: {{ prompt }}\"}]\n",
		"variants": "dataset: {path: rows.jsonl}\n" +
			"variants: [{name: plain, params: {temperature: [0, 1]}}, {name: brief, prompt: \"{{ prompt }}.\"}]\n",
	} {
		t.Run(name, func(t *testing.T) { budgetRecordAndBillAgree(t, more) })
	}
}

func budgetRecordAndBillAgree(t *testing.T, more string) {
	t.Parallel()
	dir := t.TempDir()
	var rows bytes.Buffer
	for i := range 80 {
		fmt.Fprintf(&rows, `{"prompt": "What is %d + 1?"}`+"\n", i)
	}
	w := &workspace{dir: dir}
	w.write(t, "rows.jsonl", rows.String())
	w.write(t, "plan.yaml", `version: 1
models:
  - {name: whole, endpoint: sim, model: sim-large, params: {max_tokens: 60}, price: {input: 3, output: 15}}
  - {name: stream, endpoint: sim, model: sim-large, stream: true, params: {max_tokens: 60},
     price: {input: 3, output: 15}}
endpoints:
  sim: {preset: simulator, protocol: messages, simulator: {faults: ["cut_stream=8%", "no_usage=5%"]}}
budget: {usd: 5}
tolerate_failed: 100%
out: out
`+more)
	succeeds(t, "run", "-q", filepath.Join(dir, "plan.yaml"))
	dir = filepath.Join(dir, "out")

	status, err := view.Status(dir)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := reports.BuildPage(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	live, _ := session.ReadState(dir)
	bill := summary.Total
	if bill.NoUsage == 0 || bill.AtMostNanoUSD == nil {
		t.Fatalf("no attempt was cut: %+v", bill)
	}
	if nightshift.NanoUSD(bill.CostNanoUSD) != status.Spent {
		t.Errorf("the bill says at least %d, the records %d", bill.CostNanoUSD, status.Spent)
	}
	if nightshift.NanoUSD(*bill.AtMostNanoUSD) != status.AtMost {
		t.Errorf("the bill says at most %d, the records %d", *bill.AtMostNanoUSD, status.AtMost)
	}
	if live.Budget.SpentUSD != status.AtMost.Dollars() {
		t.Errorf("the budget has spent %v, the records owe at most %v", live.Budget.SpentUSD, status.AtMost.Dollars())
	}
	partial := 0
	for r, err := range view.Rows[struct {
		AttemptLog *string `parquet:"attempt_log,optional"`
	}](dir, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		var log []nightshift.Attempt
		if err := json.Unmarshal([]byte(*r.AttemptLog), &log); err != nil {
			t.Fatal(err)
		}
		for _, a := range log {
			if a.MaybeBilled && a.Cost != nil && *a.Cost > 0 && a.WorstCost >= *a.Cost {
				partial++
			}
		}
	}
	if partial == 0 {
		t.Error("no cut attempt with a part of its usage: this shows nothing")
	}
	t.Logf("%d cut attempts with a part of their usage, %d without any; at least %d, at most %d", partial,
		bill.NoUsage-int64(partial), bill.CostNanoUSD, *bill.AtMostNanoUSD)
}
