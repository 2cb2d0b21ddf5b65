package parquetfile

import (
	"fmt"
	"iter"
	"reflect"
	"sync"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// Rows are put together column by column: the reader that comes with
// parquet-go goes from columns to rows of values, to rows of the asked-for
// columns, to structs, and takes thirty times as long.

// Read yields the rows of an open file. Every row owns its memory, but for texts of
// fields with the tag texts:"passing": they are good until the next row is asked for,
// and whoever wants to keep one clones it. That saves the memory of texts that are
// only looked at.
func Read[T any](f *File) iter.Seq2[T, error] {
	return ReadRange[T](f, 0, f.NumRows())
}

// ReadRange is [Read] from row from up to row to, which is excluded.
func ReadRange[T any](f *File, from, to int64) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for rows, err := range batches[T](f, from, to) {
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for i := range rows {
				if !yield(rows[i], nil) {
					return
				}
			}
		}
	}
}

// batches is [ReadRange] of several rows at a time. A batch is good until the next
// is asked for: while one is used, the next is read. An error ends it.
func batches[T any](f *File, from, to int64) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		r, err := NewReader[T](f)
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Close()
		read, stop := r.ahead(from, to)
		defer stop()
		for b := range read {
			if b.err != nil {
				yield(nil, b.err)
				return
			}
			if !yield(b.rows, nil) {
				return
			}
		}
	}
}

// A batch is rows that were read together.
type batch[T any] struct {
	rows []T
	err  error // why reading ended
}

// ahead reads the rows of a range in batches, one ahead of its user. stop ends
// it and returns when nothing is read any more.
func (r *Reader[T]) ahead(from, to int64) (batches <-chan batch[T], stop func()) {
	out, stopped := make(chan batch[T]), make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(out)
		var room [2][]T // one is read while the other is used
		for row := from; row < to; {
			n := min(r.batch, to-row)
			if int64(cap(room[0])) < n {
				room[0] = make([]T, n)
			}
			b := batch[T]{rows: room[0][:n]}
			clear(b.rows)
			b.err = r.Read(b.rows, row)
			select {
			case out <- b:
			case <-stopped:
				return
			}
			if b.err != nil {
				return
			}
			room[0], room[1] = room[1], room[0]
			row += n
		}
	})
	return out, func() { close(stopped); reading.Wait() }
}

// A Reader reads rows into structs with parquet tags. Columns that the file
// lacks read as null; fields of an embedded struct count as T's own. It belongs
// to one goroutine.
type Reader[T any] struct {
	groups  []parquet.RowGroup
	meta    []format.RowGroup // of the groups, as the footer has it
	group   int               // that the columns are of
	first   int64             // row of it
	columns []*fieldColumn
	batch   int64 // rows that are best read at a time
}

// NewReader prepares to read the columns that T names.
func NewReader[T any](f *File) (r *Reader[T], err error) {
	defer noPanic(&err)
	pf := f.pf
	r = &Reader[T]{groups: pf.RowGroups(), meta: pf.Metadata().RowGroups, group: -1}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		name, ok := ColumnName(field)
		if !ok {
			continue
		}
		leaf, ok := leafOf(pf.Schema(), name)
		if !ok {
			continue
		}
		c := &fieldColumn{name: name, offset: offsetOf(reflect.TypeFor[T](), field.Index), column: leaf.ColumnIndex,
			list: isList(field.Type, leaf)}
		c.cursor.top = byte(leaf.MaxDefinitionLevel)
		if !c.list {
			if c.values, err = valuesFor(field, leaf); err != nil {
				return nil, fmt.Errorf("column %s: %w", name, err)
			}
		}
		r.columns = append(r.columns, c)
	}
	r.batch = batchOf(pf, r.columns)
	return r, nil
}

// batchRows is how many rows are read at a time, and batchBytes about what they may
// take in memory.
const (
	batchRows  = 512
	batchBytes = 4 << 20
)

// batchOf is how many rows of a file are read at a time: fewer where those
// columns of it that are read are large.
func batchOf(pf *parquet.File, columns []*fieldColumn) int64 {
	var bytes int64
	for _, g := range pf.Metadata().RowGroups {
		for _, c := range columns {
			bytes += g.Columns[c.column].MetaData.TotalUncompressedSize
		}
	}
	if bytes <= 0 {
		return batchRows
	}
	return max(1, min(batchRows, int64(float64(batchBytes)/float64(bytes)*float64(pf.NumRows()))))
}

// Read fills the batch with the rows from row on. Going forward is cheap,
// going back is not. Passing texts are good until the Read after the next.
func (r *Reader[T]) Read(batch []T, row int64) (err error) {
	defer noPanic(&err)
	for _, c := range r.columns {
		if c.values != nil {
			c.values.batch()
		}
	}
	for done := 0; done < len(batch); {
		if err := r.goTo(row); err != nil {
			return err
		}
		at := row - r.first
		n := int(min(int64(len(batch)-done), r.groups[r.group].NumRows()-at))
		for _, c := range r.columns {
			if err := c.fill(placeOf(batch[done:done+n], c.offset), n, at); err != nil {
				return fmt.Errorf("column %s: %w", c.name, err)
			}
		}
		done, row = done+n, row+int64(n)
	}
	return nil
}

// goTo opens the columns of the row group that a row is in.
func (r *Reader[T]) goTo(row int64) error {
	first := int64(0)
	for i, g := range r.groups {
		if row < first+g.NumRows() {
			if i != r.group {
				r.group, r.first = i, first
				for _, c := range r.columns {
					c.empty = allNull(r.meta[i].Columns[c.column].MetaData)
					c.open(g.ColumnChunks()[c.column])
				}
			}
			return nil
		}
		first += g.NumRows()
	}
	return fmt.Errorf("damaged Parquet file: it has %d rows, row %d is missing", first, row)
}

// Close releases what the reader holds.
func (r *Reader[T]) Close() {
	for _, c := range r.columns {
		c.cursor.close()
		c.lists.close()
	}
}
