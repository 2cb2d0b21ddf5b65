package store

import (
	"errors"
	"fmt"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
)

// A releasedShard is what stays in memory of a shard that was begun and waits.
type releasedShard struct {
	done      bitset        // items that are not to be sent again by this process
	unsettled records.Tally // what of it is in Run.Unsettled
}

// Sync waits until everything that was written is durable. The error is a
// [*StorageError].
func (u *Shard) Sync() error {
	if err := u.journal.Sync(); err != nil {
		return err
	}
	if !u.waiting() {
		return nil
	}
	if err := u.r.Err(); err != nil {
		return err
	}
	return u.journal.Flush()
}

// Release makes the shard durable and forgets it, so that it takes no memory
// while its rows are in batches. Nobody may use it any more: [Run.OpenShard]
// opens it again, with what its journal holds.
func (u *Shard) Release() error {
	if err := u.Sync(); err != nil {
		return err
	}
	u.closeFiles()
	u.mu.Lock()
	left := releasedShard{done: u.done}
	committed := u.state == shardCommitted
	for _, t := range u.pastOf {
		left.unsettled.Accumulate(&t, 1)
	}
	u.mu.Unlock()
	if committed {
		return nil
	}
	u.r.mu.Lock()
	defer u.r.mu.Unlock()
	delete(u.r.shards, u.key)
	u.r.released[u.key] = left
	return nil
}

// reopen opens a shard that was released, where it has a journal.
func (r *Run) reopen(key rundir.Key) (*Shard, error) {
	found, err := rundir.ListJournals(r.fs, r.dir, r.slugs)
	if err != nil {
		return nil, disk.Wrap("reading", r.dir.At(rundir.JournalDir), err)
	}
	return r.resumeShard(key, found.Files[key])
}

// Item is the number of a (row, epoch) in the shard, as batches count them; false
// when it is not in it.
func (u *Shard) Item(row int64, epoch int) (int64, bool) { return u.j.Item(row, epoch) }

// ItemRow is the inverse of [Shard.Item].
func (u *Shard) ItemRow(item int64) (row int64, epoch int) { return u.j.RowOf(item) }

// Record returns the record of an item that has one.
func (u *Shard) Record(row int64, epoch int) (*nightshift.Record, error) {
	item := u.mustItem(row, epoch)
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.j.Has(item) {
		if u.base != nil && u.done.get(item) {
			return nil, errors.New("store: the record is in the Parquet file of the generation before")
		}
		return nil, fmt.Errorf("store: row %d epoch %d of model %q has no record", row, epoch, u.model)
	}
	return u.j.Record(item)
}

// HasBatch reports whether what a batch of the provider says of an item is in
// the journal already: its record, or an attempt of that batch. A collection
// that begins again passes over it.
func (u *Shard) HasBatch(row int64, epoch int, id string) bool {
	item := u.mustItem(row, epoch)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done.get(item) {
		return true
	}
	if h := u.j.History(item); h != nil {
		for _, list := range [][]nightshift.Attempt{h.Failed, h.Answered} {
			for _, a := range list {
				if a.Batch == id {
					return true
				}
			}
		}
	}
	return false
}
