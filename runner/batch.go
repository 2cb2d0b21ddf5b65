package runner

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"nightshift"
	"nightshift/runner/store"
)

// ErrSubmitted ends a pool under [Run.Detach]: everything that limits and
// budget allow is at the provider, and a later start fetches it.
var ErrSubmitted = errors.New("submitted: batches are at the provider")

// Batching is how the rows of a pool travel in batches. Numbers that are 0 are
// those of the API, or no limit where that has none.
type Batching struct {
	API    nightshift.Batcher
	Budget Budget // nil is no limit
	// Submit says that rows go in batches. Without it only what is away already
	// is waited for and collected, before the pool sends its rows one by one.
	Submit bool

	MaxRows   int   // in a batch
	MaxBytes  int64 // of an input file
	MaxTokens int64 // of input, in all batches that have not ended
	Window    string
	PollFirst time.Duration // from the first question how batches stand to the next; 0 means 10 s
	PollMost  time.Duration // longest time between two; 0 means 5 min
	Deadline  time.Duration // from creation until a batch is cancelled; 0 is the provider's own
	Then      Then
	MinRows   int  // no batch is made smaller as long as it may become larger
	Delete    bool // files at the provider are deleted once their shard is committed
	Attempts  int  // of a row, those that have not run left out; 0 means 4
}

// Then says what becomes of rows whose batch ended before they had run.
type Then string

const (
	ThenNext Then = "next" // they go into another batch, three times at most
	ThenLive Then = "live" // they are sent one by one, at the live price
	ThenFail Then = "fail" // they fail
)

// A Budget is what batches are paid from.
type Budget interface {
	// Hold sets an amount aside, whatever the limit says: an earlier process has
	// reserved it.
	Hold(tokens int64, cost nightshift.NanoUSD) Reservation
}

// A Reservation is a part of a [Budget].
type Reservation interface {
	// Grow adds to it, where that is possible. later says that it may be when
	// what others have reserved is settled.
	Grow(tokens int64, cost nightshift.NanoUSD) (ok, later bool)
	// Settle replaces it by what was used.
	Settle(tokens int64, cost nightshift.NanoUSD)
}

// Recall says that batches are to be called back.
type Recall int

const (
	RecallNone Recall = iota
	RecallAsk         // the provider is asked to end them, and no more
	RecallWait        // their end is waited for, and what has run is collected
)

// crashPoint names a place where tests end the process.
var crashPoint = func(name string) {}

// speedup divides the waits that no plan sets. Only tests raise it.
var speedup time.Duration = 1

// batches is a pool whose rows travel in batches. One goroutine does everything
// for them, a step at a time; only rows that go live are sent by others.
type batches struct {
	*walk
	Batching
	limits nightshift.BatchLimits

	list    []*batch // those that are not closed, oldest first
	again   []int    // shards with rows that go again
	cursor  int      // the first chunk that has not been looked at
	queue   queue
	polling polling
	strange map[string]bool // state words that a person was told of
	refused refusals
	nextCut time.Time // no batch is cut before: the next would be too small

	mu    sync.Mutex
	open  map[int]*shard // in memory: that being cut, that being collected, those with rows that go live
	woken chan struct{}  // holds a token when rows that went live have all ended
}

// A batch is one that is not closed.
type batch struct {
	store.Batch
	reserved Reservation
	due      time.Time // of its next step
	tries    int       // of its present step that failed
	uploads  int       // of its file, as it was not found
	refused  int       // create calls since the upload that were refused for now
	gone     absence
	// uncancelled says that a person was told that it cannot be cancelled yet.
	uncancelled bool
	here        map[string]store.LocalFile // result files that were fetched, by handle
	cut         map[string]string          // hash of those that came without an end
	reread      int                        // how often its results were fetched again, as rows were missing
	late        time.Time                  // when it ended without the files that it ought to have; zero before
	cleared     []string                   // ids that turned out not to be of this batch
}

// steps say what is to be done for a batch at each stage.
var steps = map[store.BatchStage]func(*batches, *batch) error{
	store.BatchPlanned:   (*batches).upload,
	store.BatchUploaded:  (*batches).create,
	store.BatchCreating:  (*batches).lookUp,
	store.BatchCreated:   nil, // all are asked for together
	store.BatchEnded:     (*batches).fetch,
	store.BatchFetched:   (*batches).collect,
	store.BatchCollected: (*batches).close,
}

// away reports whether the pool has to do with batches at all.
func (w *walk) away() bool {
	return w.pool.Batch != nil && (w.pool.Batch.Submit || len(w.known()) > 0)
}

// known are the pool's batches that are not closed.
func (w *walk) known() (list []store.Batch) {
	for _, a := range w.Store.Batches() {
		if a.Model == w.pool.Model {
			list = append(list, a)
		}
	}
	return list
}

func newBatches(w *walk) *batches {
	b := &batches{walk: w, Batching: *w.pool.Batch, limits: w.pool.Batch.API.Limits(),
		strange: map[string]bool{}, open: map[int]*shard{}, woken: make(chan struct{}, 1)}
	b.setDefaults()
	for _, known := range w.known() {
		b.take(known)
	}
	return b
}

// take adds a batch to those that are not closed. What it can cost stays
// reserved until it is collected.
func (b *batches) take(known store.Batch) {
	var reserved Reservation
	if known.Holds() {
		reserved = b.hold(known.WorstTokens, known.WorstCost)
	}
	b.add(known, reserved)
}

func (b *batches) add(known store.Batch, reserved Reservation) {
	a := &batch{Batch: known, reserved: reserved, here: map[string]store.LocalFile{}, cut: map[string]string{}}
	b.list = append(b.list, a)
}

func (b *batches) setDefaults() {
	b.PollFirst = cmp.Or(b.PollFirst, 10*time.Second)
	b.PollMost = max(cmp.Or(b.PollMost, 5*time.Minute), b.PollFirst)
	b.Attempts = cmp.Or(b.Attempts, 4)
	b.MaxRows = least(b.MaxRows, b.limits.Rows)
	b.MaxBytes = least(b.MaxBytes, b.limits.Bytes)
	b.queue.limit = least(b.MaxTokens, b.limits.Tokens)
	b.polling.first = max(b.PollFirst, b.limits.Poll)
	b.polling.most = max(b.PollMost, b.limits.Poll)
}

// least is the smaller of two limits, of which 0 is none.
func least[T int | int64](a, b T) T {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// run takes steps until no batch is away and no row is left that may go into
// one. Its error is why the pool ends before that; that of the feed, which has
// ended too, is not one.
func (b *batches) run() error {
	for b.feed.Err() == nil {
		moved, err := b.turn()
		switch {
		case err != nil:
			return err
		case moved:
		case b.finished():
			return nil
		case b.Detach && b.submitted():
			return ErrSubmitted
		case b.Recall == RecallAsk && b.recalled():
			return nil
		default:
			b.sleep()
		}
	}
	return nil
}

// turn asks how batches stand, takes the step of each batch that is due, and
// cuts the next. It reports whether anything came of it.
func (b *batches) turn() (moved bool, err error) {
	if err := b.poll(); err != nil {
		return false, err
	}
	for _, a := range b.due() {
		if b.feed.Err() != nil {
			return false, nil
		}
		before := a.Stage
		if err := steps[before](b, a); err != nil {
			return false, err
		}
		moved = moved || a.Stage != before
	}
	if moved || b.feed.Err() != nil {
		return true, nil
	}
	return b.cut()
}

// due are the batches whose next step can be taken.
func (b *batches) due() (list []*batch) {
	now := time.Now()
	for _, a := range b.list {
		if steps[a.Stage] != nil && !a.due.After(now) && !b.waits(a) {
			list = append(list, a)
		}
	}
	return list
}

// waits reports whether a batch waits for something other than time.
func (b *batches) waits(a *batch) bool {
	switch a.Stage {
	case store.BatchCollected:
		return !b.Store.Committed(b.pool.Model, a.Shard)
	case store.BatchUploaded:
		return b.queue.closed()
	}
	return false
}

// finished reports whether nothing is left to do.
func (b *batches) finished() bool {
	for _, a := range b.list {
		if a.Holds() {
			return false
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open) == 0 && (!b.cuts() || len(b.again) == 0 && b.cursor >= len(b.Dataset.Chunks()))
}

// submitted reports whether every batch is at the provider, and every shard in
// memory done with.
func (b *batches) submitted() bool {
	for _, a := range b.list {
		if a.Holds() && a.Stage != store.BatchCreated && !(a.Stage == store.BatchUploaded && b.queue.closed()) {
			return false
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.open) == 0
}

// sleep waits until the next step of anything is due, or the feed ends.
func (b *batches) sleep() {
	t := time.NewTimer(time.Until(b.wakeAt()))
	defer t.Stop()
	select {
	case <-t.C:
	case <-b.woken:
	case <-b.feed.Done():
	}
}

// idleAtMost is how long a pool sleeps at most: budgets and limits may have
// become wider by what other pools did.
const idleAtMost = time.Minute

func (b *batches) wakeAt() time.Time {
	at := time.Now().Add(idleAtMost / speedup)
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	for _, a := range b.list {
		if steps[a.Stage] != nil && !b.waits(a) {
			sooner(a.due)
		}
		if a.Stage == store.BatchCreated {
			sooner(b.polling.next)
		}
	}
	return at
}

// changed reads a batch again after a line was written about it.
func (b *batches) changed(a *batch, err error) error {
	if err != nil {
		return err
	}
	before := a.Stage
	a.Batch, _ = b.Store.Batch(a.N)
	if a.Stage != before {
		a.tries, a.due = 0, time.Time{}
	}
	return nil
}

// remote is the batch at the provider with that id, as it stands.
func (a *batch) remote(id string) store.BatchRemote {
	r, _ := a.RemoteOf(id)
	return r
}

// later plans another try of a step that failed, or says why there is to be
// none.
func (b *batches) later(a *batch, what string, err error) error {
	var e *nightshift.BatchError
	switch {
	case b.feed.Err() != nil && isContext(err):
		return nil
	case !errors.As(err, &e):
		return fmt.Errorf("%s of %s: %w", what, a.Name, err)
	case e.Next == nightshift.BatchStop:
		return b.stopped(e.Err)
	}
	a.tries++
	a.due = time.Now().Add(max(e.RetryAfter, pause(a.tries)))
	b.Log.Log(b.calls, severity(a.tries), what+" of "+a.Name+" failed and is tried again",
		"model", b.pool.Model, "error", e.Error(), "at", a.due.Format(time.TimeOnly))
	return nil
}

// stopped is the end of a pool for which a person has to act.
func (b *batches) stopped(e *nightshift.Error) error {
	stop := &nightshift.StopError{Endpoint: b.pool.Endpoint, Err: e}
	if e.OfModel {
		stop.Model = b.pool.ModelID
	}
	return stop
}

// pause is how long to wait after so many failed tries: 1 s, twice as long each
// time, 5 min at most, and a little by chance.
func pause(tries int) time.Duration {
	d := min(time.Second<<min(tries-1, 20), 5*time.Minute)
	return jitter(d) / speedup
}

// jitter is d, give or take a tenth.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration((rand.Float64()-0.5)*0.2*float64(d))
}

// forget takes a batch that is closed off the list.
func (b *batches) forget(a *batch) {
	b.list = slices.DeleteFunc(b.list, func(other *batch) bool { return other == a })
}

// hold is [Budget.Hold], also without a budget.
func (b *batches) hold(tokens int64, cost nightshift.NanoUSD) Reservation {
	if b.Budget == nil {
		return unlimited{}
	}
	return b.Budget.Hold(tokens, cost)
}

type unlimited struct{}

func (unlimited) Grow(int64, nightshift.NanoUSD) (ok, later bool) { return true, false }
func (unlimited) Settle(int64, nightshift.NanoUSD)                {}
