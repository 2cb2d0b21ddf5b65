package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"nightshift"
)

// WriteScores writes scores/<name>.parquet, whole or not at all, in place of
// any that is there. It holds a batch of scores at a time. It needs no lock;
// of two writers of one name the later wins. name is a plain name without an
// ending. An error from scores ends the writing, and the old file stays.
func WriteScores(dir, name string, scores iter.Seq2[nightshift.Score, error]) error {
	return writeScores(osFS{}, paths(dir), name, scores)
}

func writeScores(fsys fileSystem, dir paths, name string, scores iter.Seq2[nightshift.Score, error]) error {
	if name == "" || name != plainName(name) {
		return fmt.Errorf("store: %q is no name for a score table: letters, digits, dot, dash and underscore only", name)
	}
	if err := fsys.mkdir(dir.at(scoresDir)); err != nil {
		return storageError("creating", dir.at(scoresDir), err)
	}
	final := dir.at(scoresDir, name+".parquet")
	tmp := dir.at(scoresDir, "."+name+"."+rand.Text()+".tmp")
	err := fillScores(fsys, tmp, scores)
	if err == nil {
		err = storageError("writing", final, fsys.replace(tmp, final))
	}
	if err != nil {
		_ = fsys.remove(tmp)
		return err
	}
	return storageError("writing", final, fsys.syncDir(dir.at(scoresDir)))
}

func fillScores(fsys fileSystem, name string, scores iter.Seq2[nightshift.Score, error]) error {
	w, err := createParquet(fsys, name, map[string]string{"schema_version": schemaVersion}, weighScore)
	if err != nil {
		return storageError("writing", name, err)
	}
	defer w.close()
	for s, err := range scores {
		if err != nil {
			return err
		}
		if err := w.add(repairScore(s)); err != nil {
			return storageError("writing", name, err)
		}
	}
	return storageError("writing", name, w.finish())
}

func weighScore(s *nightshift.Score) int64 {
	n := int64(200)
	for _, p := range []*string{s.Answer, s.Explanation} {
		if p != nil {
			n += int64(len(*p))
		}
	}
	return n
}

// ScoreTables returns the names of the score tables of a run, sorted.
func ScoreTables(dir string) ([]string, error) { return scoreTables(osFS{}, paths(dir)) }

func scoreTables(fsys fileSystem, dir paths) ([]string, error) {
	files, err := fsys.list(dir.at(scoresDir))
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
	return readScores(osFS{}, paths(dir), tables)
}

func readScores(fsys fileSystem, dir paths, tables []string) iter.Seq2[nightshift.Score, error] {
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
			for s, err := range fileRows[nightshift.Score](fsys, path) {
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
	return fileRows[T](osFS{}, paths(dir).at(scoresDir, table+".parquet"))
}

// fileRows yields the rows of one Parquet file.
func fileRows[T any](fsys fileSystem, path string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		f, pf, err := openParquetFile(fsys, path)
		if err != nil {
			var zero T
			yield(zero, err)
			return
		}
		defer f.Close()
		for row, err := range readParquetFile[T](pf) {
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}
