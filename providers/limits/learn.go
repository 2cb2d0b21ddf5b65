package limits

// A learner finds the rate of an endpoint that says nothing about its limits,
// from the requests it accepts between one refusal and the next: the server's
// bucket is empty at both, so what passed in between is what flowed in.
type learner struct {
	rate     float64 // requests a second; 0 is unknown
	level    float64
	at       float64
	refusal  float64 // when the last row of refusals began
	began    bool
	accepted float64 // since then
	calm     float64 // when the rate was last corrected
}

const (
	growth     = 0.02 / 60 // of the rate a second, at first
	growsAfter = 180.0     // seconds without a refusal that double the growth
)

func (l *learner) advance(now float64) {
	dt := now - l.at
	l.at = now
	if l.rate == 0 || dt <= 0 {
		return
	}
	l.level = min(l.rate, l.level+dt*l.rate)
	calm := min((now-l.calm)/growsAfter, 6)
	fast := 1.0
	for ; calm >= 1; calm-- {
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

// refused ends a cycle. first is true for the first refusal of a row.
func (l *learner) refused(now float64, first bool) {
	if !first {
		return
	}
	if cycle := now - l.refusal; l.began && cycle > 1 && l.accepted >= 3 {
		measured := l.accepted / cycle
		if l.rate == 0 {
			l.rate = measured
		}
		l.rate = (l.rate + measured) / 2
	}
	l.began, l.refusal, l.accepted, l.calm = true, now, 0, now
	l.level = min(l.level, 0)
}
