package store

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"nightshift/internal/fsx"
)

// fileSystem is every operation by which the store touches a disk. The real
// one is osFS; tests put in one that forgets what was not synced, or that
// fails where it is told to.
type fileSystem interface {
	// open is os.OpenFile. New files are made with mode 0600, and symbolic
	// links are not followed.
	open(name string, flag int) (file, error)
	// mkdir makes a directory of mode 0700 and is content when it exists.
	mkdir(name string) error
	// list returns the names in a directory, sorted.
	list(dir string) ([]string, error)
	// size returns the length of a regular file.
	size(name string) (int64, error)
	// replace renames a file, taking the place of any that has the new name.
	replace(from, to string) error
	// publish gives a finished file its final name, or fails with fs.ErrExist
	// when the name is taken. It is atomic.
	publish(from, to string) error
	remove(name string) error
	// syncDir makes the names in a directory durable.
	syncDir(dir string) error
	// free returns the bytes that may still be written below dir.
	free(dir string) (int64, error)
	// lock takes an exclusive lock on a file, creating it, without waiting.
	// The error is errLocked when somebody holds it. Closing the file, or the
	// end of the process, releases it. The file then says note, which is for
	// people.
	lock(name string, note []byte) (file, error)
	// locked reports whether somebody holds the lock.
	locked(name string) (bool, error)
	// tempDir is where answers go when the run directory takes none any more.
	tempDir() string
}

// file is an open file. Write appends.
type file interface {
	io.Reader
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	length() (int64, error)
	// reserve allocates n bytes from off on without changing the length, or
	// fails with errors.ErrUnsupported.
	reserve(off, n int64) error
	// linked reports whether the file still has a name.
	linked() (bool, error)
}

var errLocked = fsx.ErrLocked

// osFS is the file system of the machine.
type osFS struct{}

type osFile struct{ *os.File }

func (osFS) open(name string, flag int) (file, error) {
	f, err := fsx.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) mkdir(name string) error {
	err := os.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (osFS) list(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	sort.Strings(names)
	return names, err
}

func (osFS) size(name string) (int64, error) {
	info, err := os.Lstat(name)
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, &fs.PathError{Op: "stat", Path: name, Err: errors.New("not a regular file")}
	}
	return info.Size(), nil
}

func (osFS) replace(from, to string) error { return os.Rename(from, to) }
func (osFS) publish(from, to string) error { return fsx.Publish(from, to) }
func (osFS) remove(name string) error      { return os.Remove(name) }
func (osFS) tempDir() string               { return os.TempDir() }

func (osFS) syncDir(dir string) error { return fsx.SyncDir(dir) }

func (osFS) free(dir string) (int64, error) { return fsx.FreeSpace(dir) }

func (osFS) lock(name string, note []byte) (file, error) {
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

func (osFS) locked(name string) (bool, error) {
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
	if errors.Is(err, errLocked) {
		return true, nil
	}
	return false, err
}

func (f osFile) length() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f osFile) reserve(off, n int64) error { return fsx.Reserve(f.File, off, n) }
func (f osFile) linked() (bool, error)      { return fsx.Linked(f.File) }

// mkdirAll makes dir and what is missing above it, each made durable in its
// parent.
func mkdirAll(fsys fileSystem, dir string) error {
	if _, err := fsys.list(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := mkdirAll(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.mkdir(dir); err != nil {
		return err
	}
	return fsys.syncDir(parent)
}

// readAll reads a whole file.
func readAll(fsys fileSystem, name string) ([]byte, error) {
	f, err := fsys.open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// writeFile puts b under its name whole or not at all: into tmp first, synced,
// renamed, and the directory synced.
func writeFile(fsys fileSystem, tmp, name string, b []byte) error {
	if err := writeSynced(fsys, tmp, b); err != nil {
		return err
	}
	if err := fsys.replace(tmp, name); err != nil {
		return err
	}
	return fsys.syncDir(filepath.Dir(name))
}

func writeSynced(fsys fileSystem, name string, b []byte) error {
	f, err := fsys.open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	err = writeFull(f, b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// writeFull writes all of b or fails.
func writeFull(w io.Writer, b []byte) error {
	n, err := w.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return err
}
