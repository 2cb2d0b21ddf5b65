// Package rawjson reads JSON that strangers wrote. It differs from
// encoding/json where that matters for paid answers: keys match by exact
// case, a key that occurs twice is noticed, nesting is bounded, lone
// surrogates and invalid UTF-8 are repaired and noticed, the literals NaN and
// Infinity (which Python servers write) are read, and every value keeps its
// place in the text, so that a body can be edited without being written anew.
//
// A document is scanned once into a flat list of nodes; looking values up
// afterwards costs no second pass.
package rawjson

import (
	"errors"
	"fmt"
	"math"
	"sync"
)

// maxDepth is the deepest nesting that is read.
const maxDepth = 200

// maxNodes bounds the memory of one document (24 bytes a node).
const maxNodes = 4 << 20

var (
	// ErrDepth is returned for nesting deeper than [maxDepth].
	ErrDepth = errors.New("JSON is nested deeper than 200 levels")
	// ErrNodes is returned for documents of more than four million values.
	ErrNodes = errors.New("JSON holds more than four million values")
)

// A SyntaxError says where a text stops being JSON.
type SyntaxError struct {
	Offset int64 // bytes read before the error
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not valid JSON at byte %d: %s", e.Offset, e.Reason)
}

// A Doc is one scanned document. The zero Doc is ready for [Doc.Scan], and may
// be used for one document after another. It is not safe for concurrent use,
// not even for reading.
type Doc struct {
	data  []byte
	nodes []node
	pos   int
	depth int

	// Loose is true when the document was not strict JSON: it held NaN,
	// Infinity or raw control characters.
	Loose bool
	// Repaired is true once a text was read that held invalid UTF-8 or a lone
	// surrogate, which came out as U+FFFD.
	Repaired bool
	// Repeated is true once a key was looked up that its object holds twice.
	Repeated bool
	// NotText is true once words were read that were no JSON string.
	NotText bool
}

// A node is one value, with the key before it when it is a member of an
// object. Offsets are into data.
type node struct {
	keyStart, keyEnd int32
	start, end       int32
	next             int32 // the node after this one's children
	kind             Kind
	flags            uint8
}

const (
	escaped    = 1 << iota // a string with backslashes
	nonASCII               // a string with bytes from 0x80 on
	keyEscaped             // the same two for the key
	keyNonASCII
)

// opaque is the key whose values are checked but not looked into: they are
// large, and nobody asks.
const opaque = "logprobs"

// Scan reads data, which must hold one JSON value and may begin with a byte
// order mark. The values refer to data, which must not change while they are
// in use.
func (d *Doc) Scan(data []byte) (Value, error) {
	*d = Doc{data: data, nodes: d.nodes[:0]}
	if len(data) > math.MaxInt32 {
		return Value{}, &SyntaxError{math.MaxInt32, "longer than 2 GiB"}
	}
	if len(data) >= 3 && data[0] == 0xEF && data[1] == 0xBB && data[2] == 0xBF {
		d.pos = 3
	}
	d.space()
	if err := d.value(node{}); err != nil {
		return Value{}, err
	}
	d.space()
	if d.pos < len(data) {
		return Value{}, d.fault("more text after the value")
	}
	return Value{doc: d, end: int32(len(d.nodes))}, nil
}

// Scan reads data with a Doc of its own.
func Scan(data []byte) (Value, error) { return new(Doc).Scan(data) }

// Strict reads data like [Scan] and refuses what is not strict JSON.
func Strict(data []byte) (Value, error) {
	v, err := Scan(data)
	if err == nil && v.doc.Loose {
		err = &SyntaxError{0, "NaN, Infinity or a raw control character"}
	}
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

func (d *Doc) fault(reason string) error {
	if d.pos >= len(d.data) {
		reason = "the text ends too early"
	}
	return &SyntaxError{int64(d.pos), reason}
}

func (d *Doc) space() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\r', '\n':
			d.pos++
		default:
			return
		}
	}
}

// value reads one value at pos; n carries its key.
func (d *Doc) value(n node) error {
	if d.pos >= len(d.data) {
		return d.fault("")
	}
	if len(d.nodes) >= maxNodes {
		return ErrNodes
	}
	n.start = int32(d.pos)
	at := len(d.nodes)
	d.nodes = append(d.nodes, n)
	kind, flags, err := d.body(at)
	if err != nil {
		return err
	}
	done := &d.nodes[at]
	done.kind, done.end, done.next = kind, int32(d.pos), int32(len(d.nodes))
	done.flags |= flags
	return nil
}

func (d *Doc) body(at int) (Kind, uint8, error) {
	switch c := d.data[d.pos]; c {
	case '{':
		return Object, 0, d.container(at, '}', (*Doc).member)
	case '[':
		return Array, 0, d.container(at, ']', (*Doc).element)
	case '"':
		flags, err := d.str()
		return String, flags, err
	case 't':
		return Bool, 0, d.literal("true")
	case 'f':
		return Bool, 0, d.literal("false")
	case 'n':
		return Null, 0, d.literal("null")
	case 'N', 'I':
		return Number, 0, d.notFinite()
	default:
		return Number, 0, d.number()
	}
}

// container reads an object or array. The children of an opaque key are
// forgotten again.
func (d *Doc) container(at int, closing byte, item func(*Doc) error) error {
	if d.depth++; d.depth > maxDepth {
		return ErrDepth
	}
	if err := d.items(closing, item); err != nil {
		return err
	}
	d.depth--
	if n := d.nodes[at]; n.keyEnd > 0 && string(d.data[n.keyStart:n.keyEnd]) == opaque {
		d.nodes = d.nodes[:at+1]
	}
	return nil
}

func (d *Doc) items(closing byte, item func(*Doc) error) error {
	d.pos++
	d.space()
	if d.pos < len(d.data) && d.data[d.pos] == closing {
		d.pos++
		return nil
	}
	for {
		if err := item(d); err != nil {
			return err
		}
		d.space()
		if d.pos >= len(d.data) {
			return d.fault("")
		}
		switch d.data[d.pos] {
		case ',':
			d.pos++
			d.space()
		case closing:
			d.pos++
			return nil
		default:
			return d.fault("neither a comma nor the end of the list")
		}
	}
}

func (d *Doc) element() error { return d.value(node{}) }

func (d *Doc) member() error {
	if d.pos >= len(d.data) || d.data[d.pos] != '"' {
		return d.fault("a key must be a string in quotes")
	}
	start := d.pos + 1
	flags, err := d.str()
	if err != nil {
		return err
	}
	n := node{keyStart: int32(start), keyEnd: int32(d.pos - 1)}
	if flags&escaped != 0 {
		n.flags |= keyEscaped
	}
	if flags&nonASCII != 0 {
		n.flags |= keyNonASCII
	}
	d.space()
	if d.pos >= len(d.data) || d.data[d.pos] != ':' {
		return d.fault("no colon after the key")
	}
	d.pos++
	d.space()
	return d.value(n)
}

// str reads a string with its quotes.
func (d *Doc) str() (flags uint8, err error) {
	data, p := d.data, d.pos+1
	for {
		p += plainLen(data[p:])
		if p == len(data) {
			break
		}
		switch c := data[p]; {
		case c == '"':
			d.pos = p + 1
			return flags, nil
		case c == '\\':
			n := escapeLen(data[p:])
			if n == 0 {
				d.pos = p
				return 0, d.fault("a broken escape in a string")
			}
			p += n
			flags |= escaped
		case c >= 0x80:
			p++
			flags |= nonASCII
		default:
			d.Loose = true
			p++
		}
	}
	d.pos = p
	return 0, d.fault("")
}

// escapeLen returns the length of the escape that b begins with, 0 when it is
// none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if _, ok := hex4(b[2:]); ok {
			return 6
		}
	}
	return 0
}

func (d *Doc) literal(word string) error {
	end := d.pos + len(word)
	if end > len(d.data) || string(d.data[d.pos:end]) != word {
		return d.fault("an unknown word")
	}
	d.pos = end
	return nil
}

func (d *Doc) notFinite() error {
	d.Loose = true
	if d.data[d.pos] == 'N' {
		return d.literal("NaN")
	}
	return d.literal("Infinity")
}

func (d *Doc) number() error {
	if d.data[d.pos] == '-' {
		d.pos++
		if d.pos < len(d.data) && d.data[d.pos] == 'I' {
			return d.notFinite()
		}
	}
	switch {
	case d.pos < len(d.data) && d.data[d.pos] == '0':
		d.pos++
	case d.digits() == 0:
		return d.fault("not the beginning of a value")
	}
	if d.pos < len(d.data) && d.data[d.pos] == '.' {
		d.pos++
		if d.digits() == 0 {
			return d.fault("no digit after the decimal point")
		}
	}
	if d.pos < len(d.data) && d.data[d.pos]|0x20 == 'e' {
		d.pos++
		if d.pos < len(d.data) && (d.data[d.pos] == '+' || d.data[d.pos] == '-') {
			d.pos++
		}
		if d.digits() == 0 {
			return d.fault("no digit in the exponent")
		}
	}
	return nil
}

func (d *Doc) digits() int {
	start := d.pos
	for d.pos < len(d.data) && d.data[d.pos]-'0' <= 9 {
		d.pos++
	}
	return d.pos - start
}

var docs = sync.Pool{New: func() any { return new(Doc) }}

// Borrow returns a Doc that other callers have used before. Give it back with
// [Doc.Return] when none of its values is in use any more.
func Borrow() *Doc { return docs.Get().(*Doc) }

// Return gives a borrowed Doc back.
func (d *Doc) Return() {
	const keep = 1 << 16 // nodes: a rare giant must not stay in memory for ever
	nodes := d.nodes[:0]
	if cap(nodes) > keep {
		nodes = nil
	}
	*d = Doc{nodes: nodes}
	docs.Put(d)
}
