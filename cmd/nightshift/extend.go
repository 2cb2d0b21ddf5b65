package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"nightshift/datasets"
	"nightshift/runner/store"
)

func (a *app) extendCommand() *cobra.Command {
	var paths []string
	var dryRun bool
	c := &cobra.Command{
		Use:   "extend RUN",
		Short: "Take rows that were added to a run's dataset into the run",
		Long: `Takes rows that were added to the end of a run's dataset into the run. The command
that made the run then goes on with the new rows only; what is on record stays as
it is. Without this, a dataset that has grown ends a start with exit code 7.

The dataset must be what it was, to the byte, with rows behind: lines at the end
of its last file (or of what that file unpacks to), or further files behind it. A
run from standard input is given the whole input again, with rows behind. Anything
else is refused, with the rows that differ. The run is either what it was or
extended, whenever this is interrupted.`,
		Example: `  nightshift extend runs/tonight --dry-run
  nightshift extend runs/tonight
  nightshift extend runs/tonight --dataset prompts.jsonl --dataset august.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			e := extension{app: a, dir: args[0], paths: paths, dryRun: dryRun}
			return e.run(c.Context())
		},
	}
	s := c.Flags()
	s.StringArrayVar(&paths, "dataset", nil, "all `FILE`s of the dataset, the old ones first, where they are not those of before; may be repeated")
	s.BoolVar(&dryRun, "dry-run", false, "say what would be added, change nothing")
	return c
}

// versionDir is the folder that keeps a dataset's index, and the copy of standard
// input, after so many extensions. Each has its own: what a run that is not
// extended yet needs is not touched before it is.
func versionDir(dir string, extensions int) string {
	if extensions == 0 {
		return dir
	}
	return filepath.Join(dir, fmt.Sprintf("extension-%d", extensions))
}

// versionsOf are the lengths that a dataset had before each extension.
func versionsOf(extensions []store.Extension) []datasets.Version {
	var versions []datasets.Version
	for _, e := range extensions {
		versions = append(versions, datasets.Version{Rows: e.Rows, Length: e.Size})
	}
	return versions
}

// An extension takes added rows into a run.
type extension struct {
	*app
	dir    string
	paths  []string // of the dataset; none leaves them as they are
	dryRun bool

	info    store.Info // before
	as      planAsRun
	dataset *datasets.Dataset
}

// errUnextended ends an extension that is none, without a fault.
var errUnextended = errors.New("nothing is changed")

func (e *extension) run(ctx context.Context) error {
	err := store.Extend(e.dir, store.Options{}, func(info store.Info) (store.NewRows, error) { return e.read(ctx, info) })
	if e.dataset != nil {
		err = errors.Join(err, e.dataset.Close())
	}
	var noRun *os.PathError
	switch {
	case errors.Is(err, errUnextended):
		return nil
	case errors.As(err, &noRun) && errors.Is(err, os.ErrNotExist) && e.dataset == nil && e.info.Dir == "":
		return usageError("%w", err)
	case err != nil:
		return err
	}
	e.tidy()
	e.say("")
	fmt.Fprintln(e.out, "the command that made the run goes on with them")
	return nil
}

// read reads the dataset as it is now and sees that it is the old one with rows
// behind.
func (e *extension) read(ctx context.Context, info store.Info) (store.NewRows, error) {
	e.info = info
	if err := json.Unmarshal(info.Plan, &e.as); err != nil {
		return store.NewRows{}, fmt.Errorf("%s/run.json: %w", e.dir, err)
	}
	if err := e.extensible(); err != nil {
		return store.NewRows{}, err
	}
	folder := versionDir(e.dir, len(info.Extensions)+1)
	if err := errors.Join(os.RemoveAll(folder), os.MkdirAll(folder, 0o700)); err != nil { // of an extension that was cut short
		return store.NewRows{}, &store.StorageError{Op: "creating", Path: folder, Err: err}
	}
	g, err := e.compare(ctx, folder)
	if err != nil {
		return g, errors.Join(err, os.RemoveAll(folder))
	}
	return g, nil
}

// extensible refuses runs of which nobody could say what the rows of a longer
// dataset are.
func (e *extension) extensible() error {
	switch s := e.as.Source; {
	case e.as.Rows != nil:
		return usageError("%s uses rows that were chosen from %s: it has no more of them when the dataset grows. Start a new run for the new rows", e.dir, e.as.Rows.From)
	case s.Sample > 0:
		return usageError("%s is a sample of %d rows: from a longer dataset other rows would have been drawn. Start a new run", e.dir, s.Sample)
	case e.info.DatasetSize == 0:
		return usageError("%s was made by a version of the program that did not note the length of the dataset: start a new run", e.dir)
	}
	return nil
}

func (e *extension) compare(ctx context.Context, folder string) (store.NewRows, error) {
	if len(e.paths) > 0 {
		here, err := os.Getwd()
		if err != nil {
			return store.NewRows{}, err
		}
		e.as.Source.Paths, e.as.Source.Dir = e.paths, here
	}
	spec := e.as.Source.spec()
	spec.Stdin, spec.Spool = e.in, folder
	spec.Versions = append(versionsOf(e.info.Extensions), datasets.Version{Rows: e.info.DatasetRows, Length: e.info.DatasetSize})
	data, err := datasets.Open(ctx, spec)
	if err != nil {
		return store.NewRows{}, errors.Join(err, closeIf(data))
	}
	e.dataset = data
	before := make([]datasets.Chunk, len(e.info.Chunks))
	for i, s := range e.info.Chunks {
		before[i] = datasets.Chunk{First: s.First, Rows: s.Rows, Selected: s.Rows - s.Skipped, Hash: s.Hash}
	}
	if err := data.Extends(before); err != nil {
		return store.NewRows{}, e.explain(ctx, err)
	}
	if data.Info().Rows == e.info.DatasetRows {
		return store.NewRows{}, e.nothing()
	}
	if e.dryRun {
		e.say(", if it is extended")
		return store.NewRows{}, errUnextended
	}
	if err := data.WriteIndex(filepath.Join(folder, indexFile)); err != nil {
		return store.NewRows{}, &store.StorageError{Op: "writing", Path: folder, Err: err}
	}
	plan, err := json.Marshal(e.as)
	if err != nil {
		return store.NewRows{}, err
	}
	info := data.Info()
	return store.NewRows{
		Tool: version(), Plan: plan, DatasetHash: info.Hash, DatasetRows: info.Rows, DatasetSize: info.Bytes, Chunks: storeChunks(data),
	}, nil
}

// nothing ends an extension by no rows. Blank lines at the end are a change all
// the same: the run could not go on with them.
func (e *extension) nothing() error {
	info := e.dataset.Info()
	if info.Bytes != e.info.DatasetSize {
		return &exitError{exitMismatch, fmt.Errorf("%s has grown by blank lines only: take them out, or add rows behind them", last(info.Files))}
	}
	fmt.Fprintf(e.out, "%s: no rows were added\n", strings.Join(info.Files, ", "))
	return errUnextended
}

func last(list []string) string { return list[len(list)-1] }

// explain adds to an error about changed rows which row of them is the first
// that differs, as far as rows on record tell.
func (e *extension) explain(ctx context.Context, err error) error {
	var changed *datasets.ChangedError
	if !errors.As(err, &changed) || changed.Chunk < 0 || changed.Chunk >= len(e.info.Chunks) {
		return err
	}
	if strings.HasPrefix(strings.ToLower(e.dataset.Info().Format), "one json list") {
		err = fmt.Errorf("%w\na JSON list ends in ], so nothing can be put behind it: add rows in a further file, or keep the dataset as JSON lines", err)
	}
	s := e.info.Chunks[changed.Chunk]
	known := map[int64]string{}
	for r, err := range store.Rows[hashedRow](e.dir, store.ReadOptions{From: s.First, To: s.First + s.Rows}) {
		if err == nil {
			known[r.Row] = r.RowHash
		}
	}
	for i := range e.dataset.Chunks() {
		for sample, rowErr := range e.dataset.Read(ctx, i) {
			if rowErr != nil && sample.File == "" {
				break
			}
			if was, ok := known[sample.Index]; ok && was != hex.EncodeToString(sample.Hash[:]) {
				return fmt.Errorf("%w\nthe first row that differs from what is on record: row %d, %s:%d", err, sample.Index, sample.File, sample.Line)
			}
		}
	}
	return err
}

// hashedRow is what a row on record says of the dataset's row.
type hashedRow struct {
	Row     int64  `parquet:"row"`
	RowHash string `parquet:"row_hash"`
}

// say says what was added.
func (e *extension) say(condition string) {
	info := e.dataset.Info()
	rows := info.Rows - e.info.DatasetRows
	var selected int64
	for _, s := range e.dataset.Chunks()[len(e.info.Chunks):] {
		selected += s.Selected
	}
	fmt.Fprintf(e.out, "%s: %d rows were there, %d more are taken in (rows %d to %d)%s\n",
		e.info.Name, e.info.DatasetRows, rows, e.info.DatasetRows, info.Rows-1, condition)
	if selected < rows {
		fmt.Fprintf(e.out, "%d of them are used: the others are left out by limit, offset or filter\n", selected)
	}
	fmt.Fprintf(e.out, "%d answers are to come\n", selected*int64(len(e.info.Models))*int64(e.info.Epochs))
}

// tidy removes what only the run of before needed. What stays does no harm.
func (e *extension) tidy() {
	old := versionDir(e.dir, len(e.info.Extensions))
	_ = os.Remove(filepath.Join(old, indexFile))
	copies, _ := filepath.Glob(filepath.Join(old, "dataset.input-*"))
	for _, name := range copies {
		_ = os.Remove(name)
	}
	if old != e.dir {
		_ = os.Remove(old)
	}
}

// toExtend tells how rows that were added are taken in.
func toExtend(err error, dir string) error {
	var changed *datasets.ChangedError
	if errors.As(err, &changed) && changed.Appended {
		return fmt.Errorf("%w\nnightshift extend %s takes them in", err, fromHere(dir))
	}
	return err
}

// fromHere is a path as a person at this place would type it.
func fromHere(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(rel, "..") {
		return rel
	}
	return path
}
