package store

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"nightshift"
)

// writeForeign writes rows as another program might, in small row groups.
func writeForeign[T any](t *testing.T, rows []T, perGroup int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "foreign.parquet")
	f, err := os.Create(name)
	must(t, err)
	w := parquet.NewGenericWriter[T](f, parquet.MaxRowsPerRowGroup(perGroup), parquet.PageBufferSize(256))
	_, err = w.Write(rows)
	must(t, err)
	must(t, w.Close())
	must(t, f.Close())
	return name
}

// Whole numbers may be held as floating-point ones, which is what becomes of a
// column with nulls in many programs, and times in other units.
func TestForeignColumns(t *testing.T) {
	type foreign struct {
		Row     int32     `parquet:"row"`
		Outcome *string   `parquet:"outcome,optional,dict"`
		Input   *float64  `parquet:"input_tokens,optional"`
		Output  float32   `parquet:"output_tokens"`
		Cost    *int32    `parquet:"cost_usd,optional"`
		Started time.Time `parquet:"started_at,timestamp(millisecond)"`
		Ended   time.Time `parquet:"finished_at,timestamp(nanosecond)"`
		Maybe   *bool     `parquet:"maybe_billed,optional"`
		Raw     []byte    `parquet:"raw_bytes,optional"`
	}
	type ours struct {
		Row     int64              `parquet:"row"`
		Outcome nightshift.Outcome `parquet:"outcome,dict"`
		Input   *int64             `parquet:"input_tokens,optional"`
		Output  int64              `parquet:"output_tokens,optional"`
		Cost    *float64           `parquet:"cost_usd,optional"`
		Started *time.Time         `parquet:"started_at,optional,timestamp(microsecond)"`
		Ended   time.Time          `parquet:"finished_at,optional,timestamp(microsecond)"`
		Maybe   bool               `parquet:"maybe_billed"`
		Raw     []byte             `parquet:"raw_bytes,optional"`
		Lacking *string            `parquet:"text,optional"`
	}
	at := time.Date(1969, 12, 31, 23, 59, 58, 7_000_000, time.UTC)
	name := writeForeign(t, []foreign{
		{1, ptr("ok"), ptr(12.0), 7, ptr(int32(3)), at, at, ptr(true), []byte{0xff}},
		{2, nil, nil, 0, nil, at, at, nil, nil},
	}, 10)
	var got []ours
	for r, err := range FileRows[ours](name) {
		must(t, err)
		got = append(got, r)
	}
	want := []ours{
		{1, "ok", ptr(int64(12)), 7, ptr(3.0), &at, at, true, []byte{0xff}, nil},
		{2, "", nil, 0, nil, &at, at, false, nil, nil},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v\nwant %+v", got, want)
	}
}

// What does not fit is refused with the column's name.
func TestForeignColumnsThatDoNotFit(t *testing.T) {
	type ours struct {
		Outcome string     `parquet:"outcome"`
		Tokens  *int64     `parquet:"input_tokens,optional"`
		Epoch   int32      `parquet:"epoch"`
		Started *time.Time `parquet:"started_at,optional,timestamp(microsecond)"`
	}
	type fraction struct {
		Outcome string  `parquet:"outcome"`
		Tokens  float64 `parquet:"input_tokens"`
	}
	type list struct {
		Outcome string  `parquet:"outcome"`
		Tokens  []int64 `parquet:"input_tokens"`
	}
	type word struct {
		Outcome string `parquet:"outcome"`
		Tokens  string `parquet:"input_tokens"`
	}
	type large struct {
		Outcome string `parquet:"outcome"`
		Epoch   int64  `parquet:"epoch"`
	}
	type bare struct {
		Outcome string `parquet:"outcome"`
		Started int64  `parquet:"started_at"`
	}
	for want, name := range map[string]string{
		"column input_tokens: value 1: 0.5 is no whole number":                        writeForeign(t, []fraction{{"ok", 1}, {"ok", 0.5}}, 10),
		"column input_tokens: it holds lists":                                         writeForeign(t, []list{{"ok", []int64{1, 2}}}, 10),
		"column input_tokens: it holds values of type":                                writeForeign(t, []word{{"ok", "7"}}, 10),
		"column epoch: value 0: 4294967296 is too large":                              writeForeign(t, []large{{"ok", 1 << 32}}, 10),
		"column started_at: it holds values of type INT(64,true), which are no times": writeForeign(t, []bare{{"ok", 7}}, 10),
	} {
		var last error
		for _, err := range FileRows[ours](name) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), want) {
			t.Errorf("the error is %v, want %q", last, want)
		}
	}
}

// Rows are the same wherever reading begins, over pages and row groups, forward
// and back.
func TestRowsFromAnywhere(t *testing.T) {
	rng := rand.New(rand.NewPCG(31, 31))
	type row struct {
		Row     int64   `parquet:"row"`
		Outcome string  `parquet:"outcome,dict"`
		Text    *string `parquet:"text,optional"`
		Tokens  *int64  `parquet:"input_tokens,optional"`
	}
	var want []row
	for i := range int64(1000) {
		r := row{Row: i, Outcome: []string{"ok", "failed"}[rng.IntN(2)]}
		if rng.IntN(3) > 0 {
			r.Text = ptr(strings.Repeat(fmt.Sprint(i), rng.IntN(30)))
		}
		if rng.IntN(3) > 0 {
			r.Tokens = ptr(i)
		}
		want = append(want, r)
	}
	name := writeForeign(t, want, 170)
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	pf, err := openForeign(f)
	must(t, err)
	if n := len(pf.RowGroups()); n < 5 {
		t.Fatalf("%d row groups", n)
	}
	r, err := newRowReader[row](pf)
	must(t, err)
	defer r.close()
	for range 300 {
		from := rng.IntN(len(want))
		got := make([]row, min(1+rng.IntN(300), len(want)-from))
		must(t, r.read(got, int64(from)))
		if !reflect.DeepEqual(got, want[from:from+len(got)]) {
			t.Fatalf("%d rows from %d differ", len(got), from)
		}
		var stretch []row
		for r, err := range readStretch[row](pf, int64(from), int64(from+len(got))) {
			must(t, err)
			stretch = append(stretch, r)
		}
		if !reflect.DeepEqual(stretch, got) {
			t.Fatalf("the stretch of %d rows from %d differs", len(got), from)
		}
	}
	if err := r.read(make([]row, 2), int64(len(want)-1)); err == nil {
		t.Error("a row behind the last is read")
	}
}
