package store

import (
	"nightshift/runner/store/internal/batchlog"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
)

// What the packages of the store share and its users name.
type (
	// A Chunk is the dataset rows of one shard.
	Chunk = rundir.Chunk
	// A StorageError says that the disk failed; the program ends with exit code 6.
	StorageError = disk.StorageError
	// A Batch is rows of one shard that travel together to a provider.
	Batch = batchlog.Batch
	// A BatchStage says how far a batch has come.
	BatchStage = batchlog.Stage
	// A BatchRemote is a batch at the provider.
	BatchRemote = batchlog.Remote
	// BatchSums are what collecting a batch came to.
	BatchSums = batchlog.Sums
	// A LocalFile is a file with results, on this disk.
	LocalFile = batchlog.LocalFile
	// Items are items of a shard: rows, each with an epoch.
	Items = batchlog.Items
	// An ItemRange is items that follow each other.
	ItemRange = batchlog.ItemRange
)

// The stages of a batch, in their order.
const (
	BatchPlanned   = batchlog.Planned   // its input file is written
	BatchUploaded  = batchlog.Uploaded  // the provider has the file
	BatchCreating  = batchlog.Creating  // it may have been created: whether, has to be found out
	BatchCreated   = batchlog.Created   // it is at the provider
	BatchEnded     = batchlog.Ended     // and has ended there
	BatchFetched   = batchlog.Fetched   // its results are on the disk
	BatchCollected = batchlog.Collected // the journal has them
	BatchClosed    = batchlog.Closed    // nothing is left to do
)
