package providers

import (
	"context"
	"errors"
	"time"

	"nightshift"
	"nightshift/providers/limits"
)

const (
	longestBackoff = 30 * time.Second
	// A tier without capacity gets some within minutes or hours.
	firstCapacityWait   = 5 * time.Second
	longestCapacityWait = 5 * time.Minute
	// firstRest is how long a row waits at most after a first refusal that
	// concerns nobody else and says nothing of the time.
	firstRest = 200 * time.Millisecond
	// firstTries is how many requests may all be refused as wrong before it
	// is the plan that is wrong, not the rows.
	firstTries = 20
)

// failed concludes an attempt that brought no answer.
func (k *call) failed(t *ticket, ex *Exchange) outcome {
	ex.Err = k.ofTier(ex.Err)
	policy := PolicyOf(ex.Err)
	k.countClass(ex.Err.Class)
	b := t.settle(k.billOfFailure(t, ex, policy))
	k.started(ex.Err)
	counts, oversize := k.release(t, ex, policy)
	k.explain(t, ex.Err, policy)
	if counts {
		k.counted++
	}
	var o outcome
	switch {
	case oversize:
		ex.Err = largerThanLimit(ex.Err)
		o = failRowWith(ex.Err)
	case k.stopsNow(policy, ex.Err.Class):
		o = k.stopAndMove(t, ex, policy)
	case k.allRefused():
		o = outcome{open: true, err: k.planStop(ex.Err)}
	case k.neverThere(t, ex.Err, policy):
		o = k.stopAndMove(t, ex, stopEndpoint)
	case !policy.Retry, k.spent(policy, ex.Err.Class), counts && toldNotTo(ex.Limits):
		o = failRowWith(ex.Err)
	default:
		o = k.retry(t, policy, counts)
	}
	o.Exchange, o.class, o.bill = ex, ex.Err.Class, b
	return o
}

// billOfFailure is the worst case where the attempt may have been billed, what
// it used where the server said so all the same, else nothing.
func (k *call) billOfFailure(t *ticket, ex *Exchange, policy Policy) bill {
	u := ex.Response.Usage
	switch {
	case policy.MaybeBilled && ex.Sent:
		return k.worstCase(t, u)
	case ex.Sent && u.Known():
		return k.used(t, u)
	}
	return k.nothing()
}

// release ends the permit the way the error asks for. It reports whether the
// attempt counts against the row, and whether the row is too large ever to
// pass.
func (k *call) release(t *ticket, ex *Exchange, policy Policy) (counts, oversize bool) {
	switch {
	case policy.Pauses:
		refusal := t.permit.Refused(ex.Limits)
		oversize = k.oversize.refused(refusal)
		k.own(refusal)
		k.turn = limits.Retry
		if k.oversize.refusals > 0 {
			k.turn = limits.Solo
		}
	case policy.Patient:
		t.permit.NoCapacity()
		k.standBack = k.untilCapacity(ex.Limits)
		k.turn = limits.Retry
	case policy.FeedsBreaker:
		report := ex.Limits
		report.Err = ex.Err
		counts = t.permit.Failed(report) && policy.Counts
		k.turn = limits.Retry
		if counts {
			k.turn = limits.Repeat
		}
	default:
		t.permit.Release()
		counts = policy.Counts
		k.turn = limits.Repeat
	}
	return counts, oversize
}

// own sets how long the row waits by itself after a refusal that concerns
// nobody else.
func (k *call) own(r limits.Refusal) {
	if !r.Own {
		return
	}
	k.refusals++
	random := k.at(0).Limiter.Random()
	own := min(firstRest<<min(k.refusals-1, 10), longestBackoff)
	k.standBack = max(time.Duration((0.5+random/2)*float64(own)), time.Duration((1+0.05*random)*float64(r.RetryAfter)))
}

// ofTier reads an error as the tier of the requests means it: in a flex tier,
// an overloaded server is one without room for them.
func (k *call) ofTier(e *nightshift.Error) *nightshift.Error {
	if !k.Flex || e.Class != nightshift.ClassOverloaded {
		return e
	}
	room := *e
	room.Class = nightshift.ClassNoCapacity
	return &room
}

// untilCapacity is how long a row waits after it was refused for want of
// capacity: 5 s at first, then twice as long each time, up to five minutes, and
// no shorter than the server asks.
func (k *call) untilCapacity(r limits.Report) time.Duration {
	refusals := k.classes[nightshift.ClassNoCapacity]
	wait := min(firstCapacityWait<<min(max(refusals-1, 0), 10), longestCapacityWait)
	random := k.Routes[0].Limiter.Random()
	asked, _ := r.Until()
	return max(time.Duration((0.5+random)*float64(wait)), time.Duration((1+0.05*random)*float64(asked)))
}

// stopsNow reports whether the error ends more than this row.
func (k *call) stopsNow(p Policy, class nightshift.ErrorClass) bool {
	return (p.StopsEndpoint || p.StopsModel) && (!p.Retry || k.spent(p, class))
}

// spent reports whether the row has used up its attempts.
func (k *call) spent(p Policy, class nightshift.ErrorClass) bool {
	most := k.MaxAttempts
	if most <= 0 {
		most = defaultAttempts
	}
	return k.counted >= most || (p.MaxTries > 0 && k.classes[class] >= p.MaxTries)
}

// toldNotTo reports whether the server itself said that trying again is of no
// use.
func toldNotTo(r limits.Report) bool { return r.ShouldRetry != nil && !*r.ShouldRetry }

// failRowWith ends the request with an error of the row.
func failRowWith(e *nightshift.Error) outcome { return outcome{event: EventFailed, err: e} }

// stopAndMove stops the route, and tries another where there is one.
func (k *call) stopAndMove(t *ticket, ex *Exchange, policy Policy) outcome {
	stop := &nightshift.StopError{Endpoint: k.Endpoint, Err: ex.Err}
	if policy.StopsModel && !policy.StopsEndpoint {
		stop.Model = k.req.Model
	}
	if wait, ok := ex.Limits.Until(); ok {
		stop.Until = time.Now().Add(wait)
	}
	k.stops(t.route, stop)
	if stop.Model == "" {
		k.at(t.route).Limiter.Stop(stop)
	}
	k.classes[ex.Err.Class] = 0 // another route starts afresh
	_, err := k.choose(k.req.Model)
	return outcome{open: true, again: err == nil || errors.Is(err, errAway), err: err}
}

// retry asks for another attempt. A failed row stands back by itself; a refused
// one leaves the waiting to the limiter, but for a refusal that concerns
// nobody else.
func (k *call) retry(t *ticket, p Policy, counts bool) outcome {
	o := outcome{open: true, again: true, event: EventRetry}
	if counts {
		o.wait = backoff(k.counted, k.at(t.route).Limiter.Random())
	}
	if p.Pauses || p.Patient {
		o.event, o.wait, k.standBack = EventRefused, k.standBack, 0
	}
	return o
}

// rest waits before the next attempt, no longer than the route works.
func (k *call) rest(ctx context.Context, route int, wait time.Duration) error {
	if wait == 0 {
		return nil
	}
	began := time.Now()
	defer func() { k.backoff += time.Since(began) }()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	unsent := k.unsent(ctx)
	select {
	case <-timer.C:
		return nil
	case <-k.at(route).Limiter.Stopped():
		return nil
	case <-unsent.Done():
		return unsent.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backoff is how long a row stands back after so many failures: random in
// [0, 1) says how much of the most, so that rows that failed together do not
// come back together.
func backoff(failures int, random float64) time.Duration {
	most := longestBackoff
	if failures < 5 {
		most = min(most, time.Second<<failures)
	}
	return time.Duration(random * float64(most))
}

// started watches the first requests of the pool. err is nil for one that was
// answered. Only a request that is refused as wrong speaks against the plan:
// filters and limits of size judge the row.
func (c *Client) started(err *nightshift.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun >= firstTries || (err != nil && err.Class == nightshift.ClassRateLimit) {
		return
	}
	c.begun++
	if err != nil && err.Class == nightshift.ClassInvalidRequest {
		c.refused++
	}
}

// allRefused reports whether every one of the first requests was refused.
func (c *Client) allRefused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused >= firstTries
}

// planStop stops the pool because nothing it sends is accepted.
func (k *call) planStop(e *nightshift.Error) *nightshift.StopError {
	why := *e
	why.Hint = "every one of the first requests was refused: look at the plan's model, params and endpoint"
	stop := &nightshift.StopError{Endpoint: k.Endpoint, Model: k.req.Model, Err: &why}
	for i := range k.list() {
		k.stops(i, stop)
	}
	return stop
}

// An oversizeDetection gathers evidence that a row is larger than the rate limit
// itself: refused again and again while it was sent alone, and others passed.
type oversizeDetection struct {
	refusals int       // that count as evidence
	passed   int64     // by others, when it was refused last
	at       time.Time // when that was
}

const (
	// enoughForBiggest and enoughForOthers are how many refusals prove that a
	// row is too large: one that is larger than all that passed, and any other.
	enoughForBiggest = 3
	enoughForOthers  = 6
	// refilled is how long a limit per minute takes to fill up.
	refilled = time.Minute
)

// refused takes in a refusal and reports whether the row is too large.
func (d *oversizeDetection) refused(r limits.Refusal) bool {
	if !r.Trial {
		return false
	}
	others := r.Passed > d.passed
	full := r.Passed > 0 && r.Biggest && time.Since(d.at) > refilled
	if d.refusals > 0 && !others && !full {
		return false
	}
	d.refusals++
	d.passed, d.at = r.Passed, time.Now()
	return d.refusals >= enoughForOthers || (d.refusals >= enoughForBiggest && r.Biggest)
}

func largerThanLimit(e *nightshift.Error) *nightshift.Error {
	big := *e
	big.Class = nightshift.ClassExceedsLimit
	big.Hint = "refused each time it was sent alone, while others passed: " +
		"it seems larger than the rate limit; shorten it or lower max_tokens"
	return &big
}
