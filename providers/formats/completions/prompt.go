package completions

import (
	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/conversation"
)

// A conversation has no form here: what the roles become is for the user to say.
const useTemplate = "this format has no roles: write the prompt as text with dataset.prompt, " +
	"a template over the row's fields"

// OwnsMessage implements the format, which has no messages.
func (Format) OwnsMessage(rawjson.Value) bool { return false }

// OwnsPart implements the format.
func (Format) OwnsPart(rawjson.Value) bool { return false }

// ParseMessage implements the format, which has no messages.
func (Format) ParseMessage(t *conversation.Translation, _ rawjson.Value, path string) []conversation.Turn {
	t.Cannot(path, useTemplate)
	return nil
}

// ParseBody implements the format: the prompt of a request is one user turn.
func (Format) ParseBody(t *conversation.Translation, body rawjson.Value) (fields []conversation.Field) {
	for m := body.First(); m.Exists(); m = m.Next() {
		if !m.Set() || meansNothing(m) {
			continue
		}
		f := conversation.Field{Key: conversation.Key(m.Key()), Path: m.Key(), JSON: m.Raw()}
		switch m.Key() {
		case "prompt":
			f.Key, f.Turns = conversation.Messages, []conversation.Turn{{Role: nightshift.RoleUser, Text: onePrompt(t, m)}}
		case "model", "temperature", "top_p", "top_k", "stream", "user", "max_tokens", "n", "seed",
			"frequency_penalty", "presence_penalty":
		case "stop":
			f.Key = conversation.StopSequences
			if m.Kind() == rawjson.String {
				f.JSON = append(append([]byte{'['}, m.Raw()...), ']')
			}
		case "logprobs": // a number here
			fields = append(fields, conversation.Field{Key: conversation.Logprobs, Path: "logprobs", JSON: []byte("true")})
			f.Key = conversation.TopLogprobs
		case "stream_options": // usage comes without being asked for
			t.Only(m, "stream_options", "include_usage")
			continue
		default:
			t.Cannot(m.Key(), "")
			continue
		}
		fields = append(fields, f)
	}
	if !body.Get("max_tokens").Set() {
		t.Invalid("max_tokens", "is missing: 16 is the default of this format only")
	}
	return fields
}

// onePrompt is the text of a prompt, or of a list of one.
func onePrompt(t *conversation.Translation, prompt rawjson.Value) string {
	if prompt.Kind() == rawjson.Array && prompt.Count() == 1 {
		prompt = prompt.First()
	}
	text, ok := prompt.Text()
	if !ok {
		t.Cannot("prompt that is not one text", "write a row for each prompt, as text")
	}
	return text
}

// meansNothing reports whether a field is at the value that it has when it is
// absent.
func meansNothing(m rawjson.Value) bool {
	n, isNumber := m.Float()
	switch m.Key() {
	case "n", "best_of":
		return isNumber && n == 1
	case "frequency_penalty", "presence_penalty":
		return isNumber && n == 0
	case "echo", "logprobs":
		return m.IsFalse()
	case "logit_bias":
		return m.Kind() == rawjson.Object && m.Count() == 0
	}
	return false
}

// WritePrompt implements the format. The prompt is one user turn, byte for byte,
// and the beginning of an answer, where there is one, is its end.
func (Format) WritePrompt(t *conversation.Translation, w *conversation.Writer, turns []conversation.Turn) {
	var prompt string
	for i, turn := range turns {
		said := readTurn(turn)
		path := "messages (role " + string(said.role) + ")"
		switch {
		case said.role == nightshift.RoleSystem || said.role == nightshift.RoleDeveloper:
			t.Cannot("a system prompt", useTemplate)
		case said.role == nightshift.RoleUser && i == 0:
		case said.role == nightshift.RoleAssistant && i == 1 && i == len(turns)-1:
		default:
			t.Cannot(path, useTemplate)
		}
		if !said.plain {
			t.Cannot(path+" that is not plain text", useTemplate)
		}
		prompt += said.text
	}
	w.Str("prompt", prompt)
}

// noNames are parameters of Chat that ask for what this format does not have.
var noNames = map[string]string{
	"tools": useTemplate, "tool_choice": useTemplate, "parallel_tool_calls": useTemplate,
	"functions": useTemplate, "function_call": useTemplate,
	"response_format":  "vLLM takes a schema under another name; see its documents",
	"reasoning_effort": "", "reasoning": "", "thinking": "", "modalities": "", "audio": "",
}

// Params implements the format. The cap has one name, and logprobs is the number of
// alternatives.
func (Format) Params(t *conversation.Translation, params []nightshift.Param, _ rawjson.Value,
	_ string) []nightshift.Param {
	out := make([]nightshift.Param, 0, len(params))
	top := []byte("1")
	for _, p := range params {
		if p.Name == "top_logprobs" {
			top = p.Value
		}
	}
	for _, p := range params {
		hint, none := noNames[p.Name]
		switch {
		case none:
			t.Cannot(p.Name, hint)
		case p.Name == "top_logprobs", p.Name == "logprobs" && string(p.Value) == "false":
			continue
		case p.Name == "logprobs" && string(p.Value) == "true":
			p.Value = top
		case p.Name == "max_completion_tokens":
			p.Name = "max_tokens"
		}
		out = append(out, p)
	}
	return out
}

// A saying is what a turn says, if it is plain text.
type saying struct {
	role  nightshift.Role
	text  string
	plain bool
}

func readTurn(turn conversation.Turn) saying {
	if turn.Raw == nil {
		text, plain := turn.Words()
		return saying{turn.Role, text, plain}
	}
	v, err := rawjson.Scan(turn.Raw)
	text, plain := v.Get("content").Text()
	return saying{nightshift.Role(v.Get("role").String()), text, plain && err == nil && v.Count() == 2}
}

// WriteBody implements the format.
func (d Format) WriteBody(t *conversation.Translation, w *conversation.Writer, fields []conversation.Field,
	_ string) {
	top := []byte("1")
	for _, f := range fields {
		if f.Key == conversation.TopLogprobs {
			top = f.JSON
		}
	}
	for _, f := range fields {
		switch f.Key {
		case conversation.Messages:
			d.WritePrompt(t, w, f.Turns)
		case conversation.Model, conversation.MaxTokens, conversation.Temperature, conversation.TopP,
			conversation.TopK, conversation.Stream, conversation.User, conversation.Seed, conversation.Choices,
			conversation.FrequencyPenalty, conversation.PresencePenalty:
			w.Raw(string(f.Key), f.JSON)
		case conversation.StopSequences:
			w.Raw("stop", f.JSON)
		case conversation.Logprobs:
			w.Raw("logprobs", top)
		case conversation.TopLogprobs:
		default:
			t.Cannot(f.Path, useTemplate)
		}
	}
}
