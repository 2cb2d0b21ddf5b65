package scoring

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"nightshift"
	"nightshift/reports/scorers"
	"nightshift/runner/store"
)

// TestOrderIsBoundByBytes: rows that are large go one by one, and what is under
// way stays within the bounds, whatever the number of cores.
func TestOrderIsBoundByBytes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	for _, size := range []int64{1, 5_000, 500_000, 3 * heldBytes} {
		var held, most atomic.Int64
		rows := func(yield func(int64, error) bool) {
			for i := range int64(600) {
				held.Add(size)
				if !yield(i, nil) {
					return
				}
			}
		}
		next := int64(0)
		for i, err := range inOrder(rows, func(*int64) int64 { return size },
			func(i int64) (int64, error) { return i, nil }) {
			if err != nil || i != next {
				t.Fatalf("row %d comes where %d is due, %v", i, next, err)
			}
			next++
			most.Store(max(most.Load(), held.Load()))
			held.Add(-size)
		}
		if limit := max(heldBytes, size) + 2*max(batchBytes, size); next != 600 || most.Load() > limit {
			t.Errorf("rows of %d bytes: %d rows, %d bytes at once, at most %d are meant", size, next, most.Load(),
				limit)
		}
	}
}

// TestScoringMemory scores answers to long documents: what is in memory does
// not depend on how many there are, and prompts are not read.
func TestScoringMemory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	const rows = 400
	document := strings.Repeat("many words of a long document ", 8<<10) // some 240 kB
	id := store.Identity{Name: "run", Plan: []byte(`{}`), PlanHash: "p", DatasetHash: "d", DatasetRows: rows,
		Models: []string{"m"}, Chunks: []store.Chunk{{Rows: rows}}}
	st, err := store.Open(dir, id, store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	u, err := st.OpenShard("m", 0)
	if err != nil {
		t.Fatal(err)
	}
	target := "yes"
	for row := range int64(rows) {
		input, text := fmt.Sprint(row, document), fmt.Sprint(row, document, " yes")
		if err := u.Put(&nightshift.Record{Row: row, ID: fmt.Sprint(row), Model: "m", Outcome: nightshift.OutcomeOK,
			Text: &text, Input: &input, Metadata: &input, Target: &target}); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := st.Close("finished"); err != nil {
		t.Fatal(err)
	}

	runtime.GC() // what writing the run has left,
	runtime.GC() // and what was in pools
	scorer, err := scorers.New(scorers.Spec{Type: "includes"})
	if err != nil {
		t.Fatal(err)
	}
	pure := Pure(scorer)
	var most, seen, prompts atomic.Int64
	sampled := func(ctx context.Context, rec *nightshift.Record) (scorers.Result, error) {
		if rec.Input != nil || rec.Metadata != nil {
			prompts.Add(1)
		}
		if seen.Add(1)%50 == 0 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most.Store(max(most.Load(), int64(m.HeapAlloc)))
		}
		return pure(ctx, rec)
	}
	tallies, err := Write(t.Context(), dir, Describe(scorer), sampled)
	if err != nil || len(tallies) != 1 || tallies[0].Scored != rows {
		t.Fatalf("%+v, %v", tallies, err)
	}
	if prompts.Load() > 0 {
		t.Errorf("%d prompts were read for a scorer that does not look at them", prompts.Load())
	}
	// Read ahead without a bound it would hold all of them, with prompts and
	// metadata three times as much; what stays is a few batches and buffers.
	if most.Load() > int64(rows*len(document)) {
		t.Errorf("%d MiB were in memory for answers of %d MiB", most.Load()>>20, rows*len(document)>>20)
	}
	t.Logf("at most %d MiB", most.Load()>>20)
}
