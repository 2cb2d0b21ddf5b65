package conversation

import (
	"encoding/json"
	"fmt"

	"nightshift"
	"nightshift/providers/internal/jsonscan"
)

// A messagesBody is a Messages body in the making.
type messagesBody struct {
	writer
	in     jsonscan.Value // the Chat body
	config bool           // output_config has been written
	user   bool           // metadata has been written
	choice bool           // tool_choice has been written
}

// toMessagesBody translates a Chat body, field by field in its order.
func toMessagesBody(in jsonscan.Value) (json.RawMessage, error) {
	b := messagesBody{in: in}
	b.open('{')
	for m := in.First(); m.Exists(); m = m.Next() {
		if !m.Set() {
			continue
		}
		if err := b.field(m); err != nil {
			return nil, err
		}
	}
	return b.close('}'), nil
}

func (b *messagesBody) field(m jsonscan.Value) error {
	switch name := m.Key(); name {
	case "model", "top_p", "top_k", "stream", "cache_control":
		b.raw(name, m.Raw())
	case "temperature":
		if t, ok := m.Float(); ok && t > 1 {
			return cannot("temperature above 1", nightshift.Messages, "Messages temperatures end at 1")
		}
		b.raw(name, m.Raw())
	case "messages":
		return b.messages(m)
	case "max_completion_tokens":
		b.raw("max_tokens", m.Raw())
	case "max_tokens": // the newer name wins where both stand
		if !b.in.Get("max_completion_tokens").Set() {
			b.raw("max_tokens", m.Raw())
		}
	case "stop":
		b.stop(m)
	case "stream_options": // usage comes without being asked for
		return unless(m, name, nightshift.Messages, "", "include_usage")
	case "tools":
		return b.tools(m)
	case "tool_choice", "parallel_tool_calls":
		return b.toolChoice()
	case "reasoning_effort", "response_format", "thinking", "reasoning":
		return b.reasoningAndFormat()
	case "user", "safety_identifier":
		return b.metadata()
	case "service_tier":
		return b.serviceTier(m)
	default:
		if !meansNothing(m) {
			return cannot(name, nightshift.Messages, "")
		}
	}
	return nil
}

// meansNothing reports whether a field that Messages does not know is at the
// value that it has when it is absent.
func meansNothing(m jsonscan.Value) bool {
	n, isNumber := m.Float()
	switch m.Key() {
	case "n":
		return isNumber && n == 1
	case "frequency_penalty", "presence_penalty", "top_logprobs":
		return isNumber && n == 0
	case "logprobs", "store":
		return m.IsFalse()
	case "logit_bias", "metadata":
		return m.Kind() == jsonscan.Object && m.Count() == 0
	case "modalities":
		return m.Count() == 1 && m.First().Is("text")
	}
	return false
}

func (b *messagesBody) messages(list jsonscan.Value) error {
	raws, err := elements(list, "messages")
	if err != nil {
		return err
	}
	system, out, err := Conversation(raws, nightshift.Messages)
	if err != nil {
		return err
	}
	if system != nil {
		b.raw("system", system)
	}
	b.key("messages")
	b.open('[')
	for _, m := range out {
		b.item(m)
	}
	b.close(']')
	return nil
}

func (b *messagesBody) stop(v jsonscan.Value) {
	if v.Kind() == jsonscan.String {
		b.key("stop_sequences")
		b.open('[')
		b.item(v.Raw())
		b.close(']')
		return
	}
	b.raw("stop_sequences", v.Raw())
}

func (b *messagesBody) tools(list jsonscan.Value) error {
	b.key("tools")
	b.open('[')
	for tool, i := list.First(), 0; tool.Exists(); tool, i = tool.Next(), i+1 {
		at := fmt.Sprintf("tools[%d]", i)
		if kind := tool.Get("type").String(); kind != "function" {
			return cannot(fmt.Sprintf("%s (of type %q)", at, kind), nightshift.Messages, "")
		}
		if err := only(tool, at, "type", "function", "cache_control"); err != nil {
			return err
		}
		function := tool.Get("function")
		if err := only(function, at+".function", "name", "description", "parameters", "strict"); err != nil {
			return err
		}
		b.tool(function, tool)
	}
	b.close(']')
	return nil
}

func (b *messagesBody) tool(function, tool jsonscan.Value) {
	b.open('{')
	b.str("name", function.Get("name").String())
	copyRaw(&b.writer, "description", function.Get("description"))
	if parameters := function.Get("parameters"); parameters.Set() {
		b.raw("input_schema", parameters.Raw())
	} else { // Chat takes their absence for none, Messages must be told
		b.raw("input_schema", []byte(`{"type":"object","properties":{}}`))
	}
	copyRaw(&b.writer, "strict", function.Get("strict"))
	cacheControl(&b.writer, tool)
	b.close('}')
}

// toolChoice writes tool_choice, which in Messages also says whether several
// tools may be called at once.
func (b *messagesBody) toolChoice() error {
	if b.choice {
		return nil
	}
	b.choice = true
	kind, name, err := choice(b.in.Get("tool_choice"))
	if err != nil {
		return err
	}
	single := b.in.Get("parallel_tool_calls").IsFalse()
	if kind == "" && !single {
		return nil // parallel calls are what Messages does anyway
	}
	if kind == "" {
		kind = "auto"
	}
	b.key("tool_choice")
	b.open('{')
	b.str("type", kind)
	if name != "" {
		b.str("name", name)
	}
	if single && kind != "none" { // no call at all takes no further field
		b.raw("disable_parallel_tool_use", []byte("true"))
	}
	b.close('}')
	return nil
}

// choice reads a Chat tool_choice in the words of Messages.
func choice(v jsonscan.Value) (kind, name string, err error) {
	if !v.Set() {
		return "", "", nil
	}
	if v.Get("type").Is("function") {
		return "tool", v.Get("function").Get("name").String(), only(v, "tool_choice", "type", "function")
	}
	switch v.String() {
	case "auto", "none":
		return v.String(), "", nil
	case "required":
		return "any", "", nil
	}
	return "", "", cannot("tool_choice", nightshift.Messages, "")
}

// reasoningAndFormat writes thinking and output_config, which hold what Chat
// says in up to four fields.
func (b *messagesBody) reasoningAndFormat() error {
	if b.config {
		return nil
	}
	b.config = true
	thinking, effort, err := b.reasoning()
	if err != nil {
		return err
	}
	schema, err := b.format()
	if err != nil {
		return err
	}
	if thinking != nil {
		b.raw("thinking", thinking)
	}
	if effort == "" && !schema.Exists() {
		return nil
	}
	b.key("output_config")
	b.open('{')
	if effort != "" {
		b.str("effort", effort)
	}
	if schema.Exists() {
		b.key("format")
		b.open('{')
		b.str("type", "json_schema")
		b.raw("schema", schema.Raw())
		b.close('}')
	}
	b.close('}')
	return nil
}

// reasoning reads reasoning_effort, OpenRouter's reasoning and DeepSeek's
// thinking, of which at most one may be set.
func (b *messagesBody) reasoning() (thinking []byte, effort string, err error) {
	word, or, switched := b.in.Get("reasoning_effort"), b.in.Get("reasoning"), b.in.Get("thinking")
	if word.Set() && or.Set() || word.Set() && switched.Set() || or.Set() && switched.Set() {
		return nil, "", invalid("reasoning_effort", "stands beside another field that says how to reason")
	}
	switch {
	case switched.Set():
		return chatThinking(switched)
	case or.Get("max_tokens").Set():
		var w writer
		w.open('{')
		w.str("type", "enabled")
		w.raw("budget_tokens", or.Get("max_tokens").Raw())
		return w.close('}'), "", only(or, "reasoning", "max_tokens")
	case or.Set():
		if err := only(or, "reasoning", "effort"); err != nil {
			return nil, "", err
		}
		return byEffort(or.Get("effort"), "reasoning.effort")
	case word.Set():
		return byEffort(word, "reasoning_effort")
	}
	return nil, "", nil
}

func chatThinking(v jsonscan.Value) ([]byte, string, error) {
	switch {
	case v.Get("type").Is("disabled"):
		return []byte(`{"type":"disabled"}`), "", only(v, "thinking", "type")
	case v.Get("type").Is("enabled") && v.Get("budget_tokens").Set():
		return v.Raw(), "", only(v, "thinking", "type", "budget_tokens")
	}
	return nil, "", cannot("thinking without a budget", nightshift.Messages, "set thinking in the model's params instead")
}

func byEffort(v jsonscan.Value, path string) ([]byte, string, error) {
	switch effort := v.String(); effort {
	case "none":
		return []byte(`{"type":"disabled"}`), "", nil
	case "low", "medium", "high", "xhigh", "max":
		return []byte(`{"type":"adaptive"}`), effort, nil
	default:
		return nil, "", cannot(path+" ("+effort+")", nightshift.Messages, "Messages knows low, medium, high, xhigh and max")
	}
}

// format returns the schema that the answer must follow, missing when any
// text will do.
func (b *messagesBody) format() (jsonscan.Value, error) {
	v := b.in.Get("response_format")
	switch kind := v.Get("type").String(); {
	case !v.Set() || kind == "text":
		return jsonscan.Value{}, nil
	case kind != "json_schema":
		return jsonscan.Value{}, cannot("response_format.type ("+kind+")", nightshift.Messages, "give a json_schema")
	}
	spec := v.Get("json_schema")
	if err := only(v, "response_format", "type", "json_schema"); err != nil {
		return jsonscan.Value{}, err
	}
	if spec.Get("schema").Kind() != jsonscan.Object {
		return jsonscan.Value{}, cannot("response_format.json_schema without a schema", nightshift.Messages, "")
	}
	return spec.Get("schema"), only(spec, "response_format.json_schema", "name", "schema", "strict")
}

func (b *messagesBody) metadata() error {
	if b.user {
		return nil
	}
	b.user = true
	id, safety := b.in.Get("user"), b.in.Get("safety_identifier")
	if id.Set() && safety.Set() && id.String() != safety.String() {
		return cannot("user beside another safety_identifier", nightshift.Messages, "leave one of the two out")
	}
	if !id.Set() {
		id = safety
	}
	b.key("metadata")
	b.open('{')
	b.raw("user_id", id.Raw())
	b.close('}')
	return nil
}

func (b *messagesBody) serviceTier(v jsonscan.Value) error {
	switch tier := v.String(); tier {
	case "auto":
		b.str("service_tier", "auto")
	case "default":
		b.str("service_tier", "standard_only")
	default:
		return cannot("service_tier ("+tier+")", nightshift.Messages, "")
	}
	return nil
}
