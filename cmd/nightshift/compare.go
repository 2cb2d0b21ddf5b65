package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"nightshift/reports/compare"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/internal/fsx"
	"nightshift/runner/plan"
	"nightshift/runner/session"
	"nightshift/runner/store/bucket"
)

// compareFlags are the flags of `compare`.
type compareFlags struct {
	options      compare.Options
	gates        []string
	min, minimum string
	maxErrors    string
	json         bool
	markdown     bool
	junit        string
	output       string
}

func (a *app) compareCommand() *cobra.Command {
	var f compareFlags
	c := &cobra.Command{
		Use:   "compare RUN [RUN…]",
		Short: "Compare models: paired differences with confidence intervals, cost, gates",
		Long: `Compares the models of one run, or of several runs of one dataset, on the rows that
all have scores for: means with intervals, paired differences with exact tests, cost
and latency of a right answer, stop reasons, categories, disagreements. A RUN may
also be results of promptfoo, lm-evaluation-harness or Inspect (docs/moving.md).

Gates turn the result into an exit code: 0 passed, 5 missed, 3 cannot tell (too many
failures, or missing scores could decide it), 4 the run is not complete.`,
		Example: `  nightshift compare runs/tonight
  nightshift compare runs/tonight --baseline sonnet --gate regression --junit gates.xml
  nightshift compare runs/tonight --baseline-run runs/last-week
  nightshift compare runs/a runs/b --all-pairs --markdown > comment.md`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			defer a.readingHeap()()
			runs := args
			if f.options.BaselineRun != "" {
				runs = append(slices.Clone(args), f.options.BaselineRun)
			}
			return a.reading(c.Context(), runs, bucket.ReadOptions{}, func(a *app, dirs []string) error {
				f.options.Runs = dirs[:len(args)]
				if len(dirs) > len(args) {
					f.options.BaselineRun = dirs[len(args)]
				}
				return a.compare(&f)
			})
		},
	}
	s := c.Flags()
	s.StringVar(&f.options.Baseline, "baseline", "", "`MODEL` that the others are compared with (default: the plan's)")
	s.StringVar(&f.options.Average, "average", "",
		"with several datasets, average over `datasets` (alike) or over rows (default: the plan's)")
	s.StringVar(&f.options.Along, "along", "",
		"with variants, compare along `models`, variants or all (default: the plan's)")
	s.StringVar(&f.options.BaselineRun, "baseline-run", "", "an earlier `RUN`: compare each model with itself there")
	s.BoolVar(&f.options.AllPairs, "all-pairs", false, "compare every pair of models")
	s.StringArrayVar(&f.options.Models, "model", nil, "only this `MODEL`; may be repeated")
	s.StringArrayVar(&f.options.Scorers, "scorer", nil,
		"only this `SCORER`, the first is the headline; OURS=THEIRS sets it beside one of another name; may be repeated")
	s.Float64Var(&f.options.Alpha, "alpha", 0, "level of significance (default: the plan's, else 0.05)")
	s.BoolVar(&f.options.ErrorsAsZero, "errors-as-zero", false, "count failed requests as wrong answers")
	s.BoolVar(&f.options.AnyPrompts, "any-prompts", false,
		"compare runs also where rows of one id differ in prompt or target")
	s.IntVar(&f.options.Disagreements, "disagreements", 0, "how many disagreements to show in full (default 20)")
	s.StringArrayVar(&f.gates, "gate", nil, "`CONDITION`: regression, noninferior:0.02, 'score(m) >= 0.9', "+
		"'error_rate < 1%'; may be repeated (default: the plan's)")
	s.StringVar(&f.min, "min", "", "every model's score must be shown to be at least this")
	s.StringVar(&f.minimum, "min-point", "", "every model's mean must be at least this")
	s.StringVar(&f.maxErrors, "max-errors", "", "share of rows without an answer above which nothing passes "+
		"(default 1%)")
	s.BoolVar(&f.json, "json", false, "print as JSON")
	s.BoolVar(&f.markdown, "markdown", false, "print as Markdown, for a pull request")
	s.StringVar(&f.junit, "junit", "", "write the gates as JUnit XML into this `FILE`")
	s.StringVarP(&f.output, "output", "o", "", "write into this `FILE`, by its ending JSON, Markdown or text")
	return c
}

func (a *app) compare(f *compareFlags) error {
	if err := f.settle(); err != nil {
		return err
	}
	f.options.Names = a.called
	c, err := compare.Runs(f.options)
	if err != nil {
		return comparisonError(err)
	}
	if f.junit != "" {
		if err := a.writeWhole(f.junit, c.JUnit); err != nil {
			return err
		}
	}
	if err := f.write(a, c); err != nil {
		return err
	}
	return session.GateError(c)
}

// averageWords are what the average over several datasets can weigh each by.
var averageWords = []string{plan.AverageDatasets, plan.AverageRows}

// alongWords are what models with variants can be compared along.
var alongWords = []string{plan.AlongModels, plan.AlongVariants, plan.AlongAll}

// settle turns the shorthand flags into gates and checks them.
func (f *compareFlags) settle() error {
	gates := f.gates
	for _, short := range []struct{ name, value string }{{"min", f.min}, {"min_point", f.minimum}} {
		if short.value != "" {
			gates = append(gates, short.name+" >= "+short.value)
		}
	}
	if err := compare.CheckGates(gates); err != nil {
		return usageError("--gate: %w", err)
	}
	if len(gates) > 0 {
		f.options.Gates = gates
	}
	if f.maxErrors != "" {
		share, err := parseShare(f.maxErrors)
		if err != nil {
			return usageError("--max-errors: %q is no share; write 1%% or 0.01", f.maxErrors)
		}
		f.options.MaxErrors = share
	}
	if average := f.options.Average; average != "" && !slices.Contains(averageWords, average) {
		return usageError("--average: %q is none of %s", average, strings.Join(averageWords, ", "))
	}
	if along := f.options.Along; along != "" && !slices.Contains(alongWords, along) {
		return usageError("--along: %q is none of %s", along, strings.Join(alongWords, ", "))
	}
	if f.options.Alpha < 0 || f.options.Alpha >= 1 {
		return usageError("--alpha: %v is not between 0 and 1", f.options.Alpha)
	}
	return nil
}

func parseShare(text string) (float64, error) {
	number, percentage := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percentage {
		v /= 100
	}
	if err == nil && (v < 0 || v > 1) {
		err = errors.New("out of range")
	}
	return v, err
}

func (f *compareFlags) write(a *app, c *compare.Comparison) error {
	if f.output != "" && f.output != stdout {
		how := c.Text
		switch filepath.Ext(f.output) {
		case ".json":
			how = c.JSON
		case ".md":
			how = c.Markdown
		}
		if err := a.writeWhole(f.output, how); err != nil {
			return err
		}
	}
	switch {
	case f.junit == stdout:
		return nil
	case f.json:
		return c.JSON(a.out)
	case f.markdown:
		return c.Markdown(a.out)
	}
	return c.Text(a.screen())
}

// stdout is what flags for output files take for standard output.
const stdout = "-"

// writeWhole writes a text file whole or not at all.
func (a *app) writeWhole(path string, how func(io.Writer) error) error {
	if path == stdout {
		return how(a.out)
	}
	var b bytes.Buffer
	if err := how(&b); err != nil {
		return err
	}
	text := b.Bytes()
	if a.names != nil {
		text = []byte(a.names.Replace(b.String()))
	}
	return noFolder(path, fsx.WriteFile(path, text))
}

// noFolder makes it a mistake of usage when a file could not be made because its
// folder is missing.
func noFolder(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return usageError("%s cannot be written: there is no folder %s", path, filepath.Dir(path))
	}
	return err
}

// comparisonError says what is wrong with the runs as a mistake of usage.
func comparisonError(err error) error {
	var unfit *compare.IncomparableError
	if errors.As(err, &unfit) || errors.Is(err, fs.ErrNotExist) {
		return usageError("%w", err)
	}
	return err
}
