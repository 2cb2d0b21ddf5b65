package store

import (
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
)

// What the packages of the store share and its users name.
type (
	// A Chunk is the dataset rows of one shard.
	Chunk = rundir.Chunk
	// Totals are the sums of a run by model.
	Totals = records.Totals
	// A Tally is the sum over some records.
	Tally = records.Tally
	// An Unknown is an attempt that may have been billed without an answer.
	Unknown = rundir.Unknown
	// Progress is where an open run stands, as its own process counts it.
	Progress = rundir.Progress
	// An Extension is what the dataset was before rows were added to it.
	Extension = rundir.Extension
	// A StorageError says that the disk failed; the program ends with exit code 6.
	StorageError = disk.StorageError
)
