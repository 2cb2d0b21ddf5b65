package records

import (
	"math"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"nightshift"
)

// flagRepaired is set on a record whose texts were not valid UTF-8.
const flagRepaired = "text_repaired"

// Fields of a Record by what may be wrong with them.
var (
	stringFields = fieldsOf(reflect.TypeFor[nightshift.Record](),
		func(t reflect.Type) bool { return t.Kind() == reflect.String })
	textFields = fieldsOf(reflect.TypeFor[nightshift.Record](),
		func(t reflect.Type) bool { return t == reflect.TypeFor[*string]() })
	floatFields = fieldsOf(reflect.TypeFor[nightshift.Record](),
		func(t reflect.Type) bool { return t == reflect.TypeFor[*float64]() })
	timeFields = fieldsOf(reflect.TypeFor[nightshift.Record](),
		func(t reflect.Type) bool { return t == reflect.TypeFor[*time.Time]() })
	earliest        = time.Unix(0, math.MinInt64).UTC()
	latest          = time.Unix(0, math.MaxInt64).UTC()
	replacementRune = string(utf8.RuneError)
)

func fieldsOf(t reflect.Type, want func(reflect.Type) bool) []int {
	var fields []int
	for i := range t.NumField() {
		if want(t.Field(i).Type) {
			fields = append(fields, i)
		}
	}
	return fields
}

// Sound returns rec where journal and Parquet hold it alike as it is, and else
// its [Repaired] copy.
func Sound(rec *nightshift.Record) *nightshift.Record {
	if isSound(rec) {
		return rec
	}
	r := Repaired(rec)
	return &r
}

// isSound reports whether [Repaired] would change nothing.
func isSound(rec *nightshift.Record) bool {
	if rec.RawBytes != nil && len(rec.RawBytes) == 0 || rec.Embedding != nil {
		return false
	}
	for i := range Fields {
		f := &Fields[i]
		if at := f.Of(rec); at != nil && !f.isSound(at) {
			return false
		}
	}
	return true
}

func (f *Field) isSound(at unsafe.Pointer) bool {
	switch f.Kind {
	case reflect.String:
		return utf8.ValidString(*(*string)(at))
	case reflect.Float64:
		return finite(*(*float64)(at))
	case reflect.Struct:
		return fitsColumn(*(*time.Time)(at))
	}
	return true
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// fitsColumn reports whether a time is one that a timestamp column gives back.
func fitsColumn(t time.Time) bool {
	return t.Location() == time.UTC && t.Nanosecond()%1000 == 0 && !t.IsZero() && !t.Before(earliest) && !t.After(latest)
}

// Repaired returns a copy of rec that journal and Parquet hold alike: texts
// are valid UTF-8 (a body that was not is kept as RawBytes), numbers are
// finite, and times are whole microseconds in UTC that fit the column.
func Repaired(rec *nightshift.Record) nightshift.Record {
	r := *rec
	if len(r.RawBytes) == 0 {
		r.RawBytes = nil // the column knows no empty bytes
	}
	if len(r.Embedding) == 0 || !r.Embedding.Finite() {
		r.Embedding = nil // a list of numbers that are none is no vector
	}
	if r.RawResponse != nil && r.RawBytes == nil && !utf8.ValidString(*r.RawResponse) {
		r.RawBytes = []byte(*r.RawResponse)
	}
	v := reflect.ValueOf(&r).Elem()
	if repairTexts(v) {
		addFlag(&r, flagRepaired)
	}
	for _, i := range floatFields {
		if f := v.Field(i); !f.IsNil() {
			if !finite(f.Elem().Float()) {
				f.SetZero()
			}
		}
	}
	for _, i := range timeFields {
		if f := v.Field(i); !f.IsNil() {
			f.Set(reflect.ValueOf(columnTime(f.Interface().(*time.Time))))
		}
	}
	return r
}

// columnTime returns t as a timestamp column holds it; nil when it cannot.
func columnTime(t *time.Time) *time.Time {
	if t.IsZero() || t.Before(earliest) || t.After(latest) {
		return nil
	}
	u := t.UTC().Truncate(time.Microsecond)
	return &u
}

func repairTexts(v reflect.Value) (changed bool) {
	for _, i := range stringFields {
		if f := v.Field(i); !utf8.ValidString(f.String()) {
			f.SetString(strings.ToValidUTF8(f.String(), replacementRune))
			changed = true
		}
	}
	for _, i := range textFields {
		f := v.Field(i)
		if f.IsNil() || utf8.ValidString(f.Elem().String()) {
			continue
		}
		s := strings.ToValidUTF8(f.Elem().String(), replacementRune)
		f.Set(reflect.ValueOf(&s))
		changed = true
	}
	return changed
}

func addFlag(r *nightshift.Record, flag string) {
	if r.Flags == nil || *r.Flags == "" {
		r.Flags = &flag
		return
	}
	for f := range strings.SplitSeq(*r.Flags, ",") {
		if f == flag {
			return
		}
	}
	s := *r.Flags + "," + flag
	r.Flags = &s
}

// RepairScore does the same for a score.
func RepairScore(s nightshift.Score) nightshift.Score {
	for _, p := range []*string{&s.Run, &s.ID, &s.Model, &s.Scorer, &s.ScorerVersion, &s.Params} {
		*p = strings.ToValidUTF8(*p, replacementRune)
	}
	for _, p := range []**string{&s.Answer, &s.Explanation} {
		if *p != nil && !utf8.ValidString(**p) {
			text := strings.ToValidUTF8(**p, replacementRune)
			*p = &text
		}
	}
	if s.Value != nil && (math.IsNaN(*s.Value) || math.IsInf(*s.Value, 0)) {
		s.Value = nil
	}
	return s
}

// RepairAttempt makes an attempt fit for JSON.
func RepairAttempt(a nightshift.Attempt) nightshift.Attempt {
	for _, p := range []*float64{&a.DurationMS, &a.QueuedMS, &a.BackoffMS} {
		if math.IsNaN(*p) || math.IsInf(*p, 0) {
			*p = 0
		}
	}
	if y := a.StartedAt.Year(); y < 0 || y > 9999 {
		a.StartedAt = time.Time{}
	}
	return a
}
