package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/internal/s3"
	"nightshift/internal/words"
	"nightshift/runner/store/bucket"
	"nightshift/runner/store/view"
)

func (a *app) sqlCommand() *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "sql RUN",
		Short: "Write views for DuckDB: answers joined with scores, one row a prompt, one row a model",
		Long: `Writes a script for DuckDB, views.sql in the run directory, and prints how to open
it. The script makes views over the run's Parquet files:

  answers  one row for each answer, its scores, and cost_at_most_usd
  scores   what each scorer said of each answer
  wide     one row for each prompt, with columns for each model
  models   one row for each model
  judges   the replies of judges, where there are any

Nothing is copied but the rows that are in no Parquet file yet, those of a part of
the run that is not finished: they go into views.journal.parquet beside the script.
Of a run in a bucket the views read the files there.`,
		Example: "  nightshift sql runs/tonight\n  nightshift sql runs/tonight --output views.sql",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !s3.IsURL(args[0]) {
				return a.writeSQL(args[0], "", cmp.Or(out, filepath.Join(args[0], "views.sql")))
			}
			if out == "" {
				return usageError("the views of a run in a bucket are written into a file here: name it with --output")
			}
			run := strings.TrimRight(args[0], "/")
			return a.reading(c.Context(), args, bucket.ReadOptions{}, func(a *app, dirs []string) error {
				return a.writeSQL(dirs[0], run, out)
			})
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "",
		"`FILE` to write, - for standard output (default: views.sql in the run directory)")
	return c
}

// writeSQL writes the views of the run in dir, whose files DuckDB finds at place, if
// that is elsewhere.
func (a *app) writeSQL(dir, place, out string) error {
	open, rows := "", int64(0)
	if out != stdout {
		var err error
		open = strings.TrimSuffix(out, ".sql") + ".journal.parquet"
		if rows, err = view.WriteOpen(dir, open); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if rows == 0 {
			open = ""
		}
	}
	text, err := view.SQL(dir, place, open)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usageError("%w", err)
	case errors.Is(err, view.ErrNoParquet):
		return usageError("%s: %w; nightshift export %s -o answers.parquet writes what is on record", dir, err, dir)
	case err != nil:
		return err
	}
	if err := a.writeWhole(out, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}); err != nil {
		return err
	}
	if out == stdout {
		return a.warnOpen(dir)
	}
	if open != "" {
		fmt.Fprintf(a.err, "%s are in no Parquet file of the run yet, and were copied into %s; the same command copies "+
			"again what comes after them\n", words.Counted(rows, "answer"), open)
	}
	_, err = fmt.Fprintf(a.out, "%[1]s has the views answers, scores, wide and models. Open it with\n\n"+
		"  duckdb -init %[1]s\n  python3 -c 'import duckdb; duckdb.execute(open(\"%[1]s\").read()); "+
		"duckdb.sql(\"from models\").show()'\n", out)
	if place != "" {
		fmt.Fprintln(a.err, "DuckDB needs the keys of the bucket, from: create secret (type s3, provider credential_chain)")
	}
	return err
}

// warnOpen says how many rows are not in Parquet files yet.
func (a *app) warnOpen(dir string) error {
	files, err := view.ShardFiles(dir)
	open := 0
	for _, f := range files {
		if f.Path == "" {
			open++
		}
	}
	if err == nil && open > 0 {
		fmt.Fprintf(a.err, "parts of the run are not finished: their rows are in the journal and not in the views; "+
			"nightshift export has them\n")
	}
	return err
}
