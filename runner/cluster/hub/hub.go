// Package hub gives the attempts of a run to workers on other machines. Limits,
// budget, journal and every decision stay where they are, around
// [providers.Client]: a hub's [Account] stands in the place of a wire.
package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/internal/words"
	"nightshift/providers"
	"nightshift/runner/cluster/protocol"
)

// Times after which a worker is gone. A worker begins nothing 10 s after its
// last word that was answered, so what is not begun by then never will be.
const (
	DefaultBack    = 15 * time.Second // since the connection of a worker ended
	DefaultSilence = 2 * time.Minute  // of one whose connection seems to stand
)

// Options say how a hub works. Run and Version must be given.
type Options struct {
	Run       string // id of the run
	Dir       string // its directory
	Version   string // of the program
	AllowSkew bool   // take workers of another version
	Epoch     int64  // which start of the run this is; higher each time
	Back      time.Duration
	Silence   time.Duration
	Log       *slog.Logger // nil discards
	// Unknown are the attempts that earlier starts have recorded as unknown, and
	// that no late answer has settled.
	Unknown []Unknown
	// OnRecord calls each with the attempt log of every record. Those that were there
	// when the hub was made must be durable. nil is no such reader.
	OnRecord func(each func(log string)) error
	// Note puts on record that an attempt is recorded as unknown (late is nil), or
	// what a late answer says of it. It is durable on return.
	Note func(u Unknown, late *providers.Exchange) error
}

// Unknown is an attempt that a row's record has as unknown.
type Unknown struct {
	Dir     string // of the run whose row it is
	Model   string // by its name in the plan; empty where that is not known
	Attempt nightshift.Attempt
}

// A Hub knows the workers of a run and what they have in hand. It is safe for
// concurrent use.
type Hub struct {
	Options
	started time.Time
	noting  sync.Mutex // one note at a time; taken before mu

	mu        sync.Mutex
	peers     []*peer // those that are connected, and those that may come back
	endpoints []*endpoint
	seen      map[string]*Worker  // by name, those that are gone included
	attempts  map[string]*attempt // that workers have, or whose answers are not on record
	next      int64
	changed   chan struct{} // closed when a slot has become free, or a worker came or went
	closed    bool
	serving   sync.WaitGroup
}

// An endpoint is one that workers are asked to send to.
type endpoint struct {
	protocol.Endpoint
	accounts []*Account
	join     []func(*Account) // told of each account, once
	look     []func()         // told when one came or went
}

// A state is where an attempt stands.
type state int

const (
	flying   state = iota // a worker has it
	answered              // its answer is given on; the record is not durable yet
	lost                  // it was given up; no answer so far
	held                  // an answer came that nobody waits for
	recorded              // on record as unknown
)

// An attempt is one that a worker was given.
type attempt struct {
	id      string
	state   state
	peer    *peer        // that has it
	result  chan verdict // of one that flies
	begun   func()       // to be called when its answer begins to come; may be nil
	late    *answer      // of one that is held
	unknown Unknown      // of one that is recorded
	tracked bool         // the record of its row will name it
}

type answer struct {
	ex   providers.Exchange
	peer *peer
}

// A verdict ends a flight: an answer, or that it was not begun, or that the
// worker is lost.
type verdict struct {
	ex      providers.Exchange
	notSent string
	lost    string
}

// New makes a hub.
func New(o Options) *Hub {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Back <= 0 {
		o.Back = DefaultBack
	}
	if o.Silence <= 0 {
		o.Silence = DefaultSilence
	}
	h := &Hub{Options: o, started: time.Now(), attempts: map[string]*attempt{}, seen: map[string]*Worker{},
		changed: make(chan struct{})}
	for _, u := range o.Unknown {
		id := u.Attempt.Job
		h.attempts[id] = &attempt{id: id, state: recorded, unknown: u, tracked: true}
	}
	return h
}

// Add asks workers to send to an endpoint. join is told of each account, those
// that are there already first; look when workers of it have come or gone. Both
// are called from any goroutine.
func (h *Hub) Add(id string, e providers.Endpoint, join func(*Account), look func()) {
	h.mu.Lock()
	i := slices.IndexFunc(h.endpoints, func(o *endpoint) bool { return o.ID == id })
	if i < 0 {
		i = len(h.endpoints)
		h.endpoints = append(h.endpoints, &endpoint{Endpoint: protocol.Endpoint{ID: id, Endpoint: e}})
		for _, p := range h.peers {
			if p.conn != nil {
				_ = p.conn.Say(protocol.KindEndpoints,
					protocol.Endpoints{Endpoints: []protocol.Endpoint{h.endpoints[i].Endpoint}})
			}
		}
	}
	to := h.endpoints[i]
	to.join, to.look = append(to.join, join), append(to.look, look)
	there := slices.Clone(to.accounts)
	h.mu.Unlock()
	for _, a := range there {
		join(a)
	}
}

// note wakes who waits for a slot or a worker; h.mu is held.
func (h *Hub) note() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// newID names an attempt; h.mu is held.
func (h *Hub) newID() string {
	h.next++
	return fmt.Sprintf("%s%s-%d-%d", nightshift.WorkerJob, h.Run, h.Epoch, h.next)
}

// ours reports whether an attempt is of this run.
func (h *Hub) ours(id string) bool { return strings.HasPrefix(id, nightshift.WorkerJob+h.Run+"-") }

// ofThisStart reports whether an attempt was named by this hub.
func (h *Hub) ofThisStart(id string) bool {
	return strings.HasPrefix(id, fmt.Sprintf("%s%s-%d-", nightshift.WorkerJob, h.Run, h.Epoch))
}

// Serve takes workers from a listener until that is closed.
func (h *Hub) Serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		h.serving.Go(func() { h.ServeConn(c) })
	}
}

// Durable is told the attempt logs of records of a run that are on the disk. Answers
// to their attempts need not be kept any longer.
func (h *Hub) Durable(dir, model string, logs []string) {
	var unknown []*attempt
	kept := map[*peer][]string{}
	h.mu.Lock()
	for _, log := range logs {
		if h.keepAnswered(log, kept) {
			continue
		}
		attempts, err := attemptlog.Parse(log)
		if err != nil {
			continue // it is no log of ours
		}
		for _, a := range attempts {
			if k := h.onRecord(Unknown{dir, model, a}, kept); k != nil {
				unknown = append(unknown, k)
			}
		}
	}
	for p, ids := range kept {
		p.keep(ids)
	}
	h.mu.Unlock()
	for _, k := range unknown {
		h.settle(k)
	}
}

// keepAnswered adds the attempts of a log to what is kept, by worker, where each of
// them has brought its answer, which is nearly always; h.mu is held.
func (h *Hub) keepAnswered(log string, kept map[*peer][]string) bool {
	jobs, ok := attemptlog.Jobs(log)
	if !ok || len(jobs) == 0 {
		return false
	}
	for _, id := range jobs {
		if k := h.attempts[id]; k == nil || k.state != answered {
			return false
		}
	}
	for _, id := range jobs {
		if k := h.attempts[id]; k != nil {
			delete(h.attempts, id)
			kept[k.peer] = append(kept[k.peer], id)
		}
	}
	return true
}

// onRecord takes in that an attempt is on record, and returns it where it is so as
// unknown; h.mu is held.
func (h *Hub) onRecord(u Unknown, kept map[*peer][]string) *attempt {
	a := u.Attempt
	if !h.ours(a.Job) {
		return nil
	}
	k := h.attempts[a.Job]
	if k == nil && a.Class == nightshift.ClassUnknownOutcome { // of an earlier start, and nobody asked for it
		k = &attempt{id: a.Job, state: lost, tracked: true}
		h.attempts[a.Job] = k
	}
	switch {
	case k == nil:
	case k.state == answered, k.state == held && a.Class != nightshift.ClassUnknownOutcome:
		delete(h.attempts, a.Job)
		kept[k.peer] = append(kept[k.peer], a.Job)
	case k.state == lost, k.state == held:
		k.state, k.unknown = recorded, u
		return k
	}
	return nil
}

// settle puts on record what became of an attempt that is recorded as unknown,
// or that nobody knows yet.
func (h *Hub) settle(k *attempt) {
	h.noting.Lock()
	defer h.noting.Unlock()
	h.mu.Lock()
	u, late := k.unknown, k.late
	over := h.attempts[k.id] != k
	h.mu.Unlock()
	if h.Note == nil || over {
		return
	}
	var ex *providers.Exchange
	if late != nil {
		ex = &late.ex
	}
	if err := h.Note(u, ex); err != nil {
		h.Log.Error("a late answer cannot be put on record", "attempt", k.id, "error", err)
		return
	}
	if late == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.attempts, k.id)
	late.peer.keep([]string{k.id})
}

// Close ends the hub: workers are told whether everything is on record, and
// that they may go then.
func (h *Hub) Close(complete bool) {
	if complete {
		h.settleLeftovers()
	}
	h.mu.Lock()
	h.closed = true
	var all sync.WaitGroup
	for _, p := range h.peers {
		if conn := p.conn; conn != nil {
			_ = conn.Say(protocol.KindEnd, protocol.End{Complete: complete})
			all.Go(func() { conn.Finish(5 * time.Second) })
		}
	}
	h.note()
	h.mu.Unlock()
	all.Wait()
	h.serving.Wait()
}

// wait waits for a change, or until ctx ends.
func wait(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lose gives an attempt up; h.mu is held.
func (h *Hub) lose(k *attempt, why string) {
	if k.state != flying {
		return
	}
	k.state = lost
	k.peer.seen.Lost++
	k.result <- verdict{lost: why}
}

// settleLeftovers puts answers of earlier starts on record that no row has asked
// for: with every row on record, theirs has the attempt as unknown, or as settled
// already, and then the note changes nothing.
func (h *Hub) settleLeftovers() {
	var left []*attempt
	h.mu.Lock()
	for id, k := range h.attempts {
		if h.fromBefore(k) {
			k.state = recorded
			k.unknown = Unknown{Dir: h.Dir, Attempt: nightshift.Attempt{Job: id, Class: nightshift.ClassUnknownOutcome}}
			left = append(left, k)
		}
	}
	h.mu.Unlock()
	for _, k := range left {
		h.settle(k)
	}
}

// sayLost says in a line how many requests are given up with a worker.
func (h *Hub) sayLost(p *peer, n int) {
	if n > 0 {
		h.Log.Warn(fmt.Sprintf("worker %s is gone with %s whose outcome is unknown", p.name,
			words.Counted(int64(n), "request")))
	}
}
