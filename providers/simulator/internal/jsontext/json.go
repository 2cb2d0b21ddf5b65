// Package jsontext writes JSON by hand, member after member.
package jsontext

import (
	"slices"
	"strconv"
)

// An Object writes a JSON object, field after field in the order of the calls.
// All formats are written with it: the oddities that are simulated need
// fields absent, doubled or of another type at will, which struct tags do not
// give.
type Object []byte

// newObject begins an object.
func New() Object { return append(make(Object, 0, 512), '{') }

func (o *Object) name(name string) {
	if b := *o; b[len(b)-1] != '{' {
		*o = append(*o, ',')
	}
	*o = append(appendString(*o, name), ':')
}

// Text writes a member that is a text.
func (o *Object) Text(name, value string) {
	o.name(name)
	*o = appendString(*o, value)
}

// Int writes a member that is a whole number.
func (o *Object) Int(name string, value int64) {
	o.name(name)
	*o = strconv.AppendInt(*o, value, 10)
}

// Null writes a member that is null.
func (o *Object) Null(name string) { o.Raw(name, "null") }

// Raw writes a value that is JSON already.
func (o *Object) Raw(name, value string) {
	o.name(name)
	*o = append(*o, value...)
}

// Object writes a member that is an object.
func (o *Object) Object(name string, inner Object) { o.Raw(name, string(inner.End())) }

// Typed begins an object with its "type".
func Typed(kind string) Object {
	o := New()
	o.Text("type", kind)
	return o
}

// End closes the object and returns its text.
func (o Object) End() []byte { return append(slices.Clip(o), '}') }

// String returns the text of the closed object.
func (o Object) String() string { return string(o.End()) }

// Array joins objects.
func Array(objects ...Object) string {
	b := []byte{'['}
	for i, o := range objects {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, o...), '}')
	}
	return string(append(b, ']'))
}

// appendString appends a JSON string. Bytes that are not UTF-8 go through as
// they are: a fault puts them there.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(b, s[from:]...), '"')
}

// Quote returns a text as a JSON string.
func Quote(s string) string { return string(appendString(nil, s)) }
