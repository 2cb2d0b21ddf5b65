package gemini

import (
	"fmt"
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/conversation"
)

// OwnsMessage implements the format: its messages have parts, and no content.
func (Format) OwnsMessage(m rawjson.Value) bool {
	return m.Get("parts").Exists() || m.Get("role").Is("model")
}

// OwnsPart implements the format: no part of a content is its own.
func (Format) OwnsPart(rawjson.Value) bool { return false }

// ParseMessage implements the format. Results of functions become turns of
// their own.
func (Format) ParseMessage(t *conversation.Translation, v rawjson.Value, path string) []conversation.Turn {
	t.Only(v, path, "role", "parts")
	parts, at := v.Get("parts"), path+".parts"
	switch role := v.Get("role").String(); role {
	case "model":
		said := &conversation.Content{Parts: []conversation.Part{}}
		for p, at := range conversation.Each(parts, at) {
			said.Parts = append(said.Parts, spoken(t, p, at))
		}
		return []conversation.Turn{{Role: nightshift.RoleAssistant, Content: said}}
	case "user", "function", "":
		return userTurns(t, parts, at)
	default:
		t.Invalid(path+".role", fmt.Sprintf("is %q", role))
	}
	return nil
}

func userTurns(t *conversation.Translation, parts rawjson.Value, path string) (turns []conversation.Turn) {
	var user *conversation.Content // in hand
	for p, at := range conversation.Each(parts, path) {
		if result := get(p, "functionResponse"); result.Set() {
			user = nil
			turns = append(turns, functionResult(t, result, at+".functionResponse"))
			continue
		}
		if user == nil {
			user = &conversation.Content{}
			turns = append(turns, conversation.Turn{Role: nightshift.RoleUser, Content: user})
		}
		user.Parts = append(user.Parts, shown(t, p, at))
	}
	return turns
}

// functionResult reads what a function returned: an object, of which {"result": text}
// says no more than the text.
func functionResult(t *conversation.Translation, v rawjson.Value, path string) conversation.Turn {
	t.Only(v, path, "id", "name", "response")
	response := v.Get("response")
	text := rawjson.AppendString(nil, string(response.JSON()))
	if only := response.First(); response.Count() == 1 && only.KeyIs("result") && only.Kind() == rawjson.String {
		text = only.Raw()
	}
	return conversation.Turn{
		Role: nightshift.RoleTool, Content: &conversation.Content{Text: text},
		CallID: t.Answered(v.Get("name").String(), v.Get("id").String()),
	}
}

// spoken reads a part of what the model said.
func spoken(t *conversation.Translation, p rawjson.Value, path string) conversation.Part {
	if p.Get("thought").IsTrue() {
		t.Cannot(path+" (a thought)", "leave the thoughts out of the conversation")
	}
	f := get(p, "functionCall")
	if !f.Set() {
		return shown(t, p, path)
	}
	t.Only(p, path, "functionCall", "function_call", "thoughtSignature", "thought_signature", "thought")
	t.Only(f, path+".functionCall", "id", "name", "args")
	input := []byte("{}")
	if args := f.Get("args"); args.Set() {
		input = args.Raw()
	}
	called := f.Get("name").String()
	return conversation.Part{
		Kind: conversation.Call, Path: path, ID: t.Called(called, f.Get("id").String()), Name: called, Input: input,
		Signature: get(p, "thoughtSignature").String(),
	}
}

// shown reads a text or media.
func shown(t *conversation.Translation, p rawjson.Value, path string) conversation.Part {
	inline, file := get(p, "inlineData"), get(p, "fileData")
	if signature := get(p, "thoughtSignature"); signature.Says() {
		t.Cannot(path+".thoughtSignature", "leave the signatures of texts out of the conversation")
	}
	t.Only(p, path, "text", "thought", "thoughtSignature", "thought_signature",
		"inlineData", "inline_data", "fileData", "file_data")
	switch text := p.Get("text"); {
	case text.Kind() == rawjson.String:
		return conversation.Part{Kind: conversation.Text, Path: path, Text: text.Raw()}
	case inline.Set():
		m := conversation.Media{Path: path, Type: get(inline, "mimeType").String(), Data: inline.Get("data").String()}
		return mediaPart(t, m, path)
	case file.Set():
		m := t.Media(get(file, "fileUri").String(), path+".fileData.fileUri")
		m.Type = get(file, "mimeType").String()
		return mediaPart(t, m, path)
	}
	t.Cannot(path, "")
	return conversation.Part{}
}

func mediaPart(t *conversation.Translation, m conversation.Media, path string) conversation.Part {
	p := conversation.Part{Path: path, Media: m}
	switch {
	case strings.HasPrefix(m.Type, "image/"):
		p.Kind = conversation.Image
	case strings.HasPrefix(m.Type, "audio/"):
		p.Kind = conversation.Audio
	case m.Type == "application/pdf":
		p.Kind = conversation.Document
	default:
		t.Cannot(fmt.Sprintf("%s (media of type %q)", path, m.Type), "")
	}
	return p
}

// ParseBody implements the format.
func (Format) ParseBody(t *conversation.Translation, root rawjson.Value) (fields []conversation.Field) {
	if !root.Get("contents").Exists() && get(root, "systemInstruction").Set() {
		t.Invalid("contents", "are missing")
	}
	for m := root.First(); m.Exists(); m = m.Next() {
		if !m.Set() || m.Kind() != rawjson.Bool && !m.Says() && m.Count() == 0 && m.Kind() != rawjson.String {
			continue
		}
		f := conversation.Field{Path: m.Key(), JSON: m.Raw()}
		switch camel(m.Key()) {
		case "contents":
			f.Key, f.Turns = conversation.Messages, system(t, get(root, "systemInstruction"))
			f.Turns = append(f.Turns, t.List(m, "contents")...)
		case "systemInstruction": // stands among the messages
			continue
		case "model":
			f.Key, f.JSON = conversation.Model, rawjson.AppendString(nil, strings.TrimPrefix(m.String(), "models/"))
		case "stream":
			f.Key = conversation.Stream
		case "tools":
			f.Key, f.Tools = conversation.Tools, tools(t, m)
		case "toolConfig":
			f.Key, f.Choice = conversation.ToolChoice, choice(t, m)
		case "generationConfig":
			fields = append(fields, config(t, m)...)
			continue
		default:
			t.Cannot(m.Key(), "")
		}
		fields = append(fields, f)
	}
	return fields
}

func system(t *conversation.Translation, v rawjson.Value) []conversation.Turn {
	if !v.Set() {
		return nil
	}
	t.Only(v, "systemInstruction", "role", "parts")
	content := &conversation.Content{}
	for p, at := range conversation.Each(v.Get("parts"), "systemInstruction.parts") {
		if part := shown(t, p, at); part.Kind == conversation.Text {
			content.Parts = append(content.Parts, part)
		} else {
			t.Cannot(at, "a system prompt is text only")
		}
	}
	if len(content.Parts) == 1 {
		content = &conversation.Content{Text: content.Parts[0].Text}
	}
	return []conversation.Turn{{Role: nightshift.RoleSystem, Content: content}}
}

func tools(t *conversation.Translation, list rawjson.Value) (all []conversation.Tool) {
	for set, at := range conversation.Each(list, "tools") {
		t.OnlyHint(set, at, "a server's own tools have no equivalent", "functionDeclarations", "function_declarations")
		for f, at := range conversation.Each(get(set, "functionDeclarations"), at+".functionDeclarations") {
			t.Only(f, at, "name", "description", "parameters", "parametersJsonSchema", "parameters_json_schema")
			tool := conversation.Tool{
				Name: f.Get("name").String(), Description: conversation.IfSet(f.Get("description")),
				Parameters: conversation.IfSet(get(f, "parametersJsonSchema")),
			}
			if own := f.Get("parameters"); own.Set() {
				tool.Parameters = jsonSchema(nil, own)
			}
			all = append(all, tool)
		}
	}
	return all
}

func choice(t *conversation.Translation, v rawjson.Value) (c conversation.Choice) {
	t.Only(v, "toolConfig", "functionCallingConfig", "function_calling_config")
	calling := get(v, "functionCallingConfig")
	t.Only(calling, "toolConfig.functionCallingConfig", "mode", "allowedFunctionNames", "allowed_function_names")
	names := get(calling, "allowedFunctionNames")
	switch mode := strings.ToUpper(calling.Get("mode").String()); {
	case mode == "ANY" && names.Count() == 1:
		c.Kind, c.Name = "tool", names.First().String()
	case names.Count() > 0:
		t.Cannot("toolConfig.functionCallingConfig.allowedFunctionNames", "name one function, or none")
	case mode == "ANY":
		c.Kind = "any"
	case mode == "NONE":
		c.Kind = "none"
	case mode == "AUTO", mode == "", mode == "MODE_UNSPECIFIED":
		c.Kind = "auto"
	default:
		t.Cannot("toolConfig.functionCallingConfig.mode ("+mode+")", "")
	}
	return c
}

// configKeys are the settings that others have as well.
var configKeys = map[string]conversation.Key{
	"maxOutputTokens": conversation.MaxTokens, "temperature": conversation.Temperature,
	"topP": conversation.TopP, "topK": conversation.TopK,
	"stopSequences": conversation.StopSequences, "seed": conversation.Seed, "candidateCount": conversation.Choices,
	"presencePenalty": conversation.PresencePenalty, "frequencyPenalty": conversation.FrequencyPenalty,
	"responseLogprobs": conversation.Logprobs, "logprobs": conversation.TopLogprobs,
}

// outputNames are the settings that say together how to answer.
var outputNames = []string{"thinkingConfig", "responseMimeType", "responseSchema", "responseJsonSchema"}

// config reads generationConfig.
func config(t *conversation.Translation, v rawjson.Value) (fields []conversation.Field) {
	answers := false // how to answer has been read
	for m := v.First(); m.Exists(); m = m.Next() {
		name, path := camel(m.Key()), "generationConfig."+m.Key()
		key, shared := configKeys[name]
		one, isNumber := m.Float()
		switch {
		case !m.Set(), name == "candidateCount" && isNumber && one == 1, name == "responseLogprobs" && m.IsFalse():
		case name == "responseModalities" && m.Count() == 1 && strings.EqualFold(m.First().String(), "text"):
		case shared:
			fields = append(fields, conversation.Field{Key: key, Path: path, JSON: m.Raw()})
		case !slices.Contains(outputNames, name):
			t.Cannot(path, "")
		case !answers:
			answers = true
			f := output(t, v)
			how := f.Output
			if how.Off || how.JSON || how.Effort != "" || how.Budget != nil || how.Schema != nil {
				fields = append(fields, f)
			}
		}
	}
	return fields
}

func output(t *conversation.Translation, v rawjson.Value) conversation.Field {
	f := conversation.Field{Key: conversation.Output, Path: "generationConfig.thinkingConfig"}
	thinking := get(v, "thinkingConfig")
	t.OnlyHint(thinking, f.Path, "leave it out: other formats show the thoughts that they show",
		"thinkingBudget", "thinking_budget", "thinkingLevel", "thinking_level")
	budget, level := get(thinking, "thinkingBudget"), get(thinking, "thinkingLevel")
	switch n, ok := budget.Int(); {
	case ok && n == 0:
		f.Output.Off = true
	case ok && n > 0:
		f.Output.Budget = budget.Raw()
	case level.Set():
		f.Output.Effort = strings.ToLower(level.String())
	}
	f.Output.Schema = conversation.IfSet(get(v, "responseJsonSchema"))
	if own := get(v, "responseSchema"); own.Set() {
		f.Output.Schema = jsonSchema(nil, own)
	}
	switch kind := get(v, "responseMimeType").String(); kind {
	case "", "text/plain":
	case "application/json":
		f.Output.JSON = f.Output.Schema == nil
	default:
		t.Cannot("generationConfig.responseMimeType ("+kind+")", "")
	}
	return f
}

// jsonSchema appends a schema of Google's kind, whose types are in capitals and
// which says nullable, as JSON Schema.
func jsonSchema(b []byte, v rawjson.Value) []byte {
	switch v.Kind() {
	case rawjson.Array:
		b = append(b, '[')
		for e := v.First(); e.Exists(); e = e.Next() {
			if len(b) > 0 && b[len(b)-1] != '[' {
				b = append(b, ',')
			}
			b = jsonSchema(b, e)
		}
		return append(b, ']')
	case rawjson.Object:
	default:
		return append(b, v.JSON()...)
	}
	b = append(b, '{')
	for m := v.First(); m.Exists(); m = m.Next() {
		if m.KeyIs("nullable") && m.Kind() == rawjson.Bool {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(rawjson.AppendString(b, m.Key()), ':')
		switch {
		case !m.KeyIs("type") || m.Kind() != rawjson.String:
			b = jsonSchema(b, m)
		case v.Get("nullable").IsTrue():
			b = append(rawjson.AppendString(append(b, '['), strings.ToLower(m.String())), `,"null"]`...)
		default:
			b = rawjson.AppendString(b, strings.ToLower(m.String()))
		}
	}
	return append(b, '}')
}
