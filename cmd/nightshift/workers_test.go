//go:build !windows

package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/providers/simulator"
	"nightshift/runner/cluster/join"
	"nightshift/runner/cluster/worker"
	"nightshift/runner/store/view"
)

// A site is a hub and its workers in processes of their own.
type site struct {
	t       *testing.T
	s       *server
	d       *table
	address string
	beat    time.Duration // 2 s where it is not for a test: all times of the protocol are so many beats
	hub     *client
	workers []*client

	requests int64 // that the server had when the run had ended
	slow     int   // times that a worker had not found the new hub when that gave up what it had
}

const slots = 12 // of a worker

// newSite starts a hub for a table's plan and so many workers.
func newSite(t *testing.T, s *server, d *table, beat time.Duration, workers int) *site {
	t.Helper()
	c := &site{t: t, s: s, d: d, address: ownAddress(t), beat: beat}
	if err := join.Make(filepath.Join(d.dir, "join"), c.address); err != nil {
		t.Fatal(err)
	}
	c.startHub()
	for i := range workers {
		c.workers = append(c.workers, nil)
		c.startWorker(i)
	}
	t.Cleanup(func() {
		for _, p := range append(c.workers, c.hub) {
			p.cmd.Process.Kill()
		}
	})
	return c
}

var addresses atomic.Int64

// ownAddress is one that no other process takes while the hub that listens there is
// being started again.
func ownAddress(t *testing.T) string {
	t.Helper()
	if runtime.GOOS == "linux" { // where all of 127.0.0.0/8 is this machine
		n := addresses.Add(1)
		return fmt.Sprintf("127.%d.%d.%d:7420", 1+os.Getpid()/250%250, 1+os.Getpid()%250, 1+n%250)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		err = l.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

func (c *site) startHub() {
	c.hub = start(c.t, "run", c.d.plan, "--progress", "none", "--log-format", "json", "--listen", c.address,
		"--join", filepath.Join(c.d.dir, "join"), "--no-local", "--beat", c.beat.String(),
		"--worker-silence", (15 * c.beat).String())
}

func (c *site) startWorker(i int) {
	c.workers[i] = start(c.t, "work", filepath.Join(c.d.dir, "join", join.WorkerFile), "--name", fmt.Sprint("w", i),
		"--spool", filepath.Join(c.d.dir, fmt.Sprint("spool", i)), "--beat", c.beat.String(),
		"--slots", fmt.Sprint(slots), "--grace", (25 * c.beat).String())
}

// tellToGo tells workers after a while to go: those that were away when the run ended,
// or were started after that, wait for a hub for ever.
func (c *site) tellToGo() (stop func() bool) {
	return time.AfterFunc(10*time.Second, func() {
		for _, w := range c.workers {
			w.cmd.Process.Signal(syscall.SIGTERM)
		}
	}).Stop
}

// goes waits until a worker has ended. One that was told to go says what it holds.
func (c *site) goes(w *client) (code int, holds bool) {
	code = w.wait(c.t)
	return code, strings.Contains(w.errs.String(), worker.ErrStillHolds.Error())
}

func (c *site) killHub() {
	c.hub.cmd.Process.Kill()
	if c.hub.wait(c.t) == -1 {
		c.slow += c.missed(c.hub, time.Now())
		c.startHub()
		return
	}
	c.hub = start(c.t, "run", c.d.plan, "-q") // it was done
}

func (c *site) killWorker(i int) {
	c.workers[i].cmd.Process.Kill()
	c.workers[i].wait(c.t)
	c.startWorker(i)
}

// freeze stops a worker for a while.
func (c *site) freeze(i int, d time.Duration) {
	c.workers[i].cmd.Process.Signal(syscall.SIGSTOP)
	asleep(d)
	c.workers[i].cmd.Process.Signal(syscall.SIGCONT)
}

// finish waits for the end of the run, and checks records, bill and ledger. exact
// says that nothing but hubs was killed: then no row may be sent twice.
func (c *site) finish(exact bool) {
	t := c.t
	t.Helper()
	if code := c.hub.wait(t); code != exitOK {
		t.Fatalf("the hub ended with %d: %s", code, c.hub.errs.String())
	}
	c.slow += c.missed(c.hub, time.Now())
	defer c.tellToGo()()
	for i, w := range c.workers {
		if code, holds := c.goes(w); code != exitOK && (exact || !holds) {
			t.Errorf("worker %d ended with %d: %s", i, code, w.errs.String())
		}
	}
	late, err := view.Late(c.d.out)
	if err != nil {
		t.Fatal(err)
	}
	var known, most int64
	for _, r := range c.d.records(t) {
		log, err := attemptlog.Parse(deref(r.AttemptLog))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range late.Settle(log) {
			known += int64(deref(a.Cost))
			most += int64(max(deref(a.Cost), a.WorstCost))
			if a.Worker == "" && a.Class != nightshift.ClassUnknownOutcome {
				t.Errorf("%s/%d was not sent by a worker", r.Model, r.Row)
			}
		}
	}
	l := c.s.totals(t)
	c.requests = l.Received
	bill, unpriced := l.Invoice(
		map[string]simulator.Price{"sim-large": {Input: 3000, Output: 15000}, "sim-small": {Input: 1000, Output: 2000}})
	if len(unpriced) > 0 || bill < known || bill > most {
		t.Errorf("the server charged %d, the records say %d to %d; not priced: %v", bill, known, most, unpriced)
	}
	// Attempts that were announced and did not leave are unknown, and cost nothing.
	if exact && (known != bill || l.Received != int64(2*len(c.d.prompts))) {
		t.Errorf("%d requests for %d rows; %d nano-dollars were charged, %d are on record", l.Received,
			2*len(c.d.prompts), bill, known)
	}
	compareRuns(t, c.d, c.s)
}

// missed counts the workers that a hub, which has ended by now, had not heard of when
// it sent what they had in flight again: 7.5 beats after its start.
func (c *site) missed(hub *client, ended time.Time) (n int) {
	type line struct {
		Time time.Time
		Msg  string
	}
	var began time.Time
	came := map[string]bool{}
	for text := range strings.Lines(hub.errs.String()) {
		var l line
		if json.Unmarshal([]byte(text), &l) != nil {
			continue
		}
		if strings.HasPrefix(l.Msg, "waiting for workers") {
			began = l.Time
		}
		if name, _, ok := strings.Cut(l.Msg, " came: "); ok && l.Time.Sub(began) < 15*c.beat/2 {
			came[name] = true
		}
	}
	if began.IsZero() || ended.Sub(began) < 15*c.beat/2 {
		return 0
	}
	return len(c.workers) - len(came)
}

// paidTwice compares the server's requests with those that had to be paid. What is
// above one for each row are requests that were lost with a worker: each of them is on
// record, as lost or as what came of it after all, and they are no more than these
// workers had in flight. A worker that a busy machine kept from a new hub for too long
// counts as one that went away.
func (c *site) paidTwice(away int) {
	c.t.Helper()
	more := -2 * len(c.d.prompts)
	for _, r := range c.d.records(c.t) {
		log, err := attemptlog.Parse(deref(r.AttemptLog))
		if err != nil {
			c.t.Fatal(err)
		}
		for _, a := range log {
			if a.Class != nightshift.ClassCancelled { // it did not leave the hub
				more++
			}
		}
	}
	twice := int(c.requests) - 2*len(c.d.prompts)
	if twice < 0 || twice > more || twice > (away+c.slow)*slots {
		c.t.Errorf("%d requests were paid twice; %d more than rows are on record; workers went away %d times, and came too "+
			"late to a new hub %d times, with at most %d in flight", twice, more, away, c.slow, slots)
	}
	c.t.Logf("%d requests were paid twice; workers went away %d times, and came too late %d times", twice, away, c.slow)
}

// TestHubIsKilled kills the hub again and again: no row is sent twice.
func TestHubIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("kills real processes")
	}
	s := serve(t, "--latency", "base=150ms,jitter=0.5")
	// Rows are sent twice when no worker comes back to a new hub within 7.5 beats:
	// the machine may be that slow.
	c := newSite(t, s, newTable(t, rowsToKill, s.url, ""), time.Second, 2)
	for range 4 {
		asleep(time.Duration(300+rand.IntN(700)) * time.Millisecond)
		c.killHub()
	}
	c.finish(true)
}

// TestWorkersAreKilled kills and freezes workers, and hubs with them.
func TestWorkersAreKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("kills real processes")
	}
	runs := 1
	if n, err := strconv.Atoi(os.Getenv("NIGHTSHIFT_CLUSTERS")); err == nil {
		runs = n
	}
	for range runs {
		seed := uint64(time.Now().UnixNano())
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel() // most of a run's time is waiting: -parallel says how many go on at once
			killAtRandom(t, rand.New(rand.NewPCG(seed, 0)))
		})
	}
}

func killAtRandom(t *testing.T, random *rand.Rand) {
	s := serve(t, "--latency", "base=250ms,jitter=0.5")
	c := newSite(t, s, newTable(t, rowsToKill, s.url, ""), 300*time.Millisecond, 3+random.IntN(6))
	away := 0 // times that a worker was killed or frozen
	for range 5 {
		asleep(time.Duration(200+random.IntN(600)) * time.Millisecond)
		i := random.IntN(len(c.workers))
		switch random.IntN(5) {
		case 0, 1:
			away++
			c.killWorker(i)
		case 2:
			away++
			c.killWorker(i)
			c.killHub()
		case 3:
			c.killHub()
		case 4:
			away++
			c.freeze(i, time.Duration(random.Int64N(int64(25*c.beat))))
		}
	}
	c.finish(false)
	c.paidTwice(away)
}
