package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift/internal/fsx"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
)

// reserveAhead is how much space is allocated ahead of the lines, in bytes.
const reserveAhead = 4 << 20

// A Writer appends to the journal of one shard. A line is written when it is
// appended, and durable after the next [Writer.Sync]; many lines share one.
//
// A file that fails is not trusted any more: after a failed sync the kernel may
// call pages clean that never reached the disk. Everything that is not durable
// then goes into a new file: in the journal folder; there again once the owner
// has made room; else in the fallback folder, outside the run directory.
//
// A Writer is guarded by the lock of its owner. Append, Wait, Pending and Bytes
// are called with it held, and so are the owner's methods; Sync, Flush and
// Close take it themselves.
type Writer struct {
	fs    disk.FS
	at    Location
	owner Owner
	index *Index
	lock  sync.Locker

	file     *file      // nil until the first write, and after a failure
	opened   int        // number of the newest file
	pending  []Pending  // written but not durable, oldest first
	bytes    int64      // of those
	appended uint64     // lines so far
	durable  uint64     // of those
	changed  *sync.Cond // signals changes of durable, failure and the end
	closed   bool

	syncing sync.Mutex // one sync at a time; taken before lock
}

// A Location says where the journal of a shard lies.
type Location struct {
	Dir      string             // the run's journals
	Fallback string             // made when Dir takes no more
	Name     func(n int) string // of the shard's n-th file
	Head     Head               // first line of each file; its number and time are filled in
	Shard    string             // the shard in messages
}

// An Owner is told by a Writer what becomes of its lines.
type Owner interface {
	// Durable is told which lines have become durable, in their order. Their
	// texts are given back afterwards.
	Durable(lines []Pending)
	// Fail is told that storage has failed.
	Fail(err error)
	// Err returns why storage has failed; nil while it works.
	Err() error
	// MakeRoom frees space that was kept for this, and reports whether there
	// was any.
	MakeRoom() bool
	// Notice is told what a person should know.
	Notice(text string)
}

// Pending is a line that is not durable yet.
type Pending struct {
	Line   []byte
	CRC    uint32
	Item   int64
	Kind   string
	Record *records.Columns // of a result
	turn   int              // of a turn: its number
}

// NewWriter returns the writer of the shard whose files, up to the one with the
// number last, the index has.
func NewWriter(fs disk.FS, lock sync.Locker, index *Index, at Location, last int, owner Owner) *Writer {
	return &Writer{fs: fs, lock: lock, index: index, at: at, opened: last, owner: owner, changed: sync.NewCond(lock)}
}

// Append takes a line: it is written, or held until it can be.
func (w *Writer) Append(p Pending) error {
	if p.Kind == KindTurn && !w.index.addTurn(&p) {
		return nil
	}
	w.pending = append(w.pending, p)
	w.bytes += int64(len(p.Line))
	w.appended++
	if w.file == nil && len(w.pending) > 1 {
		return w.rotate(w.owner.Err()) // nothing took the lines before this one
	}
	if err := w.write(&w.pending[len(w.pending)-1]); err != nil {
		return w.rotate(err)
	}
	if w.file.fallback {
		return errors.Join(w.file.Sync(), w.owner.Err())
	}
	return nil
}

// addTurn adds an answer to the history of its item; false when it has it.
func (j *Index) addTurn(p *Pending) bool {
	t := j.historyOf(p.Item, p.CRC)
	if t == nil {
		return false
	}
	p.turn = len(t.turns)
	t.turns = append(t.turns, place{})
	t.Intents, t.Failed = nil, nil // the answer tells of them
	return true
}

// Pending is the number of lines that are not durable.
func (w *Writer) Pending() int { return len(w.pending) }

// Bytes is the length of the lines that are not durable.
func (w *Writer) Bytes() int64 { return w.bytes }

// Wait blocks until all lines so far are durable, or storage has failed.
func (w *Writer) Wait() error {
	for all := w.appended; w.durable < all; w.changed.Wait() {
		if w.closed {
			return fmt.Errorf("store: %s was closed", w.at.Shard)
		}
		if err := w.owner.Err(); err != nil && (w.file == nil || w.file.fallback) {
			return err
		}
	}
	return nil
}

// write puts one line into the current file.
func (w *Writer) write(p *Pending) error {
	if w.file == nil {
		f, err := w.create(w.at.Dir)
		if err != nil {
			return err
		}
		w.adopt(f)
	}
	w.reserve(int64(len(p.Line)))
	at, err := w.file.put(p)
	if err != nil {
		return err
	}
	w.index.place(p, at)
	return nil
}

// place notes where a line lies.
func (j *Index) place(p *Pending, at place) {
	switch p.Kind {
	case KindResult:
		j.at[p.Item] = at
	case KindTurn:
		if t := j.open[p.Item]; t != nil {
			t.turns[p.turn] = at
		}
	}
}

// reserve keeps space allocated ahead of the writes. When the disk has none
// left storage has failed, while the space that is reserved still takes what
// is in flight.
func (w *Writer) reserve(need int64) {
	f := w.file
	if f.size+need <= f.reserved {
		return
	}
	n := max(reserveAhead, need)
	if err := f.Reserve(f.size, n); err != nil {
		if fsx.IsFull(err) {
			w.owner.Fail(disk.Wrap("reserving space for", f.name, err))
		}
		return
	}
	f.reserved = f.size + n
}

// create begins the shard's next file in dir.
func (w *Writer) create(dir string) (*file, error) {
	w.opened++
	name := filepath.Join(dir, w.at.Name(w.opened))
	opened, err := w.fs.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|os.O_APPEND)
	if err != nil {
		return nil, err
	}
	f := &file{File: opened, name: name, dir: dir, n: int32(len(w.index.files))}
	head := w.at.Head
	head.K, head.Epoch, head.PID, head.At = kindHead, w.opened, os.Getpid(), time.Now().UTC()
	line, crc, err := EncodeLine(head)
	if err == nil {
		_, err = f.put(&Pending{Line: line, CRC: crc})
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	disk.CrashPoint("journal.created")
	return f, nil
}

// adopt makes f the current file. Older ones stay open for reading.
func (w *Writer) adopt(f *file) {
	w.index.files = append(w.index.files, f.File)
	w.index.names = append(w.index.names, f.name)
	w.file = f
}

// rotate answers a failed write or sync of the current file: what is not durable
// is written to a new one and synced.
func (w *Writer) rotate(cause error) error {
	failed := w.file
	w.file = nil
	if failed == nil || !failed.fallback {
		if fsx.IsFull(cause) {
			w.owner.Fail(w.failure(cause))
			w.owner.MakeRoom()
		}
		err := w.rewrite(w.at.Dir, false)
		if fsx.IsFull(err) && w.owner.MakeRoom() {
			w.owner.Fail(w.failure(err))
			err = w.rewrite(w.at.Dir, false)
		}
		if err == nil {
			w.owner.Notice(fmt.Sprintf("the journal of %s could not be written (%v); it goes on in a new file, nothing is lost",
				w.at.Shard, cause))
			return nil
		}
	}
	err := w.failure(cause)
	if w.makeFallback() == nil && w.rewrite(w.at.Fallback, true) == nil {
		err = savedIn(w.at.Fallback, err)
	}
	w.owner.Fail(err)
	w.changed.Broadcast()
	return err
}

func (w *Writer) failure(cause error) error { return disk.Wrap("writing the journal", w.at.Dir, cause) }

// savedIn adds to a storage error where the answers are.
func savedIn(dir string, err error) error {
	var se *disk.StorageError
	if !errors.As(err, &se) || strings.Contains(se.Hint, dir) {
		return err
	}
	e := *se
	e.Hint = "answers that had been paid for were saved in " + dir +
		": move these files into the journal folder of the run before starting it again; " + e.Hint
	return &e
}

func (w *Writer) makeFallback() error {
	if err := w.fs.Mkdir(w.at.Fallback); err != nil {
		return err
	}
	return w.fs.SyncDir(filepath.Dir(w.at.Fallback))
}

// rewrite begins a new file in dir with everything that is pending, and makes
// it durable. In the journal folder the lines are done with that; in the
// fallback folder they stay pending until Flush writes them into the run.
func (w *Writer) rewrite(dir string, fallback bool) error {
	f, err := w.create(dir)
	if err != nil {
		return err
	}
	f.fallback = fallback
	at := make([]place, len(w.pending))
	for i := range w.pending {
		if at[i], err = f.put(&w.pending[i]); err != nil {
			f.Close()
			return err
		}
	}
	if err := f.makeDurable(w.fs); err != nil {
		f.Close()
		return err
	}
	w.adopt(f)
	for i := range w.pending {
		w.index.place(&w.pending[i], at[i])
	}
	if !fallback {
		w.done(len(w.pending))
	}
	return nil
}

// done notes that the oldest n pending lines are durable.
func (w *Writer) done(n int) {
	lines := w.pending[:n]
	w.owner.Durable(lines)
	for i := range lines {
		w.bytes -= int64(len(lines[i].Line))
		dropLine(lines[i].Line)
	}
	w.pending = slices.Delete(w.pending, 0, n)
	w.durable += uint64(n)
	w.changed.Broadcast()
}

// Sync makes everything written so far durable.
func (w *Writer) Sync() error {
	w.syncing.Lock()
	defer w.syncing.Unlock()
	w.lock.Lock()
	n, f := len(w.pending), w.file
	w.lock.Unlock()
	if n == 0 {
		return nil
	}
	if f == nil || f.fallback {
		return w.owner.Err()
	}
	disk.CrashPoint("sync.before")
	err := f.makeDurable(w.fs)
	disk.CrashPoint("sync.after")
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.file != f {
		return nil // a failed write has moved on, and what was pending with it
	}
	if err != nil {
		return w.rotate(err)
	}
	w.done(n)
	return nil
}

// Flush makes what is pending durable in the journal folder, also what had to be
// saved elsewhere.
func (w *Writer) Flush() error {
	_ = w.Sync() // where it failed, something is pending
	w.lock.Lock()
	defer w.lock.Unlock()
	if len(w.pending) == 0 {
		return nil
	}
	away := w.file
	if err := w.rewrite(w.at.Dir, false); err != nil {
		if away == nil {
			return w.rotate(err)
		}
		return savedIn(away.dir, w.failure(err))
	}
	if away != nil && away.fallback {
		_ = w.fs.Remove(away.name)
	}
	return nil
}

// Close closes the files and returns their names. Whoever waits is told.
func (w *Writer) Close() (names []string) {
	w.syncing.Lock()
	defer w.syncing.Unlock()
	w.lock.Lock()
	defer w.lock.Unlock()
	w.index.Close()
	w.closed = true
	w.changed.Broadcast()
	return w.index.names
}
