package parquetfile

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"time"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"
)

// A fieldColumn is the column of one field.
type fieldColumn struct {
	name   string
	offset uintptr // of the field in a row
	column int     // of the file
	values filler  // of a column that is no list
	list   bool    // of numbers
	empty  bool    // all values of the row group are null
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
	c.cursor = cursor{pages: chunk.Pages(), top: c.cursor.top}
}

// fill sets the field in n rows, from the row at of the group.
func (c *fieldColumn) fill(to place, n int, at int64) error {
	switch {
	case c.list:
		return c.fillLists(to, n, at)
	case c.empty: // nothing is read where there is nothing
		return nil
	}
	if at < c.cursor.row {
		c.open(c.chunk)
	}
	if err := c.cursor.skip(at - c.cursor.row); err != nil {
		return err
	}
	return c.values.fill(&c.cursor, to, n)
}

// A place is one field of rows that lie one after the other in memory. Fields are
// set through their addresses: the same by reflection takes eight times as long, and
// is most of the time of a report.
type place struct {
	first unsafe.Pointer
	size  uintptr // of a row
}

// placeOf is the field at an offset of rows, which must not be empty.
func placeOf[T any](rows []T, offset uintptr) place {
	return place{unsafe.Add(unsafe.Pointer(&rows[0]), offset), unsafe.Sizeof(rows[0])}
}

// offsetOf is where a field of t is, which may be one of a struct embedded in it.
func offsetOf(t reflect.Type, index []int) (offset uintptr) {
	for _, i := range index {
		f := t.Field(i) // panics where a pointer is embedded
		offset, t = offset+f.Offset, f.Type
	}
	return offset
}

func (p place) from(row int) place {
	return place{unsafe.Add(p.first, uintptr(row)*p.size), p.size}
}

// scatter sets the field in those rows whose level is top; nil levels are all of
// them.
func scatter[V any](to place, levels []byte, top byte, values []V) {
	if levels == nil {
		for i := range values {
			*(*V)(unsafe.Add(to.first, uintptr(i)*to.size)) = values[i]
		}
		return
	}
	next := 0
	for i, level := range levels {
		if level == top {
			*(*V)(unsafe.Add(to.first, uintptr(i)*to.size)) = values[next]
			next++
		}
	}
}

// A filler puts the values of a column into a field of rows.
type filler interface {
	// batch says that what comes next is for another batch of rows.
	batch()
	// fill takes the next n values. Where one is null, the field stays as it is.
	fill(c *cursor, to place, n int) error
}

// typed is the filler of fields of type V, or of pointers to it. V is what lies in
// memory: string for all types of texts.
type typed[V any] struct {
	pointer bool
	read    pageReader[V]
	// Where texts are passing: what comes before each batch, and how dictionaries are
	// read, which outlast it. nil elsewhere.
	begin   func()
	lasting pageReader[V]

	values []V
	to     []*V
	// The dictionary of the page at hand, read once for all pages that share it. Fields
	// that are pointers point into words.
	dictionary parquet.Dictionary
	words      []V
}

// A pageReader appends n values of a page to into, from the one at from, counted
// without nulls.
type pageReader[V any] func(page encoding.Values, from, n int, into []V) ([]V, error)

func (t *typed[V]) batch() {
	if t.begin != nil {
		t.begin()
	}
}

func (t *typed[V]) fill(c *cursor, to place, n int) error {
	for i := 0; i < n; {
		if err := c.more(); err != nil {
			return err
		}
		rows := int(min(c.left, int64(n-i)))
		levels, known := c.levels(rows)
		if known > 0 {
			if err := t.put(c, to.from(i), levels, known); err != nil {
				return c.place(err, levels)
			}
		}
		c.pass(rows, known)
		i += rows
	}
	return nil
}

// put sets the field in rows of which so many are not null.
func (t *typed[V]) put(c *cursor, to place, levels []byte, known int) (err error) {
	switch d := c.page.Dictionary(); {
	case d != nil:
		err = t.look(d, c.page.Data(), c.known, known)
	case t.pointer:
		err = t.own(c.page.Data(), c.known, known)
	default:
		t.values, err = t.read(c.page.Data(), c.known, known, t.values[:0])
	}
	if err != nil {
		return err
	}
	if t.pointer {
		scatter(to, levels, c.top, t.to)
	} else {
		scatter(to, levels, c.top, t.values)
	}
	return nil
}

// own reads values that fields point to: one piece of memory for all of them.
func (t *typed[V]) own(page encoding.Values, from, n int) error {
	own, err := t.read(page, from, n, make([]V, 0, n))
	t.to = t.to[:0]
	for i := range own {
		t.to = append(t.to, &own[i])
	}
	return err
}

// look finds values in their dictionary.
func (t *typed[V]) look(d parquet.Dictionary, page encoding.Values, from, n int) (err error) {
	if d != t.dictionary {
		read := t.read
		if t.lasting != nil {
			read = t.lasting
		}
		if t.words, err = read(d.Page().Data(), 0, d.Len(), nil); err != nil {
			return fmt.Errorf("dictionary: %w", err)
		}
		t.dictionary = d
	}
	t.values, t.to = t.values[:0], t.to[:0]
	for _, p := range page.Int32()[from : from+n] {
		if t.pointer {
			t.to = append(t.to, &t.words[p])
		} else {
			t.values = append(t.values, t.words[p])
		}
	}
	return nil
}

// An unfit is a value that its field cannot hold, counted from the first that was
// asked for, without nulls.
type unfit struct {
	at  int
	why string
}

func (u unfit) Error() string { return u.why }

// place says of which value of the column an error is.
func (c *cursor) place(err error, levels []byte) error {
	u, ok := err.(unfit)
	if !ok {
		return err
	}
	row := u.at
	for i, known := 0, 0; i < len(levels); i++ {
		if levels[i] != c.top {
			continue
		}
		if known == u.at {
			row = i
			break
		}
		known++
	}
	return fmt.Errorf("value %d: %w", c.row+int64(row), err)
}

// valuesFor returns the filler of a field. Files that another program has
// written may hold whole numbers as floating-point ones, and times in other units.
func valuesFor(field reflect.StructField, leaf parquet.LeafColumn) (filler, error) {
	t := field.Type
	pointer := t.Kind() == reflect.Pointer
	if pointer {
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
		read, err := times(leaf)
		return &typed[time.Time]{pointer: pointer, read: read}, err
	case t.Kind() == reflect.String && text && field.Tag.Get("texts") == "passing":
		p := &passing{}
		return &typed[string]{pointer: pointer, read: p.read, begin: p.begin, lasting: texts()}, nil
	case t.Kind() == reflect.String && text:
		return &typed[string]{pointer: pointer, read: texts()}, nil
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && text:
		return &typed[[]byte]{pointer: pointer, read: bodies}, nil
	case t.Kind() == reflect.Int64 && number:
		return &typed[int64]{pointer: pointer, read: wholes}, nil
	case t.Kind() == reflect.Int32 && number:
		return &typed[int32]{pointer: pointer, read: smallWholes}, nil
	case t.Kind() == reflect.Float64 && number:
		return &typed[float64]{pointer: pointer, read: reals}, nil
	case t.Kind() == reflect.Bool && kind == parquet.Boolean:
		return &typed[bool]{pointer: pointer, read: truths}, nil
	}
	return nil, fmt.Errorf("it holds values of type %v, which are no %v", leaf.Node.Type(), t)
}

// bytesAt is a text of a page, which is the page's own.
func bytesAt(page *encoding.Values, i int) []byte {
	if page.Kind() == encoding.FixedLenByteArray {
		all, size := page.FixedLenByteArray()
		return all[i*size : (i+1)*size]
	}
	all, ends := page.ByteArray()
	return all[ends[i]:ends[i+1]]
}

// texts reads texts; equal neighbours share their memory.
func texts() pageReader[string] {
	last := ""
	return func(page encoding.Values, from, n int, into []string) ([]string, error) {
		for i := from; i < from+n; i++ {
			if b := bytesAt(&page, i); string(b) != last {
				last = string(b)
			}
			into = append(into, last)
		}
		return into, nil
	}
}

// passing reads texts into memory that is used again for the batch after the next.
type passing struct {
	now, before []byte
}

func (p *passing) begin() { p.now, p.before = p.before[:0], p.now }

func (p *passing) read(page encoding.Values, from, n int, into []string) ([]string, error) {
	for i := from; i < from+n; i++ {
		b := bytesAt(&page, i)
		if len(b) == 0 {
			into = append(into, "")
			continue
		}
		if cap(p.now)-len(p.now) < len(b) { // what is there stays with those who have it
			p.now = make([]byte, 0, max(2*cap(p.now), len(b), 16<<10))
		}
		p.now = append(p.now, b...)
		into = append(into, unsafe.String(&p.now[len(p.now)-len(b)], len(b)))
	}
	return into, nil
}

func bodies(page encoding.Values, from, n int, into [][]byte) ([][]byte, error) {
	for i := from; i < from+n; i++ {
		into = append(into, append([]byte{}, bytesAt(&page, i)...))
	}
	return into, nil
}

// wholes reads numbers of any type, if they are whole.
func wholes(page encoding.Values, from, n int, into []int64) ([]int64, error) {
	switch page.Kind() {
	case encoding.Int64:
		return append(into, page.Int64()[from:from+n]...), nil
	case encoding.Int32:
		for _, v := range page.Int32()[from : from+n] {
			into = append(into, int64(v))
		}
		return into, nil
	}
	floats, err := reals(page, from, n, nil)
	for i, x := range floats {
		if x != math.Trunc(x) || math.Abs(x) > 1<<53 {
			return nil, unfit{i, fmt.Sprintf("%v is no whole number", x)}
		}
		into = append(into, int64(x))
	}
	return into, err
}

func smallWholes(page encoding.Values, from, n int, into []int32) ([]int32, error) {
	if page.Kind() == encoding.Int32 {
		return append(into, page.Int32()[from:from+n]...), nil
	}
	large, err := wholes(page, from, n, nil)
	for i, v := range large {
		if v != int64(int32(v)) {
			return nil, unfit{i, fmt.Sprintf("%d is too large", v)}
		}
		into = append(into, int32(v))
	}
	return into, err
}

// reals reads numbers of any type.
func reals(page encoding.Values, from, n int, into []float64) ([]float64, error) {
	switch page.Kind() {
	case encoding.Double:
		return append(into, page.Double()[from:from+n]...), nil
	case encoding.Float:
		for _, v := range page.Float()[from : from+n] {
			into = append(into, float64(v))
		}
		return into, nil
	}
	numbers, err := wholes(page, from, n, nil)
	for _, v := range numbers {
		into = append(into, float64(v))
	}
	return into, err
}

func truths(page encoding.Values, from, n int, into []bool) ([]bool, error) {
	bits := page.Boolean()
	for i := from; i < from+n; i++ {
		into = append(into, bits[i/8]>>(i%8)&1 == 1)
	}
	return into, nil
}

// times reads times in the unit of a column.
func times(leaf parquet.LeafColumn) (pageReader[time.Time], error) {
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
	return func(page encoding.Values, from, n int, into []time.Time) ([]time.Time, error) {
		for _, v := range page.Int64()[from : from+n] {
			into = append(into, time.Unix(v/perSecond, v%perSecond*unit).UTC())
		}
		return into, nil
	}, nil
}
