package rundir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/parquetfile"
	"os"
	"slices"
	"syscall"
	"time"
)

// Info is what a run directory says about itself.
type Info struct {
	Dir          string          `json:"dir"`
	RunID        string          `json:"run_id"`
	Name         string          `json:"name"`
	State        string          `json:"state"` // as last written; "running" in a run that died
	CreatedAt    time.Time       `json:"created_at"`
	UpdatedAt    time.Time       `json:"updated_at"`
	Tool         string          `json:"tool"`
	PriceTable   string          `json:"price_table"`
	PlanHash     string          `json:"plan_hash"`
	Plan         json.RawMessage `json:"plan"`
	DatasetHash  string          `json:"dataset_hash"`
	DatasetRows  int64           `json:"dataset_rows"`
	DatasetSize  int64           `json:"dataset_size,omitempty"`
	Extensions   []Extension     `json:"extensions,omitempty"`
	Models       []string        `json:"models"`
	Epochs       int             `json:"epochs"`
	Starts       []Start         `json:"starts"`
	Chunks       []Chunk         `json:"-"`
	ParquetFiles []ParquetFile   `json:"-"`      // committed shards, by model and shard
	Totals       records.Totals  `json:"totals"` // of the committed shards
}

// Items is the number of (row, model, epoch)s of the whole run.
func (i Info) Items() int64 {
	return i.Rows() * int64(i.Epochs) * int64(len(i.Models))
}

// Rows is the number of dataset rows that the run uses.
func (i Info) Rows() int64 {
	rows := i.DatasetRows
	for _, s := range i.Chunks {
		rows -= s.Skipped
	}
	return rows
}

// A Snapshot is a run directory as a reader finds it. Files may come and go while
// it is looked at.
type Snapshot struct {
	FS     disk.FS
	Dir    Dir
	Info   Info
	Slugs  []string
	Listed map[Key]ParquetFile // by manifest, or by their own word where it lacks them
	Damage []journal.Damage    // of the manifest
	size   int64               // of the manifest when it was read
}

// A noRunError says what is there in place of a run directory.
type noRunError string

func (e noRunError) Error() string        { return string(e) }
func (e noRunError) Is(target error) bool { return target == fs.ErrNotExist }

func noRun(fsys disk.FS, dir string) error {
	if _, err := fsys.Size(dir); err == nil {
		return noRunError(dir + " is a file, not a run directory; a run is named by the directory of its answers " +
			"(out: in a plan)")
	}
	if _, err := fsys.List(dir); errors.Is(err, fs.ErrNotExist) {
		return noRunError(dir + " is not a run directory: there is nothing of that name")
	}
	return noRunError(dir + " is not a run directory: it has no " + RunFile)
}

// Read finds out what a run directory holds. The error is fs.ErrNotExist when dir is
// none.
func Read(fsys disk.FS, dir string) (*Snapshot, error) {
	v := &Snapshot{FS: fsys, Dir: Dir(dir)}
	b, err := disk.ReadAll(fsys, v.Dir.At(RunFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return v, noRun(fsys, dir)
	}
	if err != nil {
		return v, err
	}
	var doc Document
	if err := json.Unmarshal(b, &doc); err != nil {
		return v, fmt.Errorf("%s: %w", v.Dir.At(RunFile), err)
	}
	if doc.Format != FormatVersion {
		return v, fmt.Errorf("%s: format %d, this program knows %d", v.Dir.At(RunFile), doc.Format, FormatVersion)
	}
	v.Info = Info{
		Dir: dir, RunID: doc.RunID, Name: doc.Name, State: doc.State, CreatedAt: doc.CreatedAt, UpdatedAt: doc.UpdatedAt,
		Tool: doc.Tool, PriceTable: doc.PriceTable, PlanHash: doc.PlanHash, Plan: doc.Plan,
		DatasetHash: doc.DatasetHash, DatasetRows: doc.DatasetRows, DatasetSize: doc.DatasetSize, Extensions: doc.Extensions,
		Models: doc.Models, Epochs: doc.Epochs, Starts: doc.Starts,
	}
	v.Slugs = Slugs(doc.Models)
	if v.Info.Chunks, err = ReadChunks(fsys, v.Dir, doc.Shards); err != nil {
		return v, fmt.Errorf("%s: %w", v.Dir.At(ShardsFile), err)
	}
	return v, v.readParquetFiles()
}

// readParquetFiles takes the manifest's word for the Parquet files it lists, and the Parquet files'
// own for the others.
func (v *Snapshot) readParquetFiles() error {
	v.size, _ = v.FS.Size(v.Dir.At(ManifestFile)) // 0 when there is none
	m, err := ReadManifest(v.FS, v.Dir)
	if err != nil {
		return err
	}
	v.Damage = m.Damage
	v.Listed = map[Key]ParquetFile{}
	for _, p := range m.ParquetFiles {
		model := slices.Index(v.Info.Models, p.Model)
		if model >= 0 && p.Shard >= 0 && p.Shard < len(v.Info.Chunks) {
			v.Listed[Key{model, p.Shard}] = p
		}
	}
	names, err := v.FS.List(v.Dir.At(ResultsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range names {
		v.addUnlisted(name)
	}
	v.sum()
	return nil
}

// addUnlisted takes in a Parquet file that the manifest lacks, when it says of itself
// that it belongs here.
func (v *Snapshot) addUnlisted(name string) {
	slug, shard, gen, ok := ParseParquetFileName(name)
	model := slices.Index(v.Slugs, slug)
	if !ok || model < 0 || shard >= len(v.Info.Chunks) {
		return
	}
	key := Key{model, shard}
	if old, there := v.Listed[key]; there && old.Gen >= gen {
		return
	}
	f, err := parquetfile.Open(v.FS, v.Dir.At(ResultsDir, name))
	if err != nil {
		return
	}
	defer f.Close()
	s := v.Info.Chunks[shard]
	m, err := f.Meta()
	if err != nil || m.RunID != v.Info.RunID || f.NumRows() != s.Items(v.Info.Epochs) {
		return
	}
	var sum records.Tally
	for c, err := range parquetfile.Read[records.Columns](f) {
		if err != nil {
			return
		}
		sum.Count(&c)
	}
	size, _ := v.FS.Size(v.Dir.At(ResultsDir, name))
	v.Listed[key] = ParquetFile{
		Model: v.Info.Models[model], Shard: shard, Gen: gen, Name: name, Size: size,
		First: s.First, Rows: s.Rows, Items: f.NumRows(), Totals: sum,
	}
}

func (v *Snapshot) sum() {
	v.Info.ParquetFiles = v.Info.ParquetFiles[:0]
	v.Info.Totals = records.Totals{Models: map[string]records.Tally{}}
	sums := make([]records.Tally, len(v.Info.Models))
	for key, p := range v.Listed {
		v.Info.ParquetFiles = append(v.Info.ParquetFiles, p)
		sums[key.Model].Accumulate(&p.Totals, 1)
	}
	for i, m := range v.Info.Models {
		v.Info.Totals.Models[m] = sums[i]
	}
	slices.SortFunc(v.Info.ParquetFiles, func(a, b ParquetFile) int {
		if c := slices.Index(v.Info.Models, a.Model) - slices.Index(v.Info.Models, b.Model); c != 0 {
			return c
		}
		return a.Shard - b.Shard
	})
}

// openJournal scans the journals of one shard; nil when it has none that
// count. The caller closes it.
func (v *Snapshot) OpenJournal(key Key) (*journal.Index, error) {
	found, err := ListJournals(v.FS, v.Dir, v.Slugs)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	return v.Scan(key, found.Files[key])
}

// generation is that of a shard's journals that count: those of a committed one
// have done their work.
func (v *Snapshot) Generation(key Key) int {
	if p, there := v.Listed[key]; there {
		return p.Gen + 1
	}
	return 1
}

func (v *Snapshot) JournalPath(id JournalID) string {
	return v.Dir.At(JournalDir, JournalName(id.Slug, id.Shard, id.Gen, id.Epoch))
}

func (v *Snapshot) NewJournal(key Key) *journal.Index {
	c := v.Info.Chunks[key.Shard]
	return journal.NewIndex(c.First, c.Rows, v.Info.Epochs)
}

func (v *Snapshot) Scan(key Key, ids []JournalID) (*journal.Index, error) {
	gen := v.Generation(key)
	var j *journal.Index
	for _, id := range ids {
		if id.Gen != gen {
			continue
		}
		name := v.JournalPath(id)
		f, err := v.FS.Open(name, os.O_RDONLY)
		if err == nil && journal.OtherRun(f, v.Info.RunID) != "" {
			f.Close()
			continue
		}
		if err == nil {
			if j == nil {
				j = v.NewJournal(key)
			}
			_, err = j.Scan(f, name)
		}
		if err != nil {
			if j != nil {
				j.Close()
			}
			return nil, err
		}
	}
	return j, nil
}

// A DamageError says that the rows of one shard could not be read to their end.
type DamageError struct {
	Path string
	Err  error
}

func (e *DamageError) Error() string { return e.Path + ": " + e.Err.Error() }

func (e *DamageError) Unwrap() error { return e.Err }

// chosen yields the shards that may hold rows of o, in order.
func (v *Snapshot) Chosen(models []string, from, to int64) iter.Seq[Key] {
	return func(yield func(Key) bool) {
		for i, model := range v.Info.Models {
			if models != nil && !slices.Contains(models, model) {
				continue
			}
			for n, s := range v.Info.Chunks {
				if s.First+s.Rows <= from || to > 0 && s.First >= to {
					continue
				}
				if !yield(Key{i, n}) {
					return
				}
			}
		}
	}
}

// withShard opens what there is of a shard. In a live run it may be committed
// between looking and opening; it is then looked at again, as long as nothing
// of it has been used.
func (v *Snapshot) WithShard(key Key, use func(parquetFile *ParquetFile, j *journal.Index) error) error {
	for try := 0; ; try++ {
		parquetFile, j, err := v.OpenShard(key)
		if errors.Is(err, fs.ErrNotExist) && try < 3 {
			if err := v.readParquetFiles(); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			err = use(parquetFile, j)
			if j != nil {
				j.Close()
			}
		}
		if err != nil {
			return &DamageError{Path: v.ShardPath(key, parquetFile), Err: err}
		}
		return nil
	}
}

func (v *Snapshot) ShardPath(key Key, parquetFile *ParquetFile) string {
	if parquetFile != nil {
		return v.Dir.At(ResultsDir, parquetFile.Name)
	}
	return v.Dir.At(JournalDir, fmt.Sprintf("%s-%06d", v.Slugs[key.Model], key.Shard))
}

func (v *Snapshot) OpenShard(key Key) (*ParquetFile, *journal.Index, error) {
	p, listed := v.Listed[key]
	j, err := v.OpenJournal(key)
	if err != nil {
		return nil, nil, err
	}
	size, _ := v.FS.Size(v.Dir.At(ManifestFile))
	if !listed && j == nil && size != v.size {
		// Not begun, or committed since the manifest was read.
		if err := v.readParquetFiles(); err != nil {
			return nil, nil, err
		}
		p, listed = v.Listed[key]
	}
	if !listed {
		return nil, j, nil
	}
	if _, err := v.FS.Size(v.Dir.At(ResultsDir, p.Name)); err != nil {
		if j != nil {
			j.Close()
		}
		return &p, nil, err
	}
	return &p, j, nil
}

// spent returns the totals of all records and of the attempts that are in no
// record. whole is false when something is damaged, or an attempt has no
// outcome, so that more may have been spent.
func (v *Snapshot) Spent() (sum records.Tally, whole bool, err error) {
	whole = len(v.Damage) == 0
	for _, p := range v.Info.ParquetFiles {
		sum.Accumulate(&p.Totals, 1)
		size, err := v.FS.Size(v.Dir.At(ResultsDir, p.Name))
		whole = whole && err == nil && size == p.Size
	}
	found, err := ListJournals(v.FS, v.Dir, v.Slugs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return sum, false, err
	}
	for _, key := range found.Keys() {
		if key.Shard >= len(v.Info.Chunks) {
			continue
		}
		j, err := v.Scan(key, found.Files[key])
		if err != nil || j == nil {
			whole = whole && err == nil
			continue
		}
		recorded := j.Totals()
		sum.Accumulate(&recorded, 1)
		for _, d := range j.Damage() {
			whole = whole && d.AtTail
		}
		for _, item := range j.Unfinished() {
			h := j.History(item)
			if h == nil {
				continue
			}
			t := records.Spent(append(slices.Clip(h.Attempts()), h.Answered...))
			sum.Accumulate(&t, 1)
			whole = whole && len(h.Intents) == 0
		}
		j.Close()
	}
	return sum, whole, nil
}
