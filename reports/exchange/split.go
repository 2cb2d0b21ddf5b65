package exchange

import (
	"bytes"
	"fmt"
	"iter"
)

// A span is where a value stands in the text of a file.
type span struct{ from, to int }

// A place is a text within a file, for messages: values are cut out of it.
type place struct {
	name string // of the file
	data []byte
}

// line is the line of a byte, from 1.
func (p place) line(at int) int {
	return 1 + bytes.Count(p.data[:min(max(at, 0), len(p.data))], []byte("\n"))
}

// fault is an error about what stands at a byte.
func (p place) fault(at int, format string, args ...any) error {
	return &FileError{fmt.Sprintf("%s, line %d: ", p.name, p.line(at)) + fmt.Sprintf(format, args...)}
}

// members yields the members of the object that begins at a byte, each with its
// place, without looking into them. An error ends it.
func (p place) members(at int) iter.Seq2[string, valueAt] {
	return func(yield func(string, valueAt) bool) {
		i, ok := p.opening(at, '{')
		if !ok {
			yield("", valueAt{err: p.fault(at, "no JSON object begins here")})
			return
		}
		for i < len(p.data) && p.data[i] != '}' {
			key := span{i, p.skip(i)}
			colon := p.space(key.to)
			if key.to <= key.from || p.data[key.from] != '"' || colon >= len(p.data) || p.data[colon] != ':' {
				yield("", valueAt{err: p.fault(i, "not valid JSON: a key and a colon should stand here")})
				return
			}
			value := span{from: p.space(colon + 1)}
			if value.to = p.skip(value.from); value.to <= value.from {
				yield("", valueAt{err: p.fault(value.from, "not valid JSON: a value is missing or not closed")})
				return
			}
			if !yield(string(p.data[key.from+1:max(key.to-1, key.from+1)]), valueAt{span: value}) {
				return
			}
			if i, ok = p.separator(value.to, '}'); !ok {
				yield("", valueAt{err: p.fault(value.to, "not valid JSON: a comma or } should stand here")})
				return
			}
		}
	}
}

// A valueAt is a value found, or why none was.
type valueAt struct {
	span
	err error
}

// elements yields the elements of the list that begins at a byte.
func (p place) elements(at int) iter.Seq[valueAt] {
	return func(yield func(valueAt) bool) {
		i, ok := p.opening(at, '[')
		if !ok {
			yield(valueAt{err: p.fault(at, "no JSON list begins here")})
			return
		}
		for i < len(p.data) && p.data[i] != ']' {
			one := span{i, p.skip(i)}
			if one.to <= one.from {
				yield(valueAt{err: p.fault(i, "not valid JSON: a value is missing or not closed")})
				return
			}
			if !yield(valueAt{span: one}) {
				return
			}
			if i, ok = p.separator(one.to, ']'); !ok {
				yield(valueAt{err: p.fault(one.to, "not valid JSON: a comma or ] should stand here")})
				return
			}
		}
	}
}

// opening is the first byte behind an opening bracket and space.
func (p place) opening(at int, bracket byte) (int, bool) {
	if at = p.space(at); at >= len(p.data) || p.data[at] != bracket {
		return at, false
	}
	return p.space(at + 1), true
}

// separator is where the next value begins, or the closing bracket stands.
func (p place) separator(at int, closing byte) (int, bool) {
	at = p.space(at)
	switch {
	case at >= len(p.data):
		return at, false
	case p.data[at] == ',':
		return p.space(at + 1), true
	}
	return at, p.data[at] == closing
}

func (p place) space(at int) int {
	for at < len(p.data) && bytes.IndexByte([]byte(" \t\r\n"), p.data[at]) >= 0 {
		at++
	}
	return at
}

// skip is the end of the value that begins at a byte; at itself where none does, or
// it does not end.
func (p place) skip(at int) int {
	depth := 0
	for i := at; i < len(p.data); i++ {
		switch c := p.data[i]; {
		case c == '"':
			end := p.stringEnd(i)
			if end < 0 {
				return at
			}
			if i = end - 1; depth == 0 {
				return end
			}
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth == 0 {
				return i // the end of what the value is in
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0 && (c == ',' || c == ':' || p.space(i) > i):
			return i
		}
	}
	if depth > 0 {
		return at
	}
	return len(p.data)
}

// stringEnd is the end of the string that begins at a byte; -1 where it has none.
func (p place) stringEnd(at int) int {
	for i := at + 1; i < len(p.data); i++ {
		switch p.data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}
