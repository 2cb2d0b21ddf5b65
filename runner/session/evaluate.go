package session

import (
	"context"
	"errors"
	"fmt"
	"nightshift/reports/compare"
	"path/filepath"

	"nightshift/reports"
	"nightshift/reports/scoring"
	"nightshift/runner/store/view"
)

// evaluate scores a finished run, compares its models and judges its gates.
// What goes wrong becomes how the run ended, unless it ended badly already.
// The comparison is nil when there is nothing to evaluate.
func (s *Session) evaluate(ctx context.Context, e *end) *compare.Comparison {
	if !scoring.Complete(e.state) || len(s.Plan.Scorers)+len(s.Plan.Gates) == 0 {
		return nil
	}
	if _, err := s.score(ctx); err != nil {
		e.because(fmt.Errorf("scoring: %w; nightshift score %s goes on", err, s.Plan.Out))
		if s.sending(ctx).Err() != nil {
			return nil
		}
	}
	c, err := compare.Runs(compare.Options{Runs: []string{s.Plan.Out}})
	if err == nil {
		err = keepComparison(s.Plan.Out, c)
	}
	if err != nil {
		e.because(err)
		return nil
	}
	e.because(GateError(c))
	return c
}

// GateError is the error of a comparison whose gates were missed, or cannot be
// told.
func GateError(c *compare.Comparison) error {
	switch {
	case len(c.Gates) == 0:
		return nil
	case c.Incomplete:
		return &Error{Stopped, errors.New(c.Invalid)}
	case c.Invalid != "":
		return &Error{FailedRows, errors.New(c.Invalid)}
	case c.Missed():
		n := 0
		for _, g := range c.Gates {
			if !g.Passed && !g.CannotTell {
				n++
			}
		}
		return &Error{GateMissed, fmt.Errorf("%d of %d gates missed", n, len(c.Gates))}
	case c.CannotTell():
		for _, g := range c.Gates {
			if g.CannotTell {
				return &Error{FailedRows, fmt.Errorf("gate %s cannot tell: %s", g.Gate, g.Detail)}
			}
		}
	}
	return nil
}

// keepComparison writes comparison.json and comparison.md into the run
// directory.
func keepComparison(dir string, c *compare.Comparison) error {
	return errors.Join(
		writeFile(filepath.Join(dir, "comparison.json"), c.JSON),
		writeFile(filepath.Join(dir, "comparison.md"), c.Markdown),
	)
}

// AddComparison adds the comparison of a run's models to its summary, where
// answers have been scored.
func AddComparison(s *reports.Summary) error {
	e, err := scoring.ReadEvaluation(s.Dir)
	if err != nil || len(e.Scorers) == 0 {
		return err
	}
	c, err := compare.Runs(compare.Options{Runs: []string{s.Dir}})
	var unfit *compare.IncomparableError
	var damaged *view.DamageError
	if errors.As(err, &unfit) || errors.As(err, &damaged) {
		s.Warnings = append(s.Warnings, "the models are not compared: "+err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	s.Comparison = c.Block()
	return nil
}
