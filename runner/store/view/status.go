package view

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/batchlog"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/parquetfile"
)

// StatusInfo is where a run stands.
type StatusInfo struct {
	rundir.Info
	Live bool   `json:"live"` // a process works on it
	PID  int    `json:"pid,omitempty"`
	Host string `json:"host,omitempty"`

	Items      int64 `json:"items"`     // of the whole run
	Done       int64 `json:"done"`      // on record
	Failed     int64 `json:"failed"`    // of them, failed or unknown
	InFlight   int64 `json:"in_flight"` // live: attempts without an outcome yet
	Committed  int   `json:"committed_units"`
	OpenShards int   `json:"open_units"`

	late LateAnswers

	All       records.Totals     `json:"all"`              // Parquet files and journals
	Unsettled records.Tally      `json:"unsettled"`        // spent on rows without a record
	Spent     nightshift.NanoUSD `json:"spent_nano_usd"`   // known costs, rows without a record included
	AtMost    nightshift.NanoUSD `json:"at_most_nano_usd"` // with the worst case of what is not known

	Batches []ModelBatches   `json:"batches,omitempty"` // of models that have any, in the order of the plan
	Unknown []rundir.Unknown `json:"unknown,omitempty"` // stopped: attempts that may have been billed
	Damage  []string         `json:"damage,omitempty"`

	LastWrite time.Time `json:"last_write"`
	// live: lately; else in the last start; 0 when not known
	PerHour  float64            `json:"items_per_hour,omitempty"`
	TimeLeft time.Duration      `json:"time_left_ns,omitempty"` // live only: of the slowest model; 0 when not known
	Pace     []rundir.ModelPace `json:"pace,omitempty"`         // live only, where the process says it
}

// Status looks at a live, stopped or damaged run. It takes no lock and
// changes nothing. Damage is listed, not an error.
func Status(dir string) (StatusInfo, error) { return statusOn(disk.OS{}, dir) }

func statusOn(fsys disk.FS, dir string) (StatusInfo, error) {
	return statusBy(fsys, dir, nil, func(v *rundir.Snapshot, st *StatusInfo) error { return st.addJournals(v) },
		readBatches)
}

// statusBy looks at a run; journals adds what those of open shards hold, where p
// does not say it, and batches reads the log of batches.
func statusBy(fsys disk.FS, dir string, p *rundir.Progress, journals func(*rundir.Snapshot, *StatusInfo) error,
	batches func(*rundir.Snapshot) (*batchlog.Content, error)) (StatusInfo, error) {
	v, err := rundir.Read(fsys, dir)
	st := StatusInfo{Info: v.Info}
	if err != nil {
		return st, err
	}
	st.Live, err = fsys.Locked(v.Dir.At(rundir.LockName))
	if err != nil {
		st.note("lock: %v", err)
	}
	if st.Live {
		h := rundir.ReadHolder(fsys, v.Dir)
		st.PID, st.Host = h.PID, h.Host
	}
	if len(v.Damage) > 0 {
		st.note("%s is damaged in %d places; it is repaired at the next start", rundir.ManifestFile, len(v.Damage))
	}
	st.Items = st.Info.Items()
	st.Committed = len(v.Info.ParquetFiles)
	st.All = v.Info.Totals.Add(records.Totals{}) // a copy: Info.Totals is of the committed shards
	st.addParquetFiles(v)
	counted := standsFor(p, &st, time.Now())
	if counted {
		st.take(p)
	} else if err := journals(v, &st); err != nil {
		return st, err
	}
	log, err := batches(v)
	if err != nil {
		return st, err
	}
	st.addBatches(v, log, counted)
	open, settled, err := rundir.ReadLate(v.FS, v.Dir)
	if err != nil {
		return st, err
	}
	st.late = LateAnswers{open, settled}
	st.sum(time.Now())
	return st, nil
}

func (st *StatusInfo) note(format string, args ...any) {
	st.Damage = append(st.Damage, fmt.Sprintf(format, args...))
}

func (st *StatusInfo) addParquetFiles(v *rundir.Snapshot) {
	for _, p := range v.Info.ParquetFiles {
		size, err := v.FS.Size(v.Dir.At(rundir.ResultsDir, p.Name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			st.note("%s is missing: %d rows", v.Dir.At(rundir.ResultsDir, p.Name), p.Items)
		case err != nil:
			st.note("%v", err)
		case size != p.Size:
			st.note("%s has %d bytes, the manifest says %d", v.Dir.At(rundir.ResultsDir, p.Name), size, p.Size)
		}
		if p.CommittedAt.After(st.LastWrite) {
			st.LastWrite = p.CommittedAt
		}
	}
}

func (st *StatusInfo) addJournals(v *rundir.Snapshot) error {
	found, err := rundir.ListJournals(v.FS, v.Dir, v.Slugs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, key := range found.Keys() {
		if key.Shard >= len(v.Info.Chunks) {
			continue
		}
		j, err := v.Scan(key, found.Files[key])
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

func (st *StatusInfo) addJournal(v *rundir.Snapshot, key rundir.Key, j *journal.Index) {
	model := v.Info.Models[key.Model]
	t := st.All.Models[model].Add(j.Totals())
	if base, there := v.Listed[key]; there {
		st.dropReplaced(v, base, j, &t)
	}
	st.All.Models[model] = t
	if j.LastWrite().After(st.LastWrite) {
		st.LastWrite = j.LastWrite()
	}
	for i, d := range j.Damage() {
		if !d.AtTail { // a tail is a record that was being written
			st.note("%s: byte %d: %s", d.Path, d.Off, d.Why)
		}
		if i == 20 {
			st.note("… and %d more", len(j.Damage())-i)
			break
		}
	}
	st.addAttemptHistories(model, key.Shard, j)
}

// dropReplaced takes the rows of the old Parquet file that have a newer record out of
// the sums.
func (st *StatusInfo) dropReplaced(v *rundir.Snapshot, base rundir.ParquetFile, j *journal.Index, t *records.Tally) {
	f, err := parquetfile.Open(v.FS, v.Dir.At(rundir.ResultsDir, base.Name))
	if err != nil {
		return // noted with the Parquet files
	}
	defer f.Close()
	for c, err := range parquetfile.Read[records.Columns](f) {
		if err != nil {
			st.note("%s: %v", base.Name, err)
			return
		}
		if item, ok := j.Item(c.Row, int(c.Epoch)); ok && j.Has(item) {
			old := c.Tally()
			t.Accumulate(&old, -1)
		}
	}
}

func (st *StatusInfo) addAttemptHistories(model string, shard int, j *journal.Index) {
	for _, item := range j.Unfinished() {
		tr := j.History(item)
		if _, failed := j.Failed(item); tr == nil || j.Has(item) && !failed {
			continue
		}
		t := records.Spent(append(slices.Clip(tr.Attempts()), tr.Answered...))
		st.Unsettled.Accumulate(&t, 1)
		row, epoch := j.RowOf(item)
		for _, in := range tr.Intents {
			if st.inFlight(in.At) {
				st.InFlight++
				continue
			}
			st.Unknown = append(st.Unknown, rundir.Unknown{
				Model: model, Shard: shard, Row: row, Epoch: epoch, Attempt: in.Attempt, At: in.At,
				WorstTokens: in.WorstTokens, WorstCost: in.WorstCost, Job: in.Job,
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
	cost, most := st.late.difference()
	st.Spent, st.AtMost = st.Spent+cost, st.AtMost+most
	for _, m := range st.Batches {
		st.AtMost += m.Reserved
	}
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
