package messages

import (
	"fmt"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/conversation"
)

// ownParts are the parts of content that only this format knows.
var ownParts = map[string]bool{
	"image": true, "document": true, "tool_use": true, "tool_result": true, "thinking": true, "redacted_thinking": true,
	"search_result": true, "server_tool_use": true, "container_upload": true, "compaction": true, "mcp_tool_use": true,
	"mcp_tool_result": true,
}

// OwnsMessage implements the format: no field of a message tells.
func (Format) OwnsMessage(rawjson.Value) bool { return false }

// OwnsPart implements the format.
func (Format) OwnsPart(part rawjson.Value) bool {
	kind := part.Get("type").String()
	return ownParts[kind] || strings.HasSuffix(kind, "_tool_result") || part.Get("citations").Set()
}

// ParseMessage implements the format.
func (Format) ParseMessage(t *conversation.Translation, v rawjson.Value, path string) []conversation.Turn {
	t.Only(v, path, "role", "content")
	content, at := v.Get("content"), path+".content"
	switch role := v.Get("role").String(); role {
	case "user":
		return userTurns(t, content, at)
	case "assistant":
		said := t.Content(content, at, func(v rawjson.Value, path string) conversation.Part { return spoken(t, v, path) })
		return []conversation.Turn{{Role: nightshift.RoleAssistant, Content: said}}
	default:
		t.Invalid(path+".role", fmt.Sprintf("is %q", role))
	}
	return nil
}

// userTurns makes a turn of each tool result, and user turns of what stands
// between them, in the order of the parts.
func userTurns(t *conversation.Translation, content rawjson.Value, path string) (turns []conversation.Turn) {
	var user *conversation.Content // in hand
	for part, at := range conversation.Each(content, path) {
		if part.Get("type").Is("tool_result") {
			user = nil
			turns = append(turns, toolTurn(t, part, at))
			continue
		}
		if user == nil {
			user = &conversation.Content{}
			turns = append(turns, conversation.Turn{Role: nightshift.RoleUser, Content: user})
		}
		user.Parts = append(user.Parts, shown(t, part, at))
	}
	return turns
}

func toolTurn(t *conversation.Translation, v rawjson.Value, path string) conversation.Turn {
	if v.Get("is_error").IsTrue() {
		t.Cannot(path+".is_error", "say in the result's text that it is an error")
	}
	t.Only(v, path, "type", "tool_use_id", "content", "is_error")
	turn := conversation.Turn{Role: nightshift.RoleTool, Content: &conversation.Content{},
		CallID: v.Get("tool_use_id").String()}
	if turn.CallID == "" {
		t.Invalid(path, "answers a tool call but has no tool_use_id")
	}
	if content := v.Get("content"); content.Set() {
		turn.Content = t.Content(content, path+".content", func(v rawjson.Value, path string) conversation.Part {
			return shown(t, v, path)
		})
	}
	return turn
}

// spoken reads a part of what the assistant said.
func spoken(t *conversation.Translation, v rawjson.Value, path string) conversation.Part {
	switch kind := v.Get("type").String(); kind {
	case "text":
		return text(t, v, path)
	case "tool_use":
		return toolCall(t, v, path)
	case "thinking", "redacted_thinking":
		t.Cannot(path+" (thinking)", "leave the thinking blocks out of the conversation")
	default:
		t.Cannot(fmt.Sprintf("%s (a %q part)", path, kind), "")
	}
	return conversation.Part{}
}

// shown reads a part of what the user or a tool showed.
func shown(t *conversation.Translation, v rawjson.Value, path string) conversation.Part {
	switch kind := v.Get("type").String(); kind {
	case "text":
		return text(t, v, path)
	case "image":
		t.Only(v, path, "type", "source", "cache_control")
		return mediaPart(t, conversation.Image, v, path)
	case "document":
		t.Only(v, path, "type", "source", "title", "cache_control")
		return mediaPart(t, conversation.Document, v, path)
	default:
		t.Cannot(fmt.Sprintf("%s (a %q part)", path, kind), "")
	}
	return conversation.Part{}
}

func text(t *conversation.Translation, v rawjson.Value, path string) conversation.Part {
	if c := v.Get("citations"); c.Kind() == rawjson.Array && c.Count() == 0 {
		return t.TextPart(v, path, "citations")
	}
	return t.TextPart(v, path)
}

func mediaPart(t *conversation.Translation, kind conversation.Kind, v rawjson.Value, path string) conversation.Part {
	return conversation.Part{
		Kind: kind, Path: path, Cache: conversation.IfSet(v.Get("cache_control")),
		Media: source(t, v.Get("source"), path+".source"), Title: v.Get("title").String(),
	}
}

// source reads where an image or document is, or its bytes.
func source(t *conversation.Translation, v rawjson.Value, path string) conversation.Media {
	switch kind := v.Get("type").String(); kind {
	case "url":
		t.Only(v, path, "type", "url")
		m := t.Media(v.Get("url").String(), path+".url")
		m.Path = path
		return m
	case "base64":
		if v.Get("media_type").String() == "" {
			t.Cannot(path, "name its media_type")
		}
		t.Only(v, path, "type", "media_type", "data")
	default:
		t.Cannot(fmt.Sprintf("%s (of type %q)", path, kind), "send the data itself, or a URL")
	}
	return conversation.Media{Path: path, Type: v.Get("media_type").String(), Data: v.Get("data").String()}
}

func toolCall(t *conversation.Translation, v rawjson.Value, path string) conversation.Part {
	t.Only(v, path, "type", "id", "name", "input", "caller")
	input := []byte("{}")
	if in := v.Get("input"); in.Exists() {
		input = in.Raw()
		if in.Kind() != rawjson.Object {
			t.Invalid(path+".input", "is "+in.Kind().String()+", not an object")
		}
	}
	return conversation.Part{Kind: conversation.Call, Path: path, ID: v.Get("id").String(),
		Name: v.Get("name").String(), Input: input}
}

// ParseBody implements the format.
func (Format) ParseBody(t *conversation.Translation, body rawjson.Value) (fields []conversation.Field) {
	if !body.Get("messages").Exists() && body.Get("system").Set() {
		t.Invalid("messages", "are missing")
	}
	answers := false // how to answer has been read
	for m := body.First(); m.Exists(); m = m.Next() {
		if !m.Set() {
			continue
		}
		f := conversation.Field{Key: conversation.Key(m.Key()), Path: m.Key(), JSON: m.Raw()}
		switch m.Key() {
		case "model", "max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "stream", "cache_control":
		case "system": // stands among the messages
			continue
		case "messages":
			f.Turns = append(systemTurns(t, body.Get("system")), t.List(m, "messages")...)
		case "tools":
			f.Tools = tools(t, m)
		case "tool_choice":
			f.Choice = toolChoice(t, m)
		case "thinking", "output_config":
			if answers {
				continue
			}
			answers = true
			f = conversation.Field{Key: conversation.Output, Path: "thinking.budget_tokens", Output: output(t, body)}
		case "metadata":
			t.Only(m, "metadata", "user_id")
			if !m.Get("user_id").Set() {
				continue
			}
			f.Key, f.JSON = conversation.User, m.Get("user_id").Raw()
		case "service_tier":
			f.JSON = tier(t, m)
		default:
			t.Cannot(m.Key(), "")
		}
		fields = append(fields, f)
	}
	return fields
}

func systemTurns(t *conversation.Translation, v rawjson.Value) []conversation.Turn {
	if !v.Set() {
		return nil
	}
	content := t.Content(v, "system", func(v rawjson.Value, path string) conversation.Part {
		if !v.Get("type").Is("text") {
			t.Cannot(path, "a system prompt is text only")
			return conversation.Part{}
		}
		return text(t, v, path)
	})
	return []conversation.Turn{{Role: nightshift.RoleSystem, Content: content}}
}

func tools(t *conversation.Translation, list rawjson.Value) (tools []conversation.Tool) {
	for v, at := range conversation.Each(list, "tools") {
		if kind := v.Get("type").String(); kind != "" && kind != "custom" {
			t.Cannot(fmt.Sprintf("%s (%s)", at, kind), "a server's own tools have no equivalent")
		}
		t.Only(v, at, "type", "name", "description", "input_schema", "strict", "cache_control")
		tools = append(tools, conversation.Tool{
			Name: v.Get("name").String(), Description: conversation.IfSet(v.Get("description")),
			Parameters: conversation.IfSet(v.Get("input_schema")), Strict: conversation.IfSet(v.Get("strict")),
			Cache: conversation.IfSet(v.Get("cache_control")),
		})
	}
	return tools
}

func toolChoice(t *conversation.Translation, v rawjson.Value) conversation.Choice {
	t.Only(v, "tool_choice", "type", "name", "disable_parallel_tool_use")
	c := conversation.Choice{Kind: v.Get("type").String(), Single: v.Get("disable_parallel_tool_use").IsTrue()}
	switch c.Kind {
	case "auto", "none", "any":
	case "tool":
		c.Name = v.Get("name").String()
	default:
		t.Cannot("tool_choice.type ("+c.Kind+")", "")
	}
	return c
}

// output reads thinking and output_config, which say together how to answer.
func output(t *conversation.Translation, body rawjson.Value) conversation.How {
	const hint = "set reasoning_effort in the model's params instead"
	thinking, config := body.Get("thinking"), body.Get("output_config")
	effort := config.Get("effort")
	how := conversation.How{Effort: effort.String()}
	if effort.Set() && how.Effort == "" {
		t.Invalid("output_config.effort", "is no word")
	}
	t.Only(config, "output_config", "effort", "format")
	switch kind := thinking.Get("type").String(); {
	case !thinking.Set(), kind == "adaptive" && effort.Set():
	case kind == "disabled" && !effort.Set():
		how.Off = true
	case kind == "disabled":
		t.Cannot("output_config.effort beside disabled thinking", "")
	case kind == "enabled" && thinking.Get("budget_tokens").Set():
		how.Budget = thinking.Get("budget_tokens").Raw()
	default:
		t.Cannot("thinking.type ("+kind+")", hint)
	}
	if how.Budget == nil {
		t.Only(thinking, "thinking", "type")
	}
	if format := config.Get("format"); format.Set() {
		t.Only(format, "output_config.format", "type", "schema")
		if !format.Get("type").Is("json_schema") {
			t.Cannot("output_config.format.type", "")
		}
		how.Schema = conversation.IfSet(format.Get("schema"))
	}
	return how
}

func tier(t *conversation.Translation, v rawjson.Value) []byte {
	switch word := v.String(); word {
	case "auto":
	case "standard_only":
		return []byte(`"default"`)
	default:
		t.Cannot("service_tier ("+word+")", "")
	}
	return []byte(`"auto"`)
}
