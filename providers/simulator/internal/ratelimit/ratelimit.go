// Package ratelimit keeps the rate limits of one key of a simulated server:
// token buckets, fixed and sliding windows, requests in flight, and another
// client that uses the same limits. It shares nothing with the limiter of
// clients, on purpose.
package ratelimit

import (
	"math"
	"sync"
	"time"
)

// The dimensions that are limited, in the order in which they are told.
const (
	Requests = iota
	Input
	Output
	Tokens
	Dimensions
)

// Limits are those of the simulator's configuration, which describes them.
type Limits struct {
	Requests, Input, Output, Tokens int64
	Concurrency                     int
	Burst, Window, Sliding          time.Duration
	Charge, Headers                 string
	PerModel                        bool
}

// ChargeMax charges output at max_tokens when a request is admitted.
const ChargeMax = "max_tokens"

// A Competitor is that of the simulator's configuration.
type Competitor struct {
	Share        float64
	Period, Busy time.Duration
}

// A Limiter keeps the limits of one key (and model, where they have their own).
type Limiter struct {
	mu      sync.Mutex
	cfg     Limits
	buckets [Dimensions]*bucket // nil where there is no limit
	running int
	// A pause is what a client was last told to wait, from the first refusal
	// of an episode on.
	pausedAt, pauseEnds time.Time
}

// A Refusal says which limit refused a request.
type Refusal struct {
	Dimension int // -1 for concurrency
	Limit     int64
	Used      int64
	Requested int64
	Wait      time.Duration // until it may pass; 0 when that cannot be said
	Never     bool          // larger than the limit itself
}

// A Reading is what headers tell of one limit.
type Reading struct {
	Dimension        int
	Limit, Remaining int64
	Reset            time.Duration // until the limit is whole again
}

// New returns the limiter of one key: no limit has been used yet.
func New(cfg Limits, n Competitor, now time.Time) *Limiter {
	l := &Limiter{cfg: cfg}
	for d, perMinute := range [Dimensions]int64{cfg.Requests, cfg.Input, cfg.Output, cfg.Tokens} {
		if perMinute > 0 {
			l.buckets[d] = newBucket(cfg, n, perMinute, now)
		}
	}
	return l
}

// Admit takes a request's cost, or says why not. Output is what is charged on
// admission: max_tokens, or 0 when output is charged on completion.
func (l *Limiter) Admit(now time.Time, input, output int) (r *Refusal, readings []Reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cost := [Dimensions]float64{1, float64(input), float64(output), float64(input + output)}
	need := cost
	need[Output] = max(need[Output], 1) // output charged later wants a bucket out of debt
	for d, b := range l.buckets {
		if b == nil {
			continue
		}
		b.advance(now)
		if wait := b.wait(need[d], now); wait > 0 && (r == nil || wait > r.Wait) {
			r = &Refusal{d, b.perMinute, b.perMinute - b.remaining(), int64(need[d]), wait, need[d] > float64(b.perMinute)}
		}
	}
	if r == nil && l.cfg.Concurrency > 0 && l.running >= l.cfg.Concurrency {
		r = &Refusal{Dimension: -1, Limit: int64(l.cfg.Concurrency), Used: int64(l.running), Requested: 1}
	}
	if r == nil {
		l.running++
		for d, b := range l.buckets {
			if b != nil {
				b.take(now, cost[d])
			}
		}
	}
	return r, l.read(now)
}

// read returns the state of all limits; the buckets have been advanced.
func (l *Limiter) read(now time.Time) (readings []Reading) {
	for d, b := range l.buckets {
		if b != nil {
			readings = append(readings, Reading{d, b.perMinute, b.remaining(), b.refill(now)})
		}
	}
	return readings
}

// Done ends a request and charges output that was not charged before.
func (l *Limiter) Done(now time.Time, output int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if l.cfg.Charge == ChargeMax {
		return
	}
	for _, d := range []int{Output, Tokens} {
		if b := l.buckets[d]; b != nil {
			b.advance(now)
			b.take(now, float64(output))
		}
	}
}

// Told notes that a client was told to wait.
func (l *Limiter) Told(now time.Time, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait > 0 && now.After(l.pauseEnds) {
		l.pausedAt, l.pauseEnds = now, now.Add(wait)
	}
}

// underway is how long the word of a refusal may take to reach everybody:
// requests sent meanwhile are not held against the client.
const underway = 100 * time.Millisecond

// Early reports whether a request comes before the end of a pause that its
// sender must know of.
func (l *Limiter) Early(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.pauseEnds.Add(-time.Millisecond)) && now.After(l.pausedAt.Add(underway))
}

// A bucket is a token bucket, a counter of a fixed window, or one of a sliding
// window. Its level is what may still be spent; below zero it is debt.
type bucket struct {
	perMinute  int64
	rate       float64 // per second
	capacity   float64
	level      float64
	at         time.Time     // of level
	window     time.Duration // 0 for a token bucket
	competitor Competitor
	origin     time.Time // of the neighbour's periods
	// sliding is the length of a sliding window, 0 for none; spent is what was
	// taken within it, the oldest first.
	sliding time.Duration
	spent   []withdrawal
}

// A withdrawal is an amount taken from a sliding window.
type withdrawal struct {
	at     time.Time
	amount float64
}

func newBucket(cfg Limits, n Competitor, perMinute int64, now time.Time) *bucket {
	b := &bucket{perMinute: perMinute, rate: float64(perMinute) / 60, at: now, window: cfg.Window, competitor: n,
		origin: now}
	burst := cfg.Burst
	switch {
	case cfg.Sliding > 0:
		burst, b.sliding = cfg.Sliding, cfg.Sliding
	case cfg.Window > 0:
		burst = cfg.Window
		b.at = now.Truncate(cfg.Window)
	case burst == 0:
		burst = time.Minute
	}
	b.capacity = max(1, b.rate*burst.Seconds())
	b.level = b.capacity
	return b
}

// advance brings the level up to now.
func (b *bucket) advance(now time.Time) {
	if b.sliding > 0 {
		for len(b.spent) > 0 && now.Sub(b.spent[0].at) >= b.sliding {
			b.level += b.spent[0].amount
			b.spent = b.spent[1:]
		}
		return
	}
	if b.window > 0 {
		if start := now.Truncate(b.window); start.After(b.at) {
			b.at, b.level, b.origin = start, b.capacity, start
		}
		if b.competitor.Share > 0 { // what the neighbour took since the last look
			b.level = max(min(b.level, 0), b.level-b.rate*b.competitor.Share*b.competitor.busy(b.origin, now))
			b.origin = now
		}
		return
	}
	elapsed := now.Sub(b.at).Seconds()
	if elapsed <= 0 {
		return
	}
	if b.competitor.Share <= 0 {
		b.level = min(b.capacity, b.level+b.rate*elapsed)
		b.at = now
		return
	}
	b.share(now)
}

// take spends an amount.
func (b *bucket) take(now time.Time, amount float64) {
	b.level -= amount
	if b.sliding > 0 && amount > 0 {
		b.spent = append(b.spent, withdrawal{now, amount})
	}
}

// share advances a token bucket that a neighbour draws from, switch by switch
// of the neighbour's busy and idle times.
func (b *bucket) share(now time.Time) {
	if whole := 10 * b.competitor.Period; whole > 0 && now.Sub(b.at) > whole+10*time.Minute {
		b.at = now.Add(-whole - 10*time.Minute) // what was before has long settled
	}
	for b.at.Before(now) {
		busy, until := b.competitor.state(b.origin, b.at)
		if until.After(now) {
			until = now
		}
		net := b.rate
		if busy {
			net *= 1 - b.competitor.Share
		}
		floor := min(b.level, 0) // a neighbour drains the bucket, it makes no debt
		b.level = min(b.capacity, max(floor, b.level+net*until.Sub(b.at).Seconds()))
		b.at = until
	}
}

// state says whether the neighbour is busy at t, and until when that lasts.
func (n Competitor) state(origin, t time.Time) (busy bool, until time.Time) {
	if n.Period <= 0 {
		return true, t.Add(time.Hour)
	}
	into := t.Sub(origin) % n.Period
	if into < n.Busy {
		return true, t.Add(n.Busy - into)
	}
	return false, t.Add(n.Period - into)
}

// busy returns the seconds of (from, to] in which the neighbour is busy, for
// fixed windows, whose periods are aligned to the clock.
func (n Competitor) busy(from, to time.Time) float64 {
	if n.Period <= 0 {
		return to.Sub(from).Seconds()
	}
	total := 0.0
	for from.Before(to) {
		busy, until := n.state(from.Truncate(n.Period), from)
		if until.After(to) {
			until = to
		}
		if busy {
			total += until.Sub(from).Seconds()
		}
		from = until
	}
	return total
}

// wait returns how long until need may be spent; 0 is now. More than the
// bucket holds waits for a full one: it could otherwise never be sent.
func (b *bucket) wait(need float64, now time.Time) time.Duration {
	if need > float64(b.perMinute) && b.capacity <= float64(b.perMinute) {
		return time.Minute
	}
	missing := min(need, b.capacity) - b.level
	if missing <= 1e-6 { // float dust: ten times a tenth is not one
		return 0
	}
	if b.window > 0 {
		return b.at.Add(b.window).Sub(now)
	}
	if b.sliding > 0 {
		return b.freed(missing, now)
	}
	return time.Duration(math.Ceil(missing / b.rate * 1e9))
}

// freed is how long until so much has left a sliding window; all of it at most.
func (b *bucket) freed(amount float64, now time.Time) time.Duration {
	var last time.Time
	for _, s := range b.spent {
		last = s.at
		if amount -= s.amount; amount <= 1e-6 {
			break
		}
	}
	return max(time.Nanosecond, last.Add(b.sliding).Sub(now))
}

func (b *bucket) remaining() int64 {
	return max(0, min(b.perMinute, int64(b.level+1e-6)))
}

// refill is how long until the bucket is full.
func (b *bucket) refill(now time.Time) time.Duration {
	if b.window > 0 {
		return b.at.Add(b.window).Sub(now)
	}
	if b.sliding > 0 {
		if len(b.spent) == 0 {
			return 0
		}
		return b.freed(math.Inf(1), now)
	}
	return time.Duration((b.capacity - b.level) / b.rate * 1e9)
}
