package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/parquetfile"
)

// recover finds out what is on record: manifest, Parquet files, journals.
func (r *Run) recover() error {
	if err := r.readManifest(); err != nil {
		return err
	}
	disk.CrashPoint("open.manifest-read")
	if err := r.checkParquetFiles(); err != nil {
		return err
	}
	disk.CrashPoint("open.parts-adopted")
	if err := r.readBatches(); err != nil {
		return err
	}
	for key, p := range r.parquetFiles {
		r.totals[key.Model].Accumulate(&p.Totals, 1)
		if r.opts.RetryFailed && p.Totals.Failed() > 0 {
			r.retry[key] = true
		}
	}
	return r.scanJournals()
}

// readManifest reads the manifest, sets damaged lines aside, and opens it for
// appending.
func (r *Run) readManifest() error {
	name := r.dir.At(rundir.ManifestFile)
	m, err := rundir.ReadManifest(r.fs, r.dir)
	if err != nil {
		return disk.Wrap("reading", name, err)
	}
	if m.RunID != "" && m.RunID != r.doc.RunID {
		return &disk.StorageError{Op: "reading", Path: name, Err: fmt.Errorf("it belongs to run %s, the directory to %s",
			m.RunID, r.doc.RunID), Hint: "move it away: it is made again from the Parquet files"}
	}
	if len(m.Damage) > 0 {
		if err := r.keepDamage(rundir.ManifestFile, m.Damage); err != nil {
			return err
		}
		if err := disk.WriteFile(r.fs, r.tmpName(rundir.ManifestFile), name, m.Lines); err != nil {
			return disk.Wrap("writing", name, err)
		}
	}
	for _, p := range m.ParquetFiles {
		i, ok := r.models[p.Model]
		if !ok || p.Shard < 0 || p.Shard >= len(r.id.Chunks) {
			return &disk.StorageError{Op: "reading", Path: name,
				Err:  fmt.Errorf("it lists shard %d of model %q, which the run does not have", p.Shard, p.Model),
				Hint: "move it away: it is made again from the Parquet files"}
		}
		r.parquetFiles[rundir.Key{Model: i, Shard: p.Shard}] = p
	}
	r.manifest, err = rundir.OpenManifest(r.fs, r.dir, r.doc.RunID)
	return disk.Wrap("opening", name, err)
}

// checkParquetFiles compares the results directory with the manifest. Parquet files that the
// manifest lacks are adopted when they are whole and fit, and set aside when
// not.
func (r *Run) checkParquetFiles() error {
	dir := r.dir.At(rundir.ResultsDir)
	names, err := r.fs.List(dir)
	if err != nil {
		return disk.Wrap("reading", dir, err)
	}
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	for _, p := range r.parquetFiles {
		if err := r.checkListed(p, there[p.Name]); err != nil {
			return err
		}
		delete(there, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if err := r.adoptParquetFile(name); err != nil {
			return err
		}
	}
	return nil
}

func (r *Run) checkListed(p rundir.ParquetFile, there bool) error {
	name := r.dir.At(rundir.ResultsDir, p.Name)
	if there {
		size, err := r.fs.Size(name)
		if err != nil {
			return disk.Wrap("reading", name, err)
		}
		if size == p.Size {
			return nil
		}
		return &disk.StorageError{Op: "opening", Path: name,
			Err: fmt.Errorf("it has %d bytes, the manifest says %d", size, p.Size), Hint: parquetFileHint}
	}
	return &disk.StorageError{Op: "opening", Path: name,
		Err: fmt.Errorf("the manifest lists it and it is not there: %w", os.ErrNotExist), Hint: parquetFileHint}
}

const parquetFileHint = "restore the file from a copy; or, to have its rows sent and paid for again, move " +
	"manifest.jsonl away: it is made again from the Parquet files that are whole"

// adoptParquetFile takes a Parquet file that the manifest lacks: a process ended between
// publishing it and listing it.
func (r *Run) adoptParquetFile(name string) error {
	path := r.dir.At(rundir.ResultsDir, name)
	slug, shard, gen, ok := rundir.ParseParquetFileName(name)
	model := slices.Index(r.slugs, slug)
	if !ok || model < 0 || shard >= len(r.id.Chunks) {
		r.opts.Notice(fmt.Sprintf("%s is no part of this run and is left alone", path))
		return nil
	}
	key := rundir.Key{Model: model, Shard: shard}
	if old, listed := r.parquetFiles[key]; listed && old.Gen >= gen {
		r.quarantineFile(path) // replaced by a newer generation
		return nil
	}
	parquetFile, err := r.readWholeParquetFile(path, key, gen)
	if err != nil {
		r.opts.Notice(fmt.Sprintf("%s is not whole (%v); it was moved to %s, and its rows are taken from the journal",
			path, err, rundir.QuarantineDir))
		r.quarantineFile(path)
		return nil
	}
	parquetFile.Name = name
	if err := r.syncFile(path); err != nil {
		return disk.Wrap("syncing", path, err)
	}
	if err := r.fs.SyncDir(r.dir.At(rundir.ResultsDir)); err != nil {
		return disk.Wrap("syncing", r.dir.At(rundir.ResultsDir), err)
	}
	if err := r.manifest.Add(parquetFile); err != nil {
		return disk.Wrap("writing", r.dir.At(rundir.ManifestFile), err)
	}
	if old, listed := r.parquetFiles[key]; listed {
		r.quarantineFile(r.dir.At(rundir.ResultsDir, old.Name))
	}
	r.parquetFiles[key] = parquetFile
	return nil
}

func (r *Run) syncFile(name string) error {
	f, err := r.fs.Open(name, os.O_RDWR)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// readWholeParquetFile decodes a Parquet file to its last value and checks that it is the
// one its name says.
func (r *Run) readWholeParquetFile(path string, key rundir.Key, gen int) (rundir.ParquetFile, error) {
	f, err := parquetfile.Open(r.fs, path)
	if err != nil {
		return rundir.ParquetFile{}, err
	}
	defer f.Close()
	want := r.parquetFileMeta(key, gen)
	if err := f.Fits(want); err != nil {
		return rundir.ParquetFile{}, err
	}
	parquetFile := rundir.ParquetFile{
		K: rundir.KindParquetFile, Model: want.Model, Shard: key.Shard, Gen: gen, First: want.First, Rows: want.Rows,
		Items: want.Items(), CommittedAt: time.Now().UTC(),
	}
	if err := f.CheckData(); err != nil {
		return parquetFile, err
	}
	parquetFile.Totals, err = f.Check(want, func(*nightshift.Record) {})
	if err != nil {
		return parquetFile, err
	}
	parquetFile.Size, parquetFile.SHA256, err = parquetfile.Hash(r.fs, path)
	return parquetFile, err
}

// scanJournals opens the shards that have journals.
func (r *Run) scanJournals() error {
	dir := r.dir.At(rundir.JournalDir)
	found, err := rundir.ListJournals(r.fs, r.dir, r.slugs)
	if err != nil {
		return disk.Wrap("reading", dir, err)
	}
	for _, name := range found.Strange {
		r.opts.Notice(fmt.Sprintf("%s is no journal of this run and is left alone", r.dir.At(rundir.JournalDir, name)))
	}
	for _, key := range found.Keys() {
		if key.Shard >= len(r.id.Chunks) {
			continue
		}
		u, err := r.resumeShard(key, found.Files[key])
		if err == nil && u != nil && r.uncollected(key) > 0 {
			err = u.Release() // it takes no memory until its batches are back
		}
		if err != nil {
			return err
		}
	}
	disk.CrashPoint("open.journals-read")
	if len(found.Files) == 0 {
		return nil
	}
	// Names may have reached only the page cache before the last process ended.
	return disk.Wrap("syncing", dir, r.fs.SyncDir(dir))
}

// resumeShard recovers one shard from its journals; nil when none counts. Those
// of a committed generation have done their work.
func (r *Run) resumeShard(key rundir.Key, ids []rundir.JournalID) (*Shard, error) {
	r.mu.Lock()
	parquetFile, committed := r.parquetFiles[key]
	r.mu.Unlock()
	gen := 1
	var base *rundir.ParquetFile
	if committed {
		gen, base = parquetFile.Gen+1, &parquetFile
	}
	j := r.newJournal(key.Shard)
	last := 0
	for _, id := range ids {
		name := r.dir.At(rundir.JournalDir, rundir.JournalName(id.Slug, id.Shard, id.Gen, id.Epoch))
		switch {
		case id.Gen < gen:
			if err := r.fs.Remove(name); err != nil {
				return nil, disk.Wrap("removing", name, err)
			}
			continue
		case id.Gen > gen:
			r.opts.Notice(fmt.Sprintf("%s belongs to a generation whose base is missing; it was moved to %s",
				name, rundir.QuarantineDir))
			r.quarantineFile(name)
			continue
		}
		last = max(last, id.Epoch)
		if err := r.scanFile(j, name); err != nil {
			j.Close()
			return nil, err
		}
	}
	if last == 0 {
		return nil, nil
	}
	u, err := r.newShard(key, base, j, last)
	if err != nil {
		j.Close()
		return nil, err
	}
	return r.resumed(u), nil
}

// resumed adds a shard that was recovered to the run.
func (r *Run) resumed(u *Shard) *Shard {
	r.mu.Lock()
	if other := r.shards[u.key]; other != nil { // opened by somebody else meanwhile
		r.mu.Unlock()
		u.j.Close()
		return other
	}
	r.retry[u.key] = r.retry[u.key] || u.base != nil
	again := u.register()
	r.mu.Unlock()
	if n := u.j.Duplicates(); n > 0 && !again {
		r.opts.Notice(fmt.Sprintf("shard %d of %s: %d answers are there twice and were paid for twice; the first of each "+
			"is kept", u.key.Shard, u.model, n))
	}
	return u
}

// scanFile reads one journal file into j. A file of another run is set aside.
// What is in the file counts as done from here on, so it must be on the disk
// and not only in the memory that the last process left it in.
func (r *Run) scanFile(j *journal.Index, name string) error {
	f, err := r.fs.Open(name, os.O_RDWR)
	if err != nil {
		return disk.Wrap("reading", name, err)
	}
	if other := journal.OtherRun(f, r.doc.RunID); other != "" {
		f.Close()
		r.opts.Notice(fmt.Sprintf("%s belongs to run %s; it was moved to %s", name, other, rundir.QuarantineDir))
		r.quarantineFile(name)
		return nil
	}
	damage, err := j.Scan(f, name)
	if err != nil {
		return disk.Wrap("reading", name, err)
	}
	if err := f.Sync(); err != nil {
		return disk.Wrap("syncing", name, err)
	}
	return r.keepDamage(name, damage)
}

// keepDamage copies damaged bytes to the quarantine and says so. The tail of
// a file that was being written when the power failed is no surprise.
func (r *Run) keepDamage(name string, found []journal.Damage) error {
	if len(found) == 0 {
		return nil
	}
	var all []byte
	tail := true
	for _, d := range found {
		all = append(append(all, d.Bytes...), '\n')
		tail = tail && d.AtTail
	}
	to := r.dir.At(rundir.QuarantineDir, fmt.Sprintf("%s.at-%d.bad", filepath.Base(name), found[0].Off))
	if there, err := r.exists(to); err == nil && there {
		return nil // found at an earlier start
	}
	if err := disk.WriteSynced(r.fs, to, all); err != nil {
		return disk.Wrap("writing", to, err)
	}
	if tail {
		r.opts.Notice(fmt.Sprintf("%s ends in a record that was not finished (%d bytes, kept in %s)", name, len(all), to))
	} else {
		r.opts.Notice(fmt.Sprintf("%s is damaged in %d places; the records around them are used, the damaged bytes are "+
			"kept in %s", name, len(found), to))
	}
	return nil
}
