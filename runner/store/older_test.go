package store

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"

	"nightshift"
)

// TestOlderParquetFiles: a part that was written before a column was added has
// the checksum that it should have, and can be exported.
func TestOlderParquetFiles(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 4, 1)
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	must(t, err)
	var list []*nightshift.Record
	for row := range int64(4) {
		list = append(list, record("m0", row, 0))
		must(t, u.Put(list[row]))
	}
	must(t, u.Commit())
	must(t, r.Close("finished"))
	makeOlder(t, filepath.Join(dir, resultsDir, "m0-000000.parquet"), "TargetIsList", list)
	f, pf, err := openParquetFile(osFS{}, filepath.Join(dir, resultsDir, "m0-000000.parquet"))
	must(t, err)
	defer f.Close()
	if sum, err := tallyParquetFile(pf, id.Chunks[0], 1); err != nil || sum.Rows != 4 {
		t.Errorf("%d rows, %v", sum.Rows, err)
	}
	var out bytes.Buffer
	if n, err := Export(dir, &out, FormatParquet, ExportOptions{}); n != 4 || err != nil {
		t.Errorf("export: %d rows, %v", n, err)
	}
}

// makeOlder writes a part again without one column.
func makeOlder(t *testing.T, name, field string, list []*nightshift.Record) {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	old, err := openParquet(bytes.NewReader(b), int64(len(b)))
	must(t, err)
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
	for _, kv := range old.Metadata().KeyValueMetadata {
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
		must(t, w.Write(row.Interface()))
	}
	w.SetKeyValueMetadata(rowsChecksum, d.sum())
	must(t, w.Close())
	must(t, os.WriteFile(name, out.Bytes(), 0o600))
}
