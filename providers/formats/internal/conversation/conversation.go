// Package conversation holds requests in a form that is no wire format's:
// what one format parses, any other can write. JSON that all formats take as
// it is (texts, schemas, tool arguments, numbers) keeps its bytes, and a
// message that is in the target's own format, or in what all formats share, is
// not parsed at all.
//
// What the target cannot say is an error that names the field. Nothing is
// dropped, except what means nothing: null, a parameter at its default, and
// labels that repeat what stands elsewhere.
package conversation

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
)

// A Dialect is the way in which one format writes requests.
type Dialect interface {
	Protocol() nightshift.Protocol
	// Name is the format's name for people.
	Name() string
	// OwnsMessage reports whether a message has a role or a field that only
	// this format knows.
	OwnsMessage(message rawjson.Value) bool
	// OwnsPart reports whether one part of a message's content does.
	OwnsPart(part rawjson.Value) bool
	// ParseMessage reads a message of this format. It may hold several turns.
	ParseMessage(t *Translation, message rawjson.Value, path string) []Turn
	// ParseBody reads a whole request body, in the order of its fields.
	ParseBody(t *Translation, body rawjson.Value) []Field
	// WritePrompt writes the members of a body that hold the turns.
	WritePrompt(t *Translation, w *Writer, turns []Turn)
	// WriteBody writes all fields of a body that goes to model, the prompt
	// among them, in their order as far as the format lets it.
	WriteBody(t *Translation, w *Writer, fields []Field, model string)
}

// A Turn is one message. It is what Raw holds, else what Content does, else
// Role and Text alone.
type Turn struct {
	Role    nightshift.Role
	Raw     json.RawMessage // the whole message, in the target's format
	Content *Content
	Text    string
	CallID  string // of RoleTool: the call that it answers
}

// Words returns the text of a turn that is one text.
func (t Turn) Words() (text string, ok bool) {
	switch {
	case t.Content == nil:
		return t.Text, t.Raw == nil
	case t.Content.Parts != nil:
		return "", false
	}
	v, err := rawjson.Scan(t.Content.Text)
	return v.String(), err == nil
}

// Content is a text, parts after it, or both. A list of parts without an
// element is not nil.
type Content struct {
	Text  json.RawMessage // a JSON string; nil for none
	Parts []Part
}

// A Kind is the kind of a [Part].
type Kind int

const (
	Text Kind = iota
	Image
	Document
	Audio
	Call // of a tool
)

// A Part is one part of a message's content.
type Part struct {
	Kind  Kind
	Path  string          // where it stands in the request, for errors
	Text  json.RawMessage // of Text: a JSON string
	Cache json.RawMessage // cache_control; nil without

	Media  Media  // of Image, Document and Audio
	Detail string // of Image: how closely to look
	Title  string // of Document

	ID, Name string          // of Call
	Input    json.RawMessage // of Call: a JSON object
	// Signature is what Gemini signs a part with and wants back with it.
	Signature string
}

// A Key names what a [Field] sets.
type Key string

const (
	Messages      Key = "messages"
	Model         Key = "model"
	MaxTokens     Key = "max_tokens"
	Temperature   Key = "temperature"
	TopP          Key = "top_p"
	TopK          Key = "top_k"
	StopSequences Key = "stop_sequences" // a list of texts
	Stream        Key = "stream"
	CacheControl  Key = "cache_control"
	User          Key = "user"
	ServiceTier   Key = "service_tier" // "auto" or "default"
	Tools         Key = "tools"
	ToolChoice    Key = "tool_choice"
	Output        Key = "output"

	Seed             Key = "seed"
	Choices          Key = "n"
	FrequencyPenalty Key = "frequency_penalty"
	PresencePenalty  Key = "presence_penalty"
	Logprobs         Key = "logprobs"     // true
	TopLogprobs      Key = "top_logprobs" // how many beside the chosen token
)

// A Field is one setting of a request body.
type Field struct {
	Key    Key
	Path   string          // its name in the body that was parsed, for errors
	JSON   json.RawMessage // its value, unless it is one of the following
	Turns  []Turn          // of Messages, the system prompt included
	Tools  []Tool
	Choice Choice
	Output How
}

// A Tool is a function that the model may call.
type Tool struct {
	Name                                   string
	Description, Parameters, Strict, Cache json.RawMessage // nil where they are not set
}

// A Choice says which tools the model calls.
type Choice struct {
	Kind   string // "auto", "none", "any" or "tool"; "" is not said
	Name   string // of the kind "tool"
	Single bool   // one call at a time
}

// How says how much to reason before answering, and what form the answer has.
type How struct {
	Off    bool            // no reasoning
	Effort string          // "low" to "max"; "" is not said
	Budget json.RawMessage // in tokens; nil is not said
	Schema json.RawMessage // of a JSON answer; nil for any text
	JSON   bool            // a JSON answer of any form
	// SchemaName is what a schema is called, and Strict whether it is kept to;
	// empty and nil where its format has no such words and keeps to every schema.
	SchemaName string
	Strict     json.RawMessage
}

// A Translation brings one request into a dialect. It remembers the first
// thing that went wrong, so that parsers and writers can go on.
type Translation struct {
	To  Dialect
	All []Dialect // whose messages may come
	// Neutral is the dialect whose names parameters may have.
	Neutral Dialect
	// Continues says that another turn follows the answer.
	Continues bool
	Err       error

	calls int        // of functions so far
	open  []openCall // those without a result
}

// Arguments are those of a call of a tool, a JSON object in a string; an empty one
// is no argument.
func (t *Translation) Arguments(v rawjson.Value, path string) []byte {
	text := []byte(cmp.Or(strings.TrimSpace(v.String()), "{}"))
	if input, err := rawjson.Strict(text); err != nil || input.Kind() != rawjson.Object {
		t.Cannot(path, "they must be a JSON object")
	}
	return text
}

// Cannot notes what the target cannot say.
func (t *Translation) Cannot(path, hint string) {
	t.fail(&nightshift.Error{
		Class: nightshift.ClassUntranslatable, Code: path,
		Message: path + " cannot be said in the " + t.To.Name() + " format of this endpoint", Hint: hint,
	})
}

// Invalid notes what no format can say.
func (t *Translation) Invalid(path, what string) {
	t.fail(&nightshift.Error{Class: nightshift.ClassInvalidRequest, Code: path, Message: path + " " + what})
}

func (t *Translation) fail(err *nightshift.Error) {
	if t.Err == nil {
		t.Err = err
	}
}

// Only notes members of v that are set and not among the names.
func (t *Translation) Only(v rawjson.Value, path string, names ...string) {
	t.OnlyHint(v, path, "", names...)
}

// OnlyHint is Only with a hint.
func (t *Translation) OnlyHint(v rawjson.Value, path, hint string, names ...string) {
members:
	for m := v.First(); m.Exists(); m = m.Next() {
		if !m.Set() {
			continue
		}
		for _, name := range names {
			if m.KeyIs(name) {
				continue members
			}
		}
		t.Cannot(path+"."+m.Key(), hint)
	}
}

// Request returns the turns of a request, its system prompt first.
func (t *Translation) Request(system string, messages []nightshift.Message) []Turn {
	turns := make([]Turn, 0, len(messages)+1)
	if system != "" {
		turns = append(turns, Turn{Role: nightshift.RoleSystem, Text: system})
	}
	for i, m := range messages {
		switch m.Role {
		case nightshift.RoleSystem, nightshift.RoleDeveloper, nightshift.RoleUser, nightshift.RoleAssistant:
			if m.Raw == nil {
				turns = append(turns, Turn{Role: m.Role, Text: m.Text})
				continue
			}
		}
		turns = append(turns, t.special(m, fmt.Sprintf("messages[%d]", i))...)
	}
	return joined(turns)
}

// joined puts what the assistant says and calls in a row into one turn: other
// formats have one message for what is several items in Responses.
func joined(turns []Turn) []Turn {
	for i := 1; i < len(turns); i++ {
		before, after := turns[i-1], turns[i]
		if !before.called() && !after.called() || !before.spoken() || !after.spoken() {
			continue
		}
		parts := appendParts(nil, nil, before)
		turns[i-1] = Turn{Role: before.Role, Content: &Content{Parts: appendParts(parts, nil, after)}}
		turns = slices.Delete(turns, i, i+1)
		i--
	}
	return turns
}

// spoken reports whether a turn is one of the assistant's that has been read.
func (t Turn) spoken() bool { return t.Role == nightshift.RoleAssistant && t.Raw == nil }

// called reports whether a turn calls a tool.
func (t Turn) called() bool {
	return t.Content != nil && slices.ContainsFunc(t.Content.Parts, func(p Part) bool { return p.Kind == Call })
}

// special returns the turns of a message that is more than a role and a text.
func (t *Translation) special(m nightshift.Message, path string) []Turn {
	switch {
	case m.Raw != nil:
		if v, ok := t.scan(m.Raw, path); ok {
			return t.Message(v, path)
		}
	case m.Role == nightshift.RoleTool:
		t.Invalid(path, "answers a tool call but has no tool_call_id")
	default:
		t.Invalid(path, fmt.Sprintf("has the unknown role %q", m.Role))
	}
	return nil
}

func (t *Translation) scan(raw json.RawMessage, path string) (rawjson.Value, bool) {
	v, err := rawjson.Strict(raw)
	if err != nil {
		t.Invalid(path, err.Error())
	}
	return v, err == nil
}

// List returns the turns of a list of messages.
func (t *Translation) List(list rawjson.Value, path string) (turns []Turn) {
	if list.Kind() != rawjson.Array {
		t.Invalid(path, "is "+list.Kind().String()+", not a list")
		return nil
	}
	for m, at := range Each(list, path) {
		if v, ok := t.scan(m.Raw(), at); ok { // apart, so that a key that it holds twice is its own affair
			turns = append(turns, t.Message(v, at)...)
		}
	}
	return joined(turns)
}

// Message returns the turns of one message in any dialect.
func (t *Translation) Message(v rawjson.Value, path string) []Turn {
	if v.Kind() != rawjson.Object {
		t.Invalid(path, "is "+v.Kind().String()+", not a message")
		return nil
	}
	from := Of(v, t.All)
	if from == nil || from.Protocol() == t.To.Protocol() {
		return []Turn{{Raw: v.Raw()}}
	}
	turns := from.ParseMessage(t, v, path)
	t.once(v, path)
	return turns
}

// once refuses a key that was read and occurs twice: which of the two was
// meant is not for us to guess.
func (t *Translation) once(v rawjson.Value, path string) {
	if v.Doc().Repeated {
		t.Invalid(path, "has the same key twice")
	}
}

// Of returns the dialect that a message is written in; nil when it fits all,
// or holds nothing that tells.
func Of(message rawjson.Value, all []Dialect) Dialect {
	for _, d := range all {
		if d.OwnsMessage(message) {
			return d
		}
	}
	for part := message.Get("content").First(); part.Exists(); part = part.Next() {
		for _, d := range all {
			if d.OwnsPart(part) {
				return d
			}
		}
	}
	return nil
}

// Body translates a whole request body that will be sent to a model, by
// default the one that it names. Fields that both formats know keep their
// order.
func (t *Translation) Body(body json.RawMessage, from Dialect, model string) json.RawMessage {
	v, ok := t.scan(body, "body")
	if !ok {
		return nil
	}
	if v.Kind() != rawjson.Object {
		t.Invalid("body", "is "+v.Kind().String()+", not an object")
		return nil
	}
	if model == "" {
		model = v.Get("model").String()
	}
	var w Writer
	w.Open('{')
	t.To.WriteBody(t, &w, from.ParseBody(t, v), model)
	t.once(v, "body")
	return w.Close('}')
}
