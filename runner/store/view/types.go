// Package view reads run directories: live, stopped and damaged ones. It takes
// no lock and changes nothing.
package view

import (
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
)

// What the packages of the store share and its users name.
type (
	// Info is what a run directory says about itself.
	Info = rundir.Info
	// A ParquetFile is a committed shard as the manifest lists it.
	ParquetFile = rundir.ParquetFile
	// A Start is one process that worked on the run.
	Start = rundir.Start
	// An Extension is what the dataset was before rows were added to it.
	Extension = rundir.Extension
	// Totals are the sums of a run by model.
	Totals = records.Totals
	// A Tally is the sum over some records.
	Tally = records.Tally
	// An Unknown is an attempt that may have been billed without an answer.
	Unknown = rundir.Unknown
	// Progress is where an open run stands, as its own process counts it.
	Progress = rundir.Progress
	// A ModelPace is how fast one model goes.
	ModelPace = rundir.ModelPace
	// A DamageError says that the rows of one shard could not be read to their end.
	DamageError = rundir.DamageError
)

// ReadInfo reads run.json, the shards and the manifest. The error is
// fs.ErrNotExist when dir is no run directory.
func ReadInfo(dir string) (Info, error) {
	v, err := rundir.Read(disk.OS{}, dir)
	return v.Info, err
}
