package main

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"nightshift/internal/words"
	"nightshift/reports"
	"nightshift/runner/session"
	"nightshift/runner/store/view"
)

// cancelFlags are the flags of `cancel`.
type cancelFlags struct {
	model, plan string
	noWait      bool
	kept        session.Kept
}

func (a *app) cancelCommand() *cobra.Command {
	var f cancelFlags
	c := &cobra.Command{
		Use:   "cancel RUN",
		Short: "Call back the batches of a run that are at a provider",
		Long: `Asks the providers to end the batches of a run and of its judges, waits until they
have ended, and collects what has run by then: that is paid for. The budget gets
the rest back.
Rows that have not run are as if they had not been sent, and the command that made
the run goes on with them. A provider may finish a batch all the same; its answers
are then kept.

The plan is the one that the run was started with; --plan names another place. The
keys are read from the environment as for run.`,
		Example: `  nightshift cancel runs/tonight
  nightshift cancel runs/tonight --model gpt-5
  nightshift cancel runs/tonight --no-wait`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			k := a.keeping(f.kept, false)
			return a.changing(c.Context(), args[0], k, func(dir string) error { return a.cancel(c, dir, &f, k) })
		},
	}
	s := c.Flags()
	s.StringVar(&f.model, "model", "", "only the batches of the model with this `NAME`")
	s.BoolVar(&f.noWait, "no-wait", false, "only ask; the command that made the run collects")
	addKept(s, &f.kept, "s3://bucket/run")
	s.StringVar(&f.plan, "plan", "", "plan `FILE` of the run, where it is not where it was")
	return c
}

func (a *app) cancel(c *cobra.Command, dir string, f *cancelFlags, k *session.Kept) error {
	before, err := f.away(dir)
	if err != nil {
		return err
	}
	if before == 0 {
		fmt.Fprintf(a.out, "%s: no batches are at a provider\n", dir)
		return nil
	}
	p, start, err := a.planOf(absolutePath(dir), f.plan)
	if err != nil {
		return err
	}
	log := slog.New(&plainHandler{w: a.err, level: slog.LevelInfo})
	calls, waiting, release := interrupts(c.Context(), func(s string) { log.Warn(s) })
	defer release()
	left, err := session.Cancel(calls, p, session.Options{Sending: waiting, Log: log, Stdin: a.in, Version: version(),
		RowsFrom: start.RowsFrom, WhichRows: start.Rows, Kept: k}, f.model, !f.noWait)
	if err != nil {
		return err
	}
	if waiting.Err() != nil {
		return &session.Error{Reason: session.Interrupted, Err: fmt.Errorf("interrupted; %s in batches may still be at "+
			"the provider; the same command goes on", words.Counted(left, "row"))}
	}
	a.printCancelled(dir, before, left, f.noWait)
	return nil
}

// away is how many rows of the run and its judges, or of one model of it, are in
// batches that are at a provider or are to be looked for there.
func (f *cancelFlags) away(dir string) (rows int64, err error) {
	info, err := view.ReadInfo(dir)
	if err != nil {
		return 0, usageError("%w", err)
	}
	if f.model != "" && !slices.Contains(info.Models, f.model) {
		hint := ""
		if near := words.Near(f.model, info.Models); near != "" {
			hint = "; did you mean " + near + "?"
		}
		return 0, usageError("--model: %s has no model %q%s", dir, f.model, hint)
	}
	runs := []string{dir}
	if f.model == "" {
		runs = append(runs, reports.InnerRuns(dir)...)
	}
	for _, run := range runs {
		st, err := view.Status(run)
		if err != nil {
			return 0, err
		}
		for _, m := range st.Batches {
			if f.model == "" || m.Model == f.model {
				rows += m.RowsAway
			}
		}
	}
	return rows, nil
}

func (a *app) printCancelled(dir string, before, left int64, asked bool) {
	switch {
	case left == 0:
		fmt.Fprintf(a.out, "%s: called back %s; what had run is on record\n", dir, words.Counted(before, "row"))
	case asked:
		fmt.Fprintf(a.out, "%s: asked for; %s are still at the provider, and the command that made the run collects "+
			"them\n", dir, words.Counted(left, "row"))
	default:
		fmt.Fprintf(a.out, "%s: %s are still at the provider\n", dir, words.Counted(left, "row"))
	}
}
