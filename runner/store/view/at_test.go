package view

import (
	"fmt"
	"math/rand/v2"
	"nightshift/runner/store"
	"nightshift/runner/store/internal/testdata/storetest"
	"slices"
	"testing"
)

type placed struct {
	Row   int64 `parquet:"row"`
	Epoch int32 `parquet:"epoch"`
}

// A part of a slice that is used in part holds fewer rows than the slice:
// stretches of it are found by the rows, not by their number.
func TestRowsOfChunksUsedInParquetFile(t *testing.T) {
	dir := t.TempDir()
	id := identity(2, 3, 20, 2)
	used := func(row int64) bool { return row%3 == 1 && row != 22 }
	for i := range id.Chunks {
		s := &id.Chunks[i]
		for row := s.First; row < s.First+s.Rows; row++ {
			if !used(row) {
				s.Skipped++
			}
		}
	}
	r := mustOpen(t, dir, id, store.Options{})
	for _, m := range id.Models {
		for n, s := range id.Chunks {
			u, err := r.OpenShard(m, n)
			storetest.Must(t, err)
			for row := s.First; row < s.First+s.Rows; row++ {
				for e := range 2 {
					if used(row) {
						storetest.Must(t, u.Put(storetest.Record(m, row, e)))
					}
				}
			}
			if n < 2 { // the last stays open
				storetest.Must(t, u.Commit())
			}
		}
	}
	storetest.Must(t, r.Close("stopped: test"))

	want := func(has func(int64) bool) (list []placed) {
		for row := range id.DatasetRows {
			if used(row) && has(row) {
				list = append(list, placed{row, 0}, placed{row, 1})
			}
		}
		return list
	}
	for from := int64(0); from < 60; from += 7 {
		for to := from + 1; to <= 60; to += 5 {
			var got []placed
			for p, err := range Rows[placed](dir, ReadOptions{Models: []string{"m1"}, From: from, To: to}) {
				storetest.Must(t, err)
				got = append(got, p)
			}
			if w := want(func(row int64) bool { return row >= from && row < to }); !slices.Equal(got, w) {
				t.Fatalf("rows %d to %d: %v, want %v", from, to, got, w)
			}
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		var rows []int64
		for range rng.IntN(9) {
			rows = append(rows, rng.Int64N(62))
		}
		var got []placed
		for p, err := range At[placed](dir, "m0", rows) {
			storetest.Must(t, err)
			got = append(got, p)
		}
		if w := want(func(row int64) bool { return slices.Contains(rows, row) }); !slices.Equal(got, w) {
			t.Fatalf("at %v: %v, want %v", rows, got, w)
		}
	}
	for _, err := range At[placed](dir, "nobody", []int64{1}) {
		if err == nil || fmt.Sprint(err) != `the run has no model "nobody"` {
			t.Errorf("At of no model: %v", err)
		}
	}
}
