package main

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store/view"
)

// kills is how often TestKill kills the program: enough to catch a mistake in
// a quick run; NIGHTSHIFT_KILLS asks for more.
func kills(t *testing.T) int {
	if n, err := strconv.Atoi(os.Getenv("NIGHTSHIFT_KILLS")); err == nil {
		return n
	}
	if testing.Short() {
		t.Skip("kills real processes")
	}
	return 8
}

// seeded draws differently each time; the seed is in the log.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// TestKill kills the real program with -9 at random moments, starts it again,
// and asks the server what it was sent: no row that was on record is sent
// again, nothing is lost or there twice, what was in flight is listed, and in
// the end the files equal those of a run that nobody disturbed.
func TestKill(t *testing.T) {
	t.Parallel()
	random := seeded(t)
	left := kills(t)
	for left > 0 {
		left -= killRun(t, random, min(left, 20), "", nil)
	}
}

// TestKillWithVariants is TestKill of a plan whose models are asked in two ways, each on
// two datasets, within a budget.
func TestKillWithVariants(t *testing.T) {
	t.Parallel()
	random := seeded(t)
	variants := map[string]string{"plain": "", "brief": " Be brief."}
	for left := kills(t) / 2; left > 0; {
		left -= killRun(t, random, min(left, 20),
			"variants: [{name: plain}, {name: brief, prompt: \"{{ prompt }} Be brief.\"}]\nbudget: {usd: 50}\n", variants)
	}
}

const rowsToKill = 150

// killRun is one run that is killed up to most times; it returns how often it
// was.
func killRun(t *testing.T, random *rand.Rand, most int, more string, variants map[string]string) (killed int) {
	s := serve(t, "--latency", "base=15ms,token=1ms,jitter=0.5")
	d := newTable(t, rowsToKill, s.url, more)
	if d.variants = variants; variants != nil {
		d.divide(t)
	}
	known := map[string]int{} // requests received for rows that were on record
	listed := map[view.Unknown]bool{}
	for killed < most {
		c := start(t, "run", d.plan, "--progress", "none", "-q")
		asleep(time.Duration(20+random.IntN(160)) * time.Millisecond)
		c.cmd.Process.Kill()
		if c.wait(t) != -1 {
			break // it was done before
		}
		killed++
		checkKilled(t, s, d, known, listed)
	}
	if code := start(t, "run", d.plan, "-q").wait(t); code != exitOK {
		t.Fatalf("the last start: exit code %d", code)
	}
	checkResent(t, s, known)
	compareRuns(t, d, s)
	return max(killed, 1)
}

// mostInFlight is how many rows can be between their intent and their record:
// one for each place of the plan's two endpoints; of plans with variants once for
// each, since every pool of workers may have that many between two places. The limiter lets 16 through at a
// time, but gives a place away when an answer has been read, which is moments
// before it is written down.
const mostInFlight = 2 * 16

// checkKilled looks at what a killed process left. Attempts that were listed
// as unknown after an earlier kill are in before.
func checkKilled(t *testing.T, s *server, d *table, known map[string]int, before map[view.Unknown]bool) {
	t.Helper()
	if _, err := os.Stat(d.out + "/run.json"); err != nil {
		return // killed before the run existed
	}
	received := s.received(t)
	checkResent(t, s, known)
	records := d.records(t)
	for _, r := range records {
		known[d.key(r.Model, r.Row)] = received[d.key(r.Model, r.Row)]
	}
	status, err := view.Status(d.out)
	if err != nil {
		t.Fatal(err)
	}
	listed, fresh := map[string]bool{}, 0
	for _, u := range status.Unknown {
		listed[d.key(u.Model, u.Row)] = true
		if !before[u] {
			before[u] = true
			fresh++
		}
		if u.WorstTokens == 0 || u.WorstCost == 0 {
			t.Errorf("unknown row %d of %s has no worst case", u.Row, u.Model)
		}
	}
	if fresh > mostInFlight*max(len(d.variants), 1) {
		t.Errorf("one kill made %d requests unknown, more than can be in flight", fresh)
	}
	for key, n := range received {
		_, onRecord := known[key]
		if n > 0 && key != "" && !onRecord && !listed[key] { // "": cut before it could be read
			t.Errorf("a request reached the server and is neither on record nor listed as unknown: %s", key)
		}
	}
}

// checkResent fails for every row that was sent again although it was on
// record.
func checkResent(t *testing.T, s *server, known map[string]int) {
	t.Helper()
	received := s.received(t)
	for key, before := range known {
		if received[key] > before {
			t.Errorf("a row on record was sent again: %s: %d requests, then %d", key, before, received[key])
		}
	}
}

// compareRuns runs the same plan undisturbed and compares the files but for
// times, attempts and what hangs on them.
func compareRuns(t *testing.T, d *table, s *server) {
	t.Helper()
	got := d.records(t)
	calm := *d
	calm.out = d.out + "-calm"
	if code := start(t, "run", d.plan, "-q", "--out", calm.out).wait(t); code != exitOK {
		t.Fatalf("the undisturbed run: exit code %d", code)
	}
	want := calm.records(t)
	if all := d.lanes() * rowsToKill; len(got) != len(want) || len(want) != all {
		t.Fatalf("%d rows after kills, %d undisturbed, want %d", len(got), len(want), all)
	}
	for name, w := range want {
		g := got[name]
		if deref(g.Text) != deref(w.Text) || g.Outcome != w.Outcome || g.ID != w.ID ||
			deref(g.Input) != deref(w.Input) ||
			deref(g.OutputTokens) != deref(w.OutputTokens) || deref(g.InputTokens) != deref(w.InputTokens) {
			t.Errorf("%s differs from the undisturbed run:\n%+v\n%+v", name, g, w)
		}
		if g.Outcome != nightshift.OutcomeOK {
			t.Errorf("%s: outcome %s", name, g.Outcome)
		}
	}
	rep, err := view.Verify(d.out, true)
	if err != nil || !rep.OK() {
		t.Errorf("verify: %v %+v", err, rep.Problems)
	}
}

// TestDoubleStart starts many processes on one directory: one runs, the others
// are refused and send nothing.
func TestDoubleStart(t *testing.T) {
	n := 10
	if os.Getenv("NIGHTSHIFT_CI") != "" {
		n = 50
	}
	s := serve(t, "--latency", "base=300ms")
	d := newTable(t, 60, s.url, "")
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = start(t, "run", d.plan, "-q")
	}
	codes := map[int]int{}
	for _, c := range clients {
		codes[c.wait(t)]++
	}
	if codes[exitOK] != 1 || codes[exitRunning] != n-1 {
		t.Errorf("exit codes %v, want one 0 and %d times 75", codes, n-1)
	}
	if l := s.totals(t); l.Received != 120 {
		t.Errorf("the server received %d requests, want 120", l.Received)
	}
}

// deref is what p points to, and zero for nil.
func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
