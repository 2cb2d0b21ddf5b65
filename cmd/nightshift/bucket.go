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

// reading gives do the directories of runs to read. A run in a bucket is copied
// into one for as long as that takes, and the results of another tool are read into
// one; what do prints names the address or the file instead.
func (a *app) reading(ctx context.Context, runs []string, o bucket.ReadOptions,
	do func(a *app, dirs []string) error) (err error) {
	dirs, names := make([]string, len(runs)), []string(nil)
	for i, run := range runs {
		if dirs[i] = run; exchange.Looks(run) {
			dir, remove, failed := a.importOf(run)
			if failed != nil {
				return failed
			}
			defer func() { err = errors.Join(err, remove()) }()
			dirs[i], names = dir, append(names, dir, run)
			continue
		}
		if !s3.IsURL(run) {
			continue
		}
		s, failed := a.copyOf(ctx, run, o)
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		dirs[i] = s.Dir
		names = append(names, s.Dir, strings.TrimSuffix(run, "/"))
	}
	if names == nil {
		return do(a, dirs)
	}
	replace := strings.NewReplacer(names...)
	b := *a
	b.out, b.err = renamed{a.out, replace}, renamed{a.err, replace}
	if err := do(&b, dirs); err != nil {
		return &renamedError{err, replace.Replace(err.Error())}
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

// keepFresh brings a copy up to date, until stop is called.
func keepFresh(ctx context.Context, s *bucket.Snapshot, say func(string)) (stop func()) {
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
			if err := s.Refresh(ctx); err != nil && ctx.Err() == nil {
				text = err.Error()
			}
			if text != said && text != "" {
				say("the page shows the run as it was: " + text)
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
	s.StringVar(&k.WorkDir, "work-dir", "",
		"with "+with+": local `DIR` of the run (default: one below the user's cache directory)")
	s.DurationVar(&k.Patience, "bucket-patience", 5*time.Minute,
		"with "+with+": how long the bucket may be away before the command ends")
	s.DurationVar(&k.TakeOver, "take-over-after", 15*time.Second, "how long another process must have given no sign")
	_ = s.MarkHidden("take-over-after") // for tests; it exists
}

// keeping is where a run is kept that may be in a bucket; look says that nothing
// is to be sent for it.
func (a *app) keeping(k session.Kept, look bool) *session.Kept {
	k.Getenv, k.Look = a.getenv, look
	return &k
}
