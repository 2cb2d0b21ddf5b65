package parquetfile

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"reflect"
	"sync"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// Rows are put together column by column: the reader that comes with
// parquet-go goes from columns to rows of values, to rows of the asked-for
// columns, to structs, and takes ten times as long.

// Read yields the rows of an open file. Every row owns its memory.
func Read[T any](f *File) iter.Seq2[T, error] {
	return ReadRange[T](f, 0, f.NumRows())
}

// ReadRange is [Read] from row from up to row to, which is excluded. While the
// rows of a batch are used, those of the next are read.
func ReadRange[T any](f *File, from, to int64) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		r, err := NewReader[T](f)
		if err != nil {
			yield(zero, err)
			return
		}
		defer r.Close()
		batches, stop := r.ahead(from, to)
		defer stop()
		for b := range batches {
			if b.err != nil {
				yield(zero, b.err)
				return
			}
			for i := range b.rows {
				if !yield(b.rows[i], nil) {
					return
				}
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
		c := &fieldColumn{name: name, field: field.Index, column: leaf.ColumnIndex}
		if c.list = isList(field.Type, leaf); c.list {
			r.columns = append(r.columns, c)
			continue
		}
		if c.set, err = setterOf(field.Type, leaf); err != nil {
			return nil, fmt.Errorf("column %s: %w", name, err)
		}
		r.columns = append(r.columns, c)
	}
	r.batch = batchOf(pf, r.columns)
	return r, nil
}

// batchBytes is about what a batch of rows may take in memory.
const batchBytes = 4 << 20

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
		return BatchRows
	}
	return max(1, min(BatchRows, int64(float64(batchBytes)/float64(bytes)*float64(pf.NumRows()))))
}

// Read fills the batch with the rows from row on. Going forward is cheap,
// going back is not.
func (r *Reader[T]) Read(batch []T, row int64) (err error) {
	defer noPanic(&err)
	for done := 0; done < len(batch); {
		if err := r.goTo(row); err != nil {
			return err
		}
		at := row - r.first
		n := int(min(int64(len(batch)-done), r.groups[r.group].NumRows()-at))
		rows := reflect.ValueOf(batch[done : done+n])
		for _, c := range r.columns {
			if err := c.fill(rows, at); err != nil {
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

// A fieldColumn is the column of one field.
type fieldColumn struct {
	name   string
	field  []int  // of T
	column int    // of the file
	set    setter // of a column that is no list
	list   bool   // of numbers
	empty  bool   // all values of the row group are null
	chunk  parquet.ColumnChunk
	cursor cursor
	lists  *listCursor // nil where all lists are null
}

func (c *fieldColumn) open(chunk parquet.ColumnChunk) {
	c.cursor.close()
	if c.chunk = chunk; c.list {
		c.lists.close()
		if c.lists = nil; !c.empty { // nothing is read where there is nothing
			c.lists = openLists(chunk)
		}
		return
	}
	c.cursor = cursor{pages: chunk.Pages(), buf: c.cursor.buf}
}

// fill sets the field in all rows, a slice of T, from the row at of the group.
func (c *fieldColumn) fill(rows reflect.Value, at int64) error {
	switch {
	case c.list:
		return c.fillLists(rows, at)
	case c.empty: // nothing is read where there is nothing
		return nil
	}
	if at < c.cursor.row {
		c.open(c.chunk)
	}
	if err := c.cursor.skip(at - c.cursor.row); err != nil {
		return err
	}
	n := rows.Len()
	field := func(i int) reflect.Value { return rows.Index(i).FieldByIndex(c.field) }
	if field(0).Kind() != reflect.Pointer {
		return c.cursor.each(n, func(i int, v *parquet.Value) error {
			if v.IsNull() {
				return nil
			}
			return c.set(field(i), v)
		})
	}
	var behind reflect.Value // one piece of memory for what the pointers of these rows point to
	return c.cursor.each(n, func(i int, v *parquet.Value) error {
		if v.IsNull() {
			return nil
		}
		if !behind.IsValid() {
			behind = reflect.MakeSlice(reflect.SliceOf(field(0).Type().Elem()), n, n)
		}
		field(i).Set(behind.Index(i).Addr())
		return c.set(behind.Index(i), v)
	})
}

// A setter puts a value that is not null into a field, or into what a field
// points to.
type setter func(to reflect.Value, v *parquet.Value) error

// setterOf returns the setter for fields of type t. Files that another program
// has written may hold whole numbers as floating-point ones, and times in
// other shards.
func setterOf(t reflect.Type, leaf parquet.LeafColumn) (setter, error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	kind := leaf.Node.Type().Kind()
	if leaf.MaxRepetitionLevel > 0 {
		return nil, errors.New("it holds lists")
	}
	number := kind == parquet.Int32 || kind == parquet.Int64 || kind == parquet.Float || kind == parquet.Double
	text := kind == parquet.ByteArray || kind == parquet.FixedLenByteArray
	switch {
	case t == reflect.TypeFor[time.Time]() && kind == parquet.Int64:
		return timeSetter(leaf)
	case t.Kind() == reflect.String && text:
		last := "" // equal neighbours share their memory
		return func(to reflect.Value, v *parquet.Value) error {
			if b := v.ByteArray(); string(b) != last {
				last = string(b)
			}
			to.SetString(last)
			return nil
		}, nil
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && text:
		return func(to reflect.Value, v *parquet.Value) error {
			to.SetBytes(append([]byte{}, v.ByteArray()...))
			return nil
		}, nil
	case (t.Kind() == reflect.Int64 || t.Kind() == reflect.Int32) && number:
		return func(to reflect.Value, v *parquet.Value) error {
			n, err := whole(v)
			if err == nil && to.OverflowInt(n) {
				err = fmt.Errorf("%d is too large", n)
			}
			to.SetInt(n)
			return err
		}, nil
	case t.Kind() == reflect.Float64 && number:
		return func(to reflect.Value, v *parquet.Value) error {
			to.SetFloat(real64(v))
			return nil
		}, nil
	case t.Kind() == reflect.Bool && kind == parquet.Boolean:
		return func(to reflect.Value, v *parquet.Value) error {
			to.SetBool(v.Boolean())
			return nil
		}, nil
	}
	return nil, fmt.Errorf("it holds values of type %v, which are no %v", leaf.Node.Type(), t)
}

func timeSetter(leaf parquet.LeafColumn) (setter, error) {
	logical := leaf.Node.Type().LogicalType()
	if logical == nil {
		return nil, errors.New("it holds numbers, which are no times")
	}
	stamp, ok := logical.Value.(*format.TimestampType)
	if !ok || stamp.Unit.Value == nil {
		return nil, fmt.Errorf("it holds values of type %v, which are no times", leaf.Node.Type())
	}
	unit := int64(stamp.Unit.Value.Duration())
	perSecond := int64(time.Second) / unit
	return func(to reflect.Value, v *parquet.Value) error {
		n := v.Int64()
		*to.Addr().Interface().(*time.Time) = time.Unix(n/perSecond, n%perSecond*unit).UTC()
		return nil
	}, nil
}

// real64 is a number of any type.
func real64(v *parquet.Value) float64 {
	switch v.Kind() {
	case parquet.Double:
		return v.Double()
	case parquet.Float:
		return float64(v.Float())
	case parquet.Int32:
		return float64(v.Int32())
	}
	return float64(v.Int64())
}

// whole is a number of any type, if it is whole.
func whole(v *parquet.Value) (int64, error) {
	switch v.Kind() {
	case parquet.Int64:
		return v.Int64(), nil
	case parquet.Int32:
		return int64(v.Int32()), nil
	}
	x := real64(v)
	if x != math.Trunc(x) || math.Abs(x) > 1<<53 {
		return 0, fmt.Errorf("%v is no whole number", x)
	}
	return int64(x), nil
}

// A cursor goes through the values of one column of a row group. The column
// has one value a row.
type cursor struct {
	pages  parquet.Pages
	page   parquet.Page // nil between two
	values parquet.ValueReader
	left   int64 // values of the page that are still to come
	row    int64 // that comes next
	buf    []parquet.Value
}

// each calls use with the next n values, which are good until use returns.
func (c *cursor) each(n int, use func(i int, v *parquet.Value) error) error {
	if c.buf == nil {
		c.buf = make([]parquet.Value, BatchRows)
	}
	for i := 0; i < n; {
		if err := c.more(); err != nil {
			return err
		}
		got, err := c.values.ReadValues(c.buf[:min(len(c.buf), n-i)])
		if got == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF // the page said that it had more
			}
			return err
		}
		c.left, c.row = c.left-int64(got), c.row+int64(got)
		for k := range got {
			if err := use(i+k, &c.buf[k]); err != nil {
				return fmt.Errorf("value %d: %w", c.row-int64(got-k), err)
			}
		}
		i += got
	}
	return nil
}

// skip passes over the next n values.
func (c *cursor) skip(n int64) error {
	for n > 0 {
		if err := c.more(); err != nil {
			return err
		}
		step := min(n, c.left)
		if step < c.left {
			rows := c.page.NumRows()
			rest := c.page.Slice(rows-c.left+step, rows)
			c.setPage(rest)
		} else {
			c.left = 0
		}
		n, c.row = n-step, c.row+step
	}
	return nil
}

// end fails when there are more values.
func (c *cursor) end() error {
	if err := c.fetch(); !errors.Is(err, io.EOF) {
		return cmp.Or(err, fmt.Errorf("it has more than %d values", c.row))
	}
	return nil
}

// more is fetch where there have to be values.
func (c *cursor) more() error {
	err := c.fetch()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("it ends after %d values: %w", c.row, io.ErrUnexpectedEOF)
	}
	return err
}

// fetch makes sure that the page at hand has values left. It fails with
// io.EOF when the column has none.
func (c *cursor) fetch() error {
	for c.left == 0 {
		page, err := c.pages.ReadPage()
		if err != nil {
			return err
		}
		c.setPage(page)
	}
	return nil
}

func (c *cursor) setPage(page parquet.Page) {
	parquet.Release(c.page)
	c.page, c.values, c.left = page, page.Values(), page.NumRows()
}

func (c *cursor) close() {
	if c.pages == nil {
		return
	}
	parquet.Release(c.page)
	c.pages.Close()
	c.page, c.pages = nil, nil
}
