// Package conversation says in one wire format what was written in the other:
// messages, and whole request bodies. It works on the JSON text, so numbers,
// key order inside tool arguments and schemas, and everything that both
// formats share keep their bytes.
//
// What the other format cannot say is an error that names the field. Nothing
// is dropped, except what means nothing: null, a parameter at its default, and
// labels that repeat what stands elsewhere.
package conversation

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"nightshift"
	"nightshift/providers/internal/jsonscan"
)

// Dialect returns the format that a message is written in: "" when it fits
// both, or holds nothing that tells.
func Dialect(raw json.RawMessage) nightshift.Protocol {
	v, err := jsonscan.Scan(raw)
	if err != nil {
		return ""
	}
	return dialect(v)
}

var (
	messagesParts = map[string]bool{
		"image": true, "document": true, "tool_use": true, "tool_result": true, "thinking": true, "redacted_thinking": true,
		"search_result": true, "server_tool_use": true, "container_upload": true, "compaction": true, "mcp_tool_use": true, "mcp_tool_result": true,
	}
	chatParts  = map[string]bool{"image_url": true, "input_audio": true, "file": true, "refusal": true, "video_url": true}
	chatRoles  = map[string]bool{"system": true, "developer": true, "tool": true, "function": true}
	chatFields = []string{"tool_calls", "tool_call_id", "function_call", "name", "refusal", "audio", "annotations", "reasoning_content", "reasoning", "reasoning_details"}
)

func dialect(message jsonscan.Value) nightshift.Protocol {
	if chatRoles[message.Get("role").String()] {
		return nightshift.Chat
	}
	for _, field := range chatFields {
		if message.Get(field).Exists() {
			return nightshift.Chat
		}
	}
	content := message.Get("content")
	if content.Kind() == jsonscan.Null && message.Get("role").Is("assistant") {
		return nightshift.Chat
	}
	for part := content.First(); part.Exists(); part = part.Next() {
		kind := part.Get("type").String()
		switch {
		case messagesParts[kind], strings.HasSuffix(kind, "_tool_result"), part.Get("citations").Set():
			return nightshift.Messages
		case chatParts[kind]:
			return nightshift.Chat
		}
	}
	return ""
}

// Message translates one message. One may become several: tool results that
// share a message in Messages have one each in Chat. A message that is already
// in the dialect, or in what both share, comes back as it is. A system or
// developer message cannot be said inside a Messages conversation; see
// [Conversation].
func Message(raw json.RawMessage, to nightshift.Protocol) ([]json.RawMessage, error) {
	v, err := scan(raw, "message")
	if err != nil {
		return nil, err
	}
	return message(v, to, "message")
}

func message(v jsonscan.Value, to nightshift.Protocol, path string) ([]json.RawMessage, error) {
	if v.Kind() != jsonscan.Object {
		return nil, invalid(path, "is "+v.Kind().String()+", not a message")
	}
	switch from := dialect(v); {
	case from == "" || from == to:
		return []json.RawMessage{v.Raw()}, nil
	case to == nightshift.Chat:
		out, err := toChatMessages(v, path)
		return out, once(err, v, path)
	default:
		m, err := toMessagesMessage(v, path)
		return []json.RawMessage{m}, once(err, v, path)
	}
}

// once adds to err that a key which was read occurs twice: which of the two
// was meant is not for us to guess.
func once(err error, v jsonscan.Value, path string) error {
	if err == nil && v.Doc().Repeated {
		return invalid(path, "has the same key twice")
	}
	return err
}

// Conversation translates the messages of one request. In Messages, system
// and developer messages stand outside of the conversation: they come back in
// system, a JSON string or a list of text blocks, nil when there are none. In
// Chat they stay where they are and system is nil. Tool results that follow
// each other in Chat share one message in Messages.
func Conversation(messages []json.RawMessage, to nightshift.Protocol) (system json.RawMessage, out []json.RawMessage, err error) {
	var c conversation
	for i, raw := range messages {
		path := fmt.Sprintf("messages[%d]", i)
		v, err := scan(raw, path)
		if err != nil {
			return nil, nil, err
		}
		if err := c.add(v, to, path); err != nil {
			return nil, nil, err
		}
	}
	return c.end(to)
}

// A conversation collects translated messages.
type conversation struct {
	system  []jsonscan.Value // contents of system messages, lifted out
	out     []json.RawMessage
	results []byte // tool results of one Messages turn, not yet closed
}

func (c *conversation) add(v jsonscan.Value, to nightshift.Protocol, path string) error {
	if to == nightshift.Messages {
		switch v.Get("role").String() {
		case "system", "developer":
			return c.lift(v, path)
		case "tool":
			return c.result(v, path)
		}
	}
	c.closeResults()
	translated, err := message(v, to, path)
	c.out = append(c.out, translated...)
	return err
}

func (c *conversation) lift(v jsonscan.Value, path string) error {
	if err := only(v, path, "role", "content"); err != nil {
		return err
	}
	content := v.Get("content")
	for part := content.First(); part.Exists(); part = part.Next() {
		if !part.Get("type").Is("text") {
			return cannot(path+".content", nightshift.Messages, "a system prompt is text only")
		}
	}
	if k := content.Kind(); k != jsonscan.String && k != jsonscan.Array {
		return invalid(path+".content", "is "+k.String())
	}
	c.system = append(c.system, content)
	return once(nil, v, path)
}

func (c *conversation) result(v jsonscan.Value, path string) error {
	block, err := toolResult(v, path)
	if err != nil {
		return err
	}
	if c.results == nil {
		c.results = []byte(`{"role":"user","content":[`)
	} else {
		c.results = append(c.results, ',')
	}
	c.results = append(c.results, block...)
	return once(nil, v, path)
}

func (c *conversation) closeResults() {
	if c.results != nil {
		c.out = append(c.out, append(c.results, "]}"...))
		c.results = nil
	}
}

func (c *conversation) end(to nightshift.Protocol) (json.RawMessage, []json.RawMessage, error) {
	c.closeResults()
	if to == nightshift.Messages && len(c.out) == 0 {
		return nil, nil, invalid("messages", "holds no user message, which the Messages format needs")
	}
	return systemPrompt(c.system), c.out, nil
}

// systemPrompt joins system messages: texts by a blank line, anything else as
// a list of text blocks.
func systemPrompt(contents []jsonscan.Value) json.RawMessage {
	texts := make([]string, 0, len(contents))
	var w writer
	w.open('[')
	for _, c := range contents {
		if text, ok := c.Text(); ok {
			texts = append(texts, text)
			w.item(textPart(text))
			continue
		}
		for part := c.First(); part.Exists(); part = part.Next() {
			w.item(part.Raw())
		}
	}
	switch {
	case len(contents) == 0:
		return nil
	case len(texts) == len(contents):
		return nightshift.AppendString(nil, strings.Join(texts, "\n\n"))
	}
	return w.close(']')
}

// Body translates a whole request body. What the two formats share keeps its
// order. A Chat body without a token cap becomes a Messages body without
// max_tokens, which is for the caller to notice.
func Body(body json.RawMessage, from, to nightshift.Protocol) (json.RawMessage, error) {
	v, err := scan(body, "body")
	if err != nil {
		return nil, err
	}
	if v.Kind() != jsonscan.Object {
		return nil, invalid("body", "is "+v.Kind().String()+", not an object")
	}
	if from == to {
		return body, nil
	}
	var out json.RawMessage
	if to == nightshift.Chat {
		out, err = toChatBody(v)
	} else {
		out, err = toMessagesBody(v)
	}
	if err := once(err, v, "body"); err != nil {
		return nil, err
	}
	return out, nil
}

func scan(raw json.RawMessage, path string) (jsonscan.Value, error) {
	v, err := jsonscan.Strict(raw)
	if err != nil {
		return jsonscan.Value{}, invalid(path, err.Error())
	}
	return v, nil
}

// cannot is the error for what the other format cannot say.
func cannot(path string, to nightshift.Protocol, hint string) error {
	return &nightshift.Error{
		Class: nightshift.ClassUntranslatable, Code: path,
		Message: path + " cannot be said in the " + formatName(to) + " format of this endpoint", Hint: hint,
	}
}

func formatName(p nightshift.Protocol) string {
	if p == nightshift.Messages {
		return "Messages"
	}
	return "Chat Completions"
}

// invalid is the error for what no format can say.
func invalid(path, what string) error {
	return &nightshift.Error{Class: nightshift.ClassInvalidRequest, Code: path, Message: path + " " + what}
}

// only refuses members that are set and not among the names.
func only(v jsonscan.Value, path string, names ...string) error {
	return unless(v, path, nightshift.Messages, "", names...)
}

// unless refuses members that are set and not among the names: the other
// format has no place for them.
func unless(v jsonscan.Value, path string, to nightshift.Protocol, hint string, names ...string) error {
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
		return cannot(path+"."+m.Key(), to, hint)
	}
	return nil
}

// IsUntranslatable reports whether err says that something cannot be said in
// the other format.
func IsUntranslatable(err error) bool {
	var e *nightshift.Error
	return errors.As(err, &e) && e.Class == nightshift.ClassUntranslatable
}

// A writer writes JSON.
type writer struct{ buf []byte }

func (w *writer) sep() {
	if n := len(w.buf); n > 0 {
		switch w.buf[n-1] {
		case '{', '[', ':':
		default:
			w.buf = append(w.buf, ',')
		}
	}
}

func (w *writer) open(c byte) { w.sep(); w.buf = append(w.buf, c) }

func (w *writer) close(c byte) []byte {
	w.buf = append(w.buf, c)
	return w.buf
}

func (w *writer) key(name string) {
	w.sep()
	w.buf = append(nightshift.AppendString(w.buf, name), ':')
}

func (w *writer) str(name, text string) {
	w.key(name)
	w.buf = nightshift.AppendString(w.buf, text)
}

func (w *writer) raw(name string, json []byte) {
	w.key(name)
	w.buf = append(w.buf, json...)
}

func (w *writer) item(json []byte) {
	w.sep()
	w.buf = append(w.buf, json...)
}

func textPart(text string) []byte {
	var w writer
	w.open('{')
	w.str("type", "text")
	w.str("text", text)
	return w.close('}')
}

// AppendText appends a message that is a role and a text.
func AppendText(buf []byte, role nightshift.Role, text string) []byte {
	buf = append(buf, `{"role":"`...)
	buf = append(buf, role...)
	buf = append(buf, `","content":`...)
	return append(nightshift.AppendString(buf, text), '}')
}

// Raws writes a system prompt, when there is one, and messages as JSON: those
// that have their own text as they are, the others as a role and a text.
func Raws(system string, messages []nightshift.Message) ([]json.RawMessage, error) {
	raws := make([]json.RawMessage, 0, len(messages)+1)
	if system != "" {
		raws = append(raws, AppendText(nil, nightshift.RoleSystem, system))
	}
	for i, m := range messages {
		if m.Raw != nil {
			raws = append(raws, m.Raw)
			continue
		}
		switch m.Role {
		case nightshift.RoleSystem, nightshift.RoleDeveloper, nightshift.RoleUser, nightshift.RoleAssistant:
			raws = append(raws, AppendText(nil, m.Role, m.Text))
		case nightshift.RoleTool:
			return nil, invalid(fmt.Sprintf("messages[%d]", i), "answers a tool call but has no tool_call_id")
		default:
			return nil, invalid(fmt.Sprintf("messages[%d]", i), fmt.Sprintf("has the unknown role %q", m.Role))
		}
	}
	return raws, nil
}
