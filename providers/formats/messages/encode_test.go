package messages_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/formats/messages"
)

// Encode writes a request in this format.
func Encode(req nightshift.Request) (providers.Prepared, error) {
	return formats.Encode(messages.Format{}, req, true)
}

func param(name, value string) nightshift.Param {
	return nightshift.Param{Name: name, Value: json.RawMessage(value)}
}

func user(text string) nightshift.Message {
	return nightshift.Message{Role: nightshift.RoleUser, Text: text}
}

func raw(text string) nightshift.Message { return nightshift.Message{Raw: json.RawMessage(text)} }

var limit = param("max_tokens", "64")

func TestEncode(t *testing.T) {
	for _, tc := range []struct {
		name string
		req  nightshift.Request
		want string
	}{
		{"plain", nightshift.Request{Model: "m", System: "S",
			Messages: []nightshift.Message{user("a\n<b>&\"é\u2028"), {Role: nightshift.RoleAssistant, Text: "ok"}, user("c")},
			Params:   []nightshift.Param{limit, param("temperature", "0.70")}},
			`{"model":"m","system":"S","messages":[{"role":"user","content":"a\n<b>&\"é\u2028"},` +
				`{"role":"assistant","content":"ok"},{"role":"user","content":"c"}],"max_tokens":64,"temperature":0.70}`},
		{"stream", nightshift.Request{Model: "m", Messages: []nightshift.Message{user("a")},
			Params: []nightshift.Param{limit}, Stream: true},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":64,"stream":true}`},
		{"the user's own stream parameter",
			nightshift.Request{Model: "m", Messages: []nightshift.Message{user("a")},
				Params: []nightshift.Param{limit, param("stream", "false")}, Stream: true},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":64,"stream":false}`},
		{"the last of two parameters, in the first one's place",
			nightshift.Request{Model: "m", Messages: []nightshift.Message{user("a")},
				Params: []nightshift.Param{param("max_tokens", "1"), param("top_k", "2"), param("max_tokens", "3"),
					param("model", `"m"`)}},
			`{"model":"m","messages":[{"role":"user","content":"a"}],"max_tokens":3,"top_k":2}`},
		{"system messages are lifted",
			nightshift.Request{Model: "m", System: "one",
				Messages: []nightshift.Message{{Role: nightshift.RoleDeveloper, Text: "two"}, user("a"),
					{Role: nightshift.RoleSystem, Text: "three"}}, Params: []nightshift.Param{limit}},
			`{"model":"m","system":"one\n\ntwo\n\nthree","messages":[{"role":"user","content":"a"}],"max_tokens":64}`},
		{"with cache markers",
			nightshift.Request{Model: "m", System: "one",
				Messages: []nightshift.Message{
					raw(`{"role":"system","content":[{"type":"text","text":"two",` +
						`"cache_control":{"type":"ephemeral","ttl":"1h"}}]}`), user("a")}, Params: []nightshift.Param{limit}},
			`{"model":"m","system":[{"type":"text","text":"one"},{"type":"text","text":"two",` +
				`"cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":"a"}],"max_tokens":64}`},
		{"own dialect untouched",
			nightshift.Request{
				Model: "m", Messages: []nightshift.Message{
					raw(`{"content": [ {"type":"image","source":{"type":"url","url":"https://x/y.png"}} ], ` +
						`"role":"user"}`)}, Params: []nightshift.Param{limit}},
			`{"model":"m","messages":[{"content": [ {"type":"image","source":{"type":"url",` +
				`"url":"https://x/y.png"}} ], "role":"user"}],"max_tokens":64}`},
		{"the other dialect translated", nightshift.Request{Model: "m", Messages: []nightshift.Message{user("w?"),
			raw(`{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",` +
				`"function":{"name":"f","arguments":"{\"a\": 1.0}"}},{"id":"c2","type":"function",` +
				`"function":{"name":"g","arguments":""}}]}`),
			raw(`{"role":"tool","tool_call_id":"c1","content":"5"}`),
			raw(`{"role":"tool","tool_call_id":"c2","content":"6"}`)}, Params: []nightshift.Param{limit}},
			`{"model":"m","messages":[{"role":"user","content":"w?"},{"role":"assistant",` +
				`"content":[{"type":"tool_use","id":"c1","name":"f","input":{"a": 1.0}},{"type":"tool_use",` +
				`"id":"c2","name":"g","input":{}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"5"},` +
				`{"type":"tool_result","tool_use_id":"c2","content":"6"}]}],"max_tokens":64}`},
		{"invalid UTF-8",
			nightshift.Request{Model: "m", Messages: []nightshift.Message{user("a\xffb")}, Params: []nightshift.Param{limit}},
			`{"model":"m","messages":[{"role":"user","content":"a\ufffdb"}],"max_tokens":64}`},

		{"the row's own body, byte for byte",
			nightshift.Request{
				Body: json.RawMessage(` { "max_tokens" : 1e2, "model":"m","messages":[{"role":"user",` +
					`"content":null}] , "x":1.10}` + "\n"), BodyProtocol: nightshift.Messages},
			` { "max_tokens" : 1e2, "model":"m","messages":[{"role":"user","content":null}] , "x":1.10}` + "\n"},
		{"with another model, a parameter and stream",
			nightshift.Request{Model: "n", Stream: true, Params: []nightshift.Param{limit, param("top_k", "5")},
				Body: json.RawMessage(`{ "max_tokens" : 1e2, "model":"m","messages":[] }`), BodyProtocol: nightshift.Messages},
			`{ "max_tokens" : 64, "model":"n","messages":[] ,"top_k":5,"stream":true}`},
		{"the row's own word on streaming",
			nightshift.Request{Body: json.RawMessage(`{"max_tokens":1,"model":"m","messages":[],"stream":false}`),
				BodyProtocol: nightshift.Messages, Stream: true},
			`{"max_tokens":1,"model":"m","messages":[],"stream":true}`},
		{"a body of the other format",
			nightshift.Request{Model: "claude",
				Body: json.RawMessage(`{"model":"gpt","messages":[{"role":"system","content":"S"},{"role":"user",` +
					`"content":"a"}],"max_completion_tokens":5,"stop":"X"}`), BodyProtocol: nightshift.Chat},
			`{"model":"claude","system":"S","messages":[{"role":"user","content":"a"}],"max_tokens":5,"stop_sequences":["X"]}`},
	} {
		p, err := Encode(tc.req)
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
		{"no max_tokens", nightshift.Request{Model: "m", Messages: []nightshift.Message{user("a")}},
			nightshift.ClassInvalidRequest, "set max_tokens"},
		{"null max_tokens",
			nightshift.Request{Model: "m", Messages: []nightshift.Message{user("a")},
				Params: []nightshift.Param{param("max_tokens", "null")}}, nightshift.ClassInvalidRequest, "set max_tokens"},
		{"no model", nightshift.Request{Messages: []nightshift.Message{user("a")}, Params: []nightshift.Param{limit}},
			nightshift.ClassInvalidRequest, "model"},
		{"two models",
			nightshift.Request{Model: "m", Messages: []nightshift.Message{user("a")},
				Params: []nightshift.Param{limit, param("model", `"n"`)}}, nightshift.ClassInvalidRequest, "model"},
		{"no messages", nightshift.Request{Model: "m", Params: []nightshift.Param{limit}},
			nightshift.ClassInvalidRequest, "no user message"},
		{"only a system prompt", nightshift.Request{Model: "m", System: "x", Params: []nightshift.Param{limit}},
			nightshift.ClassInvalidRequest, "no user message"},
		{"messages as a parameter",
			nightshift.Request{Model: "m", Messages: []nightshift.Message{user("a")},
				Params: []nightshift.Param{limit, param("messages", "[]")}}, nightshift.ClassInvalidRequest, "messages"},
		{"two system prompts",
			nightshift.Request{Model: "m", System: "x", Messages: []nightshift.Message{user("a")},
				Params: []nightshift.Param{limit, param("system", `"y"`)}}, nightshift.ClassInvalidRequest, "keep one"},
		{"a parameter that is no JSON",
			nightshift.Request{Model: "m", Messages: []nightshift.Message{user("a")},
				Params: []nightshift.Param{limit, param("x", `1,"y":2`)}}, nightshift.ClassInvalidRequest, `"x"`},
		{"a message that is no JSON",
			nightshift.Request{Model: "m", Messages: []nightshift.Message{raw(`{"role":"user"},{}`)},
				Params: []nightshift.Param{limit}}, nightshift.ClassInvalidRequest, "messages[0]"},
		{"a tool message without an id",
			nightshift.Request{Model: "m", Messages: []nightshift.Message{{Role: nightshift.RoleTool, Text: "5"}},
				Params: []nightshift.Param{limit}}, nightshift.ClassInvalidRequest, "tool_call_id"},
		{"audio", nightshift.Request{
			Model: "m", Messages: []nightshift.Message{
				raw(`{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"","format":"wav"}}]}`)},
			Params: []nightshift.Param{limit}}, nightshift.ClassUntranslatable, "input_audio"},
		{"seed in a body of the other format",
			nightshift.Request{Model: "m", Params: []nightshift.Param{limit},
				Body:         json.RawMessage(`{"messages":[{"role":"user","content":"a"}],"seed":1}`),
				BodyProtocol: nightshift.Chat}, nightshift.ClassUntranslatable, "seed"},
		{"a body that is no object",
			nightshift.Request{Model: "m", Body: json.RawMessage(`[]`), BodyProtocol: nightshift.Messages},
			nightshift.ClassInvalidRequest, "a list"},
	} {
		_, err := Encode(tc.req)
		var e *nightshift.Error
		if !errors.As(err, &e) || e.Class != tc.class || !strings.Contains(e.Error(), tc.says) {
			t.Errorf("%s: %v, want class %s and %q", tc.name, err, tc.class, tc.says)
		}
	}
}

func TestPrepared(t *testing.T) {
	p, err := Encode(
		nightshift.Request{Model: "claude-x", System: "12345", Key: "k", Stream: true,
			Params: []nightshift.Param{limit, param("tools", `[{"name":"f"}]`)}, Messages: []nightshift.Message{
				user("1234567890"),
				raw(`{"role":"user","content":[{"type":"text","text":"123"},{"type":"image",` +
					`"source":{"type":"base64","media_type":"image/png","data":"` + strings.Repeat("A", 10_000) + `"}}]}`),
			}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Model != "claude-x" || p.Key != "k" || !p.Stream || len(p.Hash) != 64 || p.MaxOutput != 64 {
		t.Errorf("%+v", p)
	}
	if want := int64(5 + 10 + 3 + len(`[{"name":"f"}]`)); p.InputText != want || p.InputOther != 4800 {
		t.Errorf("InputText, InputOther = %d, %d; want %d, 4800", p.InputText, p.InputOther, want)
	}
}

func BenchmarkEncode(b *testing.B) {
	req := nightshift.Request{Model: "claude-sonnet-4-6", System: "You are careful.",
		Messages: []nightshift.Message{user(strings.Repeat("The quick brown fox\njumps. ", 38))},
		Params:   []nightshift.Param{limit, param("temperature", "0")}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(req); err != nil {
			b.Fatal(err)
		}
	}
}
