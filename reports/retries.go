package reports

import (
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/runner/store/view"
)

// WasRetried reports whether some request of a row was sent again. A row of
// several turns takes a request for each, and is flagged where one took more.
func WasRetried(attempts int32, flags *string) bool {
	list := splitFlags(flags)
	if slices.Contains(list, "multi_turn") {
		return slices.Contains(list, "turn_retried")
	}
	return attempts > 1
}

// retries is how many requests of a row were sent again: all but one for each
// turn.
func retries(row *summaryRow) int64 {
	turns := int64(1)
	if row.AttemptLog != nil && strings.Contains(view.Value(row.Flags), "multi_turn") {
		turns = turnsOf(row)
	}
	return max(int64(row.Attempts)-turns, 0)
}

// turnsOf counts the turns of a row that were sent: those that were answered,
// and the one that was not, where it failed.
func turnsOf(row *summaryRow) (turns int64) {
	log, err := attemptlog.Parse(*row.AttemptLog)
	if err != nil {
		return int64(row.Attempts)
	}
	for _, a := range log {
		if a.Class == "" {
			turns++
		}
	}
	if !nightshift.Outcome(row.Outcome).Answered() {
		turns++
	}
	return turns
}
