package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/batchlog"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
)

// BenchmarkResumeBatches is what a start takes when so many batches are away,
// each with ten lines in the log, and half of them with their rows scattered.
func BenchmarkResumeBatches(b *testing.B) {
	for _, n := range []int{200, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			id := identity(1, n, 20_000, 1)
			r := mustOpen(b, dir, id, Options{})
			storetest.Must(b, r.Close("stopped"))
			storetest.Must(b, os.WriteFile(filepath.Join(dir, rundir.BatchLogFile), logOfBatches(b, r.RunID(), n), 0o600))
			b.ResetTimer()
			for b.Loop() {
				r := mustOpen(b, dir, id, Options{})
				if got := len(r.Batches()); got != n {
					b.Fatalf("%d batches", got)
				}
				var mem runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&mem)
				b.ReportMetric(float64(mem.HeapAlloc)/(1<<20), "MiB")
				storetest.Must(b, r.Close("stopped"))
			}
		})
	}
}

func logOfBatches(b *testing.B, runID string, n int) []byte {
	mem := storetest.NewFS()
	c, err := batchlog.Read(mem, "/log")
	storetest.Must(b, err)
	g, err := batchlog.Open(mem, "/log", runID, "host", c)
	storetest.Must(b, err)
	for i := range n {
		x := &Batch{N: i + 1, Model: "m0", Shard: i, Gen: 1, Round: 1, Name: fmt.Sprintf("ns1-abcdef-%d-b%d.jsonl", i, i+1)}
		for item := range int64(20_000) {
			if i%2 == 0 || item%100 < 10 {
				x.Items = x.Items.Add(item)
			}
		}
		x.Rows = x.Items.Count()
		remote := nightshift.Batch{ID: fmt.Sprintf("batch_%032d", i), Phase: nightshift.BatchRunning,
			CreatedAt: time.Unix(1e9, 0), ExpiresAt: time.Unix(2e9, 0)}
		storetest.Must(b, g.Planned(x))
		storetest.Must(b, g.Uploaded(x, nightshift.BatchFile{ID: "file"}))
		storetest.Must(b, g.Creating(x, time.Unix(1e9, 0)))
		storetest.Must(b, g.Created(x, remote, false))
		for k := range int64(6) {
			remote.Counts.Completed = nightshift.Tokens(k)
			storetest.Must(b, g.State(x, remote))
		}
	}
	all, err := disk.ReadAll(mem, "/log")
	storetest.Must(b, err)
	return all
}

// BenchmarkBatchInput is what cutting a batch takes: lines of 3 KB to a durable
// input file.
func BenchmarkBatchInput(b *testing.B) {
	r := mustOpen(b, b.TempDir(), identity(1, 1, 1<<24, 1), Options{})
	defer r.Close("stopped")
	line := append(bytes.Repeat([]byte("x"), 3000), '\n')
	const rows = 20_000
	b.SetBytes(rows * int64(len(line)))
	b.ReportAllocs()
	var next int64
	for b.Loop() {
		in, err := r.NewBatch("m0", 0, 1)
		storetest.Must(b, err)
		for range rows {
			storetest.Must(b, in.Add(next, line))
			next++
		}
		_, err = in.Finish(Batch{})
		storetest.Must(b, err)
	}
}
