package main

import (
	"context"
	"errors"

	"nightshift/datasets"
	"nightshift/reports/compare"
	"nightshift/runner/plan"
)

// A job is a plan and a dataset that have passed every check.
type job struct {
	plan    *plan.Resolved
	dataset *datasets.Dataset
	rows    *chosenRows    // rows of an earlier run; nil for all
	missing []plan.Problem // keys that are not set, where they are not needed
	// warnings come before all else: what is sent is probably not what was meant.
	warnings []string
}

// prepare reads plan and dataset and finds everything that is wrong with
// either, and reports it together. Missing keys are errors only when they are
// needed.
func (a *app) prepare(ctx context.Context, f *planFlags, args []string, needKeys bool) (*job, error) {
	p, wrong := f.load(a, args)
	if p == nil {
		return nil, wrong
	}
	resolved, err := p.Resolve(a.getenv)
	j := &job{plan: resolved}
	var mistakes *plan.Errors
	if errors.As(err, &mistakes) && mistakes.OnlyKeys() && !needKeys {
		j.missing, err = mistakes.Problems, nil
	}
	out := ""
	if resolved != nil {
		out = resolved.Out
	}
	rows, rowsErr := f.chooseRows(out)
	j.rows = rows
	if wrong == nil && err == nil {
		wrong = errors.Join(checkScorers(resolved, true), checkGates(resolved))
	} else if gates := compare.CheckGates(p.Gates); gates != nil {
		wrong = errors.Join(wrong, usageError("%w", gates))
	}
	if err := errors.Join(wrong, err, rowsErr, metricsProblem(p)); err != nil {
		return nil, errors.Join(err, a.rowsToo(ctx, p))
	}
	if j.dataset, err = a.openDataset(ctx, resolved, rows); err != nil {
		return nil, err
	}
	if err := errors.Join(j.capped(ctx), j.review(ctx)); err != nil {
		return nil, errors.Join(err, j.dataset.Close())
	}
	return j, nil
}

// rowsToo is what is wrong with the dataset of a plan that is wrong itself: so
// that people see both at once.
func (a *app) rowsToo(ctx context.Context, p *plan.Plan) error {
	spec, ok := p.Rows()
	if !ok || len(spec.Paths) == 0 || spec.Paths[0] == "-" {
		return nil
	}
	data, err := datasets.Open(ctx, spec)
	return errors.Join(err, closeIf(data))
}

// metricsProblem is what is wrong with the address for metrics.
func metricsProblem(p *plan.Plan) error {
	if p.Metrics == "" {
		return nil
	}
	if _, err := metricsAddress(p.Metrics); err != nil {
		return usageError("--metrics-addr: %w", err)
	}
	return nil
}
