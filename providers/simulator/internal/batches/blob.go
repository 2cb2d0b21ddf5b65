package batches

import (
	"bytes"
	"io"
	"os"
	"sync"
)

// inMemory is how much of a file is kept in memory, in bytes; longer ones go to
// disk.
const inMemory = 1 << 20

// A blob holds the bytes of a file. It may be closed while it is read.
type blob struct {
	mu   sync.RWMutex
	mem  bytes.Buffer
	disk *os.File
	size int64
}

// Write implements io.Writer.
func (b *blob) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.disk == nil && b.mem.Len()+len(p) > inMemory {
		disk, err := os.CreateTemp("", "nightshift-simulator-*")
		if err != nil {
			return 0, err
		}
		_ = os.Remove(disk.Name()) // where open files may be removed; close removes it elsewhere
		if _, err := disk.Write(b.mem.Bytes()); err != nil {
			return 0, err
		}
		b.disk, b.mem = disk, bytes.Buffer{}
	}
	b.size += int64(len(p))
	if b.disk != nil {
		return b.disk.Write(p)
	}
	return b.mem.Write(p)
}

// ReadAt implements io.ReaderAt.
func (b *blob) ReadAt(p []byte, at int64) (int, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.disk != nil {
		return b.disk.ReadAt(p, at)
	}
	return bytes.NewReader(b.mem.Bytes()).ReadAt(p, at)
}

// reader reads from the start.
func (b *blob) reader() io.Reader { return io.NewSectionReader(b, 0, b.size) }

// truncate drops what stands behind a size.
func (b *blob) truncate(size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size = size
	if b.disk == nil {
		b.mem.Truncate(int(size))
		return
	}
	_ = b.disk.Truncate(size) // the file is ours alone
	_, _ = b.disk.Seek(size, io.SeekStart)
}

func (b *blob) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.disk != nil {
		_ = b.disk.Close()
		_ = os.Remove(b.disk.Name())
		b.disk = nil
	}
	b.mem, b.size = bytes.Buffer{}, 0
}
