package limits

import (
	"math"
	"time"
)

// dispatch sends whoever may go, and sets the timer for the next who may.
func (l *Limiter) dispatch(now float64) {
	l.advance(now)
	for {
		w := l.next()
		if w == nil {
			l.sleep(now, l.idle())
			return
		}
		wait, by := l.gate(now, w.cost)
		if wait > 0 {
			l.limitedBy = by
			l.sleep(now, wait)
			return
		}
		l.queue.remove(w)
		l.markTrial(w)
		w.permit = l.grant(now, w)
		l.tryOut(now, w.permit)
		if w.ready != nil {
			close(w.ready)
		}
	}
}

// next returns who is to go next; nil when nobody may. While the endpoint is
// down, rows that have not failed go first: they say most.
func (l *Limiter) next() *waiter {
	repeats := l.repeats.credit >= 1
	if l.health.open && l.queue.solo.head == nil {
		if w := l.queue.fresh(); w != nil {
			return w
		}
	}
	return l.queue.next(repeats, l.pause.trial)
}

// markTrial makes a request a trial where it is the first after a small bucket was
// empty (the many behind it would all be refused if it still is), and where it
// may be larger than the limit: a refusal of a request that was sent alone can
// only be about it.
func (l *Limiter) markTrial(w *waiter) {
	if w.cost.Turn == Solo {
		l.pause.trial, l.pause.out = true, false
	}
	for i := range l.dims {
		if d := &l.dims[i]; d.probed {
			d.probed = false
			l.pause.trial, l.pause.out = true, false
		}
	}
}

// idle is how long it takes until a failed request may be repeated, where
// nothing else waits.
func (l *Limiter) idle() float64 {
	if l.queue.waiting == 0 {
		return math.Inf(1)
	}
	l.limitedBy = LimitBreaker
	return (1 - l.repeats.credit) / retryRate
}

// gate returns how long the next request has to wait, and for what; +Inf when
// only an answer can help.
func (l *Limiter) gate(now float64, c Cost) (wait float64, by LimitedBy) {
	if l.pause.until > now {
		return l.pause.until - now, LimitPause
	}
	if l.health.open {
		if wait = l.probe(now); wait > 0 || l.health.open {
			return wait, LimitBreaker
		}
	}
	if l.window.full(l.inFlight) {
		if wait = l.untilDouble(now); wait > 0 {
			return wait, LimitConcurrency
		}
		l.window.double(now)
	}
	if l.pause.trial && l.pause.out {
		if l.pause.held > now {
			return l.pause.held - now, LimitPause
		}
		l.pause.over()
	}
	for i := range l.dims {
		if w := l.dims[i].wait(c, pace*l.share.now); w > wait {
			wait, by = w, limitOf[i]
		}
	}
	if w := l.learn.wait(); w > wait {
		wait, by = w, LimitInferred
	}
	if w := l.background.wait(l.inFlight); w > wait {
		wait, by = w, LimitInferred
	}
	return wait, by
}

// untilDouble is how long until the window may double although no answer has come:
// a request that is refused is refused at once, so where a whole second brought
// no refusal, those in flight were accepted. That is for rates that are known
// only: they pay for the answers that are still to come. +Inf otherwise.
func (l *Limiter) untilDouble(now float64) float64 {
	w := &l.window
	known := false
	for i := range l.dims {
		known = known || l.dims[i].rate > 0
	}
	switch {
	case !known || !w.slow || w.size >= w.most || !math.IsInf(w.ceiling, 1),
		l.pause.trial || l.pause.row > 0 || l.health.failing > quietFailing,
		l.counts.succeeded == 0 && w.size >= quietWindows*firstWindow:
		return math.Inf(1)
	}
	return max(w.since+doublesEvery, l.pause.reacted+quietToDouble) - now
}

// probe returns how long until the next probe may be sent while the breaker
// is open. It closes the breaker when a probe has not failed for long enough.
func (l *Limiter) probe(now float64) float64 {
	survival := l.health.survival(now)
	if survival <= 0 {
		l.health.open, l.health.tentative = false, true
		l.window.restart(reopenPart * l.health.before)
		return 0
	}
	if l.health.probes >= mostProbes {
		return survival
	}
	return min(survival, l.health.probeAt-now)
}

// grant books a request as sent.
func (l *Limiter) grant(now float64, w *waiter) *Permit {
	l.inFlight++
	l.counts.sent++
	l.peak.note(now, l.inFlight)
	p := &w.granted
	*p = Permit{limiter: l, cost: w.cost, flow: w.flow, sent: now, number: l.inFlight}
	p.fillsWindow = l.window.near(l.inFlight)
	for i := range l.dims {
		p.charges[i] = l.dims[i].spend(w.cost)
	}
	l.queue.charge(w.flow, float64(w.cost.Input+w.cost.Output))
	l.repeats.sent(w.cost.Turn == Repeat)
	l.learn.sent()
	p.nth = l.background.sent()
	l.sendRate.note(now)
	return p
}

// tryOut makes a request a probe of an endpoint that is down, or the first after a
// pause.
func (l *Limiter) tryOut(now float64, p *Permit) {
	if l.health.open {
		p.probe = true
		l.health.probing(now, l.random.Float64())
	}
	if l.pause.trial && !l.pause.out {
		p.trial = true
		l.pause.sent(now)
	}
}

// sleep sets the timer for the next time that something may change by itself.
func (l *Limiter) sleep(now, wait float64) {
	if l.queue.waiting > 0 {
		wait = min(wait, l.endsAt()-now)
	}
	at := now + wait
	if math.IsInf(at, 1) || (at >= l.wakeAt && l.wakeAt > now) {
		return // an earlier timer sets itself again
	}
	l.wakeAt = at
	after := max(time.Duration(math.Ceil(wait*1e9)), time.Microsecond)
	if l.timer == nil {
		l.timer = time.AfterFunc(after, l.wake)
		return
	}
	l.timer.Reset(after)
}

// wake is called by the timer.
func (l *Limiter) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakeAt = math.Inf(1)
	now := l.now()
	if l.queue.waiting > 0 && now >= l.endsAt() {
		l.stop(l.stalled(now))
		return
	}
	l.dispatch(now)
}
