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
	// totals are the sums of a run by model.
	totals = records.Totals
	// A tally is the sum over some records.
	tally = records.Tally
	// An unknown is an attempt that may have been billed without an answer.
	unknown = rundir.Unknown
	// progress is where an open run stands, as its own process counts it.
	progress = rundir.Progress
	// An extension is what the dataset was before rows were added to it.
	extension = rundir.Extension
	// A StorageError says that the disk failed; the program ends with exit code 6.
	StorageError = disk.StorageError
)
