package rawjson

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote decodes the inside of a string that the scanner accepted. repaired
// is true when something in it was no Unicode text.
func unquote(raw []byte) (text string, repaired bool) {
	var out strings.Builder
	out.Grow(len(raw))
	for i := 0; i < len(raw); {
		n := plainLen(raw[i:])
		out.Write(raw[i : i+n])
		i += n
		if i == len(raw) {
			break
		}
		switch c := raw[i]; {
		case c == '\\':
			r, n := unescape(raw[i:])
			if r < 0 {
				r, repaired = utf8.RuneError, true
			}
			out.WriteRune(r)
			i += n
		case c < utf8.RuneSelf:
			out.WriteByte(c)
			i++
		default:
			r, n := utf8.DecodeRune(raw[i:])
			repaired = repaired || n == 1
			out.WriteRune(r)
			i += n
		}
	}
	return out.String(), repaired
}

var unescapes = [256]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unescape decodes the escape that b begins with; r is -1 for half of a
// surrogate pair that has no other half.
func unescape(b []byte) (r rune, n int) {
	if b[1] != 'u' {
		return unescapes[b[1]], 2
	}
	r, _ = hex4(b[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if low, ok := hex4(b[8:]); ok {
			if whole := utf16.DecodeRune(r, low); whole != utf8.RuneError {
				return whole, 12
			}
		}
	}
	return -1, 6
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
