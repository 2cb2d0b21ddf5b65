package main

import (
	"strings"
	"testing"
	"time"

	"nightshift/runner/session"
)

// The progress line says what is away and until when, and no time left beside it:
// how fast batches are nobody knows.
func TestProgressOfBatches(t *testing.T) {
	now := time.Date(2026, 11, 27, 20, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		b    session.Batches
		want string
	}{
		{session.Batches{}, ""},
		{session.Batches{Away: 22, Waiting: 5, Ended: 1, Rows: 440_000, Done: 412_300, ReservedUSD: 71.2,
			Expires: now.Add(21*time.Hour + 10*time.Minute)},
			"22 batches at the provider (412,300 of 440,000 rows done, at most $71.20 reserved, the first ends within " +
				"21h10m)  1 batch to be collected  5 batches waiting to be created"},
		{session.Batches{Away: 1, Rows: 3, Expires: now.Add(-time.Minute)}, "1 batch at the provider (0 of 3 rows done)"},
	} {
		if got := strings.Join(batchWords(tc.b, now), "  "); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}
