// Package worker is a process that sends requests for the hub of a run, with its
// own keys, and keeps each answer until the hub has it on record.
package worker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"nightshift"
	"nightshift/internal/fsx"
	"nightshift/internal/words"
	"nightshift/providers"
	"nightshift/providers/secrets"
	"nightshift/runner/cluster/protocol"
)

// Times of the protocol, in beats: a worker says every beat that it is alive,
// and begins no request when none that it said within the lease was answered.
const (
	Beat       = 2 * time.Second
	leaseBeats = 5
)

// Options say how a worker works. Name, Spool, Version and Dial must be given.
type Options struct {
	Name      string // unique among the workers of a run
	Slots     int    // requests in flight at once; 0 means 256
	Spool     string // directory for answers that are not on record yet
	Version   string // of the program
	AllowSkew bool   // work for a hub of another version
	// Private are endpoints that only this worker reaches: base URLs by the
	// plan's names.
	Private map[string]string
	// AllowCommands permits endpoints whose key a program prints: the hub names
	// that program.
	AllowCommands bool
	GiveUp        time.Duration // how long to wait for a hub; 0 is for ever
	Log           *slog.Logger  // nil discards

	// Dial connects to the hub.
	Dial func(context.Context) (net.Conn, error)
	// Open makes the wire for an endpoint and reads its key; nil opens a
	// [wire.Wire].
	Open func(providers.Endpoint) (providers.Wire, secrets.Secret, error)
	// Clock is the time on a clock that counts suspension; nil is the machine's.
	Clock func() time.Duration
	// Beat is for tests; 0 means [Beat].
	Beat time.Duration
	// Patience is how long a connection may bring no answer before another is
	// made; 0 means three leases.
	Patience time.Duration
}

// Reasons why [Run] ends otherwise than well.
var (
	ErrNoHub       = errors.New("no hub answered in time")
	ErrNameTaken   = errors.New("another process works under this name")
	ErrSpool       = errors.New("the spool cannot be written")
	ErrStillHolds  = errors.New("answers are left in the spool")
	errEndOfTheRun = errors.New("the run has ended")
)

// A worker is one process at work.
type worker struct {
	Options
	boot  string
	locks []*os.File

	mu       sync.Mutex
	run      string // whose hub it works for; empty before the first
	spool    *spool // of that run
	epoch    int64  // the highest that was seen
	session  *session
	flying   map[string]*flight
	draining bool
	changed  chan struct{} // closed when flying, held or session changed
	wires    map[string]account
	opened   []protocol.Endpoint // as the hub named them
	redactor *secrets.Redactor
	known    []secrets.Secret // keys that the redactor finds
}

// A session is one connection, from its welcome on.
type session struct {
	conn *protocol.Conn
	// answered is when the last word was said that the hub has answered: the lease
	// runs from there.
	answered time.Duration
	said     map[int64]time.Duration // alives that are not answered, by number
}

// A flight is an attempt that is being made.
type flight struct{ cancel context.CancelFunc }

// Run works for the hubs that Dial reaches until a run has ended: nil then, and
// when waiting ends and everything is finished and on record. When calls ends,
// requests in flight are given up.
func Run(calls, waiting context.Context, o Options) error {
	w := &worker{Options: o, boot: rand.Text(), flying: map[string]*flight{}, changed: make(chan struct{}),
		redactor: secrets.NewRedactor()}
	w.fill()
	if err := w.lock(); err != nil {
		return err
	}
	defer w.unlock()
	err := w.work(calls, waiting)
	return errors.Join(err, w.close())
}

func (w *worker) fill() {
	if w.Slots <= 0 {
		w.Slots = 256
	}
	if w.Log == nil {
		w.Log = slog.New(slog.DiscardHandler)
	}
	if w.Clock == nil {
		w.Clock = fsx.SinceBoot
	}
	if w.Beat <= 0 {
		w.Beat = Beat
	}
	if w.Patience <= 0 {
		w.Patience = 3 * leaseBeats * w.Beat
	}
	if w.Open == nil {
		w.Open = w.openWire
	}
}

// lock makes sure that no other process uses the spool.
func (w *worker) lock() error {
	if err := os.MkdirAll(w.Spool, 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrSpool, err)
	}
	f, err := fsx.OpenFile(filepath.Join(w.Spool, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSpool, err)
	}
	w.locks = append(w.locks, f)
	err = fsx.Lock(f, true)
	if errors.Is(err, fsx.ErrLocked) {
		w.unlock()
		return fmt.Errorf("%w: it has %s", ErrNameTaken, w.Spool)
	}
	return err
}

func (w *worker) unlock() {
	for _, f := range w.locks {
		_ = f.Close()
	}
}

// work connects, and connects again, until there is a reason to end.
func (w *worker) work(calls, waiting context.Context) error {
	defer w.giveUpFlights()
	last := time.Now() // when a hub was there
	stop := context.AfterFunc(waiting, w.drain)
	defer stop()
	for {
		reached, err := w.connect(calls)
		if reached {
			last = time.Now()
		}
		switch refusal := (*protocol.Refusal)(nil); {
		case errors.Is(err, errEndOfTheRun):
			return nil
		case errors.As(err, &refusal) && refusal.Reason == protocol.RefusedName:
			return fmt.Errorf("%w: %w", ErrNameTaken, refusal)
		case errors.As(err, &refusal):
			return refusal
		case w.finished():
			return nil
		case calls.Err() != nil:
			return w.leftovers()
		case w.GiveUp > 0 && time.Since(last) > w.GiveUp:
			return fmt.Errorf("%w (%s): %w", ErrNoHub, w.GiveUp, err)
		}
		w.Log.Debug("no connection to the hub", "error", err)
		if !w.rest(calls, reached) {
			return w.leftovers()
		}
	}
}

// rest waits before the next connection, a random time so that workers do not
// all come at once.
func (w *worker) rest(ctx context.Context, short bool) bool {
	most := w.Beat
	if short {
		most = w.Beat / 4
	}
	var random [1]byte
	_, _ = rand.Read(random[:]) // never fails
	t := time.NewTimer(most/4 + most*time.Duration(random[0])/256)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// drain takes nothing new, so that the worker can go when it is finished.
func (w *worker) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	if s := w.session; s != nil {
		_ = s.conn.Say(protocol.KindDraining, struct{}{})
	}
	w.Log.Info(fmt.Sprintf("draining: %s in flight", words.Counted(int64(len(w.flying)), "request")))
	w.note()
}

// note wakes who waits for a change; w.mu is held.
func (w *worker) note() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// finished reports whether a worker that drains has nothing left.
func (w *worker) finished() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining && len(w.flying) == 0 && (w.spool == nil || len(w.spool.ids()) == 0)
}

// leftovers says what the next start finds.
func (w *worker) leftovers() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.spool == nil || len(w.spool.ids()) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s in %s; start the worker again with this spool, and the hub takes them",
		ErrStillHolds, words.Counted(int64(len(w.spool.ids())), "answer"), w.Spool)
}

func (w *worker) giveUpFlights() {
	w.mu.Lock()
	for _, f := range w.flying {
		f.cancel()
	}
	for len(w.flying) > 0 {
		changed := w.changed
		w.mu.Unlock()
		<-changed
		w.mu.Lock()
	}
	w.mu.Unlock()
}

func (w *worker) close() error {
	if w.spool == nil {
		return nil
	}
	return w.spool.close(false)
}

// givenUp is how an attempt that we ended ourselves is reported.
func givenUp(ex providers.Exchange) providers.Exchange {
	if ex.Err != nil && ex.Err.Class == nightshift.ClassCancelled {
		e := *ex.Err
		e.Class, e.Message, e.MaybeBilled = nightshift.ClassUnknownOutcome, "the worker was stopped", ex.Sent
		ex.Err = &e
	}
	return ex
}

// offer lists what the worker can send to, in the hub's order.
func (w *worker) offer() protocol.Offer {
	var o protocol.Offer
	for _, e := range w.opened {
		a := w.wires[e.ID]
		if a.err != nil {
			o.Missing = append(o.Missing, protocol.Missing{Endpoint: e.ID, Why: a.err.Error()})
			continue
		}
		o.Accounts = append(o.Accounts, protocol.Account{Endpoint: e.ID, Mark: a.mark, Private: a.private})
	}
	return o
}
