package bucket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"nightshift/internal/fsx"
	"nightshift/internal/s3"
)

// keptFor is how long fetched Parquet files are kept for the next command.
const keptFor = 24 * time.Hour

// A Snapshot is a run of a bucket as a local directory, for reading. Nothing in
// the bucket changes by it.
type Snapshot struct {
	Dir string

	all string // the directory, with that of its name

	mu    sync.Mutex
	copy  *localCopy
	opts  ReadOptions
	empty map[string]bool // placeholders, by their names in the run
	lock  *os.File        // held while a process works on the run, as the run's own lock would be
}

// ReadOptions say what [Read] fetches. The zero value is everything, but nothing
// twice.
type ReadOptions struct {
	// StatusOnly puts files without content in the place of Parquet files, of the
	// same length. That is enough for the status of a run.
	StatusOnly bool
	// Fresh fetches again what another command fetched lately.
	Fresh bool
}

// Read makes a local directory of a run in a bucket. Close removes it.
func Read(ctx context.Context, b *s3.Bucket, o ReadOptions) (*Snapshot, error) {
	all, cache, err := newCopyDir()
	if err != nil {
		return nil, err
	}
	s := newSnapshot(b, filepath.Join(all, path.Base(b.Prefix)), cache, o)
	s.all = all
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func newSnapshot(b *s3.Bucket, dir, cache string, o ReadOptions) *Snapshot {
	s := &Snapshot{Dir: dir, opts: o, copy: newCopy(b, dir, newState()), empty: map[string]bool{}}
	if !o.Fresh {
		s.copy.cache = filepath.Join(cache, "files")
	}
	return s
}

// begin fills the directory.
func (s *Snapshot) begin(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.fill(ctx)
	s.copy.before = s.place
	return err
}

// newCopyDir makes a directory for copies, and says where fetched files lie.
func newCopyDir() (dir, cache string, err error) {
	if cache, err = cacheDir(); err != nil {
		return "", "", err
	}
	dir, err = os.MkdirTemp(cache, "run-*")
	return dir, cache, err
}

// cacheDir is where fetched files lie; what is old there is removed.
func cacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		base = filepath.Join(os.TempDir(), fmt.Sprintf("nightshift-%d", os.Getuid()))
	}
	dir := filepath.Join(base, "nightshift", "buckets")
	if err := os.MkdirAll(filepath.Join(dir, "files"), 0o700); err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o700); err != nil { // it is another's where that fails
		return "", err
	}
	removeOld(filepath.Join(dir, "files"), keptFor)
	removeOld(dir, 7*keptFor)
	return dir, nil
}

func removeOld(dir string, age time.Duration) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && e.Name() != "files" && time.Since(info.ModTime()) > age {
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}

// fill brings the directory up to date for the first time. What the writer
// replaces meanwhile is looked for again.
func (s *Snapshot) fill(ctx context.Context) (err error) {
	for range 5 {
		if err := s.copy.catchUp(ctx); err != nil {
			return err
		}
		if s.copy.state.last.Seq == 0 {
			return fmt.Errorf("there is no run at %s: %w", s.address(), fs.ErrNotExist)
		}
		if err = s.place(ctx, s.objects()); !errors.Is(err, s3.ErrNotFound) {
			return errors.Join(err, s.live(ctx))
		}
	}
	return err
}

func (s *Snapshot) address() string { return strings.TrimSuffix(s.copy.bucket.Address(""), "/") }

// objects are the files that are objects now.
func (s *Snapshot) objects() (list []entry) {
	for _, name := range s.copy.state.names() {
		if f := s.copy.state.files[name]; f.object != "" {
			list = append(list, entry{Kind: entryObject, Path: name, Object: f.object, Size: f.size, SHA256: f.sum})
		}
	}
	return list
}

// place fetches objects, or puts placeholders in the place of Parquet files.
func (s *Snapshot) place(ctx context.Context, objects []entry) error {
	for _, e := range objects {
		to := s.copy.local(e.Path)
		if isResult(e.Path) && s.opts.StatusOnly && !s.reopened(e.Path) {
			if err := placeholder(to, e.Size); err != nil {
				return err
			}
			s.empty[e.Path] = true
			continue
		}
		if s.empty[e.Path] {
			to += ".whole"
		}
		if err := s.copy.fetch(ctx, e.Object, to, e.Size, e.SHA256); err != nil {
			return err
		}
		if s.empty[e.Path] {
			if err := os.Rename(to, s.copy.local(e.Path)); err != nil {
				return err
			}
			delete(s.empty, e.Path)
		}
	}
	return nil
}

// whole fetches what StatusOnly left out.
func (s *Snapshot) whole(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opts.StatusOnly {
		return nil
	}
	s.opts.StatusOnly = false
	err := s.fill(ctx)
	s.opts.StatusOnly = err != nil
	return err
}

// isOfInterest reports whether the run is here as a whole, or a process works on it.
func (s *Snapshot) isOfInterest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.opts.StatusOnly || s.lock != nil
}

// reopened reports whether a Parquet file may have a journal beside it, of rows
// that are run again: it is read then even for a run's status.
func (s *Snapshot) reopened(name string) bool {
	stem := generation.ReplaceAllString(filepath.Base(name), "")
	for other := range s.copy.state.files {
		if grows(other) && strings.HasPrefix(filepath.Base(other), stem+".g") {
			return true
		}
	}
	return false
}

// generation ends the name of a Parquet file.
var generation = regexp.MustCompile(`(\.g\d+)?\.parquet$`)

func placeholder(name string, size int64) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := fsx.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// refresh adds what was written since.
func (s *Snapshot) refresh(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.copy.catchUp(ctx), s.live(ctx))
}

// live holds the directory's lock as long as a process works on the run, so that
// whoever reads the directory finds it as that process's machine does.
func (s *Snapshot) live(ctx context.Context) error {
	last := s.copy.state.last
	works := false
	if last.Kind != kindEnd {
		info, err := s.copy.bucket.Head(ctx, pieceKey(last.Seq))
		if err != nil && !errors.Is(err, s3.ErrNotFound) {
			return err
		}
		works = err != nil || info.Date.Sub(info.Modified) < 2*quietFor
	}
	if !works {
		return s.release()
	}
	if s.lock != nil {
		return nil
	}
	f, err := fsx.OpenFile(filepath.Join(s.Dir, "lock"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	s.lock = f
	text, err := json.Marshal(map[string]any{"pid": last.PID, "host": last.Host, "since": last.Since})
	if err == nil {
		_, err = f.Write(text)
	}
	return errors.Join(err, fsx.Lock(f, true))
}

func (s *Snapshot) release() error {
	if s.lock == nil {
		return nil
	}
	f := s.lock
	s.lock = nil
	return f.Close()
}

// Close removes the directory.
func (s *Snapshot) Close() error { return errors.Join(s.release(), os.RemoveAll(s.all)) }
