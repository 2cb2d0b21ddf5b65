package datasets_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"nightshift/datasets"
	"nightshift/internal/fsx"
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
	var row []byte
	for i := range n {
		row = strconv.AppendInt(append(row[:0], `{"id": "row-`...), int64(1e9+i), 10)
		row = append(row, `", "prompt": "`...)
		row = append(row, filler[:max(1, size-len(row)-12)]...)
		row = append(strconv.AppendInt(append(row, `", "n": `...), int64(i%100), 10), '}', '\n')
		if _, err := w.Write(row); err != nil {
			tb.Fatal(err)
		}
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

// BenchmarkIndex measures the first pass: rate, rate by processor time (which
// other work on the machine does not change), and memory.
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
			before := fsx.ProcessorTime()
			for b.Loop() {
				peak = peakHeap(func() { open(b, datasets.Spec{Paths: []string{path}, Spool: b.TempDir()}) })
			}
			used := fsx.ProcessorTime() - before
			b.ReportMetric(float64(info.Size())*float64(b.N)/1e6/used.Seconds(), "MB/cpu-s")
			b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
		})
	}
}

// BenchmarkRead measures how fast samples come out of a chunk.
func BenchmarkRead(b *testing.B) {
	for _, prompt := range []string{"", "{{ prompt }}"} {
		b.Run("template="+prompt, func(b *testing.B) {
			d := open(b, datasets.Spec{Paths: []string{synthetic(b, 20_000, 500)}, Prompt: prompt})
			for b.Loop() {
				for _, err := range d.Read(context.Background(), 0) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// A large dataset: indexing in bounded memory, and a second start that reads
// no rows. NIGHTSHIFT_LONG=1 makes it 100 million rows (7 GB of disk).
func TestLargeDataset(t *testing.T) {
	rows := 300_000
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		rows = 100_000_000
	}
	path := synthetic(t, rows, 70)
	dir := t.TempDir()
	s := datasets.Spec{Paths: []string{path}, Spool: dir}
	var d *datasets.Dataset
	before, start := fsx.ProcessorTime(), time.Now()
	peak := peakHeap(func() { d = open(t, s) })
	info := d.Info()
	t.Logf("%d rows, %d MB: %v (%v of processor time), %d MiB of heap", info.Rows, info.Bytes/1e6,
		time.Since(start).Round(time.Millisecond), (fsx.ProcessorTime() - before).Round(time.Millisecond), peak>>20)
	if info.Rows != int64(rows) || peak > 256<<20 {
		t.Errorf("%d rows, %d MiB of heap", info.Rows, peak>>20)
	}
	index := filepath.Join(dir, "dataset.idx")
	if err := d.WriteIndex(index); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	again, err := datasets.LoadIndex(context.Background(), index, s)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	t.Logf("second start: %v for %d slices", time.Since(start).Round(10*time.Microsecond), len(again.Chunks()))
	if again.Info().Hash != info.Hash {
		t.Error("the second start sees other data")
	}
	last := len(again.Chunks()) - 1
	n := int64(0)
	for _, err := range again.Read(context.Background(), last) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != again.Chunks()[last].Rows {
		t.Errorf("the last slice yields %d rows", n)
	}
}
