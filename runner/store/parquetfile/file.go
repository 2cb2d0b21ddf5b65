package parquetfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"

	"nightshift/runner/store/internal/disk"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// A File is a Parquet file open for reading. Damaged files make the Parquet
// library panic; every method and function that takes a File turns that into
// an error.
type File struct {
	f  io.ReaderAt
	pf *parquet.File
}

// OpenFile opens a file that this package has written.
func Open(fsys disk.FS, name string) (*File, error) {
	f, err := fsys.Open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	size, err := f.Length()
	if err != nil {
		f.Close()
		return nil, err
	}
	opened, err := openReader(f, size)
	if err != nil {
		f.Close()
		return nil, err
	}
	return opened, nil
}

// openReader reads the footer. It skips the page indexes: nothing here needs
// them, and no checksum covers them.
func openReader(f io.ReaderAt, size int64) (opened *File, err error) {
	defer noPanic(&err)
	pf, err := parquet.OpenFile(f, size,
		parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(1<<15))
	if err == nil {
		err = sound(pf)
	}
	if err != nil {
		return nil, err
	}
	return &File{f, pf}, nil
}

// openForeign opens a file of results that another program may have written.
func openForeign(f *os.File) (opened *File, err error) {
	defer noPanic(&err)
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	pf, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
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
	return &File{f, pf}, nil
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

// Close closes the file.
func (f *File) Close() error {
	if c, ok := f.f.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// NumRows is the number of rows that the footer states.
func (f *File) NumRows() int64 { return f.pf.NumRows() }

// Lookup returns a value of the footer.
func (f *File) Lookup(key string) (string, bool) { return f.pf.Lookup(key) }

// sound reports what is wrong with the structure that a footer describes. A
// damaged footer can send the Parquet library into allocating without end (an
// LZ4 page that is none doubles its buffer until memory is gone). No recover
// stops that, so nothing is decoded before this check.
func sound(pf *parquet.File) error {
	next := int64(len("PAR1"))
	var rows int64
	columns := len(pf.Schema().Columns())
	for i, g := range pf.Metadata().RowGroups {
		rows += g.NumRows
		chunks := g.Columns
		if len(chunks) != columns {
			return fmt.Errorf("damaged footer: row group %d has %d columns of %d", i, len(chunks), columns)
		}
		for _, c := range chunks {
			m := c.MetaData
			start := m.DataPageOffset
			if d := m.DictionaryPageOffset; d != 0 {
				start = min(start, d)
			}
			values := m.NumValues == g.NumRows || len(m.PathInSchema) > 1 && m.NumValues > g.NumRows
			if m.Codec != format.Zstd || start != next || m.TotalCompressedSize < 0 || !values {
				return fmt.Errorf("damaged footer: row group %d, column %v", i, m.PathInSchema)
			}
			next += m.TotalCompressedSize
		}
	}
	if rows != pf.NumRows() {
		return fmt.Errorf("damaged footer: %d rows in groups, %d in all", rows, pf.NumRows())
	}
	if len(pf.Metadata().RowGroups) == 0 {
		next = 0 // the first bytes of a file without rows are written with its footer
	}
	if want, there := pf.Lookup(dataBytes); there && want != strconv.FormatInt(next, 10) {
		return fmt.Errorf("damaged footer: pages end at %d, want %s", next, want)
	}
	return nil
}

// noPanic turns a panic of the Parquet library into an error.
func noPanic(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("damaged Parquet file: %v", p)
	}
}

// Rows yields the rows of the named file as structs with parquet tags.
// Columns that the file lacks read as null. An error ends it.
func Rows[T any](fsys disk.FS, name string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		f, err := Open(fsys, name)
		if err != nil {
			var zero T
			yield(zero, err)
			return
		}
		defer f.Close()
		for row, err := range Read[T](f) {
			if !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// ForeignBatches reads a whole file of results that another program may have
// written, several rows at a time: a batch is good until the next is asked for.
func ForeignBatches[T any](f *os.File) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		opened, err := openForeign(f)
		if err != nil {
			yield(nil, err)
			return
		}
		batches[T](opened, 0, opened.NumRows())(yield)
	}
}

// HashFile returns length and SHA-256 of a file.
func Hash(fsys disk.FS, name string) (size int64, sum string, err error) {
	f, err := fsys.Open(name, os.O_RDONLY)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	if size, err = f.Length(); err != nil {
		return 0, "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, io.NewSectionReader(f, 0, size))
	return size, hex.EncodeToString(h.Sum(nil)), err
}
