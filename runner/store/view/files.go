package view

import (
	"iter"
	"os"

	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/parquetfile"
)

// FileBatches yields the rows of one Parquet file of results, wherever it comes
// from: a Parquet file, an export, or a copy that another program wrote. It yields
// several at a time, which are good until the next are asked for. T is as for
// [Rows]; columns that the file lacks read as null. An error ends it: a
// [*DamageError] when the file is no Parquet file that can be read.
func FileBatches[T any](path string) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		for rows, err := range parquetfile.ForeignBatches[T](f) {
			if err != nil {
				err = &rundir.DamageError{Path: path, Err: err}
			}
			if !yield(rows, err) || err != nil {
				return
			}
		}
	}
}

// A ShardFile says where the rows of one shard are to be read.
type ShardFile struct {
	Model       string
	First, Rows int64
	// Path is a whole Parquet file of exactly these rows; empty when some of
	// them are in a journal, and [Rows] must be asked.
	Path string
}

// ShardFiles lists the shards of a run that hold rows, in the order of [Rows].
func ShardFiles(dir string) ([]ShardFile, error) {
	v, err := rundir.Read(disk.OS{}, dir)
	if err != nil {
		return nil, err
	}
	var files []ShardFile
	for key := range v.Chosen(nil, 0, 0) {
		s := v.Info.Chunks[key.Shard]
		u := ShardFile{Model: v.Info.Models[key.Model], First: s.First, Rows: s.Rows}
		parquetFile, j, err := v.OpenShard(key)
		switch {
		case j != nil:
			j.Close()
		case err == nil && parquetFile != nil:
			u.Path = v.Dir.At(rundir.ResultsDir, parquetFile.Name)
		case err == nil:
			continue // nothing there yet
		}
		files = append(files, u)
	}
	return files, nil
}
