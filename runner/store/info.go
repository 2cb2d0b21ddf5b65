package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/parquetfile"
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
	ParquetFiles []ParquetFile   `json:"-"`      // committed units, by model and unit
	Totals       records.Totals  `json:"totals"` // of the committed units
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

// ReadInfo reads run.json, the units and the manifest. It takes no lock. The
// error is fs.ErrNotExist when dir is no run directory.
func ReadInfo(dir string) (Info, error) {
	v, err := openView(disk.OS{}, dir)
	return v.info, err
}

// view is a run directory as a reader finds it. Files may come and go while
// it is looked at.
type view struct {
	fs     disk.FS
	dir    paths
	info   Info
	slugs  []string
	listed map[shardKey]ParquetFile // by manifest, or by their own word where it lacks them
	damage []journal.Damage         // of the manifest
	size   int64                    // of the manifest when it was read
}

func openView(fsys disk.FS, dir string) (*view, error) {
	v := &view{fs: fsys, dir: paths(dir)}
	b, err := disk.ReadAll(fsys, v.dir.at(runFile))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s is not a run directory: %w", dir, err)
		}
		return v, err
	}
	var doc document
	if err := json.Unmarshal(b, &doc); err != nil {
		return v, fmt.Errorf("%s: %w", v.dir.at(runFile), err)
	}
	if doc.Format != formatVersion {
		return v, fmt.Errorf("%s: format %d, this program knows %d", v.dir.at(runFile), doc.Format, formatVersion)
	}
	v.info = Info{
		Dir: dir, RunID: doc.RunID, Name: doc.Name, State: doc.State, CreatedAt: doc.CreatedAt, UpdatedAt: doc.UpdatedAt,
		Tool: doc.Tool, PriceTable: doc.PriceTable, PlanHash: doc.PlanHash, Plan: doc.Plan,
		DatasetHash: doc.DatasetHash, DatasetRows: doc.DatasetRows, DatasetSize: doc.DatasetSize, Extensions: doc.Extensions, Models: doc.Models, Epochs: doc.Epochs, Starts: doc.Starts,
	}
	v.slugs = slugs(doc.Models)
	if v.info.Chunks, err = readChunks(fsys, v.dir, doc.Shards); err != nil {
		return v, fmt.Errorf("%s: %w", v.dir.at(shardsFile), err)
	}
	return v, v.readParquetFiles()
}

// readParquetFiles takes the manifest's word for the parts it lists, and the parts'
// own for the others.
func (v *view) readParquetFiles() error {
	v.size, _ = v.fs.Size(v.dir.at(manifestFile)) // 0 when there is none
	m, err := readManifest(v.fs, v.dir)
	if err != nil {
		return err
	}
	v.damage = m.damage
	v.listed = map[shardKey]ParquetFile{}
	for _, p := range m.parquetFiles {
		model := slices.Index(v.info.Models, p.Model)
		if model >= 0 && p.Shard >= 0 && p.Shard < len(v.info.Chunks) {
			v.listed[shardKey{model, p.Shard}] = p
		}
	}
	names, err := v.fs.List(v.dir.at(resultsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range names {
		v.addUnlisted(name)
	}
	v.sum()
	return nil
}

// addUnlisted takes in a part that the manifest lacks, when it says of itself
// that it belongs here.
func (v *view) addUnlisted(name string) {
	slug, shard, gen, ok := parseParquetFileName(name)
	model := slices.Index(v.slugs, slug)
	if !ok || model < 0 || shard >= len(v.info.Chunks) {
		return
	}
	key := shardKey{model, shard}
	if old, there := v.listed[key]; there && old.Gen >= gen {
		return
	}
	f, err := parquetfile.Open(v.fs, v.dir.at(resultsDir, name))
	if err != nil {
		return
	}
	defer f.Close()
	s := v.info.Chunks[shard]
	m, err := f.Meta()
	if err != nil || m.RunID != v.info.RunID || f.NumRows() != s.items(v.info.Epochs) {
		return
	}
	var sum records.Tally
	for c, err := range parquetfile.Read[records.Columns](f) {
		if err != nil {
			return
		}
		sum.Count(&c)
	}
	size, _ := v.fs.Size(v.dir.at(resultsDir, name))
	v.listed[key] = ParquetFile{
		Model: v.info.Models[model], Shard: shard, Gen: gen, Name: name, Size: size,
		First: s.First, Rows: s.Rows, Items: f.NumRows(), Totals: sum,
	}
}

func (v *view) sum() {
	v.info.ParquetFiles = v.info.ParquetFiles[:0]
	v.info.Totals = records.Totals{Models: map[string]records.Tally{}}
	sums := make([]records.Tally, len(v.info.Models))
	for key, p := range v.listed {
		v.info.ParquetFiles = append(v.info.ParquetFiles, p)
		sums[key.model].Accumulate(&p.Totals, 1)
	}
	for i, m := range v.info.Models {
		v.info.Totals.Models[m] = sums[i]
	}
	slices.SortFunc(v.info.ParquetFiles, func(a, b ParquetFile) int {
		if c := slices.Index(v.info.Models, a.Model) - slices.Index(v.info.Models, b.Model); c != 0 {
			return c
		}
		return a.Shard - b.Shard
	})
}

// openJournal scans the journals of one unit; nil when it has none that
// count. The caller closes it.
func (v *view) openJournal(key shardKey) (*journal.Index, error) {
	found, err := listJournals(v.fs, v.dir, v.slugs)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	return v.scan(key, found.files[key])
}

// generation is that of a unit's journals that count: those of a committed one
// have done their work.
func (v *view) generation(key shardKey) int {
	if p, there := v.listed[key]; there {
		return p.Gen + 1
	}
	return 1
}

func (v *view) journalPath(id journalID) string {
	return v.dir.at(journalDir, journalName(id.slug, id.shard, id.gen, id.epoch))
}

func (v *view) newJournal(key shardKey) *journal.Index {
	c := v.info.Chunks[key.shard]
	return journal.NewIndex(c.First, c.Rows, v.info.Epochs)
}

func (v *view) scan(key shardKey, ids []journalID) (*journal.Index, error) {
	gen := v.generation(key)
	var j *journal.Index
	for _, id := range ids {
		if id.gen != gen {
			continue
		}
		name := v.journalPath(id)
		f, err := v.fs.Open(name, os.O_RDONLY)
		if err == nil && journal.OtherRun(f, v.info.RunID) != "" {
			f.Close()
			continue
		}
		if err == nil {
			if j == nil {
				j = v.newJournal(key)
			}
			err = j.Scan(f, name)
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

// StatusInfo is where a run stands.
type StatusInfo struct {
	Info
	Live bool   `json:"live"` // a process works on it
	PID  int    `json:"pid,omitempty"`
	Host string `json:"host,omitempty"`

	Items      int64 `json:"items"`     // of the whole run
	Done       int64 `json:"done"`      // on record
	Failed     int64 `json:"failed"`    // of them, failed or unknown
	InFlight   int64 `json:"in_flight"` // live: attempts without an outcome yet
	Committed  int   `json:"committed_units"`
	OpenShards int   `json:"open_units"`

	All       records.Totals     `json:"all"`              // parts and journals
	Unsettled records.Tally      `json:"unsettled"`        // spent on rows without a record
	Spent     nightshift.NanoUSD `json:"spent_nano_usd"`   // known costs, rows without a record included
	AtMost    nightshift.NanoUSD `json:"at_most_nano_usd"` // with the worst case of what is not known

	Unknown []Unknown `json:"unknown,omitempty"` // stopped: attempts that may have been billed
	Damage  []string  `json:"damage,omitempty"`

	LastWrite time.Time     `json:"last_write"`
	PerHour   float64       `json:"items_per_hour,omitempty"` // live: lately; else in the last start; 0 when not known
	TimeLeft  time.Duration `json:"time_left_ns,omitempty"`   // live only: of the slowest model; 0 when not known
	Pace      []ModelPace   `json:"pace,omitempty"`           // live only, where the process says it
}

// Status looks at a live, stopped or damaged run. It takes no lock and
// changes nothing. Damage is listed, not an error.
func Status(dir string) (StatusInfo, error) { return status(disk.OS{}, dir) }

func status(fsys disk.FS, dir string) (StatusInfo, error) {
	return statusBy(fsys, dir, nil, func(v *view, st *StatusInfo) error { return st.addJournals(v) })
}

// statusBy looks at a run; journals adds what those of open units hold, where p
// does not say it.
func statusBy(fsys disk.FS, dir string, p *Progress, journals func(*view, *StatusInfo) error) (StatusInfo, error) {
	v, err := openView(fsys, dir)
	st := StatusInfo{Info: v.info}
	if err != nil {
		return st, err
	}
	st.Live, err = fsys.Locked(v.dir.at(lockName))
	if err != nil {
		st.note("lock: %v", err)
	}
	if st.Live {
		h := readHolder(fsys, v.dir)
		st.PID, st.Host = h.PID, h.Host
	}
	if len(v.damage) > 0 {
		st.note("%s is damaged in %d places; it is repaired at the next start", manifestFile, len(v.damage))
	}
	st.Items = st.Info.Items()
	st.Committed = len(v.info.ParquetFiles)
	st.All = v.info.Totals.Add(records.Totals{}) // a copy: Info.Totals is of the committed units
	st.addParquetFiles(v)
	if now := time.Now(); p.standsFor(&st, now) {
		st.take(p)
	} else if err := journals(v, &st); err != nil {
		return st, err
	}
	st.sum(time.Now())
	return st, nil
}

func (st *StatusInfo) note(format string, args ...any) {
	st.Damage = append(st.Damage, fmt.Sprintf(format, args...))
}

func (st *StatusInfo) addParquetFiles(v *view) {
	for _, p := range v.info.ParquetFiles {
		size, err := v.fs.Size(v.dir.at(resultsDir, p.Name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			st.note("%s is missing: %d rows", v.dir.at(resultsDir, p.Name), p.Items)
		case err != nil:
			st.note("%v", err)
		case size != p.Size:
			st.note("%s has %d bytes, the manifest says %d", v.dir.at(resultsDir, p.Name), size, p.Size)
		}
		if p.CommittedAt.After(st.LastWrite) {
			st.LastWrite = p.CommittedAt
		}
	}
}

func (st *StatusInfo) addJournals(v *view) error {
	found, err := listJournals(v.fs, v.dir, v.slugs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, key := range found.keys() {
		if key.shard >= len(v.info.Chunks) {
			continue
		}
		j, err := v.scan(key, found.files[key])
		if errors.Is(err, fs.ErrNotExist) {
			continue // committed while we looked
		}
		if err != nil {
			st.note("%v", err)
			continue
		}
		if j != nil {
			st.OpenShards++
			st.addJournal(v, key, j)
			j.Close()
		}
	}
	return nil
}

func (st *StatusInfo) addJournal(v *view, key shardKey, j *journal.Index) {
	model := v.info.Models[key.model]
	t := st.All.Models[model].Add(j.Tally)
	if base, there := v.listed[key]; there {
		st.dropReplaced(v, base, j, &t)
	}
	st.All.Models[model] = t
	if j.Last.After(st.LastWrite) {
		st.LastWrite = j.Last
	}
	for i, d := range j.Damage {
		if !d.AtTail { // a tail is a record that was being written
			st.note("%s: byte %d: %s", j.Names[d.File], d.Off, d.Why)
		}
		if i == 20 {
			st.note("… and %d more", len(j.Damage)-i)
			break
		}
	}
	st.addAttemptHistories(model, key.shard, j)
}

// dropReplaced takes the rows of the old part that have a newer record out of
// the sums.
func (st *StatusInfo) dropReplaced(v *view, base ParquetFile, j *journal.Index, t *records.Tally) {
	f, err := parquetfile.Open(v.fs, v.dir.at(resultsDir, base.Name))
	if err != nil {
		return // noted with the parts
	}
	defer f.Close()
	for c, err := range parquetfile.Read[records.Columns](f) {
		if err != nil {
			st.note("%s: %v", base.Name, err)
			return
		}
		if item, ok := j.Item(c.Row, int(c.Epoch)); ok && j.At[item].Len > 0 {
			old := c.Tally()
			t.Accumulate(&old, -1)
		}
	}
}

func (st *StatusInfo) addAttemptHistories(model string, shard int, j *journal.Index) {
	items := make([]int64, 0, len(j.Open))
	for item := range j.Open {
		items = append(items, item)
	}
	slices.Sort(items)
	for _, item := range items {
		if _, failed := j.Redo[item]; j.At[item].Len > 0 && !failed {
			continue
		}
		tr := j.Open[item]
		t := records.Spent(append(slices.Clip(tr.Attempts()), tr.Answered...))
		st.Unsettled.Accumulate(&t, 1)
		row, epoch := j.RowOf(item)
		for _, in := range tr.Intents {
			if st.inFlight(in.At) {
				st.InFlight++
				continue
			}
			st.Unknown = append(st.Unknown, Unknown{
				Model: model, Shard: shard, Row: row, Epoch: epoch, Attempt: in.Attempt, At: in.At,
				WorstTokens: in.WorstTokens, WorstCost: in.WorstCost,
			})
		}
	}
}

// inFlight reports whether an intent of this time is the running process's.
func (st *StatusInfo) inFlight(at time.Time) bool {
	n := len(st.Starts)
	return st.Live && n > 0 && !at.Before(st.Starts[n-1].At)
}

// sum derives the figures that a person asks for.
func (st *StatusInfo) sum(now time.Time) {
	all := st.All.Sum()
	st.Done, st.Failed = all.Rows, all.Failed()
	st.Spent = all.Cost + st.Unsettled.Cost
	st.AtMost = st.Spent + all.MaybeCost + st.Unsettled.MaybeCost
	if len(st.Starts) == 0 {
		return
	}
	last := st.Starts[len(st.Starts)-1]
	end := st.LastWrite
	if st.Live {
		end = now
	}
	if len(st.Pace) > 0 {
		st.sumPace()
		return
	}
	took, done := end.Sub(last.At), st.Done-last.Done
	if took <= 0 || done <= 0 {
		return
	}
	st.PerHour = float64(done) / took.Hours()
	if st.Live && len(st.Models) == 1 { // of several the mean says nothing about the slowest
		st.TimeLeft = time.Duration(float64(st.Items-st.Done) / float64(done) * float64(took))
	}
}

// sumPace is the rate of all models, and the time that the slowest takes.
func (st *StatusInfo) sumPace() {
	known := true
	for _, p := range st.Pace {
		st.PerHour += p.PerHour
		if p.TimeLeft == nil {
			known = false
			continue
		}
		st.TimeLeft = max(st.TimeLeft, *p.TimeLeft)
	}
	if !known {
		st.TimeLeft = 0
	}
}
