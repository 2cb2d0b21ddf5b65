package store

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"nightshift"
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
	j           *journal.Index
	journal     *journal.Writer // to the files of j
	shardTotals shardTotals
	baseLog     map[int64][]nightshift.Attempt // attempts of the base's failed rows
	baseOf      map[int64]records.Tally        // and what they add to the totals
	pastOf      map[int64]records.Tally        // what Run.Unsettled holds of an item
	done        bitset
	left        int64
	flying      map[int64]struct{} // items whose intent has no outcome yet
	state       shardState
	kept        map[int64]*nightshift.Record // records for the temporary file, by item
	fresh       int                          // records since the temporary file grew

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

// OpenShard opens a shard that is not committed. It returns the same Shard when
// it is open already. An error is a [*StorageError], or says that the shard
// does not exist or is committed.
func (r *Run) OpenShard(model string, shard int) (*Shard, error) {
	i, ok := r.models[model]
	if !ok || shard < 0 || shard >= len(r.id.Chunks) {
		return nil, fmt.Errorf("store: run %s has no shard %d of model %q", r.id.Name, shard, model)
	}
	key := rundir.Key{Model: i, Shard: shard}
	r.mu.Lock()
	parquetFile, committed := r.parquetFiles[key]
	retry := r.retry[key]
	u := r.shards[key]
	_, released := r.released[key]
	r.mu.Unlock()
	if u != nil {
		return u, nil
	}
	if committed && !retry {
		return nil, fmt.Errorf("store: shard %d of model %q is committed", shard, model)
	}
	var base *rundir.ParquetFile
	if committed {
		base = &parquetFile
	}
	if released {
		if u, err := r.reopen(key); u != nil || err != nil {
			return u, err
		}
	}
	u, err := r.newShard(key, base, r.newJournal(shard), 0)
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

// newShard puts a shard together from what its journals, up to the one with the
// number last, and the Parquet file it replaces hold.
func (r *Run) newShard(key rundir.Key, base *rundir.ParquetFile, j *journal.Index, last int) (*Shard, error) {
	u := &Shard{
		r: r, key: key, chunk: r.id.Chunks[key.Shard], model: r.id.Models[key.Model], slug: r.slugs[key.Model], gen: 1,
		base: base, j: j,
		baseLog: map[int64][]nightshift.Attempt{}, baseOf: map[int64]records.Tally{}, pastOf: map[int64]records.Tally{},
		done: newBitset(j.Items()), left: r.id.Chunks[key.Shard].Items(r.id.Epochs), flying: map[int64]struct{}{},
		kept: map[int64]*nightshift.Record{},
	}
	if base != nil {
		u.gen = base.Gen + 1
		if err := u.readBase(); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	settled := r.released[key].done
	r.mu.Unlock()
	for item := range j.Items() {
		if j.Has(item) && (settled.get(item) || !u.again(item)) && !u.done.get(item) {
			u.done.set(item)
			u.left--
		}
	}
	u.computeTotals()
	u.journal = journal.NewWriter(r.fs, &u.mu, j, u.location(), last, owner{u})
	return u, nil
}

// location is where the shard's journal lies.
func (u *Shard) location() journal.Location {
	c := u.chunk
	return journal.Location{
		Dir:      u.r.dir.At(rundir.JournalDir),
		Fallback: filepath.Join(u.r.fs.TempDir(), "nightshift-rescue-"+u.r.doc.RunID),
		Name:     func(n int) string { return rundir.JournalName(u.slug, u.key.Shard, u.gen, n) },
		Head: journal.Head{
			RunID: u.r.doc.RunID, Model: u.model, Shard: u.key.Shard, Gen: u.gen,
			First: c.First, Rows: c.Rows, ChunkHash: rundir.HashText(c.Hash),
		},
		Shard: fmt.Sprintf("shard %d of %s", u.key.Shard, u.model),
	}
}

// owner is told what becomes of the shard's journal.
type owner struct{ *Shard }

// Durable counts the records that are durable now.
func (o owner) Durable(lines []journal.Pending) {
	r, model := o.r, o.key.Model
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrote = time.Now().UTC()
	var logs []string
	for _, p := range lines {
		if p.Record == nil {
			continue
		}
		r.totals[model].Count(p.Record)
		if t, ok := o.pastOf[p.Item]; ok {
			r.unsettled[model].Accumulate(&t, -1)
			delete(o.pastOf, p.Item)
		}
		if log := p.Record.AttemptLog; log != nil && r.opts.Durable != nil {
			logs = append(logs, *log)
		}
	}
	if len(logs) > 0 {
		r.opts.Durable(o.model, logs)
	}
}

func (o owner) Fail(err error)     { o.r.fail(err) }
func (o owner) Err() error         { return o.r.Err() }
func (o owner) MakeRoom() bool     { return o.r.dropReserveFile() }
func (o owner) Notice(text string) { o.r.opts.Notice(text) }

// again reports whether an item is to be run although the journal has a
// record of it.
func (u *Shard) again(item int64) bool {
	_, failed := u.j.Failed(item)
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
			return disk.Wrap("reading", name, fmt.Errorf("row %d epoch %d is not in shard %d", c.Row, c.Epoch, u.key.Shard))
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
	// its records; less what the Parquet file that it replaces said of the rows that are open again
	totals    records.Tally
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
	recorded := u.j.Totals()
	s.totals.Accumulate(&recorded, 1)
	for item := range u.items() {
		if u.done.get(item) {
			u.j.DropHistory(item)
			continue
		}
		if t, ok := u.j.Failed(item); ok {
			s.totals.Accumulate(&t, -1)
		}
		log := u.history(item)
		if h := u.j.History(item); h != nil {
			log = append(slices.Clip(log), h.Answered...)
			s.unknown = append(s.unknown, u.unknown(item, h)...)
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
			WorstTokens: in.WorstTokens, WorstCost: in.WorstCost, Job: in.Job,
		})
	}
	return list
}

// register adds the shard to the run, whose lock is held, and reports whether it
// comes back after it was released: its records are counted then.
func (u *Shard) register() (again bool) {
	left, again := u.r.released[u.key]
	if again {
		delete(u.r.released, u.key)
		u.r.unsettled[u.key.Model].Accumulate(&left.unsettled, -1)
		u.r.unknown = slices.DeleteFunc(u.r.unknown, func(x rundir.Unknown) bool {
			return x.Model == u.model && x.Shard == u.key.Shard
		})
	} else {
		u.r.totals[u.key.Model].Accumulate(&u.shardTotals.totals, 1)
	}
	u.r.shards[u.key] = u
	u.r.unsettled[u.key.Model].Accumulate(&u.shardTotals.unsettled, 1)
	u.r.unknown = append(u.r.unknown, u.shardTotals.unknown...)
	u.shardTotals = shardTotals{}
	return again
}

// items yields, in order, every item about which something is known besides a
// final record.
func (u *Shard) items() func(func(int64) bool) {
	list := append(u.j.Unfinished(), slices.Collect(maps.Keys(u.baseLog))...)
	slices.Sort(list)
	return slices.Values(slices.Compact(list))
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
		panic(fmt.Sprintf("store: row %d epoch %d is not in shard %d of model %q", row, epoch, u.key.Shard, u.model))
	}
	return item
}

// History returns the attempts that earlier processes, or batches, made for an
// item that has no final record, oldest first: those that failed, and those whose
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
	if h := u.j.History(item); h != nil {
		log = append(slices.Clip(log), h.Attempts()...)
	}
	return log
}

// failedLog are the attempts of the item's record that failed, if it has one.
func (u *Shard) failedLog(item int64) []nightshift.Attempt {
	if _, failed := u.j.Failed(item); !failed {
		return u.baseLog[item]
	}
	// The journal's record took over the base's attempts, if there were any.
	rec, err := u.j.Record(item)
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
	if u.done.get(item) {
		return nil
	}
	turns, err := u.j.Turns(item)
	if err != nil {
		u.r.opts.Notice(fmt.Sprintf("row %d: the answer to turn %d cannot be read and is asked for again: %v",
			row, len(turns)+1, err))
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
	line, crc, err := journal.EncodeLine(journal.Line{K: journal.KindTurn, Row: row, Epoch: int32(epoch),
		At: time.Now().UTC(), Turn: turn})
	if err != nil {
		return fmt.Errorf("row %d: %w", row, err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.flying, item)
	err = u.append(journal.Pending{Line: line, CRC: crc, Item: item, Kind: journal.KindTurn})
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
	if n, in := w.u.r.inBatch(w.u.key, w.item); in {
		return fmt.Errorf("store: row %d epoch %d of model %q is in batch %d, which is not collected", w.row, w.epoch,
			w.u.model, n)
	}
	line, crc := journal.EncodeIntent(in, w.row, w.epoch, time.Now().UTC())
	w.u.mu.Lock()
	w.u.flying[w.item] = struct{}{}
	err := w.u.append(journal.Pending{Line: line, CRC: crc, Item: w.item, Kind: journal.KindIntent})
	w.u.mu.Unlock()
	disk.CrashPoint("intent.written")
	if err == nil {
		err = w.u.r.Err()
	}
	if err == nil {
		err = w.u.r.ship()
	}
	return err
}

// Accepted writes the intent once more, now with the id of the answer that is
// being made, and waits until that is on the disk: a start after a power
// failure must know what to ask for.
func (w *attemptLog) Accepted(in nightshift.Intent) error {
	line, crc := journal.EncodeIntent(in, w.row, w.epoch, time.Now().UTC())
	w.u.mu.Lock()
	err := w.u.append(journal.Pending{Line: line, CRC: crc, Item: w.item, Kind: journal.KindIntent})
	disk.CrashPoint("accepted.written")
	if err == nil {
		err = w.u.journal.Wait()
	}
	w.u.mu.Unlock()
	if err == nil {
		err = w.u.r.ship()
	}
	return err
}

func (w *attemptLog) Failed(a nightshift.Attempt) error {
	a = records.RepairAttempt(a)
	line, crc, err := journal.EncodeLine(journal.Line{K: journal.KindFailed, Row: w.row, Epoch: w.epoch,
		At: time.Now().UTC(), Attempt: &a})
	if err != nil {
		return fmt.Errorf("row %d: %w", w.row, err)
	}
	w.u.mu.Lock()
	delete(w.u.flying, w.item)
	err = w.u.append(journal.Pending{Line: line, CRC: crc, Item: w.item, Kind: journal.KindFailed})
	if a.Batch != "" {
		w.u.j.Failure(w.item, crc, a) // the row goes on hours later, or in another process
	}
	w.u.mu.Unlock()
	disk.CrashPoint("failed.written")
	return err
}

// Put keeps the record of an item: it is written on return, and durable too
// when the run is strict. The record is not changed, here or afterwards; what is
// kept has valid UTF-8 only, with the flag text_repaired where that took a
// repair.
//
// When storage fails Put returns a [*StorageError]. The record is then still
// held, and is saved as soon as there is a way: see [Run.Close].
func (u *Shard) Put(rec *nightshift.Record) error {
	item, ok := u.j.Item(rec.Row, int(rec.Epoch))
	if !ok || rec.Model != u.model {
		return fmt.Errorf("store: a record of row %d epoch %d model %q does not belong into shard %d of model %q",
			rec.Row, rec.Epoch, rec.Model, u.key.Shard, u.model)
	}
	kept := records.Sound(rec)
	line, crc := journal.EncodeRecord(kept, time.Now().UTC())
	c := records.ColumnsOf(kept)
	p := journal.Pending{Line: line, CRC: crc, Item: item, Kind: journal.KindResult, Record: &c}
	if err := u.put(p, records.Retried(kept.Outcome)); err != nil {
		return err
	}
	disk.CrashPoint("result.written")
	u.keep(item, kept)
	if tell := u.r.opts.Recorded; tell != nil {
		tell(kept)
	}
	return nil
}

func (u *Shard) put(p journal.Pending, failed bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.state != shardOpen {
		return fmt.Errorf("store: shard %d of model %q is closed", u.key.Shard, u.model)
	}
	row, epoch := u.j.RowOf(p.Item)
	if u.done.get(p.Item) {
		return fmt.Errorf("store: row %d epoch %d of model %q has a record already", row, epoch, u.model)
	}
	if u.left == 0 {
		return fmt.Errorf("store: row %d epoch %d of model %q is not selected in this run", row, epoch, u.model)
	}
	delete(u.flying, p.Item)
	u.done.set(p.Item)
	u.left--
	var failure *records.Tally
	if failed {
		t := p.Record.Tally()
		failure = &t
	}
	u.j.Finish(p.Item, failure)
	err := u.append(p)
	if err == nil && (u.r.opts.Strict || u.journal.Bytes() > maxWaiting) {
		err = u.journal.Wait()
	}
	return err
}

// append puts a line into the journal.
func (u *Shard) append(p journal.Pending) error {
	if u.state != shardOpen && u.state != shardCommitting {
		return fmt.Errorf("store: shard %d of model %q is closed", u.key.Shard, u.model)
	}
	u.r.noteSize(int64(len(p.Line)), len(u.flying))
	err := u.journal.Append(p)
	if err == nil {
		u.r.wake()
	}
	return err
}

// waiting reports whether something is not durable yet.
func (u *Shard) waiting() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.journal.Pending() > 0
}

func (u *Shard) closeFiles() {
	u.growing.Lock()
	defer u.growing.Unlock()
	u.abandonTempFile()
	u.mu.Lock()
	if u.state != shardCommitted {
		u.state = shardClosed
	}
	u.mu.Unlock()
	u.journal.Close()
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

func (b bitset) get(i int64) bool { return b != nil && b[i/64]&(1<<(i%64)) != 0 }
func (b bitset) set(i int64)      { b[i/64] |= 1 << (i % 64) }
