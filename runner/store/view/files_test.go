package view

import (
	"nightshift"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"nightshift/runner/store/internal/testdata/storetest"

	"github.com/parquet-go/parquet-go"
)

// Whole numbers may be held as floating-point ones, which is what becomes of a
// column with nulls in many programs, and times in other shards.
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
	name := writeForeignFile(t, []foreign{
		{1, storetest.Ptr("ok"), storetest.Ptr(12.0), 7, storetest.Ptr(int32(3)), at, at, storetest.Ptr(true), []byte{0xff}},
		{2, nil, nil, 0, nil, at, at, nil, nil},
	}, 10)
	var got []ours
	for rows, err := range FileBatches[ours](name) {
		storetest.Must(t, err)
		got = append(got, rows...)
	}
	want := []ours{
		{1, "ok", storetest.Ptr(int64(12)), 7, storetest.Ptr(3.0), &at, at, true, []byte{0xff}, nil},
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
		"column input_tokens: value 1: 0.5 is no whole number": writeForeignFile(t,
			[]fraction{{"ok", 1}, {"ok", 0.5}}, 10),
		"column input_tokens: it holds lists": writeForeignFile(t,
			[]list{{"ok", []int64{1, 2}}}, 10),
		"column input_tokens: it holds values of type": writeForeignFile(t,
			[]word{{"ok", "7"}}, 10),
		"column epoch: value 0: 4294967296 is too large": writeForeignFile(t,
			[]large{{"ok", 1 << 32}}, 10),
		"column started_at: it holds values of type INT(64,true), which are no times": writeForeignFile(t,
			[]bare{{"ok", 7}}, 10),
	} {
		var last error
		for _, err := range FileBatches[ours](name) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), want) {
			t.Errorf("the error is %v, want %q", last, want)
		}
	}
}

// writeForeignFile writes rows as another program might, in small row groups.
func writeForeignFile[T any](t *testing.T, rows []T, perGroup int64) string {
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
