package store

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// FileRows yields the rows of one Parquet file of results, wherever it comes
// from: a part, an export, or a copy that another program wrote. T is as for
// [Rows]; columns that the file lacks read as null. An error ends it: a
// [*DamageError] when the file is no Parquet file that can be read.
func FileRows[T any](path string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		f, err := os.Open(path)
		if err != nil {
			yield(zero, err)
			return
		}
		defer f.Close()
		pf, err := openForeign(f)
		if err != nil {
			yield(zero, &DamageError{Path: path, Err: err})
			return
		}
		for row, err := range readParquetFile[T](pf) {
			if err != nil {
				err = &DamageError{Path: path, Err: err}
			}
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// openForeign opens a file that need not be laid out as ours are.
func openForeign(f *os.File) (pf *parquet.File, err error) {
	defer noPanic(&err)
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	pf, err = parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	for _, g := range pf.Metadata().RowGroups {
		for _, c := range g.Columns {
			if err := readable(c.MetaData); err != nil {
				return nil, err
			}
		}
	}
	if _, there := pf.Schema().Lookup("outcome"); !there {
		return nil, errors.New("it has no column outcome: not a file of results")
	}
	return pf, nil
}

// readable refuses codecs whose damaged pages can make the reader allocate
// without end.
func readable(m format.ColumnMetaData) error {
	switch m.Codec {
	case format.Zstd, format.Snappy, format.Gzip, format.Uncompressed:
		return nil
	}
	return fmt.Errorf("column %v is compressed with %v: write it with zstd or snappy", m.PathInSchema, m.Codec)
}

// A ShardFile says where the rows of one unit are to be read.
type ShardFile struct {
	Model       string
	First, Rows int64
	// Path is a whole Parquet file of exactly these rows; empty when some of
	// them are in a journal, and [Rows] must be asked.
	Path string
}

// ShardFiles lists the units of a run that hold rows, in the order of [Rows].
func ShardFiles(dir string) ([]ShardFile, error) {
	v, err := openView(osFS{}, dir)
	if err != nil {
		return nil, err
	}
	var files []ShardFile
	for key := range v.chosen(ReadOptions{}) {
		s := v.info.Chunks[key.shard]
		u := ShardFile{Model: v.info.Models[key.model], First: s.First, Rows: s.Rows}
		parquetFile, j, err := v.openShard(key)
		switch {
		case j != nil:
			j.close()
		case err == nil && parquetFile != nil:
			u.Path = v.dir.at(resultsDir, parquetFile.Name)
		case err == nil:
			continue // nothing there yet
		}
		files = append(files, u)
	}
	return files, nil
}
