package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"nightshift/internal/fsx"
	"strings"
	"syscall"
)

// A StorageError says that the disk did not do what it was asked. The program
// ends with exit code 6.
type StorageError struct {
	Op   string // what was being done, in words
	Path string
	Err  error
	Hint string // what to try
}

func (e *StorageError) Error() string {
	s := e.Op
	if e.Path != "" && !strings.Contains(fmt.Sprint(e.Err), e.Path) {
		s += " " + e.Path
	}
	s += ": " + e.Err.Error()
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

func (e *StorageError) Unwrap() error { return e.Err }

// Wrap wraps err, once, with a hint that fits it.
func Wrap(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var old *StorageError
	if errors.As(err, &old) {
		return err
	}
	return &StorageError{Op: op, Path: path, Err: err, Hint: Hint(err)}
}

// Hint says what to try after an error of the disk.
func Hint(err error) string {
	switch {
	case fsx.IsFull(err):
		return "make room on the disk and start the same command again: it goes on where this one stopped"
	case fsx.IsReadOnly(err):
		return "the file system is mounted read-only, often after a disk error: look at the system log, mount it for " +
			"writing and start the same command again"
	case errors.Is(err, fs.ErrPermission):
		return "the directory must be writable for this user"
	case errors.Is(err, fs.ErrNotExist):
		return "the run directory was moved or removed while it was in use"
	}
	return "check the disk, then start the same command again: it goes on where this one stopped"
}

// ErrFull is the error when the store itself finds too little room.
var ErrFull error = syscall.ENOSPC
