// Package jsonvalue takes JSON out of answers and compares it by value.
package jsonvalue

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"nightshift/internal/pattern"
	"nightshift/reports/scorers/internal/numbers"
)

// JSON values are what encoding/json makes of them, with numbers kept as
// json.Number. Of duplicate keys the last wins; NaN and Infinity are invalid.

var errNotOneValue = errors.New("more follows the JSON value")

// Parse reads one JSON value and nothing else, white space aside.
func Parse(text string) (any, error) {
	if v, ok := parsePlain(text); ok {
		return v, nil
	}
	return decodeJSON(strings.TrimSpace(text))
}

func decodeJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("no JSON value")
		}
		return nil, err
	}
	if d.InputOffset() != int64(len(text)) {
		return nil, errNotOneValue
	}
	return v, nil
}

// A Equality compares JSON values: numbers by value, true is not 1, key
// order is irrelevant, array order matters.
type Equality struct {
	Tol numbers.Tolerance
	// neverNull makes null unequal to everything, and true equal to 1, as
	// OpenAI's evals have it.
	NeverNull bool
}

func (e Equality) Equal(a, b any) bool {
	switch x := a.(type) {
	case nil:
		return b == nil && !e.NeverNull
	case map[string]any:
		y, ok := b.(map[string]any)
		return ok && e.equalObjects(x, y)
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, e.Equal)
	}
	x, isX := e.number(a)
	y, isY := e.number(b)
	if isX && isY {
		return e.Tol.Equal(x, y)
	}
	return !isX && !isY && sameScalar(a, b)
}

func (e Equality) equalObjects(x, y map[string]any) bool {
	if len(x) != len(y) {
		return false
	}
	for key, v := range x {
		w, there := y[key]
		if !there || !e.Equal(v, w) {
			return false
		}
	}
	return true
}

func (e Equality) number(v any) (numbers.Decimal, bool) {
	switch v := v.(type) {
	case json.Number:
		return numbers.Parse(v.String())
	case bool:
		if e.NeverNull {
			if v {
				return numbers.NewDecimal(false, "1", 0), true
			}
			return numbers.Decimal{}, true
		}
	}
	return numbers.Decimal{}, false
}

// sameScalar compares texts and booleans.
func sameScalar(a, b any) bool {
	switch x := a.(type) {
	case string:
		y, ok := b.(string)
		return ok && x == y
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case json.Number: // too wide an exponent to be read as a decimal
		y, ok := b.(json.Number)
		return ok && x == y
	}
	return false
}

// Canonical writes a value so that equal values are equal texts.
func Canonical(v any) string {
	var b bytes.Buffer
	writeCanonical(&b, v)
	return b.String()
}

func writeCanonical(b *bytes.Buffer, v any) {
	switch v := v.(type) {
	case map[string]any:
		b.WriteByte('{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteByte(',')
			}
			writeCanonical(b, key)
			b.WriteByte(':')
			writeCanonical(b, v[key])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			writeCanonical(b, e)
		}
		b.WriteByte(']')
	case json.Number:
		if d, ok := numbers.Parse(v.String()); ok {
			b.WriteString(d.String())
		} else {
			b.WriteString(v.String())
		}
	default:
		e := json.NewEncoder(b)
		e.SetEscapeHTML(false)
		_ = e.Encode(v) // strings, booleans and null always encode
		b.Truncate(b.Len() - 1)
	}
}

// A Path leads into a JSON value: keys and array positions between dots, * for
// any of them.
type Path []string

func ParsePath(s string) Path { return strings.Split(s, ".") }

// At returns the value at the path; there is false when it leads nowhere. A
// path with * leads to the list of all values.
func (p Path) At(v any) (found any, there bool) {
	for i, step := range p {
		if step == "*" {
			return p[i+1:].atEach(v)
		}
		if v, there = child(v, step); !there {
			return nil, false
		}
	}
	return v, true
}

func (p Path) atEach(v any) (any, bool) {
	list := []any{}
	for _, c := range children(v) {
		if w, ok := p.At(c); ok {
			list = append(list, w)
		}
	}
	return list, len(list) > 0
}

func child(v any, step string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		c, ok := v[step]
		return c, ok
	case []any:
		if i, ok := position(step); ok && i < len(v) {
			return v[i], true
		}
	}
	return nil, false
}

func position(step string) (int, bool) {
	if step == "" || len(step) > 9 || !numbers.AllDigits(step) {
		return 0, false
	}
	n := 0
	for i := range len(step) {
		n = n*10 + int(step[i]-'0')
	}
	return n, true
}

// children are the values right below v, objects in the order of their keys.
func children(v any) []any {
	switch v := v.(type) {
	case map[string]any:
		list := make([]any, 0, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			list = append(list, v[key])
		}
		return list
	case []any:
		return v
	}
	return nil
}

// Drop removes what the path leads to from objects, in place.
func (p Path) Drop(v any) {
	if len(p) == 1 {
		if m, ok := v.(map[string]any); ok {
			if p[0] == "*" {
				clear(m)
			}
			delete(m, p[0])
		}
		return
	}
	if p[0] == "*" {
		for _, c := range children(v) {
			p[1:].Drop(c)
		}
		return
	}
	if c, ok := child(v, p[0]); ok {
		p[1:].Drop(c)
	}
}

var ExtractRules = []string{"none", "fenced", "first", "auto"}

// Extract takes the JSON out of an answer by one of the extraction rules.
func Extract(text, rule string) (v any, why string) {
	switch rule {
	case "auto":
		for _, rule := range []string{"none", "fenced"} {
			if v, why = Extract(text, rule); why == "" {
				return v, ""
			}
		}
		return Extract(text, "first")
	case "fenced":
		block, ok := fencedBlock(text)
		if !ok {
			return nil, "no code block in the answer"
		}
		text = block
	case "first":
		return firstJSON(text)
	}
	v, err := Parse(text)
	if err != nil {
		return nil, "not JSON: " + err.Error()
	}
	return v, ""
}

// fencedBlock is what stands between the first ``` line and the next.
func fencedBlock(text string) (string, bool) {
	_, rest, ok := strings.Cut(text, "```")
	if !ok {
		return "", false
	}
	info, body, ok := strings.Cut(rest, "\n")
	if before, _, same := strings.Cut(info, "```"); same { // all on one line
		return strings.TrimPrefix(before, "json"), true
	}
	if !ok {
		return "", false
	}
	if block, _, closed := strings.Cut(body, "```"); closed {
		return block, true
	}
	return body, true // cut off by the token limit: let the parser judge
}

// firstJSON finds the first object or array in running text. What begins like
// JSON has to parse: the parts of an answer that was cut off are not the
// answer. Lists of numbers, as in "according to [1]", are passed over where
// something else follows.
func firstJSON(text string) (v any, why string) {
	const none = "no JSON object or array in the answer"
	var numbers any
	for {
		i := strings.IndexAny(text, "{[")
		if i < 0 {
			if numbers != nil {
				return numbers, ""
			}
			return nil, none
		}
		text = text[i:]
		if !opensJSON(text) {
			text = text[1:]
			continue
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			inside, after, closed := strings.Cut(text[1:], "]")
			if text[0] == '[' && closed && !strings.ContainsAny(inside, "[{\"\n") { // [1 of 2]
				text = after
				continue
			}
			return nil, "the first JSON in the answer does not parse: " + err.Error()
		}
		if !onlyNumbers(v) {
			return v, ""
		}
		if numbers == nil {
			numbers = v
		}
		text = text[d.InputOffset():]
	}
}

var jsonOpening = pattern.Late(`\A(?:\{\s*(?:["}]|$)|\[\s*(?:[\[{"\]\-0-9]|true\b|false\b|null\b|$))`)

// opensJSON tells the beginning of an object or array from brackets in prose.
func opensJSON(text string) bool { return jsonOpening().MatchString(text) }

// onlyNumbers reports a list of numbers.
func onlyNumbers(v any) bool {
	list, ok := v.([]any)
	return ok && len(list) > 0 && !slices.ContainsFunc(list, func(e any) bool {
		_, number := e.(json.Number)
		return !number
	})
}

func IsContainer(v any) bool {
	switch v.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}
