package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/view"
)

// The tests in this file run the store in processes of their own: the test
// binary itself, told by the environment to be something else.

func TestMain(m *testing.M) {
	dir := os.Getenv("NIGHTSHIFT_TEST_DIR")
	switch os.Getenv("NIGHTSHIFT_TEST_CHILD") {
	case "run":
		os.Exit(childRun(dir))
	case "lock":
		os.Exit(childLock(dir))
	}
	os.Exit(m.Run())
}

func child(kind, dir string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	// The race detector lets a process that is done sleep for a second.
	cmd.Env = append(
		append(os.Environ(), "GORACE=atexit_sleep_ms=0", "NIGHTSHIFT_TEST_CHILD="+kind, "NIGHTSHIFT_TEST_DIR="+dir), env...)
	return cmd
}

// childIdentity has two models, so that shards are open side by side, and a
// failed row each, so that a second generation is made.
func childIdentity() Identity { return identity(2, 2, 6, 1) }

// childShort is what the child's run begins with: its dataset grows by a shard
// when all of that is on record.
func childShort() Identity { return identity(2, 1, 6, 1) }

// childRun is a runner: it sends every open row to a ledger, which stands for
// the provider and for who pays, and keeps the answers. Then the run is
// extended, and in a last pass what has failed is tried again.
func childRun(dir string) int {
	id := childIdentity()
	ledger, err := os.OpenFile(filepath.Join(dir, "ledger"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 99
	}
	run := filepath.Join(dir, "run")
	batched := childBatches(dir)
	if info, err := view.ReadInfo(run); err != nil || len(info.Chunks) < len(id.Chunks) {
		if code := childPass(run, ledger, childShort(), false, batched); code != 0 {
			return code
		}
		if err := Extend(run, Options{}, grown(newRows(id))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 96
		}
	}
	for _, retry := range []bool{false, true} {
		if code := childPass(run, ledger, id, retry, batched); code != 0 {
			return code
		}
	}
	return 0
}

// childBatches is a provider that answers the batches of a child, and survives
// it.
func childBatches(dir string) *client {
	c := newClient(childIdentity(), Options{})
	c.batched = newBatched()
	name := filepath.Join(dir, "provider")
	if b, err := os.ReadFile(name); err == nil {
		if err := json.Unmarshal(b, c.batched.provider); err != nil {
			panic(err)
		}
	}
	c.batched.provider.save = func() {
		b, err := json.Marshal(c.batched.provider)
		if err := errors.Join(err, os.WriteFile(name+".new", b, 0o600), os.Rename(name+".new", name)); err != nil {
			panic(err)
		}
	}
	return c
}

func childPass(run string, ledger *os.File, id Identity, retry bool, batched *client) int {
	r, err := Open(run, id, Options{ReserveFile: 1 << 20, RetryFailed: retry, grow: 1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	var g sync.WaitGroup
	errs := make(chan error, 2)
	for _, m := range id.Models {
		g.Go(func() { errs <- childPool(r, ledger, m, retry, batched) })
	}
	g.Wait()
	if err := errors.Join(<-errs, <-errs, batched.closeBatches(r), r.Close("finished")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 97
	}
	return 0
}

func childPool(r *Run, ledger *os.File, model string, retry bool, batched *client) error {
	for n := range r.Shards() {
		if r.Committed(model, n) {
			continue
		}
		if model == "m1" {
			if err := batched.batchShard(r, model, n); err != nil {
				return err
			}
			continue
		}
		u, err := r.OpenShard(model, n)
		if err != nil {
			return err
		}
		s := u.Chunk()
		for row := s.First; row < s.First+s.Rows; row++ {
			if u.Done(row, 0) {
				continue
			}
			if err := childRow(u, ledger, model, row, retry); err != nil {
				return err
			}
		}
		if err := u.Commit(); err != nil {
			return err
		}
	}
	return nil
}

func childRow(u *Shard, ledger *os.File, model string, row int64, retry bool) error {
	w := u.AttemptLog(row, 0)
	history := u.History(row, 0)
	n := len(history) + 1
	if err := w.Sending(nightshift.Intent{Attempt: n, WorstCost: 9}); err != nil {
		return err
	}
	fmt.Fprintf(ledger, "sent %s %d\n", model, row)
	switch {
	case row%6 == 3:
		if err := w.Accepted(nightshift.Intent{Attempt: n, WorstCost: 9, Job: "job"}); err != nil {
			return err
		}
	case row%6 == 1 && !retry:
		a := nightshift.Attempt{N: n, Class: nightshift.ClassServer}
		if err := w.Failed(a); err != nil {
			return err
		}
		rec := storetest.FailedRecord(model, row, append(history, a))
		if err := u.Put(rec); err != nil {
			return err
		}
		fmt.Fprintf(ledger, "kept-failed %s %d\n", model, row)
		return nil
	case row%6 == 2 && len(u.Turns(row, 0)) == 0:
		if err := u.PutTurn(row, 0,
			nightshift.Response{Text: storetest.Ptr("turn"), Attempts: []nightshift.Attempt{{N: n}}}); err != nil {
			return err
		}
	}
	if err := u.Put(storetest.Record(model, row, 0)); err != nil {
		return err
	}
	fmt.Fprintf(ledger, "kept %s %d\n", model, row)
	return nil
}

// book is what the ledger of a directory says.
type book struct {
	sent, kept map[string]int
	resent     []string // rows sent after their answer was kept
}

func readBook(t *testing.T, dir string) book {
	t.Helper()
	b := book{sent: map[string]int{}, kept: map[string]int{}}
	raw, err := os.ReadFile(filepath.Join(dir, "ledger"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for sc := bufio.NewScanner(bytes.NewReader(raw)); sc.Scan(); {
		what, row, _ := strings.Cut(sc.Text(), " ")
		switch what {
		case "sent":
			b.sent[row]++
			if b.kept[row] > 0 {
				b.resent = append(b.resent, row)
			}
		case "kept":
			b.kept[row]++
		}
	}
	return b
}

// checkBook compares a run directory with the ledger after its process ended.
func checkBook(t *testing.T, dir string, b book, finished bool) {
	t.Helper()
	if len(b.resent) > 0 {
		t.Fatalf("rows were sent again after their answer was kept: %q", b.resent)
	}
	for row, n := range b.kept {
		if n > 1 {
			t.Fatalf("the answer to %s was kept %d times", row, n)
		}
	}
	run := filepath.Join(dir, "run")
	if _, err := os.Stat(filepath.Join(run, rundir.RunFile)); errors.Is(err, os.ErrNotExist) {
		if len(b.sent) > 0 {
			t.Fatal("rows were sent before the run existed")
		}
		return
	}
	checkProvider(t, dir, run)
	got := collect(t, run, view.ReadOptions{})
	st, err := view.Status(run)
	storetest.Must(t, err)
	unknown := map[string]bool{}
	for _, u := range st.Unknown {
		unknown[fmt.Sprintf("%s %d", u.Model, u.Row)] = true
	}
	for row := range b.kept {
		m, r, _ := strings.Cut(row, " ")
		if got[m+"/"+r+"/0"] != "answer to "+r+".0" {
			t.Fatalf("kept %s is %q", row, got[m+"/"+r+"/0"])
		}
	}
	for row := range b.sent {
		m, r, _ := strings.Cut(row, " ")
		// Rows 1 and 2 of a shard may have an outcome that is no record: a
		// failed attempt, an answered turn.
		var n int
		fmt.Sscan(r, &n)
		accounted := unknown[row] || (n%6 == 1 || n%6 == 2) && st.Unsettled.Attempts > 0
		if _, there := got[m+"/"+r+"/0"]; !there && !accounted {
			t.Fatalf("%s was sent, is not on record, and not among the unknown: %+v", row, st.Unknown)
		}
	}
	if finished && len(got) != 24 {
		t.Fatalf("%d rows of 24 at the end", len(got))
	}
	rep, err := view.Verify(run, true)
	if err != nil || !rep.OK() {
		t.Fatalf("Verify: %v, %v", rep.Problems, err)
	}
}

// checkProvider compares the log of batches with what the provider has: it knows
// every batch there, and no row was answered twice.
func checkProvider(t *testing.T, dir, run string) {
	t.Helper()
	p := childBatches(dir).batched.provider
	known := map[string]bool{}
	list, err := view.Batches(run)
	storetest.Must(t, err)
	for _, b := range list {
		known[b.Name] = b.Creates > 0
	}
	for name := range p.Batches {
		if !known[name] {
			t.Fatalf("%s is at the provider, and the log does not know that it was created", name)
		}
	}
	for item, n := range p.Answers {
		if n > 1 {
			t.Fatalf("%s was answered, and paid for, %d times", item, n)
		}
	}
}

// A process that is killed at any moment loses nothing that it had read.
func TestKill(t *testing.T) {
	rounds := 2 // each is killed some twenty times
	if long() {
		rounds = 200
	}
	rng := rand.New(rand.NewPCG(13, 13))
	kills := 0
	for range rounds {
		dir := t.TempDir()
		longest := 60 // more each time, so that a slow machine gets to the end too
		for done := false; !done; longest += 5 {
			cmd := child("run", dir)
			storetest.Must(t, cmd.Start())
			timer := time.AfterFunc(time.Duration(5+rng.IntN(longest))*time.Millisecond, func() { cmd.Process.Kill() })
			err := cmd.Wait()
			timer.Stop()
			done = err == nil
			if !done && cmd.ProcessState.Exited() {
				t.Fatalf("the process ended by itself: %v", err)
			}
			if !done {
				kills++
			}
			checkBook(t, dir, readBook(t, dir), done)
			if kills > 200*rounds {
				t.Fatal("the run does not come to an end")
			}
		}
	}
	t.Logf("%d kills in %d runs", kills, rounds)
}

// childLock opens the run, says so, and holds it until its standard input
// ends. Its exit code is 75 when it is refused.
func childLock(dir string) int {
	r, err := Open(filepath.Join(dir, "run"), childIdentity(), Options{ReserveFile: -1})
	var locked *LockedError
	switch {
	case errors.As(err, &locked):
		return 75
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	fmt.Println("open")
	var b [1]byte
	os.Stdin.Read(b[:])
	r.Close("stopped")
	return 0
}

// Of many processes that start on one directory at once, one runs.
func TestManyProcessesStartAtOnce(t *testing.T) {
	n := 12
	if long() {
		n = 50
	}
	dir := t.TempDir()
	codes := make(chan int, n)
	release, hold, err := os.Pipe()
	storetest.Must(t, err)
	for range n {
		cmd := child("lock", dir)
		cmd.Stdin = release
		storetest.Must(t, cmd.Start())
		go func() {
			cmd.Wait()
			codes <- cmd.ProcessState.ExitCode()
		}()
	}
	release.Close()
	for range n - 1 { // the one that runs holds on
		if code := <-codes; code != 75 {
			t.Fatalf("a process ended with %d, want 75", code)
		}
	}
	storetest.Must(t, hold.Close())
	if code := <-codes; code != 0 {
		t.Fatalf("the process that ran ended with %d", code)
	}
}
