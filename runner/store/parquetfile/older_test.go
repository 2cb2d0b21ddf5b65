package parquetfile

import (
	"bytes"
	"io"
	"nightshift"
	"reflect"
	"slices"
	"testing"

	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/testdata/storetest"

	"github.com/parquet-go/parquet-go"
)

// TestOlderFiles: a file that was written before a column was added has the
// checksum that it should have, and its row groups are not copied.
func TestOlderFiles(t *testing.T) {
	fsys := storetest.NewFS()
	meta := Meta{Model: "m0", Rows: 4, Epochs: 1}
	w, err := CreateRecords(fsys, "/older", meta)
	storetest.Must(t, err)
	var list []*nightshift.Record
	for row := range int64(4) {
		list = append(list, storetest.Record("m0", row, 0))
		storetest.Must(t, w.Add(list[row]))
	}
	_, _, err = w.Finish()
	storetest.Must(t, err)
	makeOlder(t, fsys, "/older", "TargetIsList", list)
	f, err := Open(fsys, "/older")
	storetest.Must(t, err)
	defer f.Close()
	if sum, err := f.Check(meta, func(*nightshift.Record) {}); err != nil || sum.Rows != 4 {
		t.Errorf("%d rows, %v", sum.Rows, err)
	}
	if copied, err := NewRecordTable(io.Discard, nil).CopyGroups(f); copied || err != nil {
		t.Errorf("copied %v, %v", copied, err)
	}
}

// makeOlder writes a Parquet file again without one column.
func makeOlder(t *testing.T, fsys *storetest.MemFS, name, field string, list []*nightshift.Record) {
	t.Helper()
	b, err := disk.ReadAll(fsys, name)
	storetest.Must(t, err)
	old, err := openReader(bytes.NewReader(b), int64(len(b)))
	storetest.Must(t, err)
	full := reflect.TypeFor[nightshift.Record]()
	var fields []reflect.StructField
	d := digester{lacks: map[int]bool{}}
	for i := range full.NumField() {
		f := full.Field(i)
		if f.Name == field {
			d.lacks[i] = true
			continue
		}
		f.Offset, f.Index = 0, nil
		fields = append(fields, f)
	}
	typ := reflect.StructOf(fields)
	var out bytes.Buffer
	w := parquet.NewWriter(io.Writer(&out), writerOptions(parquet.SchemaOf(reflect.New(typ).Interface()))...)
	for _, kv := range old.pf.Metadata().KeyValueMetadata {
		if !slices.Contains([]string{rowsChecksum, dataChecksum, dataBytes}, kv.Key) {
			w.SetKeyValueMetadata(kv.Key, kv.Value)
		}
	}
	for _, rec := range list {
		d.add(rec)
		row := reflect.New(typ).Elem()
		for _, f := range fields {
			row.FieldByName(f.Name).Set(reflect.ValueOf(rec).Elem().FieldByName(f.Name))
		}
		storetest.Must(t, w.Write(row.Interface()))
	}
	w.SetKeyValueMetadata(rowsChecksum, d.sum())
	storetest.Must(t, w.Close())
	storetest.Must(t, disk.WriteFile(fsys, "/older.tmp", name, out.Bytes()))
}
