package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"nightshift"
	"nightshift/reports"
)

// noText are the wire formats whose answers are no text.
var noText = map[nightshift.Protocol]bool{nightshift.Embeddings: true, nightshift.GeminiEmbeddings: true}

// TestFormatsUnderFaults runs each wire format, streamed and not, against a server
// with 5 % mixed faults: every row is there once and answered, its tokens are what
// the ledger says was served, and its price what those tokens cost.
func TestFormatsUnderFaults(t *testing.T) {
	t.Parallel()
	rows := 150
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		rows = 2000
	}
	for _, p := range nightshift.Protocols() {
		if noText[p] {
			continue
		}
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			s := serve(t, "--faults", "mixed=5%")
			d := formatTable(t, rows, s.url, p)
			c := start(t, "run", d.plan)
			if code := c.wait(t); code != exitOK {
				t.Fatalf("exit code %d\n%s\n%s", code, c.out.String(), c.errs.String())
			}
			checkServed(t, d, s, 2*rows)
			checkPrices(t, d, s)
		})
	}
}

// formatTable is a table with a model that is asked whole and one that is streamed,
// both in one format.
func formatTable(t *testing.T, rows int, url string, p nightshift.Protocol) *table {
	t.Helper()
	d := &table{dir: t.TempDir()}
	d.plan, d.out = filepath.Join(d.dir, "plan.yaml"), filepath.Join(d.dir, "out")
	var data bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&data, "{\"id\": \"q-%d\", \"prompt\": \"Question %d: what is %d + 3?\", \"target\": \"x\"}\n", i,
			i, i)
	}
	text := fmt.Sprintf(`version: 1
name: table
dataset: {path: data.jsonl}
models:
  - {name: m, endpoint: e, model: sim-large, params: {max_tokens: 200}, price: {input: 3, output: 15}}
  - {name: c, endpoint: e, model: sim-small, params: {max_tokens: 200}, stream: true, price: {input: 3, output: 15}}
endpoints:
  e: {protocol: %s, base_url: %q, auth: none, limits: {concurrency: 32}}
retry: {attempts: 8}
out: out
`, p, url)
	for name, b := range map[string][]byte{"data.jsonl": data.Bytes(), "plan.yaml": []byte(text)} {
		if err := os.WriteFile(filepath.Join(d.dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// checkReport compares the money that a report speaks of with what the answers cost
// and with what the server billed, in nano-dollars. Answers that broke on the way may
// have been billed: the bill is between the two that the report has.
func checkReport(t *testing.T, dir string, answers, billed int64) {
	t.Helper()
	summary, err := reports.BuildPage(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	least := summary.Total.CostNanoUSD
	most := cmp.Or(deref(summary.Total.AtMostNanoUSD), least)
	if least < answers || billed < least || billed > most {
		t.Errorf("the report says %d to %d nano-dollars, the answers cost %d, the server billed %d", least, most, answers,
			billed)
	}
}

// checkPrices compares what the answers cost with what the ledger delivered and the
// server billed; the cost of answers that needed one attempt is exactly that of their
// tokens.
func checkPrices(t *testing.T, d *table, s *server) {
	t.Helper()
	const in, out = 3000, 15000 // nano-dollars a token
	var sum int64
	for name, r := range d.records(t) {
		cost := in*deref(r.InputTokens) + out*deref(r.OutputTokens)
		sum += cost
		if r.Attempts == 1 && deref(r.CostNanoUSD) != cost {
			t.Errorf("%s cost %d, its tokens cost %d", name, deref(r.CostNanoUSD), cost)
		}
	}
	served := s.totals(t).DeliveredTokens
	if want := in*served.InputTotal() + out*served.Output; sum != want {
		t.Errorf("the answers cost %d, what the ledger delivered costs %d", sum, want)
	}
	billed := s.totals(t).Billed
	checkReport(t, d.out, sum, in*billed.InputTotal()+out*billed.Output)
}
