package store

import (
	"encoding/hex"
	"fmt"
	"time"

	"nightshift"
)

// A draft is a part in the making. It lies in tmp, where nobody looks for it,
// and is worth nothing until it is finished.
type tempFile struct {
	fs          fileSystem
	name        string
	parquetFile ParquetFile
	file        *parquetFile[nightshift.Record]
	digest      digester
	columns     columnSums
	items       int64
}

func (u *Shard) newTempFile() (*tempFile, error) {
	s := u.j.chunk
	d := &tempFile{fs: u.r.fs, columns: newColumnSums(), parquetFile: ParquetFile{
		K: kindParquetFile, Model: u.model, Shard: u.key.shard, Gen: u.gen, Name: parquetFileName(u.slug, u.key.shard, u.gen),
		First: s.First, Rows: s.Rows, Items: s.items(u.r.id.Epochs),
	}}
	d.name = u.r.tmpName(d.parquetFile.Name)
	f, err := createParquet(d.fs, d.name, u.r.parquetFileMeta(u.key, u.gen).keyValues(), weighRecord)
	if err != nil {
		return nil, err
	}
	d.file = f
	return d, nil
}

// add takes the record of the item that comes next.
func (d *tempFile) add(rec *nightshift.Record) error {
	d.digest.add(rec)
	d.columns.add(&d.digest)
	d.items++
	c := count(rec)
	d.parquetFile.Totals.count(&c)
	return d.file.add(*rec)
}

// finish makes the draft durable and reads it back: the journal must not go
// before the part is known to hold the same.
func (d *tempFile) finish() (ParquetFile, error) {
	defer d.file.close()
	if d.items != d.parquetFile.Items {
		return d.parquetFile, fmt.Errorf("the journal has %d records of %d", d.items, d.parquetFile.Items)
	}
	d.file.w.SetKeyValueMetadata(rowsChecksum, d.digest.sum())
	crashPoint("commit.part-written")
	if err := d.file.finish(); err != nil {
		return d.parquetFile, err
	}
	d.parquetFile.CommittedAt = time.Now().UTC()
	d.parquetFile.Size, d.parquetFile.SHA256 = d.file.size, hex.EncodeToString(d.file.sum.Sum(nil))
	return d.parquetFile, compareBack(d.file.f, d.file.size, d.items, d.columns, d.digest.sum())
}

// drop removes the draft.
func (d *tempFile) drop() {
	d.file.close()
	_ = d.fs.remove(d.name)
}

// The part of a unit grows while its answers come: what is in memory need not
// be read from the journal again, and the end of a unit holds nobody up. The
// items that come next are taken as soon as they have records; records of
// later ones are kept until then, as far as there is room, and are else read
// from the journal. One unit of a run grows at a time, which bounds memory.
//
// Nothing depends on it. The journal has everything, and when a draft fails
// Commit begins another.

const (
	growEvery = batchRows // records that are kept before the part grows by them
	maxKept   = 8 << 20   // bytes of records that all units of a run keep
	keptSize  = 1 << 10   // what a record takes in memory besides its texts
)

// keep remembers a record that was written, and lets the part grow. What the
// record points to must not change any more.
func (u *Shard) keep(item int64, rec *nightshift.Record) {
	u.mu.Lock()
	ready := false
	if u.base == nil && u.state == shardOpen && !u.r.opts.Late {
		size := weighRecord(rec) + keptSize
		if u.r.keeping.Add(size) <= u.r.opts.keep {
			u.kept[item] = rec
		} else {
			u.r.keeping.Add(-size)
		}
		ready = len(u.kept) >= u.r.opts.grow
	}
	u.mu.Unlock()
	// Whoever is at it already takes this record too, or the next one does.
	if ready && u.growing.TryLock() {
		u.grow()
		u.growing.Unlock()
	}
}

// grow takes what there is. u.growing is held. Whoever comes after the unit was
// sealed finds nothing to do: the part is Commit's from then on.
func (u *Shard) grow() {
	u.mu.Lock()
	open := u.state == shardOpen
	u.mu.Unlock()
	if !open || u.stunted || u.tempFile == nil && !u.r.mayGrow(u) {
		return
	}
	if err := u.growMore(); err != nil {
		u.abandonTempFile()
		u.stunted = true
	}
}

func (u *Shard) growMore() (err error) {
	if u.tempFile == nil {
		if u.tempFile, err = u.newTempFile(); err != nil {
			return err
		}
	}
	for {
		list, j := u.take()
		if len(list) == 0 {
			return nil
		}
		if err := j.load(list); err != nil {
			return err
		}
		for _, e := range list {
			if err := u.tempFile.add(e.rec); err != nil {
				return err
			}
		}
		crashPoint("draft.grown")
	}
}

// take returns the records that come next, as far as they are there, and what
// those that are not in memory are read with.
func (u *Shard) take() (list []entry, j *journal) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for item := u.drafted; item < int64(len(u.j.at)) && len(list) < batchRows; item++ {
		e := entry{u.kept[item], u.j.at[item]}
		if !u.done.get(item) || e.rec == nil && e.at.n == 0 {
			break
		}
		list = append(list, e)
		u.forget(item, e.rec)
	}
	u.drafted += int64(len(list))
	return list, &journal{files: u.j.files, names: u.j.names}
}

// forget gives back the room of a record that is kept.
func (u *Shard) forget(item int64, rec *nightshift.Record) {
	if rec != nil {
		u.r.keeping.Add(-weighRecord(rec) - keptSize)
		delete(u.kept, item)
	}
}

// finishTempFile brings the part to its end. All items have a record.
func (u *Shard) finishTempFile() (tmp string, parquetFile ParquetFile, err error) {
	u.growing.Lock()
	defer u.growing.Unlock()
	defer u.endNewRows()
	if u.tempFile == nil {
		if u.tempFile, err = u.newTempFile(); err != nil {
			return "", parquetFile, err
		}
	}
	d := u.tempFile
	for rec, recErr := range u.remaining() {
		if err = recErr; err == nil {
			err = d.add(rec)
		}
		if err != nil {
			break
		}
	}
	if err == nil {
		parquetFile, err = d.finish()
	}
	if err != nil {
		u.abandonTempFile()
		return "", parquetFile, err
	}
	return d.name, parquetFile, nil
}

// remaining yields the records that the draft lacks.
func (u *Shard) remaining() func(func(*nightshift.Record, error) bool) {
	if u.base != nil {
		return mergeRecords(u.r.fs, u.r.dir, u.base, u.j)
	}
	return u.j.ordered(u.drafted, u.kept)
}

// abandonTempFile removes a draft. The next one begins at the beginning.
func (u *Shard) abandonTempFile() {
	if u.tempFile != nil {
		u.tempFile.drop()
	}
	u.endNewRows()
}

// endNewRows forgets the draft, and gives back what it took.
func (u *Shard) endNewRows() {
	u.tempFile, u.drafted = nil, 0
	u.mu.Lock()
	for item, rec := range u.kept {
		u.forget(item, rec)
	}
	u.mu.Unlock()
	u.r.mu.Lock()
	if u.r.grows == u {
		u.r.grows = nil
	}
	u.r.mu.Unlock()
}

// mayGrow reports whether it is this unit's turn.
func (r *Run) mayGrow(u *Shard) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.grows == nil {
		r.grows = u
	}
	return r.grows == u
}
