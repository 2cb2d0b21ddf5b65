package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/internal/words"
	"nightshift/reports/exchange"
	"nightshift/runner/session"
	"nightshift/runner/store/bucket"
	"nightshift/runner/store/view"
)

func (a *app) exportCommand() *cobra.Command {
	var format, out string
	var models, columns []string
	var failed, wide bool
	c := &cobra.Command{
		Use:   "export RUN",
		Short: "Write one flat table: answers joined with their scores, as Parquet, CSV, JSON lines or a workbook",
		Long: `Writes one row for each answer, with a column for each scorer. It works on runs that
are not finished, too.

--wide writes one row for each prompt (and epoch), with columns for each model, such
as sonnet_text, gpt_5_text and sonnet_score_number. --columns says which columns;
with --wide, those of an answer stand there once for each model.

No text becomes a formula in a workbook (xlsx) or CSV. Cells of a workbook hold
32,767 characters; longer texts are cut and marked. Rows beyond 1,048,575 go into
further sheets. The other formats hold everything.

--format inspect writes a log as Inspect reads it, --format lm-eval samples of
lm-evaluation-harness, each of one model: a file where --output ends in .json or
.jsonl, else a folder with files of every model.`,
		Example: `  nightshift export runs/tonight --output answers.csv
  nightshift export runs/tonight --output answers.xlsx
  nightshift export runs/tonight --wide --output side-by-side.xlsx
  nightshift export runs/tonight --columns id,model,text,cost_usd --output answers.csv
  nightshift export runs/tonight --format jsonl | jq .text
  nightshift export runs/tonight --failed --output again.jsonl
  nightshift export runs/tonight --format inspect --output logs
  nightshift export runs/tonight --format lm-eval --model sonnet --output samples.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if out == stdout {
				out = ""
			}
			if failed && (wide || columns != nil) {
				return usageError("--failed writes rows of the dataset; --wide and --columns are for answers")
			}
			if format == exchange.Inspect || format == exchange.LMEval {
				if failed || wide || columns != nil {
					return usageError("--format %s takes no --failed, --wide and --columns", format)
				}
				return a.reading(c.Context(), args, bucket.ReadOptions{}, func(a *app, dirs []string) error {
					return a.exportForeign(dirs[0], out, format, models)
				})
			}
			format, err := exportFormat(format, out, failed)
			if err != nil {
				return err
			}
			o := view.ExportOptions{ReadOptions: view.ReadOptions{Models: models}, Columns: columns, Wide: wide}
			return a.reading(c.Context(), args, bucket.ReadOptions{}, func(_ *app, dirs []string) error {
				return a.export(c.Context(), dirs[0], out, format, failed, o)
			})
		},
	}
	s := c.Flags()
	s.StringVarP(&out, "output", "o", "", "`FILE` to write (default and -: standard output)")
	s.StringVar(&format, "format", "", "parquet, csv, jsonl, xlsx, inspect or lm-eval (default: by the "+
		"file's ending; jsonl to standard output)")
	s.StringArrayVar(&models, "model", nil, "only this model; may be repeated")
	s.StringSliceVar(&columns, "columns", nil,
		"only these columns, in this order: `NAME,NAME…` (docs/output.md lists them)")
	s.BoolVar(&wide, "wide", false, "one row for each prompt, with columns for each model")
	s.BoolVar(&failed, "failed", false, "the rows to run again, in the dataset's own form")
	return c
}

// exportForeign writes the models in another tool's format: one to a file or to
// standard output, or all into a folder.
func (a *app) exportForeign(dir, out, format string, models []string) error {
	models, err := exchange.Models(dir, models)
	var bad *exchange.FileError
	if errors.As(err, &bad) {
		return usageError("--model: %w", err)
	}
	if err != nil {
		return err
	}
	ending := map[string]string{exchange.Inspect: ".json", exchange.LMEval: ".jsonl"}[format]
	if out != "" && filepath.Ext(out) != ending {
		files, err := exchange.ExportFolder(out, dir, models, format)
		for _, f := range files {
			fmt.Fprintln(a.err, f)
		}
		return err
	}
	if len(models) > 1 {
		return usageError("--format %s writes one model into a file: name it with --model (%s), or a folder with --output",
			format, strings.Join(models, ", "))
	}
	write := func(w io.Writer) error { return exchange.Export(w, dir, models[0], format) }
	if out == "" {
		return write(a.out)
	}
	return writeOutput(out, write)
}

// exportFormat is the format that is asked for: by its name, or else by the
// ending of the file. Rows to run again have that of the dataset.
func exportFormat(format, out string, failed bool) (string, error) {
	endings := map[string]string{".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl",
		".xlsx": "xlsx"}
	ending := strings.ToLower(filepath.Ext(out))
	switch {
	case failed:
		return format, nil
	case format != "" && !oneOf(format, "parquet", "csv", "jsonl", "xlsx"):
		return "", usageError("--format: %q is none of parquet, csv, jsonl, xlsx, inspect, lm-eval", format)
	case format != "":
		return format, nil
	case out == "":
		return "jsonl", nil
	case endings[ending] == "":
		return "", usageError("--output: %s ends in none of .parquet, .csv, .jsonl, .ndjson, .xlsx; name it so, or "+
			"say which it is with --format", out)
	}
	return endings[ending], nil
}

// export writes to a file, whole or not at all, or to standard output.
func (a *app) export(ctx context.Context, dir, out, format string, failed bool, o view.ExportOptions) error {
	if _, err := view.ReadInfo(dir); err != nil {
		return usageError("%w", err)
	}
	write := func(w io.Writer) (int64, error) { return view.Export(dir, w, format, o) }
	if failed {
		write = func(w io.Writer) (int64, error) { return session.ExportFailed(ctx, dir, w) }
	}
	if out == "" {
		_, err := write(a.out)
		return columnError(err)
	}
	var rows int64
	err := writeOutput(out, func(w io.Writer) (err error) {
		rows, err = write(w)
		return err
	})
	if err != nil {
		return columnError(err)
	}
	fmt.Fprintf(a.err, "%s into %s\n", words.Counted(rows, "row"), out)
	return nil
}

// writeOutput writes a large file whole or not at all.
func writeOutput(name string, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".export-*")
	if err != nil {
		return noFolder(name, usageError("--output: %w", err))
	}
	defer os.Remove(tmp.Name())
	buffered := bufio.NewWriterSize(tmp, 1<<20)
	err = write(buffered)
	if err = errors.Join(err, buffered.Flush(), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

// columnError makes a column that there is not a mistake of the command line.
func columnError(err error) error {
	var unknown *view.UnknownColumnError
	if errors.As(err, &unknown) {
		return usageError("--columns: %w", unknown)
	}
	return err
}
