package store

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"nightshift"
)

// Records are written as JSON by hand: they are most of what the journal
// holds, and encoding/json takes three times as long. What is written is what
// encoding/json reads back into an equal Record.

// jsonField is how one field of a Record is written.
type jsonField struct {
	index int
	key   string // quoted, with its colon
	omit  bool   // left out when nil
}

var recordFields = jsonFields(reflect.TypeFor[nightshift.Record]())

func jsonFields(t reflect.Type) []jsonField {
	var fields []jsonField
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		nullable := f.Type.Kind() == reflect.Pointer || f.Type.Kind() == reflect.Slice
		if name == "" || name == "-" || (options == "omitempty") != nullable {
			panic(fmt.Sprintf("store: %v.%s has the tag %q, and the journal needs a name, with omitempty where it can be nil", t, f.Name, f.Tag))
		}
		fields = append(fields, jsonField{i, `"` + name + `":`, nullable})
	}
	return fields
}

// appendRecord appends rec, whose texts are valid UTF-8 and whose numbers are
// finite, as a JSON object.
func appendRecord(b []byte, rec *nightshift.Record) []byte {
	v := reflect.ValueOf(rec).Elem()
	b = append(b, '{')
	for _, f := range recordFields {
		field := v.Field(f.index)
		if f.omit {
			if field.IsNil() {
				continue
			}
			if field.Kind() == reflect.Pointer {
				field = field.Elem()
			}
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(b, f.key...)
		b = appendValue(b, field)
	}
	return append(b, '}')
}

func appendValue(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.String:
		return appendText(b, v.String())
	case reflect.Int64, reflect.Int32:
		return strconv.AppendInt(b, v.Int(), 10)
	case reflect.Float64:
		return strconv.AppendFloat(b, v.Float(), 'g', -1, 64)
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool())
	case reflect.Slice:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.Bytes())
		return append(b, '"')
	case reflect.Struct:
		b = append(b, '"')
		b = v.Addr().Interface().(*time.Time).AppendFormat(b, time.RFC3339Nano)
		return append(b, '"')
	}
	panic("store: no JSON for a field of kind " + v.Kind().String())
}

// plain tells which bytes stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

// appendText appends s, which is valid UTF-8, as a JSON string.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if plain[c] {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// encodeRecord returns the result line of a record.
func encodeRecord(rec *nightshift.Record, at time.Time) ([]byte, uint32) {
	b := lineBuffer(make([]byte, 0, 1024+int(weighRecord(rec))*5/4))
	b = append(b, `{"k":"`+kindResult+`","row":`...)
	b = strconv.AppendInt(b, rec.Row, 10)
	b = append(b, `,"epoch":`...)
	b = strconv.AppendInt(b, int64(rec.Epoch), 10)
	b = append(b, `,"at":"`...)
	b = at.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","record":`...)
	b = appendRecord(b, rec)
	return sealLine(append(b, '}'))
}
