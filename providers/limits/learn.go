package limits

import "math"

// A learner finds the rate of an endpoint that says nothing about its limits,
// from the requests it answers between one refusal and the next: the server's
// bucket is empty at both, so what passed in between is what flowed in. Where
// the server says how long to wait, it says how deep in debt the bucket is,
// and that what flowed in between two such moments is as of their ends.
type learner struct {
	rate       float64 // requests a second; 0 is unknown
	level      float64
	at         float64
	began      float64 // when the first refusal of this cycle came; negative before
	owed       float64 // how long it asked to wait, in seconds
	answered   float64 // since then
	quietSince float64 // when the last refusal came
	cycles     int     // measured so far
}

func (l *learner) advance(now float64) {
	dt := now - l.at
	l.at = now
	if l.rate == 0 || dt <= 0 {
		return
	}
	l.level = min(l.rate, l.level+dt*l.rate)
	// What was measured first is a lower bound: the bucket may have been full
	// for part of the time, and what flowed in then was lost.
	fast := max(1, eager/math.Exp2(float64(l.cycles-1)))
	for quiet := now - l.quietSince; quiet >= growsAfter && fast < mostEager; quiet -= growsAfter {
		fast *= 2
	}
	l.rate += l.rate * growth * fast * dt
}

func (l *learner) wait() float64 {
	if l.rate == 0 || l.level >= 0 {
		return 0
	}
	return -l.level / l.rate
}

func (l *learner) sent() {
	if l.rate > 0 {
		l.level--
	}
}

// debt is how many seconds' worth of requests is in flight, and will be
// charged to a bucket that is empty already.
func (l *learner) debt(inFlight int) float64 {
	if l.rate == 0 {
		return 0
	}
	return float64(inFlight) / l.rate
}

// refused ends a cycle. first is true for the first refusal of a row; use
// says whether the rate is to be followed; owed is how long the server asked
// to wait, 0 when it did not.
func (l *learner) refused(now, owed float64, first, use bool) {
	l.quietSince = now
	l.level = min(l.level, 0)
	if !use {
		l.rate = 0
	}
	if !first {
		return
	}
	cycle := now - l.began
	if l.began > 0 && cycle < leastCycle && (cycle < shortCycle || l.answered < manyInCycle) {
		return
	}
	if l.began > 0 && l.answered >= fewInCycle && use {
		l.cycles++
		measured := l.answered / max(cycle+owed-l.owed, cycle/mostOwed)
		if l.rate == 0 {
			l.rate = measured
		}
		l.rate = pace * (l.rate + measured) / 2
	}
	l.began, l.owed, l.answered = now, owed, 0
}
