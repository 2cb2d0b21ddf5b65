package reports_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/reports"
	"nightshift/runner/store"
)

// hybrid is a run of ten rows: eight came home in a batch at half the price, one
// of them twice, and two went live after the batch had ended without them.
func hybrid(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "hybrid")
	prices := `{"prices":{"mini":{"list":"plan","id":"plan","price":{"model":"m","input":1,"output":2,` +
		`"services":{"batch":{"input":0.5,"cache_read":0.5,"cache_write":0.5,"output":0.5}}}}}}`
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r, err := store.Open(dir, store.Identity{Name: "hybrid", Tool: "test", Plan: []byte(prices), PlanHash: "00",
		DatasetHash: "ab", DatasetRows: 10, Models: []string{"mini"}, Epochs: 1,
		Chunks: []store.Chunk{{Rows: 10}}}, store.Options{ReserveFile: -1})
	must(err)
	u, err := r.OpenShard("mini", 0)
	must(err)
	in, err := r.NewBatch("mini", 0, 1)
	must(err)
	for row := range int64(10) {
		item, _ := u.Item(row, 0)
		must(in.Add(item, fmt.Appendf(nil, "{\"row\":%d}\n", row)))
	}
	b, err := in.Finish(store.Batch{WorstTokens: 100, WorstCost: 1000})
	must(err)
	must(r.BatchUploaded(b.N, nightshift.BatchFile{ID: "f1"}))
	must(r.BatchCreating(b.N, time.Unix(1790000000, 0)))
	remote := nightshift.Batch{ID: "batch_1", Phase: nightshift.BatchExpired, Results: []string{"out"}}
	must(r.BatchCreated(b.N, remote, false))
	must(r.BatchEnded(b.N, remote))
	w, err := r.NewBatchResult(b.N, 0)
	must(err)
	_, err = io.WriteString(w, "{}\n")
	must(err)
	file, err := w.Finish()
	must(err)
	must(r.BatchFetched(b.N, []store.LocalFile{file}))
	for row := range int64(8) {
		must(u.Put(hybridRow(row, batchAttempt(1))))
	}
	must(r.BatchCollected(b.N, store.BatchSums{Answers: 8, Again: 2, Expired: 2, Cost: 8 * 1_000_000, Extras: 1,
		ExtraOutput: 1000, ExtraCost: 1_000_000, Note: "the provider counts 9 answers, the files have 8"}))
	for row := int64(8); row < 10; row++ {
		expired := batchAttempt(1)
		expired.Class, expired.Usage, expired.Cost = nightshift.ClassBatchExpired, nightshift.Usage{}, new(nightshift.NanoUSD)
		live := batchAttempt(2)
		live.Batch, live.Usage.ServiceTier, live.DurationMS = "", "", 1500
		*live.Cost *= 2
		must(u.Put(hybridRow(row, expired, live)))
	}
	must(u.Commit())
	must(r.CloseBatch(b.N, "committed"))
	must(r.Close("finished"))
	return dir
}

// batchAttempt answers with 1,000 input and 500 output tokens, for $0.001.
func batchAttempt(n int) nightshift.Attempt {
	cost := nightshift.NanoUSD(1_000_000)
	return nightshift.Attempt{N: n, StartedAt: time.Unix(1790000000, 0), DurationMS: 3_600_000, Status: 200,
		Batch: "batch_1",
		Usage: nightshift.Usage{Input: nightshift.Tokens(1000), Output: nightshift.Tokens(500), ServiceTier: "batch"},
		Cost:  &cost, PriceID: "plan"}
}

func hybridRow(row int64, attempts ...nightshift.Attempt) *nightshift.Record {
	last := attempts[len(attempts)-1]
	in, out, text, cost, name := int64(1000), int64(500), "yes", int64(*last.Cost), "m"
	log, _ := json.Marshal(attempts)
	written, usd := string(log), float64(*last.Cost)/1e9
	began, ended := last.StartedAt, last.StartedAt.Add(time.Hour)
	rec := &nightshift.Record{Run: "hybrid", Row: row, ID: fmt.Sprint(row), Model: "mini", Endpoint: "corp",
		Protocol: "chat", RequestedModel: "m", ServedModel: &name, Outcome: nightshift.OutcomeOK, Text: &text,
		InputTokens: &in, OutputTokens: &out, CostNanoUSD: &cost, CostUSD: &usd, Attempts: int32(len(attempts)),
		AttemptLog: &written, StartedAt: &began, FinishedAt: &ended, RowHash: "r", PromptHash: "p"}
	if last.Batch == "" {
		rec.LatencyMS = &last.DurationMS
	}
	return rec
}

// A report says which rows went by batch and which live, what that saved, what
// came twice, and where the provider's sums differ; rows of batches are in no
// figure of latency.
func TestBatchesInReports(t *testing.T) {
	dir := hybrid(t)
	page, err := reports.BuildPage(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text, md, js, html bytes.Buffer
	for _, err := range []error{page.Text(&text), page.Markdown(&md), page.JSON(&js), page.HTML(&html)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"by batch batches rows rows live cost cost live saved",
		"mini 1 8 2 $0.0080 $0.0040 $0.0080",
		"mini: 2 rows were sent live, at the live price, and 8 in batches",
		"mini: 1 answer for rows that had one already, paid for as well ($0.0010): in the total, in no row",
		"mini: batch 1 (batch_1): the provider counts 9 answers, the files have 8",
		"Rows of batches are in no figure of latency.",
		"mini 1.50 s",
	} {
		if !strings.Contains(squeezed(text.String()), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	var got struct {
		Models []struct {
			Latency struct{ N int64 } `json:"latency_ms"`
			Batch   map[string]any    `json:"batch"`
		} `json:"models"`
		Total struct {
			Cost int64 `json:"cost_nano_usd"`
		} `json:"total"`
	}
	if err := json.Unmarshal(js.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	m := got.Models[0]
	if m.Latency.N != 2 || m.Batch["rows"] != 8.0 || m.Batch["live_rows"] != 2.0 || m.Batch["expired"] != 2.0 ||
		m.Batch["saved_nano_usd"] != 8e6 || got.Total.Cost != 13_000_000 {
		t.Errorf("JSON: %+v, total %d", m, got.Total.Cost)
	}
	for _, other := range []string{md.String(), html.String()} {
		if !strings.Contains(other, "rows live") || !strings.Contains(other, "paid for as well") {
			t.Error("Markdown or HTML lacks the table of batches or what is to know of them")
		}
	}
}

// The bill tells both ways apart, and what came twice.
func TestBatchesInBills(t *testing.T) {
	bill, err := reports.Cost([]string{hybrid(t)}, reports.CostOptions{By: []string{"mode"}})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := bill.Text(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"mode requests input output batch saved cost",
		"batch 10 8,000 4,000 $0.0080 $0.0080",
		"live 2 2,000 1,000 $0.00 $0.0040",
		"batches brought 1 answer for rows that had one already ($0.0010); rows without a record hold them",
	} {
		if !strings.Contains(squeezed(text.String()), want) {
			t.Errorf("%q is not in\n%s", want, text.String())
		}
	}
	if bill.Extras != 1 || bill.ExtraNanoUSD != 1_000_000 {
		t.Errorf("extras %d, %d", bill.Extras, bill.ExtraNanoUSD)
	}
}

// squeezed is a text with every run of spaces and line ends as one space.
func squeezed(text string) string { return strings.Join(strings.Fields(text), " ") }
