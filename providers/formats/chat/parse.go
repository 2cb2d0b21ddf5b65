package chat

import (
	"fmt"
	"slices"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/conversation"
)

// What only this format knows of messages.
var (
	ownRoles  = []string{"system", "developer", "tool", "function"}
	ownFields = []string{"tool_calls", "tool_call_id", "function_call", "name", "refusal", "audio", "annotations",
		"reasoning_content", "reasoning", "reasoning_details"}
	ownParts = []string{"image_url", "input_audio", "file", "refusal", "video_url"}
)

// OwnsMessage implements the format.
func (Format) OwnsMessage(m rawjson.Value) bool {
	return slices.Contains(ownRoles, m.Get("role").String()) ||
		slices.ContainsFunc(ownFields, func(name string) bool { return m.Get(name).Exists() }) ||
		m.Get("content").Kind() == rawjson.Null && m.Get("role").Is("assistant")
}

// OwnsPart implements the format.
func (Format) OwnsPart(part rawjson.Value) bool {
	return slices.Contains(ownParts, part.Get("type").String())
}

// ParseMessage implements the format.
func (Format) ParseMessage(t *conversation.Translation, v rawjson.Value, path string) []conversation.Turn {
	content := v.Get("content")
	turn := conversation.Turn{Role: nightshift.Role(v.Get("role").String()), Content: &conversation.Content{}}
	switch turn.Role {
	case nightshift.RoleSystem, nightshift.RoleDeveloper:
		t.Only(v, path, "role", "content")
		turn.Content = t.Content(content, path+".content", func(v rawjson.Value, at string) conversation.Part {
			if !v.Get("type").Is("text") {
				t.Cannot(path+".content", "a system prompt is text only")
				return conversation.Part{}
			}
			return t.TextPart(v, at)
		})
	case nightshift.RoleUser:
		t.Only(v, path, "role", "content")
		turn.Content = parts(t, content, path+".content")
	case nightshift.RoleAssistant:
		turn.Content = assistant(t, v, path)
	case nightshift.RoleTool: // the name that some servers want says only what the call's id does
		t.Only(v, path, "role", "tool_call_id", "content", "name")
		if turn.CallID = v.Get("tool_call_id").String(); turn.CallID == "" {
			t.Invalid(path, "answers a tool call but has no tool_call_id")
		}
		if content.Set() {
			turn.Content = parts(t, content, path+".content")
		}
	case "function":
		t.Cannot(path+" (role function)", "write it as a tool message with a tool_call_id")
	default:
		t.Invalid(path+".role", fmt.Sprintf("is %q", turn.Role))
	}
	return []conversation.Turn{turn}
}

func parts(t *conversation.Translation, v rawjson.Value, path string) *conversation.Content {
	return t.Content(v, path, func(v rawjson.Value, path string) conversation.Part { return part(t, v, path) })
}

func part(t *conversation.Translation, v rawjson.Value, path string) conversation.Part {
	p := conversation.Part{Path: path, Cache: conversation.IfSet(v.Get("cache_control"))}
	switch kind := v.Get("type").String(); kind {
	case "text":
		return t.TextPart(v, path)
	case "refusal": // what the assistant said
		t.Only(v, path, "type", "refusal")
		return conversation.Plain(v.Get("refusal").String())
	case "image_url":
		t.Only(v, path, "type", "image_url", "cache_control")
		image := v.Get("image_url")
		t.Only(image, path+".image_url", "url", "detail")
		p.Kind, p.Detail = conversation.Image, image.Get("detail").String()
		p.Media = t.Media(image.Get("url").String(), path+".image_url.url")
	case "input_audio":
		t.Only(v, path, "type", "input_audio", "cache_control")
		audio := v.Get("input_audio")
		t.Only(audio, path+".input_audio", "data", "format")
		p.Kind = conversation.Audio
		p.Media = conversation.Media{Path: path, Type: "audio/" + audio.Get("format").String(),
			Data: audio.Get("data").String()}
	case "file":
		t.Only(v, path, "type", "file", "cache_control")
		file := v.Get("file")
		t.OnlyHint(file, path+".file", "send the file itself as file_data", "filename", "file_data")
		p.Kind, p.Title = conversation.Document, file.Get("filename").String()
		p.Media = t.Media(file.Get("file_data").String(), path+".file.file_data")
	default:
		t.Cannot(fmt.Sprintf("%s (a %q part)", path, kind), "")
	}
	return p
}

// assistant reads content, refusal and tool calls, which stand apart in this
// format.
func assistant(t *conversation.Translation, v rawjson.Value, path string) *conversation.Content {
	names := []string{"role", "content", "tool_calls", "refusal"}
	for _, echo := range []string{"annotations", "reasoning_content", "reasoning", "reasoning_details"} {
		if m := v.Get(echo); m.Is("") || m.Kind() == rawjson.Array && m.Count() == 0 {
			names = append(names, echo) // the echo of an answer, which says nothing
		}
	}
	t.Only(v, path, names...)
	calls, refusal, content := v.Get("tool_calls"), v.Get("refusal").String(), v.Get("content")
	said := &conversation.Content{}
	if content.Set() {
		said = parts(t, content, path+".content")
	}
	if said.Text != nil && refusal == "" && calls.Count() == 0 {
		return said
	}
	if said.Parts == nil {
		said.Parts = []conversation.Part{}
	}
	if refusal != "" {
		said.Parts = append(said.Parts, conversation.Plain(refusal))
	}
	for call, at := range conversation.Each(calls, path+".tool_calls") {
		said.Parts = append(said.Parts, toolCall(t, call, at))
	}
	return said
}

func toolCall(t *conversation.Translation, v rawjson.Value, path string) conversation.Part {
	if kind := v.Get("type").String(); kind != "function" && kind != "" {
		t.Cannot(fmt.Sprintf("%s (of type %q)", path, kind), "")
	}
	t.Only(v, path, "index", "id", "type", "function", "extra_content")
	t.Only(v.Get("extra_content"), path+".extra_content", "google")
	google := v.Get("extra_content").Get("google")
	t.Only(google, path+".extra_content.google", "thought_signature")
	function := v.Get("function")
	t.Only(function, path+".function", "name", "arguments")
	return conversation.Part{
		Kind: conversation.Call, Path: path, ID: v.Get("id").String(), Name: function.Get("name").String(),
		Input:     t.Arguments(function.Get("arguments"), path+".function.arguments"),
		Signature: google.Get("thought_signature").String(),
	}
}

// together are the fields that are read as one, by the first of them.
var together = map[string]string{
	"max_tokens": "max_completion_tokens", "tool_choice": "parallel_tool_calls", "user": "safety_identifier",
	"response_format": "reasoning_effort", "thinking": "reasoning_effort", "reasoning": "reasoning_effort",
}

// ParseBody implements the format.
func (Format) ParseBody(t *conversation.Translation, body rawjson.Value) (fields []conversation.Field) {
	read := map[string]bool{}
	for m := body.First(); m.Exists(); m = m.Next() {
		name := m.Key()
		one := name
		if with := together[name]; with != "" {
			one = with
		}
		if !m.Set() || read[one] {
			continue
		}
		read[one] = true
		f := conversation.Field{Key: conversation.Key(name), Path: name, JSON: m.Raw()}
		switch one {
		case "model", "temperature", "top_p", "top_k", "stream", "cache_control":
		case "messages":
			f.Turns = t.List(m, "messages")
		case "max_completion_tokens":
			f.Key = conversation.MaxTokens
			if newer := body.Get(one); newer.Set() { // counts where both stand
				f.JSON = newer.Raw()
			}
		case "stop":
			f.Key = conversation.StopSequences
			if m.Kind() == rawjson.String {
				f.JSON = fmt.Appendf(nil, "[%s]", m.Raw())
			}
		case "stream_options": // usage comes without being asked for
			t.Only(m, name, "include_usage")
			continue
		case "tools":
			f.Tools = tools(t, m)
		case "parallel_tool_calls":
			f.Key, f.Choice = conversation.ToolChoice, t.ToolChoice(body, "function")
			if f.Choice == (conversation.Choice{}) {
				continue // parallel calls are the default
			}
		case "reasoning_effort":
			f = output(t, body)
			if f.Output.Schema == nil && !f.Output.JSON && f.Output.Budget == nil && f.Output.Effort == "" && !f.Output.Off {
				continue
			}
		case "safety_identifier":
			f.Key, f.JSON = conversation.User, user(t, body)
		case "service_tier":
			if tier := m.String(); tier != "auto" && tier != "default" {
				t.Cannot("service_tier ("+tier+")", "")
			}
		case "seed":
		case "n", "frequency_penalty", "presence_penalty", "logprobs", "top_logprobs":
			if meansNothing(m) {
				continue
			}
		default:
			if !meansNothing(m) {
				t.Cannot(name, "")
			}
			continue
		}
		fields = append(fields, f)
	}
	return fields
}

// meansNothing reports whether a field is at the value that it has when it is
// absent.
func meansNothing(m rawjson.Value) bool {
	n, isNumber := m.Float()
	switch m.Key() {
	case "n":
		return isNumber && n == 1
	case "frequency_penalty", "presence_penalty", "top_logprobs":
		return isNumber && n == 0
	case "logprobs", "store":
		return m.IsFalse()
	case "logit_bias", "metadata":
		return m.Kind() == rawjson.Object && m.Count() == 0
	case "modalities":
		return m.Count() == 1 && m.First().Is("text")
	}
	return false
}

func tools(t *conversation.Translation, list rawjson.Value) (tools []conversation.Tool) {
	for v, at := range conversation.Each(list, "tools") {
		if kind := v.Get("type").String(); kind != "function" {
			t.Cannot(fmt.Sprintf("%s (of type %q)", at, kind), "")
		}
		t.Only(v, at, "type", "function", "cache_control")
		function := v.Get("function")
		t.Only(function, at+".function", "name", "description", "parameters", "strict")
		tools = append(tools, conversation.Tool{
			Name: function.Get("name").String(), Description: conversation.IfSet(function.Get("description")),
			Parameters: conversation.IfSet(function.Get("parameters")), Strict: conversation.IfSet(function.Get("strict")),
			Cache: conversation.IfSet(v.Get("cache_control")),
		})
	}
	return tools
}

// output reads reasoning_effort, OpenRouter's reasoning and DeepSeek's
// thinking, of which at most one may be set, and response_format.
func output(t *conversation.Translation, body rawjson.Value) conversation.Field {
	f := conversation.Field{Key: conversation.Output, Path: "reasoning_effort"}
	word, or, switched := body.Get("reasoning_effort"), body.Get("reasoning"), body.Get("thinking")
	if word.Set() && or.Set() || word.Set() && switched.Set() || or.Set() && switched.Set() {
		t.Invalid("reasoning_effort", "stands beside another field that says how to reason")
	}
	switch {
	case switched.Get("type").Is("disabled"):
		t.Only(switched, "thinking", "type")
		f.Output.Off = true
	case switched.Get("type").Is("enabled") && switched.Get("budget_tokens").Set():
		t.Only(switched, "thinking", "type", "budget_tokens")
		f.Output.Budget = switched.Get("budget_tokens").Raw()
	case switched.Set():
		t.Cannot("thinking without a budget", "set thinking in the model's params instead")
	case or.Get("max_tokens").Set():
		t.Only(or, "reasoning", "max_tokens")
		f.Output.Budget = or.Get("max_tokens").Raw()
	case or.Set():
		t.Only(or, "reasoning", "effort")
		f.Path, word = "reasoning.effort", or.Get("effort")
		fallthrough
	case word.Set():
		f.Output.Effort = word.String()
		if f.Output.Effort == "" {
			t.Cannot(f.Path+" ()", "")
		}
		if f.Output.Effort == "none" {
			f.Output = conversation.How{Off: true}
		}
	}
	if format := body.Get("response_format"); format.Get("type").Is("json_object") {
		t.Only(format, "response_format", "type")
		f.Output.JSON = true
	} else {
		f.Output.Schema = schema(t, format)
		spec := format.Get("json_schema")
		f.Output.SchemaName, f.Output.Strict = spec.Get("name").String(), conversation.IfSet(spec.Get("strict"))
	}
	return f
}

// schema returns the schema that the answer must follow, nil when any text
// will do.
func schema(t *conversation.Translation, v rawjson.Value) []byte {
	switch kind := v.Get("type").String(); {
	case !v.Set() || kind == "text":
		return nil
	case kind != "json_schema":
		t.Cannot("response_format.type ("+kind+")", "give a json_schema")
	}
	t.Only(v, "response_format", "type", "json_schema")
	spec := v.Get("json_schema")
	if spec.Get("schema").Kind() != rawjson.Object {
		t.Cannot("response_format.json_schema without a schema", "")
	}
	t.Only(spec, "response_format.json_schema", "name", "schema", "strict")
	return spec.Get("schema").Raw()
}

func user(t *conversation.Translation, body rawjson.Value) []byte {
	id, safety := body.Get("user"), body.Get("safety_identifier")
	if id.Set() && safety.Set() && id.String() != safety.String() {
		t.Cannot("user beside another safety_identifier", "leave one of the two out")
	}
	if !id.Set() {
		id = safety
	}
	return id.Raw()
}
