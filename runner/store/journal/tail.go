package journal

import (
	"errors"
	"io"
	"os"
	"slices"

	"nightshift/runner/store/internal/disk"
)

// A Tail is an index of journals that somebody else may be writing to. It reads
// only what was added since it last looked, and keeps no file open.
type Tail struct {
	*Index
	read []int64 // bytes of each file that have been looked at
}

// ErrShrunk says that a journal is shorter than it was: what the Tail holds of
// it is of no use.
var ErrShrunk = errors.New("a journal is shorter than it was")

// NewTail makes a Tail of an index without files.
func NewTail(j *Index) *Tail { return &Tail{Index: j} }

// Empty reports whether nothing has been read yet.
func (t *Tail) Empty() bool { return slices.Max(append(t.read, 0)) == 0 }

// Update reads what was added to the n-th file, which has this name. Files of
// other runs are passed over. Of a live run the last line is left until it is
// whole.
func (t *Tail) Update(fsys disk.FS, n int, name, runID string, live bool) error {
	if n == len(t.names) {
		t.names, t.read = append(t.names, name), append(t.read, 0)
	}
	f, err := fsys.Open(name, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if t.read[n] == 0 && OtherRun(f, runID) != "" {
		return nil
	}
	end, err := f.Length()
	if err == nil && live {
		end, err = lastLineEnd(f, t.read[n], end)
	}
	if err != nil || end == t.read[n] {
		return err
	}
	if end < t.read[n] {
		return ErrShrunk
	}
	err = t.scanFrom(io.NewSectionReader(f, t.read[n], end-t.read[n]), n, t.read[n])
	t.read[n] = end
	return err
}
