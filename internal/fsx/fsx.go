// Package fsx holds what the program needs of the operating system and the
// standard library does not offer: locks, exclusive renames, reserved and free
// space, durable directory entries, the identity of a file, and programs in a
// process group of their own. Every system has its own file; all have the same
// functions.
package fsx

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrLocked is returned by [Lock] when somebody else holds the lock.
var ErrLocked = errors.New("locked")

// An ID recognises a file: two paths with the same Device and Inode are the
// same file, and Changed (nanoseconds since 1970) moves with every change of
// its content or its attributes. The zero value is unknown.
type ID struct {
	Device, Inode uint64
	Changed       int64
}

// ReadJSON reads the JSON of a file into v, which stays as it is when there is no
// such file.
func ReadJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// WriteFile puts b under the name path: whole or not at all, and durable when
// it returns. The mode is 0600.
func WriteFile(path string, b []byte) error {
	return WriteWith(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// WriteWith is [WriteFile] of what write writes, which need not be in memory
// at once. An error of write is part of what is returned.
func WriteWith(path string, write func(io.Writer) error) error {
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid()) // two processes may write the same report
	os.Remove(tmp)                                     // of a process that was killed
	f, err := OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	buf := bufio.NewWriterSize(f, 64<<10)
	if err := errors.Join(write(buf), buf.Flush(), f.Sync(), f.Close()); err != nil {
		os.Remove(tmp)
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}
