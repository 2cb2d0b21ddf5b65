package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"nightshift/reports"
	"nightshift/reports/compare"
	"nightshift/reports/scoring"
	"nightshift/runner/store"
)

// evaluate scores a finished run, compares its models and judges its gates.
// What goes wrong becomes how the run ended, unless it ended badly already.
// The comparison is nil when there is nothing to evaluate.
func (s *session) evaluate(calls, waiting context.Context, f *clients, end *endState) *compare.Comparison {
	if end.state != "finished" || len(s.plan.Scorers)+len(s.plan.Gates) == 0 {
		return nil
	}
	step := &scoringStep{
		app: s.app, dir: s.plan.Out, plan: s.plan, log: s.log, screen: s.screen, quiet: s.flags.quiet,
		allowCommands: s.flags.allowCommands, retryFailed: s.flags.retryFailed, given: s.flags.plan.scorers(), clients: f,
	}
	if _, err := step.run(calls, waiting); err != nil {
		end.because(fmt.Errorf("scoring: %w; nightshift score %s goes on", err, s.plan.Out))
		if waiting.Err() != nil {
			return nil
		}
	}
	c, err := compare.Runs(compare.Options{Runs: []string{s.plan.Out}})
	if err == nil {
		err = keepComparison(s.plan.Out, c)
	}
	if err != nil {
		end.because(err)
		return nil
	}
	end.because(gateError(c))
	return c
}

// because takes err as the reason for the end, where there is none yet.
func (e *endState) because(err error) {
	if err != nil && e.code == exitOK {
		e.code, e.err = exitCode(err), err
	}
}

// keepComparison writes comparison.json and comparison.md into the run
// directory.
func keepComparison(dir string, c *compare.Comparison) error {
	return errors.Join(
		render(filepath.Join(dir, "comparison.json"), c.JSON),
		render(filepath.Join(dir, "comparison.md"), c.Markdown),
	)
}

// withComparison adds the comparison of a run's models to its summary, where
// answers have been scored.
func withComparison(s *reports.Summary) error {
	e, err := scoring.ReadEvaluation(s.Dir)
	if err != nil || len(e.Scorers) == 0 {
		return err
	}
	c, err := compare.Runs(compare.Options{Runs: []string{s.Dir}})
	var unfit *compare.IncomparableError
	var damaged *store.DamageError
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
