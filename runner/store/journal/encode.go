package journal

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/runner/store/internal/records"
)

// Records are written as JSON by hand: they are most of what the journal
// holds, and encoding/json takes three times as long. What is written is what
// encoding/json reads back into an equal Record.

// jsonField is how one field of a Record is written.
type jsonField struct {
	index int
	field reflect.StructField
	name  string
	key   string // the name quoted, with its colon
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
			panic(fmt.Sprintf("store: %v.%s has the tag %q, and the journal needs a name, with omitempty where it can be nil",
				t, f.Name, f.Tag))
		}
		fields = append(fields, jsonField{i, f, name, `"` + name + `":`, nullable})
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
		return rawjson.AppendString(b, v.String())
	case reflect.Int64, reflect.Int32:
		return strconv.AppendInt(b, v.Int(), 10)
	case reflect.Float64:
		return strconv.AppendFloat(b, v.Float(), 'g', -1, 64)
	case reflect.Bool:
		return strconv.AppendBool(b, v.Bool())
	case reflect.Slice:
		raw, ok := v.Interface().(nightshift.Vector)
		content := raw.AppendBytes(nil)
		if !ok {
			content = v.Bytes()
		}
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, content)
		return append(b, '"')
	case reflect.Struct:
		b = append(b, '"')
		b = v.Addr().Interface().(*time.Time).AppendFormat(b, time.RFC3339Nano)
		return append(b, '"')
	}
	panic("store: no JSON for a field of kind " + v.Kind().String())
}

// EncodeRecord returns the result line of a record.
func EncodeRecord(rec *nightshift.Record, at time.Time) ([]byte, uint32) {
	size := 1024 + int(records.Weight(rec))*5/4
	block := pack(rec.RawResponse)
	if block != nil {
		rest := *rec
		rest.RawResponse = nil
		size -= len(*rec.RawResponse)*5/4 - base64.StdEncoding.EncodedLen(len(block))
		rec = &rest
	}
	b := beginLine(newLine(size), KindResult, rec.Row, rec.Epoch, at)
	if block != nil {
		b = append(base64.StdEncoding.AppendEncode(append(b, rawMember...), block), '"')
		dropLine(block)
	}
	b = appendRecord(append(b, `,"record":`...), rec)
	return sealLine(append(b, '}'))
}

// EncodeIntent returns the line that announces an attempt.
func EncodeIntent(in nightshift.Intent, row int64, epoch int32, at time.Time) ([]byte, uint32) {
	b := beginLine(newLine(256), KindIntent, row, epoch, at)
	b = strconv.AppendInt(append(b, `,"intent":{"attempt":`...), int64(in.Attempt), 10)
	b = strconv.AppendInt(append(b, `,"worst_tokens":`...), in.WorstTokens, 10)
	if in.WorstCost != 0 {
		b = strconv.AppendInt(append(b, `,"worst_cost":`...), int64(in.WorstCost), 10)
	}
	if in.Job != "" {
		b = rawjson.AppendString(append(b, `,"job":`...), in.Job)
		b = rawjson.AppendString(append(b, `,"route":`...), in.Route)
	}
	return sealLine(append(b, "}}"...))
}

// beginLine adds what every kind of line begins with.
func beginLine(b []byte, kind string, row int64, epoch int32, at time.Time) []byte {
	b = append(append(b, `{"k":"`...), kind...)
	b = strconv.AppendInt(append(b, `","row":`...), row, 10)
	b = strconv.AppendInt(append(b, `,"epoch":`...), int64(epoch), 10)
	b = at.AppendFormat(append(b, `,"at":"`...), time.RFC3339Nano)
	return append(b, '"')
}
