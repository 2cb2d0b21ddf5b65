package reports_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/parquet-go/parquet-go"

	"nightshift/reports"
	"nightshift/reports/internal/testdata/demo"
)

// Of a part that is damaged behind its first rows nothing is billed, and the
// bill says so; the other parts are in it.
func TestDamagedPartIsNotBilled(t *testing.T) {
	dir := demo.Run{Rows: 20_000, Models: []string{"m"}, Chunk: 10_000, Text: 10}.Write(t)
	name := filepath.Join(dir, "results", "m-000001.parquet")
	damageEnd(t, name, "attempt_log")
	for _, path := range []string{dir, name} {
		bill, err := reports.Cost([]string{path}, reports.CostOptions{By: []string{"model", "hour"}})
		if err != nil {
			t.Fatal(err)
		}
		want := int64(10_000)
		if path == name {
			want = 0
		}
		if bill.Total.Rows != want || len(bill.Damage) != 1 {
			t.Errorf("%s: %d rows are billed, %d wanted; damage %q", filepath.Base(path), bill.Total.Rows, want, bill.Damage)
		}
	}
}

// damageEnd overwrites the end of a column of more than one page.
func damageEnd(t *testing.T, name, column string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	pf, err := parquet.OpenFile(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := pf.Schema().Lookup(column)
	m := pf.Metadata().RowGroups[0].Columns[leaf.ColumnIndex].MetaData
	if m.TotalUncompressedSize < 2<<20 {
		t.Fatalf("%s has %d bytes: not enough for two pages", column, m.TotalUncompressedSize)
	}
	if _, err := f.WriteAt(make([]byte, 64), m.DataPageOffset+m.TotalCompressedSize-64); err != nil {
		t.Fatal(err)
	}
}
