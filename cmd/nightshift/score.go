package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nightshift/reports/compare"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/runner/plan"
	"nightshift/runner/store"
)

// scoreFlags are the flags of `score`.
type scoreFlags struct {
	plan          string
	scorers       []string
	allowCommands bool
	retryFailed   bool
	quiet         bool
}

func (a *app) scoreCommand() *cobra.Command {
	var f scoreFlags
	c := &cobra.Command{
		Use:   "score RUN",
		Short: "Score stored answers, again or with other scorers; only judges send requests",
		Long: `Scores the answers of a run and writes scores/SCORER.parquet. The scorers are those
of --scorer, else of --plan, else of the plan that the run was made with. The same
answers and scorers give the same file to the byte.

Judges send requests: what they were asked and said is kept below judges/, and the
same command goes on after a crash or a spent budget, without asking anything
twice.`,
		Example: `  nightshift score runs/tonight
  nightshift score runs/tonight --scorer number:style=gsm8k_flexible
  nightshift score runs/tonight --scorer '{type: judge_grade, name: helpful, endpoint: openai, model: gpt-5-mini}'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.score(c, args[0], &f) },
	}
	s := c.Flags()
	s.StringVar(&f.plan, "plan", "", "take scorers and comparison from this plan `FILE`")
	s.StringArrayVar(&f.scorers, "scorer", nil, "`SCORER`, such as number or exact:normalize=squad; may be repeated")
	s.BoolVar(&f.allowCommands, "allow-commands", false, "run the programs of command scorers")
	s.BoolVar(&f.retryFailed, "retry-failed", false, "ask judges again where a request failed")
	s.String("budget-usd", "", "most `DOLLARS` that the run may cost, judges included")
	s.Int64("budget-tokens", 0, "most tokens that the run may use, judges included")
	s.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, only warnings")
	return c
}

func (a *app) score(c *cobra.Command, dir string, f *scoreFlags) error {
	if _, err := store.ReadInfo(dir); err != nil {
		return usageError("%w", err)
	}
	resolved, given, err := a.scoringPlan(c, dir, f)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if f.quiet {
		level = slog.LevelWarn
	}
	screen := &switchWriter{w: a.err}
	log := slog.New(&plainHandler{w: screen, level: level})
	calls, waiting, release := interrupts(c.Context(), func(s string) { log.Warn(s) })
	defer release()
	s := &scoringStep{
		app: a, dir: dir, plan: resolved, log: log, screen: screen, quiet: f.quiet,
		allowCommands: f.allowCommands, retryFailed: f.retryFailed, given: given, addTo: len(f.scorers) > 0,
	}
	defer s.close()
	tables, err := s.run(calls, waiting)
	printScores(a, tables)
	return err
}

// scoringPlan finds the scorers: those of flags, of a plan, or of the plan
// that the run was made with, for which given are those that its command line
// put in their place.
func (a *app) scoringPlan(c *cobra.Command, dir string, f *scoreFlags) (p *plan.Resolved, given []string, err error) {
	path := f.plan
	if path == "" && len(f.scorers) == 0 {
		e, err := scoring.ReadEvaluation(dir)
		if err != nil {
			return nil, nil, usageError("%w", err)
		}
		if path, given = e.Plan, e.Given; path == "" && len(given) == 0 {
			return nil, nil, usageError("%s: nothing says how to score it; name --scorer or --plan", dir)
		}
	}
	p, err = a.resolveScoring(c, path, append(slices.Clone(f.scorers), given...), f)
	return p, given, err
}

func (a *app) resolveScoring(c *cobra.Command, path string, names []string, f *scoreFlags) (*plan.Resolved, error) {
	p := &plan.Plan{}
	var problems []error
	if path != "" {
		loaded, err := plan.Load(path)
		problems = append(problems, unreadable(path, err))
		if loaded != nil {
			p = loaded
		}
	}
	options := givenOptions(c.Flags())
	options["scorer"] = names
	problems = append(problems, p.Apply(options))
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	resolved, err := p.ResolveScoring(a.getenv)
	if err != nil {
		return nil, err
	}
	if len(resolved.Scorers) == 0 {
		return nil, usageError("%s names no scorers; add --scorer, or scorers: to the plan", path)
	}
	if err := compare.CheckGates(resolved.Gates); err != nil {
		return nil, usageError("%w", err)
	}
	return resolved, checkScorers(resolved, f.allowCommands)
}

// checkScorers finds what would stop the scoring, before anything is spent.
func checkScorers(p *plan.Resolved, allowCommands bool) error {
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
		case scorers.Embedded:
			problems = append(problems, fmt.Errorf("scorer %s: this version sends no requests for embeddings", s.Spec.Name))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return usageError("%w", err)
	}
	return nil
}

// checkGates finds gates of a run's plan that are no conditions, that could not
// work, or that name what the plan does not have.
func checkGates(p *plan.Resolved) error {
	if err := compare.CheckGatesOf(p.Gates, modelNames(p), scorerTypes(p)); err != nil {
		return usageError("%w", err)
	}
	return nil
}

// modelNames are the names of the plan's models.
func modelNames(p *plan.Resolved) []string {
	var names []string
	for _, m := range p.Models {
		names = append(names, m.Name)
	}
	return names
}

// scorerTypes are the types of the plan's scorers by name.
func scorerTypes(p *plan.Resolved) map[string]string {
	types := map[string]string{}
	for _, s := range p.Scorers {
		types[cmp.Or(s.Spec.Name, s.Spec.Type)] = s.Spec.Type
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

// A scoringStep scores the answers of one run.
type scoringStep struct {
	*app
	dir           string
	plan          *plan.Resolved
	log           *slog.Logger
	screen        *switchWriter
	quiet         bool
	allowCommands bool
	retryFailed   bool
	given         []string // scorers of the command line, in place of the plan's
	addTo         bool     // the scorers come beside those that are there
	clients       *clients
	ownClients    bool
}

// A scoreTable is one that was written.
type scoreTable struct {
	scoring.Described
	tallies []scoring.Tally
}

// run writes a table for every scorer: first those that send nothing, then
// judges, then what combines them. Tables that are there when it ends early are
// good.
func (s *scoringStep) run(calls, waiting context.Context) ([]scoreTable, error) {
	e, err := s.evaluation()
	if err != nil {
		return nil, err
	}
	var tables []scoreTable
	for turn := range 3 {
		for _, rs := range s.plan.Scorers {
			if turn != turnOf(rs) {
				continue
			}
			t, err := s.one(calls, waiting, rs)
			if t.tallies != nil {
				tables = append(tables, t)
				e.Put(t.Described)
			}
			if err != nil {
				return tables, errors.Join(err, s.keep(e))
			}
		}
	}
	return tables, s.keep(e)
}

// turnOf says when a scorer's turn is.
func turnOf(rs plan.ResolvedScorer) int {
	switch {
	case rs.Judge != nil:
		return 1
	case rs.Spec.Type == "panel":
		return 2
	}
	return 0
}

func (s *scoringStep) keep(e scoring.Evaluation) error {
	if err := e.WriteFile(s.dir); err != nil {
		return &store.StorageError{Op: "writing", Path: s.dir, Err: err}
	}
	return nil
}

// evaluation begins with what is known, the plan's scorers in front.
func (s *scoringStep) evaluation() (scoring.Evaluation, error) {
	before, err := scoring.ReadEvaluation(s.dir)
	if err != nil || s.addTo {
		return before, err
	}
	e := scoring.Evaluation{Given: s.given, Baseline: s.plan.Baseline, Alpha: s.plan.Alpha, Gates: s.plan.Gates}
	if e.Plan, err = planFile(s.plan); err != nil {
		return e, err
	}
	for _, rs := range s.plan.Scorers {
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
func (s *session) keepScorers() error {
	if len(s.plan.Scorers) == 0 {
		return nil
	}
	e, err := scoring.ReadEvaluation(s.plan.Out)
	if err != nil {
		return err
	}
	if e.Plan, err = planFile(s.plan); err != nil {
		return err
	}
	e.Given = s.flags.plan.scorers()
	if err := e.WriteFile(s.plan.Out); err != nil {
		return &store.StorageError{Op: "writing", Path: s.plan.Out, Err: err}
	}
	return nil
}

// one scores all answers with one scorer.
func (s *scoringStep) one(calls, waiting context.Context, rs plan.ResolvedScorer) (scoreTable, error) {
	info, err := scorers.Lookup(rs.Spec.Type)
	if err != nil {
		return scoreTable{}, err
	}
	switch info.Kind {
	case scorers.OfCommand:
		return s.byProgram(waiting, rs)
	case scorers.Judged:
		return s.byJudge(calls, waiting, rs)
	case scorers.Combined:
		return s.byPanel(waiting, rs)
	}
	t := scoreTable{Described: scoring.Describe(rs.Scorer)}
	t.tallies, err = scoring.Write(waiting, s.dir, t.Described, scoring.Pure(rs.Scorer))
	return t, err
}

func (s *scoringStep) byProgram(ctx context.Context, rs plan.ResolvedScorer) (t scoreTable, err error) {
	c, err := scorers.NewCommand(rs.Spec, s.allowCommands)
	if err != nil {
		return t, usageError("%w; --allow-commands does", err)
	}
	c.Dir = s.plan.Plan.Dir()
	program, err := c.Start()
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, program.Close()) }()
	t.Described = scoring.Describe(c)
	t.tallies, err = scoring.Write(ctx, s.dir, t.Described, scoring.ByProgram(program))
	return t, err
}

func (s *scoringStep) byPanel(ctx context.Context, rs plan.ResolvedScorer) (t scoreTable, err error) {
	jury, err := scorers.NewJury(rs.Spec)
	if err != nil {
		return t, usageError("%w", err)
	}
	t.Described = scoring.Describe(jury)
	t.tallies, err = scoring.WritePanel(ctx, s.dir, jury)
	return t, err
}

func (s *scoringStep) close() {
	if s.ownClients {
		s.clients.Close()
	}
}

// printScores prints a line for each scorer and model.
func printScores(a *app, tables []scoreTable) {
	w := tabwriter.NewWriter(a.out, 2, 8, 2, ' ', 0)
	for _, t := range tables {
		for _, m := range t.tallies {
			mean := "-"
			if v, ok := m.Mean(); ok {
				mean = fmt.Sprintf("%.3f", v)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d/%d scored", t.Name, m.Model, mean, m.Scored+m.NoAnswer, m.Rows())
			for _, part := range []struct {
				n    int64
				what string
			}{{m.NoAnswer, "without an answer"}, {m.Unscored, "unscored"}, {m.Errors, "failed"}} {
				if part.n > 0 {
					fmt.Fprintf(w, ", %d %s", part.n, part.what)
				}
			}
			fmt.Fprintln(w)
		}
	}
	w.Flush()
}

// missing reports whether a file or directory is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
