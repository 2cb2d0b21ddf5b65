package limits

import "math"

// A pause holds everybody back after a refusal. When it is over, one request
// is sent first; the others follow when it has passed.
type pause struct {
	until   float64 // nothing is sent before
	row     int     // refusals in a row without a success in between
	reacted float64 // requests sent before that say nothing new
	trial   bool    // the next request, or the one in flight, is the trial
	out     bool    // it is in flight
	held    float64 // the others wait until then, or for its answer
	latency float64 // usual time from sending to refusal
	started float64
}

// refused begins or prolongs a pause. retryAfter is negative when not said;
// debt is the time that requests in flight may keep the server's bucket empty,
// random a number in [0, 1) that keeps clients from coming back together.
func (p *pause) refused(now, retryAfter, debt, random float64) {
	p.row++
	own := firstPause * math.Exp2(float64(min(p.row-1, mostDoublings))) * (0.5 + random/2)
	if p.row > 1 {
		own = max(own, debt/2)
	}
	wait := min(own, longestPause)
	if retryAfter >= 0 {
		more := min(mostStretch, math.Pow(stretchBase, float64(p.row-1)))
		wait = max(floorPause, retryAfter*(1+pauseJitter*random)*more)
	}
	p.started = now
	p.until = max(p.until, now+wait)
	p.reacted = now
	p.trial, p.out = true, false
}

// sent notes that the trial is on its way.
func (p *pause) sent(now float64) {
	p.out = true
	p.held = now + max(trialLead, trialDelays*p.latency)
}

// over ends the trial: the others may go.
func (p *pause) over() { p.trial, p.out = false, false }

func (p *pause) took(seconds float64) {
	if p.latency == 0 {
		p.latency = seconds
	}
	p.latency += delayWeight * (seconds - p.latency)
}
