package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers/simulator"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/runner/store/view"
)

// embedRun runs a plan that embeds rows texts at a server, and returns the run
// directory. more is added to the model.
func embedRun(t *testing.T, s *simulator.Server, protocol string, rows int, more string) string {
	t.Helper()
	web := httptest.NewServer(s)
	t.Cleanup(func() { web.Close(); s.Close() })
	w := &workspace{dir: t.TempDir()}
	var data bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&data, `{"id": "t-%d", "prompt": "text number %d of %s"}`+"\n", i, i, strings.Repeat("words ", i%7))
	}
	w.write(t, "rows.jsonl", data.String())
	w.write(t, "plan.yaml", fmt.Sprintf(`version: 1
dataset: {path: rows.jsonl}
models: [{name: e, endpoint: sim, model: e, price: {input: 0.02, output: 0}%s}]
endpoints: {sim: {protocol: %s, base_url: "%s", auth: none}}
budget: {usd: 5}
raw: none
out: out
`, more, protocol, web.URL))
	succeeds(t, "run", "-q", filepath.Join(w.dir, "plan.yaml"))
	return filepath.Join(w.dir, "out")
}

// checkEmbeddings sees that every row is there once with its own vector, and
// that tokens and money are those of the server's ledger.
func checkEmbeddings(t *testing.T, dir string, s *simulator.Server, rows int) {
	t.Helper()
	var input, billed int64
	seen := map[string]bool{}
	for r, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.ID] || r.Outcome != nightshift.OutcomeOK || len(r.Embedding) != 256 || deref(r.EmbeddingCount) != 1 {
			t.Fatalf("%s: %s, %d numbers, seen before %v: %s", r.ID, r.Outcome, len(r.Embedding), seen[r.ID],
				deref(r.ErrorMessage))
		}
		seen[r.ID] = true
		input += deref(r.InputTokens)
		billed += deref(r.BilledInputTokens)
		if want := simulator.Embed("e", fmt.Sprintf("text number %d of %s", r.Row,
			strings.Repeat("words ", int(r.Row)%7)), 256); want[0] != r.Embedding[0] || want[255] != r.Embedding[255] {
			t.Fatalf("%s has the vector of another text", r.ID)
		}
		if deref(r.OutputTokens) != 0 {
			t.Errorf("%s wrote %d tokens", r.ID, deref(r.OutputTokens))
		}
	}
	ledger := s.Ledger()
	if len(seen) != rows || input != ledger.DeliveredTokens.InputTotal() {
		t.Errorf("%d rows of %d, %d tokens; the ledger delivered %d", len(seen), rows, input,
			ledger.DeliveredTokens.InputTotal())
	}
	checkReport(t, dir, 20*ledger.DeliveredTokens.InputTotal(), 20*ledger.Billed.InputTotal())
	if billed < input {
		t.Errorf("%d tokens billed, %d used", billed, input)
	}
}

// Two thousand rows under 5 % mixed faults (fewer in the short form): every row
// once, its own vector, and tokens and money as in the ledger.
func TestEmbeddingsUnderFaults(t *testing.T) {
	t.Parallel()
	rows := 300
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		rows = 2000
	}
	for _, tc := range []struct {
		name, protocol, more string
		takes                simulator.Embeddings
	}{
		{"one by one", "embeddings", "", simulator.Embeddings{}},
		{"Gemini", "gemini_embeddings", "", simulator.Embeddings{}},
		{"in batches", "embeddings", ", rows_per_request: 16, params: {encoding_format: base64}",
			simulator.Embeddings{}},
		{"in batches of Gemini", "gemini_embeddings", ", rows_per_request: 7", simulator.Embeddings{}},
		{"in batches that are too large for Mistral", "embeddings", ", rows_per_request: 16",
			simulator.Embeddings{MaxTexts: 5, Refusal: "mistral"}},
		{"in batches that are too large for llama.cpp", "embeddings", ", rows_per_request: 16",
			simulator.Embeddings{MaxTexts: 5, Refusal: "llama.cpp"}},
		{"in batches that are too large for TEI", "embeddings", ", rows_per_request: 16",
			simulator.Embeddings{MaxTexts: 5, Refusal: "tei"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			faults, err := simulator.ParseFaults("mixed=5%")
			if err != nil {
				t.Fatal(err)
			}
			s := simulator.New(simulator.Config{Faults: faults, Embeddings: tc.takes})
			checkEmbeddings(t, embedRun(t, s, tc.protocol, rows, tc.more), s, rows)
			if received := s.Ledger().Received; tc.more != "" && tc.takes.MaxTexts == 0 && received > int64(rows/3) {
				t.Errorf("%d requests for %d rows", received, rows)
			}
		})
	}
}

// Rows of a batch file with several texts have all their vectors, in order.
func TestEmbeddingsOfABatchFile(t *testing.T) {
	w := &workspace{dir: t.TempDir()}
	w.write(t, "rows.jsonl",
		`{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"x","input":["one","two"],`+
			`"dimensions":4,"encoding_format":"base64"}}`+"\n")
	w.write(t, "plan.yaml", "version: 1\ndataset: {path: rows.jsonl}\nmodels: [{name: e, endpoint: "+
		"simulator-embeddings, model: e}]\nout: out\n")
	succeeds(t, "run", "-q", filepath.Join(w.dir, "plan.yaml"))
	for r, err := range view.Rows[nightshift.Record](filepath.Join(w.dir, "out"), view.ReadOptions{}) {
		if err != nil || r.ID != "a" || deref(r.EmbeddingCount) != 2 || len(r.Embedding) != 8 {
			t.Fatalf("%v, %s: %d vectors in %d numbers", err, r.ID, deref(r.EmbeddingCount), len(r.Embedding))
		}
		if two := simulator.Embed("e", "two", 4); two[0] != r.Embedding[4] {
			t.Errorf("the second vector is %v, want %v", r.Embedding[4:], two)
		}
	}
	if code, _, said := call(t, t.Context(), "verify", "--deep", filepath.Join(w.dir, "out")); code != exitOK ||
		!strings.Contains(said, "1 raw") {
		t.Errorf("exit code %d\n%s", code, said)
	}
	out := succeeds(t, "export", filepath.Join(w.dir, "out"), "--format", "jsonl")
	var line struct{ Embedding []float32 }
	if err := json.Unmarshal(out, &line); err != nil || len(line.Embedding) != 8 {
		t.Errorf("%v: %s", err, out)
	}
}

// An embedding scorer asks for each text once, through the run's budget, scores
// by the cosine, and asks for nothing twice.
func TestEmbeddingScorer(t *testing.T) {
	t.Parallel()
	s := simulator.New(simulator.Config{})
	web := httptest.NewServer(s)
	t.Cleanup(func() { web.Close(); s.Close() })
	w := &workspace{dir: t.TempDir()}
	w.write(t, "rows.jsonl", `{"prompt":"one?","target":"the answer"}
{"prompt":"two?","target":["the answer","another"]}
{"prompt":"three?","gold":"the answer"}
`)
	plan := func(more string) {
		w.write(t, "plan.yaml", fmt.Sprintf(`version: 1
dataset: {path: rows.jsonl}
models: [{name: m, endpoint: sim, model: sim-large, params: {max_tokens: 40}, price: {input: 1, output: 1}}]
endpoints: {sim: {protocol: messages, base_url: "%s", auth: none}}
scorers:
  - {type: embedding, name: near, model: emb, endpoint: sim, params: {dimensions: 32}, rows_per_request: 2,
     price: {input: 10, output: 0}}
%s
out: out
`, web.URL, more))
	}
	do := func(code int, args ...string) (said string) {
		t.Helper()
		var out, errs bytes.Buffer
		if got := run(context.Background(), args, nil, &out, &errs, os.LookupEnv); got != code {
			t.Fatalf("%v: exit code %d, want %d\n%s%s", args, got, code, &out, &errs)
		}
		return out.String() + errs.String()
	}
	dir, file := filepath.Join(w.dir, "out"), filepath.Join(w.dir, "plan.yaml")
	plan("budget: {usd: 0.001}")
	if said := do(exitStopped, "run", "-q", file); !strings.Contains(said, "budget") {
		t.Errorf("the budget is not named: %s", said)
	}
	plan("budget: {usd: 1}")
	do(exitOK, "run", "-q", file)

	var texts []string
	for r, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, deref(r.Text))
	}
	vector := func(text string) []float32 { return simulator.Embed("emb", text, 32) }
	var input int64
	n := 0
	for score, err := range view.Scores(dir, "near") {
		if err != nil {
			t.Fatal(err)
		}
		want := map[int64][]string{0: {"the answer"}, 1: {"the answer", "another"}}[score.Row]
		best := -1.0
		for _, target := range want {
			c, err := scorers.Cosine(vector(texts[score.Row]), vector(target))
			if err != nil {
				t.Fatal(err)
			}
			best = max(best, c)
		}
		if n++; want == nil && score.Status != nightshift.Unscored || want != nil &&
			math.Abs(deref(score.Value)-max(best, 0)) > 1e-6 {
			t.Errorf("row %d: %v (%s), want %v", score.Row, deref(score.Value), score.Status, best)
		}
	}
	judges, err := scoring.ReadJudges(dir)
	if err != nil || n != 3 || len(judges) != 1 {
		t.Fatal(err, n, judges)
	}
	for r, err := range view.Rows[nightshift.Record](filepath.Join(dir, "judges/near"), view.ReadOptions{}) {
		if err != nil || r.RawResponse != nil || len(r.Embedding) != 32 {
			t.Fatalf("%v: %d numbers", err, len(r.Embedding))
		}
		input += deref(r.InputTokens)
	}
	if j := judges[0]; j.Requests != 4 || j.InputTokens != input || j.CostNanoUSD != 10_000*input || j.Judged != 2 {
		t.Errorf("%+v, want 4 requests of %d tokens", j, input)
	}

	before := s.Ledger().Received
	do(exitOK, "score", dir, "--plan", file)
	if after := s.Ledger().Received; after != before {
		t.Errorf("%d requests more to score the same again", after-before)
	}
	plan("  - {type: embedding, name: field, model: emb, endpoint: sim, params: {dimensions: 32}, field: gold, " +
		"threshold: -1, price: {input: 10, output: 0}}\nbudget: {usd: 1}")
	do(exitOK, "score", dir, "--plan", file)
	for score, err := range view.Scores(dir, "field") {
		if want := score.Row == 2; err != nil || (score.Status == nightshift.Scored) != want || want &&
			deref(score.Value) != 1 {
			t.Errorf("row %d by a field: %v %s, %v", score.Row, deref(score.Value), score.Status, err)
		}
	}
}
