package web_test

import (
	"os"
	"strconv"
	"testing"

	"nightshift/reports/internal/testdata/demo"
)

// BenchmarkView asks a viewer for pages: the first time, and again as a page
// does that is looked at.
func BenchmarkView(b *testing.B) {
	rows := int64(20_000)
	if n, err := strconv.ParseInt(os.Getenv("NIGHTSHIFT_BENCH_ROWS"), 10, 64); err == nil {
		rows = n
	}
	dir := demo.Run{Rows: rows, Models: []string{"a", "b", "c"}, Chunk: 20_000}.Write(b)
	path := "run/" + runName(dir) + "?"
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			body(b, viewer(b, dir), path)
		}
	})
	v := viewer(b, dir)
	for _, query := range []string{"", "sort=-latency", "sort=-cost.2&page=100", "show=wrong&category=law"} {
		body(b, v, path+query)
		b.Run(query, func(b *testing.B) {
			for b.Loop() {
				body(b, v, path+query)
			}
		})
	}
}
