package fsx

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func renameNew(from, to string) error { return unix.RenamexNp(from, to, unix.RENAME_EXCL) }

// Reserve keeps n bytes of space behind the end of the file without changing
// its length. The error is errors.ErrUnsupported where the system cannot.
func Reserve(f *os.File, _, n int64) error {
	err := unix.FcntlFstore(f.Fd(), unix.F_PREALLOCATE,
		&unix.Fstore_t{Flags: unix.F_ALLOCATEALL, Posmode: unix.F_PEOFPOSMODE, Length: n})
	switch {
	case errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EINVAL):
		return errors.ErrUnsupported
	case err != nil:
		return &os.PathError{Op: "preallocate", Path: f.Name(), Err: err}
	}
	return nil
}
