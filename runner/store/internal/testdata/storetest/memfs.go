// Package storetest is for tests only: a file system in memory that fails and
// loses power, and records to write.
package storetest

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"nightshift/runner/store/internal/disk"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
)

// MemFS is a file system that loses at a power failure what a real one may
// lose: bytes that were written and not synced, and names that were made,
// moved or removed in a directory that was not synced since.
type MemFS struct {
	Mu    sync.Mutex
	root  *MemNode
	locks map[*MemNode]bool
	seq   int   // of directory operations
	ops   int   // of all operations
	Space int64 // what free says

	Capacity int64 // bytes all files may take together; 0 is no limit

	// before is called before every operation, under the lock. An error fails
	// the operation; for a write, short bytes are written first. Without an
	// error the write is short and says nothing else.
	Before func(op, path string) (short int, err error)
}

// MemNode is a file or a directory.
type MemNode struct {
	isDir   bool
	Data    []byte // as a process sees it
	Durable []byte // as it is after a power failure, if none of the rest gets there
	names   map[string]*MemNode
	kept    map[string]*MemNode // durable names
	pending []dirOp
}

// dirOp is a change of one directory that is not durable yet. Both halves of
// a rename have one number.
type dirOp struct {
	seq  int
	name string
	to   *MemNode // nil removes the name
}

func NewFS() *MemFS {
	return &MemFS{root: newMemDir(), locks: map[*MemNode]bool{}, Space: 1 << 40}
}

func newMemDir() *MemNode {
	return &MemNode{isDir: true, names: map[string]*MemNode{}, kept: map[string]*MemNode{}}
}

func pathError(op, path string, err error) error { return &fs.PathError{Op: op, Path: path, Err: err} }

func (m *MemFS) step(op, path string) (int, error) {
	m.ops++
	if m.Before == nil {
		return 0, nil
	}
	short, err := m.Before(op, path)
	if err != nil {
		err = pathError(op, path, err)
	}
	return short, err
}

func (m *MemFS) Node(path string) *MemNode {
	n := m.root
	for parquetFile := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if parquetFile == "" {
			continue
		}
		if n == nil || !n.isDir {
			return nil
		}
		n = n.names[parquetFile]
	}
	return n
}

func (m *MemFS) parent(path string) (*MemNode, string) {
	return m.Node(filepath.Dir(path)), filepath.Base(path)
}

func (m *MemFS) change(dir *MemNode, name string, to *MemNode, seq int) {
	if to == nil {
		delete(dir.names, name)
	} else {
		dir.names[name] = to
	}
	dir.pending = append(dir.pending, dirOp{seq, name, to})
}

func (m *MemFS) nextSeq() int { m.seq++; return m.seq }

func (m *MemFS) Open(name string, flag int) (disk.File, error) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	op := "open"
	if flag&os.O_CREATE != 0 {
		op = "create"
	}
	if _, err := m.step(op, name); err != nil {
		return nil, err
	}
	n := m.Node(name)
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, pathError("open", name, fs.ErrNotExist)
	case n == nil:
		dir, base := m.parent(name)
		if dir == nil || !dir.isDir {
			return nil, pathError("open", name, fs.ErrNotExist)
		}
		n = &MemNode{}
		m.change(dir, base, n, m.nextSeq())
	case flag&os.O_EXCL != 0:
		return nil, pathError("open", name, fs.ErrExist)
	case flag&os.O_TRUNC != 0:
		n.Data, n.Durable = nil, nil
	}
	return &MemFile{Fs: m, N: n, name: name}, nil
}

func (m *MemFS) Mkdir(name string) error {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if _, err := m.step("mkdir", name); err != nil {
		return err
	}
	if m.Node(name) != nil {
		return nil
	}
	dir, base := m.parent(name)
	if dir == nil {
		return pathError("mkdir", name, fs.ErrNotExist)
	}
	m.change(dir, base, newMemDir(), m.nextSeq())
	return nil
}

func (m *MemFS) List(dir string) ([]string, error) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if _, err := m.step("list", dir); err != nil {
		return nil, err
	}
	n := m.Node(dir)
	if n == nil || !n.isDir {
		return nil, pathError("list", dir, fs.ErrNotExist)
	}
	var names []string
	for name := range n.names {
		names = append(names, name)
	}
	sort.Strings(names)
	return names, nil
}

func (m *MemFS) Size(name string) (int64, error) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if _, err := m.step("stat", name); err != nil {
		return 0, err
	}
	n := m.Node(name)
	if n == nil || n.isDir {
		return 0, pathError("stat", name, fs.ErrNotExist)
	}
	return int64(len(n.Data)), nil
}

func (m *MemFS) Replace(from, to string) error {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if _, err := m.step("rename", to); err != nil {
		return err
	}
	n := m.Node(from)
	src, srcName := m.parent(from)
	dst, dstName := m.parent(to)
	if n == nil || dst == nil {
		return pathError("rename", from, fs.ErrNotExist)
	}
	seq := m.nextSeq()
	m.change(dst, dstName, n, seq)
	m.change(src, srcName, nil, seq)
	return nil
}

func (m *MemFS) Publish(from, to string) error {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if _, err := m.step("link", to); err != nil {
		return err
	}
	n := m.Node(from)
	dst, dstName := m.parent(to)
	if n == nil || dst == nil {
		return pathError("link", from, fs.ErrNotExist)
	}
	if dst.names[dstName] != nil {
		return pathError("link", to, fs.ErrExist)
	}
	m.change(dst, dstName, n, m.nextSeq())
	src, srcName := m.parent(from)
	m.change(src, srcName, nil, m.nextSeq())
	return nil
}

func (m *MemFS) Remove(name string) error {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if _, err := m.step("remove", name); err != nil {
		return err
	}
	dir, base := m.parent(name)
	if dir == nil || dir.names[base] == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	m.change(dir, base, nil, m.nextSeq())
	return nil
}

func (m *MemFS) SyncDir(dir string) error {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if _, err := m.step("syncdir", dir); err != nil {
		return err
	}
	n := m.Node(dir)
	if n == nil {
		return pathError("syncdir", dir, fs.ErrNotExist)
	}
	// A rename reaches the disk whole: the other directory's half goes along.
	done := map[int]bool{}
	for _, op := range n.pending {
		done[op.seq] = true
	}
	m.flush(m.root, done, map[*MemNode]bool{})
	return nil
}

func (m *MemFS) flush(n *MemNode, done map[int]bool, seen map[*MemNode]bool) {
	if n == nil || !n.isDir || seen[n] {
		return
	}
	seen[n] = true
	var rest []dirOp
	for _, op := range n.pending {
		if done[op.seq] {
			applyOp(n.kept, op)
		} else {
			rest = append(rest, op)
		}
	}
	n.pending = rest
	for _, child := range n.names {
		m.flush(child, done, seen)
	}
}

func applyOp(names map[string]*MemNode, op dirOp) {
	if op.to == nil {
		delete(names, op.name)
	} else {
		names[op.name] = op.to
	}
}

func (m *MemFS) Free(string) (int64, error) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if _, err := m.step("free", ""); err != nil {
		return 0, err
	}
	return m.Space, nil
}

func (m *MemFS) Lock(name string, note []byte) (disk.File, error) {
	f, err := m.Open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	m.Mu.Lock()
	defer m.Mu.Unlock()
	mf := f.(*MemFile)
	if m.locks[mf.N] {
		return nil, disk.ErrLocked
	}
	m.locks[mf.N] = true
	mf.locked = true
	mf.N.Data = append(mf.N.Data[:0:0], note...)
	return f, nil
}

func (m *MemFS) Locked(name string) (bool, error) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	n := m.Node(name)
	return n != nil && m.locks[n], nil
}

func (m *MemFS) TempDir() string { return "/tmp" }

// Crash returns the file system as it may be after a power failure now. What
// was not synced is lost, kept, or kept in part, as rng has it.
func (m *MemFS) Crash(rng *rand.Rand) *MemFS {
	c := NewFS()
	fate := map[int]bool{}
	mood := rng.IntN(4) // lose all, keep all, toss for each, toss
	keep := func(seq int) bool {
		if _, known := fate[seq]; !known {
			fate[seq] = mood == 1 || mood > 1 && rng.IntN(2) == 0
		}
		return fate[seq]
	}
	c.root = m.root.afterCrash(rng, mood, keep, map[*MemNode]*MemNode{})
	return c
}

func (n *MemNode) afterCrash(rng *rand.Rand, mood int, keep func(int) bool, made map[*MemNode]*MemNode) *MemNode {
	if n == nil {
		return nil
	}
	if c := made[n]; c != nil {
		return c
	}
	c := &MemNode{isDir: n.isDir}
	made[n] = c
	if !n.isDir {
		c.Data = n.survivingBytes(rng, mood)
		c.Durable = c.Data
		return c
	}
	names := map[string]*MemNode{}
	for name, child := range n.kept {
		names[name] = child
	}
	for _, op := range n.pending {
		if keep(op.seq) {
			applyOp(names, op)
		}
	}
	c.names, c.kept = map[string]*MemNode{}, map[string]*MemNode{}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted) // the same seed must give the same crash
	for _, name := range sorted {
		child := names[name].afterCrash(rng, mood, keep, made)
		c.names[name], c.kept[name] = child, child
	}
	return c
}

// survivingBytes is what is left of a file: what was synced, and of the rest
// nothing, all, a piece, or zeros where blocks were allocated and not written.
func (n *MemNode) survivingBytes(rng *rand.Rand, mood int) []byte {
	kept := append([]byte(nil), n.Durable...)
	rest := n.Data[min(len(n.Durable), len(n.Data)):]
	if len(rest) == 0 || mood == 0 {
		return kept
	}
	if mood == 1 {
		return append(kept, rest...)
	}
	cut := rng.IntN(len(rest) + 1)
	kept = append(kept, rest[:cut]...)
	if rng.IntN(3) == 0 {
		kept = append(kept, make([]byte, len(rest)-cut)...)
	}
	return kept
}

// Clone is the file system as another process would see it now: kill -9
// loses nothing that was written.
func (m *MemFS) Clone() *MemFS {
	c := NewFS()
	c.root = m.root.copy(map[*MemNode]*MemNode{})
	return c
}

func (n *MemNode) copy(made map[*MemNode]*MemNode) *MemNode {
	if n == nil {
		return nil
	}
	if c := made[n]; c != nil {
		return c
	}
	c := &MemNode{isDir: n.isDir, Data: append([]byte(nil), n.Data...), Durable: append([]byte(nil), n.Durable...)}
	made[n] = c
	if n.isDir {
		c.names, c.kept = map[string]*MemNode{}, map[string]*MemNode{}
		for name, child := range n.names {
			c.names[name] = child.copy(made)
		}
		for name, child := range n.kept {
			c.kept[name] = child.copy(made)
		}
		for _, op := range n.pending {
			c.pending = append(c.pending, dirOp{op.seq, op.name, op.to.copy(made)})
		}
	}
	return c
}

type MemFile struct {
	Fs     *MemFS
	N      *MemNode
	name   string
	pos    int
	locked bool
}

func (f *MemFile) Write(b []byte) (int, error) {
	f.Fs.Mu.Lock()
	defer f.Fs.Mu.Unlock()
	short, err := f.Fs.step("write", f.name)
	if err != nil || short > 0 {
		short = min(short, len(b))
		f.N.Data = append(f.N.Data, b[:short]...)
		return short, err
	}
	if c := f.Fs.Capacity; c > 0 {
		if room := max(0, c-f.Fs.Used()); int64(len(b)) > room {
			f.N.Data = append(f.N.Data, b[:room]...)
			return int(room), pathError("write", f.name, syscall.ENOSPC)
		}
	}
	f.N.Data = append(f.N.Data, b...)
	return len(b), nil
}

// Used is the bytes that all files with a name take.
func (m *MemFS) Used() int64 { return m.root.bytes() }

func (n *MemNode) bytes() int64 {
	sum := int64(len(n.Data))
	for _, c := range n.names {
		sum += c.bytes()
	}
	return sum
}

func (f *MemFile) Read(b []byte) (int, error) {
	f.Fs.Mu.Lock()
	defer f.Fs.Mu.Unlock()
	if _, err := f.Fs.step("read", f.name); err != nil {
		return 0, err
	}
	if f.pos >= len(f.N.Data) {
		return 0, io.EOF
	}
	n := copy(b, f.N.Data[f.pos:])
	f.pos += n
	return n, nil
}

func (f *MemFile) ReadAt(b []byte, off int64) (int, error) {
	f.Fs.Mu.Lock()
	defer f.Fs.Mu.Unlock()
	if _, err := f.Fs.step("readat", f.name); err != nil {
		return 0, err
	}
	if off >= int64(len(f.N.Data)) {
		return 0, io.EOF
	}
	n := copy(b, f.N.Data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Sync makes the bytes durable. One that fails loses them: the page cache
// calls them clean, a process still reads them, and no later Sync writes them.
func (f *MemFile) Sync() error {
	f.Fs.Mu.Lock()
	defer f.Fs.Mu.Unlock()
	_, err := f.Fs.step("sync", f.name)
	rest := f.N.Data[min(len(f.N.Durable), len(f.N.Data)):]
	if err != nil {
		f.N.Durable = append(f.N.Durable, make([]byte, len(rest))...)
		return err
	}
	f.N.Durable = append(f.N.Durable, rest...)
	return nil
}

func (f *MemFile) Close() error {
	f.Fs.Mu.Lock()
	defer f.Fs.Mu.Unlock()
	if f.locked {
		delete(f.Fs.locks, f.N)
	}
	return nil
}

func (f *MemFile) Length() (int64, error) {
	f.Fs.Mu.Lock()
	defer f.Fs.Mu.Unlock()
	return int64(len(f.N.Data)), nil
}

func (f *MemFile) Reserve(int64, int64) error {
	f.Fs.Mu.Lock()
	defer f.Fs.Mu.Unlock()
	if _, err := f.Fs.step("reserve", f.name); err != nil {
		return err
	}
	return errors.ErrUnsupported
}

func (f *MemFile) Linked() (bool, error) {
	f.Fs.Mu.Lock()
	defer f.Fs.Mu.Unlock()
	return f.Fs.Node(f.name) == f.N, nil
}
