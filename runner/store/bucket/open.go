package bucket

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nightshift/internal/fsx"
	"nightshift/internal/s3"
)

// Names in the local directory of a run that is kept in a bucket.
const (
	noteFile    = "bucket.json"
	lockFile    = "bucket.lock"
	setAsideDir = "set-aside"
	stagingDir  = ".bucket"
)

// calibrationDir is what check --calibrate left in a directory that was no run's yet,
// before it took the run from the bucket for that.
const calibrationDir = "calibration"

// A note says which run of which bucket a local directory is of, and which
// writers' work it holds.
type note struct {
	Address string   `json:"address"`
	Writers []string `json:"writers"`
}

// Open makes this process the writer of a run in a bucket, with dir as its local
// directory. It finds out whether the store is fit, claims the run, and brings
// the directory to where the bucket is. The error is an [*InUseError] when
// another process works on the run, an [*UnfitError], or says what is wrong with
// the store or the directory.
func Open(ctx context.Context, b *s3.Bucket, dir string, o Options) (*Writer, error) {
	w, err := prepare(ctx, b, dir, o)
	if err != nil {
		return nil, err
	}
	if err := w.open(ctx); err != nil {
		w.cancel(err)
		return nil, errors.Join(err, w.lock.Close())
	}
	go w.loop()
	return w, nil
}

// prepare takes the local directory, so that no other process of this machine
// works in it.
func prepare(ctx context.Context, b *s3.Bucket, dir string, o Options) (*Writer, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Patience <= 0 {
		o.Patience = patience
	}
	if o.Quiet <= 0 {
		o.Quiet = quietFor
	}
	o.pieces, o.Pace = cmp.Or(o.pieces, mostPieces), cmp.Or(o.Pace, shipEvery)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("--work-dir: %w", err)
	}
	lock, err := fsx.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--work-dir: %w", err)
	}
	if err := fsx.Lock(lock, true); err != nil {
		lock.Close()
		if errors.Is(err, fsx.ErrLocked) {
			host, _ := os.Hostname()
			return nil, &InUseError{Address: strings.TrimSuffix(b.Address(""), "/"), Host: host, Since: time.Now()}
		}
		return nil, fmt.Errorf("--work-dir: locking: %w", err)
	}
	host, _ := os.Hostname()
	w := &Writer{
		bucket: b, dir: dir, opts: o, lock: lock,
		self:  head{Writer: newWriterID(), Host: host, PID: os.Getpid(), Since: time.Now().UTC()},
		state: newState(), seen: map[string]os.FileInfo{}, roots: map[string]bool{"": true},
		wake: make(chan struct{}, 1), failed: make(chan struct{}), closing: make(chan chan error), done: make(chan struct{}),
	}
	w.ctx, w.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	return w, nil
}

func (w *Writer) open(ctx context.Context) error {
	had, err := w.readNote()
	if err != nil {
		return err
	}
	staging := filepath.Join(w.dir, stagingDir)
	if err := os.RemoveAll(staging); err != nil {
		return err
	}
	staged := newCopy(w.bucket, staging, w.state)
	if err := staged.catchUp(ctx); err != nil {
		return err
	}
	last := w.state.last
	if last.Seq == 0 && w.opts.Existing {
		return fmt.Errorf("there is no run at %s: %w", w.Address(), fs.ErrNotExist)
	}
	if err := Probe(ctx, w.bucket); err != nil {
		return err
	}
	ours := last.Seq == 0 || slices.Contains(had.Writers, last.Writer)
	if last.Seq > 0 && last.Kind != kindEnd && !ours {
		if err := w.waitForQuiet(ctx, staged); err != nil {
			return err
		}
		last = w.state.last
	}
	if !ours {
		if err := w.setAside(had); err != nil {
			return err
		}
		had = note{}
	}
	if err := w.keepNote(had.Writers); err != nil {
		return err
	}
	if err := w.claim(ctx, staged); err != nil {
		return err
	}
	if err := w.settle(ctx, staged); err != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(staging), w.keepNote(nil)); err != nil {
		return err
	}
	if last.Seq > 0 && !ours {
		w.opts.Log.Info(fmt.Sprintf("%s: took over from process %d on %s", w.Address(), last.PID, last.Host))
	}
	return nil
}

func (w *Writer) readNote() (n note, err error) {
	text, err := os.ReadFile(filepath.Join(w.dir, noteFile))
	if errors.Is(err, fs.ErrNotExist) {
		return note{}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &n)
	}
	if err != nil {
		return n, fmt.Errorf("--work-dir: %s: %w", filepath.Join(w.dir, noteFile), err)
	}
	if n.Address != w.Address() {
		return n, fmt.Errorf("--work-dir: %s is of the run %s; name another directory for %s", w.dir, n.Address, w.Address())
	}
	return n, nil
}

// keepNote notes that the directory is of this writer, and of those before it
// whose work it may hold.
func (w *Writer) keepNote(before []string) error {
	text, err := json.Marshal(note{w.Address(), append([]string{w.self.Writer}, before...)})
	if err == nil {
		err = fsx.WriteFile(filepath.Join(w.dir, noteFile), append(text, '\n'))
	}
	return err
}

// waitForQuiet waits until the writer of the run has given no sign for so long
// that it is taken over; while it gives signs, the run is in use.
func (w *Writer) waitForQuiet(ctx context.Context, c *localCopy) error {
	last := w.state.last
	info, err := retried(ctx, func() (s3.Object, error) { return w.bucket.Head(ctx, pieceKey(last.Seq)) })
	if err == nil && info.Date.Sub(info.Modified) >= w.opts.Quiet {
		return nil
	}
	if err != nil && !errors.Is(err, s3.ErrNotFound) {
		return err
	}
	w.opts.Log.Info(fmt.Sprintf("%s: looking for %s whether process %d on %s still works on it", w.Address(), w.opts.Quiet,
		last.PID, last.Host))
	for until := time.Now().Add(w.opts.Quiet); time.Now().Before(until); {
		if !sleep(ctx, min(time.Second, w.opts.Quiet/5)) {
			return context.Cause(ctx)
		}
		if err := c.catchUp(ctx); err != nil {
			return err
		}
		switch now := w.state.last; {
		case now.Seq == last.Seq:
		case now.Kind == kindEnd:
			return nil
		default:
			return w.inUse()
		}
	}
	return nil
}

func (w *Writer) inUse() error {
	h := w.state.last
	return &InUseError{Address: w.Address(), PID: h.PID, Host: h.Host, Since: h.Since}
}

// claim creates the next piece of the log, as ours. Whoever was faster has the
// run.
func (w *Writer) claim(ctx context.Context, c *localCopy) error {
	before := w.state.last
	p := piece{head: w.self}
	p.head.Kind, p.head.Seq, p.head.At = kindClaim, before.Seq+1, time.Now().UTC()
	body, err := p.encode()
	if err != nil {
		return err
	}
	key := pieceKey(p.head.Seq)
	_, err = retried(ctx, func() (string, error) {
		etag, err := w.bucket.Put(ctx, key, body, s3.Condition{Absent: true})
		if errors.Is(err, s3.ErrCondition) {
			err = w.whose(ctx, p.head.Seq, body)
		}
		return etag, err
	})
	var taken *TakenOverError
	if errors.As(err, &taken) {
		return &InUseError{Address: w.Address(), PID: taken.PID, Host: taken.Host, Since: taken.Since}
	}
	if err != nil {
		return err
	}
	// The writer before may have gone on, and deleted the piece in whose place
	// ours is: then there are higher ones.
	higher, _, err := listPieces(ctx, w.bucket, p.head.Seq)
	if err != nil {
		return err
	}
	if len(higher) > 0 {
		if err := c.catchUp(ctx); err != nil {
			return err
		}
		return errors.Join(w.inUse(), w.bucket.Delete(ctx, key))
	}
	w.state.apply(p)
	w.written = time.Now()
	return nil
}

// keepDiffering sets a local file aside that the bucket's does not begin with.
func (w *Writer) keepDiffering(name, staged, local string) error {
	if _, err := os.Lstat(local); err != nil {
		return nil
	}
	if held, err := beginsWith(staged, local); err == nil && held {
		return nil
	}
	to := filepath.Join(w.dir, setAsideDir, time.Now().UTC().Format(asideTime), filepath.FromSlash(name))
	w.opts.Log.Warn(fmt.Sprintf("%s is damaged; it is set aside as %s, and the bucket's takes its place", local, to))
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.Rename(local, to))
}

// asideTime names what is set aside at one time.
const asideTime = "20060102T150405.000"

// setAside moves a run out of the directory that another machine has gone on
// with since. Nothing is deleted: it may hold answers that never came into the
// bucket.
func (w *Writer) setAside(had note) error {
	list, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	to := filepath.Join(w.dir, setAsideDir, time.Now().UTC().Format(asideTime))
	moved := false
	for _, e := range list {
		switch e.Name() {
		case noteFile, lockFile, setAsideDir, stagingDir, "join", "worker":
			continue
		}
		if had.Address == "" && e.Name() != calibrationDir {
			return fmt.Errorf("--work-dir: %s holds %s, which is not of %s; name an empty directory", w.dir, e.Name(),
				w.Address())
		}
		if err := errors.Join(os.MkdirAll(to, 0o700), os.Rename(filepath.Join(w.dir, e.Name()),
			filepath.Join(to, e.Name()))); err != nil {
			return err
		}
		moved = true
	}
	if moved {
		w.opts.Log.Warn(fmt.Sprintf("another machine went on with %s; what this one had is set aside in %s. Answers of its "+
			"last second may be there alone: they are asked for again", w.Address(), to))
	}
	return nil
}

// settle brings the directory to where the bucket is. A file that begins with
// what the bucket has stays: it has more. Any other is set aside, and the
// bucket's takes its place.
func (w *Writer) settle(ctx context.Context, c *localCopy) error {
	for _, name := range w.state.names() {
		if w.state.files[name].object != "" {
			continue
		}
		staged, local := c.local(name), w.local(name)
		if w.grewFrom(name, staged, local) {
			continue
		}
		err := errors.Join(w.keepDiffering(name, staged, local), os.MkdirAll(filepath.Dir(local), 0o700))
		if err = errors.Join(err, os.Rename(staged, local)); err != nil {
			return err
		}
	}
	if err := c.objects(ctx, w.dir); err != nil {
		return err
	}
	return c.unnamed(ctx, w.dir)
}

// grewFrom reports whether a local file is what the bucket has, and maybe more.
// Of a file that is replaced as a whole, ours is the newer one.
func (w *Writer) grewFrom(name, staged, local string) bool {
	if _, err := os.Lstat(local); err != nil {
		return false
	}
	if !grows(name) {
		return true
	}
	same, err := beginsWith(local, staged)
	return err == nil && same
}
