package conversation

import (
	"nightshift/internal/rawjson"
)

// A Writer writes JSON. The zero Writer is empty.
type Writer struct{ Buf []byte }

func (w *Writer) sep() {
	if n := len(w.Buf); n > 0 {
		switch w.Buf[n-1] {
		case '{', '[', ':', ',':
		default:
			w.Buf = append(w.Buf, ',')
		}
	}
}

// Open begins an object or a list, as an element or as the value of a key.
func (w *Writer) Open(c byte) { w.sep(); w.Buf = append(w.Buf, c) }

// Close ends it, and returns all that was written.
func (w *Writer) Close(c byte) []byte {
	w.Buf = append(w.Buf, c)
	return w.Buf
}

// Key begins a member.
func (w *Writer) Key(name string) {
	w.sep()
	w.Buf = append(rawjson.AppendString(w.Buf, name), ':')
}

// In begins a member that is an object or a list.
func (w *Writer) In(name string, c byte) {
	w.Key(name)
	w.Open(c)
}

// Str writes a member that is a text.
func (w *Writer) Str(name, text string) {
	w.Key(name)
	w.Buf = rawjson.AppendString(w.Buf, text)
}

// Raw writes a member whose value is JSON.
func (w *Writer) Raw(name string, json []byte) {
	w.Key(name)
	w.Buf = append(w.Buf, json...)
}

// Maybe writes a member unless its value is nil.
func (w *Writer) Maybe(name string, json []byte) {
	if json != nil {
		w.Raw(name, json)
	}
}

// Item writes an element.
func (w *Writer) Item(json []byte) {
	w.sep()
	w.Buf = append(w.Buf, json...)
}

// Turn writes a message that is a role and a text, or in the target's own
// format. It reports false for any other.
func (w *Writer) Turn(t Turn) bool {
	switch {
	case t.Raw != nil:
		w.Item(t.Raw)
	case t.Content == nil:
		w.sep()
		w.Buf = append(w.Buf, `{"role":"`...)
		w.Buf = append(w.Buf, t.Role...)
		w.Buf = append(w.Buf, `","content":`...)
		w.Buf = append(rawjson.AppendString(w.Buf, t.Text), '}')
	default:
		return false
	}
	return true
}
