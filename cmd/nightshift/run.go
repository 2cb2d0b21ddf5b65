package main

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"nightshift/runner/plan"
	"nightshift/runner/session"
)

// runFlags are the flags of `run` beside those that say what to run.
type runFlags struct {
	plan          planFlags
	check         checkFlags // with dryRun
	dryRun        bool
	retryFailed   bool
	movedEndpoint bool
	allowCommands bool
	detach        bool
	allRows       bool
	workers       workersFlags
	kept          session.Kept
	talkFlags
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [PLAN]",
		Short: "Run a dataset through models; the same command resumes",
		Long: `Sends every row of a dataset to every model and keeps answers, usage and cost in
Parquet. After a crash, Ctrl-C or a spent budget, repeat the command to resume: rows
with an answer on record are never sent again.

With --batch, or mode: batch in the plan, rows go in the provider's batches at about
half the price, and the command waits for them. With --detach it ends with exit
code 8 once they are submitted; the same command collects them, hours later.

With --reuse RUN, answers of an earlier run are taken over where endpoint, model and
every byte of the request are the same: one more model, one more epoch or a corrected
row costs what is new. docs/reuse.md has the rules.

With --deadline 07:00 it stops sending in time for what is in flight to end before
seven and ends with exit code 4; the same command goes on. With --notify URL it posts
a JSON summary there when it ends, well or not.

The first Ctrl-C stops sending and waits for requests in flight. The second stops
waiting and keeps what was read. The third exits at once.`,
		Example: `  nightshift run examples/quickstart/plan.yaml
  nightshift run --dataset prompts.jsonl --model anthropic/claude-sonnet-4-6 --max-tokens 1024 --out runs/first
  nightshift run tonight.yaml --budget-usd 40
  nightshift run tonight.yaml --retry-failed
  nightshift run tonight.yaml --batch --detach
  nightshift run three-models.yaml --reuse runs/two-models
  nightshift run tonight.yaml --out s3://runs/tonight --work-dir work`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.run(c.Context(), &f, args) },
	}
	f.plan.add(c)
	s := c.Flags()
	s.BoolVar(&f.dryRun, "dry-run", false, "check and estimate as `nightshift check` does, send nothing")
	f.check.add(c)
	s.BoolVar(&f.retryFailed, "retry-failed", false, "run failed and unknown rows again")
	s.BoolVar(&f.movedEndpoint, "moved-endpoint", false,
		"resume although a model's base URL changed: the same model is now served there")
	s.BoolVar(&f.detach, "detach", false,
		"with batches: submit what limits and budget allow, then end with exit code 8; the same command goes on")
	s.BoolVar(&f.allRows, "all-rows", false,
		"with stop_when or precision in the plan: go on to the last row, although the comparison needs no more")
	s.BoolVar(&f.allowCommands, "allow-commands", false, "run the programs of command scorers")
	f.workers.add(s)
	addKept(s, &f.kept, "--out s3://bucket/run")
	f.talkFlags.add(s)
	return c
}

func (f *runFlags) validate() error {
	if err := f.talkFlags.validate(); err != nil {
		return err
	}
	if !f.dryRun && f.check.given() {
		return usageError("--calibrate, --detect, --pilot and --json go with --dry-run, which estimates instead of running")
	}
	if err := f.check.check(); err != nil {
		return err
	}
	return f.workers.validate()
}

// detachable sees that there is something to go away from, and that it stays there.
func detachable(detach bool, p *plan.Resolved) error {
	if detach && !p.HasBatches() {
		return usageError("--detach leaves batches at the provider, and no model is in mode batch; add --batch")
	}
	for _, m := range p.Models {
		if detach && m.Mode == plan.ModeBatch && m.Simulated {
			return usageError("--detach leaves batches at the provider, and that of %s is a simulator in this process: it ends "+
				"with it; leave --detach out, or start nightshift simulate and send there", m.Name)
		}
	}
	return nil
}

// needKeys reports whether this process sends with keys of its own. Where there
// are workers it sends with those that it has.
func (f *runFlags) needKeys() bool {
	if f.dryRun {
		return f.check.calibrate > 0
	}
	return f.workers.listen == ""
}

func oneOf(s string, words ...string) bool {
	for _, w := range words {
		if s == w {
			return true
		}
	}
	return false
}

func (a *app) run(ctx context.Context, f *runFlags, args []string) (err error) {
	if err := f.validate(); err != nil {
		return err
	}
	w := &switchWriter{w: a.err}
	log, closeLog, err := f.logger(w)
	if err != nil {
		return err
	}
	defer closeLog()
	calls, waiting, release := interrupts(ctx, func(s string) { log.Warn(s) })
	defer release()
	f.plan.options = session.Options{Log: log, Kept: a.keeping(f.kept, f.dryRun && f.check.calibrate == 0)}
	mode := a.progressMode(f.progress, f.quiet)
	end := runEnd{bell: mode == "bar", started: time.Now(),
		to: cmp.Or(f.plan.given("notify"), a.getenv("NIGHTSHIFT_NOTIFY"))}
	if !f.dryRun {
		defer func() { end.tell(a.err, log, err) }()
	}
	s, missing, err := a.prepare(waiting, &f.plan, args, f.needKeys())
	if waiting.Err() != nil {
		return &session.Error{Reason: session.Interrupted, Err: errors.New("interrupted before anything was sent")}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Dataset.Close(), s.Release()) }()
	end.to, end.name = s.Plan.Notify, s.Plan.Name
	if err := errors.Join(session.CheckScorers(s.Plan, f.allowCommands), detachable(f.detach, s.Plan)); err != nil {
		return err
	}
	if f.dryRun {
		return a.estimate(waiting, s, missing, f.check)
	}
	defer a.steadyHeap(s.Plan)()
	show := a.display(w, mode)
	s.Log, s.Sending, s.Show, s.Serve = log, waiting, show.start, startMetrics(s.Plan.Metrics, log)
	s.RetryFailed, s.MovedEndpoint, s.AllowCommands, s.Scorers = f.retryFailed, f.movedEndpoint, f.allowCommands,
		f.plan.scorers()
	s.AllRows = f.allRows
	s.Detach, s.Start = f.detach, f.plan.start(a, args)
	s.Workers = f.workers.session()
	result, err := s.Run(calls)
	end.result = result
	if result.Page != nil {
		err = errors.Join(err, result.Page.Text(a.screen()))
	}
	return err
}
