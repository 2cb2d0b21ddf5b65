package source

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/words"
)

// parquetRows reads a Parquet file as rows of JSON. Positions count rows.
type parquetRows struct {
	f    *os.File
	rows parquet.Rows
	tree *column
	buf  []parquet.Row
	cols []cursor
	pos  int64
	end  int64 // the row at which to stop
	max  int   // bytes of a row
	done bool
}

// openParquet reads the rows from pos up to end.
func openParquet(f *File, pos, end int64, max int) (p *parquetRows, err error) {
	raw, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = damaged(r)
		}
		if err != nil {
			raw.Close()
		}
	}()
	info, err := raw.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkFooter(raw, info.Size()); err != nil {
		return nil, err
	}
	pf, err := parquet.OpenFile(raw, info.Size(), parquet.SkipBloomFilters(true), parquet.SkipPageIndex(true))
	if err != nil {
		return nil, &FileError{what: "not a readable Parquet file: " + err.Error(), hint: "was the file cut?", Err: err}
	}
	tree, err := columnTree(pf.Schema())
	if err != nil {
		return nil, err
	}
	p = &parquetRows{f: raw, rows: parquet.MultiRowGroup(pf.RowGroups()...).Rows(), tree: tree,
		buf: make([]parquet.Row, 64), cols: make([]cursor, len(pf.Schema().Columns())), pos: pos, end: end, max: max}
	if pos > 0 {
		err = p.rows.SeekToRow(pos)
	}
	return p, err
}

// checkFooter compares the footer's length with the file's before the library
// allocates as much as it says.
func checkFooter(f *os.File, size int64) error {
	tail := make([]byte, 8)
	if size < 12 {
		return &FileError{what: "not a readable Parquet file", hint: "was the file cut?"}
	}
	if _, err := f.ReadAt(tail, size-8); err != nil {
		return err
	}
	if string(tail[4:]) != "PAR1" || int64(binary.LittleEndian.Uint32(tail)) > size-12 {
		return &FileError{what: "not a readable Parquet file: its end is missing", hint: "was the file cut?"}
	}
	return nil
}

func damaged(cause any) error {
	return &FileError{what: fmt.Sprintf("the Parquet file is damaged: %v", cause)}
}

func (p *parquetRows) Close() error {
	err := p.rows.Close()
	if e := p.f.Close(); err == nil {
		err = e
	}
	return err
}

func (p *parquetRows) Next(b *Batch) (err error) {
	defer func() {
		if r := recover(); r != nil { // the library panics on some damaged files
			err = damaged(r)
		}
	}()
	b.Pos, b.Rows, b.Blank, b.Data = p.pos, b.Rows[:0], 0, b.Data[:0]
	for len(b.Data) < BatchBytes && len(b.Rows) < 4096 && p.pos < p.end && !p.done {
		n, err := p.rows.ReadRows(p.buf[:min(int64(len(p.buf)), p.end-p.pos)])
		for _, row := range p.buf[:n] {
			p.add(b, row)
		}
		if err == io.EOF {
			p.done = true
		} else if err != nil {
			return &FileError{line: p.pos + 1, what: "the Parquet file cannot be read from here on: " + err.Error(),
				Err: err}
		}
	}
	if len(b.Rows) == 0 {
		return io.EOF
	}
	return nil
}

// add appends a row to the batch; the newline behind it makes the hashed
// content the same as that of a file of JSON lines.
func (p *parquetRows) add(b *Batch, row parquet.Row) {
	for i := range p.cols {
		p.cols[i] = cursor{}
	}
	row.Range(func(i int, values []parquet.Value) bool {
		p.cols[i] = cursor{values: values}
		return true
	})
	start := len(b.Data)
	b.Data = p.tree.append(b.Data, p.cols)
	p.pos++
	r := Span{Start: int32(start), End: int32(len(b.Data)), Line: p.pos}
	if len(b.Data)-start > p.max {
		r.Unreadable = &problem.Reason{What: "the row is longer than " + words.Bytes(int64(p.max)),
			Hint: "raise the limit on rows"}
		r.End = r.Start
		b.Data = b.Data[:start]
	}
	b.Rows = append(b.Rows, r)
	b.Data = append(b.Data, '\n')
}

// A cursor walks over one leaf column's values of one row.
type cursor struct {
	values []parquet.Value
	next   int
}

// def is the definition level of the next value; -1 when there is none.
func (c *cursor) def() int {
	if c.next >= len(c.values) {
		return -1
	}
	return c.values[c.next].DefinitionLevel()
}

func (c *cursor) repeats(level int) bool {
	return c.next < len(c.values) && c.values[c.next].RepetitionLevel() == level
}

// A column is one node of the schema, with what is needed to put rows
// together again from their columns (the record assembly of the Dremel paper).
type column struct {
	name     string
	leaf     int // index of the first leaf at or below the node
	leaves   int
	def, rep int // levels at which the node is there
	optional bool
	repeated bool
	list     *column // the element, for a LIST
	key, val *column // for a MAP
	children []*column
	write    func(out []byte, v parquet.Value) []byte // for a leaf
}

func columnTree(schema *parquet.Schema) (*column, error) {
	leaf := 0
	return newColumn(schema, "", 0, 0, &leaf)
}

func newColumn(n parquet.Node, name string, def, rep int, leaf *int) (*column, error) {
	c := &column{name: name, leaf: *leaf, optional: n.Optional(), repeated: n.Repeated()}
	if c.optional || c.repeated {
		def++
	}
	if c.repeated {
		rep++
	}
	c.def, c.rep = def, rep
	if n.Leaf() {
		c.write, c.leaves = leafWriter(n.Type()), 1
		*leaf++
		return c, nil
	}
	for _, f := range n.Fields() {
		child, err := newColumn(f, f.Name(), def, rep, leaf)
		if err != nil {
			return nil, err
		}
		c.children = append(c.children, child)
	}
	c.leaves = *leaf - c.leaf
	if c.leaves == 0 {
		return nil, &FileError{what: "the Parquet column " + words.Quote(name) + " is an empty group"}
	}
	c.annotate(n.Type().LogicalType())
	return c, nil
}

// annotate recognises the groups that stand for lists and maps.
func (c *column) annotate(t *format.LogicalType) {
	if t == nil || len(c.children) != 1 || !c.children[0].repeated {
		return
	}
	inner := c.children[0]
	switch t.Value.(type) {
	case *format.ListType:
		c.list = inner
		if len(inner.children) == 1 && inner.list == nil && inner.key == nil {
			c.list = inner.children[0]
		}
	case *format.MapType:
		if len(inner.children) == 2 {
			c.key, c.val = inner.children[0], inner.children[1]
		}
	}
}

func (c *column) append(out []byte, cols []cursor) []byte {
	first := &cols[c.leaf]
	switch {
	case c.optional && first.def() < c.def:
		c.pass(cols)
		return append(out, "null"...)
	case c.repeated:
		return c.appendRepeated(out, cols, c, c.appendOne)
	}
	return c.appendOne(out, cols)
}

// appendOne writes one value, knowing that it is there.
func (c *column) appendOne(out []byte, cols []cursor) []byte {
	switch {
	case c.write != nil:
		cur := &cols[c.leaf]
		if cur.next >= len(cur.values) {
			return append(out, "null"...)
		}
		v := cur.values[cur.next]
		cur.next++
		if v.IsNull() {
			return append(out, "null"...)
		}
		return c.write(out, v)
	case c.list != nil && c.list == c.children[0]:
		return c.list.append(out, cols)
	case c.list != nil:
		return c.appendRepeated(out, cols, c.children[0], c.list.append)
	case c.key != nil:
		return c.appendMap(out, cols)
	}
	out = append(out, '{')
	for i, child := range c.children {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(rowjson.AppendQuoted(out, child.name), ':')
		out = child.append(out, cols)
	}
	return append(out, '}')
}

func (c *column) appendRepeated(out []byte, cols []cursor, r *column, one func([]byte, []cursor) []byte) []byte {
	first := &cols[r.leaf]
	out = append(out, '[')
	if first.def() < r.def {
		r.pass(cols)
		return append(out, ']')
	}
	for {
		out = one(out, cols)
		if !first.repeats(r.rep) {
			return append(out, ']')
		}
		out = append(out, ',')
	}
}

func (c *column) appendMap(out []byte, cols []cursor) []byte {
	entry := c.children[0]
	first := &cols[entry.leaf]
	out = append(out, '{')
	if first.def() < entry.def {
		entry.pass(cols)
		return append(out, '}')
	}
	for {
		key := c.key.append(nil, cols)
		if len(key) == 0 || key[0] != '"' {
			key = rowjson.Quote(string(key))
		}
		out = append(append(out, key...), ':')
		out = c.val.append(out, cols)
		if !first.repeats(entry.rep) {
			return append(out, '}')
		}
		out = append(out, ',')
	}
}

// pass moves all leaves below the node over one missing value.
func (c *column) pass(cols []cursor) {
	for i := c.leaf; i < c.leaf+c.leaves; i++ {
		cols[i].next++
	}
}

// leafWriter says how values of a type look in JSON: numbers exactly, times as
// RFC 3339, bytes that are not text as base64.
func leafWriter(t parquet.Type) func([]byte, parquet.Value) []byte {
	if lt := t.LogicalType(); lt != nil {
		switch lt := lt.Value.(type) {
		case *format.DateType:
			return appendDate
		case *format.TimestampType:
			return timestampWriter(lt)
		case *format.TimeType:
			return timeWriter(lt)
		case *format.DecimalType:
			return func(out []byte, v parquet.Value) []byte { return appendDecimal(out, v, int(lt.Scale)) }
		case *format.IntType:
			if !lt.IsSigned {
				return appendUnsigned
			}
		case *format.StringType, *format.EnumType:
			return appendText
		case *format.JsonType:
			return func(out []byte, v parquet.Value) []byte { return append(out, v.ByteArray()...) }
		case *format.UUIDType:
			return appendUUID
		}
	}
	if t.Kind() == parquet.Int96 {
		return appendInt96
	}
	return appendPlain
}

// appendInt96 writes the old form of timestamps that Spark, Hive and Impala
// make: nanoseconds of the day, and the Julian day.
func appendInt96(out []byte, v parquet.Value) []byte {
	const epoch = 2_440_588 // the Julian day of 1970-01-01
	n := v.Int96()
	nanos, day := int64(uint64(n[1])<<32|uint64(n[0])), int64(n[2])
	return rowjson.AppendQuoted(out, time.Unix((day-epoch)*86400, nanos).UTC().Format(time.RFC3339Nano))
}

// timeWriter writes a time of the day.
func timeWriter(t *format.TimeType) func([]byte, parquet.Value) []byte {
	unit := time.Millisecond
	switch t.Unit.Value.(type) {
	case *format.MicroSeconds:
		unit = time.Microsecond
	case *format.NanoSeconds:
		unit = time.Nanosecond
	}
	return func(out []byte, v parquet.Value) []byte {
		n := int64(0)
		if v.Kind() == parquet.Int32 {
			n = int64(v.Int32())
		} else {
			n = v.Int64()
		}
		return rowjson.AppendQuoted(out, time.Unix(0, 0).UTC().Add(time.Duration(n)*unit).Format("15:04:05.999999999"))
	}
}

func appendDate(out []byte, v parquet.Value) []byte {
	return rowjson.AppendQuoted(out, time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly))
}

// appendText leaves bad UTF-8 for the check of rows to find.
func appendText(out []byte, v parquet.Value) []byte {
	return rowjson.AppendQuoted(out, string(v.ByteArray()))
}

func appendUUID(out []byte, v parquet.Value) []byte {
	b := v.ByteArray()
	if len(b) != 16 {
		return appendPlain(out, v)
	}
	return fmt.Appendf(out, `"%x-%x-%x-%x-%x"`, b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func timestampWriter(t *format.TimestampType) func([]byte, parquet.Value) []byte {
	at := time.UnixMilli
	switch t.Unit.Value.(type) {
	case *format.MicroSeconds:
		at = time.UnixMicro
	case *format.NanoSeconds:
		at = func(n int64) time.Time { return time.Unix(0, n) }
	}
	return func(out []byte, v parquet.Value) []byte {
		return rowjson.AppendQuoted(out, at(v.Int64()).UTC().Format(time.RFC3339Nano))
	}
}

func appendUnsigned(out []byte, v parquet.Value) []byte {
	if v.Kind() == parquet.Int32 {
		return strconv.AppendUint(out, uint64(v.Uint32()), 10)
	}
	return strconv.AppendUint(out, v.Uint64(), 10)
}

func appendPlain(out []byte, v parquet.Value) []byte {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.AppendBool(out, v.Boolean())
	case parquet.Int32:
		return strconv.AppendInt(out, int64(v.Int32()), 10)
	case parquet.Int64:
		return strconv.AppendInt(out, v.Int64(), 10)
	case parquet.Float:
		return appendFloat(out, float64(v.Float()), 32)
	case parquet.Double:
		return appendFloat(out, v.Double(), 64)
	case parquet.ByteArray, parquet.FixedLenByteArray:
		b := v.ByteArray()
		if utf8.Valid(b) {
			return rowjson.AppendQuoted(out, string(b))
		}
		return rowjson.AppendQuoted(out, base64.StdEncoding.EncodeToString(b))
	}
	return rowjson.AppendQuoted(out, v.String())
}

// appendFloat writes NaN and infinities as null: JSON has no word for them.
func appendFloat(out []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(out, "null"...)
	}
	return strconv.AppendFloat(out, f, 'g', -1, bits)
}
