package datasets_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"nightshift/datasets"
)

// synthetic writes n rows of about the given size and returns the path.
func synthetic(tb testing.TB, n, size int) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "rows.jsonl")
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	filler := strings.Repeat("Tell me, in a few words, what this is about. ", size/45+1)
	for i := range n {
		head := fmt.Sprintf(`{"id": "row-%09d", "prompt": "`, i)
		fmt.Fprintf(w, "%s%s\", \"n\": %d}\n", head, filler[:max(1, size-len(head)-12)], i%100)
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
	return path
}

// peakHeap samples the heap while do runs and returns how far it grew beyond
// what was there before.
func peakHeap(do func()) uint64 {
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	return max(peakOf(do), before.HeapInuse) - before.HeapInuse
}

func peakOf(do func()) (peak uint64) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var m runtime.MemStats
		for {
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	do()
	close(stop)
	<-done
	return peak
}

func open(tb testing.TB, s datasets.Spec) *datasets.Dataset {
	tb.Helper()
	d, err := datasets.Open(context.Background(), s)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { d.Close() })
	return d
}

// BenchmarkIndex measures the first pass: rate and memory.
func BenchmarkIndex(b *testing.B) {
	for _, size := range []int{60, 500, 20_000} {
		b.Run(fmt.Sprintf("row=%dB", size), func(b *testing.B) {
			path := synthetic(b, 200_000_000/size, size)
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(info.Size())
			b.ResetTimer()
			var peak uint64
			for b.Loop() {
				peak = peakHeap(func() { open(b, datasets.Spec{Paths: []string{path}, Spool: b.TempDir()}) })
			}
			b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
		})
	}
}
