package sse

import (
	"bufio"
	"bytes"
	"io"
)

// nesting is how deep a place in JSON text lies within brackets.
type nesting struct {
	depth           int
	inText, escaped bool // inside a string; after a backslash in it
}

// add goes on over text and returns after how many bytes the outermost bracket
// is closed; -1 when it is not.
func (n *nesting) add(text []byte) (end int) {
	for i, c := range text {
		switch {
		case n.escaped:
			n.escaped = false
		case n.inText && c == '\\':
			n.escaped = true
		case c == '"':
			n.inText = !n.inText
		case n.inText:
		case c == '{', c == '[':
			n.depth++
		case c == '}', c == ']':
			if n.depth--; n.depth <= 0 {
				n.depth = 0
				return i + 1
			}
		}
	}
	return -1
}

// An ArrayReader reads the elements of one JSON array as they come, as servers
// of Gemini stream where nobody asked for events. It is not safe for concurrent
// use.
type ArrayReader struct {
	r     *bufio.Reader
	max   int
	data  []byte
	begun bool
	err   error // sticky
	room  *room
}

// NewArrayReader returns an ArrayReader that refuses elements of more than
// maxElement bytes; [defaultMaxLine] when maxElement is not positive.
func NewArrayReader(r io.Reader, maxElement int) *ArrayReader {
	if maxElement <= 0 {
		maxElement = defaultMaxLine
	}
	m := roomFor(r)
	return &ArrayReader{r: m.in, max: maxElement, room: m, data: m.data}
}

// Close is [Reader.Close].
func (r *ArrayReader) Close() {
	r.room.giveBack(nil, r.data)
	*r = ArrayReader{err: io.EOF}
}

// Next returns the next element. The error is io.EOF after the end of the
// array, io.ErrUnexpectedEOF where the text ends before it; ErrLineTooLong; or
// that of the underlying reader. What is left of an element that was cut off is
// dropped. Errors are final.
func (a *ArrayReader) Next() (Event, error) {
	for a.err == nil {
		c, err := a.r.ReadByte()
		switch {
		case err != nil:
			a.end(err)
		case c == '[' && !a.begun:
			a.begun = true
		case c == '{' || c == '[':
			if a.element(c) {
				return Event{Data: a.data}, nil
			}
		case c == ']':
			a.err = io.EOF
		}
	}
	return Event{}, a.err
}

func (a *ArrayReader) end(err error) {
	if a.err = err; err == io.EOF {
		a.err = io.ErrUnexpectedEOF
	}
}

// element reads an element whose first byte has been read, and reports whether
// it is whole.
func (a *ArrayReader) element(first byte) bool {
	var n nesting
	a.data = append(a.data[:0], first)
	n.add(a.data)
	for {
		if _, err := a.r.Peek(1); err != nil {
			a.end(err)
			return false
		}
		chunk, _ := a.r.Peek(a.r.Buffered())
		end := n.add(chunk)
		if end < 0 {
			end = len(chunk)
		}
		a.data = append(a.data, chunk[:end]...)
		_, _ = a.r.Discard(end) // buffered: cannot fail
		switch {
		case len(a.data) > a.max:
			a.err = ErrLineTooLong
			return false
		case n.depth == 0:
			a.data = bytes.TrimSpace(a.data)
			return true
		}
	}
}
