package store

import (
	"nightshift"
	"nightshift/runner/store/internal/rundir"
)

// PutLate notes that a record has an attempt as unknown or, with settled, what
// it turned out to be. It is durable on return, and may be called after Close.
func (r *Run) PutLate(model string, a nightshift.Attempt, settled bool) error {
	r.lateMu.Lock()
	defer r.lateMu.Unlock()
	return rundir.AppendLate(r.fs, r.dir, rundir.Late{Model: model, Attempt: a, Settled: settled})
}
