package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"nightshift"
	"nightshift/internal/fsx"
)

// These tests fail when an upgrade of the Parquet library, or a change of a
// tag or an option, brings back something that loses or distorts data.

// writeParquet writes rows through the store's own writer and returns the file.
func writeParquet[T any](t *testing.T, rows ...T) (*memFS, *parquet.File) {
	t.Helper()
	disk := newMemFS()
	w, err := createParquet(disk, "/f", map[string]string{"a": "b"}, func(*T) int64 { return 1 })
	must(t, err)
	for _, row := range rows {
		must(t, w.add(row))
	}
	must(t, w.finish())
	must(t, w.close())
	_, pf, err := openParquetFile(disk, "/f")
	must(t, err)
	return disk, pf
}

func readBack[T any](t *testing.T, pf *parquet.File) []T {
	t.Helper()
	var rows []T
	for row, err := range readParquetFile[T](pf) {
		must(t, err)
		rows = append(rows, row)
	}
	return rows
}

// No column has a tag that the library gets wrong, and every nullable one is
// a pointer.
func TestSchemaRules(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[nightshift.Record](), reflect.TypeFor[nightshift.Score](), reflect.TypeFor[counted]()} {
		names := map[string]bool{}
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, ok := columnName(f)
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
	columns := recordColumns()
	typ := reflect.TypeFor[counted]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _ := columnName(f)
		col, ok := columns[name]
		if !ok || col.Type != f.Type || col.Tag.Get("parquet") != f.Tag.Get("parquet") || strings.TrimSuffix(col.Tag.Get("json"), ",omitempty") != f.Tag.Get("json") {
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
		{S: ptr(""), SD: ptr(""), I: ptr(int64(0)), J: ptr(int32(0)), F: ptr(0.0), T: &epoch, B: []byte{0}},
		{S: ptr("\x00"), SD: ptr("\x00"), I: ptr(int64(-1)), J: ptr(int32(-1)), F: ptr(-0.5), T: ptr(epoch.Add(-time.Microsecond)), B: []byte("x"), P: "p", Q: true},
		{},
	}
	_, pf := writeParquet(t, want...)
	if got := readBack[row](t, pf); !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// Long texts have no statistics, short columns have them.
func TestStatistics(t *testing.T) {
	rec := record("m0", 0, 0)
	v := reflect.ValueOf(rec).Elem()
	for i := range v.NumField() { // every text column is long
		if f := v.Field(i); f.Type() == reflect.TypeFor[*string]() {
			f.Set(reflect.ValueOf(ptr(strings.Repeat("x", 5000))))
		}
	}
	_, pf := writeParquet(t, *rec)
	for i, c := range pf.Metadata().RowGroups[0].Columns {
		name := c.MetaData.PathInSchema[0]
		has := len(c.MetaData.Statistics.MaxValue) > 0 || len(c.MetaData.Statistics.Max) > 0
		isText := pf.Schema().Columns()[i][0] == name && c.MetaData.Type.String() == "BYTE_ARRAY"
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
	_, pf := writeParquet(t, *record("m0", 0, 0))
	for _, c := range pf.Metadata().RowGroups[0].Columns {
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
	disk := newMemFS()
	w, err := createParquet(disk, "/f", nil, func(*nightshift.Score) int64 { return 20 << 20 })
	must(t, err)
	for i := range 10 {
		must(t, w.add(nightshift.Score{Row: int64(i), Params: "{}"}))
	}
	must(t, w.finish())
	_, pf, err := openParquetFile(disk, "/f")
	must(t, err)
	if n := len(pf.Metadata().RowGroups); n != 3 {
		t.Errorf("10 rows of 20 MiB are in %d row groups, want 3", n)
	}
	small := make([]nightshift.Score, rowsPerGroup+10)
	_, pf = writeParquet(t, small...)
	if n := len(pf.Metadata().RowGroups); n != 2 {
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
			r.D = ptr("often")
		default:
			r.D = ptr(fmt.Sprintf("%d %s", i, strings.Repeat("v", rng.IntN(600))))
		}
		want = append(want, r)
	}
	disk := newMemFS()
	w, err := createParquet(disk, "/f", nil, func(*row) int64 { return 30 << 10 }) // several row groups
	must(t, err)
	for _, r := range want {
		must(t, w.add(r))
	}
	must(t, w.finish())
	_, pf, err := openParquetFile(disk, "/f")
	must(t, err)
	if n := len(pf.Metadata().RowGroups); n < 3 {
		t.Fatalf("%d row groups", n)
	}
	if got := readBack[row](t, pf); !reflect.DeepEqual(got, want) {
		t.Fatal("rows have changed")
	}
}

// Values that a reader keeps stay what they were while it reads on.
func TestReadRowsOwnTheirMemory(t *testing.T) {
	var want []nightshift.Record
	for i := range int64(5 * batchRows) {
		rec := record("m0", i, 0)
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
	_, pf := writeParquet(t, *record("m0", 0, 0))
	typ := reflect.TypeFor[nightshift.Record]()
	for i, c := range pf.Schema().Columns() {
		if name, _ := columnName(typ.Field(i)); c[0] != name {
			t.Errorf("column %d is %s, want %s", i, c[0], name)
		}
	}
}

// A full disk is an error, at the latest when the file is finished; Write
// alone reports success.
func TestParquetWriterReportsFullDisk(t *testing.T) {
	for room := int64(1); room < 20_000; room += 1999 {
		disk := newMemFS()
		disk.capacity = room
		w, err := createParquet(disk, "/f", nil, weighRecord)
		must(t, err)
		for i := range int64(200) {
			rec := record("m0", i, 0)
			rec.Text = ptr(string(utf8Garbage(400)))
			rec.ID = fmt.Sprintf("%x", sha256.Sum256([]byte{byte(i)}))
			if err = w.add(*rec); err != nil {
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

// A part that does not read back as it was written is never published.
func TestCommitComparesWhatItWrote(t *testing.T) {
	under := newMemFS()
	id := identity(1, 1, 5, 1)
	liar := distortingAt(under, 40)
	r := mustOpen(t, crashDir, id, Options{fs: liar})
	u, err := r.OpenShard("m0", 0)
	must(t, err)
	for row := range int64(5) {
		must(t, u.Put(record("m0", row, 0)))
	}
	err = u.Commit()
	var se *StorageError
	if !errors.As(err, &se) {
		t.Fatalf("Commit = %v, want a StorageError", err)
	}
	if !errors.As(r.Close("stopped: storage"), &se) {
		t.Fatal("Close does not say that storage failed")
	}
	r = mustOpen(t, crashDir, id, Options{fs: under})
	defer r.Close("")
	if r.Committed("m0", 0) || r.Totals().Sum().Rows != 5 {
		t.Fatalf("committed %v, %d rows", r.Committed("m0", 0), r.Totals().Sum().Rows)
	}
}

// Whichever byte of a part comes out wrong, either the part is refused or every
// value in it is right all the same.
func TestCommitNoticesEveryByte(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	want := make([]*nightshift.Record, 4)
	for i := range want {
		want[i] = largeRecord(rng, "m0", int64(i))
	}
	refused := 0
	for at := 4; at < 12_000; at += 1 + rng.IntN(60) {
		under := newMemFS()
		r := mustOpen(t, crashDir, identity(1, 1, 4, 1), Options{fs: distortingAt(under, at)})
		u, err := r.OpenShard("m0", 0)
		must(t, err)
		for _, rec := range want {
			must(t, u.Put(rec))
		}
		if u.Commit() != nil {
			refused++
			continue
		}
		for rec, err := range Rows[nightshift.Record](crashDir, ReadOptions{fs: under}) {
			must(t, err)
			kept := repaired(want[rec.Row])
			if !reflect.DeepEqual(rec, kept) {
				t.Fatalf("byte %d was written wrong and the part was taken: %s", at, firstDifference(rec, kept))
			}
		}
		r.Close("")
	}
	if refused < 100 {
		t.Errorf("only %d parts were refused", refused)
	}
}

// distortingAt lies about one byte of every part.
func distortingAt(under fileSystem, at int) fileSystem {
	return wrecked{fileSystem: under, openHook: func(name string, flag int) (file, error) {
		f, err := under.open(name, flag)
		if err == nil && strings.Contains(name, "/tmp/m0") {
			f = &distorting{file: f, at: at}
		}
		return f, err
	}}
}

// distorting is a file that keeps something else than was written.
type distorting struct {
	file
	at int // bytes from here on
}

func (d *distorting) Write(b []byte) (int, error) {
	if 0 <= d.at && d.at < len(b) {
		b = bytes.Clone(b)
		b[d.at] ^= 1
	}
	d.at -= len(b)
	return d.file.Write(b)
}

// NaN and infinity have no JSON; they are null in both forms.
func TestFloatsThatAreNoNumbers(t *testing.T) {
	rec := record("m0", 0, 0)
	inf := 1.0
	for range 2000 {
		inf *= 10
	}
	rec.LatencyMS, rec.QueuedMS = &inf, ptr(inf-inf)
	kept := repaired(rec)
	if kept.LatencyMS != nil || kept.QueuedMS != nil {
		t.Fatalf("kept %v, %v", *kept.LatencyMS, *kept.QueuedMS)
	}
	if line, _ := encodeRecord(&kept, time.Now()); !json.Valid(line[prefixLen : len(line)-1]) {
		t.Fatalf("no JSON: %s", line)
	}
}

// A disk that cannot keep up makes Put wait instead of filling memory.
func TestSlowDiskHoldsWritersBack(t *testing.T) {
	under := newMemFS()
	release := make(chan struct{})
	slow := wrecked{fileSystem: under, openHook: func(name string, flag int) (file, error) {
		f, err := under.open(name, flag)
		if err == nil && strings.Contains(name, "/journal/") {
			f = &slowFile{f, release}
		}
		return f, err
	}}
	r := mustOpen(t, crashDir, identity(1, 1, 20, 1), Options{fs: slow})
	u, err := r.OpenShard("m0", 0)
	must(t, err)
	written := make(chan int64, 20)
	go func() {
		defer close(written)
		for row := range int64(20) {
			rec := record("m0", row, 0)
			rec.Text = ptr(strings.Repeat("x", 1<<20))
			if err := u.Put(rec); err != nil {
				t.Error(err)
			}
			written <- row
		}
	}()
	for row := range int64(maxWaiting>>20 - 1) {
		if got := <-written; got != row {
			t.Fatalf("row %d was taken after row %d", got, row-1)
		}
	}
	select {
	case row := <-written:
		t.Fatalf("row %d was taken although %d MiB are waiting for the disk", row, row)
	case <-time.After(50 * time.Millisecond):
	}
	if n := r.Totals().Sum().Rows; n != 0 {
		t.Fatalf("%d rows are called durable", n)
	}
	close(release)
	for range written {
	}
	must(t, u.Commit())
	if n := r.Totals().Sum().Rows; n != 20 {
		t.Errorf("%d rows are durable, want 20", n)
	}
	must(t, r.Close("finished"))
}

// slowFile does not sync before it is released.
type slowFile struct {
	file
	release chan struct{}
}

func (f *slowFile) Sync() error {
	<-f.release
	return f.file.Sync()
}
