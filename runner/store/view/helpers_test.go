package view

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"nightshift"
	"nightshift/runner/store"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
)

// identity is a run of the given shape.
func identity(models, shards int, rows int64, epochs int) store.Identity {
	id := store.Identity{Name: "test", Tool: "v0", Plan: json.RawMessage(`{"name":"test"}`), PlanHash: "p",
		DatasetHash: "d", Epochs: epochs}
	for m := range models {
		id.Models = append(id.Models, fmt.Sprintf("m%d", m))
	}
	for n := range shards {
		id.Chunks = append(id.Chunks, rundir.Chunk{First: int64(n) * rows, Rows: rows, Hash: sha256.Sum256([]byte{byte(n)})})
	}
	id.DatasetRows = int64(shards) * rows
	return id
}

// collect reads a run into item → text or outcome.
func collect(t testing.TB, dir string, o ReadOptions) map[string]string {
	t.Helper()
	type row struct {
		Model   string             `parquet:"model,dict"`
		Row     int64              `parquet:"row"`
		Epoch   int32              `parquet:"epoch"`
		Outcome nightshift.Outcome `parquet:"outcome,dict"`
		Text    *string            `parquet:"text,optional"`
	}
	got := map[string]string{}
	for r, err := range Rows[row](dir, o) {
		storetest.Must(t, err)
		name := itemName(r.Model, r.Row, int(r.Epoch))
		if _, twice := got[name]; twice {
			t.Fatalf("%s is there twice", name)
		}
		got[name] = string(r.Outcome)
		if r.Text != nil {
			got[name] = *r.Text
		}
	}
	return got
}

// fillShard puts a record of every open item on record and commits the shard.
func fillShard(t testing.TB, r *store.Run, model string, n int) {
	t.Helper()
	u, err := r.OpenShard(model, n)
	storetest.Must(t, err)
	s := u.Chunk()
	for row := s.First; row < s.First+s.Rows; row++ {
		for e := range 1 {
			if !u.Done(row, e) {
				storetest.Must(t, u.Put(storetest.Record(model, row, e)))
			}
		}
	}
	storetest.Must(t, u.Commit())
}

func flipBit(t testing.TB, name string, at int) {
	t.Helper()
	b, err := os.ReadFile(name)
	storetest.Must(t, err)
	b[at] ^= 4
	storetest.Must(t, os.WriteFile(name, b, 0o600))
}

// kill ends a run as the end of its process would: the directory is left with
// what had been written until then. It fails when closing the run would have
// left the same, for then it shows nothing.
func kill(t testing.TB, dir string, r *store.Run) {
	t.Helper()
	left := filepath.Join(t.TempDir(), "left")
	storetest.Must(t, os.CopyFS(left, os.DirFS(dir)))
	before, err := os.ReadFile(filepath.Join(dir, rundir.RunFile))
	storetest.Must(t, err)
	storetest.Must(t, r.Close("closed"))
	after, err := os.ReadFile(filepath.Join(dir, rundir.RunFile))
	storetest.Must(t, err)
	if bytes.Equal(before, after) {
		t.Fatal("a closed run looks like one that was killed")
	}
	storetest.Must(t, os.RemoveAll(dir))
	storetest.Must(t, os.Rename(left, dir))
}

func itemName(model string, row int64, epoch int) string {
	return fmt.Sprintf("%s/%d/%d", model, row, epoch)
}

// mustOpen opens a run without a reserve file.
func mustOpen(t testing.TB, dir string, id store.Identity, o store.Options) *store.Run {
	t.Helper()
	o.ReserveFile = -1
	r, err := store.Open(dir, id, o)
	storetest.Must(t, err)
	return r
}
