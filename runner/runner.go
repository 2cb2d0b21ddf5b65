// Package runner is the loop: it reads a dataset once for each model, hands
// every row that is not on record yet to a provider, and gives the record of
// the answer to the store.
//
// Each model has its own worker pool, so that a slow or limited model does not
// hold up the others. Within a pool, shards (the chunks of rows that are
// committed together) are opened in order; the worker that finishes the last
// row of a shard commits it.
package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"nightshift"
	"nightshift/datasets"
	"nightshift/runner/prefix"
	"nightshift/runner/store"
)

// defaultPool bounds a pool that was given no concurrency: its limiter then
// decides how many are in flight, and this how many may wait for it.
const defaultPool = 4096

// heldBytes bounds the prompts that a pool holds in memory at once, so that
// ten rows of 15 MiB need no more than a hundred thousand short ones.
const heldBytes = 64 << 20

// A Pool is the worker pool of one model of the run.
type Pool struct {
	Model       string // name in the plan
	ModelID     string // as the endpoint knows it
	Endpoint    string
	Protocol    nightshift.Protocol
	Provider    nightshift.Provider
	Params      []nightshift.Param
	Stream      bool
	Concurrency int // 0: as many as the provider lets through
	// InFlight is how many of them the provider lets through at once, where that
	// is fewer; 0 is not known. Beyond it a row is taken up only while none waits
	// to be let through, which Waits reports: the others then wait for something
	// of their own, and keep nobody from being sent.
	InFlight    int
	Waits       func() bool // nil is not known
	Likelihoods Likelihoods
	// Batch, when not nil, is how rows travel in batches.
	Batch *Batching
	// Workers says that workers on other machines send the requests: they can be
	// asked for answers that an earlier process has not read.
	Workers bool
	Reuse   *Reuse // answers of earlier runs, taken over in place of sending; may be nil
	// Variant and VariantOf are those of the pool's records; empty without variants.
	Variant, VariantOf string
	// Dataset has the run's rows with the pool's own templates; nil is the run's.
	Dataset *datasets.Dataset
	// Caching, when not nil, sends rows that share a prefix together.
	Caching *Caching
}

// Raw says which raw response bodies are kept.
type Raw string

const (
	RawAll    Raw = "all"
	RawErrors Raw = "errors" // of rows without an answer, or with an oddity flagged
	RawNone   Raw = "none"
)

// A Run is what is to be done. Its fields are not changed after Do is called.
type Run struct {
	Name        string
	Store       *store.Run
	Dataset     *datasets.Dataset
	Pools       []Pool
	Epochs      int // 0 means 1
	Raw         Raw
	SkipUnknown bool // record rows that may have been billed as unknown instead of sending them again
	// Rows are the numbers of the rows to run, in order; nil is all. The store's
	// chunks count the others as skipped.
	Rows []int64
	// Order, when not nil, is the order in which rows are sent one by one.
	Order Order
	// Detach ends pools with [ErrSubmitted] as soon as all batches that can be
	// made are at the provider.
	Detach bool
	// Recall calls back the batches that are away; nothing else is sent then.
	Recall Recall
	Log    *slog.Logger
}

// A Stop is why a pool ended before its rows did.
type Stop struct {
	Model string
	Err   error // *nightshift.StopError, or the cause that ended the whole run
}

// Do runs until every row of every pool is settled or something stops it. When
// waiting ends, nothing more is sent and what is in flight is finished; when
// calls ends, that is given up too. The stops say which pools did not finish
// and why; err is a failure of storage or dataset, which ends the run.
func (r *Run) Do(calls, waiting context.Context) (stops []Stop, err error) {
	feed, stop := context.WithCancelCause(waiting)
	defer stop(nil)
	go func() {
		select {
		case <-r.Store.Failed():
			stop(r.Store.Err())
		case <-feed.Done():
		}
	}()

	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, l := range r.Pools {
		w := newWalk(r, l, calls, feed, stop)
		wg.Go(func() {
			if cause := w.run(); cause != nil {
				mu.Lock()
				defer mu.Unlock()
				stops = append(stops, Stop{l.Model, cause})
			}
		})
	}
	wg.Wait()
	return stops, fatal(context.Cause(feed), r.Store.Sync())
}

// fatal picks the error that ends a run with more than "stopped early".
func fatal(cause, storage error) error {
	if storage != nil {
		return storage
	}
	var changed *datasets.ChangedError
	var failed *store.StorageError
	if errors.As(cause, &changed) || errors.As(cause, &failed) {
		return cause
	}
	return nil
}

// A walk is one pool at work.
type walk struct {
	*Run
	pool    Pool
	calls   context.Context         // what is in flight
	feed    context.Context         // what is not sent yet, this pool
	stop    context.CancelCauseFunc // ends this pool's feed
	stopRun context.CancelCauseFunc // ends every pool's
	group   errgroup.Group
	tasks   chan func()
	workers atomic.Int64
	crowded time.Time // when they became a crowd
	held    *semaphore.Weighted
	taken   map[int]bool // shards for which earlier runs were looked through
	// takenOver counts the answers that earlier runs had.
	takenOver int64
	table     *prefix.Table // of a pool with Caching; nil else
}

func newWalk(r *Run, l Pool, calls, feed context.Context, stopRun context.CancelCauseFunc) *walk {
	if l.Dataset != nil {
		own := *r
		own.Dataset, r = l.Dataset, &own
	}
	w := &walk{Run: r, pool: l, calls: calls, stopRun: stopRun, tasks: make(chan func()),
		held: semaphore.NewWeighted(heldBytes), taken: map[int]bool{}}
	w.feed, w.stop = context.WithCancelCause(feed)
	w.group.SetLimit(defaultPool)
	if l.Concurrency > 0 {
		w.group.SetLimit(l.Concurrency)
	}
	if c := l.Caching; c != nil && !l.Likelihoods.asks() {
		w.table = prefix.NewTable(c.Lifetime, c.TokensPerByte, c.AtEnd)
	}
	return w
}

// run settles the pool's rows and returns why it ended early, or nil.
func (w *walk) run() error {
	defer w.stop(nil)
	defer w.sayTaken()
	if w.away() {
		b := newBatches(w)
		defer b.tidy()
		if err := b.run(); err != nil {
			w.ended(err)
		}
	}
	if w.pool.Batch == nil || !w.pool.Batch.Submit {
		w.live()
	}
	// Not errgroup.WithContext: calls in hand are being paid for, so whatever
	// stops the feed stops nothing else. Workers never return errors.
	close(w.tasks)
	w.group.Wait()
	if w.Order != nil {
		w.Order.Ended(w.pool.Model)
	}
	if cause := context.Cause(w.feed); cause != errNotNeeded {
		return cause
	}
	return nil
}

// live walks the shards in order and sends their rows one by one.
func (w *walk) live() {
	if w.Order != nil {
		w.inOrder()
		return
	}
	for i, s := range w.Dataset.Chunks() {
		if w.feed.Err() != nil || w.Recall != RecallNone {
			return
		}
		if w.settled(i, s) {
			continue
		}
		if err := w.shard(i); err != nil {
			w.stopRun(err)
			return
		}
	}
}

// settled reports whether nothing is to be done for a shard.
func (w *walk) settled(i int, s datasets.Chunk) bool {
	return s.Selected == 0 || !w.wants(s.First, s.First+s.Rows) || w.Store.Committed(w.pool.Model, i)
}

// wants reports whether any row from first up to last, which is left out, is
// to be run.
func (r *Run) wants(first, last int64) bool {
	if r.Rows == nil {
		return true
	}
	i, _ := slices.BinarySearch(r.Rows, first)
	return i < len(r.Rows) && r.Rows[i] < last
}

// wantsRow is wants for what reading the dataset yields; errors that are not
// about one row are always wanted.
func (r *Run) wantsRow(s nightshift.Sample, err error) bool {
	var bad *datasets.RowError
	switch {
	case errors.As(err, &bad):
		return r.wants(bad.Index, bad.Index+1)
	case err != nil:
		return true
	}
	return r.wants(s.Index, s.Index+1)
}

// shard hands the open rows of one shard to the pool.
func (w *walk) shard(i int) error {
	su, err := w.Store.OpenShard(w.pool.Model, i)
	if err != nil {
		return err
	}
	u := &shard{Shard: su}
	u.pending.Store(1) // the feed's own share, so that no worker commits early
	defer func() { w.settle(u) }()
	if err := w.takeOver(u, i); err != nil {
		u.incomplete.Store(true)
		return err
	}

	if w.table != nil {
		return w.directed(u, i)
	}
	_, err = w.each(u, i, func(s nightshift.Sample) bool { return w.send(u, row{Sample: s}) })
	return err
}

// each calls do for the rows of a shard that have no record, in the dataset's
// order, until do returns false or the feed ends, which leaves the shard
// incomplete; whole reports that neither happened. Rows that cannot be sent get
// their record here.
func (w *walk) each(u *shard, i int, do func(nightshift.Sample) bool) (whole bool, err error) {
	return w.all(u, i, func(s nightshift.Sample) bool { return u.Done(s.Index, s.Epoch) || do(s) })
}

// all is each for the rows that have a record as well.
func (w *walk) all(u *shard, i int, do func(nightshift.Sample) bool) (whole bool, err error) {
	for s, err := range w.Dataset.ReadEpochs(w.feed, i, max(w.Epochs, 1)) {
		if w.feed.Err() != nil {
			u.incomplete.Store(true)
			return false, nil
		}
		if !w.wantsRow(s, err) {
			continue
		}
		if err == nil && !do(s) {
			u.incomplete.Store(true)
			return false, nil
		}
		if err != nil && !w.inputError(u, s, err) {
			u.incomplete.Store(true)
			return false, fmt.Errorf("reading the dataset: %w", err)
		}
	}
	return true, nil
}

// send gives a sample that has no record yet to the pool; it blocks while the
// pool is full, so reading never runs ahead. It reports whether that was
// possible before the feed ended.
func (w *walk) send(u *shard, r row) bool {
	size := min(weight(r.Sample), heldBytes)
	if w.held.Acquire(w.feed, size) != nil {
		r.turn.Release()
		return false
	}
	u.pending.Add(1)
	w.do(func() {
		defer w.held.Release(size)
		defer w.settle(u)
		w.row(u, r)
	})
	return true
}

// do gives a task to a worker that has none; to a new one when all have, as
// long as the pool takes more; and else waits for the first to be free.
// Workers stay: the stack that a row needs is grown once each, not once a row.
// Those beyond the number that can be in flight end after a while, since what
// they were for has passed; where it has not, others are started.
func (w *walk) do(task func()) {
	select {
	case w.tasks <- task:
		return
	default:
	}
	spare := w.pool.InFlight > 0 && w.workers.Load() >= int64(w.pool.InFlight)
	for wait := w.startsIn(spare); wait > 0; wait = w.startsIn(spare) {
		select {
		case w.tasks <- task:
			return
		case <-time.After(wait):
		}
		if spare && (w.pool.Waits == nil || !w.pool.Waits()) {
			break
		}
	}
	until := time.Now().Add(spareFor)
	work := func() error {
		defer w.workers.Add(-1)
		task()
		for !spare || time.Now().Before(until) {
			next, ok := <-w.tasks
			if !ok {
				break
			}
			next()
		}
		return nil
	}
	if !w.group.TryGo(work) {
		w.tasks <- task
		return
	}
	if w.workers.Add(1) == crowd {
		w.crowded = time.Now()
	}
}

// The first workers start at once, further ones every so often: thousands of
// requests that begin at the same moment hold each other up, with their
// handshakes first, and then as waves of answers for as long as answers take
// about the same time.
const (
	crowd      = 256
	crowdEvery = 400 * time.Microsecond
	spareEvery = 20 * time.Millisecond // beyond those whose requests can be in flight
	spareFor   = 30 * time.Second
)

// startsIn is how long the next worker is to wait before it may start.
func (w *walk) startsIn(spare bool) time.Duration {
	if spare {
		return spareEvery
	}
	workers := w.workers.Load()
	if workers < crowd {
		return 0
	}
	return time.Until(w.crowded.Add(time.Duration(workers-crowd) * crowdEvery))
}

// weight is roughly what a sample holds in memory.
func weight(s nightshift.Sample) int64 {
	n := len(s.System) + len(s.Body) + len(s.Metadata) + len(s.Target) + 512
	for _, c := range s.Choices {
		n += len(c)
	}
	for _, m := range s.Messages {
		n += len(m.Text) + len(m.Raw)
	}
	return int64(n)
}
