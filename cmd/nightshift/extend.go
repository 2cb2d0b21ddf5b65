package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/runner/session"
)

func (a *app) extendCommand() *cobra.Command {
	var paths []string
	var dryRun bool
	var kept session.Kept
	c := &cobra.Command{
		Use:   "extend RUN",
		Short: "Add rows that were appended to the dataset to the run",
		Long: `Adds rows that were appended to the dataset of a run. Then repeat the original
command; only the new rows are sent. Records of old rows stay as they are. Without
this command, a start with a longer dataset ends with exit code 7.

The old part of the dataset must be unchanged, to the byte. New rows are lines at
the end of its last file (or of what that file unpacks to), or further files. A run
from standard input needs the whole input again. Anything else is refused, and the
rows that differ are shown. The operation is atomic.`,
		Example: `  nightshift extend runs/tonight --dry-run
  nightshift extend runs/tonight
  nightshift extend runs/tonight --dataset prompts.jsonl --dataset august.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.changing(c.Context(), args[0], a.keeping(kept, false), func(dir string) error {
				added, err := session.Extend(c.Context(), dir,
					session.ExtendOptions{Paths: paths, DryRun: dryRun, Stdin: a.in, Version: version()})
				if err != nil {
					return err
				}
				a.printAdded(added, dryRun)
				return nil
			})
		},
	}
	s := c.Flags()
	s.StringArrayVar(&paths, "dataset", nil, "all `FILE`s of the dataset, the old ones first, where they are not "+
		"those of before; may be repeated")
	addKept(s, &kept, "s3://bucket/run")
	s.BoolVar(&dryRun, "dry-run", false, "say what would be added, change nothing")
	return c
}

// printAdded says what was added to a run, or would be.
func (a *app) printAdded(e session.Added, dryRun bool) {
	if e.Rows == 0 {
		fmt.Fprintf(a.out, "%s: no rows were added\n", strings.Join(e.Files, ", "))
		return
	}
	condition := ""
	if dryRun {
		condition = ", if it is extended"
	}
	fmt.Fprintf(a.out, "%s: %d rows were there, %d more are taken in (rows %d to %d)%s\n",
		e.Name, e.Before, e.Rows, e.Before, e.Before+e.Rows-1, condition)
	if e.Selected < e.Rows {
		fmt.Fprintf(a.out, "%d of them are used: the others are left out by limit, offset or filter\n", e.Selected)
	}
	fmt.Fprintf(a.out, "%d answers are to come\n", e.Answers)
	if !dryRun {
		fmt.Fprintln(a.out, "the command that made the run goes on with them")
	}
}
