package responses

import (
	"fmt"
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/conversation"
)

// itemKinds are the kinds of items beside messages that people write into
// requests. Others end in _call or _output.
var itemKinds = []string{"reasoning", "item_reference", "mcp_approval_request", "mcp_approval_response",
	"mcp_list_tools", "compaction"}

// ownParts are the parts of content that only this format knows.
var ownParts = []string{"input_text", "output_text", "input_image", "input_file", kindSummary, kindReasoning}

// OwnsMessage implements the format: most items have a type and no role.
func (f Format) OwnsMessage(m rawjson.Value) bool {
	kind := m.Get("type").String()
	if m.Get("role").Set() {
		return kind == "message" || f.ownsAnyPart(m.Get("content"))
	}
	return slices.Contains(itemKinds, kind) || strings.HasSuffix(kind, "_call") || strings.HasSuffix(kind, "_output")
}

func (f Format) ownsAnyPart(content rawjson.Value) bool {
	for part := content.First(); part.Exists(); part = part.Next() {
		if f.OwnsPart(part) {
			return true
		}
	}
	return false
}

// OwnsPart implements the format.
func (Format) OwnsPart(part rawjson.Value) bool {
	return slices.Contains(ownParts, part.Get("type").String())
}

// ParseMessage implements the format.
func (Format) ParseMessage(t *conversation.Translation, v rawjson.Value, path string) []conversation.Turn {
	kind := v.Get("type").String()
	if kind == "" && v.Get("role").Set() {
		kind = "message"
	}
	switch kind {
	case "message":
		return []conversation.Turn{message(t, v, path)}
	case "function_call":
		call := conversation.Content{Parts: []conversation.Part{functionCall(t, v, path)}}
		return []conversation.Turn{{Role: nightshift.RoleAssistant, Content: &call}}
	case "function_call_output":
		return []conversation.Turn{callOutput(t, v, path)}
	case "reasoning":
		t.Cannot(path+" (a reasoning item)", "leave the reasoning items out of the conversation")
	default:
		t.Cannot(fmt.Sprintf("%s (a %q item)", path, kind), "")
	}
	return nil
}

func message(t *conversation.Translation, v rawjson.Value, path string) conversation.Turn {
	t.Only(v, path, "type", "role", "content", "id", "status", "phase")
	turn := conversation.Turn{Role: nightshift.Role(v.Get("role").String())}
	switch turn.Role {
	case nightshift.RoleSystem, nightshift.RoleDeveloper, nightshift.RoleUser, nightshift.RoleAssistant:
	default:
		t.Invalid(path+".role", fmt.Sprintf("is %q", turn.Role))
	}
	turn.Content = parts(t, v.Get("content"), path+".content")
	return turn
}

func parts(t *conversation.Translation, v rawjson.Value, path string) *conversation.Content {
	return t.Content(v, path, func(v rawjson.Value, path string) conversation.Part { return readContent(t, v, path) })
}

// readContent reads a part of a message's content. What an answer says of its
// own text, where it is put back, is left out.
func readContent(t *conversation.Translation, v rawjson.Value, path string) conversation.Part {
	p := conversation.Part{Path: path}
	switch kind := v.Get("type").String(); kind {
	case "input_text", "text":
		return t.TextPart(v, path)
	case kindText:
		return t.TextPart(v, path, "annotations", "logprobs")
	case kindRefusal: // what the assistant said
		t.Only(v, path, "type", "refusal")
		return conversation.Plain(v.Get("refusal").String())
	case "input_image":
		t.OnlyHint(v, path, "send the image itself, or its URL", "type", "image_url", "detail")
		p.Kind, p.Detail = conversation.Image, v.Get("detail").String()
		p.Media = t.Media(v.Get("image_url").String(), path+".image_url")
	case "input_file":
		t.OnlyHint(v, path, "send the file itself as file_data, or its file_url", "type", "filename", "file_data", "file_url")
		p.Kind, p.Title = conversation.Document, v.Get("filename").String()
		at, url := path+".file_data", v.Get("file_data")
		if !url.Set() {
			at, url = path+".file_url", v.Get("file_url")
		}
		p.Media = t.Media(url.String(), at)
	default:
		t.Cannot(fmt.Sprintf("%s (a %q part)", path, kind), "")
	}
	return p
}

func functionCall(t *conversation.Translation, v rawjson.Value, path string) conversation.Part {
	t.Only(v, path, "type", "id", "call_id", "name", "arguments", "status")
	return conversation.Part{
		Kind: conversation.Call, Path: path, ID: v.Get("call_id").String(), Name: v.Get("name").String(),
		Input: t.Arguments(v.Get("arguments"), path+".arguments"),
	}
}

func callOutput(t *conversation.Translation, v rawjson.Value, path string) conversation.Turn {
	t.Only(v, path, "type", "id", "call_id", "output", "status")
	turn := conversation.Turn{Role: nightshift.RoleTool, Content: &conversation.Content{},
		CallID: v.Get("call_id").String()}
	if turn.CallID == "" {
		t.Invalid(path, "answers a function call but has no call_id")
	}
	if output := v.Get("output"); output.Set() {
		turn.Content = parts(t, output, path+".output")
	}
	return turn
}

// together are the fields that are read as one, by the first of them.
var together = map[string]string{
	"instructions": "input", "tool_choice": "parallel_tool_calls", "reasoning": "text", "user": "safety_identifier",
}

// ParseBody implements the format.
func (Format) ParseBody(t *conversation.Translation, body rawjson.Value) (fields []conversation.Field) {
	read := map[string]bool{}
	for m := body.First(); m.Exists(); m = m.Next() {
		one := m.Key()
		if with := together[one]; with != "" {
			one = with
		}
		if !m.Set() || read[one] {
			continue
		}
		read[one] = true
		if f, says := field(t, body, m, one); says {
			fields = append(fields, f)
		}
	}
	return fields
}

// field reads one field of a body, or several that say one thing.
func field(t *conversation.Translation, body, m rawjson.Value, one string) (f conversation.Field, says bool) {
	f = conversation.Field{Key: conversation.Key(one), Path: m.Key(), JSON: m.Raw()}
	switch one {
	case "model", "temperature", "top_p", "stream":
	case "input":
		f.Key, f.Turns = conversation.Messages, prompt(t, body)
	case "max_output_tokens":
		f.Key = conversation.MaxTokens
	case "tools":
		f.Tools = readTools(t, m)
	case "parallel_tool_calls":
		f.Key, f.Choice = conversation.ToolChoice, t.ToolChoice(body, "")
		return f, f.Choice != (conversation.Choice{})
	case "text":
		f.Key, f.Output = conversation.Output, readOutput(t, body)
		return f, asks(f.Output)
	case "safety_identifier":
		f.Key, f.JSON = conversation.User, user(t, body)
	case "service_tier":
		if tier := m.String(); tier != "auto" && tier != "default" {
			t.Cannot("service_tier ("+tier+")", "")
		}
	case "include":
		f.Key, f.JSON = conversation.Logprobs, []byte("true")
		return f, includesLogprobs(t, m)
	case "top_logprobs":
		return f, string(m.Raw()) != "0"
	default:
		if !meansNothing(m) {
			t.Cannot(m.Key(), "")
		}
		return f, false
	}
	return f, true
}

// asks reports whether anything is said of how to answer.
func asks(how conversation.How) bool {
	return how.Off || how.JSON || how.Effort != "" || how.Budget != nil || how.Schema != nil
}

// prompt reads instructions and input: a text, or a list of items.
func prompt(t *conversation.Translation, body rawjson.Value) (turns []conversation.Turn) {
	if said := body.Get("instructions"); said.Set() {
		content := t.Content(said, "instructions", func(v rawjson.Value, path string) conversation.Part {
			return readContent(t, v, path)
		})
		turns = append(turns, conversation.Turn{Role: nightshift.RoleSystem, Content: content})
	}
	switch input := body.Get("input"); input.Kind() {
	case rawjson.String:
		return append(turns, conversation.Turn{Role: nightshift.RoleUser, Content: &conversation.Content{Text: input.Raw()}})
	case rawjson.Missing, rawjson.Null:
		t.Invalid("input", "is missing")
	default:
		turns = append(turns, t.List(input, "input")...)
	}
	return turns
}

func readTools(t *conversation.Translation, list rawjson.Value) (tools []conversation.Tool) {
	for v, at := range conversation.Each(list, "tools") {
		if kind := v.Get("type").String(); kind != "function" {
			t.Cannot(fmt.Sprintf("%s (of type %q)", at, kind), "a server's own tools have no equivalent")
		}
		t.Only(v, at, "type", "name", "description", "parameters", "strict")
		tools = append(tools, conversation.Tool{
			Name: v.Get("name").String(), Description: conversation.IfSet(v.Get("description")),
			Parameters: conversation.IfSet(v.Get("parameters")), Strict: conversation.IfSet(v.Get("strict")),
		})
	}
	return tools
}

// readOutput reads reasoning and text, which say together how to answer. A
// summary of the reasoning is shown by other formats without being asked for.
func readOutput(t *conversation.Translation, body rawjson.Value) (how conversation.How) {
	reasoning, text := body.Get("reasoning"), body.Get("text")
	t.Only(reasoning, "reasoning", "effort", "summary")
	if effort := reasoning.Get("effort"); effort.Set() {
		how.Effort = effort.String()
		if how.Effort == "none" {
			how = conversation.How{Off: true}
		}
	}
	t.Only(text, "text", "format", "verbosity")
	if v := text.Get("verbosity"); v.Set() && !v.Is("medium") {
		t.Cannot("text.verbosity", "")
	}
	format := text.Get("format")
	switch kind := format.Get("type").String(); {
	case !format.Set() || kind == "text":
	case kind == "json_object":
		how.JSON = true
	case kind == "json_schema":
		t.Only(format, "text.format", "type", "name", "schema", "strict", "description")
		how.Schema, how.SchemaName = conversation.IfSet(format.Get("schema")), format.Get("name").String()
		how.Strict = conversation.IfSet(format.Get("strict"))
	default:
		t.Cannot("text.format.type ("+kind+")", "")
	}
	return how
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

// includesLogprobs reports whether include asks for log probabilities. The
// encrypted reasoning, for which it may ask too, is this format's affair.
func includesLogprobs(t *conversation.Translation, include rawjson.Value) (asked bool) {
	for v, at := range conversation.Each(include, "include") {
		switch v.String() {
		case includeReasoning:
		case includeLogprobs:
			asked = true
		default:
			t.Cannot(at+" ("+v.String()+")", "")
		}
	}
	return asked
}

// What include may ask for.
const (
	includeReasoning = "reasoning.encrypted_content"
	includeLogprobs  = "message.output_text.logprobs"
)

// meansNothing reports whether a field is at the value that it has when it is
// absent, or says no more than where the server keeps what.
func meansNothing(m rawjson.Value) bool {
	switch m.Key() {
	case "store", "background":
		return m.IsFalse()
	case "truncation":
		return m.Is("disabled")
	case "metadata":
		return m.Count() == 0
	case "stream_options":
		return m.Count() == 0 || m.Count() == 1 && m.Get("include_obfuscation").Exists()
	}
	return false
}
