package providers

import (
	"context"
	"errors"
	"slices"

	"nightshift"
	"nightshift/providers/limits"
)

var errAway = errors.New("no worker is there for the endpoint")

// ready fills in what a route needs to be used.
func (r ClientRoute) ready() ClientRoute {
	if r.Limiter == nil {
		r.Limiter = limits.New(limits.Config{})
	}
	r.remote, _ = r.Wire.(RemoteWire)
	return r
}

// away reports whether nobody is there that could send.
func (r ClientRoute) away() bool { return r.remote != nil && r.remote.Away() }

// AddRoute adds a route to a client that is in use. Routes are never taken away:
// a RemoteWire says itself when nobody is there.
func (c *Client) AddRoute(r ClientRoute) {
	c.init()
	c.mu.Lock()
	routes := append(slices.Clone(c.list()), r.ready())
	c.routes.Store(&routes)
	c.mu.Unlock()
	c.LookAgain()
}

// LookAgain lets requests that wait for a route look whether one is there now.
func (c *Client) LookAgain() {
	c.init()
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *Client) list() []ClientRoute { return *c.routes.Load() }

func (c *Client) at(route int) ClientRoute { return c.list()[route] }

// routeChange is closed when routes have come or gone since.
func (c *Client) routeChange() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func awaitRoute(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// nameAttempt gives an attempt the id under which a worker keeps its answer.
// Vectors have none: one request may serve several rows, each with its record.
func (k *call) nameAttempt(t *ticket, in *nightshift.Intent) {
	remote := k.at(t.route).remote
	if remote == nil || k.job != nil || t.prepared.Texts > 0 {
		return
	}
	t.prepared.Attempt = remote.NewAttempt()
	in.Job, in.Route = t.prepared.Attempt, k.at(t.route).Name
}

// withdraw puts on record that an attempt was announced and not sent, because
// nobody was there to send it: it costs nothing, also when no other follows it.
func (k *call) withdraw(t *ticket) error {
	if k.req.AttemptLog == nil {
		return nil
	}
	return k.req.AttemptLog.Failed(nightshift.Attempt{N: len(k.attempts) + 1, StartedAt: t.sentAt,
		Class: nightshift.ClassCancelled, Message: "not sent: no worker was there", Job: t.prepared.Attempt,
		Route: k.at(t.route).Name})
}

// settleLate takes in what became of attempts that were given up, and reports
// whether one of them has answered the request with this hash.
func (k *call) settleLate(hash string) (answered bool) {
	if !k.RoutesCome {
		return false
	}
	for i := range k.attempts {
		a := &k.attempts[i]
		if a.Class != nightshift.ClassUnknownOutcome || a.Job == "" {
			continue
		}
		ex, ok := k.late(a.Job)
		if !ok {
			continue
		}
		k.amend(a, ex)
		if ex.Err == nil && hash != "" && ex.Response.RequestHash == hash && !answered {
			k.last, k.hash, answered = &ex.Response, hash, true
		}
	}
	return answered
}

func (k *call) late(attempt string) (Exchange, bool) {
	for _, r := range k.list() {
		if r.remote != nil {
			return r.remote.Late(attempt)
		}
	}
	return Exchange{}, false
}

// amend puts what became of an attempt in the place of its worst case, on record
// and in the budget.
func (k *call) amend(a *nightshift.Attempt, ex Exchange) {
	t := &ticket{input: a.WorstTokens, worstCost: a.WorstCost, reserved: k.Budget.Reopen(a.WorstTokens, a.WorstCost)}
	b := k.used(t, ex.Response.Usage)
	a.Class, a.Message = "", ""
	if e := ex.Err; e != nil {
		b = k.billOfFailure(t, &ex, PolicyOf(e))
		a.Class, a.Message = e.Class, e.Error()
	}
	t.settle(b)
	r := ex.Response
	a.Status, a.RequestID, a.ServedModel, a.Usage = r.Status, r.RequestID, r.ServedModel, r.Usage
	a.DurationMS = milliseconds(r.Latency)
	a.Cost, a.PriceID, a.MaybeBilled, a.WorstTokens, a.WorstCost = b.cost, b.priceID, b.maybe, b.worstTokens, b.worstCost
	a.Worker = ex.Worker
}

// SettleLate is an attempt on record as unknown, as a late answer shows it to be.
// price is the model's, nil for none. Where the answer does not say what was used,
// the worst case stays.
func SettleLate(a nightshift.Attempt, late Exchange,
	price func(nightshift.Usage) (nightshift.NanoUSD, string, bool)) nightshift.Attempt {
	c := &Client{RoutesCome: true}
	if price != nil {
		c.Price = func(_ string, u nightshift.Usage) (nightshift.NanoUSD, string, bool) { return price(u) }
	}
	(&call{Client: c}).amend(&a, late)
	return a
}
