package runner

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"nightshift"
	"nightshift/runner/store"
)

const (
	mostUploads  = 5 // of one input file that the server does not find
	mostRefusals = 10
)

// upload sends the input file of a batch. It may be repeated freely: a file
// costs nothing.
func (b *batches) upload(a *batch) error {
	if !b.cuts() {
		return b.drop(a, "nothing was sent")
	}
	input, size, err := b.Store.OpenBatchInput(a.N)
	if err != nil {
		b.Log.Warn("the input file of "+a.Name+" cannot be read; its rows go into another batch", "error", err.Error())
		return b.drop(a, "its input file was lost")
	}
	defer input.Close()
	var file nightshift.BatchFile
	if !b.limits.Inline {
		file, err = b.API.Upload(b.feed, a.Name, io.Reader(input), size)
		crashPoint("batch.uploaded")
	}
	if err != nil {
		return b.later(a, "the upload", err)
	}
	a.uploads++
	return b.changed(a, b.Store.BatchUploaded(a.N, file))
}

// drop closes a batch that was never created; its rows are free again.
func (b *batches) drop(a *batch, why string) error {
	if err := b.Store.CloseBatch(a.N, why); err != nil {
		return err
	}
	a.reserved.Settle(0, 0)
	a.Stage = store.BatchClosed
	b.forget(a)
	b.lookAgain(a.Shard)
	return nil
}

// lookAgain puts a shard back among those that rows are taken from.
func (b *batches) lookAgain(i int) {
	b.nextCut = time.Time{}
	if i < b.cursor && !slices.Contains(b.again, i) {
		b.again = append(b.again, i)
	}
}

// create makes the batch: the one call that spends money. It is announced
// first, durably, and sent once.
func (b *batches) create(a *batch) error {
	if !b.cuts() {
		return b.drop(a, "nothing was sent")
	}
	if !b.limits.Inline && (a.File.ID == "" || b.otherAccount(a)) {
		return b.uploadAnew(a)
	}
	crashPoint("batch.creating")
	if err := b.changed(a, b.Store.BatchCreating(a.N, b.API.ServerTime())); err != nil {
		return err
	}
	crashPoint("batch.create-sent")
	made, err := b.API.Create(b.calls, b.order(a))
	crashPoint("batch.create-answered")
	var e *nightshift.BatchError
	switch {
	case err == nil:
		return b.created(a, made, false)
	case !errors.As(err, &e) || e.Lost:
		b.Log.Warn("the answer to creating "+a.Name+" was lost; it is looked for before anything is sent again",
			"model", b.pool.Model, "error", err.Error())
		a.due = time.Now().Add(lookUps[0] / speedup)
		return nil
	}
	return b.refusedAtCreate(a, e)
}

// otherAccount reports whether an earlier process did its work on a batch under
// another key or base URL.
func (b *batches) otherAccount(a *batch) bool {
	now := b.API.Account()
	return a.uploads == 0 && (a.Account.Key != now.Key || a.Account.BaseURL != now.BaseURL)
}

// order is what a batch is created from and found by.
func (b *batches) order(a *batch) nightshift.BatchOrder {
	return nightshift.BatchOrder{
		Name: a.Name, File: a.File, Path: b.Store.BatchInputPath(a.N), Rows: int(a.Rows), Bytes: a.Bytes,
		Window: cmp.Or(b.Window, b.limits.Window),
		Metadata: map[string]string{
			"ns_run": b.Store.RunMark(), "ns_shard": fmt.Sprint(a.Shard), "ns_batch": fmt.Sprint(a.N),
			"ns_sha256": a.SHA256, "ns_host": b.Store.HostMark(),
		},
	}
}

// created notes the id, and only then goes on.
func (b *batches) created(a *batch, made nightshift.Batch, adopted bool) error {
	if err := b.changed(a, b.Store.BatchCreated(a.N, made, adopted)); err != nil {
		return err
	}
	crashPoint("batch.created")
	b.polling.begin()
	b.Log.Info(fmt.Sprintf("%s is at the provider", a.Name), "model", b.pool.Model, "rows", a.Rows, "id", made.ID)
	return nil
}

// refusedAtCreate deals with a create call that surely made no batch.
func (b *batches) refusedAtCreate(a *batch, e *nightshift.BatchError) error {
	if err := b.changed(a, b.Store.BatchUploaded(a.N, a.File)); err != nil {
		return err
	}
	a.tries, a.refused = a.refused, a.refused+1
	switch {
	case e.Cause == nightshift.BatchFileMissing && !b.limits.Inline:
		if a.refused <= mostUploads {
			return b.later(a, "creating", e) // a fresh file may be seen late
		}
		return b.uploadAnew(a)
	case e.Cause == "" && e.Next == nightshift.BatchAgain:
		return b.later(a, "creating", e)
	}
	return b.endedUnrun(a, e)
}

// uploadAnew puts a batch back before its upload.
func (b *batches) uploadAnew(a *batch) error {
	if a.uploads >= mostUploads {
		return b.stopped(&nightshift.Error{Class: nightshift.ClassNotFound,
			Message: fmt.Sprintf("the endpoint does not find the input file %s of %s, which was uploaded %d times",
				a.File.ID, a.Name, a.uploads), Hint: "try again later, or ask the provider"})
	}
	a.Stage, a.tries, a.refused, a.due = store.BatchPlanned, 0, 0, time.Time{}
	return nil
}

// endedUnrun deals with a batch that was refused as a whole: nothing of it has
// run, and its rows are free again but for one that was named.
func (b *batches) endedUnrun(a *batch, e *nightshift.BatchError) error {
	if e.Cause == nightshift.BatchBadRow && e.Line > 0 {
		if err := b.recordBadRow(a, e); err != nil {
			return err
		}
	}
	if a.Stage == store.BatchUploaded {
		if err := b.drop(a, "refused by the provider"); err != nil {
			return err
		}
	} else if err := b.collected(a, store.BatchSums{Again: a.Rows, Note: e.Error()}, amount{}); err != nil {
		return err
	}
	return b.refused.add(b, e)
}

// refusals counts batches that were refused as a whole, one after the other.
type refusals struct{ rows, files int }

// add takes in a refusal and says whether the pool must stop for it.
func (r *refusals) add(b *batches, e *nightshift.BatchError) error {
	switch e.Cause {
	case nightshift.BatchQueueFull:
		b.queue.refuse(b, e)
		return nil
	case nightshift.BatchBadRow:
		if r.rows++; r.rows < mostRefusals && e.Line > 0 {
			return nil
		}
	case nightshift.BatchFileMissing:
		if r.files++; r.files < mostUploads {
			b.nextCut = time.Now().Add(idleAtMost / speedup)
			return nil
		}
	}
	return b.stopped(e.Err)
}

// queueRest is how long nothing is submitted after the provider said that its
// queue is full, unless a batch of ours ends before.
const queueRest = 10 * time.Minute

// A queue is what is known of how many tokens may wait at the provider.
type queue struct {
	limit  int64 // 0 is no limit that is known
	resume time.Time
}

func (q *queue) closed() bool { return time.Now().Before(q.resume) }

// refuse learns from a refusal.
func (q *queue) refuse(b *batches, e *nightshift.BatchError) {
	q.limit = least(q.limit, e.Limit)
	q.resume = time.Now().Add(max(queueRest/speedup, e.RetryAfter))
	b.Log.Info("the provider's queue of batches is full; more goes there when some of it has ended",
		"model", b.pool.Model, "limit", q.limit)
}

// severity makes what goes on failing louder.
func severity(tries int) slog.Level {
	if tries < 3 {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}
