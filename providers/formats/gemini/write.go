package gemini

import (
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/conversation"
)

// WritePrompt implements the format. System and developer messages become the
// system instruction; messages of one speaker that follow each other share a
// content, results of functions being the user's.
func (Format) WritePrompt(t *conversation.Translation, w *conversation.Writer, turns []conversation.Turn) {
	writeSystem(w, turns)
	w.In("contents", '[')
	p := prompt{t: t, w: w, names: map[string]string{}}
	for _, turn := range turns {
		if !isSystem(turn) {
			p.turn(turn)
		}
	}
	p.end()
	w.Close(']')
	if !p.any {
		t.Invalid("messages", "holds no user message, which the Gemini format needs")
	}
}

func isSystem(t conversation.Turn) bool {
	return t.Raw == nil && (t.Role == nightshift.RoleSystem || t.Role == nightshift.RoleDeveloper)
}

// writeSystem joins system messages by a blank line.
func writeSystem(w *conversation.Writer, turns []conversation.Turn) {
	texts, parts := conversation.Chosen(turns, isSystem)
	if texts != nil {
		parts = []conversation.Part{conversation.Plain(strings.Join(texts, "\n\n"))}
	}
	if parts == nil {
		return
	}
	w.In("systemInstruction", '{')
	w.In("parts", '[')
	for _, p := range parts {
		writeText(w, p.Text, p.Signature)
	}
	w.Close(']')
	w.Close('}')
}

// A prompt writes contents.
type prompt struct {
	t     *conversation.Translation
	w     *conversation.Writer
	role  string            // of the content that is open; "" for none
	names map[string]string // of the functions that were called, by the ids of the calls
	any   bool
}

func (p *prompt) end() {
	if p.role != "" {
		p.w.Close(']')
		p.w.Close('}')
	}
	p.role = ""
}

// open begins a content, unless one of the same speaker is open.
func (p *prompt) open(role string) {
	if p.role == role {
		return
	}
	p.end()
	p.role, p.any = role, true
	p.w.Open('{')
	p.w.Str("role", role)
	p.w.In("parts", '[')
}

func (p *prompt) turn(turn conversation.Turn) {
	if turn.Raw != nil {
		p.end()
		p.any = true
		p.w.Item(p.own(turn.Raw))
		return
	}
	switch turn.Role {
	case nightshift.RoleTool:
		p.open("user")
		p.result(turn)
		return
	case nightshift.RoleAssistant:
		p.open("model")
	default:
		p.open("user")
	}
	p.content(turn)
}

func (p *prompt) content(turn conversation.Turn) {
	if turn.Content == nil {
		writeText(p.w, rawjson.AppendString(nil, turn.Text), "")
		return
	}
	if turn.Content.Text != nil && (len(turn.Content.Text) > len(`""`) || len(turn.Content.Parts) == 0) {
		writeText(p.w, turn.Content.Text, "")
	}
	for _, part := range turn.Content.Parts {
		p.part(part)
	}
}

// own returns a message as it goes out: in its own format as it is, and one
// that no format owns, such as a role and a text with further fields, with its
// content as parts.
func (p *prompt) own(raw []byte) []byte {
	v, err := rawjson.Scan(raw)
	if err != nil {
		return raw
	}
	for part := v.Get("parts").First(); part.Exists(); part = part.Next() {
		if f := get(part, "functionCall"); f.Set() {
			p.names[f.Get("id").String()] = f.Get("name").String()
		}
	}
	content := v.Get("content")
	if v.Get("parts").Exists() || !content.Exists() {
		return raw
	}
	role := map[string]string{"assistant": "model", "user": "user"}[v.Get("role").String()]
	if role == "" {
		p.t.Invalid("messages", "hold one of the role "+v.Get("role").String())
	}
	p.t.Only(v, "messages", "role", "content")
	inner := prompt{t: p.t, w: &conversation.Writer{}, names: p.names}
	inner.open(role)
	read := p.t.Content(content, "messages.content", func(v rawjson.Value, at string) conversation.Part {
		return p.t.TextOnly(v, at, "this message")
	})
	inner.content(conversation.Turn{Content: read})
	inner.end()
	return inner.w.Buf
}

func writeText(w *conversation.Writer, text []byte, signature string) {
	w.Open('{')
	w.Raw("text", text)
	if signature != "" {
		w.Str("thoughtSignature", signature)
	}
	w.Close('}')
}

func (p *prompt) part(part conversation.Part) {
	if part.Cache != nil {
		p.t.Cannot(part.Path+".cache_control", "leave the cache markers out: Gemini caches by itself")
	}
	switch part.Kind {
	case conversation.Text:
		writeText(p.w, part.Text, part.Signature)
	case conversation.Image, conversation.Document, conversation.Audio:
		if part.Detail != "" && part.Detail != "auto" {
			p.t.Cannot(part.Path+".detail ("+part.Detail+")",
				"set generationConfig.mediaResolution in the model's params instead")
		}
		p.media(part.Media)
	case conversation.Call:
		p.call(part)
	}
}

// fileHosts begin the URLs that servers fetch from by themselves.
var fileHosts = []string{
	"https://generativelanguage.googleapis.com/", "https://storage.googleapis.com/",
	"https://www.youtube.com/", "https://youtu.be/",
}

func (p *prompt) media(m conversation.Media) {
	p.w.Open('{')
	if m.URL == "" {
		p.w.In("inlineData", '{')
		p.w.Str("mimeType", m.Type)
		p.w.Str("data", m.Data)
	} else {
		if !slices.ContainsFunc(fileHosts, func(host string) bool { return strings.HasPrefix(m.URL, host) }) {
			p.t.Cannot(m.Path, "Gemini fetches nothing from the web: send the file itself as base64")
		}
		p.w.In("fileData", '{')
		if m.Type != "" {
			p.w.Str("mimeType", m.Type)
		}
		p.w.Str("fileUri", m.URL)
	}
	p.w.Close('}')
	p.w.Close('}')
}

func (p *prompt) call(part conversation.Part) {
	p.names[part.ID] = part.Name
	p.w.Open('{')
	p.w.In("functionCall", '{')
	if part.ID != "" {
		p.w.Str("id", part.ID)
	}
	p.w.Str("name", part.Name)
	p.w.Raw("args", part.Input)
	p.w.Close('}')
	if part.Signature != "" {
		p.w.Str("thoughtSignature", part.Signature)
	}
	p.w.Close('}')
}

// result writes what a function returned, with the name of the function, which
// only its call says.
func (p *prompt) result(turn conversation.Turn) {
	called, ok := p.names[turn.CallID]
	if !ok {
		p.t.Invalid("tool_call_id "+turn.CallID,
			"answers no tool call of the conversation, and the Gemini format needs the function's name")
	}
	p.w.Open('{')
	p.w.In("functionResponse", '{')
	p.w.Str("id", turn.CallID)
	p.w.Str("name", called)
	p.w.In("response", '{')
	p.w.Str("result", p.words(turn))
	p.w.Close('}')
	p.w.Close('}')
	p.w.Close('}')
}

// words is the text of a turn, whose parts must all be texts.
func (p *prompt) words(turn conversation.Turn) string {
	if text, ok := turn.Words(); ok {
		return text
	}
	var texts []string
	for _, part := range turn.Content.Parts {
		v, _ := rawjson.Scan(part.Text)
		texts = append(texts, v.String())
		if part.Kind != conversation.Text {
			p.t.Cannot(part.Path, "a function's result is text only")
		}
	}
	return strings.Join(texts, "\n")
}

// WriteBody implements the format: contents, tools, then the configuration,
// which holds most of the settings.
func (d Format) WriteBody(
	t *conversation.Translation, w *conversation.Writer, fields []conversation.Field, model string,
) {
	for _, f := range fields {
		if f.Key == conversation.Messages {
			d.WritePrompt(t, w, f.Turns)
		}
	}
	for _, p := range settings(t, fields, model) {
		w.Raw(p.Name, p.Value)
	}
}
