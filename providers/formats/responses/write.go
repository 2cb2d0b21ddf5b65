package responses

import (
	"fmt"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/conversation"
)

// WritePrompt implements the format. A plain system prompt that comes first
// becomes the instructions; all else are items, in order.
func (f Format) WritePrompt(t *conversation.Translation, w *conversation.Writer, turns []conversation.Turn) {
	first := 0
	if len(turns) > 1 && turns[0].Role == nightshift.RoleSystem {
		if text, ok := turns[0].Words(); ok {
			w.Str("instructions", text)
			first = 1
		}
	}
	w.In("input", '[')
	for i, turn := range turns[first:] {
		for _, turn := range f.own(t, turn, first+i) {
			if !w.Turn(turn) {
				writeTurn(t, w, turn)
			}
		}
	}
	w.Close(']')
	if n := len(turns); n > 0 && isPrefill(turns[n-1]) {
		t.Cannot(fmt.Sprintf("messages[%d] (the beginning of an answer)", n-1),
			"the conversation must end with the user's turn or a tool's result")
	}
}

// own reads a message whose parts are written as other formats have them: they
// share the kind "text", which here is two.
func (f Format) own(t *conversation.Translation, turn conversation.Turn, n int) []conversation.Turn {
	if turn.Raw == nil || t.Neutral == nil {
		return []conversation.Turn{turn}
	}
	v, err := rawjson.Scan(turn.Raw)
	if err != nil || f.OwnsMessage(v) || v.Get("content").Kind() != rawjson.Array {
		return []conversation.Turn{turn}
	}
	return t.Neutral.ParseMessage(t, v, fmt.Sprintf("messages[%d]", n))
}

// isPrefill reports whether a last turn is one of the assistant's, which no
// server continues in this format.
func isPrefill(turn conversation.Turn) bool {
	if turn.Raw == nil {
		return turn.Role == nightshift.RoleAssistant
	}
	v, err := rawjson.Scan(turn.Raw)
	return err == nil && v.Get("role").Is("assistant")
}

// writeTurn writes the items of a turn. Tool calls are items of their own and
// keep their place among the words.
func writeTurn(t *conversation.Translation, w *conversation.Writer, turn conversation.Turn) {
	if turn.Role == nightshift.RoleTool {
		writeOutputItem(t, w, turn)
		return
	}
	var words []conversation.Part
	if turn.Content.Text != nil {
		words = append(words, conversation.Part{Text: turn.Content.Text})
	}
	flush := func() {
		if len(words) > 0 {
			writeMessage(t, w, turn.Role, words)
		}
		words = nil
	}
	for _, p := range turn.Content.Parts {
		if p.Kind != conversation.Call {
			words = append(words, p)
			continue
		}
		flush()
		writeCall(t, w, p)
	}
	flush()
}

func writeCall(t *conversation.Translation, w *conversation.Writer, p conversation.Part) {
	if p.Signature != "" {
		t.Cannot(p.Path+" (a thought signature)", "leave the signatures out of the conversation")
	}
	w.Open('{')
	w.Str("type", "function_call")
	w.Str("call_id", p.ID)
	w.Str("name", p.Name)
	w.Str("arguments", string(p.Input))
	w.Close('}')
}

// writeMessage writes a message; one that is a plain text as a string, which
// every server reads.
func writeMessage(t *conversation.Translation, w *conversation.Writer, role nightshift.Role,
	parts []conversation.Part) {
	w.Open('{')
	w.Str("role", string(role))
	if len(parts) == 1 && parts[0].Kind == conversation.Text && parts[0].Cache == nil {
		w.Raw("content", parts[0].Text)
	} else {
		writeParts(t, w, "content", role, parts)
	}
	w.Close('}')
}

func writeParts(t *conversation.Translation, w *conversation.Writer, name string, role nightshift.Role,
	parts []conversation.Part) {
	w.In(name, '[')
	for _, p := range parts {
		writePart(t, w, role, p)
	}
	w.Close(']')
}

func writePart(t *conversation.Translation, w *conversation.Writer, role nightshift.Role, p conversation.Part) {
	w.Open('{')
	switch p.Kind {
	case conversation.Text:
		kind := "input_text"
		if role == nightshift.RoleAssistant {
			kind = kindText
		}
		w.Str("type", kind)
		w.Raw("text", p.Text)
	case conversation.Image:
		w.Str("type", "input_image")
		w.Str("image_url", p.Media.DataURL())
		if p.Detail != "" {
			w.Str("detail", p.Detail)
		}
	case conversation.Document:
		writeFile(w, p)
	case conversation.Audio:
		t.Cannot(p.Path+" (audio)", "Responses takes no audio")
	}
	w.Maybe("cache_control", p.Cache)
	w.Close('}')
}

func writeFile(w *conversation.Writer, p conversation.Part) {
	w.Str("type", "input_file")
	if p.Media.URL != "" {
		w.Str("file_url", p.Media.URL)
		return
	}
	if p.Title == "" {
		p.Title = "document.pdf" // the part needs a name
	}
	w.Str("filename", p.Title)
	w.Str("file_data", p.Media.DataURL())
}

func writeOutputItem(t *conversation.Translation, w *conversation.Writer, turn conversation.Turn) {
	w.Open('{')
	w.Str("type", "function_call_output")
	w.Str("call_id", turn.CallID)
	switch c := turn.Content; {
	case c.Parts != nil:
		writeParts(t, w, "output", turn.Role, c.Parts)
	case c.Text != nil:
		w.Raw("output", c.Text)
	default:
		w.Str("output", "")
	}
	w.Close('}')
}

// WriteBody implements the format.
func (d Format) WriteBody(t *conversation.Translation, w *conversation.Writer, fields []conversation.Field, _ string) {
	for _, f := range fields {
		if f.Key == conversation.Messages {
			d.WritePrompt(t, w, f.Turns)
		} else {
			writeField(t, w, f)
		}
	}
}

func writeField(t *conversation.Translation, w *conversation.Writer, f conversation.Field) {
	switch f.Key {
	case conversation.Model, conversation.Temperature, conversation.TopP, conversation.Stream, conversation.TopLogprobs,
		conversation.CacheControl, conversation.ServiceTier, conversation.User:
		w.Raw(string(f.Key), f.JSON)
	case conversation.MaxTokens:
		w.Raw("max_output_tokens", f.JSON)
	case conversation.Tools:
		writeTools(w, f.Tools)
	case conversation.ToolChoice:
		w.ToolChoice(f.Choice, "")
	case conversation.Output:
		writeOutput(t, w, f)
	case conversation.Logprobs:
		w.Raw("include", []byte(`["`+includeLogprobs+`"]`))
	default:
		t.Cannot(f.Path, "")
	}
}

// writeTools writes tools. Without strict servers try to be strict, which other
// formats do not do unasked.
func writeTools(w *conversation.Writer, tools []conversation.Tool) {
	w.In("tools", '[')
	for _, tool := range tools {
		w.Open('{')
		w.Str("type", "function")
		w.Str("name", tool.Name)
		w.Maybe("description", tool.Description)
		w.Maybe("parameters", tool.Parameters)
		if tool.Strict == nil {
			tool.Strict = []byte("false")
		}
		w.Raw("strict", tool.Strict)
		w.Maybe("cache_control", tool.Cache)
		w.Close('}')
	}
	w.Close(']')
}

// writeOutput writes reasoning and text.
func writeOutput(t *conversation.Translation, w *conversation.Writer, f conversation.Field) {
	how := f.Output
	switch {
	case how.Budget != nil:
		t.Cannot(f.Path, "set reasoning: {effort: …} in the model's params instead")
	case how.Off:
		how.Effort = "none"
		fallthrough
	case how.Effort != "":
		w.In("reasoning", '{')
		w.Str("effort", how.Effort)
		w.Close('}')
	}
	if how.Schema == nil && !how.JSON {
		return
	}
	w.In("text", '{')
	w.In("format", '{')
	if how.Schema == nil {
		w.Str("type", "json_object")
	} else {
		writeSchema(w, how)
	}
	w.Close('}')
	w.Close('}')
}

func writeSchema(w *conversation.Writer, how conversation.How) {
	w.Str("type", "json_schema")
	if how.SchemaName == "" { // from a format where every schema is kept to
		how.SchemaName, how.Strict = "response", []byte("true")
	}
	w.Str("name", how.SchemaName)
	w.Raw("schema", how.Schema)
	w.Maybe("strict", how.Strict)
}
