package limits

import "math"

// A window bounds the requests in flight. It grows while it is what holds
// requests back, and remembers where it was refused.
//
// A server that counts requests in flight refuses above its number and never
// below. That tells such a server from one that limits a rate: after a refusal
// the window steps well back, and another refusal there speaks for a rate.
type window struct {
	size    float64
	most    float64 // configured; +Inf where not
	ceiling float64 // accepted below, refused above; +Inf before it was met
	met     float64 // where it was met; what was sent with that lowers it to half at most
	slow    bool    // slow start: double every round trip
	misses  int     // probes of the ceiling that failed, in a row
	// high is the largest number in flight at which a request was accepted
	// lately.
	high float64
	// rated is set once refusals have shown that a rate is limited; against
	// counts refusals that say the opposite of what is believed.
	rated   bool
	against int
	// base is the size at the last full second of growth: nobody knows at the
	// start how much is too much, so the window doubles once a second at most,
	// however quick the answers are.
	base, since float64
	// passed counts what was accepted since the last refusal, by the number in
	// flight.
	passed []int
}

func newWindow(concurrency int) window {
	w := window{size: firstWindow, base: firstWindow, most: math.Inf(1), ceiling: math.Inf(1), slow: true}
	if concurrency > 0 {
		w.most = float64(concurrency)
		w.size = w.most
	}
	return w
}

func (w *window) full(inFlight int) bool { return float64(inFlight) >= math.Floor(w.size) }

// near reports whether so many in flight all but fill the window.
func (w *window) near(n int) bool { return float64(n) >= nearWindow*math.Floor(w.size)-1 }

// accepted grows the window after a request that was sent as number n in
// flight was accepted, if the window was what held others back. n is 0 where
// some of those in flight were refused.
func (w *window) accepted(now float64, n int, full bool) {
	w.high = max(w.high, float64(n))
	w.pass(n)
	if !full || !w.mayGrow(now) {
		return
	}
	switch {
	case w.size+1 <= w.ceiling && (w.slow || !math.IsInf(w.ceiling, 1)):
		w.size++
	case w.size < w.ceiling:
		w.size = min(w.size+1, w.ceiling)
	case w.size < w.ceiling+nearCeiling:
		w.size += 1 / (ceilingPasses * math.Exp2(float64(min(w.misses, mostMisses))))
	}
	if w.size >= w.ceiling+1 && float64(n) > w.ceiling {
		w.ceiling, w.misses = max(w.ceiling+1, ceilingRises*w.ceiling), 0 // it has risen
	}
	w.size = min(w.size, w.most)
}

func (w *window) pass(n int) {
	n = min(n, countedPasses-1)
	for len(w.passed) <= n {
		w.passed = append(w.passed, 0)
	}
	w.passed[n]++
}

// disproved reports whether several requests passed since the last refusal
// with no fewer in flight than the one that was refused now: then it was not
// their number. It forgets them.
func (w *window) disproved(n int) bool {
	passed := w.passedWith(n)
	clear(w.passed)
	return passed >= provenPasses
}

// passedWith is how many passed since the last refusal that no pause explains
// with n or more in flight.
func (w *window) passedWith(n int) (passed int) {
	for i := n; i < len(w.passed); i++ {
		passed += w.passed[i]
	}
	return passed
}

// mayGrow reports whether the window has not yet doubled in this second.
func (w *window) mayGrow(now float64) bool {
	if now >= w.since+doublesEvery || w.size < w.base {
		w.base, w.since = w.size, now
	}
	return w.size < 2*w.base
}

// double makes room for as many again, within what is configured.
func (w *window) double(now float64) {
	w.base, w.since = w.size, now
	w.size = min(2*w.size, w.most)
}

// refused tells the window of a refusal of a request that was sent as number
// n in flight, while nothing else explains it. It reports whether that looks
// like a limit on concurrency.
func (w *window) refused(n int) bool {
	at := float64(n)
	disproved := w.disproved(n)
	if w.rated {
		if at < w.high-1 || disproved {
			w.against = 0
			return false
		}
		if w.against++; w.against < againstRate {
			return false
		}
		w.rated = false
	}
	if at == 1 || disproved || at < belowCeiling*min(w.ceiling, w.high)-1 {
		if w.against++; at == 1 || w.against >= againstNumber {
			w.limitsRate()
			return false
		}
		w.slow, w.size = false, max(1, stepBack*at) // the ceiling stays, to be judged by
		return true
	}
	w.slow = false
	if at > w.ceiling {
		w.against = 0
	}
	if math.Abs(at-1-w.ceiling) < 1 {
		w.misses++
		w.size = min(w.size, w.ceiling)
		return true
	}
	w.misses = 0
	w.ceiling = max(1, at-1)
	w.met = w.ceiling
	w.size = max(1, stepBack*w.ceiling)
	return true
}

// limitsRate gives up on a ceiling: requests in flight are not what is
// limited.
func (w *window) limitsRate() {
	w.rated, w.against = true, 0
	w.ceiling, w.misses, w.slow = math.Inf(1), 0, true
	w.size = min(max(w.size, w.high), w.most)
}

// forget takes back that a ceiling was met.
func (w *window) forget() {
	if !math.IsInf(w.ceiling, 1) {
		w.ceiling, w.misses, w.slow = math.Inf(1), 0, true
	}
}

// lower takes in another refusal of those that were sent together.
func (w *window) lower() {
	w.ceiling = max(1, w.met/2, w.ceiling-1)
	w.size = min(w.size, w.ceiling)
}

// shrink makes room after too many failures.
func (w *window) shrink() {
	w.size = max(1, sickShrink*w.size)
	w.slow = true
}

// restart begins again after an outage, from a share of the size before it.
func (w *window) restart(before float64) {
	w.size = min(max(w.size, leastRestart, before), w.most)
	w.slow = true
}

// fade lets old evidence go.
func (w *window) fade(keep float64) { w.high *= keep }
