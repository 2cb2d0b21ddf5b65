package journal

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/runner/store/internal/records"
)

// Records are written as JSON by hand: they are most of what the journal
// holds, and encoding/json takes three times as long. What is written is what
// encoding/json reads back into an equal Record.

// jsonField is how one field of a Record is written.
type jsonField struct {
	*records.Field
	key string // its name quoted, with its colon
}

var recordFields = jsonFields()

func jsonFields() (fields []jsonField) {
	for i := range records.Fields {
		f := &records.Fields[i]
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" || (options == "omitempty") != f.Nullable() {
			panic(fmt.Sprintf("store: Record.%s has the tag %q, and the journal needs a name, with omitempty where it can "+
				"be nil", f.Name, f.Tag))
		}
		fields = append(fields, jsonField{f, `"` + name + `":`})
	}
	return fields
}

// appendRecord appends rec, whose texts are valid UTF-8 and whose numbers are
// finite, as a JSON object.
func appendRecord(b []byte, rec *nightshift.Record) []byte {
	b = append(b, '{')
	for i := range recordFields {
		f := &recordFields[i]
		at := f.Of(rec)
		if at == nil || f.Kind == reflect.Slice && *(*unsafe.Pointer)(at) == nil {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = f.appendValue(append(b, f.key...), at)
	}
	return append(b, '}')
}

func (f *jsonField) appendValue(b []byte, at unsafe.Pointer) []byte {
	switch f.Kind {
	case reflect.String:
		return rawjson.AppendString(b, *(*string)(at))
	case reflect.Int64:
		return strconv.AppendInt(b, *(*int64)(at), 10)
	case reflect.Int32:
		return strconv.AppendInt(b, int64(*(*int32)(at)), 10)
	case reflect.Float64:
		return strconv.AppendFloat(b, *(*float64)(at), 'g', -1, 64)
	case reflect.Bool:
		return strconv.AppendBool(b, *(*bool)(at))
	case reflect.Slice:
		var content []byte
		if f.Type == reflect.TypeFor[nightshift.Vector]() {
			content = (*nightshift.Vector)(at).AppendBytes(nil)
		} else {
			content = *(*[]byte)(at)
		}
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, content)
		return append(b, '"')
	case reflect.Struct:
		b = append(b, '"')
		b = (*time.Time)(at).AppendFormat(b, time.RFC3339Nano)
		return append(b, '"')
	}
	panic("store: no JSON for a field of kind " + f.Kind.String())
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
