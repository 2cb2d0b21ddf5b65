package limits

import (
	"context"
	"sync"

	"nightshift"
)

// A Budget is spent once by a whole run, judges included. Before a request is
// sent its worst case is reserved; afterwards the reservation is settled with
// what was really used. The sum of what is spent and reserved never passes
// the limits, so the bill cannot either, as long as no request costs more
// than its worst case.
//
// The zero value and nil have no limit. A Budget is safe for concurrent use
// and must not be copied.
type Budget struct {
	Tokens int64              // input and output together; 0 is no limit
	Cost   nightshift.NanoUSD // 0 is no limit

	mu       sync.Mutex
	spent    amount
	reserved amount
	open     int // reservations not settled
	waiting  []*claim
}

type amount struct {
	tokens int64
	cost   nightshift.NanoUSD
}

func (a amount) plus(b amount) amount  { return amount{a.tokens + b.tokens, a.cost + b.cost} }
func (a amount) minus(b amount) amount { return amount{a.tokens - b.tokens, a.cost - b.cost} }

// A claim is one blocked call of Reserve.
type claim struct {
	amount amount
	done   chan struct{} // closed when it was decided
	err    error
}

// A Reservation is a part of a Budget set aside for one attempt, or for a batch.
// Exactly one of Settle, Keep and Release counts: the first.
type Reservation struct {
	budget *Budget
	amount amount
	closed bool
}

// Reserve sets the worst case of one attempt aside. Where it does not fit but
// reservations of others are open, it waits for them to be settled, first
// come first served. It returns nightshift.ErrBudget when the amount cannot
// fit even with nothing in flight, and the error of ctx when that ends first.
func (b *Budget) Reserve(ctx context.Context, tokens int64, cost nightshift.NanoUSD) (*Reservation, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if b == nil {
		return &Reservation{}, nil
	}
	c := &claim{amount: amount{tokens, cost}, done: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, c)
	b.decide()
	b.mu.Unlock()
	select {
	case <-c.done:
	case <-ctx.Done():
		if b.withdraw(c) {
			return nil, ctx.Err()
		}
	}
	if c.err != nil {
		return nil, c.err
	}
	return &Reservation{budget: b, amount: c.amount}, nil
}

// TryReserve is Reserve without waiting; ok is false where that would have
// waited or failed.
func (b *Budget) TryReserve(tokens int64, cost nightshift.NanoUSD) (r *Reservation, ok bool) {
	if b == nil {
		return &Reservation{}, true
	}
	want := amount{tokens, cost}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) > 0 || !b.fits(want) {
		return nil, false
	}
	b.take(want)
	return &Reservation{budget: b, amount: want}, true
}

// Reopen makes a reservation of what an earlier process is booked to have spent
// at most: the outcome is still to come.
func (b *Budget) Reopen(tokens int64, cost nightshift.NanoUSD) *Reservation {
	if b == nil {
		return &Reservation{}
	}
	a := amount{tokens, cost}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = b.spent.minus(a)
	b.take(a)
	return &Reservation{budget: b, amount: a}
}

// Hold reserves what is under way already, as the batches of an earlier process
// are, whether it fits or not. While more is held than the limits leave, nothing
// else is reserved.
func (b *Budget) Hold(tokens int64, cost nightshift.NanoUSD) *Reservation {
	if b == nil {
		return &Reservation{}
	}
	a := amount{tokens, cost}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.take(a)
	return &Reservation{budget: b, amount: a}
}

// Grow adds to the reservation where that fits. Where it does not, later says
// that it may do so once what others have reserved is settled. A reservation
// that is settled does not grow.
func (r *Reservation) Grow(tokens int64, cost nightshift.NanoUSD) (ok, later bool) {
	b := r.budget
	if b == nil {
		return true, false
	}
	more := amount{tokens, cost}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case r.closed:
		return false, false
	case len(b.waiting) > 0 || !b.fits(more):
		return false, b.open > 1
	}
	b.reserved = b.reserved.plus(more)
	r.amount = r.amount.plus(more)
	return true, false
}

// Spend books what an earlier process spent.
func (b *Budget) Spend(tokens int64, cost nightshift.NanoUSD) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = b.spent.plus(amount{tokens, cost})
	b.decide()
}

// Spent returns what is settled, kept reservations at their worst case
// included.
func (b *Budget) Spent() (tokens int64, cost nightshift.NanoUSD) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spent.tokens, b.spent.cost
}

// Reserved returns the worst case of everything in flight, and how many wait
// for some of it.
func (b *Budget) Reserved() (tokens int64, cost nightshift.NanoUSD, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reserved.tokens, b.reserved.cost, len(b.waiting)
}

// Settle replaces the reservation by what was used.
func (r *Reservation) Settle(tokens int64, cost nightshift.NanoUSD) {
	r.close(func(amount) amount { return amount{tokens, cost} })
}

// Keep books the reservation at its worst case: it may have been billed.
func (r *Reservation) Keep() { r.close(func(reserved amount) amount { return reserved }) }

// Release gives the reservation back: nothing was billed.
func (r *Reservation) Release() { r.close(func(amount) amount { return amount{} }) }

// close books what of the reservation was spent.
func (r *Reservation) close(spent func(reserved amount) amount) {
	b := r.budget
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	b.reserved = b.reserved.minus(r.amount)
	b.open--
	b.spent = b.spent.plus(spent(r.amount))
	b.decide()
}

// decide grants the claims at the head of the queue that fit, and refuses
// those that nothing in flight can help.
func (b *Budget) decide() {
	n := 0
	for _, c := range b.waiting {
		switch {
		case b.fits(c.amount):
			b.take(c.amount)
		case b.open == 0:
			c.err = nightshift.ErrBudget
		default:
			b.waiting = b.waiting[n:]
			return
		}
		close(c.done)
		n++
	}
	b.waiting = nil
}

func (b *Budget) take(a amount) {
	b.reserved = b.reserved.plus(a)
	b.open++
}

// fits reports whether a can be reserved now.
func (b *Budget) fits(a amount) bool {
	left := b.spent.plus(b.reserved)
	return (b.Tokens == 0 || a.tokens <= b.Tokens-left.tokens) &&
		(b.Cost == 0 || a.cost <= b.Cost-left.cost)
}

// withdraw takes a claim back and reports whether it was still undecided.
func (b *Budget) withdraw(c *claim) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range b.waiting {
		if w == c {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			b.decide() // the next may be smaller
			return true
		}
	}
	return false
}
