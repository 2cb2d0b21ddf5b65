package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/internal/words"
	"nightshift/reports/exchange"
)

func (a *app) importCommand() *cobra.Command {
	var out, id string
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Read results of promptfoo, lm-evaluation-harness or Inspect as a run",
		Long: `Makes a run directory of another tool's results: its prompts, answers, scores, tokens
and times, as far as the file has them. The run can be viewed, scored, compared and
exported as any other. compare and history also take such a file as it is.

The files are promptfoo's --output results.json or .jsonl, lm_eval's
samples_TASK_DATE.jsonl (of --log_samples), and Inspect's log as .json.
docs/moving.md lists the fields that are read.

Exit code 2: the file cannot be read, or --out exists.`,
		Example: `  nightshift import results.json --out runs/theirs
  nightshift import results.json --id ticket --out runs/by-ticket`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := readForeign(args[0], id)
			if err != nil {
				return err
			}
			if out == "" {
				base := filepath.Base(args[0])
				out = filepath.Join("runs", strings.TrimSuffix(base, filepath.Ext(base)))
			}
			if _, err := os.Stat(out); !errors.Is(err, fs.ErrNotExist) {
				return usageError("--out: %s exists; name another folder", out)
			}
			if err := r.WriteRun(out); err != nil {
				return err
			}
			a.sayNotices(r)
			fmt.Fprintf(a.out, "%s: %s of %s, scored by %s\n", out, words.Counted(int64(r.Rows()), "answer"), r.Tool,
				strings.Join(r.Scorers(), ", "))
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "run `DIR` to make (default: runs/ and the file's name)")
	c.Flags().StringVar(&id, "id", "",
		"the `FIELD` of a row that is its id (default: id, custom_id, task_id, question_id or key, else its number)")
	return c
}

func readForeign(path, id string) (*exchange.Results, error) {
	r, err := exchange.Read(path, id)
	var bad *exchange.FileError
	if errors.As(err, &bad) || errors.Is(err, fs.ErrNotExist) {
		return nil, usageError("%w", err)
	}
	return r, err
}

func (a *app) sayNotices(r *exchange.Results) {
	for _, n := range r.Notices {
		fmt.Fprintln(a.err, r.Name+": "+n)
	}
}

// importOf makes a run directory of another tool's file that lasts until remove is
// called.
func (a *app) importOf(path string) (dir string, remove func() error, err error) {
	r, err := readForeign(path, "")
	if err != nil {
		return "", nil, err
	}
	all, err := os.MkdirTemp("", "nightshift-import-")
	if err != nil {
		return "", nil, err
	}
	remove = func() error { return os.RemoveAll(all) }
	r.Name = filepath.Base(path) // a short word for what is shown of it
	dir = filepath.Join(all, r.Name)
	if err := r.WriteRun(dir); err != nil {
		return "", nil, errors.Join(err, remove())
	}
	a.sayNotices(r)
	return dir, remove, nil
}
