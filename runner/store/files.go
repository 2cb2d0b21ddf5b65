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
		for row, err := range readPart[T](pf) {
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
