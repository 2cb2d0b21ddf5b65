package hub

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/runner/cluster/protocol"
)

// An Account is an endpoint with one key, or the endpoint of one worker: what
// has limits of its own. It is a [providers.RemoteWire].
type Account struct {
	Name     string // "" for the first of an endpoint
	Endpoint providers.Endpoint

	places   []func(int)
	id, mark string
	worker   string // of a private one
	hub      *Hub
	end      *endpoint
	format   formats.Format
}

var _ providers.RemoteWire = (*Account)(nil)

// takeAccounts notes what a worker can send to; h.mu is held. What it returns is
// to be called without.
func (h *Hub) takeAccounts(p *peer, offered []protocol.Account) (told []func()) {
	p.accounts = nil
	for _, o := range offered {
		i := slices.IndexFunc(h.endpoints, func(e *endpoint) bool { return e.ID == o.Endpoint })
		if i < 0 || len(o.Mark) > maxName {
			continue
		}
		a, isNew := h.account(h.endpoints[i], o, p.name)
		if a == nil {
			continue
		}
		p.accounts = append(p.accounts, a)
		if isNew {
			for _, join := range a.end.join {
				told = append(told, func() { join(a) })
			}
		}
	}
	p.seen.Private = p.private()
	return told
}

// account finds the account that a worker offers, or makes it.
func (h *Hub) account(e *endpoint, o protocol.Account, worker string) (a *Account, isNew bool) {
	if !o.Private {
		worker = ""
	}
	for _, a := range e.accounts {
		if a.mark == o.Mark && a.worker == worker {
			return a, false
		}
	}
	format, ok := formats.Of(e.Endpoint.Endpoint.Protocol)
	if !ok {
		return nil, false
	}
	a = &Account{Endpoint: e.Endpoint.Endpoint, id: e.ID, mark: o.Mark, worker: worker, hub: h, end: e, format: format}
	switch {
	case worker != "":
		a.Name = worker
	case len(e.accounts) > 0:
		a.Name = "key " + cmp.Or(o.Mark, "none")
	}
	e.accounts = append(e.accounts, a)
	return a, true
}

// workersChanged tells accounts how many places they have, and who waits for
// them; h.mu is held.
func (h *Hub) workersChanged() {
	h.note()
	for _, e := range h.endpoints {
		for _, a := range e.accounts {
			for _, tell := range a.places {
				tell(a.slots())
			}
		}
		for _, look := range e.look {
			go look() // it takes locks of its own
		}
	}
}

// slots is how many requests the account's workers can have in flight; h.mu is held.
func (a *Account) slots() (n int) {
	for _, p := range a.hub.peers {
		if p.can(a) {
			n += p.slots
		}
	}
	return n
}

// can reports whether a worker takes attempts of an account.
func (p *peer) can(a *Account) bool {
	return p.conn != nil && p.ready && !p.draining && slices.Contains(p.accounts, a)
}

// OnPlaces has tell told how many requests the account's workers can have in
// flight at once, now and whenever that changes.
func (a *Account) OnPlaces(tell func(int)) {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	a.places = append(a.places, tell)
	tell(a.slots())
}

// Account names what has limits of its own: a key, by its mark, or a worker's
// server.
func (a *Account) Account() string {
	if a.worker != "" {
		return "worker " + a.worker
	}
	return "key " + a.mark
}

// Prepare implements [providers.Wire].
func (a *Account) Prepare(req nightshift.Request) (providers.Prepared, error) {
	return formats.Encode(a.format, req, a.Endpoint.IncludeUsage)
}

// Away implements [providers.RemoteWire].
func (a *Account) Away() bool {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	return a.slots() == 0
}

// NewAttempt implements [providers.RemoteWire].
func (a *Account) NewAttempt() string {
	a.hub.mu.Lock()
	defer a.hub.mu.Unlock()
	return a.hub.newID()
}

// Late implements [providers.RemoteWire].
func (a *Account) Late(attempt string) (providers.Exchange, bool) {
	h := a.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.attempts[attempt]
	if k == nil || k.state != held {
		return providers.Exchange{}, false
	}
	k.state = answered
	return k.late.ex, true
}

// Send implements [providers.Wire]: it gives the attempt to a worker, or asks
// for the answer of one that an earlier process gave away.
func (a *Account) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	if strings.HasPrefix(p.Job, nightshift.WorkerJob) {
		return a.hub.ask(ctx, p)
	}
	tried := map[*peer]bool{}
	for {
		k, failed := a.give(ctx, p, tried)
		if failed != nil {
			return *failed
		}
		v, ended := a.hub.await(ctx, k)
		if ended != nil {
			return *ended
		}
		switch {
		case v.notSent != "":
			a.hub.Log.Debug("not sent", "attempt", k.id, "why", v.notSent)
			continue
		case v.lost != "":
			return unknown(v.lost, k.peer.name)
		}
		if again := a.unreachable(k, v.ex, tried); again {
			continue
		}
		return v.ex
	}
}

// give hands an attempt to the worker with the most free slots, and waits while
// none has one. Without any worker the attempt is returned.
func (a *Account) give(ctx context.Context, p providers.Prepared, tried map[*peer]bool) (*attempt,
	*providers.Exchange) {
	h := a.hub
	for {
		h.mu.Lock()
		changed := h.changed
		to, some := a.pick(tried)
		if to != nil {
			k := h.start(a, to, p)
			h.mu.Unlock()
			return k, nil
		}
		h.mu.Unlock()
		if !some {
			return nil, &providers.Exchange{Returned: true}
		}
		if wait(ctx, changed) != nil {
			return nil, &providers.Exchange{Returned: true, Err: cancelled(false)}
		}
	}
}

// pick chooses a worker; some is true when there are any. Those that this attempt
// was tried on, or that sit out, come last. h.mu is held.
func (a *Account) pick(tried map[*peer]bool) (best *peer, some bool) {
	now := time.Now()
	rank := func(p *peer) int {
		n := p.slots - p.inFlight
		if tried[p] || now.Before(p.sitsOut) {
			n -= maxSlots
		}
		return n
	}
	for _, p := range a.hub.peers {
		if !p.can(a) {
			continue
		}
		some = true
		if p.inFlight < p.slots && !now.Before(p.rests) && (best == nil || rank(p) > rank(best)) {
			best = p
		}
	}
	return best, some
}

// start gives an attempt to a worker; h.mu is held.
func (h *Hub) start(a *Account, to *peer, p providers.Prepared) *attempt {
	k := &attempt{id: p.Attempt, peer: to, result: make(chan verdict, 1), begun: p.Begun, tracked: p.Attempt != ""}
	if k.id == "" {
		k.id = h.newID()
	}
	h.attempts[k.id] = k
	to.inFlight++
	f, err := protocol.PackDo(k.id, a.id, p)
	if err == nil {
		err = to.conn.Send(f)
	}
	if err != nil {
		h.back(k, err.Error())
	}
	return k
}

// await waits for the end of a flight, or gives it up when ctx ends.
func (h *Hub) await(ctx context.Context, k *attempt) (verdict, *providers.Exchange) {
	select {
	case v := <-k.result:
		return v, nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	if k.state == flying && h.attempts[k.id] == k {
		k.state = lost
		k.peer.seen.Lost++
		k.peer.inFlight--
		if k.peer.conn != nil {
			_ = k.peer.conn.Say(protocol.KindCancel, protocol.IDs{IDs: []string{k.id}})
		}
		h.mu.Unlock()
		return verdict{}, &providers.Exchange{Sent: true, Err: cancelled(true), Worker: k.peer.name}
	}
	h.mu.Unlock()
	return <-k.result, nil // it came in the same moment
}

func cancelled(sent bool) *nightshift.Error {
	return &nightshift.Error{Class: nightshift.ClassCancelled, Message: "the request was given up", MaybeBilled: sent}
}

func unknown(why, worker string) providers.Exchange {
	return providers.Exchange{Sent: true, Worker: worker, Err: &nightshift.Error{
		Class: nightshift.ClassUnknownOutcome, MaybeBilled: true, Message: why + " before the answer was here"}}
}

// ask waits for the answer of an attempt that an earlier process gave away, as
// long as a worker has it or those that may have it can still come back.
func (h *Hub) ask(ctx context.Context, p providers.Prepared) providers.Exchange {
	for {
		h.mu.Lock()
		changed := h.changed
		k := h.attempts[p.Job]
		if k != nil && k.state == held {
			k.state = answered
			ex := k.late.ex
			h.mu.Unlock()
			return fitting(ex, p)
		}
		holder := h.holder(p.Job)
		if holder != nil && k == nil {
			k = &attempt{id: p.Job, peer: holder, result: make(chan verdict, 1), tracked: true}
			h.attempts[k.id] = k
			holder.inFlight++
			h.mu.Unlock()
			return h.join(ctx, k, p)
		}
		left := h.Back - time.Since(h.started)
		if left <= 0 {
			if k == nil {
				h.attempts[p.Job] = &attempt{id: p.Job, state: lost, tracked: true}
			}
			h.mu.Unlock()
			return unknown("no worker has it; it was lost", "")
		}
		h.mu.Unlock()
		again := time.NewTimer(left)
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return providers.Exchange{Sent: true, Err: cancelled(true)}
		}
		again.Stop()
	}
}

// holder is the worker that says it has an attempt of an earlier start; h.mu is held.
func (h *Hub) holder(id string) *peer {
	for _, p := range h.peers {
		if p.holds[id] {
			return p
		}
	}
	return nil
}

// join waits for the answer of an attempt that a worker is still making.
func (h *Hub) join(ctx context.Context, k *attempt, p providers.Prepared) providers.Exchange {
	v, ended := h.await(ctx, k)
	switch {
	case ended != nil:
		return *ended
	case v.lost != "" || v.notSent != "":
		return unknown(cmp.Or(v.lost, v.notSent), k.peer.name)
	}
	return fitting(v.ex, p)
}

// fitting is an answer that was asked for by its id, if it is one to the request
// in hand: another is paid for and no answer.
func fitting(ex providers.Exchange, p providers.Prepared) providers.Exchange {
	if ex.Err == nil && ex.Response.RequestHash != p.Hash {
		ex.Err = &nightshift.Error{Class: nightshift.ClassUnknownOutcome, MaybeBilled: true,
			Message: "the answer is to another request"}
	}
	return ex
}

// done takes in an answer.
func (h *Hub) done(p *peer, id string, an answer) {
	if !h.ours(id) {
		return
	}
	h.mu.Lock()
	k := h.attempts[id]
	switch {
	case k == nil && h.ofThisStart(id):
		p.keep([]string{id}) // it is on record, and the worker has not heard
	case k == nil:
		h.attempts[id] = &attempt{id: id, state: held, peer: p, late: &an, tracked: true}
		p.seen.count(an.ex.Err)
		h.note()
		h.lookUp(p)
	case k.state == flying:
		h.landed(k, p, an)
	case k.state == lost:
		k.state, k.late, k.peer = held, &an, p
		p.seen.Late++
		h.Log.Info("worker "+p.name+" came back with an answer that was given up", "attempt", id)
	case k.state == recorded && k.late == nil:
		k.late = &an
		p.seen.Late++
		h.mu.Unlock()
		h.settle(k)
		return
	}
	h.mu.Unlock()
}

// begun passes on that answers have begun to come.
func (h *Hub) begun(p *peer, ids []string) {
	var told []func()
	h.mu.Lock()
	for _, id := range ids {
		if k := h.attempts[id]; k != nil && k.state == flying && k.peer == p && k.begun != nil {
			told = append(told, k.begun)
		}
	}
	h.mu.Unlock()
	for _, tell := range told {
		tell()
	}
}

// landed gives an answer to who waits for it; h.mu is held.
func (h *Hub) landed(k *attempt, p *peer, an answer) {
	k.peer.inFlight--
	k.peer, k.state = p, answered
	p.seen.count(an.ex.Err)
	if !k.tracked { // no record names it
		delete(h.attempts, k.id)
		p.keep([]string{k.id})
	}
	k.result <- verdict{ex: an.ex}
	h.note()
}

// restAfterReturn is how long a worker is given nothing after it has sent an
// attempt back: its lease is over, or its spool is full.
const restAfterReturn = time.Second

// notSent takes an attempt back that a worker has not begun. What came over an
// earlier connection says nothing: the attempt may have been given to the worker
// once more since.
func (h *Hub) notSent(p *peer, conn *protocol.Conn, n protocol.NotSent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.attempts[n.ID]
	if k == nil || k.state != flying || k.peer != p || p.conn != conn {
		return
	}
	p.rests = time.Now().Add(restAfterReturn)
	time.AfterFunc(restAfterReturn, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.note()
	})
	h.back(k, n.Why)
}

// Failures to reach a server after which a worker is left alone for a while.
const (
	enoughFailures = 8
	firstRest      = 30 * time.Second
	longestRest    = 5 * time.Minute
)

// unreachable reports whether an attempt is to be made by another worker because
// this one cannot reach the server: that says nothing of the server as long as
// others can. Nothing has been sent.
func (a *Account) unreachable(k *attempt, ex providers.Exchange, tried map[*peer]bool) bool {
	h := a.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	p := k.peer
	if ex.Err == nil || ex.Err.MaybeBilled || ex.Sent || !isReach(ex.Err.Class) {
		p.failures = 0
		return false
	}
	p.failures++
	if over := p.failures - enoughFailures; over >= 0 && over%enoughFailures == 0 {
		rest := min(firstRest<<min(over/enoughFailures, 4), longestRest)
		p.sitsOut, p.why = time.Now().Add(rest), ex.Err.Error()
		h.Log.Warn(fmt.Sprintf("worker %s cannot reach %s and is left alone for %s: %v", p.name, a.Endpoint.Name, rest,
			ex.Err))
	}
	tried[p] = true
	for _, o := range h.peers {
		if !tried[o] && o.can(a) && time.Now().After(o.sitsOut) {
			delete(h.attempts, k.id) // another answer under this id takes its place
			p.keep([]string{k.id})
			return true
		}
	}
	return false
}

// isReach reports whether a failure is one to reach a server.
func isReach(c nightshift.ErrorClass) bool {
	return c == nightshift.ClassConnection || c == nightshift.ClassTimeoutConnect || c == nightshift.ClassTLS
}
