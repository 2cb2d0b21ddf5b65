package limits

import "math"

// A window bounds the requests in flight. It grows while it is what holds
// requests back, and remembers where it was refused.
type window struct {
	size    float64
	most    float64 // configured; +Inf where not
	ceiling float64 // where it was refused last; +Inf before
	slow    bool    // slow start: double every round trip
	misses  int     // probes of the ceiling that failed, in a row
	// high is the largest number in flight at which a request was accepted
	// lately: a refusal well below it is not about concurrency.
	high float64
	// byCount and byRate count refusals that looked like a limit on requests
	// in flight, and those that did not.
	byCount, byRate float64
}

const firstWindow = 4

func newWindow(concurrency int) window {
	w := window{size: firstWindow, most: math.Inf(1), ceiling: math.Inf(1), slow: true}
	if concurrency > 0 {
		w.most = float64(concurrency)
		w.size = w.most
	}
	return w
}

func (w *window) full(inFlight int) bool { return float64(inFlight) >= math.Floor(w.size) }

// accepted grows the window after a request that was sent as number n in
// flight was accepted, if the window was what held others back.
func (w *window) accepted(n int, bound bool) {
	w.high = max(w.high, float64(n))
	if !bound {
		return
	}
	switch {
	case w.slow && w.size+1 <= w.ceiling:
		w.size++
	case math.Abs(w.size-w.ceiling) <= 1.5:
		w.size += 1 / (300 * math.Exp2(float64(min(w.misses, 4))))
	default:
		w.slow = false
		w.size += 1 / w.size
	}
	if w.size > w.ceiling+1.5 {
		w.ceiling, w.misses = math.Inf(1), 0 // the ceiling has risen
	}
	w.size = min(w.size, w.most)
}

// refused tells the window of a refusal of a request that was sent as number
// n in flight. It reports whether that looks like a limit on concurrency.
func (w *window) refused(n int) bool {
	at := float64(n)
	if at <= w.high-max(1, 0.05*w.high) {
		w.byRate++
		return false
	}
	w.byCount++
	if w.byRate > w.byCount {
		return false
	}
	if math.Abs(at-1-w.ceiling) < 1 {
		w.misses++
	} else {
		w.misses = 0
	}
	w.slow = false
	w.ceiling = max(1, at-1)
	w.size = min(w.size, w.ceiling)
	return true
}

// shrink makes room after too many failures.
func (w *window) shrink() {
	w.size = max(1, 0.9*w.size)
	w.slow = false
}

// restart begins again after an outage, from near where it was.
func (w *window) restart() {
	w.size = min(max(8, 0.75*w.size), w.most)
	w.slow = true
}

// fade lets old evidence go.
func (w *window) fade(keep float64) {
	w.high *= keep
	w.byCount *= keep
	w.byRate *= keep
}
