package runner

import (
	"errors"
	"fmt"
	"time"

	"nightshift"
	"nightshift/runner/store"
)

// mostFetches is how often a result file is asked for that is not there or never
// comes whole.
const mostFetches = 5

// fetch downloads every result file that the provider has, whatever its counts
// say.
func (b *batches) fetch(a *batch) error {
	var files []store.LocalFile
	i := -1
	for _, r := range a.Remotes {
		for _, handle := range r.Results {
			i++
			file, err := b.result(a, r.Batch, handle, i)
			switch {
			case errors.Is(err, errLost):
				continue
			case err != nil:
				return b.later(a, "fetching the results", err)
			}
			files = append(files, file)
		}
	}
	crashPoint("batch.fetched")
	return b.changed(a, b.Store.BatchFetched(a.N, files))
}

// errLost says that a result file is not there, and will not be.
var errLost = errors.New("the result file is gone")

// result downloads one result file, unless this process has it already.
func (b *batches) result(a *batch, r nightshift.Batch, handle string, i int) (store.LocalFile, error) {
	if file, ok := a.here[handle]; ok {
		return file, nil
	}
	w, err := b.Store.NewBatchResult(a.N, i)
	if err != nil {
		return store.LocalFile{}, err
	}
	err = b.API.Fetch(b.feed, r, handle, w)
	crashPoint("batch.downloaded")
	cut := err != nil || !w.Whole()
	switch {
	case b.missing(a, r, handle, err):
		w.Discard()
		return store.LocalFile{}, errLost
	case err != nil && !(isCut(err) && a.tries+1 >= mostFetches && w.Bytes() > 0):
		w.Discard()
		return store.LocalFile{}, err
	}
	file, err := w.Finish()
	if err != nil {
		return file, err
	}
	file.ID, file.Handle, file.Cut = r.ID, handle, cut
	return file, b.whole(a, file)
}

// whole keeps a file that has come whole. One whose last line has no end is
// whole when it comes like that twice, or never otherwise.
func (b *batches) whole(a *batch, file store.LocalFile) error {
	if file.Cut && a.cut[file.Handle] != file.SHA256 && a.tries+1 < mostFetches {
		a.cut[file.Handle] = file.SHA256
		return &nightshift.BatchError{Next: nightshift.BatchAgain, Err: &nightshift.Error{Class: nightshift.ClassCut,
			Message: "the last line of the result file has no end"}}
	}
	a.here[file.Handle] = file
	return nil
}

func isCut(err error) bool {
	var e *nightshift.BatchError
	return errors.As(err, &e) && e.Err.Class == nightshift.ClassCut
}

// missing reports whether a result file has not been there for so long that it
// will not come.
func (b *batches) missing(a *batch, r nightshift.Batch, handle string, err error) bool {
	var e *nightshift.BatchError
	if !errors.As(err, &e) || e.Cause != nightshift.BatchFileMissing || a.tries+1 < mostFetches {
		return false
	}
	b.Log.Error(fmt.Sprintf("results of %s are gone at the provider, which kept them for a time only: "+
		"their rows may have been paid for", a.Name), "model", b.pool.Model, "id", r.ID, "file", handle,
		"at_most_usd", a.WorstCost.Dollars())
	return true
}

// rereads are the pauses after which the results of a batch are fetched again
// when rows are missing in them.
var rereads = []time.Duration{time.Minute, 10 * time.Minute}

// readAgain puts a batch back before its download, when that may bring rows
// that are missing.
func (b *batches) readAgain(a *batch) bool {
	if a.reread >= len(rereads) || !b.mayHaveMore(a) {
		return false
	}
	a.Stage, a.tries, a.due = store.BatchEnded, 0, time.Now().Add(rereads[a.reread]/speedup)
	a.here, a.cut = map[string]store.LocalFile{}, map[string]string{}
	a.reread++
	return true
}

// mayHaveMore reports whether the provider has result files that are not known
// to be gone.
func (b *batches) mayHaveMore(a *batch) bool {
	files := 0
	for _, r := range a.Remotes {
		if r.Phase == nightshift.BatchFailed {
			return false
		}
		files += len(r.Results)
	}
	return files > 0 && len(a.Results) == files
}
