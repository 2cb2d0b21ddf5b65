package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/batchlog"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
)

// What is written of batches goes to one log. Its order is the promise:
//
//  1. The input file is durable, then "planned" is, then it is uploaded.
//  2. "creating" is durable before the create call: it is the intent of all rows.
//  3. "created" is durable before anything else is done with the id.
//  4. The result files are durable, then "fetched" is, then they are read.
//  5. The journal of the shard is durable, then "collected" is: until then no
//     row of the batch may be sent by another way.
//  6. The shard is committed, then its files are deleted, then "closed".

// openBatches are the batches of a run that are not closed.
type openBatches struct {
	log *batchlog.Log

	writing sync.Mutex  // one step at a time; taken before mu
	some    atomic.Bool // there are any, or were
	mu      sync.RWMutex
	open    map[int]Batch
	last    int                  // highest number that was given
	folder  bool                 // the folder of batches is there
	host    string               // see Run.HostMark
	shards  map[rundir.Key][]int // numbers of those that hold rows of a shard
}

// readBatches finds out from the log which batches there are. It comes after
// Parquet files and journals were read.
func (r *Run) readBatches() error {
	name := r.dir.At(rundir.BatchLogFile)
	c, err := batchlog.Read(r.fs, name)
	if err == nil {
		err = r.checkBatchLog(c)
	}
	if err == nil {
		err = r.keepDamage(name, c.Damage)
	}
	if err != nil {
		return disk.Wrap("reading", name, err)
	}
	r.batches.host = r.hostMark()
	r.batches.log, err = batchlog.Open(r.fs, name, r.doc.RunID, r.batches.host, c)
	if err != nil {
		return disk.Wrap("opening", name, err)
	}
	r.batches.last = c.Last
	for _, b := range c.List() {
		r.resumeBatch(*b)
	}
	r.noteOtherHost()
	disk.CrashPoint("open.batches-read")
	return r.clearBatchFiles(c)
}

const batchLogHint = "restore the file from a copy; moving it away makes the run forget its batches: their answers " +
	"are then paid for and lost, and their rows are sent again"

// checkBatchLog refuses a log that is not of this run, or that does not say
// which rows are being paid for.
func (r *Run) checkBatchLog(c *batchlog.Content) error {
	refuse := func(format string, args ...any) error {
		return &disk.StorageError{Op: "reading", Path: r.dir.At(rundir.BatchLogFile), Err: fmt.Errorf(format, args...),
			Hint: batchLogHint}
	}
	if c.RunID != "" && c.RunID != r.doc.RunID {
		return refuse("it belongs to run %s, the directory to %s", c.RunID, r.doc.RunID)
	}
	if len(c.Lost) > 0 {
		return refuse("it is damaged, and does not say any more which rows batch %d has", c.Lost[0])
	}
	for _, b := range c.List() {
		if _, ok := r.models[b.Model]; !ok || b.Shard >= len(r.id.Chunks) {
			return refuse("it lists a batch of shard %d of model %q, which the run does not have", b.Shard, b.Model)
		}
		items := r.id.Chunks[b.Shard].Rows * int64(r.id.Epochs)
		if n := len(b.Items); n > 0 && b.Items[n-1].First+b.Items[n-1].Count > items {
			return refuse("batch %d has rows that are not in shard %d", b.N, b.Shard)
		}
	}
	return nil
}

// resumeBatch takes a batch as the log has it. What it cost beyond its records
// counts as spent.
func (r *Run) resumeBatch(b Batch) {
	key := r.batchKey(&b)
	r.spendExtras(key.Model, b.Sums)
	if b.Stage == batchlog.Closed {
		return
	}
	if b.Holds() && r.outlived(&b) {
		r.opts.Notice(fmt.Sprintf("batch %d was not collected, but its shard %d of %s is finished without it", b.N, b.Shard,
			b.Model))
		b.Stage = batchlog.Collected
	}
	if _, committed := r.parquetFiles[key]; committed && b.Away() {
		r.retry[key] = true
	}
	r.setBatch(b)
}

// outlived reports whether a shard is committed with what the batch was made
// for.
func (r *Run) outlived(b *Batch) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, committed := r.parquetFiles[r.batchKey(b)]
	return committed && p.Gen >= b.Gen
}

func (r *Run) batchKey(b *Batch) rundir.Key {
	return rundir.Key{Model: r.models[b.Model], Shard: b.Shard}
}

// spendExtras counts what collecting found paid for and in no record.
func (r *Run) spendExtras(model int, s BatchSums) {
	t := batchlog.Extras(s)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsettled[model].Accumulate(&t, 1)
}

// hostMark is a hash of where the run directory lies: it tells two copies of
// one directory apart and names no machine.
func (r *Run) hostMark() string {
	host, _ := os.Hostname()
	dir, err := filepath.Abs(string(r.dir))
	if err != nil {
		dir = string(r.dir)
	}
	sum := sha256.Sum256([]byte(host + "\x00" + dir))
	return hex.EncodeToString(sum[:4])
}

// HostMark is what tells this run directory from a copy of it on another
// machine or in another folder: a hash, for the marks of a batch.
func (r *Run) HostMark() string { return r.batches.host }

// noteOtherHost says so when batches were made from another place.
func (r *Run) noteOtherHost() {
	for _, b := range r.Batches() {
		if b.Away() && b.Host != "" && b.Host != r.batches.host {
			r.opts.Notice(fmt.Sprintf("batch %d was made by this run on another machine or in another folder: make sure "+
				"that nobody goes on with that copy, or its rows are paid for twice", b.N))
			return
		}
	}
}

// clearBatchFiles removes the files of batches that are done with, and what was
// never planned.
func (r *Run) clearBatchFiles(c *batchlog.Content) error {
	dir := r.dir.At(rundir.BatchesDir)
	names, err := r.fs.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return disk.Wrap("reading", dir, err)
	}
	for _, name := range names {
		n, ok := rundir.ParseBatchFileName(name)
		if !ok {
			continue
		}
		r.batches.last = max(r.batches.last, n)
		b, open := r.Batch(n)
		switch {
		case open && !(b.Stage == batchlog.Collected && r.outlived(&b)):
		case c.Batches[n] == nil && len(c.Damage) > 0:
			r.quarantineFile(r.dir.At(rundir.BatchesDir, name)) // the log may have known what it is
		default:
			if err := r.fs.Remove(r.dir.At(rundir.BatchesDir, name)); err != nil {
				return disk.Wrap("removing", r.dir.At(rundir.BatchesDir, name), err)
			}
		}
	}
	return nil
}

// setBatch makes b what is known of its batch.
func (r *Run) setBatch(b Batch) {
	g := &r.batches
	key := r.batchKey(&b)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.some.Store(true)
	g.open[b.N] = b
	if b.Stage == batchlog.Closed {
		delete(g.open, b.N)
	}
	g.shards[key] = slices.DeleteFunc(g.shards[key], func(n int) bool { return n == b.N })
	if b.Holds() {
		g.shards[key] = append(g.shards[key], b.N)
	}
}

// Batches returns the batches that are not closed, by number.
func (r *Run) Batches() []Batch {
	r.batches.mu.RLock()
	defer r.batches.mu.RUnlock()
	list := make([]Batch, 0, len(r.batches.open))
	for _, n := range slices.Sorted(maps.Keys(r.batches.open)) {
		list = append(list, r.batches.open[n])
	}
	return list
}

// Batch returns a batch that is not closed.
func (r *Run) Batch(n int) (Batch, bool) {
	r.batches.mu.RLock()
	defer r.batches.mu.RUnlock()
	b, ok := r.batches.open[n]
	return b, ok
}

// inBatch returns the number of the batch that holds an item.
func (r *Run) inBatch(key rundir.Key, item int64) (n int, in bool) {
	if !r.batches.some.Load() {
		return 0, false
	}
	r.batches.mu.RLock()
	defer r.batches.mu.RUnlock()
	for _, n := range r.batches.shards[key] {
		if r.batches.open[n].Items.Has(item) {
			return n, true
		}
	}
	return 0, false
}

// InBatch returns the number of the batch that holds an item: it was planned
// with it and is not collected. Such an item is not to be sent by another way.
func (u *Shard) InBatch(row int64, epoch int) (n int, in bool) {
	return u.r.inBatch(u.key, u.mustItem(row, epoch))
}

// step writes one step of a batch, durable on return where that matters. An
// error is a [*StorageError]; the run has then failed, and the next start goes on
// from what the log has.
func (r *Run) step(n int, write func(*batchlog.Log, *Batch) error) error {
	if err := r.note(n, write); err != nil {
		return err
	}
	return r.ship()
}

func (r *Run) note(n int, write func(*batchlog.Log, *Batch) error) error {
	r.batches.writing.Lock()
	defer r.batches.writing.Unlock()
	b, ok := r.Batch(n)
	if !ok {
		return fmt.Errorf("store: run %s has no batch %d, or it is closed", r.id.Name, n)
	}
	return r.write(b, write)
}

func (r *Run) write(b Batch, write func(*batchlog.Log, *Batch) error) error {
	if err := write(r.batches.log, &b); err != nil {
		err = disk.Wrap(fmt.Sprintf("noting batch %d", b.N), r.dir.At(rundir.BatchLogFile), err)
		r.fail(err)
		return err
	}
	r.setBatch(b)
	return nil
}

// BatchUploaded notes that the provider has the input file. What was created
// from an earlier one is given up: the caller knows that nothing of it can run.
func (r *Run) BatchUploaded(n int, f nightshift.BatchFile) error {
	return r.step(n, func(g *batchlog.Log, b *Batch) error { return g.Uploaded(b, f) })
}

// BatchCreating notes, durable on return, that the batch is about to be created.
// The time is the server's. It stands for the intents of all rows, and what was
// created before is given up.
func (r *Run) BatchCreating(n int, server time.Time) error {
	return r.step(n, func(g *batchlog.Log, b *Batch) error { return g.Creating(b, server) })
}

// BatchCreated notes, durable on return, under which id the provider has the
// batch; adopted when that was found by looking for it. A further id is that of
// a repeated create call: both are of this batch then.
func (r *Run) BatchCreated(n int, remote nightshift.Batch, adopted bool) error {
	return r.step(n, func(g *batchlog.Log, b *Batch) error { return g.Created(b, remote, adopted) })
}

// BatchSuspects notes which batches of the provider may be this one.
func (r *Run) BatchSuspects(n int, ids []string) error {
	return r.step(n, func(g *batchlog.Log, b *Batch) error { return g.Suspects(b, ids) })
}

// BatchState notes how a batch of the provider stands; nothing is written where
// that is as before. The input file is deleted when the batch runs.
func (r *Run) BatchState(n int, remote nightshift.Batch) error {
	err := r.step(n, func(g *batchlog.Log, b *Batch) error { return g.State(b, remote) })
	if err == nil {
		r.dropBatchInput(n, remote.Phase)
	}
	return err
}

// BatchCancel notes, durable on return, that the provider is about to be asked
// to cancel its batch id, and by whom ("user", "deadline").
func (r *Run) BatchCancel(n int, id, by string) error {
	return r.step(n, func(g *batchlog.Log, b *Batch) error { return g.Cancel(b, id, by) })
}

// BatchEnded notes that a batch of the provider has ended, or is given up.
func (r *Run) BatchEnded(n int, remote nightshift.Batch) error {
	return r.step(n, func(g *batchlog.Log, b *Batch) error { return g.Ended(b, remote) })
}

// BatchFetched notes, durable on return, which files hold the results.
func (r *Run) BatchFetched(n int, files []LocalFile) error {
	return r.step(n, func(g *batchlog.Log, b *Batch) error { return g.Fetched(b, files) })
}

// BatchCollected notes, durable on return, that everything the batch has
// answered is in the journal of its shard, which is made durable first. Rows
// without a record are free from here on.
func (r *Run) BatchCollected(n int, s BatchSums) error {
	b, ok := r.Batch(n)
	if !ok {
		return fmt.Errorf("store: run %s has no batch %d, or it is closed", r.id.Name, n)
	}
	key := r.batchKey(&b)
	r.mu.Lock()
	u := r.shards[key]
	r.mu.Unlock()
	disk.CrashPoint("batch.collected.begin")
	if u != nil {
		if err := u.Sync(); err != nil {
			return err
		}
	}
	if err := r.step(n, func(g *batchlog.Log, b *Batch) error { return g.Collected(b, s) }); err != nil {
		return err
	}
	r.spendExtras(key.Model, s)
	return nil
}

// CloseBatch notes that nothing is left to do for a batch: it was collected and
// its shard is committed, or it was never created. Left says what became of its
// files at the provider, or why it was dropped. Its files here are deleted.
func (r *Run) CloseBatch(n int, left string) error {
	b, ok := r.Batch(n)
	switch {
	case !ok:
		return nil
	case b.Away():
		return fmt.Errorf("store: batch %d has not been collected", n)
	case b.Stage == batchlog.Collected && !r.outlived(&b):
		return fmt.Errorf("store: batch %d is of shard %d of model %q, which is not committed", n, b.Shard, b.Model)
	}
	r.removeBatchFiles(n)
	disk.CrashPoint("batch.files-removed")
	return r.step(n, func(g *batchlog.Log, b *Batch) error { return g.Closed(b, left) })
}

// dropBatchFiles removes the files of the collected batches of a shard that is
// committed now. What cannot be removed now is removed at the next start.
func (r *Run) dropBatchFiles(key rundir.Key) {
	for _, b := range r.Batches() {
		if r.batchKey(&b) == key && b.Stage == batchlog.Collected && r.outlived(&b) {
			r.removeBatchFiles(b.N)
		}
	}
}

func (r *Run) removeBatchFiles(n int) {
	names, _ := r.fs.List(r.dir.At(rundir.BatchesDir))
	for _, name := range names {
		if of, ok := rundir.ParseBatchFileName(name); ok && of == n {
			_ = r.fs.Remove(r.dir.At(rundir.BatchesDir, name))
		}
	}
}

// uncollected returns the number of a batch that holds rows of a shard; 0 when
// none does.
func (r *Run) uncollected(key rundir.Key) int {
	r.batches.mu.RLock()
	defer r.batches.mu.RUnlock()
	if list := r.batches.shards[key]; len(list) > 0 {
		return list[0]
	}
	return 0
}
