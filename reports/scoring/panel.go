package scoring

import (
	"context"
	"fmt"
	"iter"

	"nightshift"
	"nightshift/reports/scorers"
	"nightshift/runner/store/view"
)

// WritePanel combines the tables of several scorers of a run into one. The
// tables must have been written for the same answers; they are in the order of
// the records, and read side by side. d describes the jury.
func WritePanel(ctx context.Context, dir string, d Described, jury *scorers.Jury) ([]Tally, error) {
	return writeTable(dir, d.Table(), func(yield func(nightshift.Score, error) bool) {
		var members []*member
		for _, name := range jury.Judges() {
			m := &member{name: name}
			m.next, m.stop = iter.Pull2(view.Scores(dir, Described{Name: name}.Table()))
			defer m.stop()
			members = append(members, m)
		}
		for {
			s, more, err := combined(d, jury, members)
			if err == nil {
				err = ctx.Err()
			}
			if !more && err == nil || !yield(s, err) || err != nil {
				return
			}
		}
	})
}

// A member is one scorer's table on its way through.
type member struct {
	name string
	next func() (nightshift.Score, error, bool)
	stop func()
}

// combined takes the next score of every member; more is false at the end.
func combined(d Described, jury *scorers.Jury, members []*member) (s nightshift.Score, more bool, err error) {
	verdicts := make([]scorers.Result, len(members))
	for i, m := range members {
		one, err, there := m.next()
		if err != nil {
			return s, false, fmt.Errorf("panel %s: scores of %s: %w", d.Name, m.name, err)
		}
		if i == 0 {
			s, more = one, there
		}
		if there != more || there && (one.Model != s.Model || one.Row != s.Row || one.Epoch != s.Epoch) {
			return s, false, fmt.Errorf("panel %s: %s and %s have not scored the same answers; score with both again",
				d.Name, members[0].name, m.name)
		}
		verdicts[i] = scorers.Result{Value: one.Value, Status: one.Status, Answer: one.Answer,
			Explanation: one.Explanation}
	}
	if !more {
		return s, false, nil
	}
	result := jury.Combine(verdicts)
	if verdicts[0].Status == nightshift.NotRun {
		result = verdicts[0]
	}
	s.Scorer, s.Value, s.Status, s.Answer, s.Explanation = d.Name, result.Value, result.Status, result.Answer,
		result.Explanation
	s.ScorerVersion, s.Params = d.Version, string(d.Params)
	return s, true, nil
}
