package limits

import (
	"cmp"
	"fmt"
	"time"

	"nightshift"
)

// trouble is what failed since the last answer, and why.
type trouble struct {
	last      *nightshift.Error // nil where nothing has failed
	since     float64           // when the first failure came
	alike     bool              // all are of one class, status and code
	permanent bool              // none of them heals by itself
	warned    float64           // when it was told of last; 0 is never
}

// Trouble is why an endpoint gives no answers at present.
type Trouble struct {
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
	l.trouble.add(now, err, permanent)
	if l.queue.waiting > 0 {
		l.sleep(now, l.endsAt()-now)
	}
	return l.trouble.tell(now, l.health.open, now-l.active)
}

func (t *trouble) add(now float64, err *nightshift.Error, permanent bool) {
	if t.last == nil {
		t.since, t.alike, t.permanent = now, true, true
	} else {
		t.alike = t.alike && t.last.Class == err.Class && t.last.Status == err.Status && t.last.Code == err.Code
	}
	t.permanent = t.permanent && permanent
	t.last = err
}

// answered forgets all failures: the endpoint works.
func (t *trouble) answered() { t.last = nil }

// mixed notes that a request was refused for what it is: whoever says so is
// there.
func (t *trouble) mixed() { t.alike, t.permanent = false, false }

// tell reports whether a warning is due.
func (t *trouble) tell(now float64, down bool, silent float64) bool {
	ago := now - t.warned
	first := t.warned == 0 || t.warned < t.since
	if !(down && first && (t.warned == 0 || ago > warnOutages)) &&
		!(silent > silentFor && (t.warned == 0 || ago > warnSilence)) {
		return false
	}
	t.warned = now
	return true
}

// patience is how many seconds of failures alone are enough to give up where
// nothing has ever succeeded. Overload and rate limits pass by themselves.
func (t *trouble) patience() (seconds float64, ok bool) {
	switch {
	case t.last == nil || !t.alike:
		return 0, false
	case t.permanent:
		return permanentFor, true
	case t.last.Class == nightshift.ClassOverloaded || t.last.Class == nightshift.ClassRateLimit,
		t.last.Class == nightshift.ClassNoCapacity:
		return 0, false
	}
	return sameFor, true
}

// endsAt is when the limiter gives up if nothing succeeds until then.
func (l *Limiter) endsAt() float64 {
	at := l.active + l.maxStall
	if patience, ok := l.trouble.patience(); ok && l.counts.succeeded == 0 {
		at = min(at, max(l.trouble.since, l.active)+patience)
	}
	return at
}

// stalled is the error that ends an endpoint that does not answer. It has the
// class and the words of the last failure.
func (l *Limiter) stalled(now float64) *nightshift.StopError {
	silent := time.Duration((now - l.active) * float64(time.Second)).Round(time.Second)
	err := &nightshift.Error{Class: nightshift.ClassRateLimit}
	if last := l.trouble.last; last != nil {
		*err = *last
		silent = min(silent, time.Duration((now-l.trouble.since)*float64(time.Second)).Round(time.Second))
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
