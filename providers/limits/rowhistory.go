package limits

import "nightshift"

// RowHistory is what a row has met at a Limiter so far. The zero value is a row that
// has not failed. It belongs to one row, which has one request in flight at
// most.
type RowHistory struct {
	at     *Limiter
	sent   float64 // when the first attempt that failed was sent
	failed float64 // when the last failure came
	proved bool    // others were answered between two failures
}

// countsAgainstRow reports whether a failure is to be blamed on its row, and whether that
// is proved. While the endpoint answers, every failure is the row's. While it
// does not, only a row is blamed that has failed before: although others, sent
// after it, were answered; or with a failure that speaks of a server that is
// there, and either sent first while others were answered, or after minutes in
// which all failures were alike.
func (l *Limiter) countsAgainstRow(p *Permit, now float64, err *nightshift.Error) (own, proved bool) {
	history := p.cost.History
	if history == nil {
		return !l.health.open, false
	}
	if history.at != l {
		*history = RowHistory{at: l, sent: p.sent, failed: now}
		return !l.health.open, false
	}
	history.proved = history.proved || l.health.answered > history.failed
	history.failed = now
	near := history.sent <= l.health.lastAnswer+lateRow
	same := l.failures.last != nil && l.failures.alike && now-l.failures.since > sameFor
	suspect := l.counts.succeeded > 0 && (near || same) && serverIsThere(err)
	return !l.health.open || history.proved || suspect, history.proved
}

// serverIsThere reports whether a failure was made by the service that was
// asked, rather than by the lack of it: no connection, no answer in time, a
// gateway without its upstream.
func serverIsThere(e *nightshift.Error) bool {
	if e == nil {
		return false
	}
	switch e.Class {
	case nightshift.ClassCut, nightshift.ClassEmptyResponse:
		return true
	case nightshift.ClassServer:
		return e.Status < 502 || e.Status > 504 && e.Status < 520
	}
	return false
}
