package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nightshift/internal/fsx"
	"nightshift/internal/s3"
)

// A localCopy is a directory that gets what the log says.
type localCopy struct {
	bucket *s3.Bucket
	dir    string
	state  *state
	cache  string // directory of objects by their SHA-256, for other copies; "" is none
	// before is called before a piece's files change, with the objects that it
	// names.
	before func(ctx context.Context, objects []entry) error
}

func newCopy(b *s3.Bucket, dir string, s *state) *localCopy {
	return &localCopy{bucket: b, dir: dir, state: s}
}

func (c *localCopy) local(name string) string { return filepath.Join(c.dir, filepath.FromSlash(name)) }

// catchUp reads the pieces that came since the last time.
func (c *localCopy) catchUp(ctx context.Context) error {
	for {
		seqs, _, err := listPieces(ctx, c.bucket, c.state.last.Seq)
		if err != nil || len(seqs) == 0 {
			return err
		}
		missed, err := readPieces(ctx, c.bucket, seqs, func(p piece) error { return c.apply(ctx, p) })
		if err != nil || !missed {
			return err
		}
	}
}

// apply does to the directory what a piece says.
func (c *localCopy) apply(ctx context.Context, p piece) error {
	var objects []entry
	for _, e := range p.entries {
		if e.Kind == entryObject {
			objects = append(objects, e)
		}
	}
	if c.before != nil && len(objects) > 0 {
		if err := c.before(ctx, objects); err != nil {
			return err
		}
	}
	for _, e := range p.entries {
		if err := c.change(e); err != nil {
			return fmt.Errorf("copying %s: %w", plainName(e.Path), err)
		}
	}
	c.state.apply(p)
	return nil
}

func plainName(name string) string { return strings.ToValidUTF8(name, "?") }

func (c *localCopy) change(e entry) error {
	name := c.local(e.Path)
	if e.Kind != entryGone {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
	}
	switch e.Kind {
	case entryGone:
		if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	case entryFile:
		return fsx.WriteFile(name, e.data)
	case entryAt:
		f, err := fsx.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(e.data, e.Off)
		return errors.Join(err, f.Close())
	}
	return nil
}

// objects fetches the files that are objects of their own, where a directory
// does not have them.
func (c *localCopy) objects(ctx context.Context, dir string) error {
	for _, name := range c.state.names() {
		f := c.state.files[name]
		if f.object == "" {
			continue
		}
		if err := c.fetch(ctx, f.object, filepath.Join(dir, filepath.FromSlash(name)), f.size, f.sum); err != nil {
			return err
		}
	}
	return nil
}

// fetch copies an object into a file, unless that is there with this size. What
// comes is checked against its SHA-256.
func (c *localCopy) fetch(ctx context.Context, key, to string, size int64, sum string) error {
	if info, err := os.Lstat(to); err == nil && info.Size() == size {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	at := to
	if c.cache != "" {
		at = filepath.Join(c.cache, sum)
	}
	if info, err := os.Lstat(at); err != nil || info.Size() != size {
		_, err := retried(ctx, func() (struct{}, error) { return struct{}{}, c.fetchOnce(ctx, key, at, size, sum) })
		if err != nil || at == to {
			return err
		}
	}
	now := time.Now()
	if err := errors.Join(os.Chtimes(at, now, now), os.RemoveAll(to)); err != nil {
		return err
	}
	return os.Link(at, to)
}

func (c *localCopy) fetchOnce(ctx context.Context, key, to string, size int64, sum string) error {
	tmp, err := os.CreateTemp(filepath.Dir(to), ".fetch-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	h := sha256.New()
	_, err = c.bucket.GetTo(ctx, key, io.MultiWriter(tmp, h), size)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("%s is damaged: its SHA-256 is %s, the log says %s", c.bucket.Address(key), got, sum)
	}
	return os.Rename(tmp.Name(), to)
}

// unnamed fetches Parquet files that a writer stored and did not live to name
// in the log. The store takes them where they are whole, as it does those that
// it finds on a disk.
func (c *localCopy) unnamed(ctx context.Context, dir string) error {
	list, err := retried(ctx, func() ([]s3.Object, error) {
		list, _, err := c.bucket.List(ctx, "", "", 0)
		return list, err
	})
	if err != nil {
		return err
	}
	for _, o := range list {
		e := entry{Kind: entryGone, Path: o.Key}
		if !isResult(o.Key) || e.check() != nil || c.state.files[o.Key] != nil {
			continue
		}
		info, err := retried(ctx, func() (s3.Object, error) { return c.bucket.Head(ctx, o.Key) })
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(o.Key))
		if err := c.fetch(ctx, o.Key, to, info.Size, info.SHA256); err != nil {
			return err
		}
	}
	return nil
}

// beginsWith reports whether a file begins with all that another has.
func beginsWith(name, beginning string) (bool, error) {
	a, err := fsx.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := fsx.OpenFile(beginning, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer b.Close()
	one, other := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(b, other)
		if n > 0 {
			if _, err := io.ReadFull(a, one[:n]); err != nil {
				return false, nil
			}
			if !bytes.Equal(one[:n], other[:n]) {
				return false, nil
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}
