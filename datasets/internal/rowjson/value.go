package datasets

import (
	"bytes"
	"encoding/json"
	"iter"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// The functions of this file read JSON that a scanner has accepted. On other
// text they return nonsense, but end.

// skip returns where the value that starts at i ends.
func skip(b []byte, i int) int {
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

// members yields the keys (as written, without quotes) and values of an object.
func members(b []byte) iter.Seq2[[]byte, value] {
	return func(yield func([]byte, value) bool) {
		i := skipSpace(b, 0) + 1
		for {
			if i = skipSpace(b, i); i >= len(b) || b[i] != '"' {
				return
			}
			key := i + 1
			i = skipText(b, key)
			name := b[key : i-1]
			start := skipSpace(b, skipSpace(b, i)+1)
			i = skip(b, start)
			if !yield(name, newValue(b[min(start, i):i])) {
				return
			}
			if i = skipSpace(b, i); i >= len(b) || b[i] != ',' {
				return
			}
			i++
		}
	}
}

// elements yields the values of a list.
func elements(b []byte) iter.Seq2[int, value] {
	return func(yield func(int, value) bool) {
		i := skipSpace(b, 0) + 1
		for n := 0; ; n++ {
			if i = skipSpace(b, i); i >= len(b) || b[i] == ']' {
				return
			}
			start := i
			i = skip(b, i)
			if !yield(n, newValue(b[start:i])) {
				return
			}
			if i = skipSpace(b, i); i >= len(b) || b[i] != ',' {
				return
			}
			i++
		}
	}
}

// A value is one JSON value as it was written. The zero value is a missing one.
type value struct {
	raw  []byte
	kind kind
}

func newValue(raw []byte) value {
	if len(raw) == 0 {
		return value{}
	}
	switch c := raw[0]; c {
	case '{', '[', '"':
		return value{raw, kind(c)}
	case 't', 'f':
		return value{raw, kindBool}
	case 'n':
		return value{raw, kindNull}
	}
	return value{raw, kindNumber}
}

// given reports whether there is a value and it is not null.
func (v value) given() bool { return v.kind != missing && v.kind != kindNull }

// text returns the value of a string, and the JSON of anything else.
func (v value) text() string {
	if v.kind != kindString || len(v.raw) < 2 {
		return string(v.raw)
	}
	return string(unescape(v.raw[1 : len(v.raw)-1]))
}

// get finds a member of an object, or an element of a list by its number.
func (v value) get(name string) value {
	switch v.kind {
	case kindObject:
		for key, val := range members(v.raw) {
			if keyIs(key, name) {
				return val
			}
		}
	case kindArray:
		if n, err := strconv.Atoi(name); err == nil {
			for i, val := range elements(v.raw) {
				if i == n {
					return val
				}
			}
		}
	}
	return value{}
}

// empty reports whether a text, list or object holds nothing.
func (v value) empty() bool {
	switch v.kind {
	case kindString:
		return len(v.raw) <= 2
	case kindArray, kindObject:
		i := skipSpace(v.raw, 1)
		return i >= len(v.raw) || v.raw[i] == ']' || v.raw[i] == '}'
	}
	return false
}

func keyIs(key []byte, name string) bool {
	if bytes.IndexByte(key, '\\') >= 0 {
		return string(unescape(key)) == name
	}
	return string(key) == name
}

// unescape decodes the inside of a JSON string. Without escapes it returns raw
// itself.
func unescape(raw []byte) []byte {
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

// quote writes s as a JSON string, with no more escapes than JSON needs.
func quote(s string) []byte { return appendQuoted(nil, s) }

func appendQuoted(out []byte, s string) []byte {
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

// compact returns JSON on one line; numbers and the order of keys stay.
func compact(raw []byte) []byte {
	var out bytes.Buffer
	if json.Compact(&out, raw) != nil {
		return raw
	}
	return out.Bytes()
}

// quoteShort quotes a text for a message, cut where it is long.
func quoteShort(s string) string {
	const most = 60
	if len(s) > most {
		cut := most
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.Quote(s)
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
		case i+12 <= len(raw) && raw[i+6] == '\\' && raw[i+7] == 'u' && utf16.DecodeRune(r, hex4(raw[i+8:])) != utf8.RuneError:
			out = append(out, raw[i:i+12]...)
			i += 12
		default:
			out = append(out, `\ufffd`...)
			i += 6
		}
	}
	return out
}
