package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"nightshift"
	"nightshift/providers/simulator"
	"nightshift/reports"
	"nightshift/runner/store/view"
)

// Two thousand rows over Gemini under 5 % mixed faults: every row once, tokens
// and money as in the ledger.
func TestGeminiUnderFaults(t *testing.T) {
	t.Parallel()
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
models:
  - {name: g, endpoint: sim, model: models/gemini-sim, stream: %v, price: {input: 1, output: 2},
     params: {max_tokens: 64}}
endpoints: {sim: {protocol: gemini, base_url: "%s", auth: none}}
budget: {usd: 5}
raw: none
out: out
`, stream, web.URL))
			var out, errs bytes.Buffer
			if code := run(context.Background(), []string{"run", "-q", filepath.Join(w.dir, "plan.yaml")}, nil, &out,
				&errs, os.LookupEnv); code != exitOK {
				t.Fatalf("exit code %d\n%s%s", code, &out, &errs)
			}
			checkAgainstLedger(t, filepath.Join(w.dir, "out"), s.Ledger(), rows)
		})
	}
}

// A token that a command prints is printed anew when the server no longer takes
// the old one, and neither is in the run directory.
func TestTokenOfACommand(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs cat")
	}
	const old, fresh = "ya29.a0-old-token-0001", "ya29.a0-new-token-0002"
	w := &workspace{dir: t.TempDir()}
	w.write(t, "token", old+"\n")
	s := simulator.New(simulator.Config{Keys: []string{old, fresh}})
	var asked atomic.Int64
	var once sync.Once
	web := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 20 && r.Header.Get("Authorization") == "Bearer "+old {
			once.Do(func() {
				w.write(t, "next", fresh+"\n")
				if err := os.Rename(filepath.Join(w.dir, "next"), filepath.Join(w.dir, "token")); err != nil {
					t.Error(err)
				}
			})
			rw.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(rw, `{"error":{"code":401,"message":"the token %s has expired","status":"UNAUTHENTICATED"}}`, old)
			return
		}
		s.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { web.Close(); s.Close() })
	w.write(t, "rows.jsonl", strings.Repeat(`{"prompt": "What now?"}`+"\n", 100))
	w.write(t, "plan.yaml", fmt.Sprintf(`version: 1
dataset: {path: rows.jsonl}
models: [{name: g, endpoint: vertex, model: gemini-sim}]
endpoints:
  vertex:
    protocol: gemini
    base_url: "%s/v1/projects/p/locations/l"
    auth: {scheme: bearer, command: [cat, %q]}
    limits: {concurrency: 4}
out: out
`, web.URL, filepath.Join(w.dir, "token")))
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"run", "-q", filepath.Join(w.dir, "plan.yaml")}, nil, &out, &errs,
		os.LookupEnv); code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, &out, &errs)
	}
	shown := out.String() + errs.String()
	err := filepath.WalkDir(filepath.Join(w.dir, "out"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			text, _ := os.ReadFile(path)
			shown += string(text)
		}
		return err
	})
	if err != nil || strings.Contains(shown, "old-token") || strings.Contains(shown, "new-token") {
		t.Errorf("%v; a token is shown", err)
	}
	if n := s.Ledger().Delivered; n != 100 {
		t.Errorf("%d answers", n)
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
		t.Errorf("%d rows of %d, %d and %d tokens; the ledger delivered %d and %d", len(seen), rows, input, output,
			delivered.InputTotal(), delivered.Output)
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
