package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"hash"
	"math"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/parquetfile"
	"nightshift/runner/store/view"
)

var hostileRows = flag.Int("hostile", 2000, "random rows with hostile values that are written and read back")

// columnHash is the hash of a column's values in order, made the same way by
// testdata/readback.py: one byte of null or not each; the lengths of texts; the
// values, nothing for null.
type columnHash struct {
	valid, lengths, values hash.Hash
	text                   bool
}

func hashColumns(records []nightshift.Record) map[string]string {
	t := reflect.TypeFor[nightshift.Record]()
	sums := map[string]string{}
	for i := range t.NumField() {
		name, _ := parquetfile.ColumnName(t.Field(i))
		h := columnHash{valid: sha256.New(), lengths: sha256.New(), values: sha256.New()}
		for r := range records {
			h.add(reflect.ValueOf(&records[r]).Elem().Field(i))
		}
		sum := hex.EncodeToString(h.valid.Sum(nil)) + hex.EncodeToString(h.values.Sum(nil))
		if h.text {
			sum += hex.EncodeToString(h.lengths.Sum(nil))
		}
		sums[name] = sum
	}
	return sums
}

func (h *columnHash) add(v reflect.Value) {
	kind := v.Type()
	null := false
	if v.Kind() == reflect.Pointer {
		kind = kind.Elem()
		if null = v.IsNil(); !null {
			v = v.Elem()
		}
	}
	h.text = kind.Kind() == reflect.String || kind.Kind() == reflect.Slice
	null = null || v.Kind() == reflect.Slice && v.IsNil()
	if null {
		h.valid.Write([]byte{0})
		h.number(h.lengths, 0)
		return
	}
	h.valid.Write([]byte{1})
	switch v.Kind() {
	case reflect.String:
		h.number(h.lengths, uint64(v.Len()))
		h.values.Write([]byte(v.String()))
	case reflect.Slice:
		h.number(h.lengths, uint64(v.Len()))
		if vector, ok := v.Interface().(nightshift.Vector); ok {
			h.values.Write(vector.AppendBytes(nil))
			return
		}
		h.values.Write(v.Bytes())
	case reflect.Int64, reflect.Int32:
		h.number(h.values, uint64(v.Int()))
	case reflect.Float64:
		h.number(h.values, math.Float64bits(v.Float()))
	case reflect.Bool:
		n := uint64(0)
		if v.Bool() {
			n = 1
		}
		h.number(h.values, n)
	default:
		h.number(h.values, uint64(v.Interface().(time.Time).UnixMicro()))
	}
}

func (h *columnHash) number(to hash.Hash, n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	to.Write(b[:])
}

// Random rows with hostile values are put on record, and read back equal: from
// the journal, from the Parquet file, and by DuckDB and pyarrow where they are
// installed. Expected is what Put promises to keep.
func TestHostileRowsReadBackEqual(t *testing.T) {
	const perShard = 20_000
	rows := int64(*hostileRows)
	if long() {
		rows = max(rows, 60_000)
	}
	dir := t.TempDir()
	id := identity(1, 0, 0, 1)
	id.DatasetRows = rows
	for first := int64(0); first < rows; first += perShard {
		id.Chunks = append(id.Chunks, rundir.Chunk{First: first, Rows: min(perShard, rows-first)})
	}
	rng := rand.New(rand.NewPCG(42, 42))
	expected := make([]nightshift.Record, rows)
	r := mustOpen(t, dir, id, Options{})
	for n, s := range id.Chunks {
		u, err := r.OpenShard("m0", n)
		storetest.Must(t, err)
		for row := s.First; row < s.First+s.Rows; row++ {
			rec := storetest.HostileRecord(rng, "m0", row, 0)
			storetest.Must(t, u.Put(rec))
			expected[row] = promised(rec)
		}
		compareRows(t, "journal", dir, s, expected)
		storetest.Must(t, u.Commit())
		compareRows(t, "part", dir, s, expected)
	}
	storetest.Must(t, r.Close("finished"))

	parquetFiles, err := filepath.Glob(filepath.Join(dir, rundir.ResultsDir, "*.parquet"))
	storetest.Must(t, err)
	want := hashColumns(expected)
	for _, reader := range []string{"pyarrow", "duckdb"} {
		t.Run(reader, func(t *testing.T) { compareForeign(t, reader, parquetFiles, want) })
	}
}

// promised is what the documentation of Put says is kept of a record, worked
// out another way than Put does.
func promised(rec *nightshift.Record) nightshift.Record {
	r := *rec
	if len(r.RawBytes) == 0 {
		r.RawBytes = nil
		if r.RawResponse != nil && strings.ToValidUTF8(*r.RawResponse, "") != *r.RawResponse {
			r.RawBytes = []byte(*r.RawResponse)
		}
	}
	v := reflect.ValueOf(&r).Elem()
	damaged := false
	for i := range v.NumField() {
		switch x := v.Field(i).Interface().(type) {
		case *string:
			if x != nil {
				s := strings.ToValidUTF8(*x, "\ufffd")
				damaged = damaged || s != *x
				v.Field(i).Set(reflect.ValueOf(&s))
			}
		case *float64:
			if x != nil && (*x != *x || *x-*x != 0) {
				v.Field(i).SetZero()
			}
		case nightshift.Vector:
			if len(x) == 0 || !x.Finite() {
				v.Field(i).SetZero()
			}
		case *time.Time:
			if x == nil {
				break
			}
			if y := x.UTC().Year(); y < 1678 || y > 2261 {
				v.Field(i).SetZero()
				break
			}
			u := time.UnixMicro(x.UnixMicro()).UTC()
			v.Field(i).Set(reflect.ValueOf(&u))
		default:
			if v.Field(i).Kind() == reflect.String {
				s := strings.ToValidUTF8(v.Field(i).String(), "\ufffd")
				damaged = damaged || s != v.Field(i).String()
				v.Field(i).SetString(s)
			}
		}
	}
	if damaged {
		switch {
		case r.Flags == nil || *r.Flags == "":
			r.Flags = storetest.Ptr("text_repaired")
		case *r.Flags != "text_repaired":
			r.Flags = storetest.Ptr(*r.Flags + ",text_repaired")
		}
	}
	return r
}

func compareRows(t *testing.T, from, dir string, s rundir.Chunk, expected []nightshift.Record) {
	t.Helper()
	row := s.First
	for rec, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{From: s.First, To: s.First + s.Rows}) {
		storetest.Must(t, err)
		if want := expected[row]; !reflect.DeepEqual(rec, want) {
			t.Fatalf("%s: row %d: %s", from, row, storetest.FirstDifference(rec, want))
		}
		row++
	}
	if row != s.First+s.Rows {
		t.Fatalf("%s: %d rows of %d", from, row-s.First, s.Rows)
	}
}

// compareForeign has another reader hash every column of the Parquet files.
func compareForeign(t *testing.T, reader string, parquetFiles []string, want map[string]string) {
	python := findPython(t, reader)
	cmd := exec.Command(python, append([]string{filepath.Join("testdata", "readback.py"), reader}, parquetFiles...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	var got map[string]string
	storetest.Must(t, json.Unmarshal(out, &got))
	for name, sum := range want {
		if got[name] != sum {
			t.Errorf("column %s reads differently", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d columns, want %d", len(got), len(want))
	}
}

// findPython skips the test when there is no Python with the module.
func findPython(t *testing.T, module string) string {
	t.Helper()
	python, err := exec.LookPath("python3")
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("needs python3 on the PATH")
	}
	storetest.Must(t, err)
	for _, m := range []string{module, "numpy"} {
		if exec.Command(python, "-c", "import "+m).Run() != nil {
			t.Skipf("needs the Python module %s", m)
		}
	}
	return python
}

// An answer of 10 MB is kept, and does not make the file a multiple of it.
func TestLongAnswer(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 2, 1)
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	long := strings.Repeat("All work and no play. ", 10<<20/22)
	for row := range int64(2) {
		rec := storetest.Record("m0", row, 0)
		rec.Text, rec.RawResponse = &long, &long
		storetest.Must(t, u.Put(rec))
	}
	storetest.Must(t, u.Commit())
	storetest.Must(t, r.Close("finished"))
	n := 0
	for rec, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{}) {
		storetest.Must(t, err)
		if *rec.Text != long || *rec.RawResponse != long {
			t.Fatalf("row %d has changed", n)
		}
		n++
	}
	info, err := view.ReadInfo(dir)
	storetest.Must(t, err)
	if size := info.ParquetFiles[0].Size; n != 2 || size > 1<<20 {
		t.Fatalf("%d rows in %d bytes; 40 MB that repeat themselves take a few KB when statistics leave them out", n, size)
	}
}
