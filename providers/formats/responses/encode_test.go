package responses_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/formats/responses"
)

func encode(req nightshift.Request) (providers.Prepared, error) {
	return formats.Encode(responses.Format{}, req, true)
}

func param(name, value string) nightshift.Param {
	return nightshift.Param{Name: name, Value: json.RawMessage(value)}
}

func user(text string) nightshift.Message {
	return nightshift.Message{Role: nightshift.RoleUser, Text: text}
}

func raw(texts ...string) (messages []nightshift.Message) {
	for _, text := range texts {
		messages = append(messages, nightshift.Message{Raw: json.RawMessage(text)})
	}
	return messages
}

func ask(params ...nightshift.Param) nightshift.Request {
	return nightshift.Request{Model: "m", Messages: []nightshift.Message{user("a")}, Params: params}
}

const asked = `{"model":"m","input":[{"role":"user","content":"a"}],`

func TestEncode(t *testing.T) {
	reasons := ask(param("reasoning", `{"effort":"low"}`))
	reasons.Continues = true
	streamed := ask()
	streamed.Stream = true
	for _, tc := range []struct {
		name string
		req  nightshift.Request
		want string
	}{
		{"plain", nightshift.Request{Model: "m", System: "S", Messages: []nightshift.Message{
			user("a"), {Role: nightshift.RoleAssistant, Text: "ok"}, {Role: nightshift.RoleDeveloper, Text: "d"}, user("b")}},
			`{"model":"m","instructions":"S","input":[{"role":"user","content":"a"},{"role":"assistant","content":"ok"},` +
				`{"role":"developer","content":"d"},{"role":"user","content":"b"}],"store":false}`},
		{"stream", streamed, asked + `"store":false,"stream":true}`},
		{"the server may keep it", ask(param("store", "true")), asked + `"store":true}`},
		{"the background needs store", ask(param("background", "true")), asked + `"background":true}`},
		{"a turn follows", reasons,
			asked + `"reasoning":{"effort":"low"},"store":false,"include":["reasoning.encrypted_content"]}`},
		{"own parameters", ask(param("max_output_tokens", "16"), param("text", `{"verbosity":"low"}`)),
			asked + `"max_output_tokens":16,"text":{"verbosity":"low"},"store":false}`},
		{"Chat's parameters", ask(param("max_tokens", "20"), param("reasoning_effort", `"high"`), param("n", "1"),
			param("response_format",
				`{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"},"strict":true}}`)),
			asked + `"max_output_tokens":20,"reasoning":{"effort":"high"},` +
				`"text":{"format":{"type":"json_schema","name":"x","schema":{"type":"object"},"strict":true}},"store":false}`},
		{"Chat's tools", ask(param("tools", `[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]`),
			param("tool_choice", `{"type":"function","function":{"name":"f"}}`)),
			asked + `"tools":[{"type":"function","name":"f","parameters":{"type":"object"},"strict":false}],` +
				`"tool_choice":{"type":"function","name":"f"},"store":false}`},
		{"own tools", ask(param("tools", `[{"type":"web_search"}]`)),
			asked + `"tools":[{"type":"web_search"}],"store":false}`},
		{"log probabilities", ask(param("logprobs", "true"), param("top_logprobs", "2")),
			asked + `"include":["message.output_text.logprobs"],"top_logprobs":2,"store":false}`},
		{"own items untouched", nightshift.Request{Model: "m", System: "S", Messages: raw(
			`{"type":"message","role":"developer","content":[ {"type":"input_text","text":"é"} ]}`,
			`{"type":"reasoning","id":"rs","encrypted_content":"x","summary":[]}`,
			`{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}`,
			`{"type":"function_call_output","call_id":"c","output":"5"}`)},
			`{"model":"m","instructions":"S","input":[{"type":"message","role":"developer",` +
				`"content":[ {"type":"input_text","text":"é"} ]},` +
				`{"type":"reasoning","id":"rs","encrypted_content":"x","summary":[]},{"type":"function_call",` +
				`"call_id":"c","name":"f","arguments":"{}"},` +
				`{"type":"function_call_output","call_id":"c","output":"5"}],"store":false}`},
		{"parts that others share",
			nightshift.Request{
				Model: "m", Messages: raw(`{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`)},
			`{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text",` +
				`"text":"b"}]}],"store":false}`},
		{"Chat's images, files, tools", nightshift.Request{Model: "m", Messages: raw(
			`{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},`+
				`{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,QUJD"}}]}`,
			`{"role":"assistant","content":"look","tool_calls":[{"id":"t","type":"function","function":{"name":"f",`+
				`"arguments":"{\"a\": 1.0}"}}]}`,
			`{"role":"tool","tool_call_id":"t","content":"5"}`)},
			`{"model":"m","input":[{"role":"user","content":[{"type":"input_image","image_url":"https://x/y.png",` +
				`"detail":"low"},` +
				`{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,QUJD"}]},` +
				`{"role":"assistant","content":"look"},` +
				`{"type":"function_call","call_id":"t","name":"f","arguments":"{\"a\": 1.0}"},` +
				`{"type":"function_call_output","call_id":"t","output":"5"}],"store":false}`},
		{"Messages' blocks in their order", nightshift.Request{Model: "m", Messages: raw(
			`{"role":"user","content":[{"type":"document","source":{"type":"url","url":"https://x/y.pdf"}}]}`,
			`{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"a":1}},{"type":"text",`+
				`"text":"so"}]}`,
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"5"}]}]}`)},
			`{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_url":"https://x/y.pdf"}]},` +
				`{"type":"function_call","call_id":"t","name":"f","arguments":"{\"a\":1}"},{"role":"assistant","content":"so"},` +
				`{"type":"function_call_output","call_id":"t","output":[{"type":"input_text","text":"5"}]}],"store":false}`},
		{"the row's own body, byte for byte",
			nightshift.Request{Body: json.RawMessage(` { "model":"m","input":"\u0041" , "store":true,"x":1.10,"stop":"a"}`),
				BodyProtocol: nightshift.Responses}, ` { "model":"m","input":"\u0041" , "store":true,"x":1.10,"stop":"a"}`},
		{"the row's own body, not to be kept", nightshift.Request{Body: json.RawMessage(`{ "model":"m","input":"\u0041"}`),
			BodyProtocol: nightshift.Responses}, `{ "model":"m","input":"\u0041","store":false}`},
		{"a chain that the plan asks for",
			nightshift.Request{Body: json.RawMessage(`{"model":"m","input":"a","previous_response_id":"r"}`),
				BodyProtocol: nightshift.Responses, Params: []nightshift.Param{param("store", "true")}},
			`{"model":"m","input":"a","previous_response_id":"r","store":true}`},
		{"a body of Chat", nightshift.Request{Model: "n", Body: json.RawMessage(
			`{"model":"m","max_tokens":50,"messages":[{"role":"system","content":"S"},{"role":"user",` +
				`"content":"a"}],"response_format":{"type":"json_object"}}`),
			BodyProtocol: nightshift.Chat},
			`{"model":"n","max_output_tokens":50,"instructions":"S","input":[{"role":"user","content":"a"}],` +
				`"text":{"format":{"type":"json_object"}},"store":false}`},
		{"a body of Messages", nightshift.Request{Model: "n", Body: json.RawMessage(
			`{"model":"m","max_tokens":50,"system":"S","messages":[{"role":"user","content":"a"}],` +
				`"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object"}}}}`),
			BodyProtocol: nightshift.Messages},
			`{"model":"n","max_output_tokens":50,"instructions":"S","input":[{"role":"user","content":"a"}],` +
				`"reasoning":{"effort":"low"},` +
				`"text":{"format":{"type":"json_schema","name":"response","schema":{"type":"object"},` +
				`"strict":true}},"store":false}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := encode(tc.req)
			if err != nil {
				t.Fatal(err)
			}
			if string(p.Body) != tc.want {
				t.Errorf("\n got %s\nwant %s", p.Body, tc.want)
			}
		})
	}
}

// What the format cannot say is refused by name, before anything is sent.
func TestRefused(t *testing.T) {
	body := func(text string) nightshift.Request {
		return nightshift.Request{Model: "m", Body: json.RawMessage(text), BodyProtocol: nightshift.Responses}
	}
	chat := func(text string) nightshift.Request {
		return nightshift.Request{
			Model: "m", Body: json.RawMessage(`{"messages":[{"role":"user","content":"a"}],` + text + `}`),
			BodyProtocol: nightshift.Chat}
	}
	last := ask()
	last.Messages = append(last.Messages, nightshift.Message{Role: nightshift.RoleAssistant, Text: "The answer is"})
	for _, tc := range []struct {
		name  string
		req   nightshift.Request
		class nightshift.ErrorClass
		names string
	}{
		{"stop", ask(param("stop", `["x"]`)), nightshift.ClassUntranslatable, "stop"},
		{"seed", ask(param("seed", "1")), nightshift.ClassUntranslatable, "seed"},
		{"n", ask(param("n", "2")), nightshift.ClassUntranslatable, "n "},
		{"penalty", ask(param("frequency_penalty", "0.5")), nightshift.ClassUntranslatable, "frequency_penalty"},
		{"bias", ask(param("logit_bias", `{"1":2}`)), nightshift.ClassUntranslatable, "logit_bias"},
		{"stop in a body of Chat", chat(`"stop":"x"`), nightshift.ClassUntranslatable, "stop"},
		{"seed in a body of Chat", chat(`"seed":1`), nightshift.ClassUntranslatable, "seed"},
		{"prefill", last, nightshift.ClassUntranslatable, "beginning of an answer"},
		{"a budget of reasoning", chat(`"reasoning":{"max_tokens":9}`), nightshift.ClassUntranslatable, "reasoning"},
		{"too small a cap", ask(param("max_tokens", "15")), nightshift.ClassInvalidRequest, "max_output_tokens is 15"},
		{"too small a cap of the row", body(`{"input":"a","max_output_tokens":1}`), nightshift.ClassInvalidRequest,
			"max_output_tokens is 1"},
		{"a chain", body(`{"input":"a","previous_response_id":"r"}`), nightshift.ClassUntranslatable, "store: true"},
		{"a chain that the row asks for", body(`{"input":"a","conversation":"c","store":true}`),
			nightshift.ClassUntranslatable, "conversation"},
		{"background without store", ask(param("background", "true"), param("store", "false")),
			nightshift.ClassInvalidRequest, "background"},
		{"two names", ask(param("max_tokens", "20"), param("max_output_tokens", "30")), nightshift.ClassInvalidRequest,
			"max_output_tokens"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := encode(tc.req)
			var e *nightshift.Error
			if !errors.As(err, &e) || e.Class != tc.class || !strings.Contains(e.Error(), tc.names) {
				t.Errorf("%v (%s), want %s with %q", err, p.Body, tc.class, tc.names)
			}
		})
	}
}

// Bodies of this format in the other formats.
func TestTranslated(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		to         nightshift.Protocol
		want       string // or, with a class before it, a part of the error
	}{
		{"to Chat", `{"model":"m","instructions":"S","input":[{"role":"user","content":[{"type":"input_text",` +
			`"text":"a"},{"type":"input_image","image_url":"https://x/y"}]},` +
			`{"role":"assistant","content":[{"type":"output_text","text":"look","annotations":[]}]},` +
			`{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},` +
			`{"type":"function_call","call_id":"d","name":"f","arguments":"{}"},{"type":"function_call_output",` +
			`"call_id":"c","output":"5"},{"type":"function_call_output","call_id":"d","output":"6"}],` +
			`"max_output_tokens":20,"store":false,"tools":[{"type":"function","name":"f","parameters":{},` +
			`"strict":false}],"tool_choice":"required"}`, nightshift.Chat,
			`{"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text",` +
				`"text":"a"},{"type":"image_url","image_url":{"url":"https://x/y"}}]},` +
				`{"role":"assistant","content":"look","tool_calls":[{"id":"c","type":"function",` +
				`"function":{"name":"f","arguments":"{}"}},{"id":"d","type":"function","function":{"name":"f",` +
				`"arguments":"{}"}}]},` +
				`{"role":"tool","tool_call_id":"c","content":"5"},{"role":"tool","tool_call_id":"d",` +
				`"content":"6"}],"max_tokens":20,` +
				`"tools":[{"type":"function","function":{"name":"f","parameters":{},"strict":false}}],"tool_choice":"required"}`},
		{"to Messages",
			`{"model":"m","instructions":"S","input":"a","max_output_tokens":20,"reasoning":{"effort":"low",` +
				`"summary":"auto"}}`, nightshift.Messages,
			`{"model":"m","system":"S","messages":[{"role":"user","content":"a"}],"max_tokens":20,` +
				`"thinking":{"type":"adaptive"},"output_config":{"effort":"low"}}`},
		{"log probabilities to Chat",
			`{"model":"m","input":"a","include":["message.output_text.logprobs"],"top_logprobs":3}`, nightshift.Chat,
			`{"model":"m","messages":[{"role":"user","content":"a"}],"logprobs":true,"top_logprobs":3}`},
		{"a schema keeps its name",
			`{"model":"m","input":"a","text":{"format":{"type":"json_schema","name":"x","schema":{}}}}`, nightshift.Chat,
			`{"model":"m","messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_schema",` +
				`"json_schema":{"name":"x","schema":{}}}}`},
		{"reasoning items",
			`{"model":"m","input":[{"role":"user","content":"a"},{"type":"reasoning","id":"r","summary":[]}]}`,
			nightshift.Chat, `!untranslatable input[1]`},
		{"server tools", `{"model":"m","input":"a","tools":[{"type":"web_search"}]}`, nightshift.Chat,
			`!untranslatable tools[0]`},
		{"what the server keeps", `{"model":"m","input":"a","store":true}`, nightshift.Chat, `!untranslatable store`},
		{"verbosity", `{"model":"m","input":"a","text":{"verbosity":"low"}}`, nightshift.Messages,
			`!untranslatable text.verbosity`},
		{"a file id", `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]}`,
			nightshift.Chat, `!untranslatable input[0].content[0].file_id`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, _ := formats.Of(tc.to)
			p, err := formats.Encode(f,
				nightshift.Request{Body: json.RawMessage(tc.body), BodyProtocol: nightshift.Responses}, false)
			if want, fails := strings.CutPrefix(tc.want, "!untranslatable "); fails {
				var e *nightshift.Error
				if !errors.As(err, &e) || e.Class != nightshift.ClassUntranslatable || !strings.Contains(e.Message, want) {
					t.Errorf("%v, want untranslatable %s", err, want)
				}
				return
			}
			if err != nil || string(p.Body) != tc.want {
				t.Errorf("%v\n got %s\nwant %s", err, p.Body, tc.want)
			}
		})
	}
}

// The worst case of a budget rests on what a body holds and permits.
func TestMeasured(t *testing.T) {
	req := nightshift.Request{Model: "m", System: "12345", Params: []nightshift.Param{param("max_output_tokens", "40")},
		Messages: raw(
			`{"role":"user","content":[{"type":"input_text","text":"123"},{"type":"input_image",` +
				`"image_url":"data:image/png;base64,QUJD"}]}`)}
	p, err := encode(req)
	if err != nil {
		t.Fatal(err)
	}
	if p.InputText != 8 || p.InputOther < 1000 || !p.Media.ImageInput || p.MaxOutput != 40 || p.Choices != 1 {
		t.Errorf("%+v", p)
	}
}
