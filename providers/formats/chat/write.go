package chat

import (
	"fmt"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/conversation"
)

// WritePrompt implements the format.
func (Format) WritePrompt(t *conversation.Translation, w *conversation.Writer, turns []conversation.Turn) {
	w.In("messages", '[')
	for _, turn := range turns {
		if !w.Turn(turn) {
			writeTurn(t, w, turn)
		}
	}
	w.Close(']')
}

func writeTurn(t *conversation.Translation, w *conversation.Writer, turn conversation.Turn) {
	w.Open('{')
	w.Str("role", string(turn.Role))
	switch turn.Role {
	case nightshift.RoleTool:
		w.Str("tool_call_id", turn.CallID)
		for _, p := range turn.Content.Parts {
			if p.Kind != conversation.Text {
				t.Cannot(p.Path, "a tool result is text only")
			}
		}
		if turn.Content.Text == nil && turn.Content.Parts == nil {
			w.Str("content", "")
			break
		}
		writeContent(t, w, turn.Content.Text, turn.Content.Parts)
	case nightshift.RoleAssistant:
		writeAssistant(t, w, turn.Content)
	default:
		writeContent(t, w, turn.Content.Text, turn.Content.Parts)
	}
	w.Close('}')
}

func writeContent(t *conversation.Translation, w *conversation.Writer, text []byte, parts []conversation.Part) {
	if parts == nil {
		w.Raw("content", text)
		return
	}
	w.In("content", '[')
	for _, p := range parts {
		writePart(t, w, p)
	}
	w.Close(']')
}

// writeAssistant writes texts and tool calls, which have places of their own
// in this format. One text is written as a string, which every server reads.
func writeAssistant(t *conversation.Translation, w *conversation.Writer, c *conversation.Content) {
	var texts, calls []conversation.Part
	if c.Text != nil {
		texts = append(texts, conversation.Part{Text: c.Text})
	}
	for _, p := range c.Parts {
		if p.Kind == conversation.Call {
			calls = append(calls, p)
		} else {
			texts = append(texts, p)
		}
	}
	switch {
	case len(texts) == 0:
		w.Raw("content", []byte("null"))
	case len(texts) == 1 && texts[0].Kind == conversation.Text && texts[0].Cache == nil:
		w.Raw("content", texts[0].Text)
	default:
		writeContent(t, w, nil, texts)
	}
	if calls == nil {
		return
	}
	w.In("tool_calls", '[')
	for _, p := range calls {
		w.Open('{')
		w.Str("id", p.ID)
		w.Str("type", "function")
		w.In("function", '{')
		w.Str("name", p.Name)
		w.Str("arguments", string(p.Input))
		w.Close('}')
		if p.Signature != "" { // as Gemini's own servers of this format have it
			w.Raw("extra_content", rawjson.AppendString([]byte(`{"google":{"thought_signature":`), p.Signature))
			w.Buf = append(w.Buf, "}}"...)
		}
		w.Close('}')
	}
	w.Close(']')
}

func writePart(t *conversation.Translation, w *conversation.Writer, p conversation.Part) {
	w.Open('{')
	switch p.Kind {
	case conversation.Text:
		w.Str("type", "text")
		w.Raw("text", p.Text)
	case conversation.Image:
		w.Str("type", "image_url")
		w.In("image_url", '{')
		w.Str("url", p.Media.DataURL())
		w.Close('}')
	case conversation.Audio:
		writeAudio(t, w, p.Media)
	case conversation.Document:
		if p.Media.URL != "" {
			t.Cannot(fmt.Sprintf("%s (of type %q)", p.Media.Path, "url"), "send the document as base64")
		}
		if p.Title == "" {
			p.Title = "document.pdf" // the file part needs a name
		}
		w.Str("type", "file")
		w.In("file", '{')
		w.Str("filename", p.Title)
		w.Str("file_data", p.Media.DataURL())
		w.Close('}')
	}
	w.Maybe("cache_control", p.Cache)
	w.Close('}')
}

// writeAudio writes a sound, of which the format knows two kinds.
func writeAudio(t *conversation.Translation, w *conversation.Writer, m conversation.Media) {
	kind := map[string]string{
		"audio/wav": "wav", "audio/x-wav": "wav", "audio/wave": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3",
	}[m.Type]
	if kind == "" || m.Data == "" {
		t.Cannot(m.Path, "send the audio as base64, wav or mp3")
	}
	w.Str("type", "input_audio")
	w.In("input_audio", '{')
	w.Str("data", m.Data)
	w.Str("format", kind)
	w.Close('}')
}

// capName is what a model's servers call the cap on output tokens. OpenAI's
// reasoning models refuse max_tokens; most compatible servers know nothing
// else.
func capName(model string) string {
	name := strings.ToLower(model[strings.LastIndexByte(model, '/')+1:])
	for _, prefix := range []string{"o1", "o3", "o4", "gpt-5"} {
		if strings.HasPrefix(name, prefix) && !strings.HasPrefix(name, "gpt-5-chat") {
			return "max_completion_tokens"
		}
	}
	return "max_tokens"
}

// WriteBody implements the format.
func (d Format) WriteBody(t *conversation.Translation, w *conversation.Writer, fields []conversation.Field,
	model string) {
	for _, f := range fields {
		if f.Key == conversation.Messages {
			d.WritePrompt(t, w, f.Turns)
		} else {
			writeField(t, w, f, model)
		}
	}
}

func writeField(t *conversation.Translation, w *conversation.Writer, f conversation.Field, model string) {
	switch f.Key {
	case conversation.Seed, conversation.Choices, conversation.FrequencyPenalty, conversation.PresencePenalty,
		conversation.Logprobs, conversation.TopLogprobs,
		conversation.Model, conversation.Temperature, conversation.TopP, conversation.TopK, conversation.Stream,
		conversation.CacheControl, conversation.ServiceTier, conversation.User:
		w.Raw(string(f.Key), f.JSON)
	case conversation.MaxTokens:
		w.Raw(capName(model), f.JSON)
	case conversation.StopSequences:
		w.Raw("stop", f.JSON)
	case conversation.Tools:
		writeTools(w, f.Tools)
	case conversation.ToolChoice:
		w.ToolChoice(f.Choice, "function")
	case conversation.Output:
		writeOutput(t, w, f)
	default:
		t.Cannot(f.Path, "")
	}
}

func writeTools(w *conversation.Writer, tools []conversation.Tool) {
	w.In("tools", '[')
	for _, tool := range tools {
		w.Open('{')
		w.Str("type", "function")
		w.In("function", '{')
		w.Str("name", tool.Name)
		w.Maybe("description", tool.Description)
		w.Maybe("parameters", tool.Parameters)
		w.Maybe("strict", tool.Strict)
		w.Close('}')
		w.Maybe("cache_control", tool.Cache)
		w.Close('}')
	}
	w.Close(']')
}

func writeOutput(t *conversation.Translation, w *conversation.Writer, f conversation.Field) {
	switch how := f.Output; {
	case how.Off:
		w.Str("reasoning_effort", "none")
	case how.Budget != nil:
		t.Cannot(f.Path, "set reasoning_effort in the model's params instead")
	case how.Effort != "":
		w.Str("reasoning_effort", how.Effort)
	}
	if f.Output.JSON {
		w.Raw("response_format", []byte(`{"type":"json_object"}`))
	}
	if f.Output.Schema == nil {
		return
	}
	w.In("response_format", '{')
	w.Str("type", "json_schema")
	w.In("json_schema", '{')
	how := f.Output
	if how.SchemaName == "" { // a label that the format demands
		how.SchemaName, how.Strict = "response", []byte("true")
	}
	w.Str("name", how.SchemaName)
	w.Raw("schema", how.Schema)
	w.Maybe("strict", how.Strict)
	w.Close('}')
	w.Close('}')
}
