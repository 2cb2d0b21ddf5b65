package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
)

// A Reader reads the files of one dataset. It keeps compressed streams open
// where the next piece begins, so that reading piece after piece unpacks each
// byte once. It is safe for concurrent use.
type Reader struct {
	Options
	mu   sync.Mutex
	idle []pooled
}

// Rows are the rows of a file, or of a piece of one, in batches.
type Rows struct {
	splitter
	close func() error
}

// Close ends reading before or behind the last row.
func (r *Rows) Close() error { return r.close() }

// All reads a whole file whose length is not known yet.
func (r *Reader) All(f *File) (*Rows, error) {
	if f.Format == Parquet {
		return r.parquet(f, 0, math.MaxInt64)
	}
	st, err := f.open(&r.Options)
	if err != nil {
		return nil, err
	}
	return &Rows{r.text(f, st, 0, 1, false), st.Close}, nil
}

// Piece reads a file from one position of its content to another; line is the
// number of the first line.
func (r *Reader) Piece(f *File, from, to, line int64) (*Rows, error) {
	if f.Format == Parquet {
		return r.parquet(f, from, to)
	}
	st, err := r.take(f, from)
	if err != nil {
		return nil, err
	}
	piece := r.text(f, io.LimitReader(st, to-from), from, line, to < f.Length)
	return &Rows{piece, func() error { return r.put(f, st) }}, nil
}

func (r *Reader) parquet(f *File, from, to int64) (*Rows, error) {
	p, err := openParquet(f, from, to, int(r.MaxLine))
	if err != nil {
		return nil, err
	}
	return &Rows{p, p.Close}, nil
}

func (r *Reader) text(f *File, in io.Reader, pos, line int64, partial bool) splitter {
	return textSplitter(f, in, pos, line, BatchBytes, int(r.MaxLine), partial)
}

// Copy writes a piece of a text file's content to w. It returns io.EOF where
// the file ends early.
func (r *Reader) Copy(ctx context.Context, w io.Writer, f *File, from, to int64) error {
	st, err := r.take(f, from)
	if err != nil {
		return err
	}
	_, err = io.CopyN(w, &contextReader{ctx, st}, to-from)
	return errors.Join(err, r.put(f, st))
}

type pooled struct {
	f *File
	*stream
}

// maxIdle is how many streams wait: two for each of a few readers.
const maxIdle = 8

// take returns a stream at pos of the file's content.
func (r *Reader) take(f *File, pos int64) (*stream, error) {
	if f.Packed == "" {
		return f.openAt(&r.Options, pos)
	}
	st := r.nearest(f, pos)
	if st == nil {
		return f.openAt(&r.Options, pos)
	}
	if _, err := io.CopyN(io.Discard, st, pos-st.pos); err != nil {
		st.Close()
		return nil, fmt.Errorf("reading on: %w", err)
	}
	return st, nil
}

// nearest takes out the idle stream that is least far before pos.
func (r *Reader) nearest(f *File, pos int64) *stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	best := -1
	for i, st := range r.idle {
		if st.f == f && st.pos <= pos && (best < 0 || st.pos > r.idle[best].pos) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	st := r.idle[best].stream
	r.idle = slices.Delete(r.idle, best, best+1)
	return st
}

// put keeps a compressed stream for later and closes any other.
func (r *Reader) put(f *File, st *stream) error {
	if f.Packed == "" {
		return st.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = append(r.idle, pooled{f, st})
	if len(r.idle) <= maxIdle {
		return nil
	}
	oldest := r.idle[0].stream
	r.idle = slices.Delete(r.idle, 0, 1)
	return oldest.Close()
}

// Close closes the streams that are kept open.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var first error
	for _, st := range r.idle {
		if err := st.Close(); err != nil && first == nil {
			first = err
		}
	}
	r.idle = nil
	return first
}
