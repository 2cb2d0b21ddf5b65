package providers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"nightshift"
	"nightshift/providers/limits"
)

// defaultAttempts is how often a row may be tried when that is not said.
const defaultAttempts = 4

// A Client answers the requests of one worker pool: it waits for limits and budget, makes
// attempts through a Wire, and tries again where that may help. It is the only
// place that does. A Client implements [nightshift.Provider] and is safe for
// concurrent use; its fields must not change after the first call. [Client.AddRoute]
// adds routes even then.
type Client struct {
	Endpoint string // for messages and events
	Flow     string // whose share of the limits this is; usually the model's name in the plan

	// Routes are the keys or base URLs that serve the same models; at least
	// one, unless RoutesCome. Clients that share a key share its Limiter.
	Routes []ClientRoute
	// RoutesCome says that routes are added while requests wait for them.
	RoutesCome bool
	Budget     *limits.Budget // of the whole run; nil is no limit

	// Price returns what a usage costs; ok is false when no price is known.
	// nil means that there are no prices.
	Price func(model string, u nightshift.Usage) (cost nightshift.NanoUSD, priceID string, ok bool)
	// WorstPrice bounds the cost of that many tokens from above, among them
	// those of the media; ok is false when a price that may apply is unknown.
	WorstPrice func(model string, inputTokens, outputTokens int64, media nightshift.Media) (
		cost nightshift.NanoUSD, ok bool)
	// MaxOutput bounds one answer to a request that sets no cap itself; 0
	// is unknown, and such requests are then refused under a budget.
	MaxOutput int64

	// Flex: the requests go in a cheap tier of service, where an overloaded server
	// is one that has no room for them now.
	Flex bool

	MaxAttempts int         // of one row, refusals for rate limits not counted; 0 means DefaultAttempts
	OnEvent     func(Event) // told of retries, refusals and stops; called from many goroutines; may be nil
	Estimator   *Estimator  // shared between clients of one model; nil means one of the client's own

	once    sync.Once
	waiting atomic.Int64                  // requests that wait for limits or budget
	routes  atomic.Pointer[[]ClientRoute] // Routes and those that were added; the slice never changes
	mu      sync.Mutex
	changed chan struct{} // closed when routes have come or gone
	stopped map[stopKey]*nightshift.StopError
	begun   int // attempts of the first few that were settled
	refused int // and refused as wrong in themselves
}

// A ClientRoute is one way to the models: a wire with its key, and the limits
// of that key.
type ClientRoute struct {
	Name    string
	Wire    Wire
	Limiter *limits.Limiter // nil: one of its own, which finds the limits out
	Weight  float64         // share of the requests, relative to the other routes; 0 means 1
	// MostInput is the most input tokens that the key's limits can ever let
	// through at once, where they are configured; 0 is not known. Requests that
	// surely have more are failed unsent.
	MostInput int64

	remote RemoteWire // Wire, where it is one
}

// stopKey names what was stopped: a model on a route.
type stopKey struct {
	route int
	model string
}

// An EventKind says what an Event tells.
type EventKind string

const (
	EventRefused EventKind = "refused" // an attempt was refused for a rate limit
	EventRetry   EventKind = "retry"   // an attempt failed and another follows
	EventFailed  EventKind = "failed"  // the row failed
	EventStopped EventKind = "stopped" // an endpoint or a model must not be asked any more
	EventSilent  EventKind = "silent"  // an endpoint gives no answers and is asked now and then
)

// An Event is something that a log or a progress line may want to tell.
type Event struct {
	Kind     EventKind
	Time     time.Time
	Endpoint string
	Flow     string
	Route    string
	Model    string
	Attempt  int               // 1-based; 0 where none is concerned
	Err      *nightshift.Error // may be nil
	Wait     time.Duration     // before the next attempt, beyond what the limiter asks for
}

// Waits reports whether any request waits for limits or budget.
func (c *Client) Waits() bool { return c.waiting.Load() > 0 }

func (c *Client) init() {
	c.once.Do(func() {
		if c.Estimator == nil {
			c.Estimator = &Estimator{}
		}
		c.stopped = map[stopKey]*nightshift.StopError{}
		c.changed = make(chan struct{})
		routes := make([]ClientRoute, 0, len(c.Routes))
		for _, r := range c.Routes {
			routes = append(routes, r.ready())
		}
		c.routes.Store(&routes)
	})
}

// Complete answers one request. See [nightshift.Provider] for its errors.
//
// A request that has not been sent when ctx (or its own Unsent, where it has
// one) ends has not run: the error is that of the context. One that is in flight when ctx ends is an attempt of class
// cancelled that may have been billed.
func (c *Client) Complete(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
	c.init()
	if len(c.list()) == 0 && !c.RoutesCome {
		return nightshift.Response{}, errors.New("providers: a client without routes")
	}
	call := &call{Client: c, req: req, attempts: append([]nightshift.Attempt(nil), req.Attempts...)}
	call.recall()
	err := call.run(ctx)
	return call.response(), err
}

// A call is one request on its way through all its attempts.
type call struct {
	*Client
	req      nightshift.Request
	prepared []Prepared // by route, of those that were there; what has no body yet is not prepared
	attempts []nightshift.Attempt
	last     *nightshift.Response // of the last attempt; nil before any
	hash     string

	counted  int                           // attempts that count
	classes  map[nightshift.ErrorClass]int // attempts by how they ended
	turn     limits.Turn
	oversize oversizeDetection
	history  limits.RowHistory
	// refusals that concerned this row only, and how long it waits after the last
	refusals  int
	standBack time.Duration

	queued, backoff time.Duration // before the next attempt

	// job is an attempt of an earlier process whose answer the server has been
	// making in the background; nil without one.
	job *nightshift.Attempt
}

// recall counts what an earlier process has tried since the row was begun, or
// begun again.
func (k *call) recall() {
	k.takeJob()
	for _, a := range k.attempts[min(k.req.Settled, len(k.attempts)):] {
		k.countClass(a.Class)
		if PolicyOf(&nightshift.Error{Class: a.Class, Status: a.Status}).Counts {
			k.counted++
		}
	}
}

func (k *call) countClass(c nightshift.ErrorClass) {
	if k.classes == nil {
		k.classes = map[nightshift.ErrorClass]int{}
	}
	k.classes[c]++
}

// run makes attempts until one settles the request.
func (k *call) run(ctx context.Context) error {
	for {
		again, err := k.try(ctx)
		if err != nil || !again {
			return err
		}
	}
}

// unsent is the context of a request that has not been sent.
func (k *call) unsent(ctx context.Context) context.Context {
	if k.req.Unsent != nil {
		return k.req.Unsent
	}
	return ctx
}

// try makes one attempt, and reports whether another should follow.
func (k *call) try(ctx context.Context) (again bool, err error) {
	t, err := k.admitInTurn(k.unsent(ctx))
	if err != nil {
		return false, err
	}
	answered := false
	if turn := k.req.Cache; turn != nil && t.begun {
		t.prepared.Begun = turn.Written
		defer func() { turn.Ended(answered, k.usage()) }()
	}
	// Whatever happens below, the permit is given back, and what may have
	// been billed stays booked. The first call of each counts.
	defer t.permit.Release()
	defer t.reserved.Keep()
	if k.settleLate(t.prepared.Hash) {
		if k.job != nil { // that attempt may be billed all the same
			t.reserved.Keep()
		}
		t.unsent()
		return false, nil
	}
	if err := k.announce(t); err != nil {
		t.unsent()
		return false, err
	}
	ex := k.at(t.route).Wire.Send(ctx, t.prepared)
	if ex.Returned && ctx.Err() == nil {
		t.unsent()
		return true, k.withdraw(t)
	}
	t.took = time.Since(t.sentAt)
	answered = ex.Err == nil
	return k.carryOut(ctx, t, k.conclude(ctx, t, &ex))
}

// admitInTurn is admit for a request that may have to leave the writing of a
// prefix to another. It waits with neither permit nor reservation, and then asks
// for both again.
func (k *call) admitInTurn(ctx context.Context) (*ticket, error) {
	for {
		t, err := k.admit(ctx)
		if err != nil || k.req.Cache == nil || k.job != nil {
			return t, err
		}
		if t.caching, t.begun = k.req.Cache.Begin(k.at(t.route).Name); t.begun {
			return t, nil
		}
		t.unsent()
		began := time.Now()
		err = k.req.Cache.Wait(ctx)
		k.queued += time.Since(began)
		if err != nil {
			return nil, err
		}
	}
}

// announce puts an attempt on record before it is sent, and what an earlier
// process has sent as it is there already.
func (k *call) announce(t *ticket) error {
	t.sentAt = time.Now()
	in := t.intent(len(k.attempts) + 1)
	k.nameAttempt(t, &in)
	k.followJob(t, in)
	if k.req.AttemptLog == nil || t.prepared.Job != "" {
		return nil
	}
	return k.req.AttemptLog.Sending(in)
}

// A ticket is an admitted attempt: it holds a permit and a reservation.
type ticket struct {
	route     int
	prepared  Prepared
	permit    *limits.Permit
	reserved  *limits.Reservation
	input     int64 // worst case, in tokens
	output    int64
	worstCost nightshift.NanoUSD
	sentAt    time.Time
	took      time.Duration // from sending to the end of the exchange
	// begun says that the request's CacheTurn let it go, and caching with what
	// expectations; nil without.
	begun   bool
	caching *nightshift.Caching
}

// unsent gives back what an attempt holds that was not made.
func (t *ticket) unsent() {
	t.permit.Cancel()
	t.reserved.Release()
}

func (t *ticket) worstTokens() int64 { return t.input + t.output }

func (t *ticket) intent(n int) nightshift.Intent {
	return nightshift.Intent{Attempt: n, WorstTokens: t.worstTokens(), WorstCost: t.worstCost}
}

// admit waits until a route's limits and the budget allow another attempt.
// Routes that are stopped meanwhile are left for others.
func (k *call) admit(ctx context.Context) (*ticket, error) {
	began := time.Now()
	defer func() { k.queued += time.Since(began) }()
	for {
		changed := k.routeChange()
		route, err := k.route()
		if errors.Is(err, errAway) {
			err = awaitRoute(ctx, changed)
			if err == nil {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		t := &ticket{route: route}
		if t.prepared, err = k.prepare(route); err != nil {
			return nil, err
		}
		if err := k.fits(t); err != nil {
			return nil, err
		}
		if err := k.worst(t); err != nil {
			return nil, err
		}
		err = k.wait(ctx, t)
		if err == nil {
			return t, nil
		}
		if err = k.left(ctx, route, err); err != nil {
			return nil, err
		}
	}
}

// prepare encodes the request for a route, once.
func (k *call) prepare(route int) (Prepared, error) {
	if missing := route + 1 - len(k.prepared); missing > 0 {
		k.prepared = append(k.prepared, make([]Prepared, missing)...)
	}
	if p := k.prepared[route]; p.Body != nil {
		return p, nil
	}
	p, err := k.at(route).Wire.Prepare(k.req)
	if err != nil {
		return Prepared{}, err
	}
	k.prepared[route] = p
	return p, nil
}

// worst fills in the most that an attempt can use and cost.
func (k *call) worst(t *ticket) error {
	t.input = WorstInput(t.prepared)
	t.output = t.prepared.MaxOutput
	silent := t.prepared.Texts > 0 // vectors are no output tokens
	if t.output == 0 && !silent {
		t.output = k.MaxOutput * max(t.prepared.Choices, 1)
	}
	limited := k.Budget != nil && (k.Budget.Tokens > 0 || k.Budget.Cost > 0)
	if limited && t.output == 0 && !silent {
		return fmt.Errorf("model %s: nothing bounds the output, so no budget can; set max_tokens: %w",
			k.req.Model, nightshift.ErrBudget)
	}
	if k.WorstPrice != nil {
		if cost, ok := k.WorstPrice(k.req.Model, t.input, t.output, t.prepared.Media); ok {
			t.worstCost = cost
			return nil
		}
	}
	if limited && k.Budget.Cost > 0 {
		return fmt.Errorf("model %s: no price is known%s, so no budget in dollars can hold: %w",
			k.req.Model, ofMedia(t.prepared.Media), nightshift.ErrBudget)
	}
	return nil
}

// ofMedia names what a price is missing for, where a request has to do with
// more than text.
func ofMedia(m nightshift.Media) string {
	switch {
	case m.AudioInput || m.AudioOutput:
		return " of its audio tokens (set price.audio_input and price.audio_output)"
	case m.ImageOutput:
		return " of its image tokens (set price.image_output)"
	}
	return ""
}

// wait fills in permit and reservation. Neither is held while waiting for the
// other: the permit would keep others from being sent, whose end is waited for,
// and the reservation would keep money from those whose endpoint is ready.
func (k *call) wait(ctx context.Context, t *ticket) (err error) {
	k.waiting.Add(1)
	defer k.waiting.Add(-1)
	limiter := k.at(t.route).Limiter
	cost := k.Estimator.Cost(k.req.Model, t.prepared)
	cost.MaxOutput = t.output
	cost.Turn, cost.History = k.turn, &k.history
	if k.workersJob() {
		t.permit = limiter.InFlight(k.Flow, cost)
		t.reserved = k.Budget.Reopen(k.job.WorstTokens, k.job.WorstCost)
		return nil
	}
	if len(k.list()) > 1 || k.RoutesCome { // look again for a better route now and then
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, reconsider, errReconsider)
		defer cancel()
	}
	for {
		if t.permit, err = limiter.Wait(ctx, k.Flow, cost); err != nil {
			return err
		}
		if k.job != nil { // booked at its worst already
			t.reserved = k.Budget.Reopen(k.job.WorstTokens, k.job.WorstCost)
			return nil
		}
		var ok bool
		if t.reserved, ok = k.Budget.TryReserve(t.worstTokens(), t.worstCost); ok {
			return nil
		}
		t.permit.Cancel()
		if t.reserved, err = k.Budget.Reserve(ctx, t.worstTokens(), t.worstCost); err != nil {
			return err
		}
		if t.permit, ok = limiter.Try(k.Flow, cost); ok {
			return nil
		}
		t.reserved.Release()
	}
}

// usage is that of the last attempt.
func (k *call) usage() (u nightshift.Usage) {
	if k.last != nil {
		u = k.last.Usage
	}
	return u
}

// response is the last attempt's, with what all of them used.
func (k *call) response() nightshift.Response {
	k.returnJob()
	k.settleLate("")
	var r nightshift.Response
	if k.last != nil {
		r = *k.last
	}
	r.Attempts = k.attempts
	r.RequestHash = k.hash
	r.Queued, r.Backoff = k.queued, k.backoff
	var sum nightshift.NanoUSD
	known := len(k.attempts) > 0 && k.Price != nil
	for _, a := range k.attempts {
		r.Queued += fromMilliseconds(a.QueuedMS)
		r.Backoff += fromMilliseconds(a.BackoffMS)
		if a.PriceID != "" {
			r.PriceID = a.PriceID
		}
		if a.Cost == nil || a.WorstTokens > 0 || a.WorstCost > 0 { // the latter: at least that
			known = false
			continue
		}
		sum += *a.Cost
	}
	if known {
		r.Cost = &sum
	}
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }

func fromMilliseconds(ms float64) time.Duration { return time.Duration(ms * 1e6) }
