package store

import (
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
)

// What the packages of the store share and its users name.
type (
	// Totals are the sums of a run by model.
	Totals = records.Totals
	// A Tally is the sum over some records.
	Tally = records.Tally
	// A StorageError says that the disk failed; the program ends with exit code 6.
	StorageError = disk.StorageError
)
