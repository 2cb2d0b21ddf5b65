package store

import (
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
