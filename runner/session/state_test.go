package session

import (
	"testing"
	"time"

	"nightshift/providers/limits"
)

func TestLimitedShares(t *testing.T) {
	s := time.Second
	for _, tc := range []struct {
		name                 string
		by                   map[limits.LimitedBy]time.Duration
		full, short, elapsed time.Duration
		want                 string
	}{
		{"the limit all the time", map[limits.LimitedBy]time.Duration{limits.LimitRequests: 10 * s}, 0, 0, 10 * s,
			"throughput limited by request rate (100 % of the time)"},
		{"two things", map[limits.LimitedBy]time.Duration{limits.LimitOutput: 6 * s, limits.LimitPause: 3 * s}, 0, 0, 10 * s,
			"throughput limited by output token rate (60 % of the time), waits after refusals (30 %), not limited (10 %)"},
		{"configured and found concurrency are one", map[limits.LimitedBy]time.Duration{limits.LimitConcurrency: 4 * s},
			5 * s, 0, 10 * s,
			"throughput limited by concurrency (90 % of the time), not limited (10 %)"},
		{"the budget", nil, 0, 8 * s, 10 * s, "throughput limited by budget (80 % of the time), not limited (20 %)"},
		{"nothing", nil, 0, 0, 10 * s, "throughput not limited (100 % of the time)"},
		{"little is left out", map[limits.LimitedBy]time.Duration{limits.LimitInput: s / 10}, 0, 0, 10 * s,
			"throughput not limited (99 % of the time)"},
		{"never more than all", map[limits.LimitedBy]time.Duration{limits.LimitInput: 9 * s}, 9 * s, 9 * s, 10 * s,
			"throughput limited by input token rate (90 % of the time), concurrency (10 %)"},
		{"no time at all", nil, 0, 0, 0, ""},
	} {
		e := Endpoint{LimitedBy: limitedShares(tc.by, tc.full, tc.short, tc.elapsed)}
		if got := e.LimitedWords(); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}
