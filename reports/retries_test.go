package reports

import (
	"testing"

	"nightshift"
	"nightshift/internal/attemptlog"
)

// TestRetries: the first request of each turn is no retry.
func TestRetries(t *testing.T) {
	text := func(s string) *string { return &s }
	ok, failed := nightshift.Attempt{N: 1}, nightshift.Attempt{N: 1, Class: nightshift.ClassOverloaded}
	log := func(list ...nightshift.Attempt) *string {
		s := string(attemptlog.Append(nil, list))
		return &s
	}
	for name, tc := range map[string]struct {
		row     summaryRow
		want    int64
		retried bool
	}{
		"one request": {summaryRow{billedRow: billedRow{Outcome: "ok", Attempts: 1, AttemptLog: log(ok)}}, 0, false},
		"two":         {summaryRow{billedRow: billedRow{Outcome: "ok", Attempts: 2, AttemptLog: log(failed, ok)}}, 1, true},
		"none":        {summaryRow{billedRow: billedRow{Outcome: "input_error"}}, 0, false},
		"failed": {
			summaryRow{billedRow: billedRow{Outcome: "failed", Attempts: 4,
				AttemptLog: log(failed, failed, failed, failed)}}, 3, true},
		"two turns": {
			summaryRow{billedRow: billedRow{Outcome: "ok", Attempts: 2, AttemptLog: log(ok, ok)},
				Flags: text("multi_turn")}, 0, false},
		"two turns, one twice": {
			summaryRow{billedRow: billedRow{Outcome: "ok", Attempts: 3, AttemptLog: log(ok, failed, ok)},
				Flags: text("usage_missing,turn_retried,multi_turn")}, 1, true},
		"second turn failed": {
			summaryRow{billedRow: billedRow{Outcome: "failed", Attempts: 2, AttemptLog: log(ok, failed)},
				Flags: text("multi_turn")}, 0, false},
		"second turn failed thrice": {
			summaryRow{billedRow: billedRow{Outcome: "failed", Attempts: 4, AttemptLog: log(ok, failed, failed, failed)},
				Flags: text("turn_retried,multi_turn")}, 2, true},
	} {
		if got := retries(&tc.row); got != tc.want {
			t.Errorf("%s: %d retries, want %d", name, got, tc.want)
		}
		if got := WasRetried(tc.row.Attempts, tc.row.Flags); got != tc.retried {
			t.Errorf("%s: retried %v", name, got)
		}
	}
}
