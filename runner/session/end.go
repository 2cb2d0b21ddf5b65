package session

import (
	"errors"
	"fmt"
	"slices"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/reports"
	"nightshift/reports/scoring"
	"nightshift/runner"
	"nightshift/runner/store/view"
)

// An end is how a run ended: for run.json, and for the caller. err is nil when
// all is well.
type end struct {
	state string
	err   error
}

// also adds what went wrong after the run had ended. The reason stays the
// first, except that storage that fails is the most serious one.
func (e *end) also(err error) {
	reason := ReasonOf(err)
	if e.err != nil && reason != Storage {
		reason = ReasonOf(e.err)
	}
	e.err = &Error{reason, errors.Join(e.err, err)}
}

// because takes err as the reason for the end, where there is none yet.
func (e *end) because(err error) {
	if e.err == nil {
		e.err = err
	}
}

// ending decides how a run ended; the most serious reason wins.
func (s *Session) ending(totals view.Totals, stops []runner.Stop, failure, interrupted error) end {
	const resume = "the same command goes on where this stopped"
	sum := totals.Sum()
	switch {
	case failure != nil:
		return end{"failed", failure}
	case sum.Rows < s.items() && s.decider.decided(): // whatever else ended it: nothing is missing
		return s.completed(scoring.Decided, sum)
	case errors.Is(interrupted, ErrInterrupted):
		return end{"interrupted", &Error{Interrupted,
			fmt.Errorf("interrupted with %d of %d answers on record; %s", sum.Rows, s.items(), resume)}}
	case errors.Is(interrupted, errDeadline) && sum.Rows < s.items():
		return end{"stopped: deadline", &Error{Stopped, fmt.Errorf("stopped for the deadline %s with %d of %d answers on "+
			"record; %s", s.Plan.Deadline, sum.Rows, s.items(), resume)}}
	case len(stops) > 0 && !slices.ContainsFunc(stops, unsubmitted):
		return end{"submitted", &Error{Submitted, fmt.Errorf("batches are submitted, %d of %d answers are on record; %s",
			sum.Rows, s.items(), "the same command collects the rest")}}
	case len(stops) > 0:
		return s.stopped(sum, stops, resume)
	case sum.Rows < s.items():
		return end{"stopped", &Error{Stopped, fmt.Errorf("%d of %d answers are on record; %s", sum.Rows, s.items(), resume)}}
	}
	return s.completed("finished", sum)
}

// completed is the end of a run that has all answers that it needs.
func (s *Session) completed(state string, sum view.Tally) end {
	failed := sum.Outcomes[nightshift.OutcomeFailed] + sum.Outcomes[nightshift.OutcomeInputError]
	if s.Plan.TolerateFailed.Exceeded(failed, sum.Rows) {
		return end{state, &Error{FailedRows, &failedRows{failed: failed, rows: sum.Rows}}}
	}
	return end{state: state}
}

// A failedRows says that more rows failed than the plan tolerates.
type failedRows struct {
	failed, rows int64
	unsendable   int64 // of the failed: no request can be made of them
}

func (f *failedRows) Error() string {
	text := fmt.Sprintf("finished, but %d of %d rows failed; ", f.failed, f.rows)
	const again = "nightshift run … --retry-failed runs them again"
	switch f.unsendable {
	case 0:
		return text + again
	case f.failed:
		return text + fmt.Sprintf("they cannot be sent as they are: correct them, leave them out (--filter), or accept "+
			"them (--tolerate-failed %d)", f.failed)
	}
	return text + again + fmt.Sprintf(", but for %d that cannot be sent as they are", f.unsendable)
}

// sort tells the failed rows that cannot be sent from the others.
func (e *end) sort(page *reports.Page) {
	var f *failedRows
	if page != nil && errors.As(e.err, &f) {
		f.unsendable = min(page.Unsendable(), f.failed)
	}
}

// unsubmitted reports whether a model ended early, and not because all it could
// do was to submit.
func unsubmitted(s runner.Stop) bool { return !errors.Is(s.Err, runner.ErrSubmitted) }

// stopped explains models that ended early.
func (s *Session) stopped(sum view.Tally, stops []runner.Stop, resume string) end {
	var reasons []error
	state := "stopped"
	for _, stop := range slices.DeleteFunc(stops, func(s runner.Stop) bool { return !unsubmitted(s) }) {
		if errors.Is(stop.Err, nightshift.ErrBudget) {
			state = "stopped: budget"
			continue
		}
		reasons = append(reasons, fmt.Errorf("%s: %w", stop.Model, stop.Err))
	}
	if state == "stopped: budget" {
		reasons = append(reasons, fmt.Errorf("the budget is spent (%s): raise --budget-usd or --budget-tokens",
			spentWords(sum)))
	}
	reasons = append(reasons, fmt.Errorf("%d of %d answers are on record; %s", sum.Rows, s.items(), resume))
	return end{state, &Error{Stopped, errors.Join(reasons...)}}
}

func spentWords(t view.Tally) string {
	text := words.Short(t.BilledInputTokens.N()+t.BilledOutputTokens.N()) + " tokens"
	if t.Cost > 0 {
		text += ", " + words.Dollars(t.Cost.Dollars(), t.CostUnknown > 0)
	}
	return text
}
