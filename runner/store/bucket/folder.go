package bucket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift/internal/s3"
)

// mostDepth and mostFolders bound the search for runs below an address. Each folder
// takes two requests.
const (
	mostDepth   = 5
	mostFolders = 5_000
)

// atOnce is how many folders are looked at, and runs copied, at once.
const atOnce = 8

// searchEvery is how often a [Folder] looks for news of the runs that nobody works
// on or looks at.
const searchEvery = time.Minute

// runsBelow are the paths of the runs at and below an address, each with a slash at
// its end; "" is the address itself. Runs inside of runs are not among them.
func runsBelow(ctx context.Context, b *s3.Bucket) (found []string, err error) {
	seen := 0
	for level := []string{""}; len(level) > 0; {
		if seen += len(level); seen > mostFolders {
			return nil, fmt.Errorf("there are more than %d folders below %s: name one that is further down", mostFolders,
				b.Address(""))
		}
		below := make([][]string, len(level))
		isRun := make([]bool, len(level))
		err := inParallel(len(level), func(i int) (err error) {
			isRun[i], below[i], err = lookInto(ctx, b, level[i])
			return err
		})
		if err != nil {
			return nil, err
		}
		var next []string
		for i, at := range level {
			if isRun[i] {
				found = append(found, at)
			}
			next = append(next, below[i]...)
		}
		level = next
	}
	return found, nil
}

// lookInto reports whether a folder is a run, and else which folders may hold runs.
func lookInto(ctx context.Context, b *s3.Bucket, at string) (isRun bool, below []string, err error) {
	here := b.At(at)
	pieces, err := retried(ctx, func() ([]s3.Object, error) {
		list, _, err := here.List(ctx, logDir+"0", "", 1)
		return list, err
	})
	if err != nil {
		return false, nil, err
	}
	if len(pieces) > 0 {
		if _, isRun = pieceSeq(pieces[0].Key); isRun && here.Prefix != "" {
			return true, nil, nil
		}
	}
	if strings.Count(at, "/") >= mostDepth {
		return false, nil, nil
	}
	names, err := retried(ctx, func() ([]string, error) { return here.Folders(ctx) })
	for _, name := range names {
		if isFolder(name) {
			below = append(below, at+name)
		}
	}
	return false, below, err
}

// isFolder reports whether a name with a slash at its end can be that of a local
// directory. Hidden ones are left out, as in the search on a disk.
func isFolder(name string) bool {
	name = strings.TrimSuffix(name, "/")
	return name != "" && name[0] != '.' && name != "node_modules" && filepath.IsLocal(name) &&
		!strings.ContainsAny(name, "\\:/\x00")
}

// inParallel does n things, several at a time.
func inParallel(n int, do func(i int) error) error {
	errs := make([]error, n)
	places := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range n {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			errs[i] = do(i)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// A Folder is the runs at and below an address of a bucket as local directories,
// for reading. Nothing in the bucket changes by it.
type Folder struct {
	// Dir holds the runs under the paths that they have in the bucket. It is the run
	// itself where the address is one.
	Dir string

	bucket     *s3.Bucket
	all, cache string

	mu       sync.Mutex
	runs     map[string]*Snapshot // by directory
	unread   map[string]error     // why a run could not be copied, by its path
	searched time.Time
}

// ReadBelow makes local directories of the runs at and below an address of a bucket,
// which may be the whole of it, as with [ReadOptions].StatusOnly. The error is
// [fs.ErrNotExist] where there is none. Close removes them.
func ReadBelow(ctx context.Context, b *s3.Bucket) (*Folder, error) {
	all, cache, err := newCopyDir()
	if err != nil {
		return nil, err
	}
	name := path.Base(cmp.Or(b.Prefix, b.Name))
	f := &Folder{Dir: filepath.Join(all, name), bucket: b, all: all, cache: cache, runs: map[string]*Snapshot{},
		unread: map[string]error{}}
	if err := os.Mkdir(f.Dir, 0o700); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	err = f.search(ctx)
	switch {
	case err == nil && len(f.runs) == 0 && len(f.unread) > 0:
		err = f.Unread()
	case err == nil && len(f.runs) == 0:
		err = fmt.Errorf("there is no run at %s, and none below it: %w", strings.TrimSuffix(b.Address(""), "/"),
			fs.ErrNotExist)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// search copies the runs that are not here yet.
func (f *Folder) search(ctx context.Context) error {
	f.mu.Lock()
	f.searched = time.Now()
	f.mu.Unlock()
	paths, err := runsBelow(ctx, f.bucket)
	if err != nil {
		return err
	}
	return inParallel(len(paths), func(i int) error {
		dir := filepath.Join(f.Dir, filepath.FromSlash(paths[i]))
		f.mu.Lock()
		had := f.runs[dir] != nil
		f.mu.Unlock()
		if had {
			return nil
		}
		s := newSnapshot(f.bucket.At(paths[i]), dir, f.cache, ReadOptions{StatusOnly: true})
		err := s.begin(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		if delete(f.unread, paths[i]); err != nil {
			f.unread[paths[i]] = err
			return errors.Join(s.release(), os.RemoveAll(dir), ctx.Err())
		}
		f.runs[dir] = s
		return nil
	})
}

// Unread says which runs could not be copied, and why; nil when all could.
func (f *Folder) Unread() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []error
	for _, at := range slices.Sorted(maps.Keys(f.unread)) {
		all = append(all, fmt.Errorf("%s cannot be read: %w", strings.TrimSuffix(f.bucket.Address(at), "/"), f.unread[at]))
	}
	return errors.Join(all...)
}

// Whole fetches what StatusOnly left out of a run; found is false where the
// directory is none of its runs.
func (f *Folder) Whole(ctx context.Context, dir string) (found bool, err error) {
	f.mu.Lock()
	s := f.runs[dir]
	f.mu.Unlock()
	if s == nil {
		return false, nil
	}
	return true, s.whole(ctx)
}

// Refresh adds what was written since: to runs that somebody works on or that are
// here as a whole at every call, to others and of new runs once a minute.
func (f *Folder) Refresh(ctx context.Context) error {
	now := time.Now()
	f.mu.Lock()
	all := now.Sub(f.searched) >= searchEvery
	var due []*Snapshot
	for _, s := range f.runs {
		if all || s.isOfInterest() {
			due = append(due, s)
		}
	}
	f.mu.Unlock()
	err := inParallel(len(due), func(i int) error { return due[i].refresh(ctx) })
	if all {
		err = errors.Join(err, f.search(ctx))
	}
	return errors.Join(err, os.Chtimes(f.all, now, now))
}

// Close removes the directories.
func (f *Folder) Close() (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.runs {
		err = errors.Join(err, s.release())
	}
	return errors.Join(err, os.RemoveAll(f.all))
}
