// Package demo writes made-up runs for tests.
package demo

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store"
)

// Hostile are texts that try to be more than texts.
var Hostile = []string{
	`</script><script>window.pwned=1</script><img src=x onerror="window.pwned=2">`,
	"\x1b]0;owned\x07\x1b[31mred\x1b[0m \x9b2J",
	`=HYPERLINK("http://evil.invalid","click") +1 @SUM(A1)`,
	"a\u202egnp.exe\u2066 \u200b\u200f zero",
	`{{.}} ${window.pwned=3} <!-- <svg onload=window.pwned=4> ]]> &lt;b&gt;`,
	"| a | b |\n|---|---|\n```\n# title\n[x](javascript:alert(1)) ![i](http://evil.invalid/x.png)",
	"javascript:window.pwned=5//\"'><iframe src=http://evil.invalid>",
}

// A Run is a made-up run.
type Run struct {
	Rows   int64
	Models []string
	Chunk  int64 // rows of a unit; 0 is all
	Text   int   // bytes of an answer, about
	Open   bool  // leave the last unit uncommitted
	// Datasets are names of several datasets of the rows, one behind the other.
	Datasets []string
	// Varied says that the models are called MODEL/VARIANT.
	Varied bool
}

// Write makes the run and returns its directory.
func (d Run) Write(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a run")
	if d.Chunk == 0 {
		d.Chunk = d.Rows
	}
	id := store.Identity{Name: "demo <b>&\u202e", Tool: "nightshift test", PriceTable: "test", Plan: d.plan(),
		PlanHash:    "00ff",
		DatasetHash: "abcd", DatasetRows: d.Rows, Models: d.Models, Epochs: 1}
	for first := int64(0); first < d.Rows; first += d.Chunk {
		id.Chunks = append(id.Chunks, store.Chunk{First: first, Rows: min(d.Chunk, d.Rows-first)})
	}
	st, err := store.Open(dir, id, store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	for m := range d.Models {
		for u, s := range id.Chunks {
			unit, err := st.OpenShard(d.Models[m], u)
			if err != nil {
				t.Fatal(err)
			}
			last := d.Open && u == len(id.Chunks)-1 && m == len(d.Models)-1
			for row := s.First; row < s.First+s.Rows; row++ {
				if last && row == s.First+s.Rows-1 {
					break
				}
				if err := unit.Put(d.Record(m, row)); err != nil {
					t.Fatal(err)
				}
			}
			if last {
				continue
			}
			if err := unit.Commit(); err != nil {
				t.Fatal(err)
			}
		}
	}
	state := "finished"
	if d.Open {
		state = "interrupted"
	}
	if err := st.Close(state); err != nil {
		t.Fatal(err)
	}
	if err := store.WriteScores(dir, "answer", d.scores()); err != nil {
		t.Fatal(err)
	}
	return dir
}

// plan is what the run's plan says of its models.
func (d Run) plan() []byte {
	if !d.Varied {
		return []byte(`{}`)
	}
	var models []map[string]string
	for _, name := range d.Models {
		of, variant, _ := strings.Cut(name, "/")
		models = append(models, map[string]string{"name": name, "variant_of": of, "variant": variant})
	}
	return []byte(text(map[string]any{"plan": map[string]any{"models": models}}))
}

var demoStart = time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)

// Record is the answer of one model to one row; the same each time.
func (d Run) Record(m int, row int64) *nightshift.Record {
	r := rand.New(rand.NewPCG(uint64(row), uint64(m)))
	name := d.Models[m]
	in, out := 80+r.Int64N(900), int64(20+r.ExpFloat64()*220)
	latency := 300 + float64(out)*6*float64(m+1) + r.ExpFloat64()*200
	at := demoStart.Add(time.Duration(row) * 900 * time.Millisecond)
	end := at.Add(time.Duration(latency) * time.Millisecond)
	cost := nightshift.NanoUSD((in*3000 + out*15000) / int64(m+1))
	prompt := fmt.Sprintf("Question %d: what follows from the %dth sentence?", row, r.IntN(50))
	answer := fmt.Sprintf("Answer: %d", r.IntN(3))
	for len(answer) < d.Text {
		answer += fmt.Sprintf(" word%d", r.IntN(5000))
	}
	if row < int64(len(Hostile)) {
		prompt, answer = "Say: "+Hostile[row], Hostile[row]
	}
	usage := nightshift.Usage{Input: nightshift.Tokens(in), CacheRead: nightshift.Tokens(in / 3),
		Output: nightshift.Tokens(out), Reasoning: nightshift.Tokens(out / 4)}
	total := in + in/3
	rec := &nightshift.Record{
		Run: "demo", Row: row, ID: fmt.Sprintf("row-%06d", row), Model: name, Endpoint: "here", Protocol: "chat",
		RequestedModel: name,
		ServedModel:    &name, Outcome: nightshift.OutcomeOK, Text: &answer, StopReason: ptr("end"),
		InputTokens: &total, CacheReadTokens: ptr(in / 3), OutputTokens: &out, ReasoningTokens: ptr(out / 4),
		CostNanoUSD: ptr(int64(cost)), CostUSD: ptr(cost.Dollars()), PriceID: ptr("test"), Attempts: 1,
		LatencyMS: &latency, StartedAt: &at, FinishedAt: &end,
		Category: ptr([]string{"maths", "law", "code"}[row%3]), RowHash: "r", PromptHash: fmt.Sprint(row),
		Input: ptr(text([]map[string]string{{"role": "user", "content": prompt}})), Target: ptr("Answer: 1"),
	}
	if n := int64(len(d.Datasets)); n > 0 {
		rec.Dataset = &d.Datasets[row*n/d.Rows]
	}
	log := []nightshift.Attempt{
		{N: 1, StartedAt: at, DurationMS: latency, Status: 200, ServedModel: name, Usage: usage, Cost: &cost,
			PriceID: "test"}}
	switch {
	case row%41 == 7:
		rec.Outcome, rec.Text, rec.StopReason, rec.CostNanoUSD, rec.CostUSD = nightshift.OutcomeFailed, nil, nil, nil, nil
		rec.InputTokens, rec.CacheReadTokens, rec.OutputTokens, rec.ReasoningTokens = nil, nil, nil, nil
		rec.ErrorClass, rec.ErrorMessage, rec.MaybeBilled = ptr("cut"),
			ptr("the stream ended early "+Hostile[row%int64(len(Hostile))]), true
		log[0] = nightshift.Attempt{N: 1, StartedAt: at, DurationMS: 900, Status: 200, Class: "cut",
			Message: Hostile[0], MaybeBilled: true, WorstTokens: 900, WorstCost: 9_000_000}
	case row%29 == 3:
		rec.Outcome, rec.StopReason = nightshift.OutcomeTruncated, ptr("max_tokens")
	case row%53 == 11:
		rec.Outcome, rec.StopReason = nightshift.OutcomeRefused, ptr("refusal")
	case row%17 == 5:
		zero := nightshift.NanoUSD(0)
		first := nightshift.Attempt{N: 1, StartedAt: at, DurationMS: 40, Status: 429, Class: "rate_limit",
			Message: "slow down", Cost: &zero}
		log[0].N = 2
		log = append([]nightshift.Attempt{first}, log...)
		rec.Attempts, rec.Flags = 2, ptr("text_repaired")
	}
	rec.AttemptLog = ptr(text(log))
	return rec
}

func (d Run) scores() iter.Seq2[nightshift.Score, error] {
	return func(yield func(nightshift.Score, error) bool) {
		for m, name := range d.Models {
			for row := range d.Rows {
				r := rand.New(rand.NewPCG(uint64(row), uint64(m+100)))
				s := nightshift.Score{Run: "demo", Row: row, ID: fmt.Sprintf("row-%06d", row), Model: name,
					Scorer: "answer", Status: nightshift.Scored,
					Answer: ptr("1"), ScorerVersion: "1", Params: "{}", Value: ptr(0.0)}
				if r.Float64() < 0.9-0.15*float64(m) {
					*s.Value = 1
				}
				if row%41 == 7 {
					s.Value, s.Status = nil, nightshift.NotRun
				}
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}

func ptr[T any](v T) *T { return &v }

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}
