package limits

import "math"

// A dim is one kind of limit.
type dim int

const (
	dimRequests dim = iota
	dimTokens       // input and output together
	dimInput
	dimOutput
	numDims
)

// A rule says when a server charges output.
type rule uint8

const (
	atEnd     rule = iota // what was written, when it is
	atStart               // max_tokens on arrival, for good
	refunding             // max_tokens on arrival, the rest given back at the end
)

// A bucket model is one guess at the server's own bucket: how much it holds and
// when output is charged. It is kept up to date whether or not it is believed.
type bucketModel struct {
	rule  rule
	burst float64 // seconds of the rate that the bucket holds
	level float64
	// fixed is set for a count that starts anew every burst seconds instead of
	// a bucket that fills; next is when, once that has been seen.
	fixed       bool
	next, began float64
	// adjust is the sum of all corrections made to level, so that a level
	// noted earlier can be compared with what the server said of that time.
	adjust float64
	// prediction error counts outcomes that this guess had excluded; offNow and offSent
	// are its mean error against reported levels, in seconds of the rate, read
	// as of the answer's end and of its start.
	predictionError, offNow, offSent float64
}

// A dimension paces one kind of limit: a debt pacer for the long run, bucket models
// of the server's bucket for the moment. Times are seconds on the limiter's
// clock.
type dimension struct {
	kind       dim
	rate       float64 // units a second; 0 is unknown
	configured float64 // from the plan, a second; 0 is none
	level      float64 // pacer: spent below zero, waited off
	at         float64 // when the levels were brought up to date
	short      bool    // the bucket model held the last one back: save up
	since      float64 // when that began
	probed     bool    // it has just ended after a while: let one go ahead of the others
	last       float64 // when something was sent last
	together   *group  // what was sent last, with what was sent just before
	usual      float64 // what a request books, on average
	// bucketModels are guesses at the server's bucket; best is the one believed.
	bucketModels []bucketModel
	best         int
	ruleChanged  bool    // another rule has just come to be believed
	confident    bool    // the configuration says how output is charged
	exploreAt    float64 // when the next try with a rule that allows more is due
	exploreGap   float64 // seconds between the last two
	reported     bool    // the server says what remains
	reportedAt   float64 // when it did last
	grain        float64 // to which it rounds
	seen         float64 // what it said last, and as of when
	seenAt       float64
	used         meter
}

func newDimension(kind dim, perMinute float64, charge Charge) dimension {
	d := dimension{kind: kind, confident: charge != ""}
	for _, r := range rulesOf(kind, charge) {
		for _, b := range bursts {
			d.bucketModels = append(d.bucketModels, bucketModel{rule: r, burst: b})
		}
		d.bucketModels = append(d.bucketModels, bucketModel{rule: r, burst: fixedWindow, fixed: true})
	}
	if perMinute > 0 {
		d.configured = perMinute / defaultPeriod
		d.setRate(d.configured)
	}
	return d
}

func rulesOf(kind dim, charge Charge) []rule {
	switch {
	case kind == dimRequests || kind == dimInput || charge == ChargeActual:
		return []rule{atEnd}
	case charge == ChargeMaxTokens:
		return []rule{atStart, refunding}
	}
	return []rule{atEnd, atStart, refunding}
}

// setRate adopts a rate. Buckets are taken to be full when it is first known.
func (d *dimension) setRate(rate float64) {
	if d.configured > 0 {
		rate = min(rate, d.configured) // a share of the limit may be all that is ours
	}
	for i := range d.bucketModels {
		m := &d.bucketModels[i]
		if d.rate == 0 {
			m.level = m.burst * rate
		}
		m.level = min(m.level, m.burst*rate)
	}
	d.rate = rate
}

// advance brings the levels up to date. share is the part of the rate that
// the pacer may use.
func (d *dimension) advance(now, share float64) {
	dt := now - d.at
	d.at = now
	if d.rate == 0 || dt <= 0 {
		return
	}
	save := ahead * d.rate
	if d.short {
		save = behind * d.rate
	}
	// Less than a request would be lost whenever another limit holds it back.
	if limit := max(save, d.usual); d.level < limit {
		d.level = min(limit, d.level+dt*d.rate*share)
	}
	for i := range d.bucketModels {
		d.bucketModels[i].advance(now, dt, d.rate)
	}
}

func (m *bucketModel) advance(now, dt, rate float64) {
	if m.next == 0 {
		m.level = min(m.level+dt*rate, m.burst*rate)
		return
	}
	for now >= m.next {
		m.level, m.began = m.burst*rate, m.next
		m.next += m.burst
	}
}

// wait returns how long a request has to wait for this dimension.
func (d *dimension) wait(c Cost, share float64) float64 {
	if d.rate == 0 {
		return 0
	}
	m := &d.bucketModels[d.best]
	need := d.need(m, c)
	if m.level < need {
		if !d.short {
			d.short, d.since = true, d.at
		}
		return (need - m.level) / d.rate
	}
	if d.short {
		d.short = false
		d.probed = d.at-d.since > shortFor && d.small()
	}
	if d.level < 0 {
		return -d.level / (d.rate * share)
	}
	return d.spread(c)
}

// spread keeps what was saved up behind a small bucket from going out in one
// instant: an answer that ends meanwhile would have all of it refused.
func (d *dimension) spread(c Cost) float64 {
	if d.level <= ahead*d.rate || !d.small() {
		return d.inOrder(c)
	}
	return max(0, d.last+min(spreadMost, spreadOver*d.reserve(c)/d.level)-d.at)
}

// inOrder keeps large requests so far apart that the server sees them in the
// order in which they were sent: what it then says remains can be told from
// what a server with another rule would say.
func (d *dimension) inOrder(c Cost) float64 {
	most := d.reserve(c)
	if !d.confident {
		most = max(most, d.arrival(atStart, c))
	}
	gap := min(orderMost, orderShare*most/d.rate, orderReserve*d.reserve(c)/d.rate)
	if gap < orderLeast {
		return 0
	}
	return max(0, d.last+gap-d.at)
}

// need is what the server's bucket should hold when c arrives. No bucket holds
// more than itself.
func (d *dimension) need(m *bucketModel, c Cost) float64 {
	arrival := d.arrival(m.rule, c)
	if d.kind == dimOutput || d.kind == dimTokens {
		if m.rule == atEnd {
			arrival = max(arrival, min(max(needOfRate*d.rate, float64(c.Output)), m.burst/needOfBucket*d.rate))
		}
	}
	return min(arrival, mostOfBucket*m.burst*d.rate)
}

// arrival is what a server with rule r charges when c arrives.
func (d *dimension) arrival(r rule, c Cost) float64 {
	if r == atEnd {
		return d.charged(float64(c.Input), 0)
	}
	return d.charged(float64(c.Input), float64(max(c.MaxOutput, c.Output)))
}

// reserve is what the pacer books for c: what the server will have charged in
// the end, as far as that is known.
func (d *dimension) reserve(c Cost) float64 {
	if d.bucketModels[d.best].rule == atStart {
		return d.charged(float64(c.Input), float64(max(c.MaxOutput, c.Output)))
	}
	return d.charged(float64(c.Input), float64(c.Output))
}

// A charge is what one request has booked in one dimension.
type charge struct {
	booked   float64   // by the pacer
	clear    uint32    // bucket models that were confident it would pass
	excluded uint32    // bucket models that were confident it would not
	noted    []float32 // levels when it was sent
	sent     float64
	arrives  float64 // what the server charges on arrival, as is believed
	together *group  // with what it was sent
	touched  bool
}

// A group is what was sent within so short a time that it may have arrived in any
// order: what remained after one of them says no more exactly what is left.
type group struct{ began, amount float64 }

// spend books a request that is sent now.
func (d *dimension) spend(c Cost) charge {
	if d.rate == 0 {
		return charge{}
	}
	s := charge{booked: d.reserve(c), sent: d.at, touched: true}
	d.level -= s.booked
	d.last = d.at
	s.arrives = d.arrival(d.bucketModels[d.best].rule, c)
	s.together = d.join(s.arrives)
	d.usual += usualWeight * (s.booked - d.usual)
	margin := marginOfRate * d.rate
	for i := range d.bucketModels {
		m := &d.bucketModels[i]
		need := d.need(m, c)
		switch room := min(margin, need/2); {
		case d.arrival(m.rule, c) > m.burst*d.rate:
			s.excluded |= 1 << i
		case m.level >= need:
			s.clear |= 1 << i
		case m.level < need-room:
			s.excluded |= 1 << i
		}
		m.level = max(m.level-d.arrival(m.rule, c), -deepestDebt*m.burst*d.rate-need)
	}
	if d.reported {
		s.noted = make([]float32, len(d.bucketModels))
		for i := range d.bucketModels {
			s.noted[i] = float32(d.bucketModels[i].level - d.bucketModels[i].adjust)
		}
	}
	return s
}

// join adds what is sent now to its group.
func (d *dimension) join(amount float64) *group {
	if d.together == nil || d.at > d.together.began+anyOrder {
		d.together = &group{began: d.at}
	}
	d.together.amount += amount
	return d.together
}

// unexplained is what is left of a difference that those do not explain that were
// sent with the request, before it or after it.
func (s charge) unexplained(diff float64) float64 {
	if s.together == nil {
		return diff
	}
	return math.Copysign(max(0, math.Abs(diff)-(s.together.amount-s.arrives)), diff)
}

// settle replaces what was booked for a request by what it used.
func (d *dimension) settle(s charge, c Cost, in, out float64) {
	used := d.charged(in, out)
	if s.touched && d.bucketModels[d.best].rule == atStart && d.kind != dimRequests && d.kind != dimInput {
		used = max(used, s.booked)
	}
	if !s.touched || d.rate == 0 {
		return
	}
	d.level += s.booked - used
	for i := range d.bucketModels {
		m := &d.bucketModels[i]
		m.level -= d.finish(m.rule, c, in, out)
	}
}

// charged is what a request of so many input and output tokens counts in this
// dimension.
func (d *dimension) charged(in, out float64) float64 {
	switch d.kind {
	case dimRequests:
		return 1
	case dimInput:
		return in
	case dimTokens:
		return in + out
	}
	return out
}

// finish is what a server with rule r charges when an answer ends, beyond
// what it charged on arrival.
func (d *dimension) finish(r rule, c Cost, in, out float64) float64 {
	late := 0.0
	switch r {
	case atEnd:
		late = out
	case refunding:
		late = out - float64(max(c.MaxOutput, c.Output))
	}
	switch d.kind {
	case dimRequests:
		return 0
	case dimInput:
		return in - float64(c.Input)
	case dimTokens:
		return in - float64(c.Input) + late
	}
	return late
}

// refund takes back all that was booked for a request that used nothing. A
// request that was refused still counts as one for the pacer where counted.
func (d *dimension) refund(s charge, c Cost, counted bool) {
	if !s.touched || (counted && d.kind == dimRequests) {
		return
	}
	d.level += s.booked
	for i := range d.bucketModels {
		m := &d.bucketModels[i]
		m.level = min(m.level+d.arrival(m.rule, c), m.burst*d.rate)
	}
}

// accepted tells the bucket models that a request passed.
func (d *dimension) accepted(s charge) {
	if s.excluded == 0 {
		return
	}
	for i := range d.bucketModels {
		if s.excluded&(1<<i) != 0 {
			d.bucketModels[i].predictionError += errorOfPass
		}
	}
	d.choose()
}

// refused tells the bucket models that a request was refused. It reports whether the
// believed one had seen that coming. An answer that ended while the request
// was under way may have emptied the bucket before it: then a bucket model that was
// confident when it was sent is not wrong.
func (d *dimension) refused(s charge, c Cost) (expected bool) {
	if !s.touched {
		return false
	}
	for i := range d.bucketModels {
		m := &d.bucketModels[i]
		m.predictionError *= errorKept
		if m.level < d.need(m, c) { // what it booked has been taken back
			s.clear &^= 1 << i
		}
		if s.clear&(1<<i) != 0 {
			m.predictionError++
		}
	}
	expected = s.clear&(1<<d.best) == 0
	d.choose()
	return expected
}

// resetErrors forgets what refusals seemed to tell, where the server itself says
// nothing of its bucket.
func (d *dimension) resetErrors() {
	if d.reported || d.rate == 0 {
		return
	}
	for i := range d.bucketModels {
		d.bucketModels[i].predictionError = 0
	}
	d.believe(0)
}

// emptied notes that the server's bucket was found empty.
func (d *dimension) emptied() {
	m := &d.bucketModels[d.best]
	m.level = min(m.level, 0)
}

// holds notes that the server's bucket holds no more than that.
func (d *dimension) holds(most float64) {
	for i := range d.bucketModels {
		m := &d.bucketModels[i]
		if step := most - m.level; step < 0 {
			m.level += step
			m.adjust += step
		}
	}
}

// fill is how many seconds of its rate the server's bucket is thought to hold.
func (d *dimension) fill() float64 { return d.bucketModels[d.best].level / d.rate }

// small reports whether the server's bucket is known to be small: the belief
// agrees with what the server says, where it says anything.
func (d *dimension) small() bool {
	return d.bucketModels[d.best].burst < smallBurst && (!d.reported || d.agrees())
}

// agrees reports whether what the server says remains is what is believed.
func (d *dimension) agrees() bool {
	return d.bucketModels[d.best].off() < agreesWithin
}

// forget lets old evidence fade, so that a server that changes is seen anew.
func (d *dimension) forget(keep float64) {
	for i := range d.bucketModels {
		d.bucketModels[i].predictionError *= keep
	}
	d.explore()
}

// explore goes back to a rule that allows more, where nothing speaks against it
// any longer: at the pace of max_tokens charged for good, the server's bucket
// is full and all rules look alike.
func (d *dimension) explore() {
	least := exploreFactor*d.bucketModels[d.best].off() + exploreSlack
	if d.bucketModels[d.best].rule != atStart || d.confident || d.at < d.exploreAt {
		return
	}
	best := d.best
	for i := range d.bucketModels {
		if m := &d.bucketModels[i]; m.rule != atStart && !m.fixed && m.penalty() < least {
			best, least = i, m.penalty()
		}
	}
	if best != d.best {
		d.believe(best)
		d.exploreGap = min(exploreGrowth*d.exploreGap+firstExplore, lastExplore)
		d.exploreAt = d.at + d.exploreGap // not so soon again, if that was wrong
	}
}

// choose picks the bucket model that is least contradicted. It stays with the one it
// has unless another is clearly better.
func (d *dimension) choose() {
	best, least := d.best, betterBy*d.bucketModels[d.best].penalty()-betterByAtLeast
	for i := range d.bucketModels {
		if p := d.bucketModels[i].penalty(); p < least {
			best, least = i, p
		}
	}
	d.believe(best)
}

// believe changes what is believed. What the pacer owes was counted by the old
// rule, so it is forgotten where the rules count differently.
func (d *dimension) believe(best int) {
	was, is := d.bucketModels[d.best].rule, d.bucketModels[best].rule
	d.best = best
	if (was == atStart) != (is == atStart) {
		d.level = 0
		d.ruleChanged = true
	}
}

func (m *bucketModel) penalty() float64 { return m.predictionError + errorOfReport*m.off() }

func (m *bucketModel) off() float64 { return min(m.offNow, m.offSent) }

// report takes in what the server said of this dimension in the answer to a
// request with charge s.
func (d *dimension) report(w *Window, s charge) {
	if rate := w.rate(); rate > 0 && math.Abs(rate-d.rate) > 1e-9*rate {
		d.setRate(rate)
	}
	if d.rate == 0 || w.Remaining < 0 || (w.Limit > 0 && w.Remaining > w.Limit) {
		return
	}
	d.reported = true
	d.round(w.Remaining)
	d.findEdge(w.Remaining, s)
	weight := max(reportWeight, 1-math.Exp((d.reportedAt-d.at)/reportMemory))
	d.reportedAt = d.at
	for i := range d.bucketModels {
		m := &d.bucketModels[i]
		full := m.burst * d.rate
		now := s.unexplained(d.difference(w.Remaining, clamp(m.level, 0, full)))
		sent := now
		if s.noted != nil {
			sent = s.unexplained(d.difference(w.Remaining, clamp(float64(s.noted[i])+m.adjust, 0, full)))
		}
		if m.next > 0 && s.touched && s.sent < m.began {
			continue // from the window before
		}
		m.offNow += weight * (min(math.Abs(now)/d.rate, mostDifferent) - m.offNow)
		m.offSent += weight * (min(math.Abs(sent)/d.rate, mostDifferent) - m.offSent)
		step := now
		if m.offSent < m.offNow {
			step = sent
		}
		step *= correction
		m.level += step
		m.adjust += step
	}
	d.choose()
}

// difference is how far what the server said is from what was thought, beyond
// its rounding.
func (d *dimension) difference(said, thought float64) float64 {
	diff := said - thought
	if diff > -d.grain && diff < d.grain/2 {
		return 0
	}
	return diff
}

// round learns to what the server rounds: some tell tokens in whole thousands.
func (d *dimension) round(said float64) {
	if d.grain == 0 {
		d.grain = coarsestGrain
	}
	for d.grain > 1 && math.Mod(said, d.grain) != 0 {
		d.grain /= grainStep
	}
}

// findEdge looks for the moment at which a fixed window began anew: what
// remains rises by more than any bucket fills.
func (d *dimension) findEdge(remaining float64, s charge) {
	at := d.at
	if s.touched && d.stale() {
		at = s.sent
	}
	if at <= d.seenAt {
		return
	}
	rise := (remaining - d.seen) / d.rate
	if d.seenAt > 0 && rise > at-d.seenAt+edgeRise {
		for i := range d.bucketModels {
			if m := &d.bucketModels[i]; m.fixed && rise > edgeOfFull*m.burst && math.Abs(at+m.burst-m.next) > edgeApart {
				m.began, m.next = at, at+m.burst // its level is put right by what follows
			}
		}
	}
	d.seen, d.seenAt = remaining, at
}

// stale reports whether the server's words are as of the moment that a request
// came, not of the moment that its answer ended.
func (d *dimension) stale() bool {
	now, sent := math.Inf(1), math.Inf(1)
	for i := range d.bucketModels {
		now, sent = min(now, d.bucketModels[i].offNow), min(sent, d.bucketModels[i].offSent)
	}
	return sent < now
}

// rate returns the limit in units a second; 0 where it is unknown or counts
// over so long a time that pacing by it makes no sense.
func (w *Window) rate() float64 {
	period := w.Period.Seconds()
	if period == 0 {
		period = defaultPeriod
	}
	if w.Limit <= 0 || period < 0 || period > longestPeriod {
		return 0
	}
	return w.Limit / period
}

func clamp(x, low, high float64) float64 { return max(low, min(x, high)) }
