package jsonvalue

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// plainDepth is how deep plain JSON nests at most.
const plainDepth = 100

// parsePlain reads JSON as most answers write it, several times as fast as
// encoding/json, to the same values. ok is false for what is no JSON, and for
// what it leaves to encoding/json: deep nesting and invalid UTF-8.
func parsePlain(text string) (v any, ok bool) {
	p := plainJSON{text: text}
	v, ok = p.value(0)
	p.space()
	return v, ok && p.at == len(text)
}

// plainJSON is a text that is read up to at.
type plainJSON struct {
	text string
	at   int
}

// next is the byte that comes next; 0 at the end.
func (p *plainJSON) next() byte {
	if p.at >= len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *plainJSON) space() {
	for c := p.next(); c == ' ' || c == '\t' || c == '\r' || c == '\n'; c = p.next() {
		p.at++
	}
}

// take passes over c behind white space, if it is there.
func (p *plainJSON) take(c byte) bool {
	p.space()
	if p.next() != c {
		return false
	}
	p.at++
	return true
}

func (p *plainJSON) value(depth int) (v any, ok bool) {
	if depth > plainDepth {
		return nil, false
	}
	p.space()
	switch c := p.next(); c {
	case '{':
		return p.object(depth + 1)
	case '[':
		return p.array(depth + 1)
	case '"':
		return p.string()
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	}
	return p.number()
}

func (p *plainJSON) object(depth int) (any, bool) {
	m := map[string]any{}
	p.at++
	if p.take('}') {
		return m, true
	}
	for {
		p.space()
		key, ok := p.string()
		if !ok || !p.take(':') {
			return nil, false
		}
		v, ok := p.value(depth)
		if !ok {
			return nil, false
		}
		m[key] = v
		if p.take('}') {
			return m, true
		}
		if !p.take(',') {
			return nil, false
		}
	}
}

func (p *plainJSON) array(depth int) (any, bool) {
	list := []any{}
	p.at++
	if p.take(']') {
		return list, true
	}
	for {
		v, ok := p.value(depth)
		if !ok {
			return nil, false
		}
		list = append(list, v)
		if p.take(']') {
			return list, true
		}
		if !p.take(',') {
			return nil, false
		}
	}
}

func (p *plainJSON) word(w string) bool {
	if !strings.HasPrefix(p.text[p.at:], w) {
		return false
	}
	p.at += len(w)
	return true
}

// string reads a string from its quote. One with escapes is decoded by
// encoding/json.
func (p *plainJSON) string() (s string, ok bool) {
	if p.next() != '"' {
		return "", false
	}
	start, escaped, ascii := p.at, false, true
	for p.at++; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			token := p.text[start:p.at]
			if !ascii && !utf8.ValidString(token) {
				return "", false
			}
			if !escaped {
				return token[1 : len(token)-1], true
			}
			err := json.Unmarshal([]byte(token), &s)
			return s, err == nil
		case c == '\\':
			escaped = true
			p.at++
		case c < ' ':
			return "", false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", false
}

// number reads a number by the grammar of JSON.
func (p *plainJSON) number() (any, bool) {
	start := p.at
	if p.next() == '-' {
		p.at++
	}
	zero := p.next() == '0'
	if n := p.digits(); n == 0 || zero && n > 1 {
		return nil, false
	}
	if p.next() == '.' {
		if p.at++; p.digits() == 0 {
			return nil, false
		}
	}
	if c := p.next(); c == 'e' || c == 'E' {
		p.at++
		if c := p.next(); c == '+' || c == '-' {
			p.at++
		}
		if p.digits() == 0 {
			return nil, false
		}
	}
	return json.Number(p.text[start:p.at]), true
}

func (p *plainJSON) digits() (n int) {
	for c := p.next(); '0' <= c && c <= '9'; c = p.next() {
		p.at++
		n++
	}
	return n
}
