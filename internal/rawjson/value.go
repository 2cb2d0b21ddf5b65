package rawjson

import (
	"bytes"
	"math"
	"strconv"
	"unicode/utf8"
)

// A Kind is the kind of a value.
type Kind uint8

const (
	Missing Kind = iota // no such value
	Null
	Bool
	Number
	String
	Array
	Object
)

var kindNames = [...]string{"missing", "null", "true or false", "a number", "a string", "a list", "an object"}

func (k Kind) String() string { return kindNames[k] }

// A Value is one value of a document. The zero Value is missing, and every
// method may be called on it.
type Value struct {
	doc *Doc
	at  int32
	end int32 // the node after the last one of the parent
}

func (v Value) node() *node { return &v.doc.nodes[v.at] }

// Kind returns what the value is, [Missing] when there is none.
func (v Value) Kind() Kind {
	if v.doc == nil {
		return Missing
	}
	return v.node().kind
}

// Exists reports whether the value is there; null is.
func (v Value) Exists() bool { return v.doc != nil }

// Set reports whether the value is there and not null.
func (v Value) Set() bool { return v.Kind() > Null }

// Doc returns the document that the value is part of; nil when it is missing.
func (v Value) Doc() *Doc { return v.doc }

// Span returns where the value stands in the document's text.
func (v Value) Span() (start, end int) {
	if v.doc == nil {
		return 0, 0
	}
	n := v.node()
	return int(n.start), int(n.end)
}

// Raw returns the value's own text, which is part of the document's.
func (v Value) Raw() []byte {
	if v.doc == nil {
		return nil
	}
	n := v.node()
	return v.doc.data[n.start:n.end:n.end]
}

// Len returns the number of bytes of the value's text.
func (v Value) Len() int {
	start, end := v.Span()
	return end - start
}

// First returns the first element or member, missing when there is none.
func (v Value) First() Value {
	if v.Kind() < Array {
		return Value{}
	}
	if next := v.node().next; v.at+1 < next {
		return Value{v.doc, v.at + 1, next}
	}
	return Value{}
}

// Next returns the element or member after this one, missing after the last.
func (v Value) Next() Value {
	if v.doc == nil {
		return Value{}
	}
	if next := v.node().next; next < v.end {
		return Value{v.doc, next, v.end}
	}
	return Value{}
}

// Count returns the number of elements or members.
func (v Value) Count() int {
	n := 0
	for c := v.First(); c.Exists(); c = c.Next() {
		n++
	}
	return n
}

// Key returns the key of a member.
func (v Value) Key() string {
	if v.doc == nil {
		return ""
	}
	n := v.node()
	raw := v.doc.data[n.keyStart:n.keyEnd]
	if n.flags&(keyEscaped|keyNonASCII) == 0 {
		return string(raw)
	}
	text, _ := unquote(raw)
	return text
}

// KeyIs reports whether the member's key is exactly name.
func (v Value) KeyIs(name string) bool {
	if v.doc == nil {
		return false
	}
	n := v.node()
	if n.flags&keyEscaped != 0 {
		return v.Key() == name
	}
	return string(v.doc.data[n.keyStart:n.keyEnd]) == name
}

// KeyOneOf is Key. Where the key is one of the words, it takes no memory.
func (v Value) KeyOneOf(words ...string) string {
	for _, w := range words {
		if v.KeyIs(w) {
			return w
		}
	}
	return v.Key()
}

// Get returns the member with exactly this key, missing when there is none or
// the value is no object. Of several it is the last, and the document's
// Repeated is set.
func (v Value) Get(key string) Value {
	if v.Kind() != Object {
		return Value{}
	}
	var found Value
	nodes, end := v.doc.nodes, v.node().next
	for at := v.at + 1; at < end; at = nodes[at].next {
		n := &nodes[at]
		if n.flags&keyEscaped == 0 && int(n.keyEnd-n.keyStart) != len(key) {
			continue // most members are passed over here
		}
		if c := (Value{v.doc, at, end}); c.KeyIs(key) {
			v.doc.Repeated = v.doc.Repeated || found.Exists()
			found = c
		}
	}
	return found
}

// Text returns the text of a string and whether the value is one. What is not
// valid Unicode is replaced, and the document's Repaired is set.
func (v Value) Text() (text string, ok bool) {
	if v.Kind() != String {
		return "", false
	}
	n := v.node()
	raw := v.doc.data[n.start+1 : n.end-1]
	if n.flags&escaped == 0 && (n.flags&nonASCII == 0 || utf8.Valid(raw)) {
		return string(raw), true
	}
	text, repaired := unquote(raw)
	v.doc.Repaired = v.doc.Repaired || repaired
	return text, true
}

// Words returns the text of a value where a text was meant, and whether it
// holds one: that of a string, and the JSON of anything else but null, which
// sets the document's NotText. Servers that guess types send the piece "7" of
// an answer as the number 7.
func (v Value) Words() (text string, ok bool) {
	if v.Kind() == String {
		return v.Text()
	}
	if !v.Set() {
		return "", false
	}
	v.doc.NotText = true
	return string(v.JSON()), true
}

// Says reports whether anything is stated in a value: text, a number other
// than 0, true, or a list or object of which some part does. Gateways put
// error objects without a word beside good answers.
func (v Value) Says() bool {
	switch v.Kind() {
	case String:
		return v.Len() > 2
	case Number:
		f, ok := v.Float()
		return !ok || f != 0
	case Bool:
		return v.IsTrue()
	}
	for c := v.First(); c.Exists(); c = c.Next() {
		if c.Says() {
			return true
		}
	}
	return false
}

// String returns the text of a string, "" for anything else.
func (v Value) String() string {
	text, _ := v.Text()
	return text
}

// OneOf is String. Where the text is one of the words, it takes no memory.
func (v Value) OneOf(words ...string) string {
	for _, w := range words {
		if v.Is(w) {
			return w
		}
	}
	return v.String()
}

// Is reports whether the value is the string s.
func (v Value) Is(s string) bool {
	if v.Kind() != String {
		return false
	}
	n := v.node()
	if n.flags&escaped != 0 {
		return v.String() == s
	}
	return string(v.doc.data[n.start+1:n.end-1]) == s
}

// IsTrue reports whether the value is true.
func (v Value) IsTrue() bool { return v.Kind() == Bool && v.Len() == 4 }

// IsFalse reports whether the value is false.
func (v Value) IsFalse() bool { return v.Kind() == Bool && v.Len() == 5 }

// Float returns a finite number and whether the value is one.
func (v Value) Float() (f float64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(v.Raw()), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

// Int returns a whole number, which may be written 12, 12.0 or 1.2e1, and
// whether the value is one of at most 2^53.
func (v Value) Int() (n int64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	if raw := v.Raw(); len(raw) < 16 {
		if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
			return n, true
		}
	}
	f, ok := v.Float()
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// JSON returns a copy of the value's text that is strict JSON in valid UTF-8:
// as it was written where it already is, written anew where it is not, with
// null for numbers that are not finite.
func (v Value) JSON() []byte {
	raw := v.Raw()
	if raw == nil {
		return nil
	}
	if !v.doc.Loose && utf8.Valid(raw) && !mayHoldSurrogate(raw) {
		return bytes.Clone(raw)
	}
	return v.appendStrict(nil)
}

func mayHoldSurrogate(raw []byte) bool {
	return bytes.Contains(raw, []byte(`\ud`)) || bytes.Contains(raw, []byte(`\uD`))
}

func (v Value) appendStrict(dst []byte) []byte {
	switch v.Kind() {
	case String:
		return AppendString(dst, v.String())
	case Number:
		if !v.Finite() {
			return append(dst, "null"...)
		}
		return append(dst, v.Raw()...)
	case Array, Object:
		return v.appendItems(dst)
	}
	return append(dst, v.Raw()...)
}

func (v Value) appendItems(dst []byte) []byte {
	first := v.First()
	if !first.Exists() && v.KeyIs(opaque) {
		return append(dst, "null"...) // what it held was not kept
	}
	raw := v.Raw()
	dst = append(dst, raw[0])
	for c := first; c.Exists(); c = c.Next() {
		if c != first {
			dst = append(dst, ',')
		}
		if v.Kind() == Object {
			dst = append(AppendString(dst, c.Key()), ':')
		}
		dst = c.appendStrict(dst)
	}
	return append(dst, raw[len(raw)-1])
}

// Finite reports whether every number in the value is one: neither NaN nor
// Infinity.
func (v Value) Finite() bool {
	if v.Kind() == Number {
		c := v.Raw()[v.Len()-1]
		return c != 'N' && c != 'y'
	}
	for c := v.First(); c.Exists(); c = c.Next() {
		if !c.Finite() {
			return false
		}
	}
	return true
}
