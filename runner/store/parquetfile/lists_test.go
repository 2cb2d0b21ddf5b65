package parquetfile

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"nightshift"
	"nightshift/runner/store/internal/testdata/storetest"
)

// Vectors are read back as they were written, beside rows that have none, and
// a file without any is not larger than by the names of the columns.
func TestVectors(t *testing.T) {
	fsys := storetest.NewFS()
	meta := Meta{Model: "m0", Rows: 300, Epochs: 1}
	write := func(name string, with bool) int64 {
		w, err := CreateRecords(fsys, name, meta)
		storetest.Must(t, err)
		for row := range meta.Rows {
			rec := storetest.Record("m0", row, 0)
			if with && row%3 > 0 {
				rec.Embedding, rec.EmbeddingCount = vectorOf(row), storetest.Ptr(int32(1))
			}
			storetest.Must(t, w.Add(rec))
		}
		_, _, err = w.Finish()
		storetest.Must(t, err)
		size, _, err := Hash(fsys, name)
		storetest.Must(t, err)
		return size
	}
	write("/with", true)
	for rec, err := range Rows[nightshift.Record](fsys, "/with") {
		storetest.Must(t, err)
		var want nightshift.Vector
		if rec.Row%3 > 0 {
			want = vectorOf(rec.Row)
		}
		if !reflect.DeepEqual(rec.Embedding, want) {
			t.Fatalf("row %d has %d numbers, want %d", rec.Row, len(rec.Embedding), len(want))
		}
	}
	f, err := Open(fsys, "/with")
	storetest.Must(t, err)
	defer f.Close()
	if sum, err := f.Check(meta, func(*nightshift.Record) {}); err != nil || sum.Rows != meta.Rows {
		t.Errorf("%d rows, %v", sum.Rows, err)
	}
	without := write("/without", false)
	g, err := Open(fsys, "/without")
	storetest.Must(t, err)
	defer g.Close()
	var bytes int64
	for _, c := range g.pf.Metadata().RowGroups[0].Columns {
		if strings.HasPrefix(c.MetaData.PathInSchema[0], "embedding") {
			bytes += c.MetaData.TotalCompressedSize
		}
	}
	if bytes > 200 {
		t.Errorf("300 rows without vectors take %d bytes for them, of %d", bytes, without)
	}
}

func vectorOf(row int64) nightshift.Vector {
	v := make(nightshift.Vector, 1+row%5*300)
	for i := range v {
		v[i] = float32(row) + float32(i)/1000
	}
	return v
}

// A column of lists with other contents than numbers is refused, not misread.
func TestListsOfTexts(t *testing.T) {
	type written struct {
		Outcome   string   `parquet:"outcome"`
		Embedding []string `parquet:"embedding,list"`
	}
	type read struct {
		Embedding nightshift.Vector `parquet:"embedding,optional,list"`
	}
	name := writeForeign(t, []written{{"ok", []string{"a", "b"}}}, 10)
	file, err := os.Open(name)
	storetest.Must(t, err)
	defer file.Close()
	f, err := openForeign(file)
	storetest.Must(t, err)
	if _, err := NewReader[read](f); err == nil {
		t.Error("lists of texts are read as vectors")
	}
}
