package store

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
)

// memFS is a file system that loses at a power failure what a real one may
// lose: bytes that were written and not synced, and names that were made,
// moved or removed in a directory that was not synced since.
type memFS struct {
	mu    sync.Mutex
	root  *memNode
	locks map[*memNode]bool
	seq   int   // of directory operations
	ops   int   // of all operations
	space int64 // what free says

	capacity int64 // bytes all files may take together; 0 is no limit

	// before is called before every operation, under the lock. An error fails
	// the operation; for a write, short bytes are written first. Without an
	// error the write is short and says nothing else.
	before func(op, path string) (short int, err error)
}

// memNode is a file or a directory.
type memNode struct {
	isDir   bool
	data    []byte // as a process sees it
	durable []byte // as it is after a power failure, if none of the rest gets there
	names   map[string]*memNode
	kept    map[string]*memNode // durable names
	pending []dirOp
}

// dirOp is a change of one directory that is not durable yet. Both halves of
// a rename have one number.
type dirOp struct {
	seq  int
	name string
	to   *memNode // nil removes the name
}

func newMemFS() *memFS {
	return &memFS{root: newMemDir(), locks: map[*memNode]bool{}, space: 1 << 40}
}

func newMemDir() *memNode {
	return &memNode{isDir: true, names: map[string]*memNode{}, kept: map[string]*memNode{}}
}

func pathError(op, path string, err error) error { return &fs.PathError{Op: op, Path: path, Err: err} }

func (m *memFS) step(op, path string) (int, error) {
	m.ops++
	if m.before == nil {
		return 0, nil
	}
	short, err := m.before(op, path)
	if err != nil {
		err = pathError(op, path, err)
	}
	return short, err
}

func (m *memFS) node(path string) *memNode {
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

func (m *memFS) parent(path string) (*memNode, string) {
	return m.node(filepath.Dir(path)), filepath.Base(path)
}

func (m *memFS) change(dir *memNode, name string, to *memNode, seq int) {
	if to == nil {
		delete(dir.names, name)
	} else {
		dir.names[name] = to
	}
	dir.pending = append(dir.pending, dirOp{seq, name, to})
}

func (m *memFS) nextSeq() int { m.seq++; return m.seq }

func (m *memFS) open(name string, flag int) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	op := "open"
	if flag&os.O_CREATE != 0 {
		op = "create"
	}
	if _, err := m.step(op, name); err != nil {
		return nil, err
	}
	n := m.node(name)
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, pathError("open", name, fs.ErrNotExist)
	case n == nil:
		dir, base := m.parent(name)
		if dir == nil || !dir.isDir {
			return nil, pathError("open", name, fs.ErrNotExist)
		}
		n = &memNode{}
		m.change(dir, base, n, m.nextSeq())
	case flag&os.O_EXCL != 0:
		return nil, pathError("open", name, fs.ErrExist)
	case flag&os.O_TRUNC != 0:
		n.data, n.durable = nil, nil
	}
	return &memFile{fs: m, n: n, name: name}, nil
}

func (m *memFS) mkdir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.step("mkdir", name); err != nil {
		return err
	}
	if m.node(name) != nil {
		return nil
	}
	dir, base := m.parent(name)
	if dir == nil {
		return pathError("mkdir", name, fs.ErrNotExist)
	}
	m.change(dir, base, newMemDir(), m.nextSeq())
	return nil
}

func (m *memFS) list(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.step("list", dir); err != nil {
		return nil, err
	}
	n := m.node(dir)
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

func (m *memFS) size(name string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.step("stat", name); err != nil {
		return 0, err
	}
	n := m.node(name)
	if n == nil || n.isDir {
		return 0, pathError("stat", name, fs.ErrNotExist)
	}
	return int64(len(n.data)), nil
}

func (m *memFS) replace(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.step("rename", to); err != nil {
		return err
	}
	n := m.node(from)
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

func (m *memFS) publish(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.step("link", to); err != nil {
		return err
	}
	n := m.node(from)
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

func (m *memFS) remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
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

func (m *memFS) syncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.step("syncdir", dir); err != nil {
		return err
	}
	n := m.node(dir)
	if n == nil {
		return pathError("syncdir", dir, fs.ErrNotExist)
	}
	// A rename reaches the disk whole: the other directory's half goes along.
	done := map[int]bool{}
	for _, op := range n.pending {
		done[op.seq] = true
	}
	m.flush(m.root, done, map[*memNode]bool{})
	return nil
}

func (m *memFS) flush(n *memNode, done map[int]bool, seen map[*memNode]bool) {
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

func applyOp(names map[string]*memNode, op dirOp) {
	if op.to == nil {
		delete(names, op.name)
	} else {
		names[op.name] = op.to
	}
}

func (m *memFS) free(string) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.step("free", ""); err != nil {
		return 0, err
	}
	return m.space, nil
}

func (m *memFS) lock(name string, note []byte) (file, error) {
	f, err := m.open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	mf := f.(*memFile)
	if m.locks[mf.n] {
		return nil, errLocked
	}
	m.locks[mf.n] = true
	mf.locked = true
	mf.n.data = append(mf.n.data[:0:0], note...)
	return f, nil
}

func (m *memFS) locked(name string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.node(name)
	return n != nil && m.locks[n], nil
}

func (m *memFS) tempDir() string { return "/tmp" }

// crash returns the file system as it may be after a power failure now. What
// was not synced is lost, kept, or kept in part, as rng has it.
func (m *memFS) crash(rng *rand.Rand) *memFS {
	c := newMemFS()
	fate := map[int]bool{}
	mood := rng.IntN(4) // lose all, keep all, toss for each, toss
	keep := func(seq int) bool {
		if _, known := fate[seq]; !known {
			fate[seq] = mood == 1 || mood > 1 && rng.IntN(2) == 0
		}
		return fate[seq]
	}
	c.root = m.root.afterCrash(rng, mood, keep, map[*memNode]*memNode{})
	return c
}

func (n *memNode) afterCrash(rng *rand.Rand, mood int, keep func(int) bool, made map[*memNode]*memNode) *memNode {
	if n == nil {
		return nil
	}
	if c := made[n]; c != nil {
		return c
	}
	c := &memNode{isDir: n.isDir}
	made[n] = c
	if !n.isDir {
		c.data = n.survivingBytes(rng, mood)
		c.durable = c.data
		return c
	}
	names := map[string]*memNode{}
	for name, child := range n.kept {
		names[name] = child
	}
	for _, op := range n.pending {
		if keep(op.seq) {
			applyOp(names, op)
		}
	}
	c.names, c.kept = map[string]*memNode{}, map[string]*memNode{}
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
func (n *memNode) survivingBytes(rng *rand.Rand, mood int) []byte {
	kept := append([]byte(nil), n.durable...)
	rest := n.data[min(len(n.durable), len(n.data)):]
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

// clone is the file system as another process would see it now: kill -9
// loses nothing that was written.
func (m *memFS) clone() *memFS {
	c := newMemFS()
	c.root = m.root.copy(map[*memNode]*memNode{})
	return c
}

func (n *memNode) copy(made map[*memNode]*memNode) *memNode {
	if n == nil {
		return nil
	}
	if c := made[n]; c != nil {
		return c
	}
	c := &memNode{isDir: n.isDir, data: append([]byte(nil), n.data...), durable: append([]byte(nil), n.durable...)}
	made[n] = c
	if n.isDir {
		c.names, c.kept = map[string]*memNode{}, map[string]*memNode{}
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

type memFile struct {
	fs     *memFS
	n      *memNode
	name   string
	pos    int
	locked bool
}

func (f *memFile) Write(b []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	short, err := f.fs.step("write", f.name)
	if err != nil || short > 0 {
		short = min(short, len(b))
		f.n.data = append(f.n.data, b[:short]...)
		return short, err
	}
	if c := f.fs.capacity; c > 0 {
		if room := max(0, c-f.fs.used()); int64(len(b)) > room {
			f.n.data = append(f.n.data, b[:room]...)
			return int(room), pathError("write", f.name, syscall.ENOSPC)
		}
	}
	f.n.data = append(f.n.data, b...)
	return len(b), nil
}

// used is the bytes that all files with a name take.
func (m *memFS) used() int64 { return m.root.bytes() }

func (n *memNode) bytes() int64 {
	sum := int64(len(n.data))
	for _, c := range n.names {
		sum += c.bytes()
	}
	return sum
}

func (f *memFile) Read(b []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if _, err := f.fs.step("read", f.name); err != nil {
		return 0, err
	}
	if f.pos >= len(f.n.data) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[f.pos:])
	f.pos += n
	return n, nil
}

func (f *memFile) ReadAt(b []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if _, err := f.fs.step("readat", f.name); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Sync makes the bytes durable. One that fails loses them: the page cache
// calls them clean, a process still reads them, and no later Sync writes them.
func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	_, err := f.fs.step("sync", f.name)
	rest := f.n.data[min(len(f.n.durable), len(f.n.data)):]
	if err != nil {
		f.n.durable = append(f.n.durable, make([]byte, len(rest))...)
		return err
	}
	f.n.durable = append(f.n.durable, rest...)
	return nil
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.locked {
		delete(f.fs.locks, f.n)
	}
	return nil
}

func (f *memFile) length() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.n.data)), nil
}

func (f *memFile) reserve(int64, int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if _, err := f.fs.step("reserve", f.name); err != nil {
		return err
	}
	return errors.ErrUnsupported
}

func (f *memFile) linked() (bool, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.fs.node(f.name) == f.n, nil
}
