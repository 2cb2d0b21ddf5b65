package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"nightshift"
	"nightshift/providers/simulator"
	"nightshift/reports"
	"nightshift/runner/store/view"
)

// Two thousand rows over Gemini under 5 % mixed faults: every row once, tokens
// and money as in the ledger.
func TestGeminiUnderFaults(t *testing.T) {
	const rows = 2000
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("streamed %v", stream), func(t *testing.T) {
			t.Parallel()
			faults, err := simulator.ParseFaults("mixed=5%")
			if err != nil {
				t.Fatal(err)
			}
			s := simulator.New(simulator.Config{Faults: faults})
			web := httptest.NewServer(s)
			t.Cleanup(func() { web.Close(); s.Close() })
			w := &workspace{dir: t.TempDir()}
			var data bytes.Buffer
			for i := range rows {
				fmt.Fprintf(&data, `{"id": "g-%d", "prompt": "Question number %d?"}`+"\n", i, i)
			}
			w.write(t, "rows.jsonl", data.String())
			w.write(t, "plan.yaml", fmt.Sprintf(`version: 1
dataset: {path: rows.jsonl}
models: [{name: g, endpoint: sim, model: models/gemini-sim, stream: %v, price: {input: 1, output: 2}, params: {max_tokens: 64}}]
endpoints: {sim: {protocol: gemini, base_url: "%s", auth: none}}
budget: {usd: 5}
raw: none
out: out
`, stream, web.URL))
			var out, errs bytes.Buffer
			if code := run(context.Background(), []string{"run", "-q", filepath.Join(w.dir, "plan.yaml")}, nil, &out, &errs, os.LookupEnv); code != exitOK {
				t.Fatalf("exit code %d\n%s%s", code, &out, &errs)
			}
			checkAgainstLedger(t, filepath.Join(w.dir, "out"), s.Ledger(), rows)
		})
	}
}

// checkAgainstLedger sees that every row is there once, and that the tokens and
// the money of a run, at one and two dollars a million tokens, are those of the
// server's ledger.
func checkAgainstLedger(t *testing.T, dir string, ledger simulator.Ledger, rows int) {
	t.Helper()
	var input, output int64
	seen := map[string]bool{}
	for r, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if seen[r.ID] || r.ErrorClass != nil {
			t.Fatalf("%s: %s, seen before %v: %s", r.ID, r.Outcome, seen[r.ID], deref(r.ErrorMessage))
		}
		seen[r.ID] = true
		input += deref(r.InputTokens) + deref(r.CacheReadTokens)
		output += deref(r.OutputTokens)
	}
	delivered := ledger.DeliveredTokens
	if len(seen) != rows || input != delivered.InputTotal() || output != delivered.Output {
		t.Errorf("%d rows of %d, %d and %d tokens; the ledger delivered %d and %d", len(seen), rows, input, output, delivered.InputTotal(), delivered.Output)
	}
	summary, err := reports.BuildPage(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Answers that broke on the way may have been billed: between the two.
	least, most := summary.Total.CostNanoUSD, summary.Total.CostNanoUSD
	if summary.Total.AtMostNanoUSD != nil {
		most = *summary.Total.AtMostNanoUSD
	}
	if money := 1000*ledger.Billed.InputTotal() + 2000*ledger.Billed.Output; money < least || money > most {
		t.Errorf("the ledger billed %d nano-dollars, the report says %d to %d", money, least, most)
	}
	if want := 1000*delivered.InputTotal() + 2000*delivered.Output; least < want {
		t.Errorf("the report says at least %d nano-dollars, the ledger delivered %d", least, want)
	}
}
