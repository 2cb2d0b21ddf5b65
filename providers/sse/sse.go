// Package sse reads event streams (text/event-stream, as the HTML standard
// defines them) the way model servers really write them: with any line end,
// with or without the space after the colon, with comments as signs of life,
// with a last event that no blank line follows, and with bare JSON lines where
// a gateway could no longer say anything else.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"sync"
)

// ErrLineTooLong is returned when a line, or the data of one event, is longer
// than the reader's limit.
var ErrLineTooLong = errors.New("event stream: line too long")

// defaultMaxLine is the limit that a Reader has when it is given none.
const defaultMaxLine = 16 << 20

// An Event is one event, comment or bare value of a stream.
type Event struct {
	// Name is the event field; empty when the stream gave none.
	Name string
	// Data is the data, lines joined with \n; of a comment it is the comment.
	// It is valid until the next call of Next.
	Data []byte
	// Bare is true for a line that begins with { or [ instead of a field name,
	// with the lines after it that belong to the same JSON value.
	Bare bool
	// Comment is true for a line that begins with a colon: no event, but a
	// sign that the server lives.
	Comment bool
}

// A Reader reads events. It is not safe for concurrent use.
type Reader struct {
	r       *bufio.Reader
	maxLine int
	line    []byte // the line being read
	data    []byte // of the event being read
	name    string
	hasData bool
	started bool    // something has been read: a byte order mark is no longer one
	skipLF  bool    // the line before ended in CR: an LF that follows belongs to it
	held    bool    // line holds a line that waits for the event before it
	bare    []byte  // the bare value being read
	nesting nesting // of it
	err     error   // sticky
	room    *room
}

// NewReader returns a Reader that refuses lines, and data of one event, of
// more than maxLine bytes; [defaultMaxLine] when maxLine is not positive.
func NewReader(r io.Reader, maxLine int) *Reader {
	if maxLine <= 0 {
		maxLine = defaultMaxLine
	}
	m := roomFor(r)
	return &Reader{r: m.in, maxLine: maxLine, room: m, line: m.line, data: m.data}
}

// A room is the memory of a reader, which is used again: an answer is often shorter
// than its buffer.
type room struct {
	in         *bufio.Reader
	line, data []byte
}

var rooms = sync.Pool{New: func() any { return &room{in: bufio.NewReaderSize(nil, 8<<10)} }}

func roomFor(r io.Reader) *room {
	m := rooms.Get().(*room)
	m.in.Reset(r)
	return m
}

// giveBack keeps the room for the next reader, with what its lines and data have
// grown to, unless that is a rare giant.
func (m *room) giveBack(line, data []byte) {
	const most = 64 << 10
	m.in.Reset(nil)
	if m.line, m.data = line[:0], data[:0]; cap(line) > most || cap(data) > most {
		m.line, m.data = nil, nil
	}
	rooms.Put(m)
}

// Close gives back what the reader holds. It is of no use afterwards, and neither
// is the event that it returned last.
func (r *Reader) Close() {
	r.room.giveBack(r.line, r.data)
	*r = Reader{err: io.EOF}
}

// Next returns the next event, comment or bare line. Events without data are
// passed over. The error is io.EOF at the end of the stream, where an
// unfinished event still counts; ErrLineTooLong; or that of the underlying
// reader, before which an unfinished line or event is dropped. Errors are
// final.
//
// A line counts as soon as its end has been read, a bare value as soon as its
// last bracket has: Next never waits for more than it needs.
func (r *Reader) Next() (Event, error) {
	for r.err == nil || r.held {
		line, ok := r.line, r.held
		if !r.held {
			line, ok = r.readLine()
		}
		r.held = false
		if !ok {
			break
		}
		if ev, done := r.take(line); done {
			return ev, nil
		}
	}
	switch {
	case r.err == io.EOF && r.open():
		return r.bareEvent(), nil
	case r.err == io.EOF && r.hasData:
		return r.event(), nil
	}
	return Event{}, r.err
}

// take adds a line to the event in hand and reports whether something is
// complete.
func (r *Reader) take(line []byte) (ev Event, done bool) {
	if r.open() && !isField(line) {
		return r.addBare(line)
	}
	if r.open() { // it was cut off
		r.held = true
		return r.bareEvent(), true
	}
	if len(line) == 0 {
		if !r.hasData {
			r.name = ""
			return Event{}, false
		}
		return r.event(), true
	}
	switch line[0] {
	case ':':
		return Event{Data: value(line[1:]), Comment: true}, true
	case '{', '[':
		if r.hasData {
			r.held = true
			return r.event(), true
		}
		return r.addBare(line)
	}
	r.field(line)
	return Event{}, false
}

// isField reports whether a line cannot be part of JSON text, but begins a
// field of an event.
func isField(line []byte) bool {
	return bytes.HasPrefix(line, []byte("data:")) || bytes.HasPrefix(line, []byte("event:"))
}

// open reports whether a bare value has begun that takes further lines.
func (r *Reader) open() bool { return r.nesting.depth > 0 }

// addBare adds a line to a bare value, which ends with its last bracket.
func (r *Reader) addBare(line []byte) (ev Event, done bool) {
	if !r.open() {
		r.bare = r.bare[:0]
	} else {
		r.bare = append(r.bare, '\n')
	}
	r.bare = append(r.bare, line...)
	_ = r.nesting.add(line)
	if len(r.bare) > r.maxLine {
		r.err = ErrLineTooLong
		return Event{}, false
	}
	if r.open() {
		return Event{}, false
	}
	return r.bareEvent(), true
}

func (r *Reader) bareEvent() Event {
	r.nesting = nesting{}
	return Event{Data: r.bare, Bare: true}
}

func (r *Reader) event() Event {
	ev := Event{Name: r.name, Data: r.data}
	r.name, r.hasData = "", false
	return ev
}

func (r *Reader) field(line []byte) {
	name, rest, _ := bytes.Cut(line, []byte(":"))
	switch string(name) {
	case "event":
		r.name = string(value(rest))
	case "data":
		if r.hasData {
			r.data = append(r.data, '\n')
		} else {
			r.data = r.data[:0]
		}
		r.data = append(r.data, value(rest)...)
		r.hasData = true
		if len(r.data) > r.maxLine {
			r.err = ErrLineTooLong
		}
	}
	// id and retry are for reconnecting, which nobody does here; the standard
	// wants other names ignored.
}

// value drops the one space that may follow the colon.
func value(b []byte) []byte {
	if len(b) > 0 && b[0] == ' ' {
		return b[1:]
	}
	return b
}

// readLine returns the next line without its end; ok is false when there is
// none, and the error is then set. The line is valid until the next call.
func (r *Reader) readLine() (line []byte, ok bool) {
	r.line = r.line[:0]
	for {
		if r.skipLF {
			if !r.dropLF() {
				return nil, false
			}
		}
		chunk, err := r.buffered()
		if err != nil {
			r.err = err
			return r.line, err == io.EOF && len(r.line) > 0
		}
		end := lineEnd(chunk)
		if end < 0 {
			r.line = append(r.line, chunk...)
			r.discard(len(chunk))
		} else {
			r.line = append(r.line, chunk[:end]...)
			r.skipLF = chunk[end] == '\r'
			r.discard(end + 1)
		}
		if len(r.line) > r.maxLine {
			r.err = ErrLineTooLong
			return nil, false
		}
		if end >= 0 {
			return r.line, true
		}
	}
}

// lineEnd returns where the first CR or LF is, -1 when there is none.
func lineEnd(b []byte) int {
	lf := bytes.IndexByte(b, '\n')
	if lf >= 0 {
		b = b[:lf]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return lf
}

// dropLF drops the LF of a CRLF. It runs when the next line is read, not when
// the CR is: the LF may be long in coming.
func (r *Reader) dropLF() bool {
	chunk, err := r.buffered()
	if err != nil {
		r.err = err
		return false
	}
	r.skipLF = false
	if chunk[0] == '\n' {
		r.discard(1)
	}
	return true
}

// buffered returns at least one byte that has arrived, without a leading byte
// order mark.
func (r *Reader) buffered() ([]byte, error) {
	first, err := r.r.Peek(1)
	if err == nil && !r.started && first[0] == 0xEF {
		if bom, _ := r.r.Peek(3); string(bom) == "\ufeff" {
			r.discard(3)
		}
		_, err = r.r.Peek(1)
	}
	if err != nil {
		return nil, err
	}
	r.started = true
	return r.r.Peek(r.r.Buffered())
}

func (r *Reader) discard(n int) {
	_, _ = r.r.Discard(n) // at most what is buffered: cannot fail
}
