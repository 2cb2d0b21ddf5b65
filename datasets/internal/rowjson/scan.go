// Package rowjson reads the JSON of dataset rows: it accepts strict JSON only,
// says in words what is wrong with anything else, and keeps every value as it
// was written.
package rowjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"

	"nightshift/datasets/internal/problem"
	"nightshift/internal/words"
)

// maxDepth is how deep a row may nest.
const maxDepth = 200

// A Kind is the type of a JSON value, by its first byte; 'n' is a number and
// '0' is null.
type Kind byte

const (
	Missing Kind = 0
	Object  Kind = '{'
	Array   Kind = '['
	String  Kind = '"'
	Number  Kind = 'n'
	Bool    Kind = 't'
	Null    Kind = '0'
)

func (k Kind) String() string {
	switch k {
	case Object:
		return "an object"
	case Array:
		return "a list"
	case String:
		return "a text"
	case Number:
		return "a number"
	case Bool:
		return "true or false"
	case Null:
		return "null"
	}
	return "missing"
}

// A Field is one member of a row's object, as positions in its text.
type Field struct {
	keyStart, keyEnd int32 // without the quotes
	valStart, valEnd int32
	Kind             Kind
	escaped          bool // the key has escapes
}

// A Scanner checks one row after another and finds the fields of each. Its
// zero value is ready; it is not safe for concurrent use.
//
// It accepts RFC 8259 JSON in valid UTF-8 and nothing more: no duplicate keys
// at any level, no lone surrogates, no NaN, at most maxDepth levels.
type Scanner struct {
	b      []byte
	fields []Field
	keys   []keySpan // of all objects that are open, innermost last

	frames []frame // of the last row that was scanned member by member
	tail   []byte  // what stood behind its last value
	Same   bool    // the last row has the keys of the row before it

	// Where and why the last row was refused.
	at         int
	what, hint string
}

type keySpan struct {
	start, end int32
	escaped    bool
}

// A frame is the text of a row before one of its values: a comma or brace, a
// key, a colon, and blanks.
type frame struct {
	text             []byte
	keyStart, keyEnd int32 // in text
	escaped          bool
}

// object scans b, which must hold exactly one JSON object, and reports whether
// it does. s.fields then describes its members.
func (s *Scanner) object(b []byte) bool {
	s.start(b)
	if s.Same = s.asBefore(); s.Same {
		return true
	}
	s.start(b)
	ok := s.anew()
	s.learn(ok)
	return ok
}

// Row reads a row. Where it cannot be read, it is tried again with invalid
// UTF-8 and lone surrogates replaced by U+FFFD, if repair says so.
func (s *Scanner) Row(raw []byte, repair bool) (Row, problem.Reason) {
	if s.object(raw) {
		return Row{raw, s.fields}, problem.Reason{}
	}
	first := problem.Refuse(s.what, s.hint)
	if s.at > 0 {
		first.What += " at character " + words.Thousands(int64(s.at)+1)
	}
	if repair {
		if raw = repaired(raw); s.object(raw) {
			return Row{raw, s.fields}, problem.Reason{}
		}
	}
	return Row{}, first
}

func (s *Scanner) start(b []byte) {
	s.b, s.fields, s.keys = b, s.fields[:0], s.keys[:0]
	s.at, s.what, s.hint = 0, "", ""
}

// asBefore scans a row by the frames of the one before it: the rows of a file
// mostly differ in their values alone. It reports false for any other row, be
// it good or bad.
func (s *Scanner) asBefore() bool {
	if len(s.frames) == 0 {
		return false
	}
	i := 0
	for n := range s.frames {
		f := &s.frames[n]
		if !bytes.HasPrefix(s.b[i:], f.text) {
			return false
		}
		start := i + len(f.text)
		k, end := s.value(start, 1)
		if end < 0 {
			return false
		}
		s.fields = append(s.fields, Field{int32(i) + f.keyStart, int32(i) + f.keyEnd, int32(start), int32(end), k,
			f.escaped})
		i = end
	}
	return bytes.Equal(s.b[i:], s.tail)
}

// learn keeps the frames of a good row.
func (s *Scanner) learn(good bool) {
	s.frames = s.frames[:0]
	if !good || len(s.fields) > manyKeys {
		return
	}
	end := int32(0)
	for n, f := range s.fields {
		s.frames = slices.Grow(s.frames, 1)[:n+1]
		old := &s.frames[n]
		*old = frame{append(old.text[:0], s.b[end:f.valStart]...), f.keyStart - end, f.keyEnd - end, f.escaped}
		end = f.valEnd
	}
	s.tail = append(s.tail[:0], s.b[end:]...)
}

// anew scans a row member by member.
func (s *Scanner) anew() bool {
	b := s.b
	i := s.space(0)
	if i == len(b) {
		return s.refuse(i, "empty row", "") >= 0
	}
	if b[i] != '{' {
		return s.notAnObject(i)
	}
	if i = s.members(i+1, 1, true); i < 0 {
		return false
	}
	return s.end(i)
}

// end checks that nothing follows the row's value.
func (s *Scanner) end(i int) bool {
	if i = s.space(i); i == len(s.b) {
		return true
	}
	hint := ""
	if s.b[i] == '{' {
		hint = "two rows on one line?"
	}
	return s.refuse(i, "text after the end of the row", hint) >= 0
}

// notAnObject finds out what a row that is no object is.
func (s *Scanner) notAnObject(i int) bool {
	start := i
	if bytes.HasPrefix(s.b[i:], BOM) {
		return s.refuse(i, "a byte-order mark inside the file", "files were joined? remove it") >= 0
	}
	k, i := s.value(i, 0)
	if i < 0 || !s.end(i) {
		return false
	}
	hint := `a row looks like {"prompt": "…"}`
	if k == Array {
		hint = "if the whole file is one list, it must not be written as lines"
	}
	return s.refuse(start, "the row is "+k.String()+", not an object", hint) >= 0
}

// refuse notes the first reason and returns -1.
func (s *Scanner) refuse(at int, what, hint string) int {
	if s.what == "" {
		s.at, s.what, s.hint = at, what, hint
	}
	return -1
}

// cut refuses a row that ends too early.
func (s *Scanner) cut() int {
	return s.refuse(len(s.b), "the row ends in the middle", "was the file cut?")
}

func (s *Scanner) space(i int) int {
	for i < len(s.b) && (s.b[i] == ' ' || s.b[i] == '\t' || s.b[i] == '\r' || s.b[i] == '\n') {
		i++
	}
	return i
}

// members scans an object from behind its brace and returns where it ends.
func (s *Scanner) members(i, depth int, top bool) int {
	base := len(s.keys)
	var seen map[string]struct{}
	if i = s.space(i); i < len(s.b) && s.b[i] == '}' {
		return i + 1
	}
	for {
		i = s.space(i)
		key := i + 1
		var escaped bool
		if i, escaped = s.key(i); i < 0 {
			return -1
		}
		span := keySpan{int32(key), int32(i - 1), escaped}
		if s.repeats(base, span, &seen) {
			return s.refuse(key, "the key "+words.Quote(string(s.b[key:i-1]))+" appears twice", "")
		}
		s.keys = append(s.keys, span)
		if i = s.space(i); i == len(s.b) {
			return s.cut()
		}
		if s.b[i] != ':' {
			return s.refuse(i, "a colon is missing after a key", "")
		}
		start := s.space(i + 1)
		var k Kind
		if k, i = s.value(start, depth); i < 0 {
			return -1
		}
		if top {
			s.fields = append(s.fields, Field{span.start, span.end, int32(start), int32(i), k, escaped})
		}
		i = s.space(i)
		switch {
		case i == len(s.b):
			return s.cut()
		case s.b[i] == '}':
			s.keys = s.keys[:base]
			return i + 1
		case s.b[i] != ',':
			return s.refuse(i, "a comma or } is missing", "")
		}
		i++
	}
}

func (s *Scanner) key(i int) (int, bool) {
	switch {
	case i == len(s.b):
		return s.cut(), false
	case s.b[i] == '}':
		return s.refuse(i, "a comma before }", "JSON allows no trailing comma"), false
	case s.b[i] == '\'':
		return s.refuse(i, "a key in single quotes", "JSON wants double quotes"), false
	case s.b[i] != '"':
		return s.refuse(i, "a key in double quotes is missing", ""), false
	}
	return s.text(i + 1)
}

// manyKeys is where looking through an object's keys one by one gets slow.
const manyKeys = 64

// repeats reports whether the object whose keys start at base has this key. An
// object with many keys keeps them in *seen.
func (s *Scanner) repeats(base int, k keySpan, seen *map[string]struct{}) bool {
	if len(s.keys)-base >= manyKeys {
		return s.seenBefore(base, k, seen)
	}
	for _, old := range s.keys[base:] {
		if old.escaped || k.escaped {
			if bytes.Equal(s.decode(old), s.decode(k)) {
				return true
			}
			continue
		}
		if old.end-old.start == k.end-k.start && string(s.b[old.start:old.end]) == string(s.b[k.start:k.end]) {
			return true
		}
	}
	return false
}

func (s *Scanner) seenBefore(base int, k keySpan, seen *map[string]struct{}) bool {
	if *seen == nil {
		*seen = make(map[string]struct{}, 4*manyKeys)
		for _, old := range s.keys[base:] {
			(*seen)[string(s.decode(old))] = struct{}{}
		}
	}
	name := s.decode(k)
	_, found := (*seen)[string(name)]
	(*seen)[string(name)] = struct{}{}
	return found
}

func (s *Scanner) decode(k keySpan) []byte {
	return Unescape(s.b[k.start:k.end])
}

// value scans one value and returns its kind and where it ends.
func (s *Scanner) value(i, depth int) (Kind, int) {
	if i >= len(s.b) {
		return Missing, s.cut()
	}
	switch c := s.b[i]; {
	case c == '"':
		i, _ = s.text(i + 1)
		return String, i
	case c == '{' || c == '[':
		if depth >= maxDepth {
			return Missing, s.refuse(i, "nested more than 200 levels deep", "")
		}
		if c == '{' {
			return Object, s.members(i+1, depth+1, false)
		}
		return Array, s.elements(i+1, depth+1)
	case c == '-' || c >= '0' && c <= '9':
		return Number, s.number(i)
	case c == 't':
		return Bool, s.word(i, "true")
	case c == 'f':
		return Bool, s.word(i, "false")
	case c == 'n':
		return Null, s.word(i, "null")
	}
	return Missing, s.strange(i)
}

// strange refuses what starts no value, with a word for the usual mistakes.
func (s *Scanner) strange(i int) int {
	rest := s.b[i:]
	switch {
	case bytes.HasPrefix(rest, []byte("NaN")), bytes.HasPrefix(rest, []byte("Infinity")):
		return s.refuse(i, "NaN and Infinity are not JSON", "write null, or a text")
	case bytes.HasPrefix(rest, []byte("None")), bytes.HasPrefix(rest, []byte("True")),
		bytes.HasPrefix(rest, []byte("False")):
		return s.refuse(i, "a Python word", "write the rows with json.dumps, not with str")
	case rest[0] == '\'':
		return s.refuse(i, "a text in single quotes", "JSON wants double quotes")
	case rest[0] == ']' || rest[0] == '}':
		return s.refuse(i, "a value is missing before "+string(rest[:1]), "JSON allows no trailing comma")
	case rest[0] == 0:
		return s.refuse(i, "a NUL byte", "")
	}
	return s.refuse(i, "a value is missing", "")
}

func (s *Scanner) elements(i, depth int) int {
	if i = s.space(i); i < len(s.b) && s.b[i] == ']' {
		return i + 1
	}
	for {
		_, i = s.value(s.space(i), depth)
		if i < 0 {
			return -1
		}
		i = s.space(i)
		switch {
		case i == len(s.b):
			return s.cut()
		case s.b[i] == ']':
			return i + 1
		case s.b[i] != ',':
			return s.refuse(i, "a comma or ] is missing", "")
		}
		i++
	}
}

func (s *Scanner) word(i int, w string) int {
	if len(s.b)-i >= len(w) && string(s.b[i:i+len(w)]) == w {
		return i + len(w)
	}
	if bytes.HasPrefix([]byte(w), s.b[i:]) {
		return s.cut()
	}
	if bytes.HasPrefix(s.b[i:], []byte("nan")) {
		return s.refuse(i, "NaN and Infinity are not JSON", "write null, or a text")
	}
	return s.refuse(i, "a value is missing", "")
}

// number scans a number by the grammar alone: its size does not matter.
func (s *Scanner) number(i int) int {
	start := i
	if s.b[i] == '-' {
		i++
		if bytes.HasPrefix(s.b[i:], []byte("Infinity")) {
			return s.refuse(start, "NaN and Infinity are not JSON", "write null, or a text")
		}
	}
	first := i
	if i = s.digits(i); i == first {
		return s.badNumber(start, i)
	}
	if s.b[first] == '0' && i-first > 1 {
		return s.refuse(start, "a number with leading zeros", "write it as a text")
	}
	if i < len(s.b) && s.b[i] == '.' {
		fraction := i + 1
		if i = s.digits(fraction); i == fraction {
			return s.badNumber(start, i)
		}
	}
	if i < len(s.b) && (s.b[i] == 'e' || s.b[i] == 'E') {
		i++
		if i < len(s.b) && (s.b[i] == '+' || s.b[i] == '-') {
			i++
		}
		exponent := i
		if i = s.digits(i); i == exponent {
			return s.badNumber(start, i)
		}
	}
	return i
}

func (s *Scanner) badNumber(start, i int) int {
	if i == len(s.b) {
		return s.cut()
	}
	return s.refuse(start, "a number that is not JSON", "")
}

func (s *Scanner) digits(i int) int {
	for i < len(s.b) && s.b[i]-'0' <= 9 {
		i++
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special has the high bit set in the lowest byte of w that is a quote, a
// backslash, a control character or not ASCII; higher bytes may lie.
func special(w uint64) uint64 {
	quote := w ^ ones*'"'
	slash := w ^ ones*'\\'
	return ((w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash | w) & highs
}

// text scans a string from behind its first quote; it returns where the string
// ends, behind its last quote, and whether it has escapes.
func (s *Scanner) text(i int) (end int, escaped bool) {
	b := s.b
	for {
		for i+8 <= len(b) {
			m := special(binary.LittleEndian.Uint64(b[i:]))
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			return s.cut(), escaped
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, escaped
		case c == '\\':
			escaped = true
			if i = s.escape(i); i < 0 {
				return -1, escaped
			}
		case c < 0x20:
			return s.control(i), escaped
		case c >= utf8.RuneSelf:
			if i = s.runes(i); i < 0 {
				return -1, escaped
			}
		default:
			i++
		}
	}
}

// runes passes over characters that are not ASCII.
func (s *Scanner) runes(i int) int {
	for i < len(s.b) && s.b[i] >= utf8.RuneSelf {
		r, n := utf8.DecodeRune(s.b[i:])
		if r == utf8.RuneError && n == 1 {
			return s.refuse(i, "not valid UTF-8", "convert the file to UTF-8; --repair-utf8 (repair_utf8: true) "+
				"replaces such bytes")
		}
		i += n
	}
	return i
}

func (s *Scanner) control(i int) int {
	switch s.b[i] {
	case 0:
		return s.refuse(i, "a NUL byte", "")
	case '\n', '\r':
		return s.refuse(i, "a line break inside a text", `write it as \n`)
	case '\t':
		return s.refuse(i, "a tab inside a text", `write it as \t`)
	}
	return s.refuse(i, "a control character inside a text", `write it as \u00XX`)
}

// escape scans one escape from its backslash. A surrogate must be one of a
// pair.
func (s *Scanner) escape(i int) int {
	if i+1 >= len(s.b) {
		return s.cut()
	}
	switch s.b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
	default:
		return s.refuse(i, "an escape that JSON does not know", `write a backslash as \\`)
	}
	if len(s.b)-i < 6 {
		return s.cut()
	}
	r := hex4(s.b[i+2:])
	switch {
	case r < 0:
		return s.refuse(i, `\u without four hex digits`, "")
	case !utf16.IsSurrogate(r):
		return i + 6
	case r < 0xdc00 && len(s.b)-i >= 12 && s.b[i+6] == '\\' && s.b[i+7] == 'u' &&
		utf16.DecodeRune(r, hex4(s.b[i+8:])) != utf8.RuneError:
		return i + 12
	}
	return s.refuse(i, "half a character (a lone surrogate)",
		"the text was cut inside an emoji? have such marks replaced")
}

// hex4 reads four hex digits; -1 when they are not.
func hex4(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
