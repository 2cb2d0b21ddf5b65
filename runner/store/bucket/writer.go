package bucket

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift/internal/fsx"
	"nightshift/internal/s3"
)

// Times of a [Writer].
const (
	shipEvery  = 100 * time.Millisecond // shortest time between two pieces
	shipWithin = time.Second            // what nobody waits for goes along within this
	lookEvery  = 5 * time.Second        // how often the whole directory is looked at, and live.json goes
	putWithin  = 30 * time.Second       // for one attempt at a piece
	quietFor   = 15 * time.Second       // a writer that wrote nothing for so long is taken over
	patience   = 5 * time.Minute        // how long a store may be away
	inlineSize = 256 << 10              // larger files are objects of their own
	smallPiece = 1 << 20                // smaller pieces are joined
	mostPieces = 512                    // when there are more of them than this
)

// Options of [Open]. The zero value is the normal way.
type Options struct {
	Log *slog.Logger // nil discards
	// Patience is how long the store may be away before the run ends; 0 is 5
	// minutes.
	Patience time.Duration
	// Quiet is after how long without a sign another writer is taken over; 0 is
	// 15 s.
	Quiet time.Duration
	// Pace is the shortest time between two writes of the log; 0 is 100 ms, negative
	// none.
	Pace time.Duration
	// Existing refuses a bucket that does not have the run.
	Existing bool

	pieces int // 0 means mostPieces
}

// A Writer ships what a run writes into its directory. There is one for each
// run; [Open] says how. Its methods are safe for concurrent use.
type Writer struct {
	bucket *s3.Bucket
	dir    string
	opts   Options
	self   head
	lock   *os.File
	ctx    context.Context // of all requests
	cancel context.CancelCauseFunc

	// Of the one goroutine that ships.
	state   *state
	seen    map[string]os.FileInfo // of files, when they were shipped
	unused  []string               // objects to be deleted
	written time.Time              // the last piece
	object  int                    // number of the last file that is an object

	mu      sync.Mutex
	looked  time.Time         // at the whole directory
	roots   map[string]bool   // directories of runs: the run's "", and those inside it
	waiting []func(err error) // told when what is there now is in the bucket
	err     error
	givenUp error     // why nobody waits any more
	away    time.Time // since when the store has not answered; zero while it does

	wake    chan struct{}
	failed  chan struct{}
	closing chan chan error
	done    chan struct{}
}

// A TakenOverError says that another process goes on with the run. The program
// ends with exit code 75.
type TakenOverError struct {
	Address string
	PID     int
	Host    string
	Since   time.Time
}

func (e *TakenOverError) Error() string {
	return fmt.Sprintf("%s was taken over by process %d on %s at %s; this process has written and sent nothing since, "+
		"and ends", e.Address, e.PID, e.Host, e.Since.Local().Format(time.DateTime))
}

// InUseError says that another process works on the run. The program ends with
// exit code 75.
type InUseError struct {
	Address string
	PID     int
	Host    string
	Since   time.Time
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("%s is in use by process %d on %s since %s; nothing was sent. When that machine is gone, the same "+
		"command takes over %.0f s after its last sign", e.Address, e.PID, e.Host, e.Since.Local().Format(time.DateTime),
		quietFor.Seconds())
}

// An AwayError says that the store could not be reached for so long that the
// run ended. The run goes on with the same command on the same machine.
type AwayError struct {
	Address string
	Dir     string
	Err     error
}

func (e *AwayError) Error() string {
	return fmt.Sprintf("%s cannot be written: %v; nothing is lost: everything is in %s, and the same command on this "+
		"machine ships it and goes on", e.Address, e.Err, e.Dir)
}

func (e *AwayError) Unwrap() error { return e.Err }

// Address is the run's URL.
func (w *Writer) Address() string { return strings.TrimSuffix(w.bucket.Address(""), "/") }

// Failed is closed when nothing more can be shipped.
func (w *Writer) Failed() <-chan struct{} { return w.failed }

// Err is why nothing more can be shipped: a [*TakenOverError] or an
// [*AwayError]; nil while it works.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *Writer) fail(err error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = err
		close(w.failed)
	}
	waiting := w.waiting
	w.waiting = nil
	w.mu.Unlock()
	for _, tell := range waiting {
		tell(err)
	}
}

// After calls tell once everything that is in the run directory dir now is in
// the bucket, or never will be. It does not wait.
func (w *Writer) After(dir string, tell func(error)) {
	root := w.root(dir)
	w.mu.Lock()
	err := cmp.Or(w.err, w.givenUp)
	if err == nil {
		if !w.roots[root] { // a run inside the run: all of it goes along
			w.roots[root], w.looked = true, time.Time{}
		}
		w.waiting = append(w.waiting, tell)
	}
	w.mu.Unlock()
	if err != nil {
		tell(err)
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Ship waits until everything that is in the run directory dir now is in the
// bucket.
func (w *Writer) Ship(dir string) error {
	done := make(chan error, 1)
	w.After(dir, func(err error) { done <- err })
	return <-done
}

// ShipAll is [Writer.Ship] of all files, also those that are looked at seldom.
func (w *Writer) ShipAll() error {
	w.mu.Lock()
	w.looked = time.Time{}
	w.mu.Unlock()
	return w.Ship(w.dir)
}

// root is a run directory's path in the run.
func (w *Writer) root(dir string) string {
	rel, err := filepath.Rel(w.dir, dir)
	if err != nil || rel == "." {
		return ""
	}
	return filepath.ToSlash(rel)
}

// hurry is how long a store may be away once the process is to end.
const hurry = 10 * time.Second

// GiveUp ends what waits for the store, because the process is to end. Nothing is
// sent any more; what is left is still shipped, if the store answers.
func (w *Writer) GiveUp(cause error) {
	w.mu.Lock()
	w.opts.Patience = min(w.opts.Patience, hurry)
	w.givenUp = cause
	waiting := w.waiting
	w.waiting = nil
	w.mu.Unlock()
	for _, tell := range waiting {
		tell(cause)
	}
}

// Close ships what is left and lets go of the run, so that another process can
// take it over at once. Copies of reports and scores are put beside the log. The error
// is why the bucket lacks something, if it does.
func (w *Writer) Close() error {
	answer := make(chan error, 1)
	select {
	case w.closing <- answer:
	case <-w.done:
		answer <- w.Err()
	}
	err := <-answer
	<-w.done
	w.cancel(nil)
	return errors.Join(err, w.lock.Close())
}

// loop is the goroutine that ships.
func (w *Writer) loop() {
	defer close(w.done)
	tick := time.NewTicker(shipWithin)
	defer tick.Stop()
	for {
		var last chan error
		select {
		case <-w.wake:
		case <-tick.C:
		case last = <-w.closing:
		}
		begun := time.Now()
		err := w.round(last != nil)
		if last != nil {
			last <- err
			return
		}
		if err != nil {
			w.fail(err)
			continue
		}
		sleep(w.ctx, w.opts.Pace-time.Since(begun))
	}
}

// round ships what is there when it begins.
func (w *Writer) round(last bool) error {
	w.mu.Lock()
	err, waiting, roots := w.err, w.waiting, make([]string, 0, len(w.roots))
	w.waiting = nil
	for root := range w.roots {
		roots = append(roots, root)
	}
	whole := last || time.Since(w.looked) >= lookEvery
	if whole {
		w.looked = time.Now()
	}
	w.mu.Unlock()
	if err == nil {
		err = w.shipRound(roots, whole, last)
	}
	for _, tell := range waiting {
		tell(err)
	}
	return err
}

func (w *Writer) shipRound(roots []string, whole, last bool) error {
	found, err := w.look(roots, whole)
	if err != nil {
		return &AwayError{Address: w.Address(), Dir: w.dir, Err: err}
	}
	if err := w.ship(found); err != nil {
		return err
	}
	if err := w.join(); err != nil {
		return err
	}
	switch {
	case last:
		if err := w.put(piece{head: head{Kind: kindEnd}}); err != nil {
			return err
		}
		w.copyReports()
	case time.Since(w.written) >= lookEvery: // a sign that somebody works on the run
		if err := w.put(piece{head: head{Kind: kindData}}); err != nil {
			return err
		}
	}
	if whole {
		w.clean()
	}
	return nil
}

// ship writes what was found: objects first, then the log, in which they are
// named.
func (w *Writer) ship(found changes) error {
	for _, e := range found.objects {
		if err := w.putObject(e); err != nil {
			return err
		}
	}
	entries, size := []entry(nil), int64(0)
	flush := func() error {
		if len(entries) == 0 {
			return nil
		}
		err := w.put(piece{head: head{Kind: kindData}, entries: entries})
		entries, size = nil, 0
		return err
	}
	for _, e := range slices.Concat(found.objects, found.entries, found.logs, found.gone) {
		if size += e.Len; size > pieceSize {
			if err := flush(); err != nil {
				return err
			}
			size = e.Len
		}
		entries = append(entries, e)
	}
	if err := flush(); err != nil {
		return err
	}
	for name, info := range found.seen {
		w.seen[name] = info
	}
	return nil
}

// put appends a piece to the log. It repeats what may succeed later, as long as
// patience lasts. Another's piece in its place ends it: the run was taken over.
func (w *Writer) put(p piece) error {
	p.head.Seq, p.head.Writer, p.head.Host, p.head.PID = w.state.last.Seq+1, w.self.Writer, w.self.Host, w.self.PID
	p.head.Since, p.head.At = w.self.Since, time.Now().UTC()
	body, err := p.encode()
	if err != nil {
		return err
	}
	p.size = int64(len(body))
	err = w.patiently(putWithin, func(ctx context.Context) error {
		_, err := w.bucket.Put(ctx, pieceKey(p.head.Seq), body, s3.Condition{Absent: true})
		if errors.Is(err, s3.ErrCondition) {
			return w.whose(ctx, p.head.Seq, body)
		}
		return err
	})
	if err != nil {
		return err
	}
	w.unused, w.written = append(w.unused, w.state.apply(p)...), time.Now()
	return nil
}

// whose finds out whether the piece in our place is ours: an attempt of which we
// did not learn that it succeeded.
func (w *Writer) whose(ctx context.Context, seq int64, body []byte) error {
	there, _, err := w.bucket.Get(ctx, pieceKey(seq), mostPiece)
	if err != nil {
		return err
	}
	if bytes.Equal(there, body) {
		return nil
	}
	e := &TakenOverError{Address: w.Address(), Host: "another machine"}
	if p, err := decode(there); err == nil {
		e.PID, e.Host, e.Since = p.head.PID, p.head.Host, p.head.Since
	}
	return e
}

// patiently repeats a request until it succeeds, is refused for good, or the
// store was away for too long. It says when the store is away, and when it is
// back.
func (w *Writer) patiently(within time.Duration, do func(context.Context) error) error {
	wait := shipEvery
	for {
		ctx, cancel := context.WithTimeout(w.ctx, within)
		err := do(ctx)
		cancel()
		if err == nil {
			w.back()
			return nil
		}
		var taken *TakenOverError
		if errors.As(err, &taken) {
			return err
		}
		if cause := context.Cause(w.ctx); cause != nil {
			return &AwayError{Address: w.Address(), Dir: w.dir, Err: errors.Join(cause, err)}
		}
		if w.isAway(err) > w.opts.Patience {
			return &AwayError{Address: w.Address(), Dir: w.dir, Err: err}
		}
		sleep(w.ctx, wait)
		wait = min(2*wait, 5*time.Second)
	}
}

// isAway notes that the store does not do what it is asked, and returns for how
// long it has been so.
func (w *Writer) isAway(err error) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away.IsZero() {
		w.away = time.Now()
		w.opts.Log.Warn(fmt.Sprintf("the bucket cannot be written: %v; nothing is lost, answers are kept in %s, and nothing "+
			"more is sent until it is back (for at most %s)", err, w.dir, w.opts.Patience))
	}
	return time.Since(w.away)
}

func (w *Writer) back() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.away.IsZero() {
		w.opts.Log.Info(fmt.Sprintf("the bucket is back after %s", time.Since(w.away).Round(time.Second)))
	}
	w.away = time.Time{}
}

// putObject stores a file as an object of its own, unless it is there. When
// another file has its name, this one takes its place: see below why that is
// ours to decide.
func (w *Writer) putObject(e entry) error {
	f, err := fsx.OpenFile(filepath.Join(w.dir, filepath.FromSlash(e.Path)), os.O_RDONLY, 0)
	if err != nil {
		return &AwayError{Address: w.Address(), Dir: w.dir, Err: err}
	}
	defer f.Close()
	var sum [32]byte
	if _, err := hex.Decode(sum[:], []byte(e.SHA256)); err != nil {
		return err
	}
	within := putWithin + time.Duration(e.Size/1e6)*time.Second // 1 MB/s
	for {
		var other s3.Object
		err := w.patiently(within, func(ctx context.Context) (err error) {
			other, err = w.create(ctx, e, f, sum)
			return err
		})
		if err != nil || other.ETag == "" {
			return err
		}
		// A writer before us began to store it when it was no longer the writer,
		// or ended before the log named it. What counts is the journal, which we
		// have. That we are the writer, the log says after we have seen the other
		// object. So when that has another ETag by the time that ours comes, it is
		// looked at again.
		if err := w.put(piece{head: head{Kind: kindData}}); err != nil {
			return err
		}
		err = w.patiently(within, func(ctx context.Context) error {
			_, err := w.bucket.PutFile(ctx, e.Object, f, e.Size, sum, s3.Condition{ETag: other.ETag})
			if errors.Is(err, s3.ErrCondition) {
				other.ETag = ""
				return nil
			}
			return err
		})
		if err != nil || other.ETag != "" {
			return err
		}
	}
}

// create stores an object that is not there. Another file under its name is
// returned.
func (w *Writer) create(ctx context.Context, e entry, f io.ReaderAt, sum [32]byte) (other s3.Object, err error) {
	_, err = w.bucket.PutFile(ctx, e.Object, f, e.Size, sum, s3.Condition{Absent: true})
	if !errors.Is(err, s3.ErrCondition) {
		return other, err
	}
	other, err = w.bucket.Head(ctx, e.Object)
	if err == nil && other.SHA256 == e.SHA256 && other.Size == e.Size {
		return s3.Object{}, nil
	}
	return other, err
}

// clean deletes pieces and objects that nothing needs. What cannot be deleted
// now is deleted later.
func (w *Writer) clean() {
	var keys []string
	for _, seq := range w.state.obsolete() {
		keys = append(keys, pieceKey(seq))
	}
	gone := make([]bool, len(keys)+len(w.unused))
	var group several
	for i, key := range slices.Concat(keys, w.unused) {
		group.Go(func() { gone[i] = w.bucket.Delete(w.ctx, key) == nil })
	}
	group.Wait()
	for i, key := range keys {
		if seq, ok := pieceSeq(key); ok && gone[i] {
			delete(w.state.pieces, seq)
		}
	}
	left := w.unused[:0]
	for i, key := range w.unused {
		if !gone[len(keys)+i] {
			left = append(left, key)
		}
	}
	w.unused = left
}

// several runs some functions at once.
type several struct {
	sync.WaitGroup
	places chan struct{}
}

func (g *several) Go(do func()) {
	if g.places == nil {
		g.places = make(chan struct{}, readAhead)
	}
	g.places <- struct{}{}
	g.WaitGroup.Go(func() {
		defer func() { <-g.places }()
		do()
	})
}

// copied are files that people and other programs find under their own names when
// a run has ended.
var copied = []string{"report.html", "report.md", "summary.json", "scores/*.parquet"}

// copyReports puts copies of reports and scores beside the log. They are made from
// the run, so that a copy that fails is no loss.
func (w *Writer) copyReports() {
	for _, name := range w.state.names() {
		if !slices.ContainsFunc(copied, func(p string) bool { ok, err := path.Match(p, name); return ok && err == nil }) {
			continue
		}
		text, err := os.ReadFile(w.local(name))
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(w.ctx, putWithin)
		if _, err := w.bucket.Put(ctx, name, text, s3.Condition{}); err != nil {
			w.opts.Log.Warn(fmt.Sprintf("the copy of %s is not in the bucket: %v", name, err))
		}
		cancel()
	}
}

// newObject is a name for a file that is an object of its own. No other writer
// uses it, nor does this one again.
func (w *Writer) newObject(name string) string {
	if isResult(name) {
		return name
	}
	w.object++
	return fmt.Sprintf("%s%s-%d", filesDir, w.self.Writer, w.object)
}

func newWriterID() string { return strings.ToLower(rand.Text()) }

func sumOf(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}
