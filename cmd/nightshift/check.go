package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/internal/s3"
	"nightshift/runner/plan"
	"nightshift/runner/session"
	"nightshift/runner/session/estimate"
	"nightshift/runner/store/bucket"
)

// checkFlags are the flags of `check`, which `run --dry-run` takes too.
type checkFlags struct {
	calibrate int
	asJSON    bool
	pilot     string
	detect    float64 // in points
}

// given reports whether any of them is set.
func (f *checkFlags) given() bool { return *f != checkFlags{} }

func (f *checkFlags) add(c *cobra.Command) {
	c.Flags().IntVar(&f.calibrate, "calibrate", 0,
		"send `N` real requests to each model and estimate from the answers (costs money, within the budget)")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the estimate as JSON")
	c.Flags().Float64Var(&f.detect, "detect", 0, "how many rows show a difference of so many `POINTS`, such as 3")
	c.Flags().StringVar(&f.pilot, "pilot", "",
		"earlier `RUN` of such models and rows, which shows how far their scores lie apart")
}

func (f *checkFlags) check() (err error) {
	if f.calibrate < 0 {
		err = usageError("--calibrate: %d is below zero", f.calibrate)
	}
	if !(f.detect >= 0 && f.detect < 100) {
		err = errors.Join(err, usageError("--detect: %v is no number of points between 0 and 100", f.detect))
	}
	return err
}

func (a *app) checkCommand() *cobra.Command {
	var f planFlags
	var cf checkFlags
	var kept session.Kept
	c := &cobra.Command{
		Use:   "check [PLAN]",
		Short: "Check plan and dataset and estimate tokens, cost and duration; send nothing",
		Long: `Reads the plan and every row of the dataset and lists all mistakes, each with its
place and a remedy. Then shows the first prompt as it will be sent, its address,
and estimated tokens, cost and duration with ranges, missing information, and
whether the budget is sufficient.

Nothing is sent and no key is needed. With --calibrate N, N real requests go to each
model, and the estimate is based on their answers. They are part of the run: with
--out s3://bucket/run this process works on it meanwhile, as nightshift run does.

Where models are compared, it says which difference the rows can show, and how many
rows a difference of 2, 5 and 10 points needs, or one of --detect POINTS: a true
difference is then found four times out of five. How often only one of two models is
right is a guess, unless an earlier run tells it: --pilot RUN.

The ranges should hold nine times out of ten. They do not include retries and
savings from prompt caching.

Exit codes: 0 the plan can run, 2 something is wrong with it.`,
		Example: `  nightshift check examples/quickstart/plan.yaml
  nightshift check --dataset prompts.jsonl --model anthropic/claude-sonnet-4-6 --max-tokens 1024
  nightshift check tonight.yaml --calibrate 5
  nightshift check three-models.yaml --reuse runs/two-models
  nightshift check tonight.yaml --detect 3 --pilot runs/tonight
  nightshift check tonight.yaml --json | jq .total.cost_usd`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if err := cf.check(); err != nil {
				return err
			}
			f.options.Kept = a.keeping(kept, cf.calibrate == 0)
			if cf.calibrate > 0 { // what waits for the bucket says so
				f.options.Log = slog.New(&plainHandler{w: a.err, level: slog.LevelInfo})
			}
			s, missing, err := a.prepare(c.Context(), &f, args, cf.calibrate > 0)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, s.Dataset.Close(), s.Release()) }()
			return a.estimate(c.Context(), s, missing, cf)
		},
	}
	cf.add(c)
	f.add(c)
	addWorkDir(c.Flags(), &kept, "--out s3://bucket/run")
	return c
}

// estimate prints what a run would do.
func (a *app) estimate(ctx context.Context, s *session.Session, missing []plan.Problem, f checkFlags) error {
	if !s3.IsURL(f.pilot) {
		return a.forecast(ctx, s, missing, f)
	}
	return a.reading(ctx, []string{f.pilot}, bucket.ReadOptions{}, func(a *app, dirs []string) error {
		f.pilot = dirs[0]
		return a.forecast(ctx, s, missing, f)
	})
}

func (a *app) forecast(ctx context.Context, s *session.Session, missing []plan.Problem, f checkFlags) error {
	s.Log = slog.New(&plainHandler{w: a.err, level: slog.LevelWarn})
	forecast, err := estimate.New(ctx, s, estimate.Options{
		Calibrate: f.calibrate, MissingKeys: missing, Notice: func(text string) { fmt.Fprintln(a.err, text) },
		Pilot: f.pilot, Detect: f.detect / 100,
	})
	if err != nil {
		return err
	}
	if f.asJSON {
		err = a.printJSON(forecast)
	} else {
		var text strings.Builder
		err = forecast.Text(&text)
		io.WriteString(a.out, folded(text.String(), terminalColumns(a.out)))
	}
	return errors.Join(err, forecast.Unsendable(s.Plan))
}
