package fsx

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// NonBlock is a flag for opening what may turn out to be a pipe. Windows has
// no pipes among files.
const NonBlock = 0

// shared lets others read, write, rename and remove a file that is open, as
// elsewhere.
const shared = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE

// OpenFile is os.OpenFile, but fails when name is a link, and lets the file be
// renamed and removed while it is open.
func OpenFile(name string, flag int, perm os.FileMode) (*os.File, error) {
	f, err := create(name, access(flag), disposition(flag),
		windows.FILE_FLAG_OPEN_REPARSE_POINT|windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	var info windows.ByHandleFileInformation
	err = windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info)
	if err == nil && info.FileAttributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0 {
		err = syscall.ELOOP
	}
	if err == nil && flag&os.O_TRUNC != 0 {
		err = f.Truncate(0) // only now that it is known to be no link
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return f, nil
}

// access is the rights that the flags of os.OpenFile ask for.
func access(flag int) uint32 {
	var rights uint32
	switch flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR) {
	case os.O_RDONLY:
		rights = windows.GENERIC_READ
	case os.O_WRONLY:
		rights = windows.GENERIC_WRITE
	case os.O_RDWR:
		rights = windows.GENERIC_READ | windows.GENERIC_WRITE
	}
	if flag&os.O_APPEND != 0 && flag&os.O_TRUNC == 0 { // without the right to write elsewhere, every write appends
		rights &^= windows.GENERIC_WRITE
		rights |= windows.FILE_APPEND_DATA | windows.FILE_WRITE_ATTRIBUTES | windows.SYNCHRONIZE
	}
	return rights
}

func disposition(flag int) uint32 {
	switch {
	case flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return windows.CREATE_NEW
	case flag&os.O_CREATE != 0:
		return windows.OPEN_ALWAYS
	}
	return windows.OPEN_EXISTING
}

func create(name string, rights, how, attributes uint32) (*os.File, error) {
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, err
	}
	h, err := windows.CreateFile(p, rights, shared, nil, how, windows.FILE_ATTRIBUTE_NORMAL|attributes, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(h), name), nil
}

// TempFile makes a file below dir (empty: the system's folder for temporary
// files) that is removed when it is closed, also by the end of the process.
func TempFile(dir, pattern string) (*os.File, error) {
	named, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	if err := named.Close(); err != nil {
		return nil, err
	}
	f, err := create(named.Name(), windows.GENERIC_READ|windows.GENERIC_WRITE|windows.DELETE, windows.OPEN_EXISTING,
		windows.FILE_ATTRIBUTE_TEMPORARY|windows.FILE_FLAG_DELETE_ON_CLOSE)
	if err != nil {
		return nil, errors.Join(err, os.Remove(named.Name()))
	}
	return f, nil
}

// SyncDir makes the names in a directory durable. Where the system does not
// let this user flush a directory, the log of NTFS is relied on.
func SyncDir(dir string) error {
	d, err := create(dir, windows.GENERIC_WRITE, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS)
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	err = windows.FlushFileBuffers(windows.Handle(d.Fd()))
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_INVALID_FUNCTION) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// FreeSpace returns the bytes that may still be written below dir.
func FreeSpace(dir string) (int64, error) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, err
	}
	var free uint64
	err = windows.GetDiskFreeSpaceEx(p, &free, nil, nil)
	return int64(free), err
}

// Lock takes a lock on an open file without waiting; the error is [ErrLocked]
// when somebody holds one that excludes it. It goes with the open file.
func Lock(f *os.File, exclusive bool) error {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	// The locked byte lies far beyond the text in the file, which others read.
	at := windows.Overlapped{Offset: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

// Linked reports whether an open file still has a name.
func Linked(f *os.File) (bool, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &info); err != nil {
		return false, err
	}
	return info.NumberOfLinks > 0, nil
}

// Identify returns the identity of the file at path.
func Identify(path string, _ os.FileInfo) (ID, error) {
	f, err := create(path, 0, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err != nil {
		return ID{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer f.Close()
	h := windows.Handle(f.Fd())
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return ID{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	var basic struct { // FILE_BASIC_INFO
		created, accessed, written, changed windows.Filetime
		attributes                          uint32
		_                                   uint32
	}
	id := ID{Device: uint64(info.VolumeSerialNumber), Inode: uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)}
	if windows.GetFileInformationByHandleEx(h, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&basic)),
		uint32(unsafe.Sizeof(basic))) == nil {
		id.Changed = basic.changed.Nanoseconds() // unknown on file systems that do not keep it
	}
	return id, nil
}

// IsReadOnly reports whether err says that a file system takes no writes.
func IsReadOnly(err error) bool { return errors.Is(err, windows.ERROR_WRITE_PROTECT) }

// IsFull reports whether err says that there is no room left.
func IsFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, syscall.ENOSPC)
}

// Publish gives a finished file its final name, or fails with fs.ErrExist when
// the name is taken. It is atomic.
func Publish(from, to string) error {
	old, err := windows.UTF16PtrFromString(from)
	if err != nil {
		return err
	}
	final, err := windows.UTF16PtrFromString(to)
	if err != nil {
		return err
	}
	if err := windows.MoveFileEx(old, final, windows.MOVEFILE_WRITE_THROUGH); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// Reserve is left to the caller: NTFS gives up space beyond the length of a
// file when the file is closed.
func Reserve(*os.File, int64, int64) error { return errors.ErrUnsupported }

// OthersRead reports whether others than the process's own user may read a file;
// Windows has no such bits.
func OthersRead(os.FileInfo) bool { return false }
