package store

import (
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
)

// What the packages of the store share and its users name.
type (
	// A Chunk is the dataset rows of one shard.
	Chunk = rundir.Chunk
	// A StorageError says that the disk failed; the program ends with exit code 6.
	StorageError = disk.StorageError
)
