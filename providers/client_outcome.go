package providers

import (
	"cmp"
	"context"
	"time"

	"nightshift"
)

// An outcome is what an attempt came to. It is concluded once, when the
// exchange has ended, and then carried out.
type outcome struct {
	*Exchange
	class nightshift.ErrorClass // of the attempt; empty when it answered
	bill  bill
	// event is what people are told; "" is nothing.
	event EventKind
	// again asks for another attempt after wait; without it the request ends
	// with err, nil where it was answered.
	again bool
	wait  time.Duration
	err   error
	// open says that the attempt does not settle the row: it goes into the
	// attempt log, and the row runs again now or in another start.
	open bool
}

// conclude settles permit and reservation and decides what follows.
func (k *call) conclude(ctx context.Context, t *ticket, ex *Exchange) outcome {
	switch {
	case ex.Err == nil:
		return k.answered(t, ex)
	case ctx.Err() != nil:
		return k.cancelled(ctx, t, ex)
	}
	return k.failed(t, ex)
}

// carryOut puts an attempt on record, tells of it and waits where another
// follows.
func (k *call) carryOut(ctx context.Context, t *ticket, o outcome) (again bool, err error) {
	a := k.record(t, o)
	if o.open && k.req.AttemptLog != nil {
		if err := k.req.AttemptLog.Failed(*a); err != nil {
			return false, err
		}
	}
	if o.event != "" {
		route := k.at(t.route).Name
		k.event(Event{Kind: o.event, Route: route, Model: k.req.Model, Attempt: a.N, Err: o.Err, Wait: o.wait})
	}
	if !o.again {
		return false, o.err
	}
	return true, k.rest(ctx, t.route, o.wait)
}

// record adds a concluded attempt to the history.
func (k *call) record(t *ticket, o outcome) *nightshift.Attempt {
	r := &o.Response
	a := nightshift.Attempt{
		N:           len(k.attempts) + 1,
		StartedAt:   t.sentAt,
		DurationMS:  milliseconds(t.took),
		QueuedMS:    milliseconds(k.queued),
		BackoffMS:   milliseconds(k.backoff),
		Class:       o.class,
		Status:      r.Status,
		RequestID:   r.RequestID,
		ServedModel: r.ServedModel,
		Usage:       r.Usage,
		Cost:        o.bill.cost,
		PriceID:     o.bill.priceID,
		MaybeBilled: o.bill.maybe,
		WorstTokens: o.bill.worstTokens,
		WorstCost:   o.bill.worstCost,
		Job:         t.prepared.Attempt,
		Worker:      o.Worker,
		Cache:       t.caching,
	}
	if len(k.list()) > 1 || t.prepared.Attempt != "" {
		a.Route = k.at(t.route).Name
	}
	if e := o.Err; e != nil {
		a.Message = e.Error()
		a.Status, a.RequestID = cmp.Or(a.Status, e.Status), cmp.Or(a.RequestID, e.RequestID)
		if r.Text != nil {
			a.Kept = *r.Text
		}
	}
	k.attempts = append(k.attempts, a)
	k.last, k.hash = r, t.prepared.Hash
	k.last.Latency = cmp.Or(r.Latency, t.took)
	k.queued, k.backoff = 0, 0
	return &k.attempts[len(k.attempts)-1]
}

// answered concludes an attempt that brought an answer.
func (k *call) answered(t *ticket, ex *Exchange) outcome {
	u := ex.Response.Usage
	t.permit.Success(u, ex.Limits)
	k.Estimator.Observe(k.req.Model, t.prepared, u)
	k.started(nil)
	return outcome{Exchange: ex, bill: t.settle(k.used(t, u))}
}

// cancelled concludes an attempt that we ended ourselves.
func (k *call) cancelled(ctx context.Context, t *ticket, ex *Exchange) outcome {
	var b bill
	if ex.Sent {
		b = k.worstCase(t, ex.Response.Usage)
	}
	t.settle(b)
	t.permit.Release()
	return outcome{Exchange: ex, class: nightshift.ClassCancelled, bill: b, open: true, err: ctx.Err()}
}

// A bill is what an attempt costs, as far as known: what goes on record, and
// what is booked.
type bill struct {
	cost        *nightshift.NanoUSD // nil is unknown; beside a worst case: at least that
	priceID     string
	maybe       bool  // it may have been billed although no answer came
	worstTokens int64 // where the usage is not wholly known
	worstCost   nightshift.NanoUSD

	bookedTokens int64
	bookedCost   nightshift.NanoUSD
}

// settle books a bill in place of the reservation.
func (t *ticket) settle(b bill) bill {
	t.reserved.Settle(b.bookedTokens, b.bookedCost)
	return b
}

// used is the bill for what the server said was used, and for the worst case of
// what it did not say.
func (k *call) used(t *ticket, u nightshift.Usage) bill {
	in, inKnown := u.InputTotal().Get()
	if !inKnown {
		in = t.input
	}
	out, outKnown := u.Output.Get()
	if !outKnown {
		out = t.output
	}
	b := bill{bookedTokens: in + out, bookedCost: t.worstCost}
	priced := k.atLeast(&b, u)
	switch {
	case !inKnown || !outKnown:
		b.worstTokens, b.worstCost = in+out, t.worstCost
	case priced:
		b.bookedCost = *b.cost
	default:
		b.worstCost = t.worstCost
	}
	return b
}

// worstCase is the bill for an attempt that may have been billed.
func (k *call) worstCase(t *ticket, u nightshift.Usage) bill {
	b := bill{maybe: true, worstTokens: t.worstTokens(), worstCost: t.worstCost}
	b.bookedTokens, b.bookedCost = b.worstTokens, b.worstCost
	k.atLeast(&b, u)
	return b
}

// nothing is the bill for an attempt that cannot have been billed.
func (k *call) nothing() (b bill) {
	if k.Price != nil {
		b.cost = new(nightshift.NanoUSD)
	}
	return b
}

// atLeast prices what is known of a usage: its cost, or a lower bound where the
// bill says that there may be more. It reports whether there is a price.
func (k *call) atLeast(b *bill, u nightshift.Usage) bool {
	if k.Price == nil || !u.Known() {
		return false
	}
	if !u.InputTotal().Known() {
		u.Input = nightshift.Tokens(0)
	}
	if !u.Output.Known() {
		u.Output = nightshift.Tokens(0)
	}
	cost, id, ok := k.Price(k.req.Model, u)
	if ok {
		b.cost, b.priceID = &cost, id
	}
	return ok
}
