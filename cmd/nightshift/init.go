package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"nightshift/internal/fsx"
	"nightshift/runner/plan"
)

type initFlags struct {
	output string
	force  bool
	models []string
}

func (a *app) initCommand() *cobra.Command {
	var f initFlags
	c := &cobra.Command{
		Use:   "init DATASET",
		Short: "Write a commented plan for a dataset",
		Long: `Reads a dataset and writes a plan for it, with comments on what can be changed: to
standard output, or to a file with -o. An existing file is overwritten only with
--force. The plan passes nightshift check as it is. Without --model it uses the
simulator, which needs no key and costs nothing.

Where the rows do not say which field is the prompt, the field with the longest
texts is used, and the plan says so.

Exit codes: 0 written, 2 the dataset cannot be used or the file exists.`,
		Example: `  nightshift init prompts.jsonl
  nightshift init prompts.jsonl -o tonight.yaml
  nightshift init reviews.csv --model anthropic/claude-sonnet-4-6 -o reviews.yaml --force`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.init(c.Context(), args[0], &f) },
	}
	s := c.Flags()
	s.StringVarP(&f.output, "output", "o", "", "`FILE` to write (default and -: standard output)")
	s.BoolVar(&f.force, "force", false, "overwrite the file")
	s.StringArrayVar(&f.models, "model", nil, "`ENDPOINT/MODEL-ID` to put into the plan; may be repeated (default: "+
		"the simulator)")
	return c
}

func (a *app) init(ctx context.Context, dataset string, f *initFlags) error {
	if dataset == "-" {
		return usageError("standard input is gone once it was looked at; name a file")
	}
	if f.output == stdout {
		f.output = ""
	}
	if _, err := os.Lstat(f.output); f.output != "" && !f.force && !errors.Is(err, fs.ErrNotExist) {
		return usageError("%s exists; --force overwrites it, -o names another", f.output)
	}
	text, err := plan.Propose(ctx, dataset, f.output, f.models, a.getenv)
	if err != nil {
		return err
	}
	if f.output == "" {
		_, err := a.out.Write(text)
		if err == nil && a.isTerminal(a.out) {
			fmt.Fprintln(a.err, "to keep it: nightshift init "+dataset+" -o plan.yaml")
		}
		return err
	}
	if err := fsx.WriteFile(f.output, text); err != nil {
		return noFolder(f.output, err)
	}
	fmt.Fprintf(a.err, "wrote %s; next: nightshift check %[1]s\n", f.output)
	return nil
}
