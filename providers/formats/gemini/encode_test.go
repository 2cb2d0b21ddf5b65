package gemini_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/formats/gemini"
)

func encode(req nightshift.Request) (providers.Prepared, error) {
	return formats.Encode(gemini.Format{}, req, true)
}

func param(name, value string) nightshift.Param {
	return nightshift.Param{Name: name, Value: json.RawMessage(value)}
}

func user(text string) nightshift.Message {
	return nightshift.Message{Role: nightshift.RoleUser, Text: text}
}

func raw(text string) nightshift.Message { return nightshift.Message{Raw: json.RawMessage(text)} }

const hello = `"contents":[{"role":"user","parts":[{"text":"a"}]}]`

func TestEncode(t *testing.T) {
	ask := func(model string, params ...nightshift.Param) nightshift.Request {
		return nightshift.Request{Model: model, Messages: []nightshift.Message{user("a")}, Params: params}
	}
	const tool = `[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}]`
	for _, tc := range []struct {
		name string
		req  nightshift.Request
		want string
	}{
		{"neither model nor stream",
			nightshift.Request{Model: "m", Stream: true, Messages: []nightshift.Message{user("a")}}, `{` + hello + `}`},
		{"system prompts are joined",
			nightshift.Request{Model: "m", System: "one",
				Messages: []nightshift.Message{{Role: nightshift.RoleDeveloper, Text: "two"}, user("a")}},
			`{"systemInstruction":{"parts":[{"text":"one\n\ntwo"}]},` + hello + `}`},
		{"neighbours share a content",
			nightshift.Request{
				Model: "m", Messages: []nightshift.Message{user("a"), user("b"),
					{Role: nightshift.RoleAssistant, Text: "c"}, user("d")}},
			`{"contents":[{"role":"user","parts":[{"text":"a"},{"text":"b"}]},{"role":"model",` +
				`"parts":[{"text":"c"}]},{"role":"user","parts":[{"text":"d"}]}]}`},
		{"neutral parameters",
			ask("m", param("max_tokens", "64"), param("temperature", "0.70"), param("top_p", "0.9"),
				param("top_k", "40"), param("stop", `"END"`), param("seed", "7"), param("n", "2"),
				param("presence_penalty", "0.5"), param("logprobs", "true"), param("top_logprobs", "3")),
			`{` + hello + `,"generationConfig":{"maxOutputTokens":64,"temperature":0.70,"topP":0.9,"topK":40,` +
				`"stopSequences":["END"],"seed":7,"candidateCount":2,"presencePenalty":0.5,"responseLogprobs":true,"logprobs":3}}`},
		{"its own parameters, and neutral ones beside them",
			ask("m", param("safetySettings", `[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"OFF"}]`),
				param("generation_config", `{"top_k":1,"thinkingConfig":{"thinkingLevel":"LOW"}}`), param("max_tokens", "9")),
			`{` + hello + `,"safetySettings":[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"OFF"}],` +
				`"generationConfig":{"topK":1,"thinkingConfig":{"thinkingLevel":"LOW"},"maxOutputTokens":9}}`},
		{"effort before the third generation", ask("gemini-2.5-pro", param("reasoning_effort", `"medium"`)),
			`{` + hello + `,"generationConfig":{"thinkingConfig":{"thinkingBudget":8192}}}`},
		{"effort since", ask("models/gemini-3-pro-preview", param("reasoning_effort", `"low"`)),
			`{` + hello + `,"generationConfig":{"thinkingConfig":{"thinkingLevel":"LOW"}}}`},
		{"no thinking", ask("gemini-2.5-flash", param("reasoning_effort", `"none"`)),
			`{` + hello + `,"generationConfig":{"thinkingConfig":{"thinkingBudget":0}}}`},
		{"a budget", ask("gemini-2.5-flash", param("thinking", `{"type":"enabled","budget_tokens":512}`)),
			`{` + hello + `,"generationConfig":{"thinkingConfig":{"thinkingBudget":512}}}`},
		{"a schema",
			ask("m", param("response_format",
				`{"type":"json_schema","json_schema":{"name":"x","schema":{"type":"object"},"strict":true}}`)),
			`{` + hello + `,"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}}}`},
		{"any JSON", ask("m", param("response_format", `{"type":"json_object"}`)),
			`{` + hello + `,"generationConfig":{"responseMimeType":"application/json"}}`},
		{"tools", ask("m", param("tools", tool), param("tool_choice", `{"type":"function","function":{"name":"f"}}`)),
			`{` + hello + `,"tools":[{"functionDeclarations":[{"name":"f","description":"d",` +
				`"parametersJsonSchema":{"type":"object"}}]}],"toolConfig":{"functionCallingConfig":{"mode":"ANY",` +
				`"allowedFunctionNames":["f"]}}}`},
		{"its own tools", ask("m", param("tools", `[{"googleSearch":{}}]`)), `{` + hello + `,"tools":[{"googleSearch":{}}]}`},
		{"a tier of its own", ask("m", param("service_tier", `"flex"`)), `{` + hello + `,"serviceTier":"flex"}`},
		{"parameters at their defaults",
			ask("m", param("n", "1"), param("tool_choice", `"auto"`), param("service_tier", `"default"`)),
			`{` + hello + `,"toolConfig":{"functionCallingConfig":{"mode":"AUTO"}}}`},
		{"a call and its result", nightshift.Request{Model: "m", Messages: []nightshift.Message{user("w?"),
			raw(`{"role":"assistant","content":"so","tool_calls":[{"id":"c1","type":"function",` +
				`"function":{"name":"f","arguments":"{\"a\": 1.0}"},` +
				`"extra_content":{"google":{"thought_signature":"SIG"}}},{"id":"c2","type":"function",` +
				`"function":{"name":"g","arguments":""}}]}`),
			raw(`{"role":"tool","tool_call_id":"c2","content":"6"}`),
			raw(`{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"5"}]}`)}},
			`{"contents":[{"role":"user","parts":[{"text":"w?"}]},{"role":"model","parts":[{"text":"so"},` +
				`{"functionCall":{"id":"c1","name":"f","args":{"a": 1.0}},"thoughtSignature":"SIG"},` +
				`{"functionCall":{"id":"c2","name":"g","args":{}}}]},` +
				`{"role":"user","parts":[{"functionResponse":{"id":"c2","name":"g","response":{"result":"6"}}},` +
				`{"functionResponse":{"id":"c1","name":"f","response":{"result":"5"}}}]}]}`},
		{"media", nightshift.Request{Model: "m", Messages: []nightshift.Message{
			raw(`{"role":"user","content":[{"type":"text","text":"what?"},{"type":"image_url",` +
				`"image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"input_audio",` +
				`"input_audio":{"data":"BBBB","format":"wav"}},{"type":"file","file":{"filename":"x.pdf",` +
				`"file_data":"data:application/pdf;base64,CCCC"}}]}`)}},
			`{"contents":[{"role":"user","parts":[{"text":"what?"},{"inlineData":{"mimeType":"image/png",` +
				`"data":"AAAA"}},{"inlineData":{"mimeType":"audio/wav","data":"BBBB"}},` +
				`{"inlineData":{"mimeType":"application/pdf","data":"CCCC"}}]}]}`},
		{"its own messages untouched", nightshift.Request{Model: "m", Messages: []nightshift.Message{
			raw(`{"role":"user","parts":[{"text":"a"}]}`),
			raw(`{"role":"model","parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"S"}]}`),
			raw(`{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"x":1}}}]}`)}},
			`{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model",` +
				`"parts":[{"functionCall":{"name":"f","args":{}},"thoughtSignature":"S"}]},{"role":"user",` +
				`"parts":[{"functionResponse":{"name":"f","response":{"x":1}}}]}]}`},
		{"messages of no format",
			nightshift.Request{
				Model: "m", Messages: []nightshift.Message{
					raw(`{"role":"user","content":[{"type":"text","text":"a"}]}`)}}, `{` + hello + `}`},
		{"a row's own body",
			nightshift.Request{Model: "m", Stream: true,
				Body: json.RawMessage(`{"model":"models/x", ` + hello + `, "generationConfig":{"temperature": 0,` +
					`"maxOutputTokens": 5}}`), BodyProtocol: nightshift.Gemini, Params: []nightshift.Param{param("max_tokens", "9")}},
			`{` + hello + `,"generationConfig":{"temperature":0,"maxOutputTokens":9}}`},
		{"a row's own body as it is",
			nightshift.Request{Model: "m", Body: json.RawMessage(`{ "generation_config":{"top_k": 1},` + hello + `}`),
				BodyProtocol: nightshift.Gemini}, `{ "generation_config":{"top_k": 1},` + hello + `}`},
		{"a row's body in Chat's form",
			nightshift.Request{
				Model: "m", Body: json.RawMessage(
					`{"model":"x","messages":[{"role":"system","content":"S"},{"role":"user","content":"a"}],` +
						`"max_completion_tokens":5,"stream":true,"response_format":{"type":"json_object"}}`),
				BodyProtocol: nightshift.Chat},
			`{"systemInstruction":{"parts":[{"text":"S"}]},` + hello + `,"generationConfig":{"maxOutputTokens":5,` +
				`"responseMimeType":"application/json"}}`},
		{"a row's body in the form of Messages",
			nightshift.Request{
				Model: "m", Body: json.RawMessage(
					`{"model":"x","system":"S","max_tokens":5,"messages":[{"role":"user",` +
						`"content":[{"type":"image","source":{"type":"base64","media_type":"image/png",` +
						`"data":"AA"}}]},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f",` +
						`"input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t",` +
						`"content":"r"}]}]}`), BodyProtocol: nightshift.Messages},
			`{"systemInstruction":{"parts":[{"text":"S"}]},"contents":[{"role":"user",` +
				`"parts":[{"inlineData":{"mimeType":"image/png","data":"AA"}}]},{"role":"model",` +
				`"parts":[{"functionCall":{"id":"t","name":"f","args":{}}}]},{"role":"user",` +
				`"parts":[{"functionResponse":{"id":"t","name":"f","response":{"result":"r"}}}]}],` +
				`"generationConfig":{"maxOutputTokens":5}}`},
	} {
		p, err := encode(tc.req)
		if err != nil || string(p.Body) != tc.want {
			t.Errorf("%s:\n got %s\n     %v\nwant %s", tc.name, p.Body, err, tc.want)
			continue
		}
		if p.Model != tc.req.Model || p.Stream != (tc.req.Stream || strings.Contains(string(tc.req.Body), `"stream":true`)) {
			t.Errorf("%s: model %q, stream %v", tc.name, p.Model, p.Stream)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		req  nightshift.Request
		want string
	}{
		"logit_bias": {nightshift.Request{Params: []nightshift.Param{param("logit_bias", `{"1":5}`)}},
			"logit_bias"},
		"strict tools": {
			nightshift.Request{
				Params: []nightshift.Param{
					param("tools", `[{"type":"function","function":{"name":"f","strict":true}}]`)}}, "strict"},
		"one call at a time": {
			nightshift.Request{Params: []nightshift.Param{param("parallel_tool_calls", `false`)}}, "parallel_tool_calls"},
		"an effort that is not known": {
			nightshift.Request{Params: []nightshift.Param{param("reasoning_effort", `"xhigh"`)}}, "reasoning_effort (xhigh)"},
		"a setting twice": {
			nightshift.Request{
				Params: []nightshift.Param{param("max_tokens", `5`),
					param("generationConfig", `{"maxOutputTokens":6}`)}}, "maxOutputTokens is set twice"},
		"a user": {nightshift.Request{Params: []nightshift.Param{param("user", `"u"`)}}, "user"},
		"an image of the web": {
			nightshift.Request{
				Messages: []nightshift.Message{
					raw(`{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x.test/y.png"}}]}`)}}, "base64"},
		"a result without its call": {
			nightshift.Request{
				Messages: []nightshift.Message{raw(`{"role":"tool","tool_call_id":"c9","content":"5"}`)}},
			"c9 answers no tool call"},
		"a cache marker": {
			nightshift.Request{
				Messages: []nightshift.Message{
					raw(`{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},` +
						`{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]}`)}}, "cache_control"},
		"no message": {
			nightshift.Request{Messages: []nightshift.Message{{Role: nightshift.RoleSystem, Text: "S"}}}, "no user message"},
		"a generationConfig of a text": {
			nightshift.Request{Params: []nightshift.Param{param("generationConfig", `"x"`)}}, "no object"},
	} {
		if tc.req.Model = "gemini-2.5-flash"; tc.req.Messages == nil {
			tc.req.Messages = []nightshift.Message{user("a")}
		}
		_, err := encode(tc.req)
		var e *nightshift.Error
		if !errors.As(err, &e) || !strings.Contains(e.Error(), tc.want) {
			t.Errorf("%s: %v, want one that names %q", name, err, tc.want)
		}
	}
}

func TestCapsAndMeasure(t *testing.T) {
	p, err := encode(
		nightshift.Request{Model: "m", System: "12345",
			Messages: []nightshift.Message{
				user("123"), raw(`{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"AA"}},{"text":"12"}]}`)},
			Params: []nightshift.Param{param("max_tokens", "50"), param("n", "3")}})
	if err != nil || p.MaxOutput != 150 || p.Choices != 3 || p.InputText != 10 || p.InputOther == 0 ||
		!p.Media.ImageInput {
		t.Errorf("%+v, %v", p, err)
	}
	f := gemini.Format{}
	for cap, params := range map[int64][]nightshift.Param{
		0:   nil,
		100: {param("max_tokens", "100"), param("n", "2")},
		7:   {param("generationConfig", `{"max_output_tokens":7}`)},
	} {
		if got := formats.ParamsCap(f, params); got != cap {
			t.Errorf("%v cap %d, want %d", params, got, cap)
		}
	}
}

// Requests in this format can go to servers of the others.
func TestTranslateFrom(t *testing.T) {
	const own = `{"contents":[{"role":"user","parts":[{"text":"w?"},{"inline_data":{"mime_type":"image/png",` +
		`"data":"AA"}}]},` +
		`{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":1}}},{"functionCall":{"name":"f","args":{}}}]},` +
		`{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":"x"}}},` +
		`{"functionResponse":{"name":"f","response":{"y":2}}}]}],` +
		`"systemInstruction":{"parts":[{"text":"S"}]},"tools":[{"functionDeclarations":[{"name":"f",` +
		`"parameters":{"type":"OBJECT","properties":{"a":{"type":"NUMBER","nullable":true}}}}]}],` +
		`"toolConfig":{"functionCallingConfig":{"mode":"ANY"}},"generationConfig":{"maxOutputTokens":9,` +
		`"stopSequences":["X"],"thinkingConfig":{"thinkingLevel":"LOW"}},"safetySettings":[]}`
	for to, want := range map[nightshift.Protocol]string{
		nightshift.Chat: `{"messages":[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text",` +
			`"text":"w?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA"}}]},` +
			`{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function",` +
			`"function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"call_2","type":"function",` +
			`"function":{"name":"f","arguments":"{}"}}]},` +
			`{"role":"tool","tool_call_id":"call_1","content":"x"},{"role":"tool","tool_call_id":"call_2",` +
			`"content":"{\"y\":2}"}],` +
			`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object",` +
			`"properties":{"a":{"type":["number","null"]}}}}}],"tool_choice":"required","max_tokens":9,` +
			`"stop":["X"],"reasoning_effort":"low","model":"m"}`,
		nightshift.Messages: `{"system":"S","messages":[{"role":"user","content":[{"type":"text","text":"w?"},` +
			`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA"}}]},` +
			`{"role":"assistant","content":[{"type":"tool_use","id":"call_1","name":"f","input":{"a":1}},` +
			`{"type":"tool_use","id":"call_2","name":"f","input":{}}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":"x"},` +
			`{"type":"tool_result","tool_use_id":"call_2","content":"{\"y\":2}"}]}],` +
			`"tools":[{"name":"f","input_schema":{"type":"object","properties":{"a":{"type":["number","null"]}}}}],` +
			`"tool_choice":{"type":"any"},"max_tokens":9,"stop_sequences":["X"],"thinking":{"type":"adaptive"},` +
			`"output_config":{"effort":"low"},"model":"m"}`,
	} {
		f, _ := formats.Of(to)
		p, err := formats.Encode(f,
			nightshift.Request{Model: "m", Body: json.RawMessage(own), BodyProtocol: nightshift.Gemini}, false)
		if err != nil || string(p.Body) != want {
			t.Errorf("%s:\n got %s\n     %v\nwant %s", to, p.Body, err, want)
		}
	}
}

func TestTranslateFromRefuses(t *testing.T) {
	for body, want := range map[string]string{
		`{"contents":[{"role":"user","parts":[{"text":"a"}]}],"safetySettings":[{"category":"C",` +
			`"threshold":"OFF"}]}`: "safetySettings",
		`{"contents":[{"role":"user","parts":[{"text":"a"}]}],` +
			`"cachedContent":"cachedContents/1"}`: "cachedContent",
		`{"contents":[{"role":"model","parts":[{"text":"a",` +
			`"thought":true}]}]}`: "thought",
		`{"contents":[{"role":"model",` +
			`"parts":[{"executableCode":{"code":"x"}}]}]}`: "executableCode",
		`{"contents":[{"role":"user","parts":[{"text":"a"}]}],` +
			`"tools":[{"googleSearch":{}}]}`: "googleSearch",
		`{"contents":[{"role":"user","parts":[{"text":"a"}]}],` +
			`"generationConfig":{"mediaResolution":"X"}}`: "mediaResolution",
		`{"contents":[{"role":"user","parts":[{"functionResponse":{"name":"f",` +
			`"response":{}}}]}]}`: "the result of f",
		`{"contents":[{"role":"user","parts":[{"fileData":{"fileUri":"gs://b/x",` +
			`"mimeType":"image/png"}}]}]}`: "fileUri",
		`{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"name":"f"},` +
			`"thoughtSignature":"S"}]},{"role":"user","parts":[{"text":"b"}]}]}`: "signature",
	} {
		f, _ := formats.Of(nightshift.Messages)
		_, err := formats.Encode(f,
			nightshift.Request{Model: "m", Body: json.RawMessage(body), BodyProtocol: nightshift.Gemini,
				Params: []nightshift.Param{param("max_tokens", "5")}}, false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want one that names %s", body, err, want)
		}
	}
}

// FuzzBody: whatever body comes, the result is JSON or an error.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"contents":[{"role":"user","parts":[{"text":"a"}]}],"generationConfig":{"top_k":1}}`),
		[]byte(`{"temperature":1}`))
	f.Add([]byte(`{"contents":[{"parts":[{"functionCall":{"name":"f","args":{}}}]}],`+
		`"tools":[{"functionDeclarations":[{"name":"f"}]}]}`), []byte(`5`))
	f.Fuzz(func(t *testing.T, body, config []byte) {
		for _, to := range formats.All {
			req := nightshift.Request{Model: "gemini-2.5-pro", Body: body, BodyProtocol: nightshift.Gemini,
				Params: []nightshift.Param{param("max_tokens", "5")}}
			if json.Valid(config) {
				req.Params = append(req.Params, nightshift.Param{Name: "generationConfig", Value: config})
			}
			p, err := formats.Encode(to, req, true)
			if err == nil && !json.Valid(p.Body) {
				t.Fatalf("%s to %s: %s", body, to.Name(), p.Body)
			}
		}
	})
}
