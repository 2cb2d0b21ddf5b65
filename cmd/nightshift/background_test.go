package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nightshift"
)

// backgroundTable is a table whose answers are made in the background.
func backgroundTable(t *testing.T, rows int, url string) *table {
	t.Helper()
	d := formatTable(t, rows, url, nightshift.Responses)
	text := fmt.Sprintf(`version: 1
name: table
dataset: {path: data.jsonl}
models:
  - {name: m, endpoint: e, model: sim-large, params: {max_output_tokens: 200, background: true},
     price: {input: 3, output: 15}}
endpoints:
  e: {protocol: responses, base_url: %q, auth: none, limits: {concurrency: 32}}
budget: {usd: %.6f}
out: out
`, url, 0.004*float64(rows))
	if err := os.WriteFile(filepath.Join(d.dir, "plan.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// polled waits until the server has been asked so often after answers that it
// makes in the background.
func (s *server) polled(t *testing.T, n int64) {
	t.Helper()
	for range 6000 { // a minute: else it hangs
		if s.totals(t).Polls >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("asked %d times, want %d", s.totals(t).Polls, n)
}

// TestBackgroundKill kills the program while the server makes the answers.
// The next start asks after them: one request a row, one bill, nothing left to
// guess.
func TestBackgroundKill(t *testing.T) {
	const rows = 12
	s := serve(t, "--latency", "queue=3s")
	d := backgroundTable(t, rows, s.url)
	c := start(t, "run", d.plan, "-q")
	s.polled(t, rows) // the ids of all are on record before that
	c.cmd.Process.Kill()
	if code := c.wait(t); code != -1 {
		t.Fatalf("exit code %d before it could be killed\n%s", code, c.errs.String())
	}
	c = start(t, "run", d.plan)
	if code := c.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, c.errs.String())
	}
	if !strings.Contains(c.errs.String(), "asked for") {
		t.Errorf("nothing is said of the answers that the server has:\n%s", c.errs.String())
	}
	checkServed(t, d, s, rows)
	checkPrices(t, d, s)
	l := s.totals(t)
	if l.Received != rows || l.Billed != l.DeliveredTokens {
		t.Errorf("ledger %+v, want %d requests", l.Totals, rows)
	}
	for name, r := range d.records(t) {
		if r.Attempts != 1 || r.MaybeBilled {
			t.Errorf("%s: %d attempts, maybe billed %v", name, r.Attempts, r.MaybeBilled)
		}
	}
}

// TestBackgroundGivenUp interrupts a run twice: what the server still makes is
// cancelled there.
func TestBackgroundGivenUp(t *testing.T) {
	t.Parallel()
	const rows = 3
	s := serve(t, "--latency", "queue=60s")
	d := backgroundTable(t, rows, s.url)
	c := start(t, "run", d.plan, "-q")
	s.polled(t, rows)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} { // two that are one signal might be heard as one
		if err := c.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	if code := c.wait(t); code != exitInterrupted {
		t.Errorf("exit code %d\n%s", code, c.errs.String())
	}
	if l := s.totals(t); l.Cancelled != rows || l.Received != rows {
		t.Errorf("ledger %+v, want %d cancellations", l.Totals, rows)
	}
}
