package source

import (
	"bytes"
	"io"

	"nightshift/datasets/internal/problem"
	"nightshift/datasets/internal/rowjson"
	"nightshift/internal/words"
)

const (
	BatchBytes = 256 << 10 // a batch grows beyond it only for one long row

	// DefaultMaxLine is the longest row in bytes, where nothing else is said.
	DefaultMaxLine = 16 << 20
)

// A Span is one row inside a batch.
type Span struct {
	Start, End int32 // in batch.data
	Line       int64
	Unreadable *problem.Reason // why the row cannot be read at all; usually nil
}

// A Batch is a contiguous piece of one file, with the rows that start in it.
// Pieces follow each other without gaps, so that hashing them hashes the file.
type Batch struct {
	Pos   int64 // of data, in the file's own count: bytes, or rows for Parquet
	Data  []byte
	Rows  []Span
	Blank int64 // lines
}

func (b *Batch) Text(r Span) []byte { return b.Data[r.Start:r.End] }

// A splitter cuts a stream into rows. next fills b (pos, data, rows, blank)
// and returns io.EOF when nothing is left. A *fileError concerns the whole file.
type splitter interface {
	Next(b *Batch) error
}

// textSplitter cuts r, which begins at pos of the file's content, into batches
// of about size bytes; partial says that it ends before the file does.
func textSplitter(f *File, r io.Reader, pos, line int64, size, limit int, partial bool) splitter {
	switch f.Format {
	case JSON:
		c := &arrayCutter{state: '['}
		if pos > 0 {
			c.state = 'v'
		}
		return &chunks{r: r, c: c, size: size, max: limit, pos: pos, line: line, partial: partial}
	case csv, tsv, semicolon:
		c := &csvCutter{tsv: f.Format == tsv, columns: len(f.Header) - 1}
		records := &chunks{r: r, c: c, size: size, max: limit, pos: pos, line: line, partial: partial}
		return &headerSplitter{splitter: records, seen: pos > 0}
	}
	return &lines{r: r, size: size, max: limit, pos: pos, line: line}
}

// lines splits at newlines. A row longer than max is passed over in constant
// memory.
type lines struct {
	r        io.Reader
	size     int // of a usual batch
	max      int
	pos      int64
	line     int64 // of the next row, 1-based
	carry    []byte
	skipping bool
	done     bool
}

func (l *lines) Next(b *Batch) error {
	b.Pos, b.Rows, b.Blank = l.pos, b.Rows[:0], 0
	b.Data = append(b.Data[:0], l.carry...)
	l.carry = l.carry[:0]
	size := l.size
	for {
		if err := l.fill(b, size); err != nil {
			return err
		}
		if len(b.Data) == 0 {
			return io.EOF
		}
		if l.skipping {
			l.skip(b)
			break
		}
		end := bytes.LastIndexByte(b.Data, '\n') + 1
		if l.done {
			end = len(b.Data)
		}
		if end > 0 {
			l.keep(b, end)
			l.cut(b)
			break
		}
		if len(b.Data) > l.max+2 {
			b.Rows = append(b.Rows, l.tooLong(0))
			l.skipping = true
			break
		}
		size = min(2*size, l.max+3) // +3: the line's end, and one byte too many
	}
	l.pos += int64(len(b.Data))
	return nil
}

// fill reads until data holds size bytes or the stream ends.
func (l *lines) fill(b *Batch, size int) error {
	var err error
	b.Data, l.done, err = fill(l.r, b.Data, size, l.done)
	return err
}

func fill(r io.Reader, data []byte, size int, done bool) ([]byte, bool, error) {
	if done || len(data) >= size {
		return data, done, nil
	}
	n := len(data)
	if cap(data) < size {
		data = append(make([]byte, 0, size), data...)
	}
	got, err := io.ReadFull(r, data[n:size])
	data = data[:n+got]
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return data, true, nil // streams report their own errors as *fileError
	}
	return data, false, err
}

// keep leaves what stands behind end for the next batch.
func (l *lines) keep(b *Batch, end int) {
	l.carry = append(l.carry, b.Data[end:]...)
	b.Data = b.Data[:end]
}

// skip passes over the rest of a row that is too long.
func (l *lines) skip(b *Batch) {
	if n := bytes.IndexByte(b.Data, '\n'); n >= 0 {
		l.keep(b, n+1)
		l.skipping = false
		l.line++
	}
}

func (l *lines) tooLong(start int) Span {
	return Span{Start: int32(start), End: int32(start), Line: l.line,
		Unreadable: &problem.Reason{What: "the row is longer than " + words.Bytes(int64(l.max)),
			Hint: "raise the limit on rows, or is a newline missing?"}}
}

// cut finds the rows of data, which ends at a line's end or at the file's.
func (l *lines) cut(b *Batch) {
	data := b.Data
	for i := 0; i < len(data); {
		end := len(data)
		next := end
		if n := bytes.IndexByte(data[i:], '\n'); n >= 0 {
			end, next = i+n, i+n+1
		}
		if end > i && data[end-1] == '\r' {
			end--
		}
		switch start := l.start(b, i); {
		case isBlank(data[start:end]):
			b.Blank++
		case end-start > l.max:
			b.Rows = append(b.Rows, l.tooLong(start))
		default:
			b.Rows = append(b.Rows, Span{Start: int32(start), End: int32(end), Line: l.line})
		}
		l.line++
		i = next
	}
}

// start is where the text of a row begins: behind the byte-order mark at the
// file's start.
func (l *lines) start(b *Batch, i int) int {
	if b.Pos == 0 && i == 0 && bytes.HasPrefix(b.Data, rowjson.BOM) {
		return len(rowjson.BOM)
	}
	return i
}

func isBlank(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\r' {
			return false
		}
	}
	return true
}

// A cutter finds rows byte by byte, for formats in which a newline need not
// end a row.
type cutter interface {
	// step looks at the next byte.
	step(c byte) cut
	// end is called at the end of the stream, and when step returned broken. It
	// returns what is wrong, or "".
	end() (what, hint string)
}

// A cut is what one byte means for the rows.
type cut byte

const (
	nothing   cut = iota
	begins        // a row begins with this byte
	endsHere      // the row ended before this byte
	endsAfter     // the row ends with this byte
	broken        // the file makes no sense from here on; the cutter says why in end
)

// chunks splits a stream as its cutter says. A row longer than max is passed
// over in constant memory.
type chunks struct {
	r        io.Reader
	c        cutter
	size     int // of a usual batch
	max      int
	pos      int64
	line     int64 // of the next byte
	carry    []byte
	open     bool  // a row has begun, at carry's start
	openLine int64 // where it began
	scanned  int   // bytes of carry that the cutter has seen
	skipping bool  // the open row is too long
	partial  bool  // r ends before the file does
	done     bool
}

func (s *chunks) Next(b *Batch) error {
	b.Pos, b.Rows, b.Blank = s.pos, b.Rows[:0], 0
	b.Data = append(b.Data[:0], s.carry...)
	s.carry = s.carry[:0]
	size := max(s.size, 2*len(b.Data))
	var err error
	if b.Data, s.done, err = fill(s.r, b.Data, min(size, s.max+1+s.size), s.done); err != nil {
		return err
	}
	start, ok := s.scan(b)
	if !ok || s.done && !s.partial {
		if what, hint := s.c.end(); what != "" {
			return &FileError{line: s.line, what: what, hint: hint}
		}
	}
	if len(b.Data) == 0 {
		return io.EOF
	}
	s.rest(b, start)
	s.pos += int64(len(b.Data))
	return nil
}

// scan runs the cutter over what it has not seen and returns where the open
// row starts.
func (s *chunks) scan(b *Batch) (start int, ok bool) {
	for i := s.scanned; i < len(b.Data); i++ {
		c := b.Data[i]
		switch s.c.step(c) {
		case begins:
			start, s.open, s.openLine = i, true, s.line
		case endsHere:
			s.row(b, start, i)
		case endsAfter:
			s.row(b, start, i+1)
		case broken:
			return start, false
		}
		if c == '\n' {
			s.line++
		}
	}
	return start, true
}

func (s *chunks) row(b *Batch, start, end int) {
	s.open = false
	if s.skipping {
		s.skipping = false // its span is in an earlier batch
		return
	}
	if end > start && b.Data[end-1] == '\r' {
		end--
	}
	if end-start > s.max {
		b.Rows = append(b.Rows, s.tooLong(start))
		return
	}
	b.Rows = append(b.Rows, Span{Start: int32(start), End: int32(end), Line: s.openLine})
}

func (s *chunks) tooLong(start int) Span {
	return Span{Start: int32(start), End: int32(start), Line: s.openLine,
		Unreadable: &problem.Reason{What: "the row is longer than " + words.Bytes(int64(s.max)),
			Hint: "raise the limit on rows, or is a quote or bracket missing?"}}
}

// rest decides what to do with a row that the batch does not end.
func (s *chunks) rest(b *Batch, start int) {
	s.scanned = 0
	switch {
	case !s.open || s.skipping:
	case s.done:
		s.row(b, start, len(b.Data))
	case len(b.Data)-start > s.max+1: // one for a carriage return
		b.Rows = append(b.Rows, s.tooLong(start))
		s.skipping = true
	default:
		s.carry = append(s.carry, b.Data[start:]...)
		b.Data = b.Data[:start]
		s.scanned = len(s.carry)
	}
}

// arrayCutter finds the elements of one JSON array.
type arrayCutter struct {
	state  byte // '[' before it, 'v' a value may come, ',' behind one, 'x' inside one, ']' after all
	inText bool
	escape bool
	scalar bool // the open element is a number or a word
	depth  int
	bad    string
	hint   string
}

func (a *arrayCutter) step(c byte) cut {
	if a.state == 'x' {
		return a.inside(c)
	}
	if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
		return nothing
	}
	switch {
	case a.state == '[' && c == '[':
		a.state = 'v'
		return nothing
	case a.state == '[' && (c == 0xef || c == 0xbb || c == 0xbf): // byte-order mark
		return nothing
	case (a.state == 'v' || a.state == ',') && c == ']':
		a.state = ']'
		return nothing
	case a.state == ',' && c == ',':
		a.state = 'v'
		return nothing
	case a.state == 'v':
		return a.begin(c)
	case a.state == ']':
		a.bad, a.hint = "text after the end of the list", "several lists in one file? write one, or one object a line"
	default:
		a.bad = "a comma is missing between two rows of the list"
	}
	return broken
}

func (a *arrayCutter) begin(c byte) cut {
	a.state, a.depth, a.inText, a.scalar = 'x', 0, false, false
	switch c {
	case '{', '[':
		a.depth = 1
	case '"':
		a.inText = true
	default:
		a.scalar = true
	}
	return begins
}

func (a *arrayCutter) inside(c byte) cut {
	switch {
	case a.escape:
		a.escape = false
		return nothing
	case a.inText:
		if c == '\\' {
			a.escape = true
		} else if c == '"' {
			a.inText = false
			return a.closed()
		}
		return nothing
	case a.scalar:
		return a.insideScalar(c)
	}
	switch c {
	case '"':
		a.inText = true
	case '{', '[':
		a.depth++
	case '}', ']':
		a.depth--
		return a.closed()
	}
	return nothing
}

// insideScalar ends a number or word at what cannot belong to it.
func (a *arrayCutter) insideScalar(c byte) cut {
	switch c {
	case ',':
		a.state = 'v'
	case ']':
		a.state = ']'
	case ' ', '\t', '\r', '\n':
		a.state = ','
	default:
		return nothing
	}
	return endsHere
}

func (a *arrayCutter) closed() cut {
	if a.depth > 0 {
		return nothing
	}
	a.state = ','
	return endsAfter
}

func (a *arrayCutter) end() (what, hint string) {
	if a.bad == "" && a.state != ']' {
		return "the list does not end", "was the file cut?"
	}
	return a.bad, a.hint
}

// csvCutter finds the records of a CSV file.
//
// In a TSV file a quote is a character like others, though spreadsheets put
// quotes around a field with a line break. So a line that has all columns is
// a record whatever quotes are open; columns is their number, less one.
type csvCutter struct {
	inRow, inQuotes bool

	tsv           bool
	columns, tabs int
	opens         bool // a quote here opens a quoted field, or goes on with it
}

func (v *csvCutter) step(c byte) cut {
	if v.tsv {
		return v.stepTSV(c)
	}
	switch {
	case !v.inRow && (c == '\n' || c == '\r'):
		return nothing // blank line
	case !v.inRow:
		v.inRow, v.inQuotes = true, c == '"'
		return begins
	case c == '"':
		v.inQuotes = !v.inQuotes
	case c == '\n' && !v.inQuotes:
		v.inRow = false
		return endsHere
	}
	return nothing
}

func (v *csvCutter) stepTSV(c byte) cut {
	was := nothing
	switch {
	case !v.inRow && (c == '\n' || c == '\r'):
		return nothing
	case !v.inRow:
		v.inRow, v.inQuotes, v.opens, v.tabs = true, false, true, 0
		was = begins
	case c == '\n' && (!v.inQuotes || v.tabs >= v.columns):
		v.inRow = false
		return endsHere
	}
	opens := c == '\t'
	switch {
	case c == '\t':
		v.tabs++
	case c == '"' && v.inQuotes:
		v.inQuotes, opens = false, true // a second quote goes on with the field
	case c == '"' && v.opens:
		v.inQuotes = true
	}
	v.opens = opens
	return was
}

func (v *csvCutter) end() (what, hint string) { return "", "" }
