package datasets_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"nightshift/datasets"
)

type hfMessage struct {
	Role    string `parquet:"role"`
	Content string `parquet:"content"`
}

type hfRow struct {
	ID       string            `parquet:"id"`
	Messages []hfMessage       `parquet:"messages,list"`
	Big      int64             `parquet:"big"`
	Unsigned uint64            `parquet:"unsigned"`
	Score    *float64          `parquet:"score,optional"`
	Tags     []string          `parquet:"tags,list"`
	Matrix   [][]int32         `parquet:"matrix,list"`
	Image    *hfImage          `parquet:"image,optional"`
	When     time.Time         `parquet:"when,timestamp(microsecond)"`
	Map      map[string]string `parquet:"map"`
	Flag     bool              `parquet:"flag"`
	Repeated []int32           `parquet:"repeated"`
}

type hfImage struct {
	Bytes []byte  `parquet:"bytes"`
	Path  *string `parquet:"path,optional"`
}

func writeParquet[T any](t testing.TB, path string, rows []T) string {
	t.Helper()
	if err := parquet.WriteFile(path, rows, parquet.MaxRowsPerRowGroup(3)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestParquet(t *testing.T) {
	half, nan, name := 0.5, math.NaN(), "a.png"
	when := time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)
	rows := []hfRow{
		{ID: "a", Messages: []hfMessage{{"user", "Hi é \"q\"\n"}, {"assistant", "Yo"}, {"user", "Go on"}},
			Big: math.MaxInt64, Unsigned: math.MaxUint64,
			Score: &half, Tags: []string{"x", "y"}, Matrix: [][]int32{{1, 2}, {}, {3}},
			Image: &hfImage{[]byte("\x89PNG\r\n\x1a\n\xff"), &name},
			When:  when, Map: map[string]string{"k": "v"}, Flag: true, Repeated: []int32{7, 8}},
		{ID: "b", Messages: []hfMessage{{"user", "Second"}}, Score: &nan, When: when},
	}
	for i := range 10 {
		rows = append(rows, hfRow{ID: fmt.Sprint(i), Messages: []hfMessage{{"user", fmt.Sprint("Row ", i)}},
			When: when})
	}
	path := writeParquet(t, filepath.Join(t.TempDir(), "train-00000-of-00001.parquet"), rows)
	for _, shard := range []int64{1, 5, 100} {
		o := run(t, datasets.Spec{Paths: []string{path}, ShardRows: shard})
		if o.err != nil || o.failure != nil || strings.Join(o.order, "") != "ab0123456789" {
			t.Fatal(o.err, o.failure, o.bad, o.order)
		}
		if got := said(o.samples[0]); got != "u:Hi é \"q\"\n|a:Yo|u:Go on" {
			t.Errorf("messages are %q", got)
		}
		want := `{"big":9223372036854775807,"unsigned":18446744073709551615,"score":0.5,"tags":["x","y"],` +
			`"matrix":[[1,2],[],[3]],` +
			`"image":{"bytes":"iVBORw0KGgr/","path":"a.png"},"when":"2026-02-03T04:05:06.000007Z","map":{"k":"v"},` +
			`"flag":true,"repeated":[7,8]}`
		if got := string(o.samples[0].Metadata); !sameFields(got, want) {
			t.Errorf("metadata is\n%s\nwant\n%s", got, want)
		}
		if got := string(o.samples[1].Metadata); !strings.Contains(got, `"score":null`) ||
			!strings.Contains(got, `"image":null`) ||
			!strings.Contains(got, `"tags":[]`) || !strings.Contains(got, `"repeated":[]`) ||
			!strings.Contains(got, `"map":{}`) {
			t.Errorf("metadata of nulls is %s", got)
		}
		raw, err := rawRow(o.d, 11)
		if err != nil || !strings.Contains(string(raw), `"Row 9"`) {
			t.Errorf("Raw = %s, %v", raw, err)
		}
		if info := o.d.Info(); info.Format != "Parquet" || info.Rows != 12 {
			t.Errorf("Info = %+v", info)
		}
	}
	o := run(t, datasets.Spec{Paths: []string{path}, Limit: 1, Prompt: "Look: {{ tags | join('+') }}",
		Fields: map[string]string{"images": "image"}})
	if len(o.bad) != 0 && !strings.Contains(o.bad[0].What, "of a kind") || len(o.samples) != 1 {
		t.Fatal(o.err, o.bad)
	}
	if got := said(o.samples[0]); !strings.Contains(got, `"url":"data:image/png;base64,iVBORw0KGgr/"`) ||
		!strings.Contains(got, "Look: x+y") {
		t.Errorf("image message is %s", got)
	}
}

// sameFields compares JSON objects as text, fields in any order (the library
// sorts the columns of some structs).
func sameFields(a, b string) bool {
	return len(a) == len(b) && strings.Count(a, ",") == strings.Count(b, ",") &&
		func() bool {
			for _, f := range strings.SplitAfter(strings.Trim(b, "{}"), `,"`) {
				if !strings.Contains(a, strings.Trim(f, `,"}`)) {
					return false
				}
			}
			return true
		}()
}

// A Parquet file that is cut or damaged gives problems, never a panic or a
// flood of memory.
func TestDamagedParquet(t *testing.T) {
	type pair struct {
		Question string `parquet:"question"`
		Answer   string `parquet:"answer"`
	}
	var rows []pair
	for i := range 50 {
		rows = append(rows, pair{fmt.Sprint("What is ", i, "?"), fmt.Sprint(i)})
	}
	path := writeParquet(t, filepath.Join(t.TempDir(), "data.parquet"), rows)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if o := run(t, datasets.Spec{Paths: []string{path}}); len(o.samples) != 50 || o.samples[49].Target != "49" {
		t.Fatal(o.err, o.bad)
	}
	for n := 4; n < len(whole); n += 97 {
		put(t, filepath.Dir(path), "data.parquet", string(whole[:n]))
		if o := run(t, datasets.Spec{Paths: []string{path}}); o.err == nil {
			t.Errorf("cut after %d of %d bytes: no problem", n, len(whole))
		}
	}
	for i := 4; i < len(whole); i += 13 {
		damaged := append([]byte{}, whole...)
		damaged[i] ^= 0x55
		put(t, filepath.Dir(path), "data.parquet", string(damaged))
		d, err := datasets.Open(context.Background(), datasets.Spec{Paths: []string{path}, OnBadRow: "record"})
		if err == nil {
			d.Close() // the flip may have hit a text, or nothing that matters
		}
	}
}
