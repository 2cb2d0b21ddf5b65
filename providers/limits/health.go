package limits

import "math/rand/v2"

const (
	failureWeight = 0.03 // of one outcome in the failure average
	sick          = 0.25 // failure average above which the window shrinks
	broken        = 0.50 // above which the breaker opens
	brokenRow     = 8    // failures in a row that open it too
	longestProbe  = 10.0 // seconds between probes at most
	mostProbes    = 4    // not answered yet, at most
)

// health follows failures that are not refusals: 5xx, timeouts, resets. While
// it is open, requests go out one at a time to see whether the server is back.
type health struct {
	failing float64 // moving average of failures
	row     int     // failures in a row
	reacted float64 // when the window was last shrunk
	open    bool
	since   float64 // when it opened
	tries   int     // probes sent since
	probeAt float64 // next probe
	probes  int     // probes in flight
}

// succeeded reports whether that closes the breaker.
func (h *health) succeeded() bool {
	h.row = 0
	h.failing -= failureWeight * h.failing
	if !h.open {
		return false
	}
	h.open = false
	h.failing = 0
	return true
}

// failed reports whether the failure opens the breaker.
func (h *health) failed(now float64) bool {
	h.row++
	h.failing += failureWeight * (1 - h.failing)
	if h.open || (h.row < brokenRow && h.failing <= broken) {
		return false
	}
	h.open, h.since, h.tries = true, now, 0
	h.schedule(now)
	return true
}

// probing books a probe.
func (h *health) probing(now float64) {
	h.probes++
	h.tries++
	h.schedule(now)
}

func (h *health) schedule(now float64) {
	gap := min(float64(int(1)<<min(h.tries, 10)), longestProbe)
	h.probeAt = now + gap*(0.75+0.25*rand.Float64())
}

// A retryBudget lets failed requests be sent again at a tenth of the rate of
// all sends plus three a second, so that a sick endpoint is not hammered.
type retryBudget struct{ credit, at float64 }

const mostCredit = 30

func (r *retryBudget) advance(now float64) {
	r.credit = min(mostCredit, r.credit+3*(now-r.at))
	r.at = now
}

func (r *retryBudget) sent(repeat bool) {
	r.credit = min(mostCredit, r.credit+0.1)
	if repeat {
		r.credit--
	}
}
