package view

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/batchlog"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/parquetfile"
)

// ModelBatches is where the batches of one model stand, by the files alone.
type ModelBatches struct {
	Model   string `json:"model"`
	Batches int    `json:"batches"` // all that were planned and not dropped

	Waiting   int `json:"waiting"`           // not created yet
	Lost      int `json:"lost,omitempty"`    // the create call was not answered: they are looked for
	Away      int `json:"away"`              // at the provider
	Ended     int `json:"ended"`             // have ended there, and are not collected
	Collected int `json:"collected"`         // their answers are on record
	Suspect   int `json:"suspect,omitempty"` // of those lost: something at the provider may be them

	RowsWaiting  int64 `json:"rows_waiting"`
	RowsAway     int64 `json:"rows_away"`      // that may be paid for and are not collected
	RowsDone     int64 `json:"rows_done_away"` // of them, finished by the provider's count, which may be late
	RowsRecorded int64 `json:"rows_recorded"`  // that batches have brought home, failed ones included
	RowsAgain    int64 `json:"rows_again"`     // that had to go again

	// What the rows that are away can take at most, and what those that came
	// home have cost; answers beyond the first of a row included.
	ReservedTokens int64              `json:"reserved_tokens"`
	Reserved       nightshift.NanoUSD `json:"reserved_nano_usd"`
	Unpriced       int                `json:"unpriced,omitempty"` // batches away whose price is not known
	Spent          nightshift.NanoUSD `json:"spent_nano_usd"`
	CostUnknown    int64              `json:"cost_unknown,omitempty"`
	Extras         int64              `json:"extras,omitempty"`
	ExtraCost      nightshift.NanoUSD `json:"extra_cost_nano_usd,omitempty"`

	// FirstExpiry is when the provider ends the oldest of those that are away,
	// and ResultsVanish when it deletes the first results that are not fetched.
	FirstExpiry   *time.Time `json:"first_expiry,omitempty"`
	ResultsVanish *time.Time `json:"results_vanish,omitempty"`
	Vanishing     int        `json:"vanishing,omitempty"` // whose results are deleted within a week
}

// vanishWarning is how long before results are deleted that is said.
const vanishWarning = 7 * 24 * time.Hour

// A Batch is rows of one shard that travel together to a provider.
type Batch = batchlog.Batch

// Batches returns all batches of a run, by number; none when it has no log of
// them. What is damaged in the log is passed over: see [Verify].
func Batches(dir string) ([]Batch, error) {
	c, err := batchlog.Read(disk.OS{}, rundir.Dir(dir).At(rundir.BatchLogFile))
	if err != nil {
		return nil, err
	}
	var list []Batch
	for _, b := range c.List() {
		list = append(list, *b)
	}
	return list, nil
}

func readBatches(v *rundir.Snapshot) (*batchlog.Content, error) {
	return batchlog.Read(v.FS, v.Dir.At(rundir.BatchLogFile))
}

// addBatches adds what the log of batches says. Answers beyond the first of a
// row are in no record: what they cost is added where no process has counted it.
func (st *StatusInfo) addBatches(v *rundir.Snapshot, c *batchlog.Content, counted bool) {
	for _, d := range c.Damage {
		if !d.AtTail {
			st.note("%s: byte %d: %s", d.Path, d.Off, d.Why)
		}
	}
	if len(c.Lost) > 0 {
		st.note("%s does not say any more which rows batch %d has; a start refuses", v.Dir.At(rundir.BatchLogFile), c.Lost[0])
	}
	now := time.Now()
	for _, b := range c.List() {
		if !counted {
			t := batchlog.Extras(b.Sums)
			st.Unsettled.Accumulate(&t, 1)
		}
		if b.LastAt.After(st.LastWrite) {
			st.LastWrite = b.LastAt
		}
		if b.Stage != batchlog.Closed || b.Creates > 0 {
			st.modelBatches(v, b.Model).add(b, now)
		}
	}
}

// modelBatches returns the entry of a model, in the order of the plan.
func (st *StatusInfo) modelBatches(v *rundir.Snapshot, model string) *ModelBatches {
	place := func(m ModelBatches) int { return slices.Index(v.Info.Models, m.Model) }
	want := slices.Index(v.Info.Models, model)
	i, there := slices.BinarySearchFunc(st.Batches, want, func(m ModelBatches, n int) int { return place(m) - n })
	if !there {
		st.Batches = slices.Insert(st.Batches, i, ModelBatches{Model: model})
	}
	return &st.Batches[i]
}

func (m *ModelBatches) add(b *Batch, now time.Time) {
	m.Batches++
	switch b.Stage {
	case batchlog.Planned, batchlog.Uploaded:
		m.Waiting++
		m.RowsWaiting += b.Rows
	case batchlog.Creating:
		m.Lost++
		if len(b.Suspects) > 0 {
			m.Suspect++
		}
	case batchlog.Created:
		m.Away++
	case batchlog.Ended, batchlog.Fetched:
		m.Ended++
	default:
		m.Collected++
	}
	m.RowsRecorded += b.Sums.Answers + b.Sums.Failed
	m.RowsAgain += b.Sums.Again
	m.Spent += b.Sums.Cost + b.Sums.ExtraCost
	m.CostUnknown += b.Sums.CostUnknown
	m.Extras += b.Sums.Extras
	m.ExtraCost += b.Sums.ExtraCost
	if !b.Away() {
		return
	}
	m.RowsAway += b.Rows
	m.RowsDone += min(b.Rows, max(0, b.Lead().Counts.Completed.N()+b.Lead().Counts.Failed.N()))
	m.ReservedTokens += b.WorstTokens
	m.Reserved += b.WorstCost
	if b.WorstCost == 0 && b.WorstTokens > 0 {
		m.Unpriced++
	}
	m.FirstExpiry = earlier(m.FirstExpiry, b.ExpiresAt())
	vanish := b.ResultsVanish()
	m.ResultsVanish = earlier(m.ResultsVanish, vanish)
	if !vanish.IsZero() && vanish.Sub(now) < vanishWarning {
		m.Vanishing++
	}
}

func earlier(t *time.Time, u time.Time) *time.Time {
	if u.IsZero() || t != nil && t.Before(u) {
		return t
	}
	return &u
}

// batches checks the log of batches and the files that it speaks of.
func (r *VerifyReport) batches(v *rundir.Snapshot) error {
	path := v.Dir.At(rundir.BatchLogFile)
	c, err := batchlog.Read(v.FS, path)
	if err != nil {
		return err
	}
	for _, d := range c.Damage {
		r.note(d.AtTail, path, "byte %d: %s (%d bytes)", d.Off, d.Why, len(d.Bytes))
	}
	if c.RunID != "" && c.RunID != v.Info.RunID {
		r.note(false, path, "belongs to run %s, not %s", c.RunID, v.Info.RunID)
	}
	for _, n := range c.Lost {
		r.note(false, path, "does not say any more which rows batch %d has", n)
	}
	needed := map[string]bool{}
	holders := map[rundir.Key][]*Batch{}
	for _, b := range c.List() {
		r.Batches++
		key := rundir.Key{Model: slices.Index(v.Info.Models, b.Model), Shard: b.Shard}
		if key.Model < 0 || b.Shard >= len(v.Info.Chunks) {
			r.note(false, path, "batch %d is of shard %d of model %q, which the run does not have", b.N, b.Shard, b.Model)
			continue
		}
		if b.Holds() {
			r.alone(path, b, holders[key])
			holders[key] = append(holders[key], b)
		}
		r.batchFiles(v, b, needed)
	}
	return r.strayBatchFiles(v, needed)
}

// alone checks that no other batch has rows of b.
func (r *VerifyReport) alone(path string, b *Batch, others []*Batch) {
	for _, o := range others {
		for item := range b.Items.All() {
			if o.Items.Has(item) {
				r.note(false, path, "item %d of shard %d is in batch %d and in batch %d", item, b.Shard, o.N, b.N)
				return
			}
		}
	}
}

// batchFiles checks the files that a batch still needs.
func (r *VerifyReport) batchFiles(v *rundir.Snapshot, b *Batch, needed map[string]bool) {
	if b.Stage == batchlog.Closed {
		return
	}
	input := rundir.BatchInputName(b.N)
	needed[input] = true
	for _, f := range b.Results {
		needed[f.Name] = true
	}
	switch b.Stage {
	case batchlog.Planned, batchlog.Uploaded, batchlog.Creating:
		r.batchFile(v, input, b.Bytes, b.SHA256)
	case batchlog.Fetched:
		for _, f := range b.Results {
			r.batchFile(v, f.Name, f.Bytes, f.SHA256)
		}
	}
}

func (r *VerifyReport) batchFile(v *rundir.Snapshot, name string, size int64, sum string) {
	path := v.Dir.At(rundir.BatchesDir, name)
	n, got, err := parquetfile.Hash(v.FS, path)
	switch {
	case err != nil:
		r.note(false, path, "%v", err)
	case n != size:
		r.note(false, path, "has %d bytes, %s says %d", n, rundir.BatchLogFile, size)
	case got != sum:
		r.note(false, path, "SHA-256 is %s, %s says %s", got, rundir.BatchLogFile, sum)
	}
	r.Bytes += n
}

func (r *VerifyReport) strayBatchFiles(v *rundir.Snapshot, needed map[string]bool) error {
	names, err := v.FS.List(v.Dir.At(rundir.BatchesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, name := range names {
		if _, ours := rundir.ParseBatchFileName(name); ours && !needed[name] {
			r.note(true, v.Dir.At(rundir.BatchesDir, name), "belongs to no open batch; the next start deletes it")
		}
	}
	return nil
}
