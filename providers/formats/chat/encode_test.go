package chat_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/formats/chat"
)

// Encode writes a request in this format; usage is whether to ask for usage.
func Encode(req nightshift.Request, usage bool) (providers.Prepared, error) {
	return formats.Encode(chat.Format{}, req, usage)
}

func param(name, value string) nightshift.Param {
	return nightshift.Param{Name: name, Value: json.RawMessage(value)}
}

func user(text string) nightshift.Message {
	return nightshift.Message{Role: nightshift.RoleUser, Text: text}
}

func raw(text string) nightshift.Message { return nightshift.Message{Raw: json.RawMessage(text)} }

func TestEncode(t *testing.T) {
	ask := []nightshift.Message{user("a")}
	const askUsage = true
	for _, tc := range []struct {
		name string
		opt  bool
		req  nightshift.Request
		want string
	}{
		{"plain", askUsage,
			nightshift.Request{Model: "m", System: "S",
				Messages: []nightshift.Message{user("a\n<b>&\"é"), {Role: nightshift.RoleAssistant, Text: "ok"},
					{Role: nightshift.RoleDeveloper, Text: "d"}, user("c")},
				Params: []nightshift.Param{param("temperature", "0.70"), param("n", "2")}},
			`{"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","content":"a\n<b>&\"é"},` +
				`{"role":"assistant","content":"ok"},{"role":"developer","content":"d"},{"role":"user",` +
				`"content":"c"}],"temperature":0.70,"n":2}`},
		{"stream", false, nightshift.Request{Model: "m", Messages: ask, Stream: true},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true}`},
		{"stream with usage", askUsage, nightshift.Request{Model: "m", Messages: ask, Stream: true},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true,"stream_options":{"include_usage":true}}`},
		{"the user has spoken of usage", askUsage,
			nightshift.Request{Model: "m", Messages: ask, Stream: true,
				Params: []nightshift.Param{param("stream_options", `{"include_usage":false}`)}},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"stream_options":{"include_usage":false},"stream":true}`},
		{"the user has spoken of something else", askUsage,
			nightshift.Request{Model: "m", Messages: ask, Stream: true,
				Params: []nightshift.Param{param("stream_options", `{"include_obfuscation":false}`)}},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"stream_options":{"include_obfuscation":false,` +
				`"include_usage":true},"stream":true}`},
		{"the user's own stream parameter", askUsage,
			nightshift.Request{Model: "m", Messages: ask, Params: []nightshift.Param{param("stream", "true")}},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"stream":true,"stream_options":{"include_usage":true}}`},
		{"switched off by the user", askUsage,
			nightshift.Request{Model: "m", Messages: ask, Stream: true,
				Params: []nightshift.Param{param("stream", "false")}},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"stream":false}`},
		{"own dialect untouched", false,
			nightshift.Request{Model: "m", System: "S",
				Messages: []nightshift.Message{
					raw(`{"content":[ {"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}} ],` +
						`"role":"user","name":"bob"}`)}},
			`{"model":"m","messages":[{"role":"system","content":"S"},{"content":[ {"type":"image_url",` +
				`"image_url":{"url":"https://x/y.png","detail":"low"}} ],"role":"user","name":"bob"}]}`},
		{"the other dialect translated", false,
			nightshift.Request{
				Model: "m", Messages: []nightshift.Message{
					user("w?"), raw(`{"role":"assistant","content":[{"type":"text","text":"look"},` +
						`{"type":"tool_use","id":"t","name":"f","input":{"a": 1.0}}]}`),
					raw(`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"5"},` +
						`{"type":"text","text":"and?"},{"type":"image","source":{"type":"base64",` +
						`"media_type":"image/png","data":"QUJD"}}]}`)}},
			`{"model":"m","messages":[{"role":"user","content":"w?"},{"role":"assistant","content":"look",` +
				`"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{\"a\": 1.0}"}}]},` +
				`{"role":"tool","tool_call_id":"t","content":"5"},{"role":"user","content":[{"type":"text",` +
				`"text":"and?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]}]}`},

		{"the row's own body, byte for byte", askUsage,
			nightshift.Request{
				Body:         json.RawMessage(` { "model":"m","messages":[{"role":"user","content":"\u0041"}] , "x":1.10}`),
				BodyProtocol: nightshift.Chat}, ` { "model":"m","messages":[{"role":"user","content":"\u0041"}] , "x":1.10}`},
		{"streamed", askUsage,
			nightshift.Request{Model: "n", Stream: true, Body: json.RawMessage(`{ "model":"m","messages":[]}`),
				BodyProtocol: nightshift.Chat},
			`{ "model":"n","messages":[],"stream":true,"stream_options":{"include_usage":true}}`},
		{"one cap, two names", false,
			nightshift.Request{Model: "m", Params: []nightshift.Param{param("max_completion_tokens", "9")},
				Body: json.RawMessage(`{"model":"m","max_tokens":5,"messages":[]}`), BodyProtocol: nightshift.Chat},
			`{"model":"m","messages":[],"max_completion_tokens":9}`},
		{"nothing to take out", false,
			nightshift.Request{Model: "m", Params: []nightshift.Param{param("max_tokens", "9")},
				Body: json.RawMessage(`{ "model":"m","max_tokens" : 5,"messages":[]}`), BodyProtocol: nightshift.Chat},
			`{ "model":"m","max_tokens" : 9,"messages":[]}`},
		{"a body of the other format", false,
			nightshift.Request{Model: "gpt-5",
				Body: json.RawMessage(`{"model":"claude","max_tokens":5,"system":"S","messages":[{"role":"user",` +
					`"content":"a"}],"stop_sequences":["X"]}`), BodyProtocol: nightshift.Messages},
			`{"model":"gpt-5","max_completion_tokens":5,"messages":[{"role":"system","content":"S"},{"role":"user",` +
				`"content":"a"}],"stop":["X"]}`},
		{"the same for a compatible server", false,
			nightshift.Request{Model: "qwen3",
				Body:         json.RawMessage(`{"model":"claude","max_tokens":5,"messages":[{"role":"user","content":"a"}]}`),
				BodyProtocol: nightshift.Messages},
			`{"model":"qwen3","max_tokens":5,"messages":[{"role":"user","content":"a"}]}`},
	} {
		p, err := Encode(tc.req, tc.opt)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
		} else if string(p.Body) != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, p.Body, tc.want)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		req   nightshift.Request
		class nightshift.ErrorClass
		says  string
	}{
		{"no model", nightshift.Request{Messages: []nightshift.Message{user("a")}}, nightshift.ClassInvalidRequest, "model"},
		{"no messages", nightshift.Request{Model: "m"}, nightshift.ClassInvalidRequest, "no messages"},
		{"messages as a parameter",
			nightshift.Request{Model: "m", Messages: []nightshift.Message{user("a")},
				Params: []nightshift.Param{param("messages", "[]")}}, nightshift.ClassInvalidRequest, "messages"},
		{"an unknown role", nightshift.Request{Model: "m", Messages: []nightshift.Message{{Role: "king", Text: "a"}}},
			nightshift.ClassInvalidRequest, "king"},
		{"signed thinking",
			nightshift.Request{
				Model: "m", Messages: []nightshift.Message{
					raw(`{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y"}]}`)}},
			nightshift.ClassUntranslatable, "thinking"},
		{"top_k is said, mcp_servers is not",
			nightshift.Request{Model: "m", Body: json.RawMessage(`{"messages":[],"top_k":3,"mcp_servers":[]}`),
				BodyProtocol: nightshift.Messages}, nightshift.ClassUntranslatable, "mcp_servers"},
	} {
		_, err := Encode(tc.req, false)
		var e *nightshift.Error
		if !errors.As(err, &e) || e.Class != tc.class || !strings.Contains(e.Error(), tc.says) {
			t.Errorf("%s: %v, want class %s and %q", tc.name, err, tc.class, tc.says)
		}
	}
}

func TestPrepared(t *testing.T) {
	for _, tc := range []struct {
		params string
		want   int64
	}{
		{`{}`, 0}, {`{"max_tokens":5}`, 5}, {`{"max_completion_tokens":7,"max_tokens":5,"n":3}`, 21},
		{`{"max_tokens":-5,"n":0}`, 0}, {`{"max_tokens":"5"}`, 0},
	} {
		body := `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"123"},` +
			`{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", 9000) + `"}}]}],` +
			tc.params[1:]
		p, err := Encode(
			nightshift.Request{Body: json.RawMessage(strings.Replace(body, ",}", "}", 1)),
				BodyProtocol: nightshift.Chat, Key: "k"}, false)
		if err != nil || p.MaxOutput != tc.want || p.InputText != 3 || p.InputOther != 16_400 || p.Key != "k" || p.Stream {
			t.Errorf("%s: %+v, %v; want MaxOutput %d", tc.params, p, err, tc.want)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	req := nightshift.Request{Model: "gpt-5-mini", System: "You are careful.",
		Messages: []nightshift.Message{user(strings.Repeat("The quick brown fox\njumps. ", 38))},
		Params:   []nightshift.Param{param("max_completion_tokens", "64"), param("temperature", "0")}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(req, false); err != nil {
			b.Fatal(err)
		}
	}
}
