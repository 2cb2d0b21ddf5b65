package session

import (
	"context"
	"errors"
	"fmt"
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
	if !s3.IsURL(s.Plan.Out) {
		if k != nil && k.WorkDir != "" {
			return Usagef("--work-dir goes with --out s3://bucket/run; %s is the run directory itself", s.Plan.Out)
		}
		return nil
	}
	if k == nil {
		return Usagef("%s: a run in a bucket needs its credentials", s.Plan.Out)
	}
	b, err := s3.Open(s.Plan.Out, s3.FromEnv(k.Getenv))
	if err != nil {
		return Usagef("--out: %w", err)
	}
	if k.WorkDir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return Usagef("--out %s needs a local directory; name it with --work-dir DIR", s.Plan.Out)
		}
		k.WorkDir = filepath.Join(cache, "nightshift", "runs", b.Name, filepath.FromSlash(b.Prefix))
	}
	k.address = strings.TrimSuffix(b.Address(""), "/")
	p := *s.Plan
	p.Out = k.WorkDir
	s.Plan = &p
	if k.Look {
		return nil
	}
	k.writer, err = bucket.Open(ctx, b, k.WorkDir, bucket.Options{Log: s.Log, Patience: k.Patience, Quiet: k.TakeOver})
	return bucketError(err)
}

// bucketError gives an error at the start its reason: what passes is a store
// that does not work, what does not is a mistake.
func bucketError(err error) error {
	var used *bucket.InUseError
	switch {
	case err == nil, errors.As(err, &used), errors.Is(err, context.Canceled):
		return err
	case s3.Passing(err):
		return &Error{Storage, fmt.Errorf("--out: %w; nothing was sent", err)}
	}
	return Usagef("--out: %w; nothing was sent", err)
}

// Release lets go of a bucket, and ships what is left.
func (s *Session) Release() error {
	if s.Kept == nil || s.Kept.writer == nil {
		return nil
	}
	w := s.Kept.writer
	s.Kept.writer = nil
	return w.Close()
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
