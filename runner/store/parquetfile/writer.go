package parquetfile

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rowWriter writes rows in batches and closes a row group when it is large.
type rowWriter[T any] struct {
	w       *parquet.GenericWriter[T]
	batch   []T
	pending int64 // raw bytes since the last row group
	rows    int64 // rows handed to the library
}

func newRowWriter[T any](out io.Writer, meta map[string]string) rowWriter[T] {
	w := parquet.NewGenericWriter[T](out, writerOptions(parquet.SchemaOf(new(T)))...)
	setMeta(w, meta)
	return rowWriter[T]{w: w}
}

// add takes one row of about this many raw bytes, and copies it.
func (p *rowWriter[T]) add(row *T, weight int64) error {
	p.pending += weight
	p.batch = append(p.batch, *row)
	if len(p.batch) < BatchRows && p.pending < bytesPerGroup {
		return nil
	}
	return p.writeBatch()
}

func (p *rowWriter[T]) writeBatch() error {
	n, err := p.w.Write(p.batch)
	p.rows += int64(n)
	clear(p.batch)
	p.batch = p.batch[:0]
	if err == nil && p.pending >= bytesPerGroup {
		p.pending = 0
		err = p.w.Flush()
	}
	return err
}

// writer writes one Parquet file through the file system and knows what it
// has written. It belongs to one goroutine.
type writer[T any] struct {
	rowWriter[T]
	f     disk.File
	buf   *bufio.Writer
	sum   hash.Hash // SHA-256 of the file so far
	crc   uint32    // CRC-32C of it
	size  int64
	weigh func(*T) int64
}

// create begins a file with these footer values. name must not exist.
func create[T any](fsys disk.FS, name string, meta map[string]string, weigh func(*T) int64) (*writer[T], error) {
	f, err := fsys.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	p := &writer[T]{f: f, buf: bufio.NewWriterSize(f, 1<<20), sum: sha256.New(), weigh: weigh}
	p.rowWriter = newRowWriter[T](p, meta)
	return p, nil
}

func setMeta(w interface{ SetKeyValueMetadata(string, string) }, meta map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(meta)) {
		w.SetKeyValueMetadata(k, meta[k])
	}
}

// Write is for the Parquet library.
func (p *writer[T]) Write(b []byte) (int, error) {
	p.sum.Write(b)
	p.crc = crc32.Update(p.crc, castagnoli, b)
	p.size += int64(len(b))
	return p.buf.Write(b)
}

func (p *writer[T]) add(row *T) error { return p.rowWriter.add(row, p.weigh(row)) }

// finish writes the remaining rows and the footer, with the checksum of the
// bytes before it, and syncs the file. The file stays open for reading.
func (p *writer[T]) finish() error {
	if err := p.writeBatch(); err != nil {
		return err
	}
	if err := p.w.Flush(); err != nil {
		return err
	}
	p.w.SetKeyValueMetadata(dataBytes, strconv.FormatInt(p.size, 10))
	p.w.SetKeyValueMetadata(dataChecksum, fmt.Sprintf("%08x", p.crc))
	if err := p.w.Close(); err != nil {
		return err
	}
	if err := p.buf.Flush(); err != nil {
		return err
	}
	return p.f.Sync()
}

func (p *writer[T]) close() error { return p.f.Close() }

func (p *writer[T]) sha256() string { return hex.EncodeToString(p.sum.Sum(nil)) }

// RecordTable writes records to a file that is exported.
type RecordTable struct{ rowWriter[nightshift.Record] }

// NewRecordTable begins a table of records with these footer values.
func NewRecordTable(w io.Writer, meta map[string]string) *RecordTable {
	return &RecordTable{newRowWriter[nightshift.Record](w, meta)}
}

// Add writes one record.
func (t *RecordTable) Add(rec *nightshift.Record) error { return t.add(rec, records.Weight(rec)) }

// CopyGroups copies the row groups of f as they are. It copies nothing and
// returns false where f has other columns, as a file of an older version has.
func (t *RecordTable) CopyGroups(f *File) (copied bool, err error) {
	defer noPanic(&err)
	if len(digesterOf(f.pf).lacks) > 0 {
		return false, nil
	}
	if err := t.writeBatch(); err != nil {
		return true, err
	}
	for _, g := range f.pf.RowGroups() {
		n, err := t.w.WriteRowGroup(g)
		t.rows += n
		if err != nil {
			return true, err
		}
	}
	return true, nil
}

// Rows is the number of rows written so far.
func (t *RecordTable) Rows() int64 { return t.rows }

// Close writes the remaining rows and the footer.
func (t *RecordTable) Close() error {
	if err := t.writeBatch(); err != nil {
		return err
	}
	return t.w.Close()
}

// A StructTable writes rows of a struct type that is made at run time, which
// the library's generic writer cannot.
type StructTable struct {
	w interface {
		Write(row any) error
		Flush() error
		Close() error
	}
	pending int64
}

// NewStructTable begins a table of rows of type t.
func NewStructTable(w io.Writer, t reflect.Type, meta map[string]string) *StructTable {
	pw := parquet.NewWriter(w, writerOptions(parquet.SchemaOf(reflect.New(t).Interface()))...)
	setMeta(pw, meta)
	return &StructTable{w: pw}
}

// Add writes a pointer to a row of about this many raw bytes.
func (t *StructTable) Add(row any, weight int64) error {
	if err := t.w.Write(row); err != nil {
		return err
	}
	if t.pending += weight; t.pending < bytesPerGroup {
		return nil
	}
	t.pending = 0
	return t.w.Flush()
}

// Close writes the footer.
func (t *StructTable) Close() error { return t.w.Close() }
