package conversation

import (
	"encoding/json"
	"fmt"
	"strings"

	"nightshift"
	"nightshift/providers/internal/jsonscan"
)

// A chatBody is a Chat body in the making.
type chatBody struct {
	writer
	in jsonscan.Value // the Messages body
}

// toChatBody translates a Messages body, field by field in its order.
func toChatBody(in jsonscan.Value) (json.RawMessage, error) {
	b := chatBody{in: in}
	b.open('{')
	if !in.Get("messages").Exists() && in.Get("system").Set() {
		return nil, invalid("messages", "are missing")
	}
	for m := in.First(); m.Exists(); m = m.Next() {
		if err := b.field(m); err != nil {
			return nil, err
		}
	}
	return b.close('}'), nil
}

func (b *chatBody) field(m jsonscan.Value) error {
	if !m.Set() {
		return nil
	}
	switch name := m.Key(); name {
	case "model", "temperature", "top_p", "top_k", "stream", "cache_control":
		b.raw(name, m.Raw())
	case "system": // goes into the messages
	case "messages":
		return b.messages(m)
	case "max_tokens":
		b.raw(capName(b.in.Get("model").String()), m.Raw())
	case "stop_sequences":
		b.raw("stop", m.Raw())
	case "tools":
		return b.tools(m)
	case "tool_choice":
		return b.toolChoice(m)
	case "thinking":
		return b.thinking(m)
	case "output_config":
		return b.outputConfig(m)
	case "metadata":
		if err := unless(m, name, nightshift.Chat, "", "user_id"); err != nil {
			return err
		}
		if user := m.Get("user_id"); user.Set() {
			b.raw("user", user.Raw())
		}
	case "service_tier":
		return b.serviceTier(m)
	default:
		return cannot(name, nightshift.Chat, "")
	}
	return nil
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

func (b *chatBody) messages(list jsonscan.Value) error {
	raws, err := elements(list, "messages")
	if err != nil {
		return err
	}
	_, out, err := Conversation(raws, nightshift.Chat)
	if err != nil {
		return err
	}
	b.key("messages")
	b.open('[')
	if system := b.in.Get("system"); system.Set() {
		if err := b.system(system); err != nil {
			return err
		}
	}
	for _, m := range out {
		b.item(m)
	}
	b.close(']')
	return nil
}

func elements(list jsonscan.Value, path string) ([]json.RawMessage, error) {
	if list.Kind() != jsonscan.Array {
		return nil, invalid(path, "is "+list.Kind().String()+", not a list")
	}
	var raws []json.RawMessage
	for m := list.First(); m.Exists(); m = m.Next() {
		raws = append(raws, m.Raw())
	}
	return raws, nil
}

func (b *chatBody) system(v jsonscan.Value) error {
	b.open('{')
	b.str("role", "system")
	if v.Kind() == jsonscan.String {
		b.raw("content", v.Raw())
		b.close('}')
		return nil
	}
	b.key("content")
	b.open('[')
	for part, i := v.First(), 0; part.Exists(); part, i = part.Next(), i+1 {
		at := fmt.Sprintf("system[%d]", i)
		if !part.Get("type").Is("text") {
			return cannot(at, nightshift.Chat, "a system prompt is text only")
		}
		p, err := chatPart(part, at)
		if err != nil {
			return err
		}
		b.item(p)
	}
	b.close(']')
	b.close('}')
	return nil
}

func (b *chatBody) tools(list jsonscan.Value) error {
	b.key("tools")
	b.open('[')
	for tool, i := list.First(), 0; tool.Exists(); tool, i = tool.Next(), i+1 {
		at := fmt.Sprintf("tools[%d]", i)
		if kind := tool.Get("type").String(); kind != "" && kind != "custom" {
			return cannot(fmt.Sprintf("%s (%s)", at, kind), nightshift.Chat, "a server's own tools have no equivalent")
		}
		if err := unless(tool, at, nightshift.Chat, "", "type", "name", "description", "input_schema", "strict", "cache_control"); err != nil {
			return err
		}
		b.open('{')
		b.str("type", "function")
		b.key("function")
		b.open('{')
		b.str("name", tool.Get("name").String())
		copyRaw(&b.writer, "description", tool.Get("description"))
		copyRaw(&b.writer, "parameters", tool.Get("input_schema"))
		copyRaw(&b.writer, "strict", tool.Get("strict"))
		b.close('}')
		cacheControl(&b.writer, tool)
		b.close('}')
	}
	b.close(']')
	return nil
}

// copyRaw writes a field when it is set.
func copyRaw(w *writer, name string, v jsonscan.Value) {
	if v.Set() {
		w.raw(name, v.Raw())
	}
}

func (b *chatBody) toolChoice(v jsonscan.Value) error {
	if err := unless(v, "tool_choice", nightshift.Chat, "", "type", "name", "disable_parallel_tool_use"); err != nil {
		return err
	}
	switch kind := v.Get("type").String(); kind {
	case "auto", "none":
		b.str("tool_choice", kind)
	case "any":
		b.str("tool_choice", "required")
	case "tool":
		b.key("tool_choice")
		b.open('{')
		b.str("type", "function")
		b.key("function")
		b.open('{')
		b.str("name", v.Get("name").String())
		b.close('}')
		b.close('}')
	default:
		return cannot("tool_choice.type ("+kind+")", nightshift.Chat, "")
	}
	if v.Get("disable_parallel_tool_use").IsTrue() {
		b.raw("parallel_tool_calls", []byte("false"))
	}
	return nil
}

// thinking has an equivalent where it is switched off, and where it is
// adaptive with an effort, which outputConfig writes.
func (b *chatBody) thinking(v jsonscan.Value) error {
	effort := b.in.Get("output_config").Get("effort")
	switch kind := v.Get("type").String(); {
	case kind == "disabled" && !effort.Set():
		b.str("reasoning_effort", "none")
	case kind == "disabled":
		return cannot("output_config.effort beside disabled thinking", nightshift.Chat, "")
	case kind == "adaptive" && effort.Set():
	case kind == "enabled":
		return cannot("thinking.budget_tokens", nightshift.Chat, "set reasoning_effort in the model's params instead")
	default:
		return cannot("thinking.type ("+kind+")", nightshift.Chat, "set reasoning_effort in the model's params instead")
	}
	return unless(v, "thinking", nightshift.Chat, "", "type")
}

func (b *chatBody) outputConfig(v jsonscan.Value) error {
	if err := unless(v, "output_config", nightshift.Chat, "", "effort", "format"); err != nil {
		return err
	}
	copyRaw(&b.writer, "reasoning_effort", v.Get("effort"))
	format := v.Get("format")
	if !format.Set() {
		return nil
	}
	if err := unless(format, "output_config.format", nightshift.Chat, "", "type", "schema"); err != nil {
		return err
	}
	if !format.Get("type").Is("json_schema") {
		return cannot("output_config.format.type", nightshift.Chat, "")
	}
	b.key("response_format")
	b.open('{')
	b.str("type", "json_schema")
	b.key("json_schema")
	b.open('{')
	b.str("name", "response") // a label that Chat demands
	copyRaw(&b.writer, "schema", format.Get("schema"))
	b.raw("strict", []byte("true"))
	b.close('}')
	b.close('}')
	return nil
}

func (b *chatBody) serviceTier(v jsonscan.Value) error {
	switch tier := v.String(); tier {
	case "auto":
		b.str("service_tier", "auto")
	case "standard_only":
		b.str("service_tier", "default")
	default:
		return cannot("service_tier ("+tier+")", nightshift.Chat, "")
	}
	return nil
}
