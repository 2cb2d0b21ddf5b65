package limits

import "math"

// health follows failures that are not refusals: 5xx, timeouts, resets. While
// it is open, requests go out one at a time to see whether the server is back.
type health struct {
	failing   float64 // moving average of failures
	row       int     // failures in a row
	reacted   float64 // when the window was last shrunk
	open      bool
	since     float64 // when it opened
	before    float64 // size of the window then
	latency   float64 // usual time from sending to failure
	tentative bool    // closed on the strength of a probe that did not fail at once
	oldest    float64 // when the oldest probe that may still survive was sent; 0 is none
	tries     int     // probes sent since
	probeAt   float64 // next probe
	probes    int     // probes in flight

	answered   float64 // when the request was sent that was answered: the latest of all
	lastAnswer float64 // when the last answer came
}

// succeeded takes in an answer to a request that was sent at that time. It
// reports whether that closes the breaker: answers from before the outage do
// not.
func (h *health) succeeded(sent float64) bool {
	if (h.open || h.tentative) && sent < h.since {
		return false
	}
	h.row = 0
	h.failing -= failureWeight * h.failing
	if !h.open && !h.tentative {
		return false
	}
	h.open, h.tentative = false, false
	h.failing = 0
	return true
}

// failed takes in a failure and reports whether it opens the breaker. random is
// a number in [0, 1).
func (h *health) failed(now, sent, random float64) bool {
	h.row++
	h.failing += failureWeight * (1 - h.failing)
	h.latency += delayWeight * (now - sent - h.latency)
	h.oldest = 0
	if h.open || (h.row < brokenRow && h.failing <= broken && !h.tentative) {
		return false
	}
	if !h.tentative {
		h.since, h.tries = now, 0
	}
	h.open, h.tentative = true, false
	h.schedule(now, random)
	return true
}

// survival is how long the oldest probe still has to go without failing until
// it is taken for a good sign, where failures have been quick so far; +Inf
// where there is none. To wait for whole answers would cost their length.
func (h *health) survival(now float64) float64 {
	if h.oldest == 0 || h.latency > quickFailure {
		return math.Inf(1)
	}
	return h.oldest + max(survivesFor, survives*h.latency) - now
}

// probing books a probe.
func (h *health) probing(now, random float64) {
	h.probes++
	h.tries++
	if h.oldest == 0 {
		h.oldest = now
	}
	h.schedule(now, random)
}

func (h *health) schedule(now, random float64) {
	gap := min(float64(int(1)<<min(h.tries, mostTries)), longestProbe)
	h.probeAt = now + gap*(1-probeJitter+probeJitter*random)
}

// A retryBudget lets failed requests be sent again at a tenth of the rate of
// all sends plus three a second, so that a sick endpoint is not hammered.
type retryBudget struct{ credit, at float64 }

func (r *retryBudget) advance(now float64) {
	r.credit = min(mostCredit, r.credit+retryRate*(now-r.at))
	r.at = now
}

func (r *retryBudget) sent(repeat bool) {
	r.credit = min(mostCredit, r.credit+retryPart)
	if repeat {
		r.credit--
	}
}
