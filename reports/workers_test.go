package reports_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/reports"
	"nightshift/runner/store"
)

// Report and bill say which worker sent what: rows, refusals, failures, what was
// lost with a worker and what came after all.
func TestWorkersAreInReportAndBill(t *testing.T) {
	dir := workersRun(t)
	page, err := reports.BuildPage(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text, html, jsonText bytes.Buffer
	for _, err := range []error{page.Markdown(&text), page.HTML(&html), page.JSON(&jsonText)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	one, two := page.Workers[0], page.Workers[1]
	if one.Name != "one" || one.Rows != 2 || one.Requests != 5 || one.Refused != 1 || one.Failed != 1 || one.Lost != 0 ||
		one.Late != 1 || one.Version != "v7" || one.Private[0] != "local" {
		t.Errorf("%+v", one)
	}
	if two.Rows != 0 || two.Requests != 1 || two.Lost != 1 || two.Version != "" {
		t.Errorf("%+v", two)
	}
	if !strings.Contains(text.String(), "| one | 2 | 5 | 1 | 1 | 0 | 1 | 05-01 10:00 | 05-01 10:02 |") {
		t.Errorf("Markdown: %s", text.String())
	}
	for name, got := range map[string]string{"HTML": html.String(), "Markdown": text.String()} {
		if !strings.Contains(got, "one reached local at an address of its own") {
			t.Errorf("%s does not say what one reached", name)
		}
	}
	if !strings.Contains(jsonText.String(), `"private_endpoints": [`) {
		t.Errorf("JSON: %s", jsonText.String())
	}
	bill, err := reports.Cost([]string{dir}, reports.CostOptions{By: []string{"worker"}})
	if err != nil {
		t.Fatal(err)
	}
	costs := map[string]int64{}
	for _, l := range bill.Lines {
		costs[l.Key[0]] = l.CostNanoUSD
	}
	if costs["one"] != 270 || costs["none"] != 100 || costs["two"] != 0 || len(costs) != 3 {
		t.Errorf("the bill by worker is %v", costs)
	}
}

// workersRun is a run of four rows: two that worker one answered, the first at
// once and the second after a refusal, a failure and attempts that were lost with
// one (whose answer came late) and two (whose did not), one that the run's own
// process answered, and one that was never sent.
func workersRun(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	r, err := store.Open(dir, store.Identity{Name: "w", Plan: json.RawMessage(`{}`), PlanHash: "h", DatasetHash: "d",
		DatasetRows: 4, Chunks: []store.Chunk{{Rows: 4}}, Models: []string{"m"}}, store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	cost := nightshift.NanoUSD(100)
	answered := func(worker string) nightshift.Attempt {
		return nightshift.Attempt{StartedAt: at, DurationMS: 120_000, Cost: &cost, Worker: worker,
			Usage: nightshift.Usage{Input: nightshift.Tokens(1), Output: nightshift.Tokens(2)}}
	}
	failed := func(class nightshift.ErrorClass, worker, job string) nightshift.Attempt {
		return nightshift.Attempt{StartedAt: at, Class: class, Worker: worker, Job: job,
			MaybeBilled: job != ""}
	}
	lost := failed(nightshift.ClassUnknownOutcome, "one", nightshift.WorkerJob+"x-1-1")
	logs := [][]nightshift.Attempt{
		{answered("one")},
		{failed(nightshift.ClassRateLimit, "one", ""), failed(nightshift.ClassServer, "one", ""), lost,
			failed(nightshift.ClassUnknownOutcome, "two", nightshift.WorkerJob+"x-1-2"), answered("one")},
		{answered("")},
		nil,
	}
	shard, err := r.OpenShard("m", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, log := range logs {
		record := nightshift.Record{Model: "m", Row: int64(i), Outcome: nightshift.OutcomeOK, Attempts: int32(len(log))}
		if log == nil {
			record.Outcome = nightshift.OutcomeInputError
		} else {
			text := string(attemptlog.Append(nil, log))
			record.AttemptLog = &text
		}
		if err := shard.Put(&record); err != nil {
			t.Fatal(err)
		}
	}
	if err := shard.Commit(); err != nil {
		t.Fatal(err)
	}
	late := nightshift.NanoUSD(70)
	lost.Class, lost.MaybeBilled, lost.Cost = "", false, &late
	lost.Usage = nightshift.Usage{Input: nightshift.Tokens(1), Output: nightshift.Tokens(1)}
	if err := r.PutLate("m", lost, true); err != nil {
		t.Fatal(err)
	}
	if err := r.Close("finished"); err != nil {
		t.Fatal(err)
	}
	live := `{"workers":[{"name":"one","version":"v7","private_endpoints":["local"]}]}`
	if err := os.WriteFile(filepath.Join(dir, reports.LiveFile), []byte(live), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
