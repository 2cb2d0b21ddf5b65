package limits

// A share is the part of the known rates that is asked for. It falls below 1
// when requests are refused although the limits are kept: others use the same
// key, or the limits are not what was said. It comes back quickly to near
// where it was refused, slowly beyond, and faster the longer nothing happens.
type share struct {
	now        float64
	last       float64 // where it was refused last
	quietSince float64 // since when nothing was refused
}

// refused takes in a refusal. first is set for the first of a row.
func (s *share) refused(at float64, first bool) {
	if first {
		s.last = s.now
	}
	s.quietSince = at
	s.now = max(leastShare, shareStep*s.now)
}

func (s *share) advance(now, dt float64, quickly bool) {
	if s.now >= 1 {
		return
	}
	perMinute := shareUp
	if s.now >= shareNear*s.last && !quickly {
		perMinute = shareSlow
		for quiet := now - s.quietSince; quiet >= shareDouble && perMinute < shareUp; quiet -= shareDouble {
			perMinute *= 2
		}
	}
	s.now = min(1, s.now+perMinute/60*dt)
}
