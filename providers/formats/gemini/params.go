package gemini

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/conversation"
)

// neutral are the parameters that are translated. None of them is a field of
// this format's bodies, but tools in another form.
var neutral = []string{
	"max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "stop", "seed", "n",
	"frequency_penalty", "presence_penalty", "logprobs", "top_logprobs",
	"reasoning_effort", "reasoning", "thinking", "response_format", "tool_choice", "parallel_tool_calls",
	"user", "safety_identifier", "service_tier", "stream_options", "logit_bias", "metadata", "store", "modalities",
	"cache_control",
}

// Params implements the format. The settings become members of
// generationConfig, beside those that a parameter of that name or the row's own
// body has.
func (Format) Params(
	t *conversation.Translation, params []nightshift.Param, own rawjson.Value, model string,
) []nightshift.Param {
	names := slices.Clone(neutral)
	for _, p := range params {
		switch {
		case p.Name == "tools" && !isOwnTools(p.Value):
			names = append(names, "tools")
		case p.Name == "service_tier" && isOwnTier(p.Value):
			names = slices.DeleteFunc(names, func(name string) bool { return name == p.Name })
		}
	}
	fields, rest := t.Fields(params, names...)
	var out []nightshift.Param
	config := members(get(own, "generationConfig"))
	given := settings(t, fields, model)
	for _, p := range rest {
		p.Name = camel(p.Name)
		if p.Name != configName {
			out = append(out, p)
			continue
		}
		said, err := rawjson.Scan(p.Value)
		if err != nil || said.Kind() != rawjson.Object {
			t.Invalid(configName, "is no object")
		}
		once(t, said, given)
		config = overlay(config, members(said))
	}
	for _, p := range given {
		if p.Name != configName {
			out = append(out, p)
			continue
		}
		v, _ := rawjson.Scan(p.Value)
		config = overlay(config, members(v))
	}
	if len(params) == 0 || len(config) == 0 {
		return out
	}
	as := configName
	if !own.Get(as).Exists() && own.Get(snake(as)).Exists() {
		as = snake(as)
	}
	return append(out, nightshift.Param{Name: as, Value: object(config)})
}

const configName = "generationConfig"

// isOwnTools reports whether tools are in this format's form.
func isOwnTools(raw json.RawMessage) bool {
	v, err := rawjson.Scan(raw)
	first := v.First()
	return err == nil && first.Exists() && !first.Get("function").Set() && !first.Get("type").Set()
}

// once refuses a setting that stands in generationConfig and among the
// parameters by its neutral name as well.
func once(t *conversation.Translation, said rawjson.Value, given []nightshift.Param) {
	for _, p := range given {
		if p.Name != configName {
			continue
		}
		v, _ := rawjson.Scan(p.Value)
		for m := v.First(); m.Exists(); m = m.Next() {
			if get(said, m.Key()).Set() {
				t.Invalid("generationConfig."+m.Key(), "is set twice, here and by a parameter: keep one of the two")
			}
		}
	}
}

// members are those of an object as parameters, in camelCase.
func members(v rawjson.Value) (list []nightshift.Param) {
	for m := v.First(); m.Exists(); m = m.Next() {
		list = append(list, nightshift.Param{Name: camel(m.Key()), Value: m.Raw()})
	}
	return list
}

// overlay returns the first list with the second's values in place of its own.
func overlay(list, over []nightshift.Param) []nightshift.Param {
	for _, p := range over {
		list = append(without(list, p.Name), p)
	}
	return list
}

func without(list []nightshift.Param, name string) (kept []nightshift.Param) {
	for _, p := range list {
		if p.Name != name {
			kept = append(kept, p)
		}
	}
	return kept
}

func object(list []nightshift.Param) []byte {
	var w conversation.Writer
	w.Open('{')
	for _, p := range list {
		w.Raw(p.Name, p.Value)
	}
	return w.Close('}')
}

// settings are the members of a body, other than the prompt, that the fields
// become.
func settings(t *conversation.Translation, fields []conversation.Field, model string) (out []nightshift.Param) {
	var config []nightshift.Param
	for _, f := range fields {
		name, shared := configNames[f.Key]
		switch {
		case shared:
			config = append(config, nightshift.Param{Name: name, Value: f.JSON})
		case f.Key == conversation.Output:
			config = append(config, answerForm(t, f, model)...)
		case f.Key == conversation.Tools:
			out = append(out, nightshift.Param{Name: "tools", Value: declarations(t, f.Tools)})
		case f.Key == conversation.ToolChoice:
			out = append(out, nightshift.Param{Name: "toolConfig", Value: calling(t, f.Choice)})
		case f.Key == conversation.Messages, f.Key == conversation.Model, f.Key == conversation.Stream: // elsewhere
		case f.Key == conversation.ServiceTier: // "auto" and "default" are what there is without it
		default:
			t.Cannot(f.Path, "")
		}
	}
	if config != nil {
		out = append(out, nightshift.Param{Name: configName, Value: object(config)})
	}
	return out
}

// isOwnTier reports whether a service tier is one that Gemini has by that name.
func isOwnTier(value json.RawMessage) bool {
	return slices.Contains([]string{`"flex"`, `"standard"`, `"priority"`}, string(value))
}

// configNames is [configKeys] the other way around.
var configNames = func() map[conversation.Key]string {
	names := map[conversation.Key]string{}
	for name, key := range configKeys {
		names[key] = name
	}
	return names
}()

// answerForm is how to think and what form the answer has.
func answerForm(t *conversation.Translation, f conversation.Field, model string) (config []nightshift.Param) {
	set := func(name, format string, args ...any) {
		config = append(config, nightshift.Param{Name: name, Value: fmt.Appendf(nil, format, args...)})
	}
	switch how := f.Output; {
	case how.Off:
		set("thinkingConfig", `{"thinkingBudget":0}`)
	case how.Budget != nil:
		set("thinkingConfig", `{"thinkingBudget":%s}`, how.Budget)
	case how.Effort != "" && generation(model) >= 3:
		set("thinkingConfig", `{"thinkingLevel":"%s"}`, level(t, f))
	case how.Effort != "":
		set("thinkingConfig", `{"thinkingBudget":%d}`, budget(t, f))
	}
	if f.Output.JSON || f.Output.Schema != nil {
		set("responseMimeType", `"application/json"`)
	}
	if f.Output.Schema != nil {
		set("responseJsonSchema", "%s", f.Output.Schema)
	}
	return config
}

// level is an effort in the words of the third generation of models.
func level(t *conversation.Translation, f conversation.Field) string {
	switch f.Output.Effort {
	case "minimal", "low", "medium", "high":
		return strings.ToUpper(f.Output.Effort)
	}
	t.Cannot(f.Path+" ("+f.Output.Effort+")", "Gemini knows minimal, low, medium and high")
	return ""
}

// budgets are efforts in tokens, for models before the third generation: what
// Google's servers of Chat Completions make of them.
var budgets = map[string]int{"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}

func budget(t *conversation.Translation, f conversation.Field) int {
	n, ok := budgets[f.Output.Effort]
	if !ok {
		t.Cannot(f.Path+" ("+f.Output.Effort+")",
			"choose minimal, low, medium or high, or set generationConfig.thinkingConfig in the model's params")
	}
	return n
}

func declarations(t *conversation.Translation, tools []conversation.Tool) []byte {
	var w conversation.Writer
	w.Open('[')
	w.Open('{')
	w.In("functionDeclarations", '[')
	for i, tool := range tools {
		if string(tool.Strict) == "true" {
			t.Cannot(fmt.Sprintf("tools[%d].strict", i), "leave it out: Gemini has no strict tools")
		}
		if tool.Cache != nil {
			t.Cannot(fmt.Sprintf("tools[%d].cache_control", i), "leave the cache markers out: Gemini caches by itself")
		}
		w.Open('{')
		w.Str("name", tool.Name)
		w.Maybe("description", tool.Description)
		w.Maybe("parametersJsonSchema", tool.Parameters)
		w.Close('}')
	}
	w.Close(']')
	w.Close('}')
	return w.Close(']')
}

func calling(t *conversation.Translation, c conversation.Choice) []byte {
	if c.Single {
		t.Cannot("parallel_tool_calls", "Gemini cannot be told to make one call at a time")
	}
	var w conversation.Writer
	w.Open('{')
	w.In("functionCallingConfig", '{')
	switch c.Kind {
	case "tool":
		w.Str("mode", "ANY")
		w.Raw("allowedFunctionNames", append(rawjson.AppendString([]byte("["), c.Name), ']'))
	case "":
		w.Str("mode", "AUTO")
	default:
		w.Str("mode", strings.ToUpper(c.Kind))
	}
	w.Close('}')
	return w.Close('}')
}
