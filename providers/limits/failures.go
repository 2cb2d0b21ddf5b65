package limits

import (
	"cmp"
	"fmt"
	"time"

	"nightshift"
)

// failures is what failed since the last answer, and why.
type failures struct {
	last      *nightshift.Error // nil where nothing has failed
	since     float64           // when the first failure came
	alike     bool              // all are of one class, status and code
	permanent bool              // none of them heals by itself
	warned    float64           // when people were warned last; 0 is never
}

// Failure is why an endpoint gives no answers at present.
type Failure struct {
	Last  *nightshift.Error // the last failure
	Since time.Time         // of the first since the last answer
}

// Explain says why a request got no answer. permanent is set where such a
// failure does not heal by itself. It reports whether people should be told:
// the endpoint has just begun to count as down, or has been silent for long.
func (l *Limiter) Explain(err *nightshift.Error, permanent bool) (tell bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.failures.add(now, err, permanent)
	if l.queue.waiting > 0 {
		l.sleep(now, l.endsAt()-now)
	}
	return l.failures.tell(now, l.health.open, now-l.active)
}

func (f *failures) add(now float64, err *nightshift.Error, permanent bool) {
	if f.last == nil {
		f.since, f.alike, f.permanent = now, true, true
	} else {
		f.alike = f.alike && f.last.Class == err.Class && f.last.Status == err.Status && f.last.Code == err.Code
	}
	f.permanent = f.permanent && permanent
	f.last = err
}

// answered forgets all failures: the endpoint works.
func (f *failures) answered() { f.last = nil }

// requestFault notes that a request was refused for what it is: whoever says so is
// there.
func (f *failures) requestFault() { f.alike, f.permanent = false, false }

// tell reports whether a warning is due.
func (f *failures) tell(now float64, down bool, silent float64) bool {
	ago := now - f.warned
	first := f.warned == 0 || f.warned < f.since
	if !(down && first && (f.warned == 0 || ago > warnOutages)) &&
		!(silent > silentFor && (f.warned == 0 || ago > warnSilence)) {
		return false
	}
	f.warned = now
	return true
}

// givesUpAfter is how many seconds of failures alone are enough to give up where
// nothing has ever succeeded. Overload and rate limits pass by themselves.
func (f *failures) givesUpAfter() (seconds float64, ok bool) {
	switch {
	case f.last == nil || !f.alike:
		return 0, false
	case f.permanent:
		return permanentFor, true
	case f.last.Class == nightshift.ClassOverloaded || f.last.Class == nightshift.ClassRateLimit,
		f.last.Class == nightshift.ClassNoCapacity:
		return 0, false
	}
	return sameFor, true
}

// endsAt is when the limiter gives up if nothing succeeds until then.
func (l *Limiter) endsAt() float64 {
	at := l.active + l.maxStall
	if after, ok := l.failures.givesUpAfter(); ok && l.counts.succeeded == 0 {
		at = min(at, max(l.failures.since, l.active)+after)
	}
	return at
}

// stalled is the error that ends an endpoint that does not answer. It has the
// class and the words of the last failure.
func (l *Limiter) stalled(now float64) *nightshift.StopError {
	silent := time.Duration((now - l.active) * float64(time.Second)).Round(time.Second)
	err := &nightshift.Error{Class: nightshift.ClassRateLimit}
	if last := l.failures.last; last != nil {
		*err = *last
		silent = min(silent, time.Duration((now-l.failures.since)*float64(time.Second)).Round(time.Second))
	}
	words := err.Message
	err.Message = fmt.Sprintf("no request has succeeded for %v", silent)
	if words != "" {
		err.Message += "; the last answer: " + words
	}
	err.Hint = cmp.Or(err.Hint, "see whether the endpoint is up and the key may use it") +
		"; then run the same command again"
	err.MaybeBilled = false
	return &nightshift.StopError{Err: err}
}
