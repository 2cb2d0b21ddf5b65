package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"nightshift/internal/s3"
	"nightshift/reports/exchange"
	"nightshift/runner/session"
	"nightshift/runner/store/bucket"
)

// refreshEvery is how often the copy of a run that is viewed is brought up to date.
const refreshEvery = 2 * time.Second

// A namedDir is the directory of a run to read, that people name otherwise.
type namedDir struct {
	dir, name string // equal where they name the directory itself
}

// reading gives do the directories of runs to read. A run in a bucket is copied
// into one for as long as that takes, and the results of another tool are read into
// one; what do prints names the address or the file instead.
func (a *app) reading(ctx context.Context, runs []string, o bucket.ReadOptions,
	do func(a *app, dirs []string) error) (err error) {
	var list []namedDir
	for _, run := range runs {
		one, remove, failed := a.toRead(ctx, run, o)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, remove()) }()
		list = append(list, one)
	}
	return a.naming(list, do)
}

// toRead is where a run can be read, until remove is called.
func (a *app) toRead(ctx context.Context, run string, o bucket.ReadOptions) (one namedDir, remove func() error,
	err error) {
	one.name = strings.TrimSuffix(run, "/")
	switch {
	case exchange.Looks(run):
		one.dir, remove, err = a.importOf(run)
		return one, remove, err
	case s3.IsURL(run):
		s, err := a.copyOf(ctx, run, o)
		if err != nil {
			return one, nil, err
		}
		one.dir = s.Dir
		return one, s.Close, nil
	}
	return namedDir{run, run}, func() error { return nil }, nil
}

// naming gives do directories of runs; what it prints, and writes with
// [app.writeWhole], names them as people do.
func (a *app) naming(list []namedDir, do func(a *app, dirs []string) error) error {
	var dirs, names []string
	b := *a
	b.called = map[string]string{}
	for _, one := range list {
		if dirs = append(dirs, one.dir); one.dir != one.name {
			names, b.called[one.dir] = append(names, one.dir, one.name), one.name
		}
	}
	if names == nil {
		return do(a, dirs)
	}
	b.names = strings.NewReplacer(names...)
	b.out, b.err = renamed{a.out, b.names}, renamed{a.err, b.names}
	if err := do(&b, dirs); err != nil {
		return &renamedError{err, b.names.Replace(err.Error())}
	}
	return nil
}

// copyOf copies a run from its bucket.
func (a *app) copyOf(ctx context.Context, run string, o bucket.ReadOptions) (*bucket.Snapshot, error) {
	b, err := s3.Open(run, s3.FromEnv(a.getenv))
	if err != nil {
		return nil, usageError("%w", err)
	}
	s, err := bucket.Read(ctx, b, o)
	if err != nil {
		return nil, usageError("%w", err)
	}
	return s, nil
}

// copiesBelow copies the runs at and below an address of a bucket, without their
// Parquet files, and says which of them cannot be read.
func (a *app) copiesBelow(ctx context.Context, address string) (*bucket.Folder, error) {
	b, err := s3.OpenFolder(address, s3.FromEnv(a.getenv))
	if err != nil {
		return nil, usageError("%w", err)
	}
	f, err := bucket.ReadBelow(ctx, b)
	if err != nil {
		return nil, usageError("%w", err)
	}
	if err := f.Unread(); err != nil {
		fmt.Fprintln(a.err, err)
	}
	return f, nil
}

// keepFresh brings copies up to date, until stop is called.
func keepFresh(ctx context.Context, f *bucket.Folder, say func(string)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		said := ""
		for tick := time.NewTicker(refreshEvery); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			text := ""
			if err := f.Refresh(ctx); err != nil && ctx.Err() == nil {
				text = err.Error()
			}
			if text != said && text != "" {
				say("the pages show runs as they were: " + text)
			}
			said = text
		}
	}()
	return func() { cancel(); <-done }
}

// changing gives do the directory of a run to change. For a run in a bucket it is
// the local one, and this process is the run's writer for as long as that takes.
func (a *app) changing(ctx context.Context, run string, k *session.Kept, do func(dir string) error) (err error) {
	if !s3.IsURL(run) {
		if k.WorkDir != "" {
			return usageError("--work-dir goes with s3://bucket/run; %s is the run directory itself", run)
		}
		return do(run)
	}
	k.Existing = true
	dir, err := k.Take(ctx, run, slog.New(&plainHandler{w: a.err, level: slog.LevelInfo}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Release()) }()
	return do(dir)
}

// renamed writes text in which directories are named as the person named them.
type renamed struct {
	io.Writer
	names *strings.Replacer
}

func (r renamed) Write(p []byte) (int, error) {
	if _, err := r.names.WriteString(r.Writer, string(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// A renamedError is an error with another text.
type renamedError struct {
	error
	text string
}

func (e *renamedError) Error() string { return e.text }
func (e *renamedError) Unwrap() error { return e.error }

// sayCopies says where the reports of a run in a bucket are.
func (a *app) sayCopies(run string) {
	fmt.Fprintf(a.err, "reports of the last start's end: %s/report.html; nightshift view %s shows the run as it is\n", run,
		run)
}

// addKept adds the flags of runs that are kept in a bucket; with says what they go
// with.
func addKept(s *pflag.FlagSet, k *session.Kept, with string) {
	addWorkDir(s, k, with)
	s.DurationVar(&k.Patience, "bucket-patience", 5*time.Minute,
		"with "+with+": how long the bucket may be away before the command ends")
	s.DurationVar(&k.TakeOver, "take-over-after", 15*time.Second, "how long another process must have given no sign")
	_ = s.MarkHidden("take-over-after") // for tests; it exists
}

func addWorkDir(s *pflag.FlagSet, k *session.Kept, with string) {
	s.StringVar(&k.WorkDir, "work-dir", "",
		"with "+with+": local `DIR` of the run (default: one below the user's cache directory)")
}

// keeping is where a run is kept that may be in a bucket; look says that nothing
// is to be sent for it.
func (a *app) keeping(k session.Kept, look bool) *session.Kept {
	k.Getenv, k.Look = a.getenv, look
	return &k
}
