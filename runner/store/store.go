// Package store writes the directory of a run. Every answer goes to a journal
// before it counts. Finished shards become Parquet files that a manifest lists.
// A run can be resumed after any interruption.
//
// A run directory holds
//
//	run.json        whose run this is, and its state
//	units.jsonl     the shards: first row, rows, SHA-256 of the chunk
//	lock            held by the process that works on the run
//	manifest.jsonl  one checksummed line per Parquet file
//	batches.jsonl   one checksummed line per step of a batch, if there are any
//	batches/        what was sent in batches, and what came back, until it is
//	                in the results
//	journal/        one file or more per open shard: intents, answers, failures
//	results/        one Parquet file per committed shard, never changed
//	scores/         score tables
//	tmp/            temporary files, cleared at start
//	quarantine/     damaged or replaced files; never deleted by the store
//	ballast         the reserve file: space for the answers in flight when the
//	                disk is full
//
// A shard is a contiguous range of the dataset's rows for one model. Its items
// are the (row, epoch)s. When all have a record the shard is committed: the
// Parquet file is written, synced, read back and compared, published under its
// final name, entered in the manifest, and only then is the journal removed.
//
// [Open] takes the run directory for writing. Package view reads it.
package store

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
)

const (
	syncEvery          = 20 * time.Millisecond // shortest time between two group syncs
	spaceEvery         = time.Second           // how often free space is looked at
	defaultReserveFile = 64 << 20
)

// Identity is what a run directory belongs to. A directory is opened again
// only with the same one.
type Identity struct {
	Name       string // run name, the column run
	Tool       string // version of the program; may change between starts
	PriceTable string // id of the price table; may change between starts

	Plan     json.RawMessage // the plan as run, without secrets
	PlanHash string          // hash of the part of it that must not change
	// MayChange names fields of Plan, as dotted paths, that are not in
	// PlanHash; they are not listed as differences.
	MayChange []string

	DatasetHash string
	DatasetRows int64
	DatasetSize int64          // as the dataset counts it, for [Extend]'s caller; 0 is not known
	Chunks      []rundir.Chunk // of all shards of a model, contiguous from row 0

	Models []string // names, in the order of the plan
	Epochs int      // answers per row and model; 0 means 1
}

// Options say how a run is opened. The zero value is the normal way.
type Options struct {
	// Strict makes Put return only when the record is on the disk.
	Strict bool
	// Notice is told in a sentence of everything that a person should know and
	// that does not stop the run. It may be called from any goroutine, and must
	// not call the Run or its shards.
	Notice func(string)
	// RetryFailed opens shards again that hold failed or unknown rows. Their
	// Parquet files stay until all those rows have a record again.
	RetryFailed bool
	// MovedEndpoint accepts a plan that differs from the run's in nothing but
	// the addresses at which its models are reached.
	MovedEndpoint bool
	// Late makes a Parquet file only when its shard is complete, instead of letting it
	// grow: that takes some 15 MiB less memory while requests are in flight.
	Late bool
	// Durable is told the attempt logs of records that are on the disk now. It is
	// called from any goroutine, and must not call the Run or its shards.
	Durable func(model string, logs []string)
	// Recorded is told of each record that is put, as it is kept. It may be called
	// from any goroutine, and must not change the record, nor call the Run or its shards.
	Recorded func(*nightshift.Record)
	// Remote is where the run directory is kept besides; nil is nowhere. Nothing is
	// sent before its intent is there.
	Remote Remote
	// ReserveFile is the size of the file that is removed when the disk is full;
	// 0 means 64 MiB, negative none.
	ReserveFile int64

	fs   disk.FS       // nil means the machine's
	pace time.Duration // 0 means syncEvery
	grow int           // 0 means growEvery
	keep int64         // 0 means maxKept
}

// A Remote keeps what a run writes elsewhere. Its methods are called from any
// goroutine.
type Remote interface {
	// Ship waits until everything that is in the run directory now is there too.
	Ship(dir string) error
	// Failed is closed when nothing more can be kept there.
	Failed() <-chan struct{}
	// Err is why; nil before.
	Err() error
}

// A Run is a run directory opened for writing. Its methods are safe for
// concurrent use.
type Run struct {
	dir    rundir.Dir
	fs     disk.FS
	opts   Options
	id     Identity
	slugs  []string
	models map[string]int
	lock   disk.File

	docMu sync.Mutex // run.json
	doc   rundir.Document

	lateMu sync.Mutex // the file of late answers

	commitMu sync.Mutex // one commit at a time, which bounds memory
	manifest *rundir.Manifest
	batches  openBatches

	mu           sync.Mutex // everything below; taken after a Shard's
	parquetFiles map[rundir.Key]rundir.ParquetFile
	shards       map[rundir.Key]*Shard
	released     map[rundir.Key]releasedShard
	retry        map[rundir.Key]bool // committed shards that are open again
	totals       []records.Tally     // durable records, by model
	unsettled    []records.Tally     // what earlier processes spent on rows without a record
	unknown      []rundir.Unknown
	err          error
	largest      int64 // longest line so far
	flying       int   // most items in flight in one shard
	reserveFile  int64
	closed       bool
	grows        *Shard    // whose temporary file grows; nil when none does
	wrote        time.Time // when a line was made durable last

	keeping atomic.Int64 // bytes of the records that shards keep for their temporary files

	failed  chan struct{}
	dirty   chan struct{} // holds one token when something waits for a sync
	stop    chan struct{}
	stopped chan struct{}
	tmp     atomic.Int64
}

// Open creates the run directory or resumes the run in it. It takes the lock,
// recovers what is there, and sets damaged files aside. The error is a
// [*LockedError], a [*MismatchError], a [*StorageError], or says what is wrong
// with id. On error nothing is held.
func Open(dir string, id Identity, o Options) (*Run, error) {
	if o.fs == nil {
		o.fs = disk.OS{}
	}
	if o.pace == 0 {
		o.pace = syncEvery
	}
	o.grow = cmp.Or(o.grow, growEvery)
	o.keep = cmp.Or(o.keep, maxKept)
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	if id.Epochs == 0 {
		id.Epochs = 1
	}
	if err := id.check(); err != nil {
		return nil, err
	}
	r := newRun(dir, id, o)
	if err := r.open(); err != nil {
		r.abandon()
		return nil, err
	}
	go r.syncLoop()
	if o.Remote != nil {
		go r.heedRemote()
	}
	return r, nil
}

// heedRemote ends the run when nothing more can be kept elsewhere.
func (r *Run) heedRemote() {
	select {
	case <-r.opts.Remote.Failed():
		r.fail(r.opts.Remote.Err())
	case <-r.stop:
	}
}

// ship waits until what was written is also where the run is kept besides.
func (r *Run) ship() error {
	if r.opts.Remote == nil {
		return nil
	}
	err := r.opts.Remote.Ship(string(r.dir))
	if err != nil {
		r.fail(err)
	}
	return err
}

func newRun(dir string, id Identity, o Options) *Run {
	r := &Run{
		dir: rundir.Dir(dir), fs: o.fs, opts: o, id: id,
		slugs:        rundir.Slugs(id.Models),
		models:       map[string]int{},
		parquetFiles: map[rundir.Key]rundir.ParquetFile{},
		shards:       map[rundir.Key]*Shard{},
		released:     map[rundir.Key]releasedShard{},
		batches:      openBatches{open: map[int]Batch{}, shards: map[rundir.Key][]int{}},
		retry:        map[rundir.Key]bool{},
		totals:       make([]records.Tally, len(id.Models)),
		unsettled:    make([]records.Tally, len(id.Models)),
		failed:       make(chan struct{}),
		dirty:        make(chan struct{}, 1),
		stop:         make(chan struct{}),
		stopped:      make(chan struct{}),
	}
	for i, m := range id.Models {
		r.models[m] = i
	}
	return r
}

func (r *Run) open() error {
	if err := r.takeLock(); err != nil {
		return err
	}
	disk.CrashPoint("open.locked")
	if err := r.identify(); err != nil {
		return err
	}
	disk.CrashPoint("open.identified")
	if err := r.clearTmp(); err != nil {
		return err
	}
	if err := r.recover(); err != nil {
		return err
	}
	disk.CrashPoint("open.stock-taken")
	if err := r.makeReserveFile(); err != nil {
		return err
	}
	disk.CrashPoint("open.ballast-made")
	if r.lookAtSpace(); r.err != nil {
		return r.err
	}
	return r.started()
}

// abandon lets go of everything after a failed Open. A run that was refused
// leaves no reserve file on a disk that may be full.
func (r *Run) abandon() {
	r.dropReserveFile()
	for _, u := range r.shards {
		u.closeFiles()
	}
	if r.manifest != nil {
		r.manifest.Close()
	}
	if r.batches.log != nil {
		r.batches.log.Close()
	}
	if r.lock != nil {
		r.lock.Close()
	}
}

// takeLock makes the directory and locks it. A reader that looks whether the
// run is live holds a shared lock for a moment, hence the second try.
func (r *Run) takeLock() error {
	if err := disk.MkdirAll(r.fs, string(r.dir)); err != nil {
		return disk.Wrap("creating the run directory", string(r.dir), err)
	}
	host, _ := os.Hostname()
	note, err := json.Marshal(rundir.Holder{PID: os.Getpid(), Host: host, Since: time.Now().UTC()})
	if err != nil {
		return err
	}
	for range 3 {
		r.lock, err = r.fs.Lock(r.dir.At(rundir.LockName), note)
		if !errors.Is(err, disk.ErrLocked) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if errors.Is(err, disk.ErrLocked) {
		return r.lockedError()
	}
	if err != nil {
		return disk.Wrap("locking", r.dir.At(rundir.LockName), err)
	}
	return nil
}

func (r *Run) lockedError() error {
	e := &LockedError{Dir: string(r.dir)}
	h := rundir.ReadHolder(r.fs, r.dir)
	e.PID, e.Host, e.Since = h.PID, h.Host, h.Since
	return e
}

// clearTmp removes what an earlier process did not finish.
func (r *Run) clearTmp() error {
	names, err := r.fs.List(r.dir.At(rundir.TmpDir))
	if err != nil {
		return disk.Wrap("reading", r.dir.At(rundir.TmpDir), err)
	}
	for _, name := range names {
		if err := r.fs.Remove(r.dir.At(rundir.TmpDir, name)); err != nil {
			return disk.Wrap("clearing", r.dir.At(rundir.TmpDir, name), err)
		}
	}
	return nil
}

// tmpName returns a name in tmp that nobody else uses.
func (r *Run) tmpName(name string) string {
	return r.dir.At(rundir.TmpDir, fmt.Sprintf("%s.%d", name, r.tmp.Add(1)))
}

func (r *Run) makeReserveFile() error {
	size := r.opts.ReserveFile
	if size == 0 {
		size = defaultReserveFile
	}
	if size < 0 {
		return nil
	}
	name := r.dir.At(rundir.ReserveFileName)
	if err := r.fillReserveFile(name, size); err != nil {
		_ = r.fs.Remove(name)
		return disk.Wrap(fmt.Sprintf("reserving %d MiB", size>>20), name, err)
	}
	r.reserveFile = size
	return nil
}

// fillReserveFile allocates the file's blocks, or writes it where the file system
// cannot do that: random bytes, because some promise space for zeros and do
// not keep it.
func (r *Run) fillReserveFile(name string, size int64) error {
	f, err := r.fs.Open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	err = f.Reserve(0, size)
	if errors.Is(err, errors.ErrUnsupported) {
		_, err = io.CopyN(f, rand.Reader, size)
		if err == nil {
			err = f.Sync()
		}
	}
	return errors.Join(err, f.Close())
}

// dropReserveFile gives the reserved space to whoever needs it now. It reports
// whether there was any.
func (r *Run) dropReserveFile() bool {
	r.mu.Lock()
	had := r.reserveFile > 0
	r.reserveFile = 0
	r.mu.Unlock()
	return had && r.fs.Remove(r.dir.At(rundir.ReserveFileName)) == nil
}

// fail notes that storage has failed. The first error stays.
func (r *Run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
		close(r.failed)
	}
}

// Failed returns a channel that is closed when storage has failed: nothing
// more should be sent. Put still takes the answers of what is in flight.
func (r *Run) Failed() <-chan struct{} { return r.failed }

// Err returns why storage has failed, a [*StorageError]; nil while it works.
func (r *Run) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Committed reports whether a shard is finished: its Parquet file holds a record of
// every item. It panics on a model that the run does not have.
func (r *Run) Committed(model string, shard int) bool {
	key := rundir.Key{Model: r.modelIndex(model), Shard: shard}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, done := r.parquetFiles[key]
	return done && !r.retry[key]
}

// Shards returns the number of shards of each model.
func (r *Run) Shards() int { return len(r.id.Chunks) }

func (r *Run) modelIndex(model string) int {
	i, ok := r.models[model]
	if !ok {
		panic(fmt.Sprintf("store: run %s has no model %q", r.id.Name, model))
	}
	return i
}

// totals returns the sums over all durable records. It is cheap.
func (r *Run) Totals() records.Totals { return r.sums(r.totals) }

// Unsettled returns what earlier processes spent on rows that have no record
// yet, the worst case where the outcome is unknown. Add it to Totals to know
// what a resumed run has already cost. What it holds of a row moves to Totals
// when the row's record, which must carry the row's History, is durable.
func (r *Run) Unsettled() records.Totals { return r.sums(r.unsettled) }

func (r *Run) sums(of []records.Tally) records.Totals {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := records.Totals{Models: make(map[string]records.Tally, len(of))}
	for i, m := range r.id.Models {
		t.Models[m] = records.Tally{}.Add(of[i])
	}
	return t
}

// unknown returns the attempts that may have been billed without an answer,
// as found when the run was opened.
func (r *Run) Unknown() []rundir.Unknown {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]rundir.Unknown(nil), r.unknown...)
}

// RunID is the random id that the run got when it was created.
func (r *Run) RunID() string { return r.doc.RunID }

// WriteFile puts a file into the run directory, whole or not at all, and
// durable on return. name is a plain file name.
func (r *Run) WriteFile(name string, b []byte) error {
	err := disk.WriteFile(r.fs, r.tmpName(name), r.dir.At(name), b)
	return disk.Wrap("writing", r.dir.At(name), err)
}

// Close syncs what is pending, notes the state ("finished",
// "stopped: budget", …) and releases the lock. It returns the error that
// storage failed with, if it did. The Run is of no use afterwards.
func (r *Run) Close(state string) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.mu.Unlock()
	close(r.stop)
	<-r.stopped
	disk.CrashPoint("close.begin")
	r.settleAll()
	disk.CrashPoint("close.settled")
	if err := r.setState(state); err != nil {
		r.fail(err)
	}
	r.dropReserveFile()
	disk.CrashPoint("close.state-written")
	for _, u := range r.shardList() {
		u.closeFiles()
	}
	r.manifest.Close()
	r.batches.log.Close()
	r.lock.Close()
	return r.Err()
}

// Sync waits until everything that was written is durable, so that Totals
// count it. The error is why the store has failed, if it has.
func (r *Run) Sync() error {
	r.settleAll()
	return r.Err()
}

// settleAll makes everything pending durable, by any way that is left.
func (r *Run) settleAll() {
	for _, u := range r.shardList() {
		if err := u.journal.Flush(); err != nil {
			r.fail(err)
		}
	}
	if err := r.batches.log.Sync(); err != nil {
		r.fail(disk.Wrap("writing", r.dir.At(rundir.BatchLogFile), err))
	}
}

func (r *Run) shardList() []*Shard {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*Shard, 0, len(r.shards))
	for _, u := range r.shards {
		list = append(list, u)
	}
	return list
}

// syncLoop is the only goroutine of a Run. Close waits for it.
func (r *Run) syncLoop() {
	defer close(r.stopped)
	var looked time.Time
	for {
		select {
		case <-r.stop:
			return
		case <-r.dirty:
		}
		begun := time.Now()
		r.syncShards()
		if begun.Sub(looked) >= spaceEvery {
			looked = begun
			r.lookAtSpace()
		}
		if !r.pause(r.opts.pace - time.Since(begun)) {
			return
		}
	}
}

// pause waits for d; false when the run is closed.
func (r *Run) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-r.stop:
		return false
	case <-t.C:
		return true
	}
}

// wake asks for a sync soon.
func (r *Run) wake() {
	select {
	case r.dirty <- struct{}{}:
	default:
	}
}

// syncShards syncs the journals of all open shards side by side: the kernel
// makes one commit of them.
func (r *Run) syncShards() {
	var wg sync.WaitGroup
	for _, u := range r.shardList() {
		if !u.waiting() {
			continue
		}
		wg.Go(func() {
			if err := u.journal.Sync(); err != nil {
				r.fail(err)
			}
		})
	}
	wg.Wait()
}

// lookAtSpace stops the run while there is still room for what is in flight.
func (r *Run) lookAtSpace() {
	r.mu.Lock()
	need := max(r.reserveFile, int64(r.flying)*r.largest)
	r.mu.Unlock()
	if r.opts.ReserveFile < 0 {
		return
	}
	free, err := r.fs.Free(string(r.dir))
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	if err != nil {
		r.fail(disk.Wrap("asking for free space", string(r.dir), err))
		return
	}
	if free < 2*need {
		r.fail(&disk.StorageError{
			Op: "keeping room for answers", Path: string(r.dir),
			Err:  fmt.Errorf("only %d MiB are free and %d MiB are needed: %w", free>>20, 2*need>>20, disk.ErrFull),
			Hint: disk.Hint(disk.ErrFull),
		})
	}
}

// exists reports whether a name is there.
func (r *Run) exists(name string) (bool, error) {
	_, err := r.fs.Size(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
