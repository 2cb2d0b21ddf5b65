package parquetfile

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nightshift"
	"nightshift/runner/store/internal/testdata/storetest"

	"github.com/parquet-go/parquet-go"
)

// Rows are the same wherever reading begins, over pages and row groups, forward
// and back.
func TestRowsFromAnywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 31))
	type row struct {
		Row     int64             `parquet:"row"`
		Outcome string            `parquet:"outcome,dict"`
		Text    *string           `parquet:"text,optional"`
		Tokens  *int64            `parquet:"input_tokens,optional"`
		Vector  nightshift.Vector `parquet:"embedding,optional,list"`
	}
	var want []row
	for i := range int64(1000) {
		r := row{Row: i, Outcome: []string{"ok", "failed"}[rng.IntN(2)]}
		if rng.IntN(3) > 0 {
			r.Text = storetest.Ptr(strings.Repeat(fmt.Sprint(i), rng.IntN(30)))
		}
		if rng.IntN(3) > 0 {
			r.Tokens = storetest.Ptr(i)
		}
		for range rng.IntN(3) * rng.IntN(400) {
			r.Vector = append(r.Vector, rng.Float32())
		}
		want = append(want, r)
	}
	name := writeForeign(t, want, 170)
	f, err := os.Open(name)
	storetest.Must(t, err)
	defer f.Close()
	pf, err := openForeign(f)
	storetest.Must(t, err)
	if n := len(pf.pf.RowGroups()); n < 5 {
		t.Fatalf("%d row groups", n)
	}
	r, err := NewReader[row](pf)
	storetest.Must(t, err)
	defer r.Close()
	for range 80 {
		from := rng.IntN(len(want))
		got := make([]row, min(1+rng.IntN(300), len(want)-from))
		storetest.Must(t, r.Read(got, int64(from)))
		if !reflect.DeepEqual(got, want[from:from+len(got)]) {
			t.Fatalf("%d rows from %d differ", len(got), from)
		}
		var stretch []row
		for r, err := range ReadRange[row](pf, int64(from), int64(from+len(got))) {
			storetest.Must(t, err)
			stretch = append(stretch, r)
		}
		if !reflect.DeepEqual(stretch, got) {
			t.Fatalf("the stretch of %d rows from %d differs", len(got), from)
		}
		for r, err := range ReadRange[row](pf, int64(from), int64(len(want))) {
			storetest.Must(t, err)
			if !reflect.DeepEqual(r, got[0]) {
				t.Fatalf("the first row from %d differs", from)
			}
			break // what is read ahead is given up
		}
	}
	if err := r.Read(make([]row, 2), int64(len(want)-1)); err == nil {
		t.Error("a row behind the last is read")
	}
}

// writeForeign writes rows as another program might, in small row groups.
func writeForeign[T any](t *testing.T, rows []T, perGroup int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "foreign.parquet")
	f, err := os.Create(name)
	storetest.Must(t, err)
	w := parquet.NewGenericWriter[T](f, parquet.MaxRowsPerRowGroup(perGroup), parquet.PageBufferSize(256))
	_, err = w.Write(rows)
	storetest.Must(t, err)
	storetest.Must(t, w.Close())
	storetest.Must(t, f.Close())
	return name
}

// Numbers of other types, and columns that another program gave a dictionary, read
// as what they say; nulls in between take nothing.
func TestColumnsAsOthersWriteThem(t *testing.T) {
	type foreign struct {
		Row     int32    `parquet:"row"`
		Tokens  *int64   `parquet:"input_tokens,optional,dict"`
		Cost    *float64 `parquet:"cost_nano_usd,optional"`
		Latency float32  `parquet:"latency_ms"`
		Billed  *bool    `parquet:"maybe_billed,optional"`
		Model   *string  `parquet:"model,optional,dict"`
	}
	type row struct {
		Row     int64    `parquet:"row"`
		Tokens  *int64   `parquet:"input_tokens,optional"`
		Cost    *int64   `parquet:"cost_nano_usd,optional"`
		Latency *float64 `parquet:"latency_ms,optional"`
		Billed  bool     `parquet:"maybe_billed"`
		Model   string   `parquet:"model,dict"`
	}
	rng := rand.New(rand.NewPCG(7, 7))
	var written []foreign
	var want []row
	for i := range 2000 {
		f, r := foreign{Row: int32(i), Latency: float32(i) / 2}, row{Row: int64(i)}
		r.Latency = storetest.Ptr(float64(f.Latency))
		if rng.IntN(3) > 0 {
			f.Tokens = storetest.Ptr(rng.Int64N(5))
			r.Tokens = storetest.Ptr(*f.Tokens)
		}
		if rng.IntN(2) > 0 {
			f.Cost, r.Cost = storetest.Ptr(float64(i)), storetest.Ptr(int64(i))
		}
		if rng.IntN(2) > 0 {
			r.Billed = rng.IntN(2) > 0
			f.Billed = storetest.Ptr(r.Billed)
		}
		if rng.IntN(4) > 0 {
			r.Model = fmt.Sprint("m", rng.IntN(3))
			f.Model = storetest.Ptr(r.Model)
		}
		written, want = append(written, f), append(want, r)
	}
	b, err := os.ReadFile(writeForeign(t, written, 700))
	storetest.Must(t, err)
	pf, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	storetest.Must(t, err)
	var got []row
	for r, err := range Read[row](&File{pf: pf}) {
		storetest.Must(t, err)
		got = append(got, r)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("rows differ")
	}
}

// Passing texts are what other texts are, for as long as their row is looked at: in
// plain pages and in those with a dictionary, over pages and row groups.
func TestPassingTexts(t *testing.T) {
	type foreign struct {
		Text  *string `parquet:"text,optional"`
		Model string  `parquet:"model,dict"`
	}
	type passing struct {
		Text  *string `parquet:"text,optional" texts:"passing"`
		Model string  `parquet:"model,dict" texts:"passing"`
	}
	rng := rand.New(rand.NewPCG(3, 3))
	var written []foreign
	for i := range 5000 {
		f := foreign{Model: fmt.Sprint("m", i/900)}
		if rng.IntN(3) > 0 {
			f.Text = storetest.Ptr(strings.Repeat(fmt.Sprint(i), rng.IntN(20)))
		}
		written = append(written, f)
	}
	b, err := os.ReadFile(writeForeign(t, written, 1700))
	storetest.Must(t, err)
	pf, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	storetest.Must(t, err)
	at := 0
	for got, err := range Read[passing](&File{pf: pf}) {
		storetest.Must(t, err)
		if want := written[at]; got.Model != want.Model || !reflect.DeepEqual(got.Text, want.Text) {
			t.Fatalf("row %d is %+v, want %+v", at, got, want)
		}
		at++
	}
	if at != len(written) {
		t.Errorf("%d rows of %d", at, len(written))
	}
}
