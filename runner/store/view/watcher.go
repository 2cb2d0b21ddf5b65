package view

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"nightshift/runner/store/internal/batchlog"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/journal"
)

// A Watcher looks at a run again and again. It remembers what the journals of
// open shards hold and reads only what was added since, so that looking at a
// live run costs what has happened in it meanwhile. It keeps some 30 bytes for
// each row of an open shard, and no file open. It takes no lock, changes
// nothing, and is safe for concurrent use.
type Watcher struct {
	dir string
	fs  disk.FS

	mu     sync.Mutex
	runID  string
	shards map[rundir.Key]*watched

	batches     *batchlog.Content // of a log of this size
	batchesSize int64
}

// watched is what is known of the journals of one open shard.
type watched struct {
	gen   int
	files []rundir.JournalID
	j     *journal.Tail
}

// NewWatcher returns a watcher of a run directory, which need not be there yet.
func NewWatcher(dir string) *Watcher { return &Watcher{dir: dir, fs: disk.OS{}} }

// Status is [StatusWith] with what earlier calls have found.
func (w *Watcher) Status(p *rundir.Progress) (StatusInfo, error) {
	return statusBy(w.fs, w.dir, p, func(v *rundir.Snapshot, st *StatusInfo) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		found, err := w.look(v, st.Live)
		if err != nil {
			return err
		}
		for _, key := range sortedShards(found) {
			if u := found[key]; u.err != nil {
				st.note("%v", u.err)
			} else {
				st.OpenShards++
				st.addJournal(v, key, u.j)
			}
		}
		return nil
	}, w.readBatches)
}

// readBatches reads the log of batches where it has grown.
func (w *Watcher) readBatches(v *rundir.Snapshot) (*batchlog.Content, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	size, err := v.FS.Size(v.Dir.At(rundir.BatchLogFile))
	if err == nil && w.batches != nil && size == w.batchesSize && w.batches.RunID == v.Info.RunID {
		return w.batches, nil
	}
	w.batches, err = readBatches(v)
	w.batchesSize = size
	return w.batches, err
}

// looked is a shard's journals as a look has left them.
type looked struct {
	j   *journal.Index
	err error
}

func sortedShards(m map[rundir.Key]looked) []rundir.Key {
	var keys []rundir.Key
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b rundir.Key) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Shard, b.Shard))
	})
	return keys
}

// look takes in what was added to the journals. Shards that are not open any
// more are forgotten.
func (w *Watcher) look(v *rundir.Snapshot, live bool) (map[rundir.Key]looked, error) {
	if w.runID != v.Info.RunID || w.shards == nil {
		w.runID, w.shards = v.Info.RunID, map[rundir.Key]*watched{}
	}
	found, err := rundir.ListJournals(v.FS, v.Dir, v.Slugs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	open := map[rundir.Key]looked{}
	kept := map[rundir.Key]*watched{}
	for _, key := range found.Keys() {
		if key.Shard >= len(v.Info.Chunks) {
			continue
		}
		u, err := w.shard(v, key, found.Files[key], live)
		switch {
		case errors.Is(err, fs.ErrNotExist): // committed while we looked
		case err != nil:
			open[key] = looked{err: err}
		case u != nil:
			kept[key], open[key] = u, looked{j: u.j.Index}
		}
	}
	w.shards = kept
	return open, nil
}

// shard brings one shard up to date; nil when it has no journal that counts.
func (w *Watcher) shard(v *rundir.Snapshot, key rundir.Key, ids []rundir.JournalID, live bool) (*watched, error) {
	gen := v.Generation(key)
	ids = slices.DeleteFunc(slices.Clone(ids), func(id rundir.JournalID) bool { return id.Gen != gen })
	u := w.shards[key]
	if u == nil || u.gen != gen || len(ids) < len(u.files) || !slices.Equal(u.files, ids[:len(u.files)]) {
		u = &watched{gen: gen, j: journal.NewTail(v.NewJournal(key))}
	}
	for n, id := range ids {
		if n == len(u.files) {
			u.files = append(u.files, id)
		}
		err := u.j.Update(v.FS, n, v.JournalPath(id), v.Info.RunID, live)
		if errors.Is(err, journal.ErrShrunk) {
			delete(w.shards, key)
			return w.shard(v, key, ids, live)
		}
		if err != nil {
			return nil, err
		}
	}
	if u.j.Empty() {
		return nil, nil
	}
	return u, nil
}

// progressAge is how old a Progress may be to stand for a live run.
const progressAge = 10 * time.Second

// StatusWith is [Status] of a run whose process says where it stands. The
// journals are looked into only where that is not of now or of another run.
func StatusWith(dir string, p *rundir.Progress) (StatusInfo, error) {
	return statusBy(disk.OS{}, dir, p, func(v *rundir.Snapshot, st *StatusInfo) error { return st.addJournals(v) },
		readBatches)
}

// standsFor reports whether a Progress is that of the live run st.
func standsFor(p *rundir.Progress, st *StatusInfo, now time.Time) bool {
	return p != nil && st.Live && p.RunID == st.RunID && p.PID == st.PID && now.Sub(p.At) < progressAge &&
		now.Sub(p.At) > -progressAge
}

// take puts a Progress in the place of what Parquet files and journals say.
func (st *StatusInfo) take(p *rundir.Progress) {
	st.All, st.Unsettled = records.Totals{Models: map[string]records.Tally{}}.Add(p.Totals), p.Unsettled.Sum()
	st.InFlight, st.OpenShards, st.Unknown = p.InFlight, p.OpenShards, p.Unknown
	if p.LastWrite.After(st.LastWrite) {
		st.LastWrite = p.LastWrite
	}
	st.Pace = p.Pace
}
