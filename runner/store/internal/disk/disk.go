// Package disk is every operation by which the store touches a disk.
package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"nightshift/internal/fsx"
)

// FS is every operation by which the store touches a disk. The real
// one is osFS; tests put in one that forgets what was not synced, or that
// fails where it is told to.
type FS interface {
	// Open is os.OpenFile. New files are made with mode 0600, and symbolic
	// links are not followed.
	Open(name string, flag int) (File, error)
	// Mkdir makes a directory of mode 0700 and is content when it exists.
	Mkdir(name string) error
	// List returns the names in a directory, sorted.
	List(dir string) ([]string, error)
	// Size returns the length of a regular file.
	Size(name string) (int64, error)
	// Replace renames a file, taking the place of any that has the new name.
	Replace(from, to string) error
	// Publish gives a finished file its final name, or fails with fs.ErrExist
	// when the name is taken. It is atomic.
	Publish(from, to string) error
	Remove(name string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Free returns the bytes that may still be written below dir.
	Free(dir string) (int64, error)
	// Lock takes an exclusive lock on a file, creating it, without waiting.
	// The error is [ErrLocked] when somebody holds it. Closing the file, or the
	// end of the process, releases it. The file then says note, which is for
	// people.
	Lock(name string, note []byte) (File, error)
	// Locked reports whether somebody holds the lock.
	Locked(name string) (bool, error)
	// TempDir is where answers go when the run directory takes none any more.
	TempDir() string
}

// File is an open file. Write appends.
type File interface {
	io.Reader
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	Length() (int64, error)
	// Reserve allocates n bytes from off on without changing the length, or
	// fails with errors.ErrUnsupported.
	Reserve(off, n int64) error
	// Linked reports whether the file still has a name.
	Linked() (bool, error)
}

// ErrLocked says that somebody holds the lock.
var ErrLocked = fsx.ErrLocked

// OS is the file system of the machine.
type OS struct{}

type osFile struct{ *os.File }

func (OS) Open(name string, flag int) (File, error) {
	f, err := fsx.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (OS) Mkdir(name string) error {
	err := os.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (OS) List(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	sort.Strings(names)
	return names, err
}

func (OS) Size(name string) (int64, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, &fs.PathError{Op: "stat", Path: name, Err: errors.New("not a regular file")}
	}
	return info.Size(), nil
}

func (OS) Replace(from, to string) error { return os.Rename(from, to) }
func (OS) Publish(from, to string) error { return fsx.Publish(from, to) }
func (OS) Remove(name string) error      { return os.Remove(name) }
func (OS) TempDir() string               { return os.TempDir() }

func (OS) SyncDir(dir string) error { return fsx.SyncDir(dir) }

func (OS) Free(dir string) (int64, error) { return fsx.FreeSpace(dir) }

func (OS) Lock(name string, note []byte) (File, error) {
	f, err := fsx.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := fsx.Lock(f, true); err != nil {
		f.Close()
		return nil, err
	}
	if err := errors.Join(f.Truncate(0), writeNote(f, note)); err != nil {
		f.Close()
		return nil, err
	}
	return osFile{f}, nil
}

func writeNote(f *os.File, note []byte) error {
	_, err := f.WriteAt(note, 0)
	return err
}

func (OS) Locked(name string) (bool, error) {
	f, err := fsx.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if errors.Is(err, fs.ErrPermission) || fsx.IsReadOnly(err) {
		f, err = fsx.OpenFile(name, os.O_RDONLY, 0)
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = fsx.Lock(f, false)
	if errors.Is(err, ErrLocked) {
		return true, nil
	}
	return false, err
}

func (f osFile) Length() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) Reserve(off, n int64) error { return fsx.Reserve(f.File, off, n) }
func (f osFile) Linked() (bool, error)      { return fsx.Linked(f.File) }

// MkdirAll makes dir and what is missing above it, each made durable in its
// parent.
func MkdirAll(fsys FS, dir string) error {
	if _, err := fsys.List(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := MkdirAll(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.Mkdir(dir); err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

// ReadAll reads a whole file.
func ReadAll(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// WriteFile puts b under its name whole or not at all: into tmp first, synced,
// renamed, and the directory synced.
func WriteFile(fsys FS, tmp, name string, b []byte) error {
	if err := WriteSynced(fsys, tmp, b); err != nil {
		return err
	}
	if err := fsys.Replace(tmp, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func WriteSynced(fsys FS, name string, b []byte) error {
	f, err := fsys.Open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	err = WriteFull(f, b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// WriteFull writes all of b or fails.
func WriteFull(w io.Writer, b []byte) error {
	n, err := w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}
