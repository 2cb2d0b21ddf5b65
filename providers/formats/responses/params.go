package responses

import (
	"fmt"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/body"
	"nightshift/providers/formats/internal/conversation"
)

// neutralNames are the parameters of Chat Completions that this format has
// under another name, or not at all.
var neutralNames = map[string]bool{
	"max_tokens": true, "max_completion_tokens": true, "stop": true, "seed": true, "n": true,
	"frequency_penalty": true, "presence_penalty": true, "logit_bias": true, "logprobs": true,
	"response_format": true, "reasoning_effort": true, "functions": true, "function_call": true, "modalities": true,
}

// isNeutral reports whether a parameter is written as Chat Completions has it.
// Some names mean different things in both.
func isNeutral(p nightshift.Param, all []nightshift.Param) bool {
	v, err := rawjson.Scan(p.Value)
	switch {
	case err != nil:
		return false
	case p.Name == "tools":
		return v.First().Get("function").Set()
	case p.Name == "tool_choice":
		return v.Get("function").Set()
	case p.Name == "top_logprobs":
		return body.Has(all, "logprobs")
	case p.Name == "stream_options":
		return v.Get("include_usage").Exists()
	}
	return neutralNames[p.Name]
}

// Params implements the format. Parameters of this format go into the body as
// written; those of Chat Completions are brought under its names. store is
// false unless somebody
// speaks of it, since servers otherwise keep prompts and answers for weeks.
func (Format) Params(
	t *conversation.Translation, params []nightshift.Param, own rawjson.Value, _ string,
) []nightshift.Param {
	var names []string
	for _, p := range params {
		if isNeutral(p, params) {
			names = append(names, p.Name)
		}
	}
	if len(names) > 0 {
		params = translated(t, params, names)
	}
	b := settings{own, params}
	b.check(t)
	return b.withDefaults(t)
}

// translated brings the named parameters under this format's names.
func translated(t *conversation.Translation, params []nightshift.Param, names []string) []nightshift.Param {
	fields, others := t.Fields(params, names...)
	var w conversation.Writer
	w.Open('{')
	for _, f := range fields {
		writeField(t, &w, f)
	}
	v, err := rawjson.Scan(w.Close('}'))
	if err != nil { // what was written here
		t.Invalid("params", err.Error())
	}
	for m := v.First(); m.Exists(); m = m.Next() {
		if body.Has(others, m.Key()) {
			t.Invalid(m.Key(), "is also said under the name that it has in Chat Completions: keep one of the two")
		}
		others = append(others, nightshift.Param{Name: m.Key(), Value: m.Raw()})
	}
	return others
}

// settings are the fields of a body: those of the row's own, and the parameters
// that go before them.
type settings struct {
	own    rawjson.Value // missing where the row has no body
	params []nightshift.Param
}

// get returns a field; the zero value where nobody speaks of it.
func (b settings) get(name string) rawjson.Value {
	for _, p := range b.params {
		if p.Name == name {
			v, _ := rawjson.Scan(p.Value) // it has been read before
			return v
		}
	}
	return b.own.Get(name)
}

// leastOutput is the smallest cap that servers accept.
const leastOutput = 16

// check notes what servers would refuse, and what an evaluation should not do
// unasked.
func (b settings) check(t *conversation.Translation) {
	if n, ok := b.get("max_output_tokens").Int(); ok && n < leastOutput {
		t.Invalid("max_output_tokens", fmt.Sprintf("is %d, and the Responses format takes %d at least", n, leastOutput))
	}
	background, store := b.get("background").IsTrue(), b.get("store")
	if background && store.IsFalse() {
		t.Invalid("background", "needs store: true, or store left out: the server keeps the answer until it is asked for")
	}
	for _, name := range []string{"previous_response_id", "conversation"} {
		if b.get(name).Set() && !(settings{params: b.params}).get("store").IsTrue() {
			t.Cannot(name, "the answer would depend on what the server remembers, which no second run can repeat; "+
				"to have it so, set store: true in the model's params")
		}
	}
}

// withDefaults adds what is sent unless somebody speaks of it. Reasoning that a
// further turn is to follow must come encrypted where the server keeps nothing.
func (b settings) withDefaults(t *conversation.Translation) []nightshift.Param {
	params := b.params
	if !b.get("store").Exists() && !b.get("background").IsTrue() {
		params = append(params[:len(params):len(params)], nightshift.Param{Name: "store", Value: []byte("false")})
	}
	reasons := b.get("reasoning").Set() && !b.get("reasoning").Get("effort").Is("none")
	if t.Continues && reasons && !b.get("include").Exists() && !b.get("store").IsTrue() {
		params = append(params[:len(params):len(params)],
			nightshift.Param{Name: "include", Value: []byte(`["` + includeReasoning + `"]`)})
	}
	return params
}

// Measure implements the format.
func (Format) Measure(m *body.Meter, root rawjson.Value) {
	for f := root.First(); f.Exists(); f = f.Next() {
		switch f.Key() {
		case "input":
			measureInput(m, f)
		case "instructions":
			m.Content(f)
		case "tools", "text", "prompt":
			m.JSON(f)
		}
	}
}

// measureInput measures a text or a list of items.
func measureInput(m *body.Meter, input rawjson.Value) {
	if input.Kind() == rawjson.String {
		m.Words(input)
		return
	}
	for it := input.First(); it.Exists(); it = it.Next() {
		for f := it.First(); f.Exists(); f = f.Next() {
			switch f.Key() {
			case "type", "role", "id", "status", "phase":
			case "content", "output", "summary":
				measureContent(m, f)
			default:
				m.JSON(f)
			}
		}
	}
}

func measureContent(m *body.Meter, v rawjson.Value) {
	if v.Kind() != rawjson.Array {
		m.Content(v)
		return
	}
	for p := v.First(); p.Exists(); p = p.Next() {
		switch p.Get("type").String() {
		case "input_text", kindText, kindSummary, kindReasoning:
			m.Words(p.Get("text"))
		case "input_image":
			m.Image()
		case "input_file":
			m.Document(p.Get("file_data").Len())
		case "input_audio":
			m.Audio(p.Len())
		default:
			m.JSON(p)
		}
	}
}
