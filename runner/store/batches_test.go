package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
)

// planBatch plans a batch of some rows, epoch 0, of the first shard of a model.
func planBatch(t *testing.T, r *Run, u *Shard, round int, rows ...int64) Batch {
	t.Helper()
	in, err := r.NewBatch(u.model, u.key.Shard, round)
	storetest.Must(t, err)
	for _, row := range rows {
		item, ok := u.Item(row, 0)
		if !ok {
			t.Fatalf("row %d is not in the shard", row)
		}
		storetest.Must(t, in.Add(item, fmt.Appendf(nil, "{\"row\":%d}\n", row)))
	}
	b, err := in.Finish(Batch{WorstTokens: 10 * int64(len(rows)), WorstCost: 100, Retention: 48 * time.Hour,
		Account: nightshift.BatchAccount{BaseURL: "http://x", Key: "k1"}})
	storetest.Must(t, err)
	return b
}

// fetch puts one result file on the disk.
func fetch(t *testing.T, r *Run, n int, text string) LocalFile {
	t.Helper()
	w, err := r.NewBatchResult(n, 0)
	storetest.Must(t, err)
	_, err = io.WriteString(w, text)
	storetest.Must(t, err)
	f, err := w.Finish()
	storetest.Must(t, err)
	storetest.Must(t, r.BatchFetched(n, []LocalFile{f}))
	return f
}

// A batch goes its whole way; at every step the run is opened again and knows
// the same.
func TestBatchesWay(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 4, 1)
	var r *Run
	reopen := func() {
		if r != nil {
			storetest.Must(t, r.Close("stopped: test"))
		}
		r = mustOpen(t, dir, id, Options{})
	}
	stage := func(want BatchStage) Batch {
		t.Helper()
		reopen()
		b, _ := r.Batch(1)
		if b.Stage != want {
			t.Fatalf("the stage is %q, want %q", b.Stage, want)
		}
		return b
	}
	reopen()
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.Put(storetest.Record("m0", 2, 0)))
	planned := planBatch(t, r, u, 1, 0, 1, 3)
	want := Items{{First: 0, Count: 2}, {First: 3, Count: 1}}
	if planned.N != 1 || planned.Rows != 3 || !slices.Equal(planned.Items, want) ||
		planned.Name != "ns1-"+r.RunMark()+"-0-b1.jsonl" {
		t.Fatalf("planned %+v", planned)
	}
	if b := stage(BatchPlanned); b.SHA256 != planned.SHA256 || b.WorstCost != 100 || b.Account.Key != "k1" {
		t.Fatalf("read back %+v", b)
	}
	in, size, err := r.OpenBatchInput(1)
	storetest.Must(t, err)
	text, err := io.ReadAll(in)
	storetest.Must(t, err)
	in.Close()
	if string(text) != "{\"row\":0}\n{\"row\":1}\n{\"row\":3}\n" || size != int64(len(text)) {
		t.Fatalf("the input file is %q", text)
	}
	storetest.Must(t, r.BatchUploaded(1, nightshift.BatchFile{ID: "f1"}))
	if b := stage(BatchUploaded); b.File.ID != "f1" {
		t.Fatalf("%+v", b)
	}
	server := time.Unix(1790000000, 0).UTC()
	storetest.Must(t, r.BatchCreating(1, server))
	if b := stage(BatchCreating); !b.Creating.Equal(server) || b.Host != r.HostMark() || b.Creates != 1 {
		t.Fatalf("%+v", b)
	}
	storetest.Must(t, r.BatchSuspects(1, []string{"x", "y"}))
	if b := stage(BatchCreating); len(b.Suspects) != 2 {
		t.Fatalf("%+v", b)
	}
	remote := nightshift.Batch{ID: "batch_1", Phase: nightshift.BatchRunning, ExpiresAt: server.Add(24 * time.Hour)}
	storetest.Must(t, r.BatchCreated(1, remote, true))
	if b := stage(BatchCreated); b.Lead().ID != "batch_1" || !b.Lead().Adopted || len(b.Suspects) != 0 ||
		!b.ExpiresAt().Equal(remote.ExpiresAt) {
		t.Fatalf("%+v", b)
	}
	size0 := fileSize(t, dir, rundir.BatchLogFile)
	storetest.Must(t, r.BatchState(1, remote))
	if fileSize(t, dir, rundir.BatchLogFile) != size0 {
		t.Fatal("a state that has not changed was written")
	}
	remote.Counts.Completed = nightshift.Tokens(2)
	storetest.Must(t, r.BatchState(1, remote))
	if _, _, err := r.OpenBatchInput(1); err == nil {
		t.Fatal("the input file is kept while the batch runs")
	}
	storetest.Must(t, r.BatchCancel(1, "batch_1", "user"))
	if b := stage(BatchCreated); b.Lead().Counts.Completed.N() != 2 || b.Lead().CancelledBy != "user" {
		t.Fatalf("%+v", b)
	}
	remote.Phase, remote.EndedAt, remote.Results = nightshift.BatchCancelled, server.Add(time.Hour), []string{"out", "err"}
	remote.Failure = &nightshift.BatchError{Cause: nightshift.BatchQueueFull, Limit: 7,
		Err: &nightshift.Error{Class: nightshift.ClassRateLimit, Message: "full"}}
	storetest.Must(t, r.BatchEnded(1, remote))
	b := stage(BatchEnded)
	lead := b.Lead()
	if lead.Failure.Limit != 7 || lead.Failure.Error() != remote.Failure.Error() || len(lead.Results) != 2 ||
		!b.ResultsVanish().Equal(remote.EndedAt.Add(48*time.Hour)) {
		t.Fatalf("%+v", b)
	}
	file := fetch(t, r, 1, "one\ntwo\nthree")
	if file.Lines != 3 || file.Bytes != 13 {
		t.Fatalf("%+v", file)
	}
	if b := stage(BatchFetched); !slices.Equal(b.Results, []LocalFile{file}) {
		t.Fatalf("%+v", b)
	}
	collectAndClose(t, r)
	reopen()
	if list := r.Batches(); len(list) != 0 {
		t.Fatalf("open at the end: %+v", list)
	}
	if got := r.Unsettled().Sum(); got.Cost != 50 || got.BilledOutputTokens.N() != 5 {
		t.Fatalf("the extras are not counted: %+v", got)
	}
	if names, _ := os.ReadDir(filepath.Join(dir, rundir.BatchesDir)); len(names) != 0 {
		t.Fatalf("files are left: %v", names)
	}
	storetest.Must(t, r.Close("finished"))
}

// collectAndClose brings batch 1 of TestBatchesWay to its end.
func collectAndClose(t *testing.T, r *Run) {
	t.Helper()
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	w := u.AttemptLog(3, 0)
	if err := w.Sending(nightshift.Intent{Attempt: 1}); err == nil || !strings.Contains(err.Error(), "batch 1") {
		t.Fatalf("a row of a batch was sent live: %v", err)
	}
	if n, in := u.InBatch(3, 0); n != 1 || !in {
		t.Fatal("row 3 is not in the batch")
	}
	if _, in := u.InBatch(2, 0); in {
		t.Fatal("row 2 is in the batch")
	}
	storetest.Must(t, u.Put(storetest.Record("m0", 0, 0)))
	storetest.Must(t, u.Put(storetest.Record("m0", 1, 0)))
	storetest.Must(t, w.Failed(nightshift.Attempt{N: 1, Class: nightshift.ClassServer, Batch: "batch_1"}))
	for row, want := range []bool{true, true, true, false} {
		if known(u, int64(row), 0, "batch_2") != want || !known(u, int64(row), 0, "batch_1") {
			t.Fatalf("row %d: what was collected is not recognised", row)
		}
	}
	if err := r.CloseBatch(1, ""); err == nil {
		t.Fatal("a batch that is not collected was closed")
	}
	storetest.Must(t, r.BatchCollected(1, BatchSums{Answers: 2, Again: 1, Extras: 1, ExtraCost: 50, ExtraOutput: 5}))
	if err := r.CloseBatch(1, ""); err == nil {
		t.Fatal("a batch was closed before its shard was committed")
	}
	if _, in := u.InBatch(3, 0); in {
		t.Fatal("row 3 is in the batch after it was collected")
	}
	storetest.Must(t, w.Sending(nightshift.Intent{Attempt: 2}))
	storetest.Must(t, u.Put(storetest.Record("m0", 3, 0)))
	storetest.Must(t, u.Commit())
	storetest.Must(t, r.CloseBatch(1, "kept"))
}

func fileSize(t *testing.T, dir, name string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, name))
	storetest.Must(t, err)
	return info.Size()
}

// A run whose batches may be paid for is not given to another plan.
func TestOtherPlanWhileBatchesAreAway(t *testing.T) {
	for _, created := range []bool{false, true} {
		dir := t.TempDir()
		id := identity(1, 1, 4, 1)
		r := mustOpen(t, dir, id, Options{})
		u, err := r.OpenShard("m0", 0)
		storetest.Must(t, err)
		b := planBatch(t, r, u, 1, 0, 1)
		if created {
			storetest.Must(t, r.BatchCreating(b.N, time.Now()))
		}
		storetest.Must(t, r.Close("stopped: test"))
		id.DatasetHash = "another"
		r, err = Open(dir, id, Options{ReserveFile: -1})
		var mismatch *MismatchError
		if created {
			if !errors.As(err, &mismatch) {
				t.Fatalf("with a batch away: %v", err)
			}
			continue
		}
		storetest.Must(t, err)
		if len(r.Batches()) != 0 {
			t.Fatalf("the new run has batches: %+v", r.Batches())
		}
		storetest.Must(t, r.Close("stopped: test"))
		names, err := os.ReadDir(filepath.Join(dir, rundir.QuarantineDir))
		if err != nil || len(names) != 2 {
			t.Fatalf("set aside: %v, %v", names, err)
		}
	}
}

// A log of batches without run.json is not written over, and a log of which
// rows are lost, or of another run, is refused.
func TestBatchLogIsRefused(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 4, 1)
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	away(t, r, planBatch(t, r, u, 1, 0, 1).N, "x")
	storetest.Must(t, r.Close("stopped: test"))
	log, runFile := filepath.Join(dir, rundir.BatchLogFile), filepath.Join(dir, rundir.RunFile)
	whole, err := os.ReadFile(log)
	storetest.Must(t, err)
	doc, err := os.ReadFile(runFile)
	storetest.Must(t, err)
	refused := func(want string) {
		t.Helper()
		var se *StorageError
		if _, err := Open(dir, id, Options{ReserveFile: -1}); !errors.As(err, &se) || !strings.Contains(err.Error(), want) {
			t.Fatalf("Open = %v, want a StorageError with %q", err, want)
		}
	}
	lines := bytes.SplitAfter(bytes.Clone(whole), []byte{'\n'})
	lines[1][30] ^= 4
	lines[3][30] ^= 4
	storetest.Must(t, os.WriteFile(log, bytes.Join(lines, nil), 0o600))
	refused("which rows batch 1 has")
	storetest.Must(t, os.WriteFile(log, whole, 0o600))
	storetest.Must(t, os.WriteFile(runFile, bytes.Replace(doc, []byte(r.RunID()), []byte("0123456789abcdef"), 1), 0o600))
	refused("belongs to run")
	storetest.Must(t, os.Remove(runFile))
	refused("it holds " + rundir.BatchLogFile)
}

// away brings a batch to the provider.
func away(t *testing.T, r *Run, n int, id string) {
	t.Helper()
	storetest.Must(t, r.BatchUploaded(n, nightshift.BatchFile{ID: "file-" + id}))
	storetest.Must(t, r.BatchCreating(n, time.Unix(1790000000, 0)))
	storetest.Must(t, r.BatchCreated(n, nightshift.Batch{ID: id, Phase: nightshift.BatchRunning}, false))
}

// A directory that was copied says that there are two.
func TestCopyWithBatchesAway(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 4, 1)
	r := mustOpen(t, filepath.Join(dir, "a"), id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	away(t, r, planBatch(t, r, u, 1, 0, 1).N, "x")
	storetest.Must(t, r.Close("stopped: test"))
	storetest.Must(t, os.CopyFS(filepath.Join(dir, "b"), os.DirFS(filepath.Join(dir, "a"))))
	for copied, want := range map[string]bool{"a": false, "b": true} {
		said := false
		r := mustOpen(t, filepath.Join(dir, copied), id, Options{Notice: func(text string) {
			said = said || strings.Contains(text, "another machine")
		}})
		if b, _ := r.Batch(1); b.Stage != BatchCreated {
			t.Fatalf("%+v", b)
		}
		storetest.Must(t, r.Close("stopped: test"))
		if said != want {
			t.Errorf("%s: said %v", copied, said)
		}
	}
}

// A shard that is released and opened again has the same sums, and its rows the
// same history; what is done stays done, also where failed rows run again.
func TestRelease(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 6, 1)
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.AttemptLog(1, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 7}))
	storetest.Must(t, u.Put(storetest.FailedRecord("m0", 2, nil)))
	storetest.Must(t, r.Close("stopped: test"))

	r = mustOpen(t, dir, id, Options{RetryFailed: true})
	for round := range 3 {
		u, err = r.OpenShard("m0", 0)
		storetest.Must(t, err)
		if done := u.Done(2, 0); done != (round > 0) {
			t.Fatalf("round %d: the failed row is done: %v", round, done)
		}
		switch round {
		case 0:
			storetest.Must(t, u.Put(storetest.Record("m0", 0, 0)))
			storetest.Must(t, u.Put(storetest.FailedRecord("m0", 2, nil))) // fails once more
			storetest.Must(t, u.AttemptLog(3, 0).Failed(nightshift.Attempt{N: 1, Batch: "x"}))
		case 1:
			if len(u.History(1, 0)) != 1 || len(u.History(3, 0)) != 1 || !known(u, 3, 0, "x") {
				t.Fatalf("history: %v, %v", u.History(1, 0), u.History(3, 0))
			}
			storetest.Must(t, u.Put(storetest.Record("m0", 1, 0)))
		}
		storetest.Must(t, u.Sync())
		before := []any{r.Totals(), u.Remaining()}
		storetest.Must(t, u.Release())
		if got := r.Totals(); !reflect.DeepEqual(got, before[0]) {
			t.Fatalf("round %d: totals %+v after release, were %+v", round, got, before[0])
		}
		u, err = r.OpenShard("m0", 0)
		storetest.Must(t, err)
		if got := []any{r.Totals(), u.Remaining()}; !reflect.DeepEqual(got, before) {
			t.Fatalf("round %d: %+v after it was opened again, were %+v", round, got, before)
		}
		if want := map[bool]int{true: 1, false: 0}[round == 0]; len(r.Unknown()) != want {
			t.Fatalf("round %d: unknown %+v", round, r.Unknown())
		}
		storetest.Must(t, u.Release())
	}
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	for row := range int64(6) {
		if !u.Done(row, 0) {
			storetest.Must(t, u.Put(storetest.Record("m0", row, 0)))
		}
	}
	storetest.Must(t, u.Commit())
	sum := r.Totals().Sum()
	left := r.Unsettled().Sum()
	storetest.Must(t, r.Close("finished"))
	r = mustOpen(t, dir, id, Options{})
	defer r.Close("")
	if got := r.Totals().Sum(); !reflect.DeepEqual(got, sum) || sum.Rows != 6 || left.Attempts != 0 {
		t.Fatalf("totals %+v, before the last start %+v, unsettled %+v", got, sum, left)
	}
}

// A batch of the second generation of a shard is away: a start without
// --retry-failed brings it home all the same.
func TestBatchOfAnotherGeneration(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 3, 1)
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	for row := range int64(2) {
		storetest.Must(t, u.Put(storetest.Record("m0", row, 0)))
	}
	storetest.Must(t, u.Put(storetest.FailedRecord("m0", 2, nil)))
	storetest.Must(t, u.Commit())
	storetest.Must(t, r.Close("finished"))

	r = mustOpen(t, dir, id, Options{RetryFailed: true})
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	b := planBatch(t, r, u, 1, 2)
	away(t, r, b.N, "x")
	storetest.Must(t, u.Release())
	storetest.Must(t, r.Close("stopped: test"))

	r = mustOpen(t, dir, id, Options{})
	if r.Committed("m0", 0) {
		t.Fatal("the shard counts as committed while its batch is away")
	}
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	if err := u.Commit(); err == nil {
		t.Fatal("it was committed without its batch")
	}
	storetest.Must(t, u.Put(storetest.Record("m0", 2, 0)))
	if err := u.Commit(); err == nil || !strings.Contains(err.Error(), "batch 1") {
		t.Fatalf("committed before the batch is collected: %v", err)
	}
	storetest.Must(t, r.BatchCollected(b.N, BatchSums{Answers: 1}))
	storetest.Must(t, u.Commit())
	storetest.Must(t, r.CloseBatch(b.N, ""))
	if got := r.Totals().Sum(); got.Rows != 3 || got.Failed() != 0 {
		t.Fatalf("%+v", got)
	}
	storetest.Must(t, r.Close("finished"))
}

// A damaged log may have forgotten that a batch was collected: its shard is
// committed, so there is nothing to be had of it.
func TestCollectedLineIsDamaged(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 1, 1)
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	b := planBatch(t, r, u, 1, 0)
	away(t, r, b.N, "x")
	storetest.Must(t, u.Put(storetest.Record("m0", 0, 0)))
	storetest.Must(t, r.BatchCollected(b.N, BatchSums{Answers: 1}))
	storetest.Must(t, u.Commit())
	storetest.Must(t, r.Close("stopped: test"))
	name := filepath.Join(dir, rundir.BatchLogFile)
	whole, err := os.ReadFile(name)
	storetest.Must(t, err)
	whole[len(whole)-5] ^= 4
	storetest.Must(t, os.WriteFile(name, append(whole, "xx"...), 0o600))

	var said []string
	r = mustOpen(t, dir, id, Options{Notice: func(text string) { said = append(said, text) }})
	if got, _ := r.Batch(b.N); got.Stage != BatchCollected || !slices.ContainsFunc(said, func(s string) bool {
		return strings.Contains(s, "finished without it")
	}) {
		t.Fatalf("%+v, said %q", got, said)
	}
	storetest.Must(t, r.CloseBatch(b.N, ""))
	storetest.Must(t, r.Close("finished"))
	r = mustOpen(t, dir, id, Options{})
	if len(r.Batches()) != 0 {
		t.Fatalf("%+v", r.Batches())
	}
	storetest.Must(t, r.Close("finished"))
}

// known reports whether what a batch of the provider says of an item is in the
// journal: its record, or an attempt of that batch.
func known(u *Shard, row int64, epoch int, id string) bool {
	return u.Done(row, epoch) || slices.ContainsFunc(u.History(row, epoch), func(a nightshift.Attempt) bool {
		return a.Batch == id
	})
}
