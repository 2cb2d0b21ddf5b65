package reports_test

import (
	"encoding/json"
	"testing"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/reports"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// An answer that came after its row had been sent again is on the bill at what it
// cost, in place of the most that it can have cost.
func TestLateAnswersAreOnTheBill(t *testing.T) {
	dir := t.TempDir()
	r, err := store.Open(dir, store.Identity{Name: "late", Plan: json.RawMessage(`{}`), PlanHash: "h", DatasetHash: "d",
		DatasetRows: 1, Chunks: []store.Chunk{{Rows: 1}}, Models: []string{"m"}}, store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	cost := nightshift.NanoUSD(100)
	lost := nightshift.Attempt{N: 1, Class: nightshift.ClassUnknownOutcome, MaybeBilled: true, WorstTokens: 900,
		WorstCost: 900,
		Job:       nightshift.WorkerJob + "x-1-1"}
	good := nightshift.Attempt{N: 2, Cost: &cost,
		Usage: nightshift.Usage{Input: nightshift.Tokens(1), Output: nightshift.Tokens(2)}}
	log := string(attemptlog.Append(nil, []nightshift.Attempt{lost, good}))
	shard, err := r.OpenShard("m", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := shard.Put(&nightshift.Record{Model: "m", Outcome: nightshift.OutcomeOK, MaybeBilled: true, Attempts: 2,
		AttemptLog: &log}); err != nil {
		t.Fatal(err)
	}
	if err := shard.Commit(); err != nil {
		t.Fatal(err)
	}
	check := func(what string, spent, most int64, maybe int64) {
		t.Helper()
		st, err := view.Status(dir)
		if err != nil || int64(st.Spent) != spent || int64(st.AtMost) != most {
			t.Errorf("%s: status says %d to %d, want %d to %d; %v", what, st.Spent, st.AtMost, spent, most, err)
		}
		page, err := reports.BuildPage(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		m := page.Summary.Models[0]
		if m.Bill.CostNanoUSD != spent || m.Bill.AtMostNanoUSD == nil || *m.Bill.AtMostNanoUSD != most ||
			m.MaybeBilled != maybe {
			t.Errorf("%s: the report says %d to %v, %d rows, want %d to %d", what, m.Bill.CostNanoUSD, m.Bill.AtMostNanoUSD,
				m.MaybeBilled, spent, most)
		}
	}
	if err := r.PutLate("m", lost, false); err != nil {
		t.Fatal(err)
	}
	check("unknown", 100, 1000, 1)
	late := nightshift.NanoUSD(70)
	settled := nightshift.Attempt{N: 1, Job: lost.Job, Cost: &late,
		Usage: nightshift.Usage{Input: nightshift.Tokens(1), Output: nightshift.Tokens(1)}}
	if err := r.PutLate("m", settled, true); err != nil {
		t.Fatal(err)
	}
	check("settled", 170, 170, 0)
	if err := r.Close("finished"); err != nil {
		t.Fatal(err)
	}
}
