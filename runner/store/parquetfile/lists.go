package parquetfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// leafOf finds the column of a field by its name: the field itself, or the
// numbers of a list of that name.
func leafOf(s *parquet.Schema, name string) (parquet.LeafColumn, bool) {
	if leaf, ok := s.Lookup(name); ok {
		return leaf, true
	}
	for _, path := range s.Columns() {
		if path[0] == name {
			leaf, ok := s.Lookup(path...)
			return leaf, ok && leaf.MaxRepetitionLevel == 1
		}
	}
	return parquet.LeafColumn{}, false
}

// isList reports whether a column holds lists of numbers for fields of type t.
func isList(t reflect.Type, leaf parquet.LeafColumn) bool {
	kind := leaf.Node.Type().Kind()
	return leaf.MaxRepetitionLevel == 1 && t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Float32 &&
		(kind == parquet.Float || kind == parquet.Double)
}

// A listCursor goes through the lists of one column of a row group.
type listCursor struct {
	pages  parquet.Pages
	page   parquet.Page
	values parquet.ValueReader
	buf    []parquet.Value
	ready  []parquet.Value // of buf, not yet taken
	row    int64           // that comes next
}

// allNull reports whether the footer says that all values of a column are null.
func allNull(m format.ColumnMetaData) bool {
	return m.NumValues > 0 && m.Statistics.NullCount == m.NumValues
}

// openLists begins at the first row.
func openLists(chunk parquet.ColumnChunk) *listCursor {
	return &listCursor{pages: chunk.Pages(), buf: make([]parquet.Value, 1024)}
}

// fillLists sets the field in n rows, from the row at of the group.
func (c *fieldColumn) fillLists(to place, n int, at int64) error {
	if c.lists == nil {
		return nil
	}
	if at < c.lists.row {
		c.open(c.chunk)
	}
	for c.lists.row < at {
		if _, err := c.lists.next(); err != nil {
			return err
		}
	}
	lists := make([][]float32, n)
	for i := range lists {
		list, err := c.lists.next()
		if err != nil {
			return fmt.Errorf("row %d: %w", c.lists.row, err)
		}
		lists[i] = list
	}
	scatter(to, nil, 0, lists)
	return nil
}

// next returns the list of the next row; nil for a null or an empty one.
func (l *listCursor) next() (list []float32, err error) {
	for first := true; ; first = false {
		v, err := l.peek()
		if first && errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if !errors.Is(err, io.EOF) && err != nil {
			return nil, err
		}
		if err != nil || !first && v.RepetitionLevel() == 0 {
			l.row++
			return list, nil
		}
		if !v.IsNull() {
			number := v.Float()
			if v.Kind() == parquet.Double {
				number = float32(v.Double())
			}
			list = append(list, number)
		}
		l.ready = l.ready[1:]
	}
}

// peek is the next value, which stays the next one; io.EOF behind the last.
func (l *listCursor) peek() (*parquet.Value, error) {
	for len(l.ready) == 0 {
		if l.values == nil {
			page, err := l.pages.ReadPage()
			if err != nil {
				return nil, err
			}
			parquet.Release(l.page)
			l.page, l.values = page, page.Values()
		}
		n, err := l.values.ReadValues(l.buf)
		if l.ready = l.buf[:n]; err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err != nil || n == 0 {
			l.values = nil
		}
	}
	return &l.ready[0], nil
}

// end fails when there are more lists.
func (l *listCursor) end() error {
	if _, err := l.peek(); !errors.Is(err, io.EOF) {
		return cmp.Or(err, fmt.Errorf("it has more than %d lists", l.row))
	}
	return nil
}

func (l *listCursor) close() {
	if l == nil {
		return
	}
	parquet.Release(l.page)
	_ = l.pages.Close()
	l.page = nil
}
