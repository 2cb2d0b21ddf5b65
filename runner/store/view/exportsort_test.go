package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"nightshift"
	"nightshift/runner/store"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
)

// TestExportSortsTables: a table in no order is joined as one in the order of
// the rows, in pieces of bounded size, and leaves no temporary file.
func TestExportSortsTables(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	dir, _ := mixedRun(t)
	var list []nightshift.Score
	for rec, err := range Rows[nightshift.Record](dir, ReadOptions{}) {
		storetest.Must(t, err)
		for n, scorer := range []string{"a", "b"} {
			s := score(rec.Model, rec.Row, scorer, storetest.Ptr(float64(10*rec.Row)+float64(n)))
			s.Epoch = rec.Epoch
			list = append(list, s)
		}
	}
	want := exported(t, dir, list, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	mixed := append([]nightshift.Score{score("not of this run", 3, "a", storetest.Ptr(0.5))}, list...)
	rng.Shuffle(len(mixed), func(i, k int) { mixed[i], mixed[k] = mixed[k], mixed[i] })
	for _, limit := range []int64{1, 1000, 1 << 20} {
		if got := exported(t, dir, mixed, limit); got != want {
			t.Errorf("sorted by pieces of %d bytes:\n%s\nwant\n%s", limit, got, want)
		}
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// exported is the table of scores joined to the rows, as text.
func exported(t *testing.T, dir string, scores []nightshift.Score, sortBytes int64) string {
	t.Helper()
	storetest.Must(t, store.WriteScores(dir, "both", scoresOf(scores...)))
	var out bytes.Buffer
	_, err := Export(dir, &out, FormatJSONL, ExportOptions{sortBytes: sortBytes})
	storetest.Must(t, err)
	text := ""
	for dec := json.NewDecoder(&out); dec.More(); {
		var l struct {
			Model  string
			Row    int64
			Epoch  int
			Scores map[string]struct{ Value float64 }
		}
		storetest.Must(t, dec.Decode(&l))
		text += fmt.Sprintln(l)
	}
	return text
}

// An export that fails at one table lets go of those that it has opened.
func TestExportClosesTables(t *testing.T) {
	dir, _ := mixedRun(t)
	storetest.Must(t, store.WriteScores(dir, "a", scoresOf(score("m0", 0, "a", storetest.Ptr(1.0)))))
	storetest.Must(t, os.WriteFile(filepath.Join(dir, rundir.ScoresDir, "b.parquet"), []byte("no table"), 0o600))
	before := runtime.NumGoroutine()
	for range 20 {
		if _, err := Export(dir, &bytes.Buffer{}, FormatJSONL, ExportOptions{}); err == nil {
			t.Fatal("a damaged table was exported")
		}
	}
	if now := runtime.NumGoroutine(); now >= before+20 {
		t.Errorf("%d goroutines before, %d after", before, now)
	}
}
