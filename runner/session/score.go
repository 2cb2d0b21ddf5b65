package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"nightshift/reports/compare"
	"path/filepath"
	"slices"

	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/runner/plan"
	"nightshift/runner/store"
)

// CheckScorers finds what would stop the scoring, before anything is spent.
func CheckScorers(p *plan.Resolved, allowCommands bool) error {
	var problems []error
	for _, s := range p.Scorers {
		info, err := scorers.Lookup(s.Spec.Type)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		switch info.Kind {
		case scorers.OfCommand:
			if _, err := scorers.NewCommand(s.Spec, allowCommands); err != nil {
				problems = append(problems, fmt.Errorf("%w; --allow-commands does", err))
			}
		case scorers.Combined:
			problems = append(problems, checkPanel(p, s.Spec))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return Usagef("%w", err)
	}
	return nil
}

// CheckGates finds gates of a run's plan that are no conditions, that could not
// work, or that name what the plan does not have.
func CheckGates(p *plan.Resolved) error {
	var problems []error
	for i, gate := range p.Gates {
		if err := compare.CheckGatesOf([]string{gate}, modelNames(p), scorerTypes(p)); err != nil {
			problems = append(problems, Usagef("%s%w", p.GatePlaces[i], err))
		}
	}
	return errors.Join(problems...)
}

// modelNames are the names by which gates call the plan's models: those of variants,
// and of models with any variant, among them.
func modelNames(p *plan.Resolved) []string {
	var names []string
	for _, m := range p.Models {
		for _, name := range []string{m.Name, m.VariantOf, m.Variant} {
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// scorerTypes are the types of the plan's scorers by name.
func scorerTypes(p *plan.Resolved) map[string]string {
	types := map[string]string{}
	for _, s := range p.Scorers {
		name := cmp.Or(s.Spec.Name, s.Spec.Type)
		types[name] = s.Spec.Type
		for _, dataset := range p.DatasetNames() {
			if s.Scores(dataset) {
				types[dataset], types[scorers.Average] = compare.ADataset, scorers.Average
				types[dataset+"/"+name] = s.Spec.Type
			}
		}
	}
	return types
}

// checkPanel sees that a panel's judges are scorers of the plan that give
// scores of their own.
func checkPanel(p *plan.Resolved, spec scorers.Spec) error {
	jury, err := scorers.NewJury(spec)
	if err != nil {
		return err
	}
	for _, name := range jury.Judges() {
		i := slices.IndexFunc(p.Scorers, func(s plan.ResolvedScorer) bool { return s.Spec.Name == name })
		switch {
		case i < 0:
			return fmt.Errorf("panel %s: no scorer of the plan is called %q", spec.Name, name)
		case p.Scorers[i].Spec.Type == "panel", p.Scorers[i].Spec.Type == "judge_pairwise":
			return fmt.Errorf("panel %s: %s is a %s, which gives no scores to combine", spec.Name, name, p.Scorers[i].Spec.Type)
		}
	}
	return nil
}

// A ScoreTable is one that was written.
type ScoreTable struct {
	scoring.Described
	Tallies []scoring.Tally
}

// Score scores the stored answers of the run in dir with the scorers of a plan.
// Judges send requests, which is what the plan's budget and deadline are for.
func Score(ctx context.Context, dir string, p *plan.Resolved, o Options) ([]ScoreTable, error) {
	run := *p
	run.Out = dir
	s := newSession(&run, o)
	defer s.Kept.hurry(ctx)()
	if slices.ContainsFunc(run.Scorers, func(rs plan.ResolvedScorer) bool { return rs.Judge != nil }) {
		deadline, err := s.deadline()
		if err != nil {
			return nil, err
		}
		var endDeadline func()
		ctx, endDeadline = s.underDeadline(ctx, deadline)
		defer endDeadline()
	}
	tables, err := s.score(ctx)
	if s.clients != nil {
		s.clients.Close()
	}
	return tables, errors.Join(err, s.closeCopies())
}

// score writes a table for every scorer: first those that send nothing, then
// judges, then what combines them. Tables that are there when it ends early are
// good.
func (s *Session) score(ctx context.Context) ([]ScoreTable, error) {
	e, err := s.evaluation()
	if err != nil {
		return nil, err
	}
	var tables []ScoreTable
	for pass := range 3 {
		for _, rs := range s.Plan.Scorers {
			if pass != passOf(rs) {
				continue
			}
			t, err := s.one(ctx, rs)
			if t.Tallies != nil {
				tables = append(tables, t)
				e.Put(t.Described)
			}
			if err != nil {
				return tables, errors.Join(s.endedBy(ctx, err), s.keep(e))
			}
		}
	}
	return tables, s.keep(e)
}

// passOf is the pass in which a scorer scores.
func passOf(rs plan.ResolvedScorer) int {
	switch {
	case rs.Judge != nil:
		return 1
	case rs.Spec.Type == "panel":
		return 2
	}
	return 0
}

func (s *Session) keep(e scoring.Evaluation) error {
	if err := e.WriteFile(s.Plan.Out); err != nil {
		return &store.StorageError{Op: "writing", Path: s.Plan.Out, Err: err}
	}
	return nil
}

// evaluation begins with what is known, the plan's scorers in front.
func (s *Session) evaluation() (scoring.Evaluation, error) {
	before, err := scoring.ReadEvaluation(s.Plan.Out)
	if err != nil || s.AddScorers {
		return before, err
	}
	e := scoring.Evaluation{Given: s.Scorers, Baseline: s.Plan.Baseline, Along: s.Plan.Along,
		Alpha: s.Plan.Alpha, Average: s.Plan.Average, Gates: s.Plan.Gates, Stop: s.stopsBy(before)}
	if e.Plan, err = planFile(s.Plan); err != nil {
		return e, err
	}
	for _, rs := range s.Plan.Scorers {
		for _, old := range before.Scorers {
			if old.Name == rs.Spec.Name || rs.Spec.Name == "" && old.Name == rs.Spec.Type {
				e.Put(old) // keeps the plan's order, until it is scored again
			}
		}
	}
	for _, old := range before.Scorers {
		e.Put(old)
	}
	return e, nil
}

// stopsBy is the rule by which the run may stop early: the plan's, else the one of before.
func (s *Session) stopsBy(before scoring.Evaluation) *scoring.StopRule {
	if s.Plan.Stopping == (plan.Stopping{}) {
		return before.Stop
	}
	return new(scoring.StopRule(s.Plan.Stopping))
}

// planFile is the absolute path of a plan; empty for one that is in no file.
func planFile(p *plan.Resolved) (string, error) {
	path := p.Plan.Source()
	if path == "" || path == "-" {
		return "", nil
	}
	return filepath.Abs(path)
}

// keepScorers notes before anything is sent where the run's scorers stand, so
// that it can be scored if it is stopped.
func (s *Session) keepScorers() error {
	if len(s.Plan.Scorers) == 0 {
		return nil
	}
	e, err := scoring.ReadEvaluation(s.Plan.Out)
	if err != nil {
		return err
	}
	if e.Plan, err = planFile(s.Plan); err != nil {
		return err
	}
	e.Given, e.Stop = s.Scorers, s.stopsBy(e)
	if err := e.WriteFile(s.Plan.Out); err != nil {
		return &store.StorageError{Op: "writing", Path: s.Plan.Out, Err: err}
	}
	return nil
}

// one scores all answers with one scorer.
func (s *Session) one(ctx context.Context, rs plan.ResolvedScorer) (ScoreTable, error) {
	info, err := scorers.Lookup(rs.Spec.Type)
	if err != nil {
		return ScoreTable{}, err
	}
	switch info.Kind {
	case scorers.OfCommand:
		return s.byProgram(s.sending(ctx), rs)
	case scorers.Judged:
		return s.byJudge(ctx, rs)
	case scorers.Embedded:
		return s.byEmbedding(ctx, rs)
	case scorers.Combined:
		return s.byPanel(s.sending(ctx), rs)
	}
	t := ScoreTable{Described: described(rs.Scorer, rs)}
	t.Tallies, err = scoring.Write(s.sending(ctx), s.Plan.Out, t.Described, scoring.Pure(rs.Scorer))
	return t, err
}

// described names a scorer of a plan for the run's files.
func described(s scoring.Named, rs plan.ResolvedScorer) scoring.Described {
	d := scoring.Describe(s)
	d.Datasets = rs.Datasets
	return d
}

func (s *Session) byProgram(ctx context.Context, rs plan.ResolvedScorer) (t ScoreTable, err error) {
	c, err := scorers.NewCommand(rs.Spec, s.AllowCommands)
	if err != nil {
		return t, Usagef("%w; --allow-commands does", err)
	}
	c.Dir = s.Plan.Plan.Dir()
	program, err := c.Start()
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, program.Close()) }()
	t.Described = described(c, rs)
	t.Tallies, err = scoring.Write(ctx, s.Plan.Out, t.Described, scoring.ByProgram(program))
	return t, err
}

func (s *Session) byPanel(ctx context.Context, rs plan.ResolvedScorer) (t ScoreTable, err error) {
	jury, err := scorers.NewJury(rs.Spec)
	if err != nil {
		return t, Usagef("%w", err)
	}
	t.Described = described(jury, rs)
	t.Tallies, err = scoring.WritePanel(ctx, s.Plan.Out, t.Described, jury)
	return t, err
}
