package runner

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"slices"

	"nightshift/runner/store"
)

// mostLine bounds a line of a result file.
const mostLine = 64 << 20

// A resultLine is where the result of an item stands.
type resultLine struct {
	item   int64
	file   int // of results.files
	off    int64
	length int
	ticket ticket
}

// results are the result files of a batch and an index of their lines, so that
// they are read in the order of the dataset and never as a whole.
type results struct {
	files   []openResult
	lines   []resultLine // by item, and those of one item in the order of the files
	foreign int64        // lines of another batch, or none that can be read
}

type openResult struct {
	store.BatchReader
	remote string // id of the provider's batch
}

func (r *results) close() {
	for _, f := range r.files {
		f.Close()
	}
}

// readResults opens and indexes what was fetched of a batch. An error that is a
// [*store.StorageError] says that a file is not as it was written.
func (b *batches) readResults(a *batch, u *shard) (*results, error) {
	r := &results{}
	for _, file := range a.Results {
		f, err := b.Store.OpenBatchResult(a.N, file)
		if err != nil {
			r.close()
			return nil, err
		}
		r.files = append(r.files, openResult{f, file.ID})
		if err := r.index(b, a, u, f); err != nil {
			r.close()
			return nil, err
		}
	}
	slices.SortStableFunc(r.lines, func(x, y resultLine) int { return cmp.Compare(x.item, y.item) })
	return r, nil
}

// index notes the lines of one file that are results of the batch.
func (r *results) index(b *batches, a *batch, u *shard, f io.Reader) error {
	return eachLine(f, func(off int64, line []byte) {
		t, ok := parseTicket(a.Name, b.API.ResultID(line))
		var item int64
		if ok {
			item, ok = u.Item(t.row, t.epoch)
		}
		if !ok || !a.Items.Has(item) {
			r.foreign++
			return
		}
		r.lines = append(r.lines, resultLine{item, len(r.files) - 1, off, len(line), t})
	})
}

// of are the lines of an item.
func (r *results) of(item int64) []resultLine {
	byItem := func(l resultLine, item int64) int { return cmp.Compare(l.item, item) }
	first, _ := slices.BinarySearchFunc(r.lines, item, byItem)
	last := first
	for last < len(r.lines) && r.lines[last].item == item {
		last++
	}
	return r.lines[first:last]
}

// read is the text of a line.
func (r *results) read(l resultLine) ([]byte, error) {
	b := make([]byte, l.length)
	_, err := r.files[l.file].ReadAt(b, l.off)
	if errors.Is(err, io.EOF) {
		err = nil // the line is the last, and has no end
	}
	return b, err
}

// items is how many items have a line.
func (r *results) items() (n int64) {
	for i := range r.lines {
		if i == 0 || r.lines[i].item != r.lines[i-1].item {
			n++
		}
	}
	return n
}

// eachLine calls do for every line that is not blank, without its end and with
// the offset at which it begins. A line that is longer than any result may be
// is passed over.
func eachLine(r io.Reader, do func(off int64, line []byte)) error {
	in := bufio.NewReaderSize(r, 256<<10)
	var long []byte
	for off := int64(0); ; {
		piece, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, piece...)
			if len(long) > mostLine {
				off += int64(len(long))
				long = long[:0]
			}
			continue
		}
		line := piece
		if len(long) > 0 {
			long = append(long, piece...)
			line = long
		}
		at, text := bare(off, line)
		if len(text) > 0 {
			do(at, text)
		}
		off += int64(len(line))
		long = long[:0]
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

var byteOrderMark = []byte("\uFEFF")

// bare is a line without byte order mark and white space around it, and where
// that begins.
func bare(off int64, line []byte) (int64, []byte) {
	text := bytes.TrimPrefix(line, byteOrderMark)
	text = bytes.TrimLeft(text, " \t\r\n")
	off += int64(len(line) - len(text))
	return off, bytes.TrimRight(text, " \t\r\n")
}
