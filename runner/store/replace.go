package store

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"nightshift"
	"nightshift/runner/store/internal/batchlog"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
)

// reconcile decides what follows when the identity on disk is not the one at
// hand: a run without an answer takes the new one, a run whose models only
// moved keeps its own where that is allowed, and every other is refused.
func (r *Run) reconcile(diff []difference) error {
	empty, err := r.nothingPaid()
	if err != nil {
		return err
	}
	if empty {
		r.opts.Notice(fmt.Sprintf("%s held no answer yet: it now belongs to the plan and dataset as they are", r.dir))
		return r.replace()
	}
	moved := !slices.ContainsFunc(diff, func(d difference) bool { return !endpointPath.MatchString(d.path) })
	if moved && r.opts.MovedEndpoint {
		return r.accept(r.id.PlanHash)
	}
	return &MismatchError{Dir: string(r.dir), Differences: texts(diff), OnlyEndpoint: moved}
}

// endpointPath is where a plan says at which address a model is reached.
var endpointPath = regexp.MustCompile(`^(plan\.)?models\[\d+\]\.(base_url|path|endpoint)$`)

// accept keeps the run's own identity and notes that the plan with this hash
// is another address of the same models.
func (r *Run) accept(hash string) error {
	r.doc.MovedPlans = append(r.doc.MovedPlans, hash)
	r.id.PlanHash = r.doc.PlanHash
	return r.remakeDirs()
}

// nothingPaid reports whether the run holds no answer and nothing that may
// have been billed.
func (r *Run) nothingPaid() (bool, error) {
	v, err := rundir.Read(r.fs, string(r.dir))
	if err != nil {
		return false, disk.Wrap("reading", string(r.dir), err)
	}
	sum, ok, err := v.Spent()
	if err != nil {
		return false, disk.Wrap("reading", string(r.dir), err)
	}
	for outcome, n := range sum.Outcomes {
		if n > 0 && outcome != nightshift.OutcomeFailed && outcome != nightshift.OutcomeInputError {
			return false, nil
		}
	}
	c, err := batchlog.Read(r.fs, r.dir.At(rundir.BatchLogFile))
	if err != nil {
		return false, disk.Wrap("reading", r.dir.At(rundir.BatchLogFile), err)
	}
	return ok && !c.Paid() && sum.MaybeBilled == 0 && sum.Cost == 0 &&
		sum.BilledInputTokens.N() == 0 && sum.BilledOutputTokens.N() == 0, nil
}

// replace sets aside what a run without answers left, and creates it anew. It
// may end anywhere and be done again: run.json goes first of what create
// makes, after everything that create would refuse.
func (r *Run) replace() error {
	if err := r.makeDirs(); err != nil {
		return err
	}
	for _, d := range []string{rundir.ResultsDir, rundir.JournalDir, rundir.ScoresDir, rundir.BatchesDir} {
		if err := r.setAsideAll(d); err != nil {
			return err
		}
	}
	if err := r.setAsideBatchLog(); err != nil {
		return err
	}
	for _, name := range []string{rundir.ManifestFile, rundir.RunFile} {
		if err := r.fs.Remove(r.dir.At(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return disk.Wrap("removing", r.dir.At(name), err)
		}
	}
	if err := r.fs.SyncDir(string(r.dir)); err != nil {
		return disk.Wrap("syncing", string(r.dir), err)
	}
	return r.create()
}

// setAsideAll moves every file of a folder of the run to the quarantine.
func (r *Run) setAsideAll(folder string) error {
	names, err := r.fs.List(r.dir.At(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return disk.Wrap("reading", r.dir.At(folder), err)
	}
	for _, name := range names {
		from, to := r.dir.At(folder, name), r.dir.At(rundir.QuarantineDir, "replaced-"+r.doc.RunID+"-"+name)
		if err := r.fs.Replace(from, to); err != nil {
			return disk.Wrap("moving", from, err)
		}
	}
	return errors.Join(
		disk.Wrap("syncing", r.dir.At(rundir.QuarantineDir), r.fs.SyncDir(r.dir.At(rundir.QuarantineDir))),
		disk.Wrap("syncing", r.dir.At(folder), r.fs.SyncDir(r.dir.At(folder))))
}

// setAsideBatchLog moves the log of batches, of which none was created, to the
// quarantine.
func (r *Run) setAsideBatchLog() error {
	from := r.dir.At(rundir.BatchLogFile)
	if there, err := r.exists(from); err != nil || !there {
		return disk.Wrap("reading", from, err)
	}
	to := r.dir.At(rundir.QuarantineDir, "replaced-"+r.doc.RunID+"-"+rundir.BatchLogFile)
	if err := r.fs.Replace(from, to); err != nil {
		return disk.Wrap("moving", from, err)
	}
	return disk.Wrap("syncing", r.dir.At(rundir.QuarantineDir), r.fs.SyncDir(r.dir.At(rundir.QuarantineDir)))
}
