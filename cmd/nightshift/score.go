package main

import (
	"cmp"
	"errors"
	"fmt"
	"nightshift/reports/compare"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"nightshift/reports/scoring"
	"nightshift/runner/plan"
	"nightshift/runner/session"
	"nightshift/runner/store/view"
)

// scoreFlags are the flags of `score`.
type scoreFlags struct {
	plan          string
	allowCommands bool
	retryFailed   bool
	detach        bool
	kept          session.Kept
	talkFlags
}

// scoreOptions are the options of a plan that `score` has as flags too: what says how
// judges are asked, in the words of `run`.
var scoreOptions = []string{"scorer", "batch", "budget-usd", "budget-tokens", "prices", "deadline", "notify"}

func (a *app) scoreCommand() *cobra.Command {
	var f scoreFlags
	c := &cobra.Command{
		Use:   "score RUN",
		Short: "Score stored answers, again or with other scorers; only judges send requests",
		Long: `Scores the answers of a run and writes scores/SCORER.parquet. The scorers are those
of --scorer, else of --plan, else of the plan of the run. The same answers and
scorers give the same file, to the byte.

Judges send requests. Requests and replies are kept below judges/. After a crash, a
spent budget or a deadline, repeat the command to resume; no request is sent twice.
Budget, prices, deadline, batches and notifications are those of run.`,
		Example: `  nightshift score runs/tonight
  nightshift score runs/tonight --scorer number:style=gsm8k_flexible
  nightshift score runs/tonight --scorer '{type: judge_grade, name: helpful, endpoint: openai, model: gpt-5-mini}'`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			k := a.keeping(f.kept, false)
			return a.changing(c.Context(), args[0], k, func(dir string) error { return a.score(c, dir, &f, k) })
		},
	}
	s := c.Flags()
	s.StringVar(&f.plan, "plan", "", "take scorers and comparison from this plan `FILE`")
	for _, o := range plan.Options() {
		if slices.Contains(scoreOptions, o.Flag) {
			addOption(s, o)
		}
	}
	s.BoolVar(&f.allowCommands, "allow-commands", false, "run the programs of command scorers")
	s.BoolVar(&f.retryFailed, "retry-failed", false, "ask judges again where a request failed")
	s.BoolVar(&f.detach, "detach", false,
		"with batches: submit what budget allows, then end with exit code 8; the same command goes on")
	addKept(s, &f.kept, "s3://bucket/run")
	f.talkFlags.add(s)
	return c
}

func (a *app) score(c *cobra.Command, dir string, f *scoreFlags, k *session.Kept) (err error) {
	if err := f.validate(); err != nil {
		return err
	}
	screen := &switchWriter{w: a.err}
	log, closeLog, err := f.logger(screen)
	if err != nil {
		return err
	}
	defer closeLog()
	info, err := view.ReadInfo(dir)
	if err != nil {
		return usageError("%w", err)
	}
	mode := a.progressMode(f.progress, f.quiet)
	end := runEnd{name: "scores of " + info.Name, started: time.Now(), bell: mode == "bar",
		to: cmp.Or(c.Flag("notify").Value.String(), a.getenv("NIGHTSHIFT_NOTIFY"))}
	defer func() { end.tell(a.err, log, err) }()
	resolved, given, err := a.scoringPlan(c, dir, f)
	if err != nil {
		return err
	}
	end.to = cmp.Or(end.to, resolved.Notify)
	calls, waiting, release := interrupts(c.Context(), func(s string) { log.Warn(s) })
	defer release()
	show := a.display(screen, mode)
	tables, err := session.Score(calls, dir, resolved, session.Options{
		Sending: waiting, Log: log, Version: version(), Show: show.start,
		AllowCommands: f.allowCommands, RetryFailed: f.retryFailed, Detach: f.detach, Scorers: given,
		AddScorers: c.Flags().Changed("scorer"), Kept: k,
	})
	printScores(a, tables)
	return err
}

// scoringPlan finds the scorers: those of flags, of a plan, or of the plan
// that the run was made with, for which given are those that its command line
// put in their place.
func (a *app) scoringPlan(c *cobra.Command, dir string, f *scoreFlags) (p *plan.Resolved, given []string, err error) {
	path, asked := f.plan, givenOptions(c.Flags())["scorer"]
	if path == "" && len(asked) == 0 {
		e, err := scoring.ReadEvaluation(dir)
		if err != nil {
			return nil, nil, usageError("%w", err)
		}
		if path, given = e.Plan, e.Given; path == "" && len(given) == 0 {
			return nil, nil, usageError("%s: nothing says how to score it; name --scorer or --plan", dir)
		}
	}
	p, err = a.resolveScoring(c, path, slices.Concat(asked, given), f)
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
	problems = append(problems, p.ApplyEnvironment(a.getenv, scoreOptions...), p.Apply(options))
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
	return resolved, errors.Join(session.CheckScorers(resolved, f.allowCommands), detachable(f.detach, resolved))
}

// printScores prints a line for each scorer and model.
func printScores(a *app, tables []session.ScoreTable) {
	w := tabwriter.NewWriter(a.out, 2, 8, 2, ' ', 0)
	for _, t := range tables {
		for _, m := range t.Tallies {
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
