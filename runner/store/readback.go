package store

import (
	"fmt"
	"hash/crc32"
	"reflect"

	"github.com/parquet-go/parquet-go"
)

// A part is compared with what was written into it column by column: building
// records of the columns, only to take them apart again, would take three times
// as long.

// columnSums are checksums of each column of a part, in the order of the
// fields of a Record.
type columnSums []uint32

func newColumnSums() columnSums { return make(columnSums, len(recordFields)) }

// add takes the record that d has seen last.
func (s columnSums) add(d *digester) {
	start := 0
	for i, end := range d.ends {
		s[i] = crc32.Update(s[i], castagnoli, d.buf[start:end])
		start = end
	}
}

// compareBack reads a part and compares the values of every column, and the
// checksum in the footer, with what was written.
func compareBack(f file, size, rows int64, want columnSums, all string) (err error) {
	defer noPanic(&err)
	pf, err := openParquet(f, size)
	if err != nil {
		return err
	}
	if n := pf.NumRows(); n != rows {
		return fmt.Errorf("the part reads back %d rows of %d; the journal is kept", n, rows)
	}
	if got, _ := pf.Lookup(rowsChecksum); got != all {
		return fmt.Errorf("the checksum of its rows is %s, its footer says %q; the journal is kept", all, got)
	}
	columns := pf.Schema().Columns()
	if len(columns) != len(recordFields) {
		return fmt.Errorf("the part reads back %d columns of %d; the journal is kept", len(columns), len(recordFields))
	}
	for i, path := range columns {
		got, err := columnSum(pf, i, recordFields[i].field)
		if err != nil {
			return err
		}
		if path[0] != recordFields[i].name || got != want[i] {
			return fmt.Errorf("column %s of the part does not read back as it was written; the journal is kept", path[0])
		}
	}
	return nil
}

// columnSum is the checksum of all values of one column.
func columnSum(pf *parquet.File, column int, field reflect.StructField) (uint32, error) {
	var d digester
	sum := uint32(0)
	for _, group := range pf.RowGroups() {
		c := cursor{pages: group.ColumnChunks()[column].Pages()}
		err := c.each(int(group.NumRows()), func(_ int, v *parquet.Value) error {
			d.buf = d.buf[:0]
			d.column(v, field.Type)
			sum = crc32.Update(sum, castagnoli, d.buf)
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
