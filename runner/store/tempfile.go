package store

import (
	"fmt"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/parquetfile"
)

// A tempFile is the Parquet file of a shard that is not finished. It lies in
// tmp and counts for nothing until it is published.
type tempFile struct {
	*parquetfile.RecordWriter
	entry rundir.ParquetFile
}

func (u *Shard) newTempFile() (*tempFile, error) {
	meta := u.r.parquetFileMeta(u.key, u.gen)
	entry := rundir.ParquetFile{
		K: rundir.KindParquetFile, Model: u.model, Shard: u.key.Shard, Gen: u.gen,
		Name: rundir.ParquetFileName(u.slug, u.key.Shard, u.gen), First: meta.First, Rows: meta.Rows, Items: meta.Items(),
	}
	w, err := parquetfile.CreateRecords(u.r.fs, u.r.tmpName(entry.Name), meta)
	if err != nil {
		return nil, err
	}
	return &tempFile{w, entry}, nil
}

// finish makes the file durable, checks it, and returns its manifest entry.
func (d *tempFile) finish() (rundir.ParquetFile, error) {
	if d.Items() != d.entry.Items {
		return d.entry, fmt.Errorf("the journal has %d records of %d", d.Items(), d.entry.Items)
	}
	var err error
	d.entry.Totals = d.Totals()
	d.entry.Size, d.entry.SHA256, err = d.Finish()
	d.entry.CommittedAt = time.Now().UTC()
	return d.entry, err
}

// The temporary file of a shard grows while its answers come: what is in memory need not
// be read from the journal again, and the end of a shard holds nobody up. The
// items that come next are taken as soon as they have records; records of
// later ones are kept until then, as far as there is room, and are else read
// from the journal. One shard of a run grows at a time, which bounds memory.
//
// Nothing depends on it. The journal has everything, and when a temporary file fails
// Commit begins another.

const (
	growEvery = parquetfile.BatchRows // records that come before the Parquet file grows by them
	maxKept   = 8 << 20               // bytes of records that all shards of a run keep
	keptSize  = 1 << 10               // what a record takes in memory besides its texts
)

// keep remembers a record that was written, and lets the Parquet file grow. What the
// record points to must not change any more.
func (u *Shard) keep(item int64, rec *nightshift.Record) {
	u.mu.Lock()
	ready := false
	if u.base == nil && u.state == shardOpen && !u.r.opts.Late {
		size := records.Weight(rec) + keptSize
		if u.r.keeping.Add(size) <= u.r.opts.keep {
			u.kept[item] = rec
		} else {
			u.r.keeping.Add(-size)
		}
		u.fresh++
		ready = u.fresh >= u.r.opts.grow
	}
	u.mu.Unlock()
	// Whoever is at it already takes this record too, or the next one does.
	if ready && u.growing.TryLock() {
		u.grow()
		u.growing.Unlock()
	}
}

// grow takes what there is. u.growing is held. Whoever comes after the shard was
// sealed finds nothing to do: the Parquet file is Commit's from then on.
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
		if err := j.Load(list); err != nil {
			return err
		}
		for _, e := range list {
			if err := u.tempFile.Add(e.Rec); err != nil {
				return err
			}
		}
		disk.CrashPoint("draft.grown")
	}
}

// take returns the records that come next, as far as they are there, and what
// those that are not in memory are read with.
func (u *Shard) take() (list []journal.Entry, j *journal.Index) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for item := u.drafted; item < u.j.Items() && len(list) < parquetfile.BatchRows; item++ {
		e, there := u.j.Entry(item, u.kept[item])
		if !there || !u.done.get(item) {
			break
		}
		list = append(list, e)
		u.forget(item, e.Rec)
	}
	u.drafted += int64(len(list))
	u.fresh = 0
	return list, u.j.Reader()
}

// forget gives back the room of a record that is kept.
func (u *Shard) forget(item int64, rec *nightshift.Record) {
	if rec != nil {
		u.r.keeping.Add(-records.Weight(rec) - keptSize)
		delete(u.kept, item)
	}
}

// finishTempFile brings the Parquet file to its end. All items have a record.
func (u *Shard) finishTempFile() (tmp string, parquetFile rundir.ParquetFile, err error) {
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
			err = d.Add(rec)
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
	return d.Name(), parquetFile, nil
}

// remaining yields the records that the temporary file lacks.
func (u *Shard) remaining() func(func(*nightshift.Record, error) bool) {
	if u.base != nil {
		return rundir.MergeRecords(u.r.fs, u.r.dir, u.base, u.j)
	}
	return u.j.Ordered(u.drafted, u.kept)
}

// abandonTempFile removes a temporary file. The next one begins at the beginning.
func (u *Shard) abandonTempFile() {
	if u.tempFile != nil {
		u.tempFile.Drop()
	}
	u.endNewRows()
}

// endNewRows forgets the temporary file, and gives back what it took.
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

// mayGrow reports whether it is this shard's turn.
func (r *Run) mayGrow(u *Shard) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.grows == nil {
		r.grows = u
	}
	return r.grows == u
}
