package view

import (
	"errors"
	"io/fs"
	"iter"
	"strings"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/parquetfile"
)

// ScoreTables returns the names of the score tables of a run, sorted.
func ScoreTables(dir string) ([]string, error) { return scoreTables(disk.OS{}, rundir.Dir(dir)) }

func scoreTables(fsys disk.FS, dir rundir.Dir) ([]string, error) {
	files, err := fsys.List(dir.At(rundir.ScoresDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f, ".parquet"); ok && !strings.HasPrefix(f, ".") {
			names = append(names, name)
		}
	}
	return names, err
}

// Scores yields the scores of the named tables, of all tables when none is
// named, in the order in which they were written. An error ends it.
func Scores(dir string, tables ...string) iter.Seq2[nightshift.Score, error] {
	return readScores[nightshift.Score](disk.OS{}, rundir.Dir(dir), tables)
}

// AllScores is [Scores] of all tables, as structs like those of [ScoreRows].
func AllScores[T any](dir string) iter.Seq2[T, error] {
	return readScores[T](disk.OS{}, rundir.Dir(dir), nil)
}

func readScores[T any](fsys disk.FS, dir rundir.Dir, tables []string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if len(tables) == 0 {
			var err error
			if tables, err = scoreTables(fsys, dir); err != nil {
				var none T
				yield(none, err)
				return
			}
		}
		for _, name := range tables {
			path := dir.At(rundir.ScoresDir, name+".parquet")
			for s, err := range parquetfile.Rows[T](fsys, path) {
				if err != nil {
					err = &rundir.DamageError{Path: path, Err: err}
				}
				if !yield(s, err) || err != nil {
					return
				}
			}
		}
	}
}

// ScoreRows yields the scores of one table as structs whose fields carry
// parquet tags of [nightshift.Score]; only the columns that it names are read.
// An error ends it; it is fs.ErrNotExist when there is no such table.
func ScoreRows[T any](dir, table string) iter.Seq2[T, error] {
	return parquetfile.Rows[T](disk.OS{}, rundir.Dir(dir).At(rundir.ScoresDir, table+".parquet"))
}

// ScoresAt yields the rows of one score table at some places in it, counted
// from 0 and rising. T is as for [ScoreRows]. An error ends it.
func ScoresAt[T any](dir, table string, places []int64) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		f, err := parquetfile.Open(disk.OS{}, rundir.Dir(dir).At(rundir.ScoresDir, table+".parquet"))
		if err != nil {
			yield(zero, err)
			return
		}
		defer f.Close()
		r, err := parquetfile.NewReader[T](f)
		if err != nil {
			yield(zero, err)
			return
		}
		defer r.Close()
		for _, place := range places {
			one := make([]T, 1)
			if place < 0 || place >= f.NumRows() {
				continue // the table was written anew meanwhile
			}
			if err := r.Read(one, place); !yield(one[0], err) || err != nil {
				return
			}
		}
	}
}

// ScoresOf yields the scores of the rows that are wanted, of all tables and in their
// order. T is as for [ScoreRows]; of the other rows only their numbers are read. An
// error ends it, a [*DamageError] where it is a table that is damaged.
func ScoresOf[T any](dir string, wanted func(row int64, epoch int32) bool) iter.Seq2[T, error] {
	type place struct {
		Row   int64 `parquet:"row"`
		Epoch int32 `parquet:"epoch"`
	}
	return func(yield func(T, error) bool) {
		var none T
		tables, err := ScoreTables(dir)
		if err != nil {
			yield(none, err)
			return
		}
		for _, table := range tables {
			var places []int64
			at := int64(0)
			for p, err := range readScores[place](disk.OS{}, rundir.Dir(dir), []string{table}) {
				if err != nil {
					yield(none, err)
					return
				}
				if wanted(p.Row, p.Epoch) {
					places = append(places, at)
				}
				at++
			}
			for s, err := range ScoresAt[T](dir, table, places) {
				if err != nil {
					err = &rundir.DamageError{Path: rundir.Dir(dir).At(rundir.ScoresDir, table+".parquet"), Err: err}
				}
				if !yield(s, err) || err != nil {
					return
				}
			}
		}
	}
}

// A ScoredRecord is a record with its scores by scorer; those it has.
type ScoredRecord struct {
	nightshift.Record
	Scores map[string]*nightshift.Score
}

// Scored yields the rows on record of a run, in the order of [Rows], with what every
// score table says of them.
func Scored(dir string, o ReadOptions) iter.Seq2[ScoredRecord, error] {
	return func(yield func(ScoredRecord, error) bool) {
		tables, err := ScoreTables(dir)
		if err != nil {
			yield(ScoredRecord{}, err)
			return
		}
		j, err := openJoins(disk.OS{}, rundir.Dir(dir), tables, 0)
		if err != nil {
			yield(ScoredRecord{}, err)
			return
		}
		defer j.close()
		for rec, err := range Rows[nightshift.Record](dir, o) {
			one := ScoredRecord{Record: rec, Scores: map[string]*nightshift.Score{}}
			if err == nil {
				var scores []*nightshift.Score
				scores, err = j.of(&rec)
				for i, s := range scores {
					if s != nil {
						one.Scores[j.scorers[i]] = s
					}
				}
			}
			if !yield(one, err) || err != nil {
				return
			}
		}
	}
}
