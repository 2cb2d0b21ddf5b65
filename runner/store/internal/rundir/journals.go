package rundir

import (
	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/parquetfile"
	"slices"
)

// journalFiles are the journal files of a run by shard.
type Journals struct {
	Files   map[Key][]JournalID // by generation and number
	Strange []string
}

func (f Journals) Keys() []Key {
	keys := make([]Key, 0, len(f.Files))
	for k := range f.Files {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b Key) int {
		if a.Model != b.Model {
			return a.Model - b.Model
		}
		return a.Shard - b.Shard
	})
	return keys
}

func ListJournals(fsys disk.FS, dir Dir, slugs []string) (Journals, error) {
	found := Journals{Files: map[Key][]JournalID{}}
	names, err := fsys.List(dir.At(JournalDir))
	if err != nil {
		return found, err
	}
	for _, name := range names {
		id, ok := ParseJournalName(name)
		model := slices.Index(slugs, id.Slug)
		if !ok || model < 0 {
			found.Strange = append(found.Strange, name)
			continue
		}
		key := Key{model, id.Shard}
		found.Files[key] = append(found.Files[key], id)
	}
	for _, ids := range found.Files {
		slices.SortFunc(ids, func(a, b JournalID) int {
			if a.Gen != b.Gen {
				return a.Gen - b.Gen
			}
			return a.Epoch - b.Epoch
		})
	}
	return found, nil
}

// mergeRecords yields the records of a shard in order: those of its journal,
// and where there is none the one of the Parquet file that it replaces. The record is
// the reader's to keep.
func MergeRecords(fsys disk.FS, dir Dir, base *ParquetFile,
	j *journal.Index) func(func(*nightshift.Record, error) bool) {
	return func(yield func(*nightshift.Record, error) bool) {
		if base != nil {
			mergeBase(fsys, dir, base, j, yield)
			return
		}
		j.Ordered(0, nil)(yield)
	}
}

func mergeBase(fsys disk.FS, dir Dir, base *ParquetFile, j *journal.Index, yield func(*nightshift.Record, error) bool) {
	f, err := parquetfile.Open(fsys, dir.At(ResultsDir, base.Name))
	if err != nil {
		yield(nil, err)
		return
	}
	defer f.Close()
	for rec, err := range parquetfile.Read[nightshift.Record](f) {
		if err != nil {
			yield(nil, err)
			return
		}
		r := &rec
		if item, ok := j.Item(rec.Row, int(rec.Epoch)); ok && j.Has(item) {
			r, err = j.Record(item)
		}
		if !yield(r, err) || err != nil {
			return
		}
	}
}
