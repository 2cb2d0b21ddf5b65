package messages

import (
	"strconv"
	"strings"

	"nightshift"
	"nightshift/providers/formats/internal/conversation"
)

// WritePrompt implements the format. System and developer messages become the
// top-level system prompt, and tool results that follow each other share a
// message.
func (Format) WritePrompt(t *conversation.Translation, w *conversation.Writer, turns []conversation.Turn) {
	writeSystem(w, turns)
	w.In("messages", '[')
	results, any := false, false // a message of results is open, a message has been written
	for _, turn := range turns {
		if isSystem(turn) {
			continue
		}
		tool := turn.Role == nightshift.RoleTool
		if results && !tool {
			endMessage(w)
		}
		switch {
		case tool:
			if !results {
				beginMessage(w, "user")
			}
			writeResult(t, w, turn)
		case !w.Turn(turn):
			w.Open('{')
			w.Str("role", string(turn.Role))
			writeContent(t, w, turn.Content)
			w.Close('}')
		}
		results, any = tool, true
	}
	if results {
		endMessage(w)
	}
	w.Close(']')
	if !any {
		t.Invalid("messages", "holds no user message, which the Messages format needs")
	}
}

func isSystem(t conversation.Turn) bool {
	return t.Role == nightshift.RoleSystem || t.Role == nightshift.RoleDeveloper
}

func beginMessage(w *conversation.Writer, role string) {
	w.Open('{')
	w.Str("role", role)
	w.In("content", '[')
}

func endMessage(w *conversation.Writer) {
	w.Close(']')
	w.Close('}')
}

// writeSystem joins system messages: texts by a blank line, anything else as a
// list of text blocks.
func writeSystem(w *conversation.Writer, turns []conversation.Turn) {
	texts, parts := conversation.Chosen(turns, isSystem)
	switch {
	case parts != nil:
		w.In("system", '[')
		for _, p := range parts {
			writePart(nil, w, p)
		}
		w.Close(']')
	case texts != nil:
		w.Str("system", strings.Join(texts, "\n\n"))
	}
}

func writeResult(t *conversation.Translation, w *conversation.Writer, turn conversation.Turn) {
	w.Open('{')
	w.Str("type", "tool_result")
	w.Str("tool_use_id", turn.CallID)
	if turn.Content.Text != nil || turn.Content.Parts != nil {
		writeContent(t, w, turn.Content)
	}
	w.Close('}')
}

func writeContent(t *conversation.Translation, w *conversation.Writer, c *conversation.Content) {
	if c.Parts == nil {
		w.Raw("content", c.Text)
		return
	}
	w.In("content", '[')
	if len(c.Text) > len(`""`) { // servers refuse empty text blocks
		writePart(t, w, conversation.Part{Text: c.Text})
	}
	for _, p := range c.Parts {
		writePart(t, w, p)
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
		w.Str("type", "image")
		if p.Detail != "" && p.Detail != "auto" && p.Detail != "high" { // servers always look closely
			t.Cannot(p.Path+".detail ("+p.Detail+")", "leave the detail out, or shrink the image")
		}
		writeSource(w, p.Media)
	case conversation.Document:
		w.Str("type", "document")
		writeSource(w, p.Media)
		if p.Title != "" {
			w.Str("title", p.Title)
		}
	case conversation.Audio:
		t.Cannot(p.Path+" (input_audio)", "Messages takes no audio")
	case conversation.Call:
		noSignature(t, p)
		w.Str("type", "tool_use")
		w.Str("id", p.ID)
		w.Str("name", p.Name)
		w.Raw("input", p.Input)
	}
	w.Maybe("cache_control", p.Cache)
	w.Close('}')
}

// noSignature notes a signature, for which the format has no place.
func noSignature(t *conversation.Translation, p conversation.Part) {
	if p.Signature != "" {
		t.Cannot(p.Path+" (a thought signature)", "leave the signatures out of the conversation")
	}
}

func writeSource(w *conversation.Writer, m conversation.Media) {
	w.In("source", '{')
	if m.URL != "" {
		w.Str("type", "url")
		w.Str("url", m.URL)
	} else {
		w.Str("type", "base64")
		w.Str("media_type", m.Type)
		w.Str("data", m.Data)
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
	case conversation.Temperature:
		if n, err := strconv.ParseFloat(string(f.JSON), 64); err == nil && n > 1 {
			t.Cannot("temperature above 1", "Messages temperatures end at 1")
		}
		w.Raw("temperature", f.JSON)
	case conversation.Model, conversation.MaxTokens, conversation.TopP, conversation.TopK, conversation.StopSequences,
		conversation.Stream, conversation.CacheControl:
		w.Raw(string(f.Key), f.JSON)
	case conversation.User:
		w.In("metadata", '{')
		w.Raw("user_id", f.JSON)
		w.Close('}')
	case conversation.ServiceTier:
		w.Str("service_tier", map[string]string{`"auto"`: "auto", `"default"`: "standard_only"}[string(f.JSON)])
	case conversation.Tools:
		writeTools(w, f.Tools)
	case conversation.ToolChoice:
		writeChoice(w, f.Choice)
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
		w.Str("name", tool.Name)
		w.Maybe("description", tool.Description)
		if tool.Parameters != nil {
			w.Raw("input_schema", tool.Parameters)
		} else { // elsewhere their absence means none, here it must be said
			w.Raw("input_schema", []byte(`{"type":"object","properties":{}}`))
		}
		w.Maybe("strict", tool.Strict)
		w.Maybe("cache_control", tool.Cache)
		w.Close('}')
	}
	w.Close(']')
}

// writeChoice writes tool_choice, which also says whether several tools may be
// called at once.
func writeChoice(w *conversation.Writer, c conversation.Choice) {
	if c.Kind == "" {
		c.Kind = "auto"
	}
	w.In("tool_choice", '{')
	w.Str("type", c.Kind)
	if c.Name != "" {
		w.Str("name", c.Name)
	}
	if c.Single && c.Kind != "none" { // no call at all takes no further field
		w.Raw("disable_parallel_tool_use", []byte("true"))
	}
	w.Close('}')
}

// writeOutput writes thinking and output_config.
func writeOutput(t *conversation.Translation, w *conversation.Writer, f conversation.Field) {
	switch how := f.Output; {
	case how.Off:
		w.Raw("thinking", []byte(`{"type":"disabled"}`))
	case how.Budget != nil:
		w.In("thinking", '{')
		w.Str("type", "enabled")
		w.Raw("budget_tokens", how.Budget)
		w.Close('}')
	case how.Effort != "":
		switch how.Effort {
		case "low", "medium", "high", "xhigh", "max":
		default:
			t.Cannot(f.Path+" ("+how.Effort+")", "Messages knows low, medium, high, xhigh and max")
		}
		w.Raw("thinking", []byte(`{"type":"adaptive"}`))
	}
	if f.Output.JSON {
		t.Cannot("response_format.type (json_object)", "give a json_schema")
	}
	if f.Output.Effort == "" && f.Output.Schema == nil {
		return
	}
	w.In("output_config", '{')
	if f.Output.Effort != "" {
		w.Str("effort", f.Output.Effort)
	}
	if f.Output.Schema != nil {
		w.In("format", '{')
		w.Str("type", "json_schema")
		w.Raw("schema", f.Output.Schema)
		w.Close('}')
	}
	w.Close('}')
}
