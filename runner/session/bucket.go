package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nightshift/internal/s3"
	"nightshift/internal/words"
	"nightshift/runner/store"
	"nightshift/runner/store/bucket"
)

// A Kept is where a run is kept in a bucket.
type Kept struct {
	WorkDir string // local directory; "" is one below the user's cache directory
	Getenv  func(string) string
	// Look is set where nothing is to be sent: the bucket is left alone, and the
	// run is as the local directory has it.
	Look bool
	// Existing is set where the run must be in the bucket already.
	Existing bool
	// Patience is how long the store may be away before the run ends; 0 is 5
	// minutes.
	Patience time.Duration
	// TakeOver is after how long without a sign the run of another process is taken
	// over; 0 is 15 s.
	TakeOver time.Duration

	address string // URL; "" while the run is not in a bucket
	writer  *bucket.Writer
}

// keep takes the run directory from a bucket, where the plan names one. The
// plan's run directory is the local one from then on.
func (k *Kept) keep(ctx context.Context, s *Session) error {
	switch {
	case s3.IsURL(s.Plan.Out) && k == nil:
		return Usagef("%s: a run in a bucket needs its credentials", s.Plan.Out)
	case !s3.IsURL(s.Plan.Out):
		if k != nil && k.WorkDir != "" && k.writer == nil {
			return Usagef("--work-dir goes with --out s3://bucket/run; %s is the run directory itself", s.Plan.Out)
		}
		return nil
	}
	dir, err := k.Take(ctx, s.Plan.Out, s.Log)
	p := *s.Plan
	p.Out = dir
	s.Plan = &p
	return err
}

// Take makes this process the writer of the run at a URL, unless nothing is to be
// sent, and returns its local directory, which is brought to where the bucket is.
// [Kept.Release] lets go of the run.
func (k *Kept) Take(ctx context.Context, run string, log *slog.Logger) (dir string, err error) {
	b, err := s3.Open(run, s3.FromEnv(k.Getenv))
	if err != nil {
		return "", Usagef("%w", err)
	}
	if k.WorkDir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", Usagef("%s needs a local directory; name it with --work-dir DIR", run)
		}
		k.WorkDir = filepath.Join(cache, "nightshift", "runs", b.Name, filepath.FromSlash(b.Prefix))
	}
	k.address = strings.TrimSuffix(b.Address(""), "/")
	if k.Look {
		return k.WorkDir, nil
	}
	k.writer, err = bucket.Open(ctx, b, k.WorkDir, bucket.Options{Log: log, Patience: k.Patience, Quiet: k.TakeOver,
		Existing: k.Existing})
	return k.WorkDir, bucketError(err)
}

// Release lets go of the run, and ships what is left.
func (k *Kept) Release() error {
	if k == nil || k.writer == nil {
		return nil
	}
	w := k.writer
	k.writer = nil
	return w.Close()
}

// bucketError gives an error at the start its reason: what passes is a store
// that does not work, what does not is a mistake.
func bucketError(err error) error {
	var used *bucket.InUseError
	switch {
	case err == nil, errors.As(err, &used), errors.Is(err, context.Canceled):
		return err
	case s3.Passing(err):
		return &Error{Storage, fmt.Errorf("%w; nothing was sent", err)}
	}
	return Usagef("%w; nothing was sent", err)
}

// Release lets go of the run's bucket, and of copies of runs in buckets.
func (s *Session) Release() error {
	return errors.Join(s.closeCopies(), s.Kept.Release())
}

func (s *Session) closeCopies() (err error) {
	for _, c := range s.copies {
		err = errors.Join(err, c.Close())
	}
	s.copies = nil
	return err
}

// reading is the directory of a run to read. One that is in a bucket is copied,
// for as long as the session lasts.
func (s *Session) reading(ctx context.Context, run string) (dir string, err error) {
	if !s3.IsURL(run) {
		return run, nil
	}
	if c := s.copies[run]; c != nil {
		return c.Dir, nil
	}
	getenv := os.Getenv
	if s.Kept != nil {
		getenv = s.Kept.Getenv
	}
	b, err := s3.Open(run, s3.FromEnv(getenv))
	if err != nil {
		return "", err
	}
	c, err := bucket.Read(ctx, b, bucket.ReadOptions{})
	if err != nil {
		return "", err
	}
	if s.copies == nil {
		s.copies = map[string]*bucket.Snapshot{}
	}
	s.copies[run] = c
	return c.Dir, nil
}

// remote is where the store keeps what it writes besides.
func (k *Kept) remote() store.Remote {
	if k == nil || k.writer == nil {
		return nil
	}
	return k.writer
}

// durable is told of records when they are in the bucket too.
func (k *Kept) durable(dir string, tell func(string, []string)) func(string, []string) {
	if k == nil || k.writer == nil || tell == nil {
		return tell
	}
	w := k.writer
	return func(model string, logs []string) {
		w.After(dir, func(err error) {
			if err == nil {
				tell(model, logs)
			}
		})
	}
}

// shipAll waits until the whole run directory is in the bucket.
func (k *Kept) shipAll() error {
	if k == nil || k.writer == nil {
		return nil
	}
	return k.writer.ShipAll()
}

// hurry ends what waits for the bucket when ctx ends. stop is to be called
// before ctx is no more of interest.
func (k *Kept) hurry(ctx context.Context) (stop func() bool) {
	if k == nil || k.writer == nil {
		return func() bool { return true }
	}
	w := k.writer
	return context.AfterFunc(ctx, func() { w.GiveUp(context.Cause(ctx)) })
}

// place is the run directory as people name it.
func (s *Session) place() string {
	if s.Kept != nil && s.Kept.address != "" {
		return s.Kept.address
	}
	return words.FromHere(s.Plan.Out)
}
