package responses

import (
	"slices"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// An item is one element of an answer's output.
type item struct {
	index        int64
	kind         string // its type
	id           string
	callID, name string
	phase        string // of a message: "commentary" or "final_answer"
	parts        []*part
	input        answer.Text // of a call: arguments, or the text of a custom tool
	search       bool        // a search of the server's own
	sealed       bool        // reasoning that comes with its encrypted form
	raw          []byte      // as it came whole
}

// A part is one piece of what an item says.
type part struct {
	kind  string // "output_text", "refusal", "reasoning_text" or "summary_text"
	index int64
	text  answer.Text
}

// Kinds of parts.
const (
	kindText      = "output_text"
	kindRefusal   = "refusal"
	kindReasoning = "reasoning_text"
	kindSummary   = "summary_text"
)

// said is the field of a part that holds its words.
func said(kind string) string {
	if kind == kindRefusal {
		return "refusal"
	}
	return "text"
}

// readItem reads an item as far as it is filled in.
func readItem(v rawjson.Value, index int64) *item {
	it := &item{
		index: index, kind: v.Get("type").String(), id: v.Get("id").String(),
		callID: v.Get("call_id").String(), name: v.Get("name").String(), phase: v.Get("phase").String(),
		sealed: v.Get("encrypted_content").String() != "", raw: v.JSON(),
	}
	if it.kind == "" && v.Get("role").Set() {
		it.kind = "message"
	}
	it.readParts(v.Get("content"), defaultPart(it.kind))
	it.readParts(v.Get("summary"), kindSummary)
	if field, isCall := callFields[it.kind]; isCall {
		it.readInput(v.Get(field))
	}
	action := v.Get("action")
	it.search = it.kind == "web_search_call" && !v.Get("status").Is("failed") &&
		(!action.Get("type").Set() || action.Get("type").Is("search"))
	return it
}

// defaultPart is the kind of a part without a type.
func defaultPart(item string) string {
	if item == "reasoning" {
		return kindReasoning
	}
	return kindText
}

// readParts takes a text, or a list of parts.
func (it *item) readParts(v rawjson.Value, kind string) {
	if v.Kind() == rawjson.String {
		it.part(kind, 0).text.AddValue(v)
		return
	}
	n := int64(0)
	for p := v.First(); p.Exists(); p = p.Next() {
		it.readPart(p, kind, n)
		n++
	}
}

func (it *item) readPart(v rawjson.Value, kind string, index int64) {
	switch t := v.Get("type").String(); t {
	case kindText, kindRefusal, kindReasoning, kindSummary:
		kind = t
	case "text", "": // of the kind that stands here
	default:
		return
	}
	it.part(kind, index).text.AddValue(v.Get(said(kind)))
}

// part returns the part of a kind with an index.
func (it *item) part(kind string, index int64) *part {
	for _, p := range it.parts {
		if p.kind == kind && p.index == index {
			return p
		}
	}
	p := &part{kind: kind, index: index}
	it.parts = append(it.parts, p)
	return p
}

// callFields are the kinds of items that the client is to answer, with the
// field that holds what it is to do.
var callFields = map[string]string{
	"function_call": "arguments", "mcp_approval_request": "arguments", "custom_tool_call": "input",
	"computer_call": "action", "local_shell_call": "action", "shell_call": "action", "apply_patch_call": "operation",
}

// readInput takes what a call is to do: a text, or an object.
func (it *item) readInput(v rawjson.Value) {
	if v.Kind() == rawjson.Object || v.Kind() == rawjson.Array {
		it.input.Add(string(v.JSON()))
		return
	}
	it.input.AddValue(v)
}

// toolCall is the item as a tool call.
func (it *item) toolCall() nightshift.ToolCall {
	call := nightshift.ToolCall{ID: it.callID, Name: it.name, Arguments: it.input.String()}
	if call.ID == "" {
		call.ID = it.id
	}
	if call.Name == "" {
		call.Name = it.kind
	}
	if it.kind != "custom_tool_call" {
		call.Arguments = answer.OrEmptyObject(call.Arguments)
	}
	return call
}

// texts are the words of an item's parts of a kind, in order.
func (it *item) texts(kind string) (texts []string, set bool) {
	slices.SortStableFunc(it.parts, func(a, b *part) int { return int(a.index - b.index) })
	for _, p := range it.parts {
		if p.kind != kind || !p.text.Set() {
			continue
		}
		set = true
		texts = append(texts, p.text.String())
	}
	return texts, set
}

// size is how many bytes an item says.
func (it *item) size() int {
	n := it.input.Len()
	for _, p := range it.parts {
		n += p.text.Len()
	}
	return n
}

// replace takes the item as it came whole for what had come in pieces. A form
// that says nothing does not displace one that does. It reports whether the
// two differ in what they say.
func (it *item) replace(whole *item) (differs bool) {
	pieces := *it
	*it = *whole
	it.index = pieces.index
	if whole.size() == 0 && pieces.size() > 0 {
		it.parts, it.input, it.raw = pieces.parts, pieces.input, nil
		return false
	}
	keep := func(field *string, earlier string) {
		if *field == "" {
			*field = earlier
		}
	}
	keep(&it.kind, pieces.kind)
	keep(&it.callID, pieces.callID)
	keep(&it.name, pieces.name)
	keep(&it.phase, pieces.phase)
	return pieces.size() > 0 && !pieces.saysSame(it)
}

func (it *item) saysSame(other *item) bool {
	if it.input.String() != other.input.String() {
		return false
	}
	for _, kind := range []string{kindText, kindRefusal, kindReasoning, kindSummary} {
		a, _ := it.texts(kind)
		b, _ := other.texts(kind)
		if !slices.Equal(a, b) {
			return false
		}
	}
	return true
}
