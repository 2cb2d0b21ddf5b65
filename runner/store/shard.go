package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift"
	"nightshift/internal/fsx"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/parquetfile"
)

// A Shard is a contiguous range of the dataset's rows for one model, open for
// writing. Its methods are safe for concurrent use.
type Shard struct {
	r     *Run
	model string
	key   rundir.Key
	chunk rundir.Chunk
	slug  string
	gen   int
	base  *rundir.ParquetFile // the Parquet file that this generation replaces; nil for the first

	mu          sync.Mutex
	settled     *sync.Cond // signals changes of syncedTo and failure
	j           *journal.Index
	shardTotals shardTotals
	baseLog     map[int64][]nightshift.Attempt // attempts of the base's failed rows
	baseOf      map[int64]records.Tally        // and what they add to the totals
	pastOf      map[int64]records.Tally        // what Run.Unsettled holds of an item
	done        bitset
	left        int64
	flying      map[int64]struct{} // items whose intent has no outcome yet
	cur         *journal.File      // nil until the first write
	epoch       int                // number of the newest journal file
	pending     []pending          // written but not synced, oldest first
	waits       int64              // bytes of those
	written     uint64             // lines taken so far
	synced      uint64             // lines that are durable
	state       shardState
	kept        map[int64]*nightshift.Record // records for the temporary file, by item

	syncMu sync.Mutex // one sync at a time

	growing  sync.Mutex // everything below; taken before mu
	tempFile *tempFile  // the Parquet file in the making; nil when there is none
	drafted  int64      // the item that it is to have next
	stunted  bool       // it failed, and is begun again by Commit alone
}

type shardState int

const (
	shardOpen shardState = iota
	shardCommitting
	shardCommitted
	shardClosed
)

// maxWaiting is how many bytes of a shard may wait for the disk. Beyond it Put
// waits too: a disk that cannot keep up slows the run down instead of filling
// memory.
const maxWaiting = 8 << 20

// pending is a line that is not durable yet.
type pending struct {
	line []byte
	crc  uint32
	item int64
	kind string
	turn int              // for a turn, its number
	add  *records.Columns // of a result
}

// OpenShard opens a shard that is not committed. It returns the same Shard when
// it is open already. An error is a [*StorageError], or says that the shard
// does not exist or is committed.
func (r *Run) OpenShard(model string, shard int) (*Shard, error) {
	i, ok := r.models[model]
	if !ok || shard < 0 || shard >= len(r.id.Chunks) {
		return nil, fmt.Errorf("store: run %s has no unit %d of model %q", r.id.Name, shard, model)
	}
	key := rundir.Key{Model: i, Shard: shard}
	r.mu.Lock()
	parquetFile, committed := r.parquetFiles[key]
	retry := r.retry[key]
	u := r.shards[key]
	r.mu.Unlock()
	if u != nil {
		return u, nil
	}
	if committed && !retry {
		return nil, fmt.Errorf("store: unit %d of model %q is committed", shard, model)
	}
	var base *rundir.ParquetFile
	if committed {
		base = &parquetFile
	}
	u, err := r.newShard(key, base, r.newJournal(shard))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.shards[key]; other != nil {
		return other, nil // opened by somebody else meanwhile; ours holds nothing yet
	}
	u.register()
	return u, nil
}

func (r *Run) newJournal(shard int) *journal.Index {
	c := r.id.Chunks[shard]
	return journal.NewIndex(c.First, c.Rows, r.id.Epochs)
}

// newShard puts a shard together from what its journals and the Parquet file it
// replaces hold.
func (r *Run) newShard(key rundir.Key, base *rundir.ParquetFile, j *journal.Index) (*Shard, error) {
	u := &Shard{
		r: r, key: key, chunk: r.id.Chunks[key.Shard], model: r.id.Models[key.Model], slug: r.slugs[key.Model], gen: 1, base: base, j: j,
		baseLog: map[int64][]nightshift.Attempt{}, baseOf: map[int64]records.Tally{}, pastOf: map[int64]records.Tally{},
		done: newBitset(int64(len(j.At))), left: r.id.Chunks[key.Shard].Items(r.id.Epochs), flying: map[int64]struct{}{}, kept: map[int64]*nightshift.Record{},
	}
	u.settled = sync.NewCond(&u.mu)
	if base != nil {
		u.gen = base.Gen + 1
		if err := u.readBase(); err != nil {
			return nil, err
		}
	}
	for item := range j.At {
		if item := int64(item); j.At[item].Len > 0 && !u.again(item) && !u.done.get(item) {
			u.done.set(item)
			u.left--
		}
	}
	u.computeTotals()
	return u, nil
}

// again reports whether an item is to be run although the journal has a
// record of it.
func (u *Shard) again(item int64) bool {
	_, failed := u.j.Redo[item]
	return failed && (u.r.opts.RetryFailed || u.j.Reopened(item))
}

// readBase marks the rows that the Parquet file to be replaced answers.
func (u *Shard) readBase() error {
	name := u.r.dir.At(rundir.ResultsDir, u.base.Name)
	f, err := parquetfile.Open(u.r.fs, name)
	if err != nil {
		return disk.Wrap("reading", name, err)
	}
	defer f.Close()
	for c, err := range parquetfile.Read[records.Columns](f) {
		if err != nil {
			return disk.Wrap("reading", name, err)
		}
		item, ok := u.j.Item(c.Row, int(c.Epoch))
		if !ok {
			return disk.Wrap("reading", name, fmt.Errorf("row %d epoch %d is not in unit %d", c.Row, c.Epoch, u.key.Shard))
		}
		if records.Retried(c.Outcome) {
			u.baseLog[item] = c.Log()
			u.baseOf[item] = c.Tally()
			continue
		}
		u.done.set(item)
		u.left--
	}
	return nil
}

// shardTotals are what a shard adds to the run's sums when it is opened.
type shardTotals struct {
	totals    records.Tally // its records; less what the Parquet file that it replaces said of the rows that are open again
	unsettled records.Tally // what was spent on rows without a record
	unknown   []rundir.Unknown
}

// computeTotals sums the recovered spend of the shard and drops the history of
// completed rows.
func (u *Shard) computeTotals() {
	s := &u.shardTotals
	for _, t := range u.baseOf {
		s.totals.Accumulate(&t, -1)
	}
	s.totals.Accumulate(&u.j.Tally, 1)
	for item := range u.items() {
		if u.done.get(item) {
			delete(u.j.Open, item)
			continue
		}
		if t, ok := u.j.Redo[item]; ok {
			s.totals.Accumulate(&t, -1)
		}
		log := u.history(item)
		tr := u.j.Open[item]
		if tr != nil {
			log = append(slices.Clip(log), tr.Answered...)
			s.unknown = append(s.unknown, u.unknown(item, tr)...)
		}
		if len(log) > 0 {
			t := records.Spent(log)
			u.pastOf[item] = t
			s.unsettled.Accumulate(&t, 1)
		}
	}
}

func (u *Shard) unknown(item int64, t *journal.History) []rundir.Unknown {
	row, epoch := u.j.RowOf(item)
	var list []rundir.Unknown
	for _, in := range t.Intents {
		list = append(list, rundir.Unknown{
			Model: u.model, Shard: u.key.Shard, Row: row, Epoch: epoch, Attempt: in.Attempt, At: in.At,
			WorstTokens: in.WorstTokens, WorstCost: in.WorstCost,
		})
	}
	return list
}

// register adds the shard to the run, whose lock is held.
func (u *Shard) register() {
	u.r.shards[u.key] = u
	u.r.totals[u.key.Model].Accumulate(&u.shardTotals.totals, 1)
	u.r.unsettled[u.key.Model].Accumulate(&u.shardTotals.unsettled, 1)
	u.r.unknown = append(u.r.unknown, u.shardTotals.unknown...)
	u.shardTotals = shardTotals{}
}

// items yields, in order, every item about which something is known besides a
// final record.
func (u *Shard) items() func(func(int64) bool) {
	known := map[int64]bool{}
	for item := range u.j.Open {
		known[item] = true
	}
	for item := range u.j.Redo {
		known[item] = true
	}
	for item := range u.baseLog {
		known[item] = true
	}
	list := make([]int64, 0, len(known))
	for item := range known {
		list = append(list, item)
	}
	slices.Sort(list)
	return slices.Values(list)
}

// Chunk returns the dataset rows that the shard covers.
func (u *Shard) Chunk() rundir.Chunk { return u.chunk }

// Generation is 1, and one more each time failed rows are run again.
func (u *Shard) Generation() int { return u.gen }

// Done reports whether an item has a record and is not to be sent.
func (u *Shard) Done(row int64, epoch int) bool {
	item := u.mustItem(row, epoch)
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.done.get(item)
}

// Remaining is the number of items without a record. At 0 the shard is ready
// for Commit.
func (u *Shard) Remaining() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.left
}

func (u *Shard) mustItem(row int64, epoch int) int64 {
	item, ok := u.j.Item(row, epoch)
	if !ok {
		panic(fmt.Sprintf("store: row %d epoch %d is not in unit %d of model %q", row, epoch, u.key.Shard, u.model))
	}
	return item
}

// History returns the attempts that earlier processes made for an item that
// has no final record, oldest first: those that failed, and those whose
// outcome is unknown, with the most they can have cost. In a shard that runs
// failed rows again, the attempts of the failed record are among them. They
// belong into the item's record. Attempts that led to an answer of
// [Shard.Turns] are with that answer, not here.
func (u *Shard) History(row int64, epoch int) []nightshift.Attempt {
	item := u.mustItem(row, epoch)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done.get(item) {
		return nil
	}
	return u.history(item)
}

// Settled returns how many of the attempts of [Shard.History] ended in a record
// that failed: the item has been begun again since.
func (u *Shard) Settled(row int64, epoch int) int {
	item := u.mustItem(row, epoch)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.done.get(item) {
		return 0
	}
	return len(u.failedLog(item))
}

func (u *Shard) history(item int64) []nightshift.Attempt {
	log := u.failedLog(item)
	if t := u.j.Open[item]; t != nil {
		log = append(slices.Clip(log), t.Attempts()...)
	}
	return log
}

// failedLog are the attempts of the item's record that failed, if it has one.
func (u *Shard) failedLog(item int64) []nightshift.Attempt {
	if _, failed := u.j.Redo[item]; !failed {
		return u.baseLog[item]
	}
	// The journal's record took over the base's attempts, if there were any.
	rec, err := u.j.Record(u.j.At[item])
	if err != nil {
		return nil
	}
	c := records.ColumnsOf(rec)
	return c.Log()
}

// Turns returns the answers to the earlier turns of an item that an earlier
// process has had, in order. An answer that cannot be read ends the list.
func (u *Shard) Turns(row int64, epoch int) []nightshift.Response {
	item := u.mustItem(row, epoch)
	u.mu.Lock()
	defer u.mu.Unlock()
	t := u.j.Open[item]
	if t == nil || u.done.get(item) {
		return nil
	}
	var turns []nightshift.Response
	for _, at := range t.Turns {
		resp, err := u.j.Turn(at)
		if err != nil {
			u.r.opts.Notice(fmt.Sprintf("row %d: the answer to turn %d cannot be read and is asked for again: %v", row, len(turns)+1, err))
			break
		}
		turns = append(turns, resp)
	}
	return turns
}

// PutTurn keeps the answer to one turn of an item that has more. Like Put it
// is written on return.
func (u *Shard) PutTurn(row int64, epoch int, resp nightshift.Response) error {
	item := u.mustItem(row, epoch)
	turn := &journal.TurnResponse{Response: resp, UsageRaw: resp.UsageRaw}
	turn.Attempts = make([]nightshift.Attempt, len(resp.Attempts))
	for i, a := range resp.Attempts {
		turn.Attempts[i] = records.RepairAttempt(a)
	}
	line, crc, err := journal.EncodeLine(journal.Line{K: journal.KindTurn, Row: row, Epoch: int32(epoch), At: time.Now().UTC(), Turn: turn})
	if err != nil {
		return fmt.Errorf("row %d: %w", row, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.flying, item)
	err = u.append(pending{line: line, crc: crc, item: item, kind: journal.KindTurn})
	disk.CrashPoint("turn.written")
	return err
}

// AttemptLog returns the attemptLog of the attempts of one item.
func (u *Shard) AttemptLog(row int64, epoch int) nightshift.AttemptLog {
	return &attemptLog{u: u, row: row, epoch: int32(epoch), item: u.mustItem(row, epoch)}
}

type attemptLog struct {
	u     *Shard
	row   int64
	epoch int32
	item  int64
}

// Sending writes the intent. It fails once storage has failed, so that
// nothing more is sent.
func (w *attemptLog) Sending(in nightshift.Intent) error {
	if err := w.u.r.Err(); err != nil {
		return err
	}
	line, crc := journal.EncodeIntent(in, w.row, w.epoch, time.Now().UTC())
	w.u.mu.Lock()
	w.u.flying[w.item] = struct{}{}
	err := w.u.append(pending{line: line, crc: crc, item: w.item, kind: journal.KindIntent})
	w.u.mu.Unlock()
	disk.CrashPoint("intent.written")
	if err == nil {
		err = w.u.r.Err()
	}
	return err
}

func (w *attemptLog) Failed(a nightshift.Attempt) error {
	a = records.RepairAttempt(a)
	line, crc, err := journal.EncodeLine(journal.Line{K: journal.KindFailed, Row: w.row, Epoch: w.epoch, At: time.Now().UTC(), Attempt: &a})
	if err != nil {
		return fmt.Errorf("row %d: %w", w.row, err)
	}
	w.u.mu.Lock()
	delete(w.u.flying, w.item)
	err = w.u.append(pending{line: line, crc: crc, item: w.item, kind: journal.KindFailed})
	w.u.mu.Unlock()
	disk.CrashPoint("failed.written")
	return err
}

// Put keeps the record of an item: it is written on return, and durable too
// when the run is strict. The record is not changed; what is kept of it has
// valid UTF-8 only, with the flag text_repaired where that took a repair. What
// its pointers point to must not change afterwards.
//
// When storage fails Put returns a [*StorageError]. The record is then still
// held, and is saved as soon as there is a way: see [Run.Close].
func (u *Shard) Put(rec *nightshift.Record) error {
	item, ok := u.j.Item(rec.Row, int(rec.Epoch))
	if !ok || rec.Model != u.model {
		return fmt.Errorf("store: a record of row %d epoch %d model %q does not belong into unit %d of model %q", rec.Row, rec.Epoch, rec.Model, u.key.Shard, u.model)
	}
	kept := records.Repaired(rec)
	line, crc := journal.EncodeRecord(&kept, time.Now().UTC())
	c := records.ColumnsOf(&kept)
	p := pending{line: line, crc: crc, item: item, kind: journal.KindResult, add: &c}
	if err := u.put(p, records.Retried(kept.Outcome)); err != nil {
		return err
	}
	disk.CrashPoint("result.written")
	u.keep(item, &kept)
	return nil
}

func (u *Shard) put(p pending, failed bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state != shardOpen {
		return fmt.Errorf("store: unit %d of model %q is closed", u.key.Shard, u.model)
	}
	if u.done.get(p.item) {
		row, epoch := u.j.RowOf(p.item)
		return fmt.Errorf("store: row %d epoch %d of model %q has a record already", row, epoch, u.model)
	}
	if u.left == 0 {
		row, epoch := u.j.RowOf(p.item)
		return fmt.Errorf("store: row %d epoch %d of model %q is not selected in this run", row, epoch, u.model)
	}
	delete(u.flying, p.item)
	delete(u.j.Open, p.item)
	u.done.set(p.item)
	u.left--
	if failed {
		u.j.Redo[p.item] = p.add.Tally()
	} else {
		delete(u.j.Redo, p.item)
	}
	err := u.append(p)
	if err == nil && (u.r.opts.Strict || u.waits > maxWaiting) {
		err = u.waitFor(u.written)
	}
	return err
}

// append takes a line: it is written, or held until it can be.
func (u *Shard) append(p pending) error {
	if u.state != shardOpen && u.state != shardCommitting {
		return fmt.Errorf("store: unit %d of model %q is closed", u.key.Shard, u.model)
	}
	if p.kind == journal.KindTurn {
		t := u.j.HistoryOf(p.item, p.crc)
		if t == nil {
			return nil
		}
		p.turn = len(t.Turns)
		t.Turns = append(t.Turns, journal.Place{})
		t.Intents, t.Failed = nil, nil // the answer tells of them
	}
	u.r.noteSize(int64(len(p.line)), len(u.flying))
	u.pending = append(u.pending, p)
	u.waits += int64(len(p.line))
	u.written++
	if u.cur == nil && len(u.pending) > 1 {
		return u.rotate(u.r.Err()) // nothing took the lines before this one
	}
	if err := u.write(&u.pending[len(u.pending)-1]); err != nil {
		return u.rotate(err)
	}
	if u.cur.Fallback {
		return errors.Join(u.cur.Sync(), u.r.Err())
	}
	u.r.wake()
	return nil
}

// write puts one line into the current file.
func (u *Shard) write(p *pending) error {
	if u.cur == nil {
		f, err := u.create(u.r.dir.At(rundir.JournalDir))
		if err != nil {
			return err
		}
		u.adopt(f)
	}
	u.reserve(int64(len(p.line)))
	off, err := u.cur.Put(p.line)
	if err != nil {
		return err
	}
	u.place(p, journal.Place{Off: off, Len: int32(len(p.line) - 1), File: u.cur.N, CRC: p.crc})
	return nil
}

// place notes where a line lies.
func (u *Shard) place(p *pending, at journal.Place) {
	switch p.kind {
	case journal.KindResult:
		u.j.At[p.item] = at
	case journal.KindTurn:
		if t := u.j.Open[p.item]; t != nil {
			t.Turns[p.turn] = at
		}
	}
}

// reserve keeps journal space allocated ahead of the writes. When the disk has
// none left the run stops, while the space that is reserved still takes what
// is in flight.
func (u *Shard) reserve(need int64) {
	f := u.cur
	if f.Size+need <= f.Reserved {
		return
	}
	n := max(reserveAhead, need)
	if err := f.File.Reserve(f.Size, n); err != nil {
		if fsx.IsFull(err) {
			u.r.fail(disk.Wrap("reserving space for", f.Name, err))
		}
		return
	}
	f.Reserved = f.Size + n
}

// create begins the shard's next journal file in dir.
func (u *Shard) create(dir string) (*journal.File, error) {
	u.epoch++
	name := filepath.Join(dir, rundir.JournalName(u.slug, u.key.Shard, u.gen, u.epoch))
	f, err := u.r.fs.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND)
	if err != nil {
		return nil, err
	}
	s := u.chunk
	head, _, err := journal.EncodeLine(journal.Head{
		K: journal.KindHead, RunID: u.r.doc.RunID, Model: u.model, Shard: u.key.Shard, Gen: u.gen, Epoch: u.epoch,
		First: s.First, Rows: s.Rows, ChunkHash: rundir.HashText(s.Hash), PID: os.Getpid(), At: time.Now().UTC(),
	})
	jf := &journal.File{File: f, Name: name, Dir: dir, N: int32(len(u.j.Files))}
	if err == nil {
		_, err = jf.Put(head)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	disk.CrashPoint("journal.created")
	return jf, nil
}

// adopt makes f the current file. Older ones stay open for reading.
func (u *Shard) adopt(f *journal.File) {
	u.j.Files = append(u.j.Files, f.File)
	u.j.Names = append(u.j.Names, f.Name)
	u.cur = f
}

// rotate answers a failed write or sync of the current file. That file is not
// trusted any more: after a failed sync the kernel may call pages clean that
// never reached the disk. Everything not durable is written to a new file and
// synced: in the journal directory; there again once the reserveFile has made
// room; else outside the run directory.
func (u *Shard) rotate(cause error) error {
	away := u.cur
	u.cur = nil
	if away == nil || !away.Fallback {
		if fsx.IsFull(cause) {
			u.r.fail(disk.Wrap("writing the journal", u.r.dir.At(rundir.JournalDir), cause))
			u.r.dropReserveFile()
		}
		err := u.rewrite(u.r.dir.At(rundir.JournalDir), false)
		if fsx.IsFull(err) && u.r.dropReserveFile() {
			u.r.fail(disk.Wrap("writing the journal", u.r.dir.At(rundir.JournalDir), err))
			err = u.rewrite(u.r.dir.At(rundir.JournalDir), false)
		}
		if err == nil {
			u.r.opts.Notice(fmt.Sprintf("the journal of unit %d of %s could not be written (%v); it goes on in a new file, nothing is lost", u.key.Shard, u.model, cause))
			return nil
		}
	}
	failure := disk.Wrap("writing the journal", u.r.dir.At(rundir.JournalDir), cause)
	if dir, err := u.fallbackDir(); err == nil && u.rewrite(dir, true) == nil {
		failure = rescued(failure, dir)
	}
	u.r.fail(failure)
	u.settled.Broadcast()
	return failure
}

func rescued(err error, dir string) error {
	var se *disk.StorageError
	if !errors.As(err, &se) || strings.Contains(se.Hint, dir) {
		return err
	}
	e := *se
	e.Hint = "answers that had been paid for were saved in " + dir + ": move these files into the journal folder of the run before starting it again; " + e.Hint
	return &e
}

func (u *Shard) fallbackDir() (string, error) {
	dir := filepath.Join(u.r.fs.TempDir(), "nightshift-rescue-"+u.r.doc.RunID)
	if err := u.r.fs.Mkdir(dir); err != nil {
		return "", err
	}
	return dir, u.r.fs.SyncDir(u.r.fs.TempDir())
}

// rewrite begins a new file in dir with everything that is pending, and makes
// it durable. In the run directory the lines are settled with that; outside
// they stay pending until Close writes them into the run directory.
func (u *Shard) rewrite(dir string, fallback bool) error {
	f, err := u.create(dir)
	if err != nil {
		return err
	}
	f.Fallback = fallback
	at := make([]journal.Place, len(u.pending))
	for i, p := range u.pending {
		off, err := f.Put(p.line)
		if err != nil {
			f.Close()
			return err
		}
		at[i] = journal.Place{Off: off, Len: int32(len(p.line) - 1), File: f.N, CRC: p.crc}
	}
	if err := f.MakeDurable(u.r.fs); err != nil {
		f.Close()
		return err
	}
	u.adopt(f)
	for i := range u.pending {
		u.place(&u.pending[i], at[i])
	}
	if !fallback {
		u.settle(len(u.pending))
	}
	return nil
}

// settle notes that the oldest n pending lines are durable.
func (u *Shard) settle(n int) {
	u.r.mu.Lock()
	u.r.wrote = time.Now().UTC()
	for _, p := range u.pending[:n] {
		u.waits -= int64(len(p.line))
		journal.DropLine(p.line)
		if p.add == nil {
			continue
		}
		u.r.totals[u.key.Model].Count(p.add)
		if t, ok := u.pastOf[p.item]; ok {
			u.r.unsettled[u.key.Model].Accumulate(&t, -1)
			delete(u.pastOf, p.item)
		}
	}
	u.r.mu.Unlock()
	rest := copy(u.pending, u.pending[n:])
	clear(u.pending[rest:])
	u.pending = u.pending[:rest]
	u.synced += uint64(n)
	u.settled.Broadcast()
}

// waitFor blocks until the n-th line is durable or storage has failed.
func (u *Shard) waitFor(n uint64) error {
	for u.synced < n {
		if u.state == shardClosed {
			return fmt.Errorf("store: unit %d of model %q was closed", u.key.Shard, u.model)
		}
		if err := u.r.Err(); err != nil && (u.cur == nil || u.cur.Fallback) {
			return err
		}
		u.settled.Wait()
	}
	return nil
}

// waiting reports whether something is not durable yet.
func (u *Shard) waiting() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.pending) > 0
}

// sync makes everything written so far durable.
func (u *Shard) sync() error {
	u.syncMu.Lock()
	defer u.syncMu.Unlock()
	u.mu.Lock()
	n, f := len(u.pending), u.cur
	u.mu.Unlock()
	if n == 0 {
		return nil
	}
	if f == nil || f.Fallback {
		return u.r.Err()
	}
	disk.CrashPoint("sync.before")
	err := f.MakeDurable(u.r.fs)
	disk.CrashPoint("sync.after")
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.cur != f {
		return nil // a failed write has moved on, and what was pending with it
	}
	if err != nil {
		return u.rotate(err)
	}
	u.settle(n)
	return nil
}

// flush makes what is pending durable in the run directory, also what had
// to be saved elsewhere.
func (u *Shard) flush() error {
	if err := u.sync(); err == nil && !u.waiting() {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.pending) == 0 {
		return nil
	}
	away := u.cur
	if err := u.rewrite(u.r.dir.At(rundir.JournalDir), false); err != nil {
		if away == nil {
			return u.rotate(err)
		}
		return rescued(disk.Wrap("writing the journal", u.r.dir.At(rundir.JournalDir), err), away.Dir)
	}
	if away != nil && away.Fallback {
		_ = u.r.fs.Remove(away.Name)
	}
	return nil
}

func (u *Shard) closeFiles() {
	u.growing.Lock()
	defer u.growing.Unlock()
	u.abandonTempFile()
	u.syncMu.Lock()
	defer u.syncMu.Unlock()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.j.Close()
	if u.state != shardCommitted {
		u.state = shardClosed
	}
	u.settled.Broadcast()
}

// noteSize remembers the longest line, for the room that is kept free.
func (r *Run) noteSize(n int64, flying int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.largest = max(r.largest, n)
	r.flying = max(r.flying, flying)
}

// bitset is a set of item numbers.
type bitset []uint64

func newBitset(n int64) bitset { return make(bitset, (n+63)/64) }

func (b bitset) get(i int64) bool { return b[i/64]&(1<<(i%64)) != 0 }
func (b bitset) set(i int64)      { b[i/64] |= 1 << (i % 64) }
