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

// TestFaultsAndLimits runs both formats against a server with 5 % mixed faults
// and a request limit: every row is there once and answered, and its tokens are
// what the ledger says was served.
func TestFaultsAndLimits(t *testing.T) {
	t.Parallel()
	s := serve(t, "--faults", "mixed=5%", "--limits", "requests=12000,burst=5s", "--latency", "base=2ms,jitter=0.3")
	d := newTable(t, 400, s.url, "")
	c := start(t, "run", d.plan)
	if code := c.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s\n%s", code, c.out.String(), c.errs.String())
	}
	checkServed(t, d, s, 800)
	if strings.ContainsRune(c.errs.String(), '\x1b') {
		t.Errorf("stderr in a file holds escape codes: %q", c.errs.String())
	}
}

// checkServed compares the records with the ledger.
func checkServed(t *testing.T, d *table, s *server, want int) {
	t.Helper()
	records, ledger := d.records(t), s.totals(t)
	if len(records) != want {
		t.Errorf("%d rows, want %d", len(records), want)
	}
	var in, out int64
	for name, r := range records {
		if !r.Outcome.Answered() {
			t.Errorf("%s: %s: %s", name, r.Outcome, deref(r.ErrorMessage))
		}
		in += deref(r.InputTokens)
		out += deref(r.OutputTokens)
	}
	if in != ledger.DeliveredTokens.InputTotal() || out != ledger.DeliveredTokens.Output {
		t.Errorf("tokens %d in, %d out; the ledger served %d in, %d out", in, out, ledger.DeliveredTokens.InputTotal(),
			ledger.DeliveredTokens.Output)
	}
}

// TestTokenBudget gives half of what a dataset needs: the ledger never bills
// more, and a larger budget finishes the rest only.
func TestTokenBudget(t *testing.T) {
	t.Parallel()
	s := serve(t, "--faults", "mixed=5%")
	d := newTable(t, 120, s.url, "")
	whole := *d
	whole.out = d.out + "-whole"
	if code := start(t, "run", d.plan, "-q", "--out", whole.out).wait(t); code != exitOK {
		t.Fatalf("the run without a budget: exit code %d", code)
	}
	before := s.totals(t).Billed.Total()
	var need int64
	for _, r := range whole.records(t) {
		need += deref(r.InputTokens) + deref(r.OutputTokens)
	}

	budget := need / 2
	c := start(t, "run", d.plan, "--budget-tokens", fmt.Sprint(budget))
	if code := c.wait(t); code != exitStopped {
		t.Fatalf("exit code %d, want %d\n%s", code, exitStopped, c.errs.String())
	}
	if billed := s.totals(t).Billed.Total() - before; billed > budget {
		t.Errorf("billed %d tokens of a budget of %d", billed, budget)
	}
	some := d.records(t)
	if len(some) == 0 || len(some) >= 240 {
		t.Errorf("%d rows on half a budget", len(some))
	}
	if !strings.Contains(c.errs.String(), "--budget-tokens") {
		t.Errorf("the message does not say what to raise: %s", c.errs.String())
	}
	received := s.received(t)
	if code := start(t, "run", d.plan, "-q", "--budget-tokens", fmt.Sprint(20*need)).wait(t); code != exitOK {
		t.Fatalf("with a larger budget: exit code %d", code)
	}
	after := s.received(t)
	for name, r := range some {
		if key := d.key(r.Model, r.Row); after[key] != received[key] {
			t.Errorf("%s was on record and was sent again", name)
		}
	}
	if all := d.records(t); len(all) != 240 {
		t.Errorf("%d rows in the end, want 240", len(all))
	}
}

// TestDollarBudgetNeedsPrice refuses before anything is sent.
func TestDollarBudgetNeedsPrice(t *testing.T) {
	t.Parallel()
	s := serve(t)
	d := newTable(t, 5, s.url, "")
	b, err := os.ReadFile(d.plan)
	if err != nil {
		t.Fatal(err)
	}
	unpriced := strings.ReplaceAll(string(b), ", price: {input: 3, output: 15}", "")
	if err := os.WriteFile(d.plan, []byte(unpriced), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, "run", d.plan, "--budget-usd", "1")
	if code := c.wait(t); code != exitUsage || !strings.Contains(c.errs.String(), "price") {
		t.Errorf("exit code %d, want %d: %s", code, exitUsage, c.errs.String())
	}
	if l := s.totals(t); l.Received != 0 {
		t.Errorf("%d requests were sent", l.Received)
	}
}

// TestInterrupt drains on the first signal and says how to go on.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	s := serve(t, "--latency", "base=80ms")
	d := newTable(t, 400, s.url, "")
	c := start(t, "run", d.plan)
	s.awaits(t, 8)
	c.cmd.Process.Signal(os.Interrupt)
	if code := c.wait(t); code != exitInterrupted {
		t.Fatalf("exit code %d, want %d\n%s", code, exitInterrupted, c.errs.String())
	}
	records, ledger := d.records(t), s.totals(t)
	if int64(len(records)) != ledger.Received {
		t.Errorf("%d rows on record, %d requests received: what was in flight was not kept", len(records),
			ledger.Received)
	}
	if !strings.Contains(c.errs.String(), "the same command goes on") {
		t.Errorf("stderr does not say how to go on: %s", c.errs.String())
	}
	if code := start(t, "run", d.plan, "-q").wait(t); code != exitOK {
		t.Fatalf("resuming: exit code %d", code)
	}
	if l := s.totals(t); l.Received != 800 {
		t.Errorf("%d requests in all, want 800", l.Received)
	}
}

// TestSecondInterrupt gives up what is in flight and keeps it as unknown.
func TestSecondInterrupt(t *testing.T) {
	t.Parallel()
	s := serve(t, "--latency", "base=1h") // longer than go test lets a test run
	d := newTable(t, 40, s.url, "")
	c := start(t, "run", d.plan)
	s.awaits(t, 16)
	c.cmd.Process.Signal(syscall.SIGTERM)
	asleep(300 * time.Millisecond)
	c.cmd.Process.Signal(os.Interrupt)
	if code := c.wait(t); code != exitInterrupted {
		t.Fatalf("exit code %d, want %d\n%s", code, exitInterrupted, c.errs.String())
	}
	for name, r := range d.records(t) {
		t.Errorf("%s is on record as %s", name, r.Outcome)
	}
}

// TestUnwritable refuses before anything is sent.
func TestUnwritable(t *testing.T) {
	if os.Getuid() == 0 {
		// root writes everywhere; a file in the way is refused to everyone
		t.Log("as root: a file stands where the directory should be")
	}
	s := serve(t)
	d := newTable(t, 3, s.url, "")
	blocked := filepath.Join(d.dir, "blocked")
	if err := os.WriteFile(blocked, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	c := start(t, "run", d.plan, "--out", filepath.Join(blocked, "run"))
	if code := c.wait(t); code != exitStorage || !strings.Contains(c.errs.String(), "blocked") {
		t.Errorf("exit code %d, want %d: %s", code, exitStorage, c.errs.String())
	}
	if l := s.totals(t); l.Received != 0 {
		t.Errorf("%d requests were sent", l.Received)
	}
}

// TestDeadEndpoint stops on a refused key at once: no second row is tried.
func TestRefusedKey(t *testing.T) {
	t.Setenv("TABLE_KEY", "right")
	s := serve(t, "--key-env", "TABLE_KEY")
	d := newTable(t, 50, s.url, "")
	c := start(t, "run", d.plan)
	if code := c.wait(t); code != exitStopped {
		t.Fatalf("exit code %d, want %d\n%s", code, exitStopped, c.errs.String())
	}
	if l := s.totals(t); l.Received > 32 || l.Answered != 0 {
		t.Errorf("the server received %d requests", l.Received)
	}
	for name, r := range d.records(t) {
		if r.Outcome != nightshift.OutcomeFailed {
			t.Errorf("%s: %s", name, r.Outcome)
		}
	}
}
