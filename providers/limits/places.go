package limits

import "math"

// SetPlaces says how many requests can be in flight at all, because there are
// only so many to send them: the limiter keeps at most so many in flight, and no
// more than Config.Concurrency. At least one place is assumed.
func (l *Limiter) SetPlaces(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := float64(max(n, 1))
	if l.cfg.Concurrency > 0 {
		most = math.Min(most, float64(l.cfg.Concurrency))
	}
	w := &l.window
	grown := most > w.most && w.size >= w.most && l.cfg.Concurrency > 0
	w.most = most
	if w.size > most || grown { // a configured number is used at once, as at the start
		w.size = most
	}
	l.dispatch(l.now())
}
