package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"nightshift"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
)

// mustOpen opens a run whose Parquet files grow with every record, so that tests of a
// few rows see what happens to many.
func mustOpen(t testing.TB, dir string, id Identity, o Options) *Run {
	t.Helper()
	o.grow = cmp.Or(o.grow, 1)
	if o.ReserveFile == 0 {
		o.ReserveFile = -1
	}
	r, err := Open(dir, id, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSimplePath(t *testing.T) {
	dir := t.TempDir()
	id := identity(2, 2, 5, 2)
	r := mustOpen(t, dir, id, Options{Strict: true})
	for _, m := range id.Models {
		for n := range id.Chunks {
			u, err := r.OpenShard(m, n)
			if err != nil {
				t.Fatal(err)
			}
			s := u.Chunk()
			for row := s.First + s.Rows - 1; row >= s.First; row-- {
				for e := range 2 {
					if err := u.AttemptLog(row, e).Sending(nightshift.Intent{Attempt: 1}); err != nil {
						t.Fatal(err)
					}
					if err := u.Put(storetest.Record(m, row, e)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := u.Commit(); err != nil {
				t.Fatal(err)
			}
			if !r.Committed(m, n) {
				t.Fatal("not committed")
			}
		}
	}
	if got := r.Totals().Sum(); got.Rows != 40 || got.Cost != 40000 {
		t.Fatalf("totals = %+v", got)
	}
	if err := r.Close("finished"); err != nil {
		t.Fatal(err)
	}
	r = mustOpen(t, dir, id, Options{})
	if got := r.Totals().Sum(); got.Rows != 40 || !r.Committed("m1", 1) {
		t.Fatalf("totals after resume = %+v", got)
	}
	r.Close("finished")
}

// long reports whether the long forms of the tests are asked for.
func long() bool { return os.Getenv("NIGHTSHIFT_LONG") != "" }

// identity is a run of the given shape.
func identity(models, shards int, rows int64, epochs int) Identity {
	id := Identity{Name: "test", Tool: "v0", Plan: json.RawMessage(`{"name":"test"}`), PlanHash: "p", DatasetHash: "d",
		Epochs: epochs}
	for m := range models {
		id.Models = append(id.Models, fmt.Sprintf("m%d", m))
	}
	for n := range shards {
		id.Chunks = append(id.Chunks, rundir.Chunk{First: int64(n) * rows, Rows: rows, Hash: sha256.Sum256([]byte{byte(n)})})
	}
	id.DatasetRows = int64(shards) * rows
	return id
}
