package main

import (
	"context"
	"errors"
	"nightshift/reports/compare"

	"nightshift/datasets"
	"nightshift/runner/plan"
	"nightshift/runner/session"
	"nightshift/runner/session/estimate"
)

// prepare reads plan and dataset and finds everything that is wrong with
// either, and reports it together. Missing keys are errors only when they are
// needed, and missing else.
func (a *app) prepare(ctx context.Context, f *planFlags, args []string, needKeys bool) (s *session.Session,
	missing []plan.Problem, err error) {
	p, wrong := f.load(a, args)
	if p == nil {
		return nil, nil, wrong
	}
	resolved, err := p.Resolve(a.getenv)
	var mistakes *plan.Errors
	if errors.As(err, &mistakes) && mistakes.OnlyKeys() && !needKeys {
		missing, err = mistakes.Problems, nil
	}
	if wrong == nil && err == nil {
		wrong = errors.Join(session.CheckScorers(resolved, true), session.CheckGates(resolved),
			session.CheckSimulators(resolved))
	} else {
		for i, gate := range p.Gates {
			if err := compare.CheckGates([]string{gate}); err != nil {
				wrong = errors.Join(wrong, usageError("%s%w", p.GatePlace(i), err))
			}
		}
	}
	if err := errors.Join(wrong, err, f.rowsProblem(), metricsProblem(p)); err != nil {
		return nil, nil, errors.Join(err, a.rowsToo(ctx, p))
	}
	o := f.options
	o.Stdin, o.Version, o.RowsFrom, o.WhichRows, o.Reuse = a.in, version(), f.rowsFrom, f.rows, f.reuse
	s, err = session.Open(ctx, resolved, o)
	if err != nil {
		return nil, nil, err
	}
	if err := estimate.Review(ctx, s); err != nil {
		return nil, nil, errors.Join(err, s.Dataset.Close(), s.Release())
	}
	return s, missing, nil
}

// rowsProblem is what is wrong with --rows.
func (f *planFlags) rowsProblem() error {
	if f.rowsFrom == "" && f.set.Changed("rows") {
		return usageError("--rows %s says which rows of an earlier run to use; name the run with --rows-from RUN", f.rows)
	}
	return nil
}

// rowsToo is what is wrong with the dataset of a plan that is wrong itself: so
// that people see both at once.
func (a *app) rowsToo(ctx context.Context, p *plan.Plan) error {
	spec, ok := p.Rows()
	specs := []datasets.Spec{spec}
	for _, part := range spec.Parts {
		specs = append(specs, part.Spec)
	}
	for _, s := range specs[min(len(spec.Parts), 1):] {
		if !ok || len(s.Paths) == 0 || s.Paths[0] == "-" || datasets.IsRemote(s.Paths[0]) {
			return nil
		}
	}
	data, err := datasets.Open(ctx, spec)
	return errors.Join(err, data.Close())
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
