package view

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/parquetfile"
)

// A Problem is something that verify found.
type Problem struct {
	Path string `json:"path"`
	What string `json:"what"`
	// Harmless is set for what a start of the run repairs by itself, or what
	// a power failure leaves behind.
	Harmless bool `json:"harmless,omitempty"`
}

func (p Problem) String() string { return p.Path + ": " + p.What }

// A VerifyReport says what was looked at and what is wrong with it.
type VerifyReport struct {
	Deep         bool      `json:"deep"`
	ParquetFiles int       `json:"parts"`
	Bytes        int64     `json:"bytes"`         // of Parquet files, hashed
	Journals     int       `json:"journal_units"` // shards with a journal
	Batches      int       `json:"batches,omitempty"`
	Items        int64     `json:"items"`    // of the whole run
	Recorded     int64     `json:"recorded"` // with a record
	Decoded      int64     `json:"decoded"`  // records read to their last value
	Problems     []Problem `json:"problems,omitempty"`
	MoreFound    int       `json:"more_problems,omitempty"` // beyond the first thousand
}

// OK reports whether nothing is wrong.
func (r VerifyReport) OK() bool {
	for _, p := range r.Problems {
		if !p.Harmless {
			return false
		}
	}
	return r.MoreFound == 0
}

const mostProblems = 1000

func (r *VerifyReport) note(harmless bool, path, format string, args ...any) {
	if len(r.Problems) >= mostProblems {
		r.MoreFound++
		return
	}
	r.Problems = append(r.Problems, Problem{Path: path, What: fmt.Sprintf(format, args...), Harmless: harmless})
}

// A Check looks at one record in a deep verification: whether text and usage
// follow from the raw response, say.
type Check func(*nightshift.Record) error

// Verify checks a run and changes nothing: checksums of manifest and shards,
// size, SHA-256 and footer of every Parquet file, that every item is in one place,
// that the sums of the manifest are those of the Parquet files, and that the log
// of batches and their files agree. Deep also decodes
// every value of every record, and hands it to the checks. The error is
// about what prevents looking; what is found is in the report.
func Verify(dir string, deep bool, checks ...Check) (VerifyReport, error) {
	return VerifyOn(disk.OS{}, dir, deep, checks)
}

func VerifyOn(fsys disk.FS, dir string, deep bool, checks []Check) (VerifyReport, error) {
	rep := VerifyReport{Deep: deep}
	v, err := rundir.Read(fsys, dir)
	if err != nil {
		return rep, err
	}
	rep.Items = v.Info.Items()
	for _, d := range v.Damage {
		rep.note(false, v.Dir.At(rundir.ManifestFile), "byte %d: %s (%d bytes)", d.Off, d.Why, len(d.Bytes))
	}
	if err := rep.listed(v); err != nil {
		return rep, err
	}
	if err := rep.batches(v); err != nil {
		return rep, err
	}
	for key := range v.Chosen(nil, 0, 0) {
		if p, there := v.Listed[key]; there {
			rep.parquetFile(v, key, p, checks)
		}
		rep.journal(v, key, checks)
	}
	return rep, nil
}

// listed compares the manifest with the results directory.
func (r *VerifyReport) listed(v *rundir.Snapshot) error {
	m, err := rundir.ReadManifest(v.FS, v.Dir)
	if err != nil {
		return err
	}
	if m.RunID != "" && m.RunID != v.Info.RunID {
		r.note(false, v.Dir.At(rundir.ManifestFile), "belongs to run %s, not %s", m.RunID, v.Info.RunID)
	}
	known := map[string]bool{}
	for _, p := range m.ParquetFiles {
		known[p.Name] = true
	}
	names, err := v.FS.List(v.Dir.At(rundir.ResultsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ours := map[string]bool{}
	for _, p := range v.Info.ParquetFiles {
		ours[p.Name] = true
	}
	for _, name := range names {
		switch path := v.Dir.At(rundir.ResultsDir, name); {
		case known[name]:
		case replaced(v, name):
			r.note(true, path, "was replaced by a newer generation; the next start sets it aside")
		case ours[name]:
			r.note(true, path, "is whole and not in the manifest; the next start enters it")
		default:
			r.note(false, path, "is not a part of this run, or not whole")
		}
	}
	return nil
}

// replaced reports whether a file is an older generation of a listed Parquet file.
func replaced(v *rundir.Snapshot, name string) bool {
	slug, shard, gen, ok := rundir.ParseParquetFileName(name)
	p, listed := v.Listed[rundir.Key{Model: slices.Index(v.Slugs, slug), Shard: shard}]
	return ok && listed && gen < p.Gen
}

// parquetFile checks one Parquet file against the manifest and against itself.
func (r *VerifyReport) parquetFile(v *rundir.Snapshot, key rundir.Key, p rundir.ParquetFile, checks []Check) {
	path := v.Dir.At(rundir.ResultsDir, p.Name)
	size, sum, err := parquetfile.Hash(v.FS, path)
	if err != nil {
		r.note(false, path, "%v", err)
		return
	}
	r.ParquetFiles++
	r.Bytes += size
	switch {
	case size != p.Size:
		r.note(false, path, "has %d bytes, the manifest says %d", size, p.Size)
	case p.SHA256 != "" && sum != p.SHA256:
		r.note(false, path, "SHA-256 is %s, the manifest says %s", sum, p.SHA256)
	}
	if err := r.content(v, key, p, path, checks); err != nil {
		r.note(false, path, "%v", err)
	}
}

func (r *VerifyReport) content(v *rundir.Snapshot, key rundir.Key, p rundir.ParquetFile, path string,
	checks []Check) error {
	f, err := parquetfile.Open(v.FS, path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := v.Info.Chunks[key.Shard]
	want := parquetfile.Meta{
		RunID: v.Info.RunID, Run: v.Info.Name, Model: v.Info.Models[key.Model], Shard: key.Shard, Gen: p.Gen,
		First: s.First, Rows: s.Rows, Skipped: s.Skipped, Epochs: v.Info.Epochs,
		DatasetHash: rundir.DatasetHash(key.Shard, v.Info.Extensions,
			v.Info.DatasetHash), ChunkHash: rundir.HashText(s.Hash), PlanHash: v.Info.PlanHash,
	}
	if err := f.Fits(want); err != nil {
		return err
	}
	if p.SHA256 == "" { // not in the manifest, so nothing else vouches for its bytes
		if err := f.CheckData(); err != nil {
			return err
		}
	}
	var sum records.Tally
	if r.Deep {
		sum, err = f.Check(want, func(rec *nightshift.Record) { r.check(path, rec, want.Model, checks) })
	} else {
		sum, err = f.CheckItems(want)
	}
	r.Recorded += sum.Rows
	if err != nil {
		return err
	}
	if !sameTally(sum, p.Totals) {
		return fmt.Errorf("its sums are %s, the manifest says %s", tallyText(sum), tallyText(p.Totals))
	}
	return nil
}

// check decodes one record and asks the checks about it.
func (r *VerifyReport) check(path string, rec *nightshift.Record, model string, checks []Check) {
	r.Decoded++
	if rec.Model != model {
		r.note(false, path, "row %d epoch %d is of model %q", rec.Row, rec.Epoch, rec.Model)
	}
	for _, c := range []struct {
		name string
		json *string
	}{{"attempt_log", rec.AttemptLog}, {"tool_calls", rec.ToolCalls}, {"choices", rec.Choices}} {
		if c.json != nil && !json.Valid([]byte(*c.json)) {
			r.note(false, path, "row %d epoch %d: %s is not JSON", rec.Row, rec.Epoch, c.name)
		}
	}
	for _, check := range checks {
		if err := check(rec); err != nil {
			r.note(false, path, "row %d epoch %d: %v", rec.Row, rec.Epoch, err)
		}
	}
}

// journal checks the journals of one shard that is not committed.
func (r *VerifyReport) journal(v *rundir.Snapshot, key rundir.Key, checks []Check) {
	j, err := v.OpenJournal(key)
	if err != nil {
		r.note(false, v.ShardPath(key, nil), "%v", err)
	}
	if j == nil {
		return
	}
	defer j.Close()
	r.Journals++
	for _, d := range j.Damage() {
		r.note(d.AtTail, d.Path, "byte %d: %s (%d bytes)", d.Off, d.Why, len(d.Bytes))
	}
	if n := j.Duplicates(); n > 0 {
		r.note(true, v.ShardPath(key, nil), "%d answers are there twice and were paid for twice", n)
	}
	_, based := v.Listed[key]
	for item := range j.Items() {
		if !j.Has(item) {
			continue
		}
		if !based {
			r.Recorded++
		}
		if !r.Deep {
			continue
		}
		rec, err := j.Record(item)
		if err != nil {
			r.note(false, j.PathOf(item), "%v", err)
			continue
		}
		r.check(j.PathOf(item), rec, v.Info.Models[key.Model], checks)
	}
}

// sameTally compares what Parquet files add up to with what the manifest says. An
// older manifest does not say what was taken over from other runs.
func sameTally(a, b records.Tally) bool {
	if b.Reused == 0 {
		a.Reused, a.ReusedCost = 0, 0
	}
	for _, t := range []*records.Tally{&a, &b} {
		if len(t.Outcomes) == 0 {
			t.Outcomes = nil
		}
		if len(t.StopReasons) == 0 {
			t.StopReasons = nil
		}
	}
	return reflect.DeepEqual(a, b)
}

func tallyText(t records.Tally) string {
	b, err := json.Marshal(t)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
