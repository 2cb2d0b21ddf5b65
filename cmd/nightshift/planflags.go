package main

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nightshift/internal/s3"
	"nightshift/runner/plan"
	"nightshift/runner/session"
)

// planFlags are the flags that say what to run: the options of a plan, and
// which rows of an earlier run to use.
type planFlags struct {
	set            *pflag.FlagSet
	rowsFrom, rows string
	reuse          []string
	options        session.Options // beside what the plan says
}

func (f *planFlags) add(c *cobra.Command) {
	f.set = c.Flags()
	for _, o := range plan.Options() {
		if o.Flag == "on-bad-row" { // beside the other flags about rows
			f.set.StringVar(&f.rowsFrom, "rows-from", "",
				"use only rows of an earlier `RUN` of the same dataset; --rows says which")
			f.set.StringVar(&f.rows, "rows", "failed",
				"with --rows-from: failed, truncated, refused, empty, different, or several with commas")
		}
		addOption(f.set, o)
	}
	f.set.StringArrayVar(&f.reuse, "reuse", nil, "take over answers of an earlier `RUN` where the request is the same, "+
		"in place of sending it again; repeatable; a resumed run keeps them, none forgets them")
}

func addOption(s *pflag.FlagSet, o plan.Option) {
	switch o.Kind {
	case plan.List:
		s.StringArray(o.Flag, nil, o.Usage)
	case plan.Integer:
		s.Int64(o.Flag, 0, o.Usage)
	case plan.Number:
		s.Float64(o.Flag, 0, o.Usage)
	case plan.Boolean:
		s.Bool(o.Flag, false, o.Usage)
	default:
		s.String(o.Flag, "", o.Usage)
	}
}

// givenOptions has the options of a plan that are on the command line.
func givenOptions(s *pflag.FlagSet) map[string][]string {
	values := map[string][]string{}
	for _, o := range plan.Options() {
		if !s.Changed(o.Flag) {
			continue
		}
		switch v := s.Lookup(o.Flag).Value.(type) {
		case pflag.SliceValue:
			values[o.Flag] = v.GetSlice()
		default:
			values[o.Flag] = []string{v.String()}
		}
	}
	return values
}

// given is the value of an option on the command line; empty where it is not there.
func (f *planFlags) given(flag string) string { return strings.Join(givenOptions(f.set)[flag], " ") }

// scorers are those on the command line.
func (f *planFlags) scorers() []string { return givenOptions(f.set)["scorer"] }

// load reads the plan file, if there is one, and lays environment and flags
// over it: flags win over the environment, which wins over the plan. All
// mistakes come back together.
func (f *planFlags) load(a *app, args []string) (*plan.Plan, error) {
	if len(args) == 0 && !f.set.Changed("dataset") {
		return nil, usageError("nothing to run: name a plan, or give --dataset and --model\n" +
			"for example: nightshift run --dataset prompts.jsonl --model simulator/sim-large " +
			"--max-tokens 500 --out runs/first")
	}
	p, problems := &plan.Plan{}, []error(nil)
	if len(args) == 1 {
		loaded, err := plan.Load(args[0])
		if loaded == nil {
			return nil, unreadable(args[0], err)
		}
		p, problems = loaded, append(problems, err)
	}
	problems = append(problems, p.ApplyEnvironment(a.getenv), p.Apply(givenOptions(f.set)))
	return p, errors.Join(problems...)
}

// start says how the run was started, for commands that find its plan again.
func (f *planFlags) start(a *app, args []string) *session.Start {
	s := &session.Start{Options: plan.Given(a.getenv, givenOptions(f.set)), RowsFrom: absolutePath(f.rowsFrom)}
	if len(args) == 1 {
		s.Plan = absolutePath(args[0])
	}
	if f.rowsFrom != "" {
		s.Rows = f.rows
	}
	return s
}

// absolutePath is a path that means the same in any directory; a URL stays as it
// is.
func absolutePath(path string) string {
	if full, err := filepath.Abs(path); err == nil && path != "" && !s3.IsURL(path) {
		return full
	}
	return path
}

// planOf resolves the plan that a run was started with: file, where it is named,
// else the one that the run directory remembers. start is how it was started.
func (a *app) planOf(dir, file string) (p *plan.Resolved, start session.Start, err error) {
	start, known, err := session.ReadStart(dir)
	if err != nil {
		return nil, start, usageError("%s: %w", dir, err)
	}
	if file != "" {
		start.Plan, known = file, true
	}
	if !known {
		return nil, start, usageError("%s does not say which plan it was started with; name it with --plan FILE", dir)
	}
	written, problems := &plan.Plan{}, []error(nil)
	if start.Plan != "" {
		loaded, err := plan.Load(start.Plan)
		if loaded == nil {
			return nil, start, errors.Join(unreadable(start.Plan, err), usageError("name the plan with --plan FILE"))
		}
		written, problems = loaded, append(problems, err)
	}
	problems = append(problems, written.Apply(start.Options))
	p, err = written.Resolve(a.getenv)
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, start, err
	}
	p.Out = dir
	return p, start, nil
}

// unreadable gives a plan that cannot be read at all a remedy; mistakes in it
// have theirs.
func unreadable(path string, err error) error {
	var mistakes *plan.Errors
	if err == nil || errors.As(err, &mistakes) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return usageError("%s: no such plan; nightshift init writes one, and --dataset runs without", path)
	}
	return usageError("%s: %w", path, err)
}
