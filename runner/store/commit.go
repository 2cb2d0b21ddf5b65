package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/parquetfile"
)

// Commit finishes the shard's Parquet file and publishes it. All items must have a
// record. On return the Parquet file is durable under its final name, the manifest
// lists it, and the journal is gone. It may run while other shards are written
// to; one commit runs at a time.
//
// When it fails the run has failed, and the journal still holds everything.
func (u *Shard) Commit() error {
	if err := u.seal(); err != nil {
		return err
	}
	u.r.commitMu.Lock()
	defer u.r.commitMu.Unlock()
	parquetFile, err := u.publish()
	if err != nil {
		err = disk.Wrap(fmt.Sprintf("committing shard %d of %s", u.key.Shard, u.model), u.r.dir.At(rundir.ResultsDir), err)
		u.r.fail(err)
		u.mu.Lock()
		u.state = shardOpen
		u.mu.Unlock()
		return err
	}
	u.finishShard(parquetFile)
	return nil
}

// seal closes the shard for records and makes its journal durable.
func (u *Shard) seal() error {
	if n := u.r.uncollected(u.key); n > 0 {
		return fmt.Errorf("store: batch %d of shard %d of model %q is not collected", n, u.key.Shard, u.model)
	}
	u.mu.Lock()
	if u.state != shardOpen || u.left > 0 {
		defer u.mu.Unlock()
		if u.left > 0 {
			return fmt.Errorf("store: shard %d of model %q has %d items without a record", u.key.Shard, u.model, u.left)
		}
		return fmt.Errorf("store: shard %d of model %q is committed or closed", u.key.Shard, u.model)
	}
	u.state = shardCommitting
	line, crc, err := journal.EncodeLine(journal.Line{K: journal.KindSeal, Row: u.chunk.First, At: time.Now().UTC()})
	if err == nil {
		err = u.append(journal.Pending{Line: line, CRC: crc, Kind: journal.KindSeal})
	}
	u.mu.Unlock()
	if err == nil {
		err = u.journal.Sync()
	}
	if err == nil && u.waiting() {
		err = u.r.Err()
	}
	disk.CrashPoint("commit.sealed")
	if err != nil {
		u.mu.Lock()
		u.state = shardOpen
		u.mu.Unlock()
	}
	return err
}

// publish writes the Parquet file and brings it under its final name and into the
// manifest. The order of these steps is the promise of the store.
func (u *Shard) publish() (rundir.ParquetFile, error) {
	tmp, parquetFile, err := u.finishTempFile()
	if err != nil {
		return parquetFile, err
	}
	disk.CrashPoint("commit.part-synced")
	final := u.r.dir.At(rundir.ResultsDir, parquetFile.Name)
	if err := u.r.fs.Publish(tmp, final); err != nil {
		_ = u.r.fs.Remove(tmp)
		return parquetFile, err
	}
	disk.CrashPoint("commit.part-named")
	if err := u.r.fs.SyncDir(filepath.Dir(final)); err != nil {
		return parquetFile, err
	}
	disk.CrashPoint("commit.name-synced")
	if err := u.r.manifest.Add(parquetFile); err != nil {
		return parquetFile, err
	}
	disk.CrashPoint("commit.listed")
	return parquetFile, nil
}

// finishShard removes what the Parquet file has replaced. What cannot be removed now is
// removed at the next start.
func (u *Shard) finishShard(parquetFile rundir.ParquetFile) {
	if u.base != nil {
		u.r.quarantineFile(u.r.dir.At(rundir.ResultsDir, u.base.Name))
		disk.CrashPoint("commit.old-part-moved")
	}
	u.mu.Lock()
	u.state = shardCommitted
	u.mu.Unlock()
	names := u.journal.Close()
	u.r.mu.Lock()
	u.r.parquetFiles[u.key] = parquetFile
	delete(u.r.retry, u.key)
	delete(u.r.shards, u.key)
	u.r.mu.Unlock()
	for _, name := range names {
		_ = u.r.fs.Remove(name)
		disk.CrashPoint("commit.journal-removed")
	}
	u.r.dropBatchFiles(u.key)
}

func (r *Run) parquetFileMeta(key rundir.Key, gen int) parquetfile.Meta {
	s := r.id.Chunks[key.Shard]
	return parquetfile.Meta{
		RunID: r.doc.RunID, Run: r.id.Name, Tool: r.id.Tool, Model: r.id.Models[key.Model],
		Shard: key.Shard, Gen: gen, First: s.First, Rows: s.Rows, Skipped: s.Skipped, Epochs: r.id.Epochs,
		DatasetHash: rundir.DatasetHash(key.Shard, r.doc.Extensions,
			r.id.DatasetHash), ChunkHash: rundir.HashText(s.Hash), PlanHash: r.id.PlanHash, PriceTableID: r.id.PriceTable,
	}
}

// quarantineFile sets a file aside under a name that is free.
func (r *Run) quarantineFile(name string) {
	to := r.freeQuarantineName(filepath.Base(name))
	if err := r.fs.Replace(name, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.opts.Notice(fmt.Sprintf("%s could not be moved to %s: %v", name, to, err))
	}
}

func (r *Run) freeQuarantineName(base string) string {
	for n := 0; ; n++ {
		name := r.dir.At(rundir.QuarantineDir, base)
		if n > 0 {
			name += fmt.Sprintf(".%d", n)
		}
		if there, err := r.exists(name); err == nil && !there || n > 1000 {
			return name
		}
	}
}
