package store

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/batchlog"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
)

// A provider answers batches, and keeps book of them: what it has been given
// outlives every power failure of ours.
type provider struct {
	Batches map[string][]string // by name: the items in it
	Deleted map[string]bool     // whose results are gone
	Failed  map[string]bool     // items that it has refused once
	Answers map[string]int      // how often an item was answered, which is paid for
	save    func()              // is called after a change
}

func newProvider() *provider {
	return &provider{Batches: map[string][]string{}, Deleted: map[string]bool{}, Failed: map[string]bool{},
		Answers: map[string]int{}, save: func() {}}
}

func (p *provider) clone() *provider {
	return &provider{maps.Clone(p.Batches), maps.Clone(p.Deleted), maps.Clone(p.Failed), maps.Clone(p.Answers), p.save}
}

// create takes a batch and answers it at once: a third of the items not before
// they are sent a second time.
func (p *provider) create(name string, items []string) {
	if p.Batches[name] != nil {
		name += "+"
	}
	var rows []string
	for i, item := range items {
		if i%3 == 1 && !p.Failed[item] {
			p.Failed[item] = true
			rows = append(rows, item+" failed")
			continue
		}
		p.Answers[item]++
		rows = append(rows, item+" answered")
	}
	p.Batches[name] = rows
	p.save()
}

// batched is what a client knows of its batches.
type batched struct {
	provider *provider
	reached  map[int]BatchStage // the farthest stage that was said to be durable

}

func newBatched() *batched {
	return &batched{provider: newProvider(), reached: map[int]BatchStage{}}
}

func (b *batched) clone() *batched {
	if b == nil {
		return nil
	}
	return &batched{provider: b.provider.clone(), reached: maps.Clone(b.reached)}
}

func (c *client) reached(n int, s BatchStage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batched.reached[n] = s
}

var stages = []BatchStage{BatchPlanned, BatchUploaded, BatchCreating, BatchCreated, BatchEnded, BatchFetched,
	BatchCollected, BatchClosed}

// batchShard brings a shard to its end in batches of up to two items, whatever
// an earlier process has left of them.
func (c *client) batchShard(r *Run, model string, n int) error {
	for {
		u, err := r.OpenShard(model, n)
		if err != nil {
			return err
		}
		var open []Batch
		for _, b := range r.Batches() {
			if b.Model == model && b.Shard == n && b.Holds() {
				open = append(open, b)
			}
		}
		if len(open) == 0 {
			if u.Remaining() == 0 {
				return c.commitBatches(r, u)
			}
			if err := c.plan(r, u); err != nil {
				return err
			}
			continue
		}
		for _, b := range open {
			if err := c.batchStep(r, u, b); err != nil {
				return err
			}
		}
		if err := u.Release(); err != nil {
			return err
		}
	}
}

func (c *client) plan(r *Run, u *Shard) error {
	in, err := r.NewBatch(u.model, u.key.Shard, 1)
	if err != nil {
		return err
	}
	for item := range u.j.Items() {
		row, epoch := u.j.RowOf(item)
		if u.Done(row, epoch) || in.Rows() == 2 {
			continue
		}
		if err := in.Add(item, fmt.Appendln(nil, itemName(u.model, row, epoch))); err != nil {
			in.Discard()
			return err
		}
	}
	b, err := in.Finish(Batch{WorstCost: 5})
	if err == nil {
		c.reached(b.N, BatchPlanned)
	}
	return err
}

// batchStep brings a batch one step further.
func (c *client) batchStep(r *Run, u *Shard, b Batch) error {
	p := c.batched.provider
	remote := nightshift.Batch{ID: "id of " + b.Name, Phase: nightshift.BatchRunning, CreatedAt: time.Unix(1e9, 0)}
	switch b.Stage {
	case BatchPlanned:
		return r.BatchUploaded(b.N, nightshift.BatchFile{ID: "file"})
	case BatchUploaded:
		items, err := c.input(r, b)
		if err != nil {
			return err
		}
		if err := r.BatchCreating(b.N, time.Unix(1e9, 0)); err != nil {
			return err
		}
		if b.N%2 == 0 { // as if something like it was there already
			if err := r.BatchSuspects(b.N, []string{"x"}); err != nil {
				return err
			}
		}
		c.mu.Lock()
		p.create(b.Name, items)
		c.mu.Unlock()
		if err := r.BatchCreated(b.N, remote, false); err != nil {
			return err
		}
		c.reached(b.N, BatchCreated)
	case BatchCreating: // an earlier process did not learn what became of it
		if p.Batches[b.Name] == nil {
			return r.BatchUploaded(b.N, nightshift.BatchFile{ID: "file"})
		}
		return r.BatchCreated(b.N, remote, true)
	case BatchCreated:
		remote.Phase = nightshift.BatchCancelling
		if err := r.BatchState(b.N, remote); err != nil {
			return err
		}
		if err := r.BatchCancel(b.N, remote.ID, "user"); err != nil {
			return err
		}
		remote.Phase = nightshift.BatchCompleted
		return r.BatchEnded(b.N, remote)
	case BatchEnded:
		if err := c.fetchBatch(r, b); err != nil {
			return err
		}
		c.reached(b.N, BatchFetched)
	case BatchFetched:
		return c.collect(r, u, b)
	}
	return nil
}

// input reads the input file, which was said to be durable.
func (c *client) input(r *Run, b Batch) ([]string, error) {
	f, _, err := r.OpenBatchInput(b.N)
	if err != nil {
		return nil, fmt.Errorf("the input file of a planned batch: %w", err)
	}
	return wholeFile(f, b.SHA256)
}

// wholeFile reads the lines of a file whose sum is known.
func wholeFile(f io.ReadCloser, sum string) ([]string, error) {
	defer f.Close()
	h := sha256.New()
	var lines []string
	sc := bufio.NewScanner(io.TeeReader(f, h))
	for sc.Scan() {
		lines = append(lines, sc.Text())
	}
	if sc.Err() == nil && hex.EncodeToString(h.Sum(nil)) != sum {
		return nil, fmt.Errorf("a file of a batch has changed")
	}
	return lines, sc.Err()
}

func (c *client) fetchBatch(r *Run, b Batch) error {
	if c.batched.provider.Deleted[b.Name] {
		return fmt.Errorf("the results of batch %d were deleted before they were safe", b.N)
	}
	w, err := r.NewBatchResult(b.N, 0)
	if err != nil {
		return err
	}
	for _, line := range c.batched.provider.Batches[b.Name] {
		if _, err := fmt.Fprintln(w, line); err != nil {
			w.Discard()
			return err
		}
	}
	file, err := w.Finish()
	if err == nil {
		err = r.BatchFetched(b.N, []LocalFile{file})
	}
	return err
}

func (c *client) collect(r *Run, u *Shard, b Batch) error {
	f, err := r.OpenBatchResult(b.N, b.Results[0])
	if err != nil {
		return fmt.Errorf("results that were fetched: %w", err)
	}
	lines, err := wholeFile(f, b.Results[0].SHA256)
	if err != nil {
		return err
	}
	for _, line := range lines {
		name, outcome, _ := strings.Cut(line, " ")
		row, epoch := itemOf(name)
		if known(u, row, epoch, b.Lead().ID) {
			continue
		}
		if outcome == "failed" {
			err = u.AttemptLog(row, epoch).Failed(nightshift.Attempt{N: 1, Class: nightshift.ClassServer,
				Batch: b.Lead().ID})
		} else {
			rec := storetest.Record(u.model, row, epoch)
			rec.Text = storetest.Ptr("batched " + name)
			c.mu.Lock()
			c.read[name] = *rec.Text
			c.mu.Unlock()
			err = u.Put(rec)
		}
		if err != nil {
			return err
		}
	}
	if err := r.BatchCollected(b.N, BatchSums{Answers: int64(len(lines))}); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.batched.reached[b.N] = BatchCollected
	for _, line := range lines {
		if name, outcome, _ := strings.Cut(line, " "); outcome == "answered" {
			c.acked[name] = "batched " + name
		}
	}
	return nil
}

// commitBatches commits a shard, and only then deletes what the provider has.
func (c *client) commitBatches(r *Run, u *Shard) error {
	if err := u.Commit(); err != nil {
		return err
	}
	return c.closeBatches(r)
}

// closeBatches closes what is collected and committed, here and from earlier
// processes.
func (c *client) closeBatches(r *Run) error {
	for _, b := range r.Batches() {
		if b.Stage != BatchCollected || !r.Committed(b.Model, b.Shard) {
			continue
		}
		c.mu.Lock()
		c.batched.provider.Deleted[b.Name] = true
		c.batched.provider.save()
		c.mu.Unlock()
		if err := r.CloseBatch(b.N, "deleted"); err != nil {
			return err
		}
	}
	return nil
}

func itemOf(name string) (row int64, epoch int) {
	fmt.Sscanf(name[strings.LastIndexByte(name[:strings.LastIndexByte(name, '/')], '/'):], "/%d/%d", &row, &epoch)
	return row, epoch
}

// checkBatches compares the log of batches on the disk with what was said to be
// durable, and with what the provider was given.
func (c *client) checkBatches(fsys disk.FS) error {
	if c.batched == nil {
		return nil
	}
	log, err := batchlog.Read(fsys, path.Join(crashDir, rundir.BatchLogFile))
	if err != nil {
		return err
	}
	for n, want := range c.batched.reached {
		b := log.Batches[n]
		if b == nil {
			return fmt.Errorf("batch %d, which was %s, is not in the log", n, want)
		}
		if slices.Index(stages, b.Stage) < slices.Index(stages, want) {
			return fmt.Errorf("batch %d was %s, the log says %s", n, want, b.Stage)
		}
	}
	known := map[string]bool{}
	for _, b := range log.Batches {
		if b.Creates > 0 {
			known[b.Name] = true
		}
	}
	for name := range c.batched.provider.Batches {
		if !known[name] {
			return fmt.Errorf("%s is at the provider, and the log does not know that it was created", name)
		}
	}
	for item, n := range c.batched.provider.Answers {
		if n > 1 {
			return fmt.Errorf("%s was answered, and paid for, %d times", item, n)
		}
	}
	return nil
}
