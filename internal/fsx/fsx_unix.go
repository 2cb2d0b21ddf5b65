//go:build unix

package fsx

import (
	"errors"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// NonBlock is a flag for opening what may turn out to be a pipe: without it,
// opening waits for a writer.
const NonBlock = unix.O_NONBLOCK

// OpenFile is os.OpenFile, but fails when the last part of name is a symbolic
// link.
func OpenFile(name string, flag int, perm os.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag|unix.O_NOFOLLOW, perm)
}

// TempFile makes a file below dir (empty: the system's folder for temporary
// files) that has no name any more, so that nothing is left behind however the
// process ends.
func TempFile(dir, pattern string) (*os.File, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // a file system that does not sync directories says so this way
	}
	return errors.Join(err, d.Close())
}

// FreeSpace returns the bytes that may still be written below dir.
func FreeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if st.Blocks == 0 {
		return math.MaxInt64, nil // some network file systems do not say
	}
	return int64(uint64(st.Bavail) * uint64(st.Bsize)), nil
}

// Lock takes a lock on an open file without waiting; the error is [ErrLocked]
// when somebody holds one that excludes it. It uses flock: the lock belongs to
// the open file, so it goes with the process however that ends, and a second
// open in one process is refused too.
func Lock(f *os.File, exclusive bool) error {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrLocked
		case err != nil:
			return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
		}
		return nil
	}
}

// Linked reports whether an open file still has a name.
func Linked(f *os.File) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || st.Nlink > 0, nil
}

// Identify returns the identity of the file at path, which info describes.
func Identify(path string, info os.FileInfo) (ID, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ID{}, &os.PathError{Op: "stat", Path: path, Err: errors.ErrUnsupported}
	}
	return ID{Device: uint64(st.Dev), Inode: uint64(st.Ino), Changed: changed(st)}, nil
}

// IsReadOnly reports whether err says that a file system takes no writes.
func IsReadOnly(err error) bool { return errors.Is(err, unix.EROFS) }

// IsFull reports whether err says that there is no room left.
func IsFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// Publish gives a finished file its final name, or fails with fs.ErrExist when
// the name is taken. It is atomic: a hard link, which fails when the new name
// exists, followed by the removal of the old name. Where there are no hard
// links the kernel's own rename-unless-there does the same.
func Publish(from, to string) error {
	err := os.Link(from, to)
	switch {
	case noLinks(err):
		if err := renameNew(from, to); err != nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		return nil
	case err != nil:
		return err
	}
	return os.Remove(from)
}

// noLinks reports that a file system has no hard links.
func noLinks(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) ||
		errors.Is(err, unix.EMLINK)
}

// OthersRead reports whether others than the process's own user may read a file,
// or write it. A file of root's that a group may read is no such file for another
// user: so Kubernetes and others hand secrets to processes that are not root's.
func OthersRead(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return othersRead(info.Mode().Perm(), ok && st.Uid == 0, os.Geteuid() == 0)
}

func othersRead(mode os.FileMode, rootOwns, root bool) bool {
	if rootOwns && !root {
		return mode&0o037 != 0
	}
	return mode&0o077 != 0
}
