package view

import (
	"fmt"
	"iter"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/parquetfile"
	"slices"
)

// At yields the rows on record of one model at some rows of the dataset, each
// with all its epochs, in the order of the dataset. It is [Rows] for rows that
// are far apart: the run is looked at once, each Parquet file is opened once, and only
// the pages that hold the rows are read.
func At[T any](dir, model string, rows []int64) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		project, err := projection[T]()
		if err != nil {
			yield(zero, err)
			return
		}
		v, err := rundir.Read(disk.OS{}, dir)
		if err != nil {
			yield(zero, err)
			return
		}
		m := slices.Index(v.Info.Models, model)
		if m < 0 {
			yield(zero, fmt.Errorf("the run has no model %q", model))
			return
		}
		rows = slices.Compact(slices.Sorted(slices.Values(rows)))
		for n, s := range v.Info.Chunks {
			from, _ := slices.BinarySearch(rows, s.First)
			to, _ := slices.BinarySearch(rows, s.First+s.Rows)
			if from == to {
				continue
			}
			here := rows[from:to]
			c := choice[T]{
				parquetFile: func(parquetFile *rundir.ParquetFile, s rundir.Chunk, yield func(T) bool) error {
					return parquetFileAt(v, parquetFile, s, here, yield)
				},
				wanted: func(row int64) bool {
					_, found := slices.BinarySearch(here, row)
					return found
				},
			}
			if !shardRows(v, rundir.Key{Model: m, Shard: n}, c, project, yield) {
				return
			}
		}
	}
}

func parquetFileAt[T any](v *rundir.Snapshot, parquetFile *rundir.ParquetFile, s rundir.Chunk, rows []int64,
	yield func(T) bool) error {
	f, err := parquetfile.Open(v.FS, v.Dir.At(rundir.ResultsDir, parquetFile.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := parquetfile.NewReader[T](f)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, row := range rows {
		from, to, err := within(v, f, s, ReadOptions{From: row, To: row + 1})
		if err != nil {
			return err
		}
		batch := make([]T, max(0, to-from)) // all epochs of the row
		if err := r.Read(batch, from); err != nil {
			return err
		}
		for i := range batch {
			if !yield(batch[i]) {
				return nil
			}
		}
	}
	return nil
}
