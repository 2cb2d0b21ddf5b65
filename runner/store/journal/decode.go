package journal

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"nightshift"
)

// The twin of encode.go: result lines are read by hand when a shard is
// committed, in less than half the time that encoding/json takes. It knows the
// form that encodeRecord writes and no other. Whatever differs is left to
// encoding/json, so that hand-made lines and those of other versions are read
// too.

// decodeRecord returns the record of a result line's object; nil when it has
// none.
func decodeRecord(object []byte) (*nightshift.Record, error) {
	rec, packed := decodeWritten(object)
	if rec == nil {
		var l struct {
			Record *nightshift.Record `json:"record"`
			Packed string             `json:"raw_s2"`
		}
		if err := json.Unmarshal(object, &l); err != nil || l.Record == nil {
			return nil, err
		}
		rec, packed = l.Record, []byte(l.Packed)
	}
	if len(packed) == 0 {
		return rec, nil
	}
	raw, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	rec.RawResponse = &raw
	return rec, nil
}

var (
	recordMark = []byte(`,"record":{`)
	rawMark    = []byte(rawMember)
)

// decodeWritten returns what an object holds besides the packed raw body, and
// that. The record is nil when the object is not in the form of encodeRecord.
func decodeWritten(object []byte) (rec *nightshift.Record, packed []byte) {
	if !bytes.HasPrefix(object, []byte(`{"k":"`+KindResult+`","row":`)) || !bytes.HasSuffix(object, []byte("}}")) {
		return nil, nil
	}
	// Nothing before the record holds a text, so the first mark is the one.
	head, members, ok := bytes.Cut(object, recordMark)
	if !ok {
		return nil, nil
	}
	if _, after, there := bytes.Cut(head, rawMark); there {
		packed, ok = bytes.CutSuffix(after, []byte{'"'})
		if !ok || bytes.ContainsAny(packed, `"\\`) {
			return nil, nil
		}
	}
	d := decoders.Get().(*decoder)
	defer d.giveBack()
	// One copy for all texts, which are pieces of it.
	d.rest = string(members[:len(members)-2])
	rec = new(nightshift.Record)
	if d.record(reflect.ValueOf(rec).Elem()) != nil {
		return nil, nil
	}
	return rec, packed
}

var errOtherForm = errors.New("not as it is written here")

// A decoder takes JSON from the front of rest.
type decoder struct {
	rest    string
	scratch []byte // for texts with escapes
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

func (d *decoder) giveBack() {
	d.rest = ""
	if cap(d.scratch) > longLine {
		d.scratch = nil // a rare giant must not stay in memory for ever
	}
	decoders.Put(d)
}

// record reads members in the order of the fields, to the end of rest.
func (d *decoder) record(v reflect.Value) error {
	first := true
	for _, f := range recordFields {
		rest, there := d.member(f.key, first)
		if !there {
			if !f.omit {
				return errOtherForm
			}
			continue
		}
		first, d.rest = false, rest
		if err := d.field(v.Field(f.index)); err != nil {
			return err
		}
	}
	if d.rest != "" {
		return errOtherForm
	}
	return nil
}

// member returns what follows a key when that comes next.
func (d *decoder) member(key string, first bool) (rest string, there bool) {
	rest = d.rest
	if !first {
		if rest, there = strings.CutPrefix(rest, ","); !there {
			return "", false
		}
	}
	return strings.CutPrefix(rest, key)
}

// field reads a value into a field; a pointer gets something to point to.
func (d *decoder) field(v reflect.Value) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if v.Kind() == reflect.String {
		s, err := d.text()
		v.SetString(s)
		return err
	}
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Struct {
		return d.quoted(v)
	}
	return d.literal(v)
}

// literal reads a number or a truth value.
func (d *decoder) literal(v reflect.Value) error {
	end := strings.IndexByte(d.rest, ',')
	if end < 0 {
		end = len(d.rest)
	}
	word := d.rest[:end]
	d.rest = d.rest[end:]
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(word == "true")
		if word != "true" && word != "false" {
			return errOtherForm
		}
	case reflect.Float64:
		x, err := strconv.ParseFloat(word, 64)
		v.SetFloat(x)
		return err
	default:
		n, err := strconv.ParseInt(word, 10, v.Type().Bits())
		v.SetInt(n)
		return err
	}
	return nil
}

// quoted reads bytes or a time, which are written as texts.
func (d *decoder) quoted(v reflect.Value) error {
	s, err := d.text()
	if err != nil {
		return err
	}
	if v.Kind() == reflect.Slice {
		b, err := base64.StdEncoding.DecodeString(s)
		v.SetBytes(b)
		return err
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	v.Set(reflect.ValueOf(t))
	return err
}

// text reads a string. One without escapes is a piece of rest.
func (d *decoder) text() (string, error) {
	if !strings.HasPrefix(d.rest, `"`) {
		return "", errOtherForm
	}
	rest := d.rest[1:]
	end := strings.IndexByte(rest, '"')
	if end < 0 {
		return "", errOtherForm
	}
	if strings.IndexByte(rest[:end], '\\') < 0 {
		d.rest = rest[end+1:]
		return rest[:end], nil
	}
	return d.escaped(rest)
}

// escapes are the escapes of one letter that nightshift.AppendString writes.
var escapes = [256]byte{'"': '"', '\\': '\\', 'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f'}

// escaped reads a string whose opening quote is gone.
func (d *decoder) escaped(rest string) (string, error) {
	b := slices.Grow(d.scratch[:0], len(rest))[:len(rest)] // it only gets shorter
	n := 0
	for i := 0; i < len(rest); {
		if run := nightshift.PlainLen(rest[i:]); run > 0 {
			n += copy(b[n:], rest[i:i+run])
			i += run
			continue
		}
		c := rest[i]
		switch {
		case c == '"':
			d.rest, d.scratch = rest[i+1:], b
			return string(b[:n]), nil
		case c != '\\': // beyond ASCII
			b[n] = c
			n, i = n+1, i+1
		case i+1 < len(rest) && escapes[rest[i+1]] != 0:
			b[n] = escapes[rest[i+1]]
			n, i = n+1, i+2
		case i+6 <= len(rest) && rest[i+1] == 'u':
			r, err := strconv.ParseUint(rest[i+2:i+6], 16, 16)
			if err != nil || utf16.IsSurrogate(rune(r)) {
				return "", errOtherForm
			}
			n, i = n+utf8.EncodeRune(b[n:], rune(r)), i+6
		default:
			return "", errOtherForm
		}
	}
	return "", errOtherForm
}
