package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"nightshift"
	"nightshift/datasets"
	"nightshift/reports"
	"nightshift/reports/compare"
	"nightshift/runner"
	"nightshift/runner/store"
)

// runFlags are the flags of `run` beside those that say what to run.
type runFlags struct {
	plan          planFlags
	check         checkFlags // with dryRun
	dryRun        bool
	retryFailed   bool
	movedEndpoint bool
	allowCommands bool
	progress      string
	logFormat     string
	logFile       string
	quiet         bool
	verbose       bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [PLAN]",
		Short: "Run a dataset through models; the same command resumes",
		Long: `Runs every row of a dataset through every model, and keeps answers, usage and cost
in Parquet. The same command resumes after a crash, Ctrl-C or a spent budget: rows
whose answer is on record are never sent again.

Ctrl-C once stops sending and finishes what is in flight; twice gives that up
and keeps what was read; three times exits at once.`,
		Example: `  nightshift run examples/quickstart/plan.yaml
  nightshift run --dataset prompts.jsonl --model anthropic/claude-sonnet-4-6 --max-tokens 1024 --out runs/first
  nightshift run tonight.yaml --budget-usd 40
  nightshift run tonight.yaml --retry-failed`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.run(c.Context(), &f, args) },
	}
	f.plan.add(c)
	s := c.Flags()
	s.BoolVar(&f.dryRun, "dry-run", false, "check and estimate as `nightshift check` does, send nothing")
	f.check.add(c)
	s.BoolVar(&f.retryFailed, "retry-failed", false, "run failed and unknown rows again")
	s.BoolVar(&f.movedEndpoint, "moved-endpoint", false, "resume although a model's base URL changed: the same model is now served there")
	s.BoolVar(&f.allowCommands, "allow-commands", false, "run the programs of command scorers")
	s.StringVar(&f.progress, "progress", "auto", "auto, bar, plain or none")
	s.StringVar(&f.logFormat, "log-format", "text", "text or json")
	s.StringVar(&f.logFile, "log-file", "", "write the log to this `FILE` as well")
	s.BoolVarP(&f.quiet, "quiet", "q", false, "no progress, only warnings")
	s.BoolVarP(&f.verbose, "verbose", "v", false, "log every retry")
	return c
}

func (f *runFlags) validate() error {
	if !oneOf(f.progress, "auto", "bar", "plain", "none") {
		return usageError("--progress: %q is none of auto, bar, plain, none", f.progress)
	}
	if !f.dryRun && (f.check.calibrate != 0 || f.check.asJSON) {
		return usageError("--calibrate and --json go with --dry-run, which estimates instead of running")
	}
	if !oneOf(f.logFormat, "text", "json") {
		return usageError("--log-format: %q is neither text nor json", f.logFormat)
	}
	return nil
}

func oneOf(s string, words ...string) bool {
	for _, w := range words {
		if s == w {
			return true
		}
	}
	return false
}

func (a *app) run(ctx context.Context, f *runFlags, args []string) error {
	if err := f.validate(); err != nil {
		return err
	}
	w := &switchWriter{w: a.err}
	log, closeLog, err := a.logger(f, w)
	if err != nil {
		return err
	}
	defer closeLog()
	calls, waiting, release := interrupts(ctx, func(s string) { log.Warn(s) })
	defer release()
	job, err := a.prepare(waiting, &f.plan, args, !f.dryRun || f.check.calibrate > 0)
	if waiting.Err() != nil {
		return &exitError{exitInterrupted, errors.New("interrupted before anything was sent")}
	}
	if err != nil {
		return err
	}
	defer job.dataset.Close()
	if err := checkScorers(job.plan, f.allowCommands); err != nil {
		return err
	}
	if f.dryRun {
		return a.estimate(waiting, job, f.check)
	}
	s := &session{app: a, flags: f, job: job, log: log, screen: w}
	return s.execute(calls, waiting)
}

// A session is one start of a run.
type session struct {
	*app
	*job
	flags  *runFlags
	log    *slog.Logger
	screen *switchWriter // where the log goes: past the progress bar while there is one
}

// identity is what the run directory belongs to.
func (j *job) identity() store.Identity {
	canonical, hash := j.plan.Identity()
	info := j.dataset.Info()
	id := store.Identity{
		Name: j.plan.Name, Tool: version(), PriceTable: j.plan.Prices.ID(),
		Plan: j.planAsRun(canonical), PlanHash: j.rows.mark(hash), MayChange: []string{"source", "prices"},
		DatasetHash: info.Hash, DatasetRows: info.Rows, DatasetSize: info.Bytes, Epochs: j.plan.Epochs, Chunks: storeChunks(j.dataset),
	}
	for _, m := range j.plan.Models {
		id.Models = append(id.Models, m.Name)
	}
	return id
}

// storeChunks are a dataset's slices as the store has them.
func storeChunks(d *datasets.Dataset) []store.Chunk {
	list := make([]store.Chunk, 0, len(d.Chunks()))
	for _, s := range d.Chunks() {
		list = append(list, store.Chunk{First: s.First, Rows: s.Rows, Skipped: s.Rows - s.Selected, Hash: s.Hash})
	}
	return list
}

// execute opens the run directory, runs, and reports.
func (s *session) execute(calls, waiting context.Context) error {
	defer steadyHeap(s.plan)()
	for _, note := range slices.Concat(s.warnings, s.plan.Notes) {
		s.log.Warn(note)
	}
	st, err := store.Open(s.plan.Out, s.identity(), store.Options{
		Strict: s.plan.Strict, RetryFailed: s.flags.retryFailed, MovedEndpoint: s.flags.movedEndpoint, Late: crowded(s.plan),
		Notice: func(text string) { s.log.Warn(text) },
	})
	if err != nil {
		return err
	}
	clients, err := s.open(st)
	if err != nil {
		return errors.Join(err, st.Close("failed"))
	}
	defer clients.Close()
	endMetrics, err := s.startMetrics(clients, st)
	if err != nil {
		return errors.Join(err, st.Close("failed"))
	}
	defer endMetrics()
	before := s.earlierLimits(st.WriteFile)
	pace := newPace(s.job, st.Totals())
	looking := watchClients(clients, s.plan.Out, st, pace)
	show := s.progress(st, clients, pace)
	s.screen.redirect(show)
	s.sayStart(st)
	r := &runner.Run{
		Name: s.plan.Name, Store: st, Dataset: s.dataset, Pools: clients.pools,
		Epochs: s.plan.Epochs, Raw: runner.Raw(s.plan.Raw), SkipUnknown: s.plan.SkipUnknown, Log: s.log,
	}
	stops, err := r.Do(calls, waiting)
	s.screen.redirect(s.err)
	show.Close(clients.figures(st, s.job, pace))
	looking.Close(stops)
	if err := looking.keepLimits(before, st.WriteFile); err != nil {
		s.log.Warn("what bound the run is not kept: " + err.Error())
	}
	s.sayLimited(looking)
	return s.finish(calls, waiting, clients, st, stops, err)
}

// open keeps the dataset's index and opens the way to the models.
func (s *session) open(st *store.Run) (*clients, error) {
	if err := s.keepIndex(); err != nil {
		return nil, err
	}
	if err := s.rows.keep(s.plan.Out); err != nil {
		return nil, err
	}
	if err := s.keepScorers(); err != nil {
		return nil, err
	}
	return s.buildWithJudges(st)
}

// keepIndex writes what reading the dataset has found.
func (s *session) keepIndex() error {
	extensions, err := store.Extensions(s.plan.Out)
	if err != nil {
		return err
	}
	folder := versionDir(s.plan.Out, len(extensions))
	if err = os.MkdirAll(folder, 0o700); err == nil {
		err = s.dataset.WriteIndex(filepath.Join(folder, indexFile))
	}
	if err != nil {
		return &store.StorageError{Op: "writing", Path: filepath.Join(folder, indexFile), Err: err}
	}
	return nil
}

// counted is a number of things: "1 row", "2 rows".
func counted(n int64, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// sayStart says in a line what is about to happen, so that a resumed run is
// told from a new one.
func (s *session) sayStart(st *store.Run) {
	sum := st.Totals().Sum()
	total := s.items()
	if sum.Rows == 0 {
		s.log.Info(fmt.Sprintf("%s: %s × %s into %s", s.plan.Name, counted(s.dataset.Info().Selected, "row"), counted(int64(len(s.plan.Models)), "model"), fromHere(s.plan.Out)))
		return
	}
	s.log.Info(fmt.Sprintf("%s: resuming %s, %d of %d answers are on record", s.plan.Name, s.plan.Out, sum.Rows, total))
	if n := len(st.Unknown()); n > 0 {
		what := "they will be sent again (--on-unknown skip leaves them)"
		if s.plan.SkipUnknown {
			what = "they are recorded as unknown"
		}
		s.log.Warn(fmt.Sprintf("%d requests may have been billed without an answer when the last process ended: %s", n, what))
	}
}

func (j *job) items() int64 {
	return j.dataset.Info().Selected * int64(len(j.plan.Models)) * int64(j.plan.Epochs)
}

// finish closes the run, scores and compares its answers, writes its reports,
// prints the summary, and says how it ended.
func (s *session) finish(calls, waiting context.Context, f *clients, st *store.Run, stops []runner.Stop, failure error) error {
	interrupted := context.Cause(waiting)
	end := ending(s.job, st.Totals(), stops, failure, interrupted)
	if err := st.Close(end.state); err != nil && failure == nil {
		failure = err
		end = ending(s.job, st.Totals(), stops, failure, interrupted)
	}
	comparison := s.evaluate(calls, waiting, f, &end)
	s.report(comparison, &end)
	if end.code == exitOK {
		return nil
	}
	return &exitError{end.code, end.err}
}

// report writes and prints the reports. What goes wrong is added to why the run
// ended, whatever that is.
func (s *session) report(comparison *compare.Comparison, end *endState) {
	page, err := reports.BuildPage(s.plan.Out, func(summary *reports.Summary) error {
		if comparison != nil {
			summary.Comparison = comparison.Block()
		}
		return nil
	})
	if err != nil {
		end.also(fmt.Errorf("the report cannot be made: %w; nightshift report %s tries again", err, s.plan.Out))
		return
	}
	err = errors.Join(writeReports(s.plan.Out, page.Summary), render(filepath.Join(s.plan.Out, "report.html"), page.HTML))
	if err != nil {
		end.also(&exitError{exitStorage, err})
	} else {
		s.log.Info("for a browser: " + fromHere(filepath.Join(s.plan.Out, "report.html")))
	}
	if err := page.Text(s.out); err != nil {
		end.also(&exitError{exitInternal, err})
	}
}

// An endState is how a run ended, for run.json, for people and for scripts.
type endState struct {
	state string
	code  int
	err   error
}

// also adds what went wrong after the run had ended. The code stays that of the
// first reason, except that storage that fails is the most serious one.
func (e *endState) also(err error) {
	if code := exitCode(err); e.code == exitOK || code == exitStorage {
		e.code = code
	}
	e.err = errors.Join(e.err, err)
}

// ending decides how a run ended; the most serious reason wins.
func ending(j *job, totals store.Totals, stops []runner.Stop, failure, interrupted error) endState {
	resume := "the same command goes on where this stopped"
	sum := totals.Sum()
	switch {
	case failure != nil:
		return endState{"failed", exitCode(failure), failure}
	case errors.Is(interrupted, errInterrupted), errors.Is(interrupted, errImpatient):
		return endState{"interrupted", exitInterrupted, fmt.Errorf("interrupted with %d of %d answers on record; %s", sum.Rows, j.items(), resume)}
	case len(stops) > 0:
		return stopped(j, sum, stops, resume)
	case sum.Rows < j.items():
		return endState{"stopped", exitStopped, fmt.Errorf("%d of %d answers are on record; %s", sum.Rows, j.items(), resume)}
	case j.plan.TolerateFailed.Exceeded(sum.Outcomes[nightshift.OutcomeFailed]+sum.Outcomes[nightshift.OutcomeInputError], sum.Rows):
		return endState{"finished", exitFailedRows, fmt.Errorf("finished, but %d of %d rows failed; nightshift run … --retry-failed runs them again",
			sum.Outcomes[nightshift.OutcomeFailed]+sum.Outcomes[nightshift.OutcomeInputError], sum.Rows)}
	}
	return endState{state: "finished"}
}

// stopped explains lanes that ended early.
func stopped(j *job, sum store.Tally, stops []runner.Stop, resume string) endState {
	var reasons []error
	state := "stopped"
	for _, s := range stops {
		if errors.Is(s.Err, nightshift.ErrBudget) {
			state = "stopped: budget"
			continue
		}
		reasons = append(reasons, fmt.Errorf("%s: %w", s.Model, s.Err))
	}
	if state == "stopped: budget" {
		reasons = append(reasons, fmt.Errorf("the budget is spent (%s): raise --budget-usd or --budget-tokens", spentWords(sum)))
	}
	reasons = append(reasons, fmt.Errorf("%d of %d answers are on record; %s", sum.Rows, j.items(), resume))
	return endState{state, exitStopped, errors.Join(reasons...)}
}

func spentWords(t store.Tally) string {
	tokens := t.BilledInputTokens.N() + t.BilledOutputTokens.N()
	words := short(tokens) + " tokens"
	if t.Cost > 0 {
		words += ", " + dollars(t.Cost.Dollars(), t.CostUnknown > 0)
	}
	return words
}

// writeReports writes the summary into the run directory, whole or not at all.
func writeReports(dir string, s *reports.Summary) error {
	for name, render := range map[string]func(io.Writer) error{"report.md": s.Markdown, "summary.json": s.JSON} {
		var b bytes.Buffer
		if err := render(&b); err != nil {
			return err
		}
		if err := writeWhole(filepath.Join(dir, name), b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// logger builds the log: to the terminal, and to a file when asked.
func (a *app) logger(f *runFlags, w io.Writer) (*slog.Logger, func(), error) {
	level := slog.LevelInfo
	if f.quiet {
		level = slog.LevelWarn
	}
	if f.verbose {
		level = slog.LevelDebug
	}
	close := func() {}
	if f.logFile != "" {
		file, err := os.OpenFile(filepath.Clean(f.logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, usageError("--log-file: %w", err)
		}
		close = func() { file.Close() }
		w = io.MultiWriter(w, file)
	}
	if f.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})), close, nil
	}
	return slog.New(&plainHandler{w: w, level: level}), close, nil
}

// progress starts showing where the run stands.
func (s *session) progress(st *store.Run, clients *clients, pace *pace) *progress {
	mode := s.flags.progress
	if mode == "auto" {
		mode = "plain"
		if s.isTerminal(s.err) {
			mode = "bar"
		}
	}
	if s.flags.quiet {
		mode = "none"
	}
	return newProgress(s.err, mode, func() figures { return clients.figures(st, s.job, pace) })
}

// writeWhole writes a file whole or not at all.
func writeWhole(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return &store.StorageError{Op: "writing", Path: path, Err: err}
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return &store.StorageError{Op: "writing", Path: path, Err: err}
	}
	return nil
}
