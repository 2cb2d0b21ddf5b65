package store

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
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
		if u.HasBatch(int64(row), 0, "batch_2") != want || !u.HasBatch(int64(row), 0, "batch_1") {
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
