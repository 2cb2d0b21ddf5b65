package view

import (
	"errors"
	"os"
	"path/filepath"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/parquetfile"
)

// WriteOpen writes the rows of a run that are still in a journal into a Parquet file like those of
// results, and returns how many there are. Without any there is no file, also where there was one.
func WriteOpen(dir, file string) (rows int64, err error) {
	file, err = filepath.Abs(file)
	if err != nil {
		return 0, err
	}
	shards, err := ShardFiles(dir)
	if err != nil {
		return 0, err
	}
	part := file + ".part"
	if err := errors.Join(removed(part), removed(file)); err != nil {
		return 0, err
	}
	var w *parquetfile.RecordWriter
	for _, s := range shards {
		if s.Path != "" {
			continue
		}
		o := ReadOptions{Models: []string{s.Model}, From: s.First, To: s.First + s.Rows}
		for rec, err := range Rows[nightshift.Record](dir, o) {
			if err == nil && w == nil {
				w, err = parquetfile.CreateRecords(disk.OS{}, part, parquetfile.Meta{})
			}
			if err == nil {
				err = w.Add(&rec)
			}
			if err != nil {
				if w != nil {
					w.Drop()
				}
				return 0, err
			}
		}
	}
	if w == nil {
		return 0, nil
	}
	rows = w.Items()
	if _, _, err := w.Finish(); err != nil {
		return 0, errors.Join(err, os.Remove(part))
	}
	return rows, os.Rename(part, file)
}

// removed removes a file that may not be there.
func removed(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
