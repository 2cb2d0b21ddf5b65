package web_test

import (
	"net/http/httptest"
	"os"
	"strconv"
	"testing"

	"nightshift/reports/internal/testdata/demo"
	"nightshift/reports/web"
)

// BenchmarkViewSorted asks a viewer for the slowest answers: the first time,
// and again as a page does that is looked at.
func BenchmarkViewSorted(b *testing.B) {
	rows := int64(20_000)
	if n, err := strconv.ParseInt(os.Getenv("NIGHTSHIFT_BENCH_ROWS"), 10, 64); err == nil {
		rows = n
	}
	dir := demo.Run{Rows: rows, Models: []string{"a", "b", "c"}, Chunk: 20_000}.Write(b)
	ask := func(b *testing.B, v *web.Viewer, query string) {
		r := httptest.NewRequest("GET", "/s/rows?"+query, nil)
		r.Host = "127.0.0.1"
		w := httptest.NewRecorder()
		v.ServeHTTP(w, r)
		if w.Code != 200 || w.Body.Len() < 1000 {
			b.Fatalf("%d: %s", w.Code, w.Body)
		}
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			v, err := web.New(dir, "s")
			if err != nil {
				b.Fatal(err)
			}
			ask(b, v, "sort=latency")
		}
	})
	v, err := web.New(dir, "s")
	if err != nil {
		b.Fatal(err)
	}
	for _, query := range []string{"sort=latency", "sort=cost&model=1", "sort=output&outcome=ok"} {
		ask(b, v, query)
		b.Run(query, func(b *testing.B) {
			for b.Loop() {
				ask(b, v, query)
			}
		})
	}
}
