package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/internal/s3"
	"nightshift/reports/compare"
	"nightshift/reports/exchange"
	"nightshift/reports/scoring"
	"nightshift/runner/store/bucket"
	"nightshift/runner/store/view"
)

func (a *app) historyCommand() *cobra.Command {
	var o compare.HistoryOptions
	var asJSON, asMarkdown bool
	var outputs []string
	c := &cobra.Command{
		Use:   "history [RUN|FOLDER]...",
		Short: "Show many runs of one dataset over time: leaderboard, trend, what changed",
		Long: `Reads the runs below the folders (without an argument, those below the folder runs)
and shows those of the newest run's dataset: a leaderboard, the scores over time, and
the newest run against each earlier one, on the same rows, with p corrected for all
of these comparisons. Runs that cannot be compared are named with the reason. A
folder may be a bucket, or a part of one, as s3://bucket/evals.

Exit code 0, whatever changed; nightshift compare --baseline-run has gates. 2: there
is nothing to show.`,
		Example: `  nightshift history runs
  nightshift history runs --last 10 --output history.html
  nightshift history runs --output index.json --output index.html`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.Last < 0 {
				return usageError("--last: %d is no number of runs", o.Last)
			}
			if o.Alpha < 0 || o.Alpha >= 1 {
				return usageError("--alpha: %v is not between 0 and 1", o.Alpha)
			}
			return a.readingBelow(c.Context(), args, func(a *app, dirs []string) error {
				o.Runs, o.Names = dirs, a.called
				h, err := compare.NewHistory(o)
				if err != nil {
					return comparisonError(err)
				}
				return a.writeHistory(h, outputs, asJSON, asMarkdown)
			})
		},
	}
	s := c.Flags()
	s.StringVar(&o.Scorer, "scorer", "",
		"the `SCORER` to go by (default: the first of the newest run; of several datasets, their average)")
	s.StringArrayVar(&o.Models, "model", nil, "only this `MODEL`; may be repeated")
	s.IntVar(&o.Last, "last", 0, "only so many of the newest runs (default: all)")
	s.Float64Var(&o.Alpha, "alpha", 0, "level of significance (default: the newest plan's, else 0.05)")
	s.BoolVar(&o.ErrorsAsZero, "errors-as-zero", false, "count failed requests as wrong answers")
	s.BoolVar(&o.AnyPrompts, "any-prompts", false, "take runs also where rows of one id differ in prompt or target")
	s.BoolVar(&o.AnyData, "any-dataset", false, "take runs of other datasets too, and pair their rows by id")
	s.BoolVar(&asJSON, "json", false, "print as JSON")
	s.BoolVar(&asMarkdown, "markdown", false, "print as Markdown")
	s.StringArrayVarP(&outputs, "output", "o", nil,
		"write into this `FILE`, by its ending HTML, JSON, Markdown or text; may be repeated")
	return c
}

// readingBelow is [app.reading] of the runs at and below paths. Of runs in buckets
// the Parquet files are copied where they have scores.
func (a *app) readingBelow(ctx context.Context, paths []string, do func(a *app, dirs []string) error) (err error) {
	if len(paths) == 0 {
		paths = []string{"runs"}
	}
	var runs []namedDir
	for _, p := range paths {
		found, remove, failed := a.runsBelow(ctx, p)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, remove()) }()
		for _, one := range found {
			if !slices.ContainsFunc(runs, func(had namedDir) bool { return had.name == one.name }) {
				runs = append(runs, one)
			}
		}
	}
	return a.naming(runs, do)
}

// runsBelow are the runs at and below a path, to be read until remove is called.
func (a *app) runsBelow(ctx context.Context, path string) (runs []namedDir, remove func() error, err error) {
	remove = func() error { return nil }
	switch {
	case exchange.Looks(path):
		one, remove, err := a.toRead(ctx, path, bucket.ReadOptions{})
		return []namedDir{one}, remove, err
	case s3.IsURL(path):
		f, err := a.copiesBelow(ctx, path)
		if err != nil {
			return nil, nil, err
		}
		if runs, err = scoredRuns(ctx, f, strings.TrimRight(path, "/")); err != nil {
			return nil, nil, errors.Join(err, f.Close())
		}
		remove = f.Close
	default:
		for _, dir := range view.RunsBelow(path) {
			runs = append(runs, namedDir{dir, dir})
		}
	}
	if len(runs) == 0 {
		return nil, nil, errors.Join(usageError("%s is not a run directory, and holds none", path), remove())
	}
	return runs, remove, nil
}

// scoredRuns are the runs of a folder at this address. What is missing of those that
// have scores is fetched; of the others it takes no more to say that they have none.
func scoredRuns(ctx context.Context, f *bucket.Folder, address string) (runs []namedDir, err error) {
	for _, dir := range view.RunsBelow(f.Dir) {
		runs = append(runs, namedDir{dir, address + filepath.ToSlash(strings.TrimPrefix(dir, f.Dir))})
		if e, err := scoring.ReadEvaluation(dir); err == nil && len(e.Scorers) == 0 {
			continue
		}
		if _, err := f.Whole(ctx, dir); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

func (a *app) writeHistory(h *compare.History, outputs []string, asJSON, asMarkdown bool) error {
	for _, name := range outputs {
		if name == stdout { // it is written there anyway
			continue
		}
		how := h.Text
		switch filepath.Ext(name) {
		case ".html", ".htm":
			how = h.HTML
		case ".json":
			how = h.JSON
		case ".md":
			how = h.Markdown
		}
		if err := a.writeWhole(name, how); err != nil {
			return err
		}
	}
	switch {
	case asJSON:
		return h.JSON(a.out)
	case asMarkdown:
		return h.Markdown(a.out)
	}
	return h.Text(a.screen())
}
