package datasets

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/bits"
	"os"
	"slices"

	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/fsx"
)

// idSeed makes the hashes of ids; they are compared within one process only.
var idSeed = maphash.MakeSeed()

// hashID hashes an id as it is written out: 1 and "1" are the same, and so are
// "a" and "\u0061". It never returns 0.
func hashID(v rowjson.Value) uint64 {
	raw := v.Raw
	if v.Kind == rowjson.String {
		raw = rowjson.Unescape(raw[1 : len(raw)-1])
	}
	return maphash.Bytes(idSeed, raw) | 1
}

const (
	idBuckets    = 256     // by the highest bits of the hash
	idsInMemory  = 4 << 20 // then they go to disk
	idBlock      = 8 << 10 // hashes that a bucket collects before it writes
	maxSuspects  = 1 << 16
	shownSameIDs = 10
)

// A duplicateFinder finds hashes that occur more than once, in memory that does not
// grow with their number. They are sorted into 256 buckets, each of
// which is searched by itself. Beyond idsInMemory the buckets are kept in a
// temporary file.
type duplicateFinder struct {
	dir     string
	buckets [idBuckets][]uint64
	n       int
	blocks  [idBuckets][]block // where the buckets are in the file
	file    *os.File           // nil while all is in memory
	size    int64
	buf     []byte
	table   []uint64 // of one bucket at a time
	limit   int      // idsInMemory, but for tests
}

type block struct {
	at int64
	n  int
}

func (t *duplicateFinder) add(ids []uint64) error {
	for _, id := range ids {
		p := id >> 56
		t.buckets[p] = append(t.buckets[p], id)
		if t.file != nil && len(t.buckets[p]) >= idBlock {
			if err := t.flush(int(p)); err != nil {
				return err
			}
		}
	}
	if t.n += len(ids); t.file != nil || t.n <= cmp.Or(t.limit, idsInMemory) {
		return nil
	}
	return t.spill()
}

// spill opens the temporary file and moves everything into it. Nothing of
// it is left behind however the process ends.
func (t *duplicateFinder) spill() error {
	if t.dir != "" {
		if err := os.MkdirAll(t.dir, 0o700); err != nil {
			return err
		}
	}
	f, err := fsx.TempFile(t.dir, "ids-*")
	if err != nil {
		return fmt.Errorf("looking for double ids: %w", err)
	}
	t.file = f
	for p := range t.buckets {
		if err := t.flush(p); err != nil {
			return err
		}
		t.buckets[p] = make([]uint64, 0, idBlock)
	}
	return nil
}

func (t *duplicateFinder) flush(p int) error {
	ids := t.buckets[p]
	t.buf = t.buf[:0]
	for _, id := range ids {
		t.buf = binary.LittleEndian.AppendUint64(t.buf, id)
	}
	if _, err := t.file.WriteAt(t.buf, t.size); err != nil {
		return fmt.Errorf("looking for double ids: %w", err)
	}
	t.blocks[p] = append(t.blocks[p], block{t.size, len(ids)})
	t.size += int64(8 * len(ids))
	t.buckets[p] = ids[:0]
	return nil
}

// find returns how many hashes repeat an earlier one, and these hashes, once
// for each repetition and at most maxSuspects of them.
func (t *duplicateFinder) find() (repeats int64, suspects []uint64, err error) {
	var ids []uint64
	for p := range t.buckets {
		if ids, err = t.bucket(p, ids[:0]); err != nil {
			return 0, nil, err
		}
		n, more := t.duplicates(ids, suspects)
		repeats, suspects = repeats+n, more
	}
	return repeats, suspects, nil
}

// bucket reads all of one bucket.
func (t *duplicateFinder) bucket(p int, ids []uint64) ([]uint64, error) {
	for _, b := range t.blocks[p] {
		t.buf = slices.Grow(t.buf[:0], 8*b.n)[:8*b.n]
		if _, err := t.file.ReadAt(t.buf, b.at); err != nil {
			return nil, fmt.Errorf("looking for double ids: %w", err)
		}
		for i := 0; i < len(t.buf); i += 8 {
			ids = append(ids, binary.LittleEndian.Uint64(t.buf[i:]))
		}
	}
	return append(ids, t.buckets[p]...), nil
}

func (t *duplicateFinder) close() {
	if t.file != nil {
		t.file.Close()
	}
}

// duplicates counts the ids that repeat an earlier one, in a table with linear
// probing: the hashes are as good as random, and never 0.
func (t *duplicateFinder) duplicates(ids, suspects []uint64) (int64, []uint64) {
	size := 1 << bits.Len(uint(2*len(ids)))
	t.table = slices.Grow(t.table[:0], size)[:size]
	clear(t.table)
	var n int64
	for _, id := range ids {
		i := int(id>>1) & (size - 1) // the lowest bit is always set
		for t.table[i] != 0 && t.table[i] != id {
			i = (i + 1) & (size - 1)
		}
		if t.table[i] == 0 {
			t.table[i] = id
			continue
		}
		if n++; len(suspects) < maxSuspects {
			suspects = append(suspects, id)
		}
	}
	return n, suspects
}
