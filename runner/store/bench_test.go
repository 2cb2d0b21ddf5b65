package store

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/internal/fsx"
	"nightshift/internal/rawjson"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/view"
)

const benchShard = 20_000

// BenchmarkPut is one record of 3 KB, from Record to written, one caller.
func BenchmarkPut(b *testing.B) {
	id := identity(1, 200, benchShard, 1)
	r := mustOpen(b, b.TempDir(), id, Options{})
	defer r.Close("")
	rng := rand.New(rand.NewPCG(1, 1))
	recs := make([]*nightshift.Record, 64)
	for i := range recs {
		recs[i] = storetest.LargeRecord(rng, "m0", 0)
	}
	var u *Shard
	n := int64(0)
	b.ReportAllocs()
	storetest.ReportCPU(b)
	for b.Loop() {
		if n%benchShard == 0 {
			var err error
			u, err = r.OpenShard("m0", int(n/benchShard))
			storetest.Must(b, err)
		}
		rec := recs[n%64]
		rec.Row = n
		storetest.Must(b, u.Put(rec))
		n++
	}
}

// BenchmarkEncode is the part of Put that needs no lock.
func BenchmarkEncode(b *testing.B) {
	rec := storetest.LargeRecord(rand.New(rand.NewPCG(1, 1)), "m0", 0)
	b.ReportAllocs()
	storetest.ReportCPU(b)
	for b.Loop() {
		kept := records.Repaired(rec)
		line, _ := journal.EncodeRecord(&kept, time.Now())
		b.SetBytes(int64(len(line)))
	}
}

// BenchmarkIntent is the line before every request.
func BenchmarkIntent(b *testing.B) {
	r := mustOpen(b, b.TempDir(), identity(1, 1, benchShard, 1), Options{})
	defer r.Close("")
	u, err := r.OpenShard("m0", 0)
	storetest.Must(b, err)
	w := u.AttemptLog(0, 0)
	b.ReportAllocs()
	storetest.ReportCPU(b)
	for b.Loop() {
		storetest.Must(b, w.Sending(nightshift.Intent{Attempt: 1, WorstTokens: 1000, WorstCost: 100}))
	}
}

// BenchmarkCommit is a shard of 20,000 records of 3 KB, from the last record to
// the listed Parquet file, and the reading of the Parquet file: one that has grown, and one
// that is made of the journal, whose records came in the reverse order.
func BenchmarkCommit(b *testing.B) {
	b.Run("grown", func(b *testing.B) {
		benchmarkCommit(b, Options{}, func(n int64) (row int64) { return n })
	})
	b.Run("late", func(b *testing.B) {
		benchmarkCommit(b, Options{Late: true}, func(n int64) (row int64) { return benchShard - 1 - n })
	})
}

func benchmarkCommit(b *testing.B, o Options, order func(n int64) (row int64)) {
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		r := mustOpen(b, dir, identity(1, 1, benchShard, 1), o)
		u, err := r.OpenShard("m0", 0)
		storetest.Must(b, err)
		rng := rand.New(rand.NewPCG(1, 1))
		for n := range int64(benchShard) {
			storetest.Must(b, u.Put(storetest.LargeRecord(rng, "m0", order(n))))
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		b.StartTimer()
		start := fsx.ProcessorTime()
		storetest.Must(b, u.Commit())
		b.ReportMetric(float64((fsx.ProcessorTime() - start).Milliseconds()), "cpu-ms")
		b.StopTimer()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.Sys-before.Sys)/(1<<20), "MiB-more")
		begun := time.Now()
		type narrow struct {
			Row     int64              `parquet:"row"`
			Outcome nightshift.Outcome `parquet:"outcome,dict"`
			Cost    *int64             `parquet:"cost_nano_usd,optional"`
		}
		n := 0
		for _, err := range view.Rows[narrow](dir, view.ReadOptions{}) {
			storetest.Must(b, err)
			n++
		}
		b.ReportMetric(float64(time.Since(begun).Milliseconds()), "ms/read-3-columns")
		storetest.Must(b, r.Close("finished"))
		b.StartTimer()
	}
}

// BenchmarkResume is a run of 10 M rows of which 9.9 M are done, most of them
// in 494 committed Parquet files, 10,000 in the journal of an open shard: from Open to
// the first intent. ParquetFiles are stood in for by files of the listed sizes, since
// Open does not read what the manifest vouches for.
func BenchmarkResume(b *testing.B) {
	const shards = 500
	dir := b.TempDir()
	id := identity(1, shards, benchShard, 1)
	makeLargeRun(b, dir, id, 494)
	for b.Loop() {
		runtime.GC()
		begun, start := time.Now(), fsx.ProcessorTime()
		r := mustOpen(b, dir, id, Options{})
		u, row := firstOpen(b, r, id)
		storetest.Must(b, u.AttemptLog(row, 0).Sending(nightshift.Intent{Attempt: 1}))
		took, cpu := time.Since(begun), fsx.ProcessorTime()-start
		var mem runtime.MemStats
		runtime.ReadMemStats(&mem)
		b.ReportMetric(float64(cpu.Milliseconds()), "cpu-ms")
		b.ReportMetric(float64(took.Milliseconds()), "ms-to-first-send")
		b.ReportMetric(float64(mem.HeapAlloc)/(1<<20), "MiB-heap")
		b.ReportMetric(float64(mem.Sys)/(1<<20), "MiB-from-the-system")
		if got := r.Totals().Sum().Rows; got != 494*benchShard+benchShard/2 {
			b.Fatalf("%d rows on record", got)
		}
		storetest.Must(b, r.Close("stopped"))
	}
}

func firstOpen(b *testing.B, r *Run, id Identity) (*Shard, int64) {
	for n, s := range id.Chunks {
		if r.Committed("m0", n) {
			continue
		}
		u, err := r.OpenShard("m0", n)
		storetest.Must(b, err)
		for row := s.First; row < s.First+s.Rows; row++ {
			if !u.Done(row, 0) {
				return u, row
			}
		}
	}
	b.Fatal("nothing is open")
	return nil, 0
}

// makeLargeRun lists n shards in the manifest and half-fills the next.
func makeLargeRun(b *testing.B, dir string, id Identity, n int) {
	b.Helper()
	r := mustOpen(b, dir, id, Options{})
	rng := rand.New(rand.NewPCG(1, 1))
	u, err := r.OpenShard("m0", n)
	storetest.Must(b, err)
	for i := range int64(benchShard / 2) {
		row := u.Chunk().First + i
		storetest.Must(b, u.AttemptLog(row, 0).Sending(nightshift.Intent{Attempt: 1}))
		storetest.Must(b, u.Put(storetest.LargeRecord(rng, "m0", row)))
	}
	storetest.Must(b, r.Close("stopped"))
	one := records.ColumnsOf(storetest.Record("m0", 0, 0))
	var tally records.Tally
	for range benchShard {
		t := one.Tally()
		tally.Accumulate(&t, 1)
	}
	var lines []byte
	for shard := range n {
		s := id.Chunks[shard]
		p := rundir.ParquetFile{
			K: rundir.KindParquetFile, Model: "m0", Shard: shard, Gen: 1, Name: rundir.ParquetFileName("m0", shard, 1),
			Size: 20 << 20, SHA256: strings.Repeat("0", 64),
			First: s.First, Rows: s.Rows, Items: s.Rows, CommittedAt: time.Now(), Totals: tally,
		}
		line, _, err := journal.EncodeLine(p)
		storetest.Must(b, err)
		lines = append(lines, line...)
		name := filepath.Join(dir, rundir.ResultsDir, p.Name)
		storetest.Must(b, os.WriteFile(name, nil, 0o600))
		storetest.Must(b, os.Truncate(name, p.Size))
	}
	f, err := os.OpenFile(filepath.Join(dir, rundir.ManifestFile), os.O_APPEND|os.O_WRONLY, 0)
	storetest.Must(b, err)
	_, err = f.Write(lines)
	storetest.Must(b, err)
	storetest.Must(b, f.Close())
}

// BenchmarkScanLine is what taking stock of one record of 3 KB costs.
func BenchmarkScanLine(b *testing.B) {
	kept := records.Repaired(storetest.LargeRecord(rand.New(rand.NewPCG(1, 1)), "m0", 0))
	line, _ := journal.EncodeRecord(&kept, time.Now())
	object, _, _ := journal.CheckLine(line[:len(line)-1])
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	storetest.ReportCPU(b)
	for b.Loop() {
		var l journal.ScannedLine
		storetest.Must(b, rawjson.Unmarshal(object, &l))
	}
}
