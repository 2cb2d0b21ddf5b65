package prefix

import (
	"context"
	"fmt"
	"sync"
	"time"

	"nightshift"
)

// patience is how long others wait for the request that writes a prefix before
// the next of them writes it too: one connection that hangs must not hold up all.
const patience = 2 * time.Minute

// margin is the share of a lifetime that is left unused: clocks and ways differ.
const margin = 20

// mostStates is how many prefixes are remembered before those are dropped that have
// expired.
const mostStates = 50_000

// A Table knows which prefixes are in the prompt cache, as far as the requests of
// one model tell. Each route has a cache of its own. It is safe for concurrent
// use.
type Table struct {
	lifetime time.Duration
	perByte  float64 // tokens
	atEnd    bool    // prompts are in the cache when their answers have ended

	mu       sync.Mutex
	states   map[uint64]*state
	most     int           // states before expired ones are dropped
	changed  chan struct{} // closed when a state has changed, and made anew
	inFlight int           // requests that have begun and not ended
	waiting  int           // turns that were given and have not begun
}

// A state is what is known of one prefix.
type state struct {
	claim  *Turn // given out to write it; nil for none
	routes map[string]*onRoute
	tokens int64 // as answers told it; 0 is not known
}

type onRoute struct {
	writer *Turn // of the request that is writing it; nil for none
	since  time.Time
	until  time.Time // readable until then
}

// NewTable makes an empty table. Prefixes are readable for the lifetime after
// their last use, from the first part of an answer on, or from its end on where atEnd
// says so; perByte is how many tokens a byte is, for estimates.
func NewTable(lifetime time.Duration, perByte float64, atEnd bool) *Table {
	return &Table{lifetime: lifetime - lifetime/margin, perByte: perByte, atEnd: atEnd, states: map[uint64]*state{},
		most: mostStates, changed: make(chan struct{})}
}

func (t *Table) state(hash uint64) *state {
	s := t.states[hash]
	if s == nil {
		t.forget()
		s = &state{routes: map[string]*onRoute{}}
		t.states[hash] = s
	}
	return s
}

// forget drops what has expired, when there is much.
func (t *Table) forget() {
	if len(t.states) < t.most {
		return
	}
	defer func() { t.most = max(mostStates, 2*len(t.states)) }()
	now := time.Now()
	for hash, s := range t.states {
		if s.claim == nil && !s.warm(now) && !s.written(now) {
			delete(t.states, hash)
		}
	}
}

func (s *state) on(route string) *onRoute {
	r := s.routes[route]
	if r == nil {
		r = &onRoute{}
		s.routes[route] = r
	}
	return r
}

// warm reports whether some route can read the prefix.
func (s *state) warm(now time.Time) bool {
	for _, r := range s.routes {
		if now.Before(r.until) {
			return true
		}
	}
	return false
}

// written reports whether somebody is writing it.
func (s *state) written(now time.Time) bool {
	for _, r := range s.routes {
		if r.busy(nil, now) {
			return true
		}
	}
	return false
}

// busy reports whether another than me writes the prefix and can be waited for.
func (r *onRoute) busy(me *Turn, now time.Time) bool {
	return r.writer != nil && r.writer != me && now.Sub(r.since) < patience
}

// change wakes those who wait. The lock is held.
func (t *Table) change() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// A Standing says whether rows of a prefix can be given out.
type Standing int

// Standings of a prefix.
const (
	Cold    Standing = iota // one row may go, and writes it
	Writing                 // its rows wait for the one that went
	Warm                    // its rows can go
)

// Standing tells how a prefix stands; nil is warm.
func (t *Table) Standing(p *Prefix) Standing {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, standing := time.Now(), Warm
	for _, part := range p.path() {
		s := t.states[part.Hash]
		switch {
		case s == nil:
			standing = Cold
		case s.warm(now):
		case s.claim != nil || s.written(now):
			return Writing
		default:
			standing = Cold
		}
	}
	return standing
}

// Load is how many requests are in flight, and how many turns wait to begin.
func (t *Table) Load() (inFlight, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inFlight, t.waiting
}

// Changed is closed at the next change.
func (t *Table) Changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.changed
}

// A Turn is a row's part in the writing and reading of its prefix. It implements
// [nightshift.CacheTurn], for one goroutine at a time.
type Turn struct {
	table       *Table
	prefix      *Prefix
	marker, key string // that its requests get; empty for none

	begun    bool // at some time
	underWay bool
	route    string
	at       time.Time     // when it began last
	expected *Prefix       // readable then
	wait     chan struct{} // for what it could not begin
}

// Turn makes the turn of a row that is given out now. Others of its prefix wait
// for it where that is cold; nil is the prefix of a row that shares nothing.
func (t *Table) Turn(p *Prefix) *Turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	turn := &Turn{table: t, prefix: p}
	t.waiting++
	now := time.Now()
	for _, part := range p.path() {
		if s := t.state(part.Hash); s.claim == nil && !s.warm(now) && !s.written(now) {
			s.claim = turn
		}
	}
	return turn
}

// Add notes what was added to the row's requests: the lifetime of cache markers,
// and a prompt_cache_key. A nil Turn notes nothing.
func (u *Turn) Add(marker, key string) {
	if u != nil {
		u.marker, u.key = marker, key
	}
}

// Leave gives up the turn's prefix: nothing of the row's requests will be cached.
// A nil Turn has none.
func (u *Turn) Leave() {
	if u == nil {
		return
	}
	u.table.mu.Lock()
	defer u.table.mu.Unlock()
	u.letGo()
	u.prefix = nil
}

// Begin implements [nightshift.CacheTurn].
func (u *Turn) Begin(route string) (*nightshift.Caching, bool) {
	t := u.table
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	u.expected = nil
	for _, part := range u.prefix.path() {
		r := t.state(part.Hash).on(route)
		if now.Before(r.until) {
			u.expected = part
		} else if r.busy(u, now) {
			u.wait = t.changed
			return nil, false
		}
	}
	u.start(route, now)
	return u.note(), true
}

// start takes the writing of what is cold. The lock is held.
func (u *Turn) start(route string, now time.Time) {
	u.route, u.at, u.underWay = route, now, true
	for _, part := range u.prefix.path() {
		if r := u.table.state(part.Hash).on(route); !now.Before(r.until) {
			r.writer, r.since = u, now
		}
	}
	u.table.inFlight++
	if !u.begun {
		u.begun = true
		u.table.waiting--
		u.table.change()
	}
}

func (u *Turn) note() *nightshift.Caching {
	if u.prefix == nil {
		return nil
	}
	n := &nightshift.Caching{Prefix: fmt.Sprintf("%016x", u.prefix.Hash), Tokens: u.table.tokens(u.prefix),
		Marker: u.marker, Key: u.key}
	if u.expected != nil {
		n.Expected = u.table.tokens(u.expected)
	}
	return n
}

// tokens is the length of a prefix: as answers told it, else an estimate.
func (t *Table) tokens(p *Prefix) int64 {
	if s := t.states[p.Hash]; s != nil && s.tokens > 0 {
		return s.tokens
	}
	return int64(float64(p.Bytes) * t.perByte)
}

// Wait implements [nightshift.CacheTurn].
func (u *Turn) Wait(ctx context.Context) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-u.wait:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Written implements [nightshift.CacheTurn].
func (u *Turn) Written() {
	u.table.mu.Lock()
	defer u.table.mu.Unlock()
	if u.underWay && !u.table.atEnd {
		u.keep()
	}
}

// keep notes that what the request shares can be read from now on. The lock is
// held.
func (u *Turn) keep() {
	for _, part := range u.prefix.path() {
		s := u.table.state(part.Hash)
		r := s.on(u.route)
		if until := u.at.Add(u.table.lifetime); until.After(r.until) {
			r.until = until
		}
		r.writer = nil
		if s.claim == u {
			s.claim = nil
		}
	}
	u.table.change()
}

// Ended implements [nightshift.CacheTurn].
func (u *Turn) Ended(answered bool, used nightshift.Usage) {
	u.table.mu.Lock()
	defer u.table.mu.Unlock()
	if !u.underWay {
		return
	}
	u.underWay = false
	u.table.inFlight--
	if answered {
		u.keep()
		u.measure(used)
		return
	}
	u.letGo()
}

// measure learns how long a prefix is in the server's tokens. The lock is held.
func (u *Turn) measure(used nightshift.Usage) {
	read := used.CacheRead.N()
	wrote := used.CacheWrite5m.N() + used.CacheWrite1h.N()
	switch {
	case read > 0 && u.expected != nil:
		u.table.state(u.expected.Hash).tokens = read
	case u.marker != "" && wrote > 0:
		u.table.state(u.prefix.Hash).tokens = read + wrote
	}
}

// letGo leaves the writing to the next. The lock is held.
func (u *Turn) letGo() {
	for _, part := range u.prefix.path() {
		s := u.table.states[part.Hash]
		if s == nil {
			continue
		}
		if s.claim == u {
			s.claim = nil
		}
		for _, r := range s.routes {
			if r.writer == u {
				r.writer = nil
			}
		}
	}
	u.table.change()
}

// Release gives up whatever the turn still holds: its row is done with.
func (u *Turn) Release() {
	if u == nil {
		return
	}
	u.table.mu.Lock()
	defer u.table.mu.Unlock()
	if !u.begun {
		u.begun = true
		u.table.waiting--
	}
	if u.underWay {
		u.underWay = false
		u.table.inFlight--
	}
	u.letGo()
}
