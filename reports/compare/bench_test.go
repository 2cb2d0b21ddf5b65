package compare_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"nightshift"
	"nightshift/reports/compare"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/runner/store"
)

// benchRows is how large the benchmark's run is: 20,000 rows, or what
// NIGHTSHIFT_BENCH_ROWS says (1000000 is the size that compare is meant for).
func benchRows() int {
	if n, err := strconv.Atoi(os.Getenv("NIGHTSHIFT_BENCH_ROWS")); err == nil {
		return n
	}
	return 20_000
}

// benchRun makes a run of three models in units of 20,000 rows, scored. It is
// kept in NIGHTSHIFT_BENCH_DIR, where that is set, and taken up from there.
func benchRun(b *testing.B, rows int) string {
	b.Helper()
	dir := b.TempDir() + "/run"
	if kept := os.Getenv("NIGHTSHIFT_BENCH_DIR"); kept != "" {
		dir = fmt.Sprintf("%s/run-%d", kept, rows)
		if _, err := os.Stat(dir + "/evaluation.json"); err == nil {
			return dir
		}
	}
	id := store.Identity{Name: "bench", Tool: "test", Plan: json.RawMessage(`{}`), PlanHash: "p", DatasetHash: "d",
		DatasetRows: int64(rows), Models: []string{"a", "b", "c"}, Epochs: 1}
	for first := 0; first < rows; first += 20_000 {
		id.Chunks = append(id.Chunks, store.Chunk{First: int64(first), Rows: int64(min(20_000, rows-first))})
	}
	run, err := store.Open(dir, id, store.Options{ReserveFile: -1})
	if err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for m, model := range id.Models {
		for n, s := range id.Chunks {
			u, err := run.OpenShard(model, n)
			if err != nil {
				b.Fatal(err)
			}
			for row := s.First; row < s.First+s.Rows; row++ {
				if err := u.Put(benchRecord(random, m, model, row)); err != nil {
					b.Fatal(err)
				}
			}
			if err := u.Commit(); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := run.Close("finished"); err != nil {
		b.Fatal(err)
	}
	s, err := scorers.New(scorers.Spec{Type: "number", Name: "number"})
	if err != nil {
		b.Fatal(err)
	}
	d := scoring.Describe(s)
	if _, err := scoring.Write(b.Context(), dir, d, scoring.Pure(s)); err != nil {
		b.Fatal(err)
	}
	if err := (scoring.Evaluation{Scorers: []scoring.Described{d}}).WriteFile(dir); err != nil {
		b.Fatal(err)
	}
	return dir
}

func benchRecord(random *rand.Rand, m int, model string, row int64) *nightshift.Record {
	target := strconv.FormatInt(row%97, 10)
	answer := "After some thought the result is " + strconv.FormatInt((row+int64(random.IntN(3+m))/2)%97, 10) + "."
	stop, input, category, served := "end",
		fmt.Sprintf(`[{"role":"user","content":"What is %d modulo 97? Think it through."}]`, row),
		fmt.Sprint("cat-", row%40), "served-"+model
	in, out, cost, latency, now := int64(40), int64(20+random.IntN(50)), int64(1000+random.IntN(500)),
		200+900*random.ExpFloat64(), time.Unix(1_780_000_000+row, 0).UTC()
	hash := fmt.Sprintf("%032x", row)
	return &nightshift.Record{
		Run: "bench", Row: row, ID: "row-" + strconv.FormatInt(row, 10), Model: model, Endpoint: "e", Protocol: "chat",
		RequestedModel: model, ServedModel: &served,
		Outcome: nightshift.OutcomeOK, Text: &answer, StopReason: &stop, RawStopReason: &stop, InputTokens: &in,
		OutputTokens: &out, CostNanoUSD: &cost,
		LatencyMS: &latency, Attempts: 1, StartedAt: &now, FinishedAt: &now, Input: &input, Target: &target,
		Category: &category,
		RowHash:  hash, PromptHash: hash,
	}
}

// BenchmarkCompare compares three models of one run. Peak memory is the
// process's.
func BenchmarkCompare(b *testing.B) {
	rows := benchRows()
	dir := benchRun(b, rows)
	for b.Loop() {
		c, err := compare.Runs(compare.Options{Runs: []string{dir}})
		if err != nil {
			b.Fatal(err)
		}
		if c.Items != rows {
			b.Fatalf("%d items, want %d", c.Items, rows)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-sys")
}

// BenchmarkScore scores the answers of three models again.
func BenchmarkScore(b *testing.B) {
	rows := benchRows()
	dir := benchRun(b, rows)
	s, err := scorers.New(scorers.Spec{Type: "number", Name: "number"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := scoring.Write(b.Context(), dir, scoring.Describe(s), scoring.Pure(s)); err != nil {
			b.Fatal(err)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MiB-sys")
	b.ReportMetric(float64(3*rows)*float64(b.N)/b.Elapsed().Seconds(), "answers/s")
}
