package session

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nightshift/datasets"
	"nightshift/internal/words"
	"nightshift/reports/scoring"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

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
func versionsOf(extensions []view.Extension) []datasets.Version {
	var versions []datasets.Version
	for _, e := range extensions {
		versions = append(versions, datasets.Version{Rows: e.Rows, Length: e.Size})
	}
	return versions
}

// ExtendOptions say how a run is extended.
type ExtendOptions struct {
	Paths   []string // files of the dataset; none leaves them as they are
	DryRun  bool     // change nothing
	Stdin   io.Reader
	Version string // of the program, for run.json
}

// Added is what an extension added to a run, or would add.
type Added struct {
	Name     string   // of the run
	Files    []string // of the dataset as it is now
	Before   int64    // rows that were there
	Rows     int64    // rows that are new
	Selected int64    // new rows that are used
	Answers  int64    // to come
}

// Extend takes rows that were added to the end of a run's dataset into the run.
// The operation is atomic.
func Extend(ctx context.Context, dir string, o ExtendOptions) (Added, error) {
	e := &extension{ExtendOptions: o, dir: dir}
	err := store.Extend(dir, store.Options{}, func(info view.Info) (store.NewRows, error) { return e.read(ctx, info) })
	if e.dataset != nil {
		err = errors.Join(err, e.dataset.Close())
	}
	switch {
	case errors.Is(err, errUnextended):
		return e.added(), nil
	case errors.Is(err, os.ErrNotExist) && e.info.Dir == "": // it is no run
		return Added{}, Usagef("%w", err)
	case err != nil:
		return Added{}, err
	}
	e.tidy()
	return e.added(), nil
}

// An extension is one under way.
type extension struct {
	ExtendOptions
	dir     string
	info    view.Info // before
	as      planAsRun
	dataset *datasets.Dataset
}

// errUnextended ends an extension that changes nothing, without a fault.
var errUnextended = errors.New("nothing is changed")

// read reads the dataset as it is now and sees that it is the old one with rows
// behind.
func (e *extension) read(ctx context.Context, info view.Info) (store.NewRows, error) {
	e.info = info
	if err := json.Unmarshal(info.Plan, &e.as); err != nil {
		return store.NewRows{}, fmt.Errorf("%s/run.json: %w", e.dir, err)
	}
	if err := e.extensible(); err != nil {
		return store.NewRows{}, err
	}
	folder := versionDir(e.dir, len(info.Extensions)+1)
	if err := errors.Join(os.RemoveAll(folder),
		os.MkdirAll(folder, 0o700)); err != nil { // of an extension that was cut short
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
	order, err := scoring.ReadOrder(e.dir)
	if err != nil {
		return err
	}
	switch s := e.as.Source; {
	case order != nil:
		return Usagef("%s sends its rows in a random order that was drawn before the first one, and new rows are not in it. "+
			"Start a new run; with --reuse %s it takes over the answers", e.dir, e.dir)
	case e.as.Rows != nil:
		return Usagef("%s uses rows that were chosen from %s: it has no more of them when the dataset grows. Start a new "+
			"run for the new rows",
			e.dir, e.as.Rows.From)
	case s.Sample > 0:
		return Usagef("%s is a sample of %d rows: from a longer dataset other rows would have been drawn. Start a new run",
			e.dir, s.Sample)
	case e.info.DatasetSize == 0:
		return Usagef("%s was made by a version of the program that did not note the length of the dataset: start a new run",
			e.dir)
	}
	return e.extensibleParts()
}

// extensibleParts refuses what several datasets cannot take: new rows go behind all
// others, which is the end of the last dataset.
func (e *extension) extensibleParts() error {
	parts := e.as.Source.Parts
	if parts == nil {
		return nil
	}
	last := parts[len(parts)-1]
	switch {
	case last.Sample > 0:
		return Usagef("%s of %s is a sample of %d rows: from a longer dataset other rows would have been drawn. Start a "+
			"new run", last.Name, e.dir, last.Sample)
	case len(e.Paths) > 0:
		return Usagef("%s has several datasets: add the rows to the files of the last, %s, and name no file here", e.dir,
			last.Name)
	}
	return nil
}

// grown refuses rows that came to a dataset which others follow.
func (e *extension) grown() error {
	sections := e.dataset.Sections()
	for i, part := range e.as.Source.Parts {
		if now := sections[i].Info.Rows; now != part.Rows && i < len(sections)-1 {
			return &Error{Mismatch, fmt.Errorf("dataset %s has %d rows and had %d: of several datasets only the last, %s, can "+
				"be extended, since new rows go behind all others. Put the old file back, or start a new run", part.Name,
				now, part.Rows, sections[len(sections)-1].Name)}
		}
	}
	return nil
}

func (e *extension) compare(ctx context.Context, folder string) (store.NewRows, error) {
	if len(e.Paths) > 0 {
		here, err := os.Getwd()
		if err != nil {
			return store.NewRows{}, err
		}
		e.as.Source.Paths, e.as.Source.Dir = e.Paths, here
	}
	spec := e.as.Source.spec()
	spec.Stdin, spec.Spool = e.Stdin, folder
	spec.Versions = append(versionsOf(e.info.Extensions),
		datasets.Version{Rows: e.info.DatasetRows, Length: e.info.DatasetSize})
	data, err := datasets.Open(ctx, spec)
	if err != nil {
		return store.NewRows{}, errors.Join(err, data.Close())
	}
	e.dataset = data
	if err := e.grown(); err != nil {
		return store.NewRows{}, err
	}
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
	if e.DryRun {
		return store.NewRows{}, errUnextended
	}
	if err := data.WriteIndex(filepath.Join(folder, indexFile)); err != nil {
		return store.NewRows{}, &store.StorageError{Op: "writing", Path: folder, Err: err}
	}
	for i, section := range data.Sections() {
		e.as.Source.Parts[i].Rows = section.Info.Rows
	}
	plan, err := json.Marshal(e.as)
	if err != nil {
		return store.NewRows{}, err
	}
	info := data.Info()
	return store.NewRows{
		Tool: e.Version, Plan: plan, DatasetHash: info.Hash, DatasetRows: info.Rows, DatasetSize: info.Bytes,
		Chunks: storeChunks(data),
	}, nil
}

// nothing ends an extension by no rows. Blank lines at the end are a change all
// the same: the run could not go on with them.
func (e *extension) nothing() error {
	info := e.dataset.Info()
	if info.Bytes != e.info.DatasetSize {
		return &Error{Mismatch, fmt.Errorf("%s has grown by blank lines only: take them out, or add rows behind them",
			last(info.Files))}
	}
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
		err = fmt.Errorf("%w\na JSON list ends in ], so nothing can be put behind it: add rows in a further file, or keep "+
			"the dataset as JSON lines",
			err)
	}
	s := e.info.Chunks[changed.Chunk]
	known := map[int64]string{}
	for r, err := range view.Rows[hashedRow](e.dir, view.ReadOptions{From: s.First, To: s.First + s.Rows}) {
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
				return fmt.Errorf("%w\nthe first row that differs from what is on record: row %d, %s:%d",
					err, sample.Index, sample.File, sample.Line)
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

// added counts what is new.
func (e *extension) added() Added {
	info := e.dataset.Info()
	a := Added{Name: e.info.Name, Files: info.Files, Before: e.info.DatasetRows, Rows: info.Rows - e.info.DatasetRows}
	for _, s := range e.dataset.Chunks()[len(e.info.Chunks):] {
		a.Selected += s.Selected
	}
	a.Answers = a.Selected * int64(len(e.info.Models)) * int64(e.info.Epochs)
	return a
}

// tidy removes what only the run of before needed. What stays does no harm.
func (e *extension) tidy() {
	old := versionDir(e.dir, len(e.info.Extensions))
	_ = os.Remove(filepath.Join(old, indexFile))
	parts, _ := filepath.Glob(filepath.Join(old, indexFile+".*"))
	copies, _ := filepath.Glob(filepath.Join(old, "dataset.input-*"))
	for _, name := range slices.Concat(parts, copies) {
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
		return fmt.Errorf("%w\nnightshift extend %s takes them in", err, words.FromHere(dir))
	}
	return err
}
