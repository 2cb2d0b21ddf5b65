package parquetfile

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/internal/fsx"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/testdata/storetest"
)

// These tests fail when an upgrade of the Parquet library, or a change of a
// tag or an option, brings back something that loses or distorts data.

// writeParquet writes rows through the store's own writer and returns the file.
func writeParquet[T any](t *testing.T, rows ...T) (*storetest.MemFS, *File) {
	t.Helper()
	mem := storetest.NewFS()
	w, err := create(mem, "/f", map[string]string{"a": "b"}, func(*T) int64 { return 1 })
	storetest.Must(t, err)
	for _, row := range rows {
		storetest.Must(t, w.add(&row))
	}
	storetest.Must(t, w.finish())
	storetest.Must(t, w.close())
	pf, err := Open(mem, "/f")
	storetest.Must(t, err)
	return mem, pf
}

func readBack[T any](t *testing.T, pf *File) []T {
	t.Helper()
	var rows []T
	for row, err := range Read[T](pf) {
		storetest.Must(t, err)
		rows = append(rows, row)
	}
	return rows
}

// No column has a tag that the library gets wrong, and every nullable one is
// a pointer.
func TestSchemaRules(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[nightshift.Record](), reflect.TypeFor[nightshift.Score](),
		reflect.TypeFor[records.Columns]()} {
		names := map[string]bool{}
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, ok := ColumnName(f)
			if !ok || f.Anonymous {
				t.Errorf("%v.%s: embedded and untagged fields read back wrong", typ, f.Name)
				continue
			}
			if names[name] {
				t.Errorf("%v: column %s is there twice", typ, name)
			}
			names[name] = true
			options := strings.Split(f.Tag.Get("parquet"), ",")[1:]
			optional := false
			for _, o := range options {
				switch o {
				case "optional":
					optional = true
				case "dict", "timestamp(microsecond)":
				case "list":
					if f.Type.Kind() != reflect.Slice || f.Type.Elem().Kind() != reflect.Float32 {
						t.Errorf("%v.%s: lists of %v are not read", typ, f.Name, f.Type)
					}
				default:
					t.Errorf("%v.%s: option %q; json, uuid, enum and delta lose data", typ, f.Name, o)
				}
			}
			nullable := f.Type.Kind() == reflect.Pointer || f.Type.Kind() == reflect.Slice
			if optional != nullable {
				t.Errorf("%v.%s: optional is %v and the type %v; zero and null would be mixed up", typ, f.Name, optional, f.Type)
			}
			if f.Type == reflect.TypeFor[time.Time]() {
				t.Errorf("%v.%s: a zero time.Time reads back as 1754", typ, f.Name)
			}
		}
	}
}

// The short forms of a record have the record's own columns.
func TestCountedIsParquetFileOfRecord(t *testing.T) {
	columns := RecordColumns()
	typ := reflect.TypeFor[records.Columns]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _ := ColumnName(f)
		col, ok := columns[name]
		if !ok || col.Type != f.Type || col.Tag.Get("parquet") != f.Tag.Get("parquet") ||
			strings.TrimSuffix(col.Tag.Get("json"), ",omitempty") != f.Tag.Get("json") {
			t.Errorf("counted.%s is %v `%s`, the record has %v `%s`", f.Name, f.Type, f.Tag, col.Type, col.Tag)
		}
	}
}

// Null, empty and zero stay three things in every type of column.
func TestNullEmptyZero(t *testing.T) {
	type row struct {
		S  *string    `parquet:"s,optional"`
		SD *string    `parquet:"sd,optional,dict"`
		I  *int64     `parquet:"i,optional"`
		J  *int32     `parquet:"j,optional"`
		F  *float64   `parquet:"f,optional"`
		T  *time.Time `parquet:"t,optional,timestamp(microsecond)"`
		B  []byte     `parquet:"b,optional"`
		P  string     `parquet:"p,dict"`
		Q  bool       `parquet:"q"`
	}
	epoch := time.Unix(0, 0).UTC()
	want := []row{
		{},
		{S: storetest.Ptr(""), SD: storetest.Ptr(""), I: storetest.Ptr(int64(0)), J: storetest.Ptr(int32(0)),
			F: storetest.Ptr(0.0), T: &epoch, B: []byte{0}},
		{S: storetest.Ptr("\x00"), SD: storetest.Ptr("\x00"), I: storetest.Ptr(int64(-1)), J: storetest.Ptr(int32(-1)),
			F: storetest.Ptr(-0.5), T: storetest.Ptr(epoch.Add(-time.Microsecond)), B: []byte("x"), P: "p", Q: true},
		{},
	}
	_, pf := writeParquet(t, want...)
	if got := readBack[row](t, pf); !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// Long texts have no statistics, short columns have them.
func TestStatistics(t *testing.T) {
	rec := storetest.Record("m0", 0, 0)
	v := reflect.ValueOf(rec).Elem()
	for i := range v.NumField() { // every text column is long
		if f := v.Field(i); f.Type() == reflect.TypeFor[*string]() {
			f.Set(reflect.ValueOf(storetest.Ptr(strings.Repeat("x", 5000))))
		}
	}
	_, pf := writeParquet(t, *rec)
	for i, c := range pf.pf.Metadata().RowGroups[0].Columns {
		name := c.MetaData.PathInSchema[0]
		has := len(c.MetaData.Statistics.MaxValue) > 0 || len(c.MetaData.Statistics.Max) > 0
		isText := pf.pf.Schema().Columns()[i][0] == name && c.MetaData.Type.String() == "BYTE_ARRAY"
		if isText && !shortColumns[name] && has {
			t.Errorf("column %s has statistics of %d bytes", name, len(c.MetaData.Statistics.MaxValue))
		}
		if name == "row" && !has {
			t.Error("column row has no statistics, so filters on it are slow")
		}
	}
}

// Old readers know PLAIN and dictionaries only, and data pages of version 1.
func TestEncodings(t *testing.T) {
	_, pf := writeParquet(t, *storetest.Record("m0", 0, 0))
	for _, c := range pf.pf.Metadata().RowGroups[0].Columns {
		for _, e := range c.MetaData.Encoding {
			switch e.String() {
			case "PLAIN", "RLE", "RLE_DICTIONARY", "PLAIN_DICTIONARY", "BIT_PACKED":
			default:
				t.Errorf("column %v is %v", c.MetaData.PathInSchema, e)
			}
		}
		for _, s := range c.MetaData.EncodingStats {
			if s.PageType.String() == "DATA_PAGE_V2" {
				t.Errorf("column %v has pages of version 2", c.MetaData.PathInSchema)
			}
		}
	}
}

// Rows leave memory in groups, whether they are many or large.
func TestRowGroupsAreClosed(t *testing.T) {
	mem := storetest.NewFS()
	w, err := create(mem, "/f", nil, func(*nightshift.Score) int64 { return 5 << 20 })
	storetest.Must(t, err)
	for i := range 10 {
		storetest.Must(t, w.add(&nightshift.Score{Row: int64(i), Params: "{}"}))
	}
	storetest.Must(t, w.finish())
	pf, err := Open(mem, "/f")
	storetest.Must(t, err)
	if n := len(pf.pf.Metadata().RowGroups); n != 5 {
		t.Errorf("10 rows of 5 MiB are in %d row groups, want 5", n)
	}
	small := make([]nightshift.Score, rowsPerGroup+10)
	_, pf = writeParquet(t, small...)
	if n := len(pf.pf.Metadata().RowGroups); n != 2 {
		t.Errorf("%d rows are in %d row groups, want 2", len(small), n)
	}
}

// A dictionary that outgrows its limit must not lose what came before or
// after, in any row group.
func TestDictionaryOverflow(t *testing.T) {
	type row struct {
		D *string `parquet:"d,optional,dict"`
		N int64   `parquet:"n"`
	}
	rng := rand.New(rand.NewPCG(7, 7))
	var want []row
	for i := range 9000 {
		r := row{N: int64(i)}
		switch rng.IntN(4) {
		case 0:
		case 1:
			r.D = storetest.Ptr("often")
		default:
			r.D = storetest.Ptr(fmt.Sprintf("%d %s", i, strings.Repeat("v", rng.IntN(600))))
		}
		want = append(want, r)
	}
	mem := storetest.NewFS()
	w, err := create(mem, "/f", nil, func(*row) int64 { return 30 << 10 }) // several row groups
	storetest.Must(t, err)
	for _, r := range want {
		storetest.Must(t, w.add(&r))
	}
	storetest.Must(t, w.finish())
	pf, err := Open(mem, "/f")
	storetest.Must(t, err)
	if n := len(pf.pf.Metadata().RowGroups); n < 3 {
		t.Fatalf("%d row groups", n)
	}
	if got := readBack[row](t, pf); !reflect.DeepEqual(got, want) {
		t.Fatal("rows have changed")
	}
}

// Values that a reader keeps stay what they were while it reads on.
func TestReadRowsOwnTheirMemory(t *testing.T) {
	var want []nightshift.Record
	for i := range int64(5 * BatchRows) {
		rec := storetest.Record("m0", i, 0)
		rec.RawBytes = []byte(fmt.Sprint("raw ", i))
		want = append(want, *rec)
	}
	_, pf := writeParquet(t, want...)
	if got := readBack[nightshift.Record](t, pf); !reflect.DeepEqual(got, want) {
		t.Fatal("rows that were kept have changed")
	}
}

// The schema names its columns in the order of the Record; a schema made from
// a Group would sort them.
func TestColumnOrder(t *testing.T) {
	_, pf := writeParquet(t, *storetest.Record("m0", 0, 0))
	typ := reflect.TypeFor[nightshift.Record]()
	for i, c := range pf.pf.Schema().Columns() {
		if name, _ := ColumnName(typ.Field(i)); c[0] != name {
			t.Errorf("column %d is %s, want %s", i, c[0], name)
		}
	}
}

// A full disk is an error, at the latest when the file is finished; Write
// alone reports success.
func TestParquetWriterReportsFullDisk(t *testing.T) {
	for room := int64(1); room < 20_000; room += 1999 {
		mem := storetest.NewFS()
		mem.Capacity = room
		w, err := create(mem, "/f", nil, records.Weight)
		storetest.Must(t, err)
		for i := range int64(200) {
			rec := storetest.Record("m0", i, 0)
			rec.Text = storetest.Ptr(string(storetest.Utf8Garbage(400)))
			rec.ID = fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i)}))
			if err = w.add(rec); err != nil {
				break
			}
		}
		if err == nil {
			err = w.finish()
		}
		if !fsx.IsFull(err) {
			t.Fatalf("with room for %d bytes: %v, want a full disk", room, err)
		}
	}
}
