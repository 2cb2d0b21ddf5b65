package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"nightshift/runner/store/internal/disk"
)

// A file is the journal file that a shard writes to.
type file struct {
	disk.File
	n        int32 // number among the shard's files
	name     string
	dir      string
	size     int64
	reserved int64 // bytes of the disk that it has, at least
	named    bool  // its directory has been synced
	fallback bool  // it lies outside the run directory
}

// put appends a line.
func (f *file) put(p *Pending) (place, error) {
	if err := disk.WriteFull(f, p.Line); err != nil {
		return place{}, err
	}
	at := place{Off: f.size, Len: int32(len(p.Line) - 1), File: f.n, CRC: p.CRC}
	f.size += int64(len(p.Line))
	return at, nil
}

var errUnlinked = fmt.Errorf("the file was removed while it was in use: %w", os.ErrNotExist)

// makeDurable syncs the file, and its name the first time.
func (f *file) makeDurable(fsys disk.FS) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if !f.named {
		if err := fsys.SyncDir(f.dir); err != nil {
			return err
		}
		f.named = true
	}
	there, err := f.Linked()
	if err == nil && !there {
		err = errUnlinked
	}
	return err
}

// OtherRun returns the id of the run a journal belongs to, when that is
// known and not runID. The file is read from its start afterwards.
func OtherRun(f disk.File, runID string) string {
	head := make([]byte, 1024)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	end := slices.Index(head[:n], '\n')
	if end < 0 {
		return ""
	}
	object, _, ok := CheckLine(head[:end])
	var h Head
	if !ok || json.Unmarshal(object, &h) != nil || h.K != kindHead || h.RunID == runID {
		return ""
	}
	return h.RunID
}

// lastLineEnd is where the last whole line between from and end ends; from when
// there is none.
func lastLineEnd(f io.ReaderAt, from, end int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for at := end; at > from; {
		n := min(int64(len(buf)), at-from)
		at -= n
		if _, err := f.ReadAt(buf[:n], at); err != nil && !errors.Is(err, io.EOF) {
			return from, err
		}
		for i := n - 1; i >= 0; i-- {
			if buf[i] == '\n' {
				return at + i + 1, nil
			}
		}
	}
	return min(from, end), nil
}
