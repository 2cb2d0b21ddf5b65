package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"nightshift"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/parquetfile"
	"nightshift/runner/store/view"
)

// A flipped bit in a Parquet file is found by verify, always; a reader gets an error
// or the right values, and never a panic; and a Parquet file that the manifest lacks
// is only adopted when all its values are right.
func TestParquetFileBitFlips(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 20, 1)
	r := mustOpen(t, dir, id, Options{})
	fillShard(t, r, "m0", 0)
	storetest.Must(t, r.Close("finished"))
	var want []nightshift.Record
	for rec, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{}) {
		storetest.Must(t, err)
		want = append(want, rec)
	}
	parquetFile := filepath.Join(dir, rundir.ResultsDir, "m0-000000.parquet")
	whole, err := os.ReadFile(parquetFile)
	storetest.Must(t, err)
	flips := 500
	if long() {
		flips = 40_000
	}
	rng := rand.New(rand.NewPCG(9, 9))
	var refused, adopted int
	for range flips {
		bit := rng.IntN(len(whole) * 8)
		damaged := bytes.Clone(whole)
		damaged[bit/8] ^= 1 << (bit % 8)
		if takeIn(t, damaged, id, r.doc.RunID, want, bit) {
			adopted++
		} else {
			refused++
		}
	}
	t.Logf("%d flips: %d refused, %d without effect on any value", flips, refused, adopted)
	damaged := bytes.Clone(whole)
	damaged[len(damaged)/2] ^= 1
	storetest.Must(t, os.WriteFile(parquetFile, damaged, 0o600))
	if rep, err := view.Verify(dir, false); err != nil || rep.OK() {
		t.Fatalf("Verify = %+v, %v", rep, err)
	}
}

// takeIn treats bytes as a Parquet file that was found, and reports whether it would
// be adopted.
func takeIn(t *testing.T, raw []byte, id Identity, runID string, want []nightshift.Record, bit int) bool {
	t.Helper()
	mem := storetest.NewFS()
	f, err := mem.Open("/part", os.O_CREATE)
	storetest.Must(t, err)
	_, err = f.Write(raw)
	storetest.Must(t, err)
	r := newRun("/", id, Options{fs: mem})
	r.doc.RunID = runID
	readAnyway(t, mem, want)
	if _, err := r.readWholeParquetFile("/part", rundir.Key{}, 1); err != nil {
		return false
	}
	pf, err := parquetfile.Open(mem, "/part")
	storetest.Must(t, err)
	i := 0
	for rec, err := range parquetfile.Read[nightshift.Record](pf) {
		storetest.Must(t, err)
		if !reflect.DeepEqual(rec, want[i]) {
			t.Fatalf("bit %d: adopted with row %d changed: %s", bit, i, storetest.FirstDifference(rec, want[i]))
		}
		i++
	}
	return true
}

// readAnyway reads a Parquet file as Rows does, which trusts the manifest that it is
// whole: whatever is in it, that ends with values or an error.
func readAnyway(t *testing.T, mem *storetest.MemFS, want []nightshift.Record) {
	t.Helper()
	pf, err := parquetfile.Open(mem, "/part")
	if err != nil {
		return
	}
	defer pf.Close()
	n := 0
	for _, err := range parquetfile.Read[nightshift.Record](pf) {
		if n++; err == nil && n > len(want) {
			t.Fatalf("%d rows of %d", n, len(want))
		}
	}
}

// Reading a damaged Parquet file gives an error that says which, and the rows of the
// other shards.
func TestRowsPassOverDamage(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 3, 4, 1)
	r := mustOpen(t, dir, id, Options{})
	for n := range 3 {
		fillShard(t, r, "m0", n)
	}
	storetest.Must(t, r.Close("finished"))
	truncate(t, filepath.Join(dir, rundir.ResultsDir, "m0-000001.parquet"), -9)
	rows, damaged := 0, 0
	for _, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{}) {
		var d *rundir.DamageError
		switch {
		case errors.As(err, &d):
			damaged++
		case err != nil:
			t.Fatal(err)
		default:
			rows++
		}
	}
	if rows != 8 || damaged != 1 {
		t.Fatalf("%d rows and %d errors, want 8 and 1", rows, damaged)
	}
}
