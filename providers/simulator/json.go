package simulator

import (
	"slices"
	"strconv"
)

// An object writes a JSON object, field after field in the order of the calls.
// All formats are written with it: the oddities that are simulated need
// fields absent, doubled or of another type at will, which struct tags do not
// give.
type object []byte

func newObject() object { return append(make(object, 0, 512), '{') }

func (o *object) name(name string) {
	if b := *o; b[len(b)-1] != '{' {
		*o = append(*o, ',')
	}
	*o = append(appendString(*o, name), ':')
}

func (o *object) text(name, value string) {
	o.name(name)
	*o = appendString(*o, value)
}

func (o *object) int(name string, value int64) {
	o.name(name)
	*o = strconv.AppendInt(*o, value, 10)
}

func (o *object) null(name string) { o.raw(name, "null") }

// raw writes a value that is JSON already.
func (o *object) raw(name, value string) {
	o.name(name)
	*o = append(*o, value...)
}

func (o *object) object(name string, inner object) { o.raw(name, string(inner.end())) }

// end closes the object and returns its text.
func (o object) end() []byte { return append(slices.Clip(o), '}') }

func (o object) String() string { return string(o.end()) }

// array joins objects.
func array(objects ...object) string {
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

func quote(s string) string { return string(appendString(nil, s)) }
