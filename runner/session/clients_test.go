package session

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
	"nightshift/runner/plan"
)

// retry.max_stall of a plan is how long a limiter goes on without a success,
// also where it is longer than the default.
func TestMaxStallReachesTheLimiter(t *testing.T) {
	for _, stall := range []time.Duration{30 * time.Minute, 3 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			f := &clients{limiters: map[RateLimitKey]*limits.Limiter{}, maxStall: stall}
			l := f.limiter(plan.ResolvedModel{Name: "m"}, providers.Endpoint{Name: "e"})
			began := time.Now()
			for {
				p, err := l.Wait(t.Context(), "m", limits.Cost{})
				if err != nil {
					var stop *nightshift.StopError
					if took := time.Since(began); !errors.As(err, &stop) || (took-stall).Abs() > time.Minute {
						t.Errorf("%v after %v, want a stop after %v", err, took, stall)
					}
					return
				}
				time.Sleep(time.Second)
				p.Failed(limits.Report{})
			}
		})
	}
}
