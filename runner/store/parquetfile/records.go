package parquetfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"

	"github.com/parquet-go/parquet-go"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
)

// A RecordWriter writes the records of one shard to a temporary file, in the
// order of their items. The file counts for nothing before Finish.
type RecordWriter struct {
	fs      disk.FS
	name    string
	file    *writer[nightshift.Record]
	digest  digester
	columns columnSums
	items   int64
	totals  records.Tally
}

// CreateRecords begins a file of records. name must not exist.
func CreateRecords(fsys disk.FS, name string, meta Meta) (*RecordWriter, error) {
	f, err := create(fsys, name, meta.keyValues(), records.Weight)
	if err != nil {
		return nil, err
	}
	return &RecordWriter{fs: fsys, name: name, file: f, columns: newColumnSums()}, nil
}

// Add writes the record of the next item.
func (w *RecordWriter) Add(rec *nightshift.Record) error {
	w.digest.add(rec)
	w.columns.add(&w.digest)
	w.items++
	c := records.ColumnsOf(rec)
	w.totals.Count(&c)
	return w.file.add(rec)
}

// Items is the number of records so far.
func (w *RecordWriter) Items() int64 { return w.items }

// Totals are the sums over the records so far.
func (w *RecordWriter) Totals() records.Tally { return w.totals }

// Name is the name of the temporary file.
func (w *RecordWriter) Name() string { return w.name }

// Finish syncs the file, reads it back and compares it with what was written:
// the journal may be deleted only when the file is known to hold the same. It
// closes the file and returns its length and SHA-256.
func (w *RecordWriter) Finish() (size int64, sum string, err error) {
	defer w.file.close()
	w.file.w.SetKeyValueMetadata(rowsChecksum, w.digest.sum())
	disk.CrashPoint("commit.part-written")
	if err := w.file.finish(); err != nil {
		return 0, "", err
	}
	err = compareBack(w.file.f, w.file.size, w.items, w.columns, w.digest.sum())
	return w.file.size, w.file.sha256(), err
}

// Drop closes and removes the file.
func (w *RecordWriter) Drop() {
	w.file.close()
	_ = w.fs.Remove(w.name)
}

// columnSums are checksums of each column, in the order of a Record's fields.
type columnSums []uint32

func newColumnSums() columnSums { return make(columnSums, len(recordColumns)) }

// add takes the record that d has seen last.
func (s columnSums) add(d *digester) {
	start := 0
	for i, end := range d.ends {
		s[i] = crc32.Update(s[i], castagnoli, d.buf[start:end])
		start = end
	}
}

// compareBack reads a file and compares the values of every column, and the
// checksum in the footer, with what was written. It goes column by column:
// building records only to take them apart again takes three times as long.
func compareBack(f disk.File, size, rows int64, want columnSums, all string) (err error) {
	defer noPanic(&err)
	opened, err := openReader(f, size)
	if err != nil {
		return err
	}
	pf := opened.pf
	if n := pf.NumRows(); n != rows {
		return fmt.Errorf("the file reads back %d rows of %d; the journal is kept", n, rows)
	}
	if got, _ := pf.Lookup(rowsChecksum); got != all {
		return fmt.Errorf("the checksum of its rows is %s, its footer says %q; the journal is kept", all, got)
	}
	if _, err := NewReader[nightshift.Record](opened); err != nil { // its types, which the values do not show
		return fmt.Errorf("%w; the journal is kept", err)
	}
	columns := pf.Schema().Columns()
	if len(columns) != len(recordColumns) {
		return fmt.Errorf("the file reads back %d columns of %d; the journal is kept", len(columns), len(recordColumns))
	}
	for i, path := range columns {
		got, err := columnSum(pf, i, recordColumns[i].field)
		if err != nil {
			return err
		}
		if path[0] != recordColumns[i].name || got != want[i] {
			return fmt.Errorf("column %s of the file does not read back as it was written; the journal is kept", path[0])
		}
	}
	return nil
}

// columnSum is the checksum of all values of one column.
func columnSum(pf *parquet.File, column int, field reflect.StructField) (uint32, error) {
	if field.Type == reflect.TypeFor[nightshift.Vector]() {
		return listSum(pf, column)
	}
	var d digester
	sum := uint32(0)
	flush := func() { sum, d.buf = crc32.Update(sum, castagnoli, d.buf), d.buf[:0] }
	for _, group := range pf.RowGroups() {
		c := cursor{pages: group.ColumnChunks()[column].Pages()}
		err := c.each(int(group.NumRows()), func(_ int, v *parquet.Value) error {
			if d.column(v, field.Type); len(d.buf) >= sumAtOnce {
				flush()
			}
			return nil
		})
		if err == nil {
			err = c.end()
		}
		c.close()
		if err != nil {
			return 0, fmt.Errorf("column %s: %w", field.Name, err)
		}
	}
	flush()
	return sum, nil
}

// sumAtOnce is how many bytes are summed up in one call: values are short.
const sumAtOnce = 4 << 10

// listSum is columnSum of a column of vectors.
func listSum(pf *parquet.File, column int) (uint32, error) {
	var d digester
	sum := uint32(0)
	for _, group := range pf.RowGroups() {
		lists := openLists(group.ColumnChunks()[column])
		for range group.NumRows() {
			list, err := lists.next()
			if err != nil {
				lists.close()
				return 0, err
			}
			d.buf = nightshift.Vector(list).AppendBytes(binary.LittleEndian.AppendUint64(d.buf[:0], uint64(len(list))))
			sum = crc32.Update(sum, castagnoli, d.buf)
		}
		err := lists.end()
		lists.close()
		if err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// column adds a value of a column as add does a field of this type.
func (d *digester) column(v *parquet.Value, field reflect.Type) {
	if field.Kind() == reflect.Pointer {
		if v.IsNull() {
			d.buf = append(d.buf, 0)
			return
		}
		d.buf = append(d.buf, 1)
	}
	switch v.Kind() {
	case parquet.Boolean:
		d.truth(v.Boolean())
	case parquet.Int32:
		d.number(uint64(v.Int32()))
	case parquet.ByteArray:
		d.number(uint64(len(v.ByteArray())))
		d.buf = append(d.buf, v.ByteArray()...)
	default: // 64 bits: a number, a time, or a null of no length
		d.number(v.Uint64())
	}
}
