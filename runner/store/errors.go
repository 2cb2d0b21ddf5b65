package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"nightshift/internal/fsx"
)

// errDiskFull is what the store itself says when it finds too little room.
var errDiskFull error = syscall.ENOSPC

// A LockedError says that another process works on the run directory. Nothing
// was changed. The program ends with exit code 75.
type LockedError struct {
	Dir   string
	PID   int       // 0 when unknown
	Host  string    // may be empty
	Since time.Time // zero when unknown
}

func (e *LockedError) Error() string {
	s := e.Dir + " is in use"
	if e.PID != 0 {
		s += fmt.Sprintf(" by process %d", e.PID)
	}
	if e.Host != "" {
		s += " on " + e.Host
	}
	if !e.Since.IsZero() {
		s += " since " + e.Since.Local().Format(time.DateTime)
	}
	return s + "; nothing was sent"
}

// A MismatchError says that the run directory belongs to another plan or
// dataset. Nothing was changed. The program ends with exit code 7.
type MismatchError struct {
	Dir         string
	Differences []string // each "what: there → here"
	// OnlyEndpoint is true when nothing differs but where models are reached.
	OnlyEndpoint bool
}

func (e *MismatchError) Error() string {
	remedy := "go on with the plan and dataset it was made from, or give another --out; `nightshift compare A B` compares two runs"
	if e.OnlyEndpoint {
		remedy = "if the same models are now served there, add --moved-endpoint; otherwise " + remedy
	}
	return fmt.Sprintf("%s belongs to another run; what differs:\n  %s\n%s", e.Dir, strings.Join(e.Differences, "\n  "), remedy)
}

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

// storageError wraps err, once, with a hint that fits it.
func storageError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var old *StorageError
	if errors.As(err, &old) {
		return err
	}
	return &StorageError{Op: op, Path: path, Err: err, Hint: hint(err)}
}

func hint(err error) string {
	switch {
	case fsx.IsFull(err):
		return "make room on the disk and start the same command again: it goes on where this one stopped"
	case fsx.IsReadOnly(err):
		return "the file system is mounted read-only, often after a disk error: look at the system log, mount it for writing and start the same command again"
	case errors.Is(err, fs.ErrPermission):
		return "the directory must be writable for this user"
	case errors.Is(err, fs.ErrNotExist):
		return "the run directory was moved or removed while it was in use"
	}
	return "check the disk, then start the same command again: it goes on where this one stopped"
}
