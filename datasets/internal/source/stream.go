package source

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"

	"nightshift/internal/words"
)

// A FileError is a reason why a whole file cannot be used.
type FileError struct {
	line       int64 // 0 when not at one line
	what, hint string
	Err        error // the cause in the system, if any
}

func (e *FileError) Error() string {
	if e.hint == "" {
		return e.what
	}
	return e.what + " (" + e.hint + ")"
}

func (e *FileError) Unwrap() error { return e.Err }

// A stream is the decompressed content of a file.
type stream struct {
	io.Reader
	pos   int64
	close []func() error
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.pos += int64(n)
	if err != nil && err != io.EOF {
		err = s.explain(err)
	}
	return n, err
}

// explain turns a broken stream into a problem of its file.
func (s *stream) explain(err error) error {
	var fe *FileError
	if errors.As(err, &fe) {
		return err
	}
	return &FileError{what: "reading stops after " + words.Thousands(s.pos) + " bytes: " + err.Error(),
		hint: "was the file cut or damaged?", Err: err}
}

func (s *stream) Close() error {
	var errs []error
	for _, c := range s.close {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

// open starts reading a text file at its beginning.
func (f *File) open(o *Options) (*stream, error) {
	raw, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	st := &stream{close: []func() error{raw.Close}}
	if f.Packed == "" {
		st.Reader = raw
		return st, nil
	}
	in := &counted{r: bufio.NewReaderSize(raw, 256<<10)}
	unpacked, closer, err := unpack(f.Packed, in)
	if err != nil {
		return nil, errors.Join(st.explain(err), raw.Close())
	}
	st.close = append([]func() error{closer}, st.close...)
	st.Reader = &bombGuard{r: unpacked, in: in, maxRatio: o.MaxRatio, maxBytes: o.MaxBytes}
	return st, nil
}

// openAt starts reading at a position of the content.
func (f *File) openAt(o *Options, pos int64) (*stream, error) {
	st, err := f.open(o)
	if err != nil {
		return nil, err
	}
	if raw, ok := st.Reader.(*os.File); ok {
		_, err = raw.Seek(pos, io.SeekStart)
		st.pos = pos
	} else {
		_, err = io.CopyN(io.Discard, st, pos)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// A contextReader stops between two reads.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
