package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/parquetfile"
)

// WriteScores writes scores/<name>.parquet, whole or not at all, in place of
// any that is there. It holds a batch of scores at a time. It needs no lock;
// of two writers of one name the later wins. name is a plain name without an
// ending. An error from scores ends the writing, and the old file stays.
func WriteScores(dir, name string, scores iter.Seq2[nightshift.Score, error]) error {
	return writeScores(disk.OS{}, paths(dir), name, scores)
}

func writeScores(fsys disk.FS, dir paths, name string, scores iter.Seq2[nightshift.Score, error]) error {
	if name == "" || name != plainName(name) {
		return fmt.Errorf("store: %q is no name for a score table: letters, digits, dot, dash and underscore only", name)
	}
	if err := fsys.Mkdir(dir.at(scoresDir)); err != nil {
		return disk.Wrap("creating", dir.at(scoresDir), err)
	}
	final := dir.at(scoresDir, name+".parquet")
	tmp := dir.at(scoresDir, "."+name+"."+rand.Text()+".tmp")
	err := parquetfile.WriteScores(fsys, tmp, scores)
	if err == nil {
		err = disk.Wrap("writing", final, fsys.Replace(tmp, final))
	}
	if err != nil {
		_ = fsys.Remove(tmp)
		return err
	}
	return disk.Wrap("writing", final, fsys.SyncDir(dir.at(scoresDir)))
}

// ScoreTables returns the names of the score tables of a run, sorted.
func ScoreTables(dir string) ([]string, error) { return scoreTables(disk.OS{}, paths(dir)) }

func scoreTables(fsys disk.FS, dir paths) ([]string, error) {
	files, err := fsys.List(dir.at(scoresDir))
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
	return readScores(disk.OS{}, paths(dir), tables)
}

func readScores(fsys disk.FS, dir paths, tables []string) iter.Seq2[nightshift.Score, error] {
	return func(yield func(nightshift.Score, error) bool) {
		if len(tables) == 0 {
			var err error
			if tables, err = scoreTables(fsys, dir); err != nil {
				yield(nightshift.Score{}, err)
				return
			}
		}
		for _, name := range tables {
			path := dir.at(scoresDir, name+".parquet")
			for s, err := range parquetfile.Rows[nightshift.Score](fsys, path) {
				if err != nil {
					err = &DamageError{Path: path, Err: err}
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
	return parquetfile.Rows[T](disk.OS{}, paths(dir).at(scoresDir, table+".parquet"))
}
