package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// publish is a hard link followed by the removal of the old name: link fails
// when the new name exists, however close the race. Where there are no hard
// links the kernel's own rename-unless-there does the same.
func publish(from, to string) error {
	err := os.Link(from, to)
	if noLinks(err) {
		err = unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
		if err != nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		return nil
	}
	if err != nil {
		return err
	}
	return os.Remove(from)
}

// reserve keeps space beyond the end of the file without changing its length.
func reserve(f *os.File, off, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS):
			return errors.ErrUnsupported
		case err != nil:
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		}
		return nil
	}
}
