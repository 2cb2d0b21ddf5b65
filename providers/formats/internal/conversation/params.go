package conversation

import (
	"slices"

	"nightshift"
	"nightshift/internal/rawjson"
)

// Fields reads those of the parameters that have one of the names, which are
// the neutral dialect's, and returns the others.
func (t *Translation) Fields(params []nightshift.Param, names ...string) (fields []Field, others []nightshift.Param) {
	var w Writer
	w.Open('{')
	for _, p := range params {
		if slices.Contains(names, p.Name) {
			w.Raw(p.Name, p.Value)
		} else {
			others = append(others, p)
		}
	}
	v, err := rawjson.Scan(w.Close('}'))
	if err != nil { // each of them has been read before
		t.Invalid("params", err.Error())
		return nil, others
	}
	return t.Neutral.ParseBody(t, v), others
}

// NoMessages is embedded by the dialects of formats that know no messages, only
// a text.
type NoMessages struct{}

// OwnsMessage implements [Dialect].
func (NoMessages) OwnsMessage(rawjson.Value) bool { return false }

// OwnsPart implements [Dialect].
func (NoMessages) OwnsPart(rawjson.Value) bool { return false }

// ParseMessage implements [Dialect]. No message is in such a format.
func (NoMessages) ParseMessage(t *Translation, _ rawjson.Value, path string) []Turn {
	t.Invalid(path, "is in a format without messages")
	return nil
}

// OnlyText is the one text that a request is, as a JSON string: one user
// message without anything else. Any other request is noted as untranslatable.
func (t *Translation) OnlyText(turns []Turn) []byte {
	if len(turns) != 1 || turns[0].Role != nightshift.RoleUser {
		t.Cannot("messages", "it takes one text: a row with one user message and no system prompt")
		return nil
	}
	text, ok := turns[0].Words()
	if !ok {
		t.Cannot("messages[0].content", "it takes one text")
		return nil
	}
	return rawjson.AppendString(nil, text)
}
