package store

import (
	"encoding/json"
	"errors"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"time"
)

// NewRows is a dataset to which rows were added: what of an [Identity] is then
// different.
type NewRows struct {
	Tool        string
	Plan        json.RawMessage // nil leaves it as it is; what is in PlanHash must be
	DatasetHash string
	DatasetRows int64
	DatasetSize int64
	Chunks      []rundir.Chunk // those of before, and at least one more
}

// Extend gives the run in dir the shards that its dataset has beyond those it
// knows. It takes the lock and then asks read for the dataset as it is now; an
// error of read is returned as it is, and nothing is written. The shards of
// before must be what they were; the error is otherwise a [*MismatchError]
// that names the rows. It may also be a [*LockedError], a [*StorageError], or
// fs.ErrNotExist when there is no run. With any error, and after a crash at any
// point, the run is either what it was or extended.
//
// Nothing else of the run is touched. It goes on at the next [Open] with the
// new identity.
func Extend(dir string, o Options, read func(rundir.Info) (NewRows, error)) error {
	if o.fs == nil {
		o.fs = disk.OS{}
	}
	if _, err := rundir.Read(o.fs, dir); err != nil { // before the lock, which would make the directory
		return err
	}
	r := newRun(dir, Identity{}, o)
	defer r.abandon()
	if err := r.takeLock(); err != nil {
		return err
	}
	disk.CrashPoint("extend.locked")
	v, err := rundir.Read(o.fs, dir) // it may have changed until now
	if err != nil {
		return err
	}
	r.id = identityOf(v.Info)
	if err := r.identify(); err != nil {
		return err
	}
	g, err := read(v.Info)
	if err != nil {
		return err
	}
	return r.grow(g)
}

// identity is what the run was opened with, as far as it is known.
func identityOf(i rundir.Info) Identity {
	return Identity{
		Name: i.Name, Tool: i.Tool, PriceTable: i.PriceTable, Plan: i.Plan, PlanHash: i.PlanHash,
		DatasetHash: i.DatasetHash, DatasetRows: i.DatasetRows, DatasetSize: i.DatasetSize,
		Chunks: i.Chunks, Models: i.Models, Epochs: i.Epochs,
	}
}

// grow writes the longer list of shards, and then run.json, which makes it
// count.
func (r *Run) grow(g NewRows) error {
	before := r.id
	r.id.Tool, r.id.DatasetHash, r.id.DatasetRows, r.id.DatasetSize, r.id.Chunks = g.Tool, g.DatasetHash, g.DatasetRows,
		g.DatasetSize, g.Chunks
	if g.Plan != nil {
		r.id.Plan = g.Plan
	}
	if err := r.id.check(); err != nil {
		return err
	}
	if diff := chunkDifferences(before.Chunks, g.Chunks[:min(len(before.Chunks), len(g.Chunks))]); len(diff) > 0 {
		return &MismatchError{Dir: string(r.dir), Differences: diff}
	}
	if len(g.Chunks) == len(before.Chunks) {
		return errors.New("store: no rows were added")
	}
	shards, err := rundir.EncodeChunks(r.doc.RunID, g.Chunks)
	if err != nil {
		return err
	}
	if err := disk.WriteFile(r.fs, r.tmpName(rundir.ShardsFile), r.dir.At(rundir.ShardsFile), shards); err != nil {
		return disk.Wrap("writing", r.dir.At(rundir.ShardsFile), err)
	}
	disk.CrashPoint("extend.units-written")
	r.doc.Extensions = append(r.doc.Extensions, rundir.Extension{
		At: time.Now().UTC(), Tool: g.Tool, Shards: len(before.Chunks), Rows: before.DatasetRows, Size: before.DatasetSize,
		DatasetHash: before.DatasetHash,
	})
	r.doc.Shards, r.doc.DatasetHash, r.doc.DatasetRows, r.doc.DatasetSize = len(g.Chunks), g.DatasetHash, g.DatasetRows,
		g.DatasetSize
	err = r.setState(StateExtended)
	disk.CrashPoint("extend.written")
	return err
}

// StateExtended is the state of a run whose new rows have not been run.
const StateExtended = "extended"
