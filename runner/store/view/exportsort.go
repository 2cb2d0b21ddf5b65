package view

import (
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/parquetfile"
)

// defaultsortBytes is how much of a score table in another order than that of
// the rows is sorted in memory at a time.
const defaultsortBytes = 32 << 20

func keyOf(s *nightshift.Score) scoreKey { return scoreKey{s.Model, s.Row, s.Epoch} }

// sort yields scores in the order of Rows. Pieces of about limit bytes are
// sorted in memory and kept in temporary files, which are then merged. Scores
// of models that the run does not have are left out.
func (t *joinTable) sort(rows iter.Seq2[nightshift.Score, error], limit int64) iter.Seq2[nightshift.Score, error] {
	return func(yield func(nightshift.Score, error) bool) {
		dir, err := os.MkdirTemp("", "nightshift-export-*")
		if err != nil {
			yield(nightshift.Score{}, err)
			return
		}
		defer func() { _ = os.RemoveAll(dir) }() // temporary files are the system's to clean up
		files, err := t.sortPieces(rows, limit, dir)
		if err != nil {
			yield(nightshift.Score{}, err)
			return
		}
		t.merge(files, yield)
	}
}

// sortPieces writes the scores as sorted files and returns their names.
func (t *joinTable) sortPieces(rows iter.Seq2[nightshift.Score, error], limit int64, dir string) (files []string,
	err error) {
	var piece []nightshift.Score
	var size int64
	flush := func() error {
		slices.SortStableFunc(piece, func(a, b nightshift.Score) int { return t.compare(keyOf(&a), keyOf(&b)) })
		name := filepath.Join(dir, fmt.Sprintf("%d.parquet", len(files)))
		files = append(files, name)
		err := parquetfile.WriteScores(disk.OS{}, name, func(yield func(nightshift.Score, error) bool) {
			for _, s := range piece {
				if !yield(s, nil) {
					return
				}
			}
		})
		piece, size = piece[:0], 0
		return err
	}
	for s, err := range rows {
		if err != nil {
			return files, err
		}
		if _, known := t.order[s.Model]; !known {
			continue
		}
		piece = append(piece, s)
		if size += parquetfile.WeighScore(&s); size >= limit {
			if err := flush(); err != nil {
				return files, err
			}
		}
	}
	if len(piece) > 0 {
		err = flush()
	}
	return files, err
}

// merge yields the scores of sorted files in order; of equal keys those of the
// earlier file come first.
func (t *joinTable) merge(files []string, yield func(nightshift.Score, error) bool) {
	heads := make([]*nightshift.Score, len(files))
	next := make([]func() (nightshift.Score, error, bool), len(files))
	advance := func(i int) error {
		s, err, ok := next[i]()
		heads[i] = nil
		if ok && err == nil {
			heads[i] = &s
		}
		return err
	}
	var problems error
	for i, name := range files {
		n, stop := iter.Pull2(parquetfile.Rows[nightshift.Score](disk.OS{}, name))
		defer stop()
		next[i] = n
		problems = errors.Join(problems, advance(i))
	}
	for problems == nil {
		first := -1
		for i, h := range heads {
			if h != nil && (first < 0 || t.less(keyOf(h), keyOf(heads[first]))) {
				first = i
			}
		}
		if first < 0 || !yield(*heads[first], nil) {
			return
		}
		problems = advance(first)
	}
	yield(nightshift.Score{}, problems)
}
