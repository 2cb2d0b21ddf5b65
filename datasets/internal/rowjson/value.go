package rowjson

import (
	"bytes"
	"encoding/json"
	"iter"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// BOM is the byte-order mark of UTF-8.
var BOM = []byte("\xef\xbb\xbf")

// The functions of this file read JSON that a scanner has accepted. On other
// text they return nonsense, but end.

// Skip returns where the value that starts at i ends.
func Skip(b []byte, i int) int {
	if i >= len(b) {
		return len(b)
	}
	switch b[i] {
	case '"':
		return skipText(b, i+1)
	case '{', '[':
		return skipNested(b, i)
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}

func skipText(b []byte, i int) int {
	for {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return len(b)
		}
		slashes := 0
		for slashes < n && b[i+n-1-slashes] == '\\' {
			slashes++
		}
		i += n + 1
		if slashes%2 == 0 {
			return i
		}
	}
}

func skipNested(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = skipText(b, i+1)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return i
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// Members yields the keys (as written, without quotes) and values of an object.
func Members(b []byte) iter.Seq2[[]byte, Value] {
	return func(yield func([]byte, Value) bool) {
		i := skipSpace(b, 0) + 1
		for {
			if i = skipSpace(b, i); i >= len(b) || b[i] != '"' {
				return
			}
			key := i + 1
			i = skipText(b, key)
			name := b[key : i-1]
			start := skipSpace(b, skipSpace(b, i)+1)
			i = Skip(b, start)
			if !yield(name, NewValue(b[min(start, i):i])) {
				return
			}
			if i = skipSpace(b, i); i >= len(b) || b[i] != ',' {
				return
			}
			i++
		}
	}
}

// Elements yields the values of a list.
func Elements(b []byte) iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		i := skipSpace(b, 0) + 1
		for n := 0; ; n++ {
			if i = skipSpace(b, i); i >= len(b) || b[i] == ']' {
				return
			}
			start := i
			i = Skip(b, i)
			if !yield(n, NewValue(b[start:i])) {
				return
			}
			if i = skipSpace(b, i); i >= len(b) || b[i] != ',' {
				return
			}
			i++
		}
	}
}

// A Value is one JSON value as it was written. The zero value is a missing one.
type Value struct {
	Raw  []byte
	Kind Kind
}

func NewValue(raw []byte) Value {
	if len(raw) == 0 {
		return Value{}
	}
	switch c := raw[0]; c {
	case '{', '[', '"':
		return Value{raw, Kind(c)}
	case 't', 'f':
		return Value{raw, Bool}
	case 'n':
		return Value{raw, Null}
	}
	return Value{raw, Number}
}

// Given reports whether there is a value and it is not null.
func (v Value) Given() bool { return v.Kind != Missing && v.Kind != Null }

// Text returns the value of a string, and the JSON of anything else.
func (v Value) Text() string {
	if v.Kind != String || len(v.Raw) < 2 {
		return string(v.Raw)
	}
	return string(Unescape(v.Raw[1 : len(v.Raw)-1]))
}

// Get finds a member of an object, or an element of a list by its number.
func (v Value) Get(name string) Value {
	switch v.Kind {
	case Object:
		for key, val := range Members(v.Raw) {
			if KeyIs(key, name) {
				return val
			}
		}
	case Array:
		if n, err := strconv.Atoi(name); err == nil {
			for i, val := range Elements(v.Raw) {
				if i == n {
					return val
				}
			}
		}
	}
	return Value{}
}

// Empty reports whether a text, list or object holds nothing.
func (v Value) Empty() bool {
	switch v.Kind {
	case String:
		return len(v.Raw) <= 2
	case Array, Object:
		i := skipSpace(v.Raw, 1)
		return i >= len(v.Raw) || v.Raw[i] == ']' || v.Raw[i] == '}'
	}
	return false
}

func KeyIs(key []byte, name string) bool {
	if bytes.IndexByte(key, '\\') >= 0 {
		return string(Unescape(key)) == name
	}
	return string(key) == name
}

// Unescape decodes the inside of a JSON string. Without escapes it returns raw
// itself.
func Unescape(raw []byte) []byte {
	n := bytes.IndexByte(raw, '\\')
	if n < 0 {
		return raw
	}
	out := append(make([]byte, 0, len(raw)), raw[:n]...)
	for i := n; i < len(raw); {
		if c := raw[i]; c != '\\' || i+1 == len(raw) {
			out = append(out, c)
			i++
			continue
		}
		var used int
		out, used = appendEscape(out, raw[i:])
		i += used
	}
	return out
}

func appendEscape(out, b []byte) ([]byte, int) {
	switch b[1] {
	case 'b':
		return append(out, '\b'), 2
	case 'f':
		return append(out, '\f'), 2
	case 'n':
		return append(out, '\n'), 2
	case 'r':
		return append(out, '\r'), 2
	case 't':
		return append(out, '\t'), 2
	case 'u':
		return appendCodePoint(out, b)
	}
	return append(out, b[1]), 2
}

func appendCodePoint(out, b []byte) ([]byte, int) {
	if len(b) < 6 {
		return out, len(b)
	}
	r := hex4(b[2:])
	if utf16.IsSurrogate(r) && len(b) >= 12 {
		if pair := utf16.DecodeRune(r, hex4(b[8:])); pair != utf8.RuneError {
			return utf8.AppendRune(out, pair), 12
		}
	}
	return utf8.AppendRune(out, r), 6
}

// Quote writes s as a JSON string, with no more escapes than JSON needs.
func Quote(s string) []byte { return AppendQuoted(nil, s) }

func AppendQuoted(out []byte, s string) []byte {
	out = append(out, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		out = append(out, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		default:
			const hex = "0123456789abcdef"
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(out, s[start:]...), '"')
}

// Compact returns JSON on one line; numbers and the order of keys stay.
func Compact(raw []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return raw
	}
	return out.Bytes()
}

// repaired replaces invalid UTF-8 and lone surrogate escapes by U+FFFD.
func repaired(raw []byte) []byte {
	raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	if !bytes.Contains(raw, []byte(`\u`)) {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		switch {
		case raw[i] != '\\' || i+1 == len(raw):
			out = append(out, raw[i])
			i++
			continue
		case raw[i+1] != 'u' || i+6 > len(raw):
			out = append(out, raw[i], raw[i+1])
			i += 2
			continue
		}
		r := hex4(raw[i+2:])
		switch {
		case !utf16.IsSurrogate(r):
			out = append(out, raw[i:i+6]...)
			i += 6
		case i+12 <= len(raw) && raw[i+6] == '\\' && raw[i+7] == 'u' &&
			utf16.DecodeRune(r, hex4(raw[i+8:])) != utf8.RuneError:
			out = append(out, raw[i:i+12]...)
			i += 12
		default:
			out = append(out, `\ufffd`...)
			i += 6
		}
	}
	return out
}
