package formats

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/conversation"
)

const (
	toChat     = nightshift.Chat
	toMessages = nightshift.Messages
)

// Message translates one message; one may become several.
func Message(raw json.RawMessage, to nightshift.Protocol) ([]json.RawMessage, error) {
	f, _ := Of(to)
	t := conversation.Translation{To: f, All: dialects}
	v, err := rawjson.Strict(raw)
	if err != nil {
		return nil, &nightshift.Error{Class: nightshift.ClassInvalidRequest, Message: err.Error()}
	}
	turns := t.Message(v, "message")
	if t.Err != nil {
		return nil, t.Err
	}
	var w conversation.Writer
	w.Open('{')
	f.WritePrompt(&t, &w, turns)
	if t.Err != nil {
		return nil, t.Err
	}
	var written struct{ Messages []json.RawMessage }
	err = json.Unmarshal(w.Close('}'), &written)
	return written.Messages, err
}

// Body translates a whole request body.
func Body(raw json.RawMessage, from, to nightshift.Protocol) (json.RawMessage, error) {
	source, _ := Of(from)
	target, _ := Of(to)
	t := conversation.Translation{To: target, All: dialects}
	body := t.Body(raw, source, "")
	if t.Err != nil {
		return nil, t.Err
	}
	return body, nil
}

// Dialect returns the format that a message is written in.
func Dialect(raw json.RawMessage) nightshift.Protocol {
	v, err := rawjson.Scan(raw)
	if err != nil {
		return ""
	}
	if d := conversation.Of(v, dialects); d != nil {
		return d.Protocol()
	}
	return ""
}

func IsUntranslatable(err error) bool {
	var e *nightshift.Error
	return errors.As(err, &e) && e.Class == nightshift.ClassUntranslatable
}

func TestDialect(t *testing.T) {
	for _, tc := range []struct {
		message string
		want    nightshift.Protocol
	}{
		{`{"role":"user","content":"a"}`, ""},
		{`{"role":"assistant","content":[{"type":"text","text":"a"}]}`, ""},
		{`{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}`, ""},
		{`{"role":"user","content":[{"type":"image","source":{}}]}`, toMessages},
		{`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}`, toMessages},
		{`{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"web_search_tool_result"}]}`, toMessages},
		{`{"role":"assistant","content":[{"type":"thinking","thinking":"a"}]}`, toMessages},
		{`{"role":"user","content":[{"type":"image_url","image_url":{}}]}`, toChat},
		{`{"role":"assistant","content":null,"tool_calls":[]}`, toChat},
		{`{"role":"assistant","content":"a","refusal":null}`, toChat},
		{`{"role":"user","content":"a","name":"bob"}`, toChat},
		{`{"role":"tool","tool_call_id":"c","content":"a"}`, toChat},
		{`{"role":"system","content":"a"}`, toChat},
		{`{"role":"user","content":[{"type":"hologram"}]}`, ""},
		{`nonsense`, ""},
	} {
		if got := Dialect(json.RawMessage(tc.message)); got != tc.want {
			t.Errorf("Dialect(%s) = %q, want %q", tc.message, got, tc.want)
		}
	}
}

// pairs are said in both formats alike: each side is translated into the
// other.
var pairs = []struct{ name, messages, chat string }{
	{"a call", `{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"b": 1.50,"a":[]}}]}`,
		`{"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f",` +
			`"arguments":"{\"b\": 1.50,\"a\":[]}"}}]}`},
	{"text and calls",
		`{"role":"assistant","content":[{"type":"text","text":"I'll \"look\""},{"type":"tool_use","id":"t",` +
			`"name":"f","input":{}},{"type":"tool_use","id":"u","name":"g","input":{"x":"é"}}]}`,
		`{"role":"assistant","content":"I'll \"look\"","tool_calls":[{"id":"t","type":"function",` +
			`"function":{"name":"f","arguments":"{}"}},{"id":"u","type":"function","function":{"name":"g",` +
			`"arguments":"{\"x\":\"é\"}"}}]}`},
	{"a tool result", `{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"5\u00b0"}]}`,
		`{"role":"tool","tool_call_id":"t","content":"5\u00b0"}`},
	{"a tool result in parts",
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"5",` +
			`"cache_control":{"type":"ephemeral"}}]}]}`,
		`{"role":"tool","tool_call_id":"t","content":[{"type":"text","text":"5","cache_control":{"type":"ephemeral"}}]}`},
	{"an image by URL",
		`{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://x/y.png"}},{"type":"text",` +
			`"text":"what?"}]}`,
		`{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x/y.png"}},{"type":"text",` +
			`"text":"what?"}]}`},
	{"an image as data",
		`{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png",` +
			`"data":"QUJD"},"cache_control":{"type":"ephemeral"}}]}`,
		`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"},` +
			`"cache_control":{"type":"ephemeral"}}]}`},
	{"a document",
		`{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf",` +
			`"data":"QUJD"},"title":"a.pdf"}]}`,
		`{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf",` +
			`"file_data":"data:application/pdf;base64,QUJD"}}]}`},
}

func TestMessageBothWays(t *testing.T) {
	for _, tc := range pairs {
		for _, way := range []struct {
			from, want string
			to         nightshift.Protocol
		}{{tc.messages, tc.chat, toChat}, {tc.chat, tc.messages, toMessages}, {tc.chat, tc.chat, toChat},
			{tc.messages, tc.messages, toMessages}} {
			got, err := Message(json.RawMessage(way.from), way.to)
			if err != nil || len(got) != 1 || string(got[0]) != way.want {
				t.Errorf("%s to %s:\n got %s (%v)\nwant %s", tc.name, way.to, got, err, way.want)
			}
		}
	}
}

func TestMessageOneWay(t *testing.T) {
	for _, tc := range []struct {
		name, from string
		to         nightshift.Protocol
		want       []string
	}{
		{"tool results and what follows",
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"},{"type":"tool_result",` +
				`"tool_use_id":"u","content":"6","is_error":false},{"type":"text","text":"and?"}]}`, toChat,
			[]string{`{"role":"tool","tool_call_id":"t","content":""}`,
				`{"role":"tool","tool_call_id":"u","content":"6"}`, `{"role":"user","content":[{"type":"text","text":"and?"}]}`}},
		{"several texts beside a call",
			`{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"},` +
				`{"type":"tool_use","id":"t","name":"f","input":{}}]}`, toChat,
			[]string{`{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],` +
				`"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]}`}},
		{"an echoed answer",
			`{"role":"assistant","content":"a","refusal":null,"annotations":[],"audio":null,"function_call":null,` +
				`"reasoning_content":"","tool_calls":null}`, toMessages, []string{`{"role":"assistant","content":"a"}`}},
		{"an empty text beside a call, and an index",
			`{"role":"assistant","content":"","tool_calls":[{"index":0,"id":"t","type":"function",` +
				`"function":{"name":"f","arguments":" "}}]}`, toMessages,
			[]string{`{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]}`}},
		{"a refusal", `{"role":"assistant","content":null,"refusal":"No."}`, toMessages,
			[]string{`{"role":"assistant","content":[{"type":"text","text":"No."}]}`}},
		{"detail that is the default",
			`{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x/y","detail":"auto"}}]}`,
			toMessages, []string{`{"role":"user","content":[{"type":"image","source":{"type":"url","url":"http://x/y"}}]}`}},
		{"the name of a tool", `{"role":"tool","tool_call_id":"t","name":"f","content":"5"}`, toMessages,
			[]string{`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"5"}]}`}},
	} {
		got, err := Message(json.RawMessage(tc.from), tc.to)
		var texts []string
		for _, m := range got {
			texts = append(texts, string(m))
		}
		if err != nil || !reflect.DeepEqual(texts, tc.want) {
			t.Errorf("%s:\n got %s (%v)\nwant %s", tc.name, texts, err, tc.want)
		}
	}
}

// TestMessageRefuses: what cannot be said is an error that names it.
func TestMessageRefuses(t *testing.T) {
	for _, tc := range []struct {
		from  string
		to    nightshift.Protocol
		names string
	}{
		{`{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}`, toChat,
			`message.content[0].source`},
		{`{"role":"user","content":[{"type":"image","source":{"type":"url","url":"u","x":1}}]}`, toChat, `source.x`},
		{`{"role":"user","content":[{"type":"document","source":{"type":"url","url":"u"}}]}`, toChat,
			`message.content[0].source`},
		{`{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf",` +
			`"data":""},"citations":{"enabled":true}}]}`, toChat, `citations`},
		{`{"role":"user","content":[{"type":"search_result"}]}`, toChat, `search_result`},
		{`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","is_error":true,"content":"x"}]}`, toChat,
			`is_error`},
		{`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","cache_control":{"type":"ephemeral"}}]}`,
			toChat, `cache_control`},
		{`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image",` +
			`"source":{}}]}]}`, toChat, `content[0].content[0]`},
		{`{"role":"assistant","content":[{"type":"thinking","thinking":"a","signature":"b"}]}`, toChat, `thinking`},
		{`{"role":"assistant","content":[{"type":"redacted_thinking","data":"b"}]}`, toChat, `thinking`},
		{`{"role":"assistant","content":[{"type":"server_tool_use","id":"s"}]}`, toChat, `server_tool_use`},
		{`{"role":"assistant","content":[{"type":"text","text":"a","citations":[{"x":1}]}]}`, toChat, `citations`},
		{`{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{},` +
			`"cache_control":{"type":"ephemeral"}}]}`, toChat, `cache_control`},
		{`{"role":"user","x":1,"content":[{"type":"image","source":{"type":"url","url":"u"}}]}`, toChat, `message.x`},

		{`{"role":"user","content":"a","name":"bob"}`, toMessages, `message.name`},
		{`{"role":"user","content":[{"type":"input_audio","input_audio":{}}]}`, toMessages, `input_audio`},
		{`{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x","detail":"low"}}]}`, toMessages,
			`detail`},
		{`{"role":"user","content":[{"type":"image_url","image_url":{"url":"ftp://x"}}]}`, toMessages, `image_url.url`},
		{`{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:text"}}]}`, toMessages, `image_url.url`},
		{`{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}`, toMessages, `file.file_id`},
		{`{"role":"assistant","content":"a","reasoning_content":"because"}`, toMessages, `reasoning_content`},
		{`{"role":"assistant","content":null,"audio":{"id":"a"}}`, toMessages, `audio`},
		{`{"role":"assistant","content":null,"function_call":{"name":"f"}}`, toMessages, `function_call`},
		{`{"role":"assistant","tool_calls":[{"id":"t","type":"custom","custom":{}}]}`, toMessages, `custom`},
		{`{"role":"assistant","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{oops"}}]}`,
			toMessages, `arguments`},
		{`{"role":"assistant","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"[]"}}]}`,
			toMessages, `arguments`},
		{`{"role":"function","name":"f","content":"a"}`, toMessages, `function`},
	} {
		out, err := Message(json.RawMessage(tc.from), tc.to)
		if !IsUntranslatable(err) || !strings.Contains(err.Error(), tc.names) {
			t.Errorf("%s:\n got %s, %v; want an error that names %s", tc.from, out, err, tc.names)
		}
	}
}

func TestInvalidMessages(t *testing.T) {
	for _, from := range []string{`{"role":"tool","content":"5"}`,
		`{"role":"user","role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}]}`, `[1]`, `{`,
		`{"role":"user","content":7,"name":null}`} {
		_, err := Message(json.RawMessage(from), toMessages)
		var e *nightshift.Error
		if !errors.As(err, &e) || e.Class != nightshift.ClassInvalidRequest {
			t.Errorf("%s: %v, want class invalid_request", from, err)
		}
	}
}

func TestBody(t *testing.T) {
	for _, tc := range []struct{ name, messages, chat string }{
		{"everything that both say",
			`{"model":"x","max_tokens":64,"system":"S","messages":[{"role":"user","content":"a"}],` +
				`"temperature":0.70,"top_p":1,"top_k":5,"stop_sequences":["X","Y"],"stream":true,` +
				`"metadata":{"user_id":"u"},"service_tier":"standard_only"}`,
			`{"model":"x","max_tokens":64,"messages":[{"role":"system","content":"S"},{"role":"user",` +
				`"content":"a"}],"temperature":0.70,"top_p":1,"top_k":5,"stop":["X","Y"],"stream":true,"user":"u",` +
				`"service_tier":"default"}`},
		{"a reasoning model's cap",
			`{"model":"openai/o4-mini","max_tokens":64,"messages":[{"role":"user","content":"a"}]}`,
			`{"model":"openai/o4-mini","max_completion_tokens":64,"messages":[{"role":"user","content":"a"}]}`},
		{"system in parts",
			`{"model":"x","system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],` +
				`"messages":[{"role":"user","content":"a"}]}`,
			`{"model":"x","messages":[{"role":"system","content":[{"type":"text","text":"S",` +
				`"cache_control":{"type":"ephemeral"}}]},{"role":"user","content":"a"}]}`},
		{"tools", `{"model":"x","messages":[{"role":"user","content":"a"}],"tools":[{"name":"f","description":"d",` +
			`"input_schema":{"type":"object","properties":{"z":{"type":"number","minimum":0.10},"a":{}}},` +
			`"strict":true,"cache_control":{"type":"ephemeral"}}],"tool_choice":{"type":"tool","name":"f"}}`,
			`{"model":"x","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function",` +
				`"function":{"name":"f","description":"d","parameters":{"type":"object",` +
				`"properties":{"z":{"type":"number","minimum":0.10},"a":{}}},"strict":true},` +
				`"cache_control":{"type":"ephemeral"}}],"tool_choice":{"type":"function","function":{"name":"f"}}}`},
		{"any tool, one at a time",
			`{"messages":[{"role":"user","content":"a"}],"tool_choice":{"type":"any",` +
				`"disable_parallel_tool_use":true}}`,
			`{"messages":[{"role":"user","content":"a"}],"tool_choice":"required","parallel_tool_calls":false}`},
		{"no tool", `{"messages":[{"role":"user","content":"a"}],"tool_choice":{"type":"none"}}`,
			`{"messages":[{"role":"user","content":"a"}],"tool_choice":"none"}`},
		{"effort", `{"messages":[{"role":"user","content":"a"}],"thinking":{"type":"adaptive"},` +
			`"output_config":{"effort":"xhigh"}}`, `{"messages":[{"role":"user","content":"a"}],"reasoning_effort":"xhigh"}`},
		{"no thinking", `{"messages":[{"role":"user","content":"a"}],"thinking":{"type":"disabled"}}`,
			`{"messages":[{"role":"user","content":"a"}],"reasoning_effort":"none"}`},
		{"a schema",
			`{"messages":[{"role":"user","content":"a"}],"output_config":{"format":{"type":"json_schema",` +
				`"schema":{"type":"object"}}}}`,
			`{"messages":[{"role":"user","content":"a"}],"response_format":{"type":"json_schema",` +
				`"json_schema":{"name":"response","schema":{"type":"object"},"strict":true}}}`},
		{"a conversation with tools",
			`{"messages":[{"role":"user","content":"w?"},{"role":"assistant","content":[{"type":"tool_use",` +
				`"id":"t","name":"f","input":{}},{"type":"tool_use","id":"u","name":"f","input":{}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"1"},` +
				`{"type":"tool_result","tool_use_id":"u","content":"2"}]}]}`,
			`{"messages":[{"role":"user","content":"w?"},{"role":"assistant","content":null,` +
				`"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"u",` +
				`"type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"t",` +
				`"content":"1"},{"role":"tool","tool_call_id":"u","content":"2"}]}`},
	} {
		got, err := Body(json.RawMessage(tc.messages), nightshift.Messages, nightshift.Chat)
		if err != nil || string(got) != tc.chat {
			t.Errorf("%s, to Chat:\n got %s (%v)\nwant %s", tc.name, got, err, tc.chat)
		}
		got, err = Body(json.RawMessage(tc.chat), nightshift.Chat, nightshift.Messages)
		if err != nil || string(got) != tc.messages {
			t.Errorf("%s, to Messages:\n got %s (%v)\nwant %s", tc.name, got, err, tc.messages)
		}
	}
}

func TestBodyOneWay(t *testing.T) {
	const ask = `"messages":[{"role":"user","content":"a"}]`
	for _, tc := range []struct{ name, from, want string }{
		{"defaults mean nothing",
			`{` + ask + `,"n":1,"seed":null,"frequency_penalty":0,"presence_penalty":0.0,"logprobs":false,` +
				`"top_logprobs":0,"logit_bias":{},"store":false,"modalities":["text"],` +
				`"response_format":{"type":"text"},"parallel_tool_calls":true,"stream_options":{"include_usage":true}}`,
			`{` + ask + `}`},
		{"a stop text", `{` + ask + `,"stop":"X"}`, `{` + ask + `,"stop_sequences":["X"]}`},
		{"both caps", `{` + ask + `,"max_tokens":5,"max_completion_tokens":7}`, `{` + ask + `,"max_tokens":7}`},
		{"a tool without parameters", `{` + ask + `,"tools":[{"type":"function","function":{"name":"f"}}]}`,
			`{` + ask + `,"tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}]}`},
		{"one call at a time, no choice", `{` + ask + `,"parallel_tool_calls":false}`,
			`{` + ask + `,"tool_choice":{"type":"auto","disable_parallel_tool_use":true}}`},
		{"none takes no other field", `{` + ask + `,"parallel_tool_calls":false,"tool_choice":"none"}`,
			`{` + ask + `,"tool_choice":{"type":"none"}}`},
		{"effort and schema",
			`{"response_format":{"type":"json_schema","json_schema":{"name":"n",` +
				`"schema":{}}},` + ask + `,"reasoning_effort":"low"}`,
			`{"thinking":{"type":"adaptive"},"output_config":{"effort":"low","format":{"type":"json_schema",` +
				`"schema":{}}},` + ask + `}`},
		{"OpenRouter's budget", `{` + ask + `,"reasoning":{"max_tokens":2000}}`,
			`{` + ask + `,"thinking":{"type":"enabled","budget_tokens":2000}}`},
		{"OpenRouter's effort", `{` + ask + `,"reasoning":{"effort":"high"}}`,
			`{` + ask + `,"thinking":{"type":"adaptive"},"output_config":{"effort":"high"}}`},
		{"DeepSeek's switch", `{` + ask + `,"thinking":{"type":"disabled"}}`, `{` + ask + `,"thinking":{"type":"disabled"}}`},
		{"system messages anywhere",
			`{"messages":[{"role":"system","content":"a"},{"role":"user","content":"b"},{"role":"developer",` +
				`"content":"c"}]}`, `{"system":"a\n\nc","messages":[{"role":"user","content":"b"}]}`},
		{"a safety identifier", `{` + ask + `,"safety_identifier":"u","user":"u"}`,
			`{` + ask + `,"metadata":{"user_id":"u"}}`},
	} {
		got, err := Body(json.RawMessage(tc.from), nightshift.Chat, nightshift.Messages)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s:\n got %s (%v)\nwant %s", tc.name, got, err, tc.want)
		}
	}
}

func TestBodyRefuses(t *testing.T) {
	for _, tc := range []struct {
		from  nightshift.Protocol
		field string // one field of a body, with its value
		names string
	}{
		{toMessages, `"mcp_servers":[]`, "mcp_servers"}, {toMessages, `"container":"c"`, "container"},
		{toMessages, `"inference_geo":"us"`, "inference_geo"}, {toMessages, `"new_thing":1`, "new_thing"},
		{toMessages, `"thinking":{"type":"enabled","budget_tokens":2000}`, "budget_tokens"},
		{toMessages, `"thinking":{"type":"adaptive"}`, "thinking"},
		{toMessages, `"thinking":{"type":"adaptive","display":"omitted"},"output_config":{"effort":"low"}`,
			"thinking.display"},
		{toMessages, `"thinking":{"type":"disabled"},"output_config":{"effort":"low"}`, "effort"},
		{toMessages, `"tools":[{"type":"web_search_20250305","name":"web_search"}]`, "web_search"},
		{toMessages, `"tools":[{"name":"f","defer_loading":true}]`, "tools[0].defer_loading"},
		{toMessages, `"service_tier":"x"`, "service_tier"}, {toMessages, `"metadata":{"team":"x"}`, "metadata.team"},
		{toMessages, `"system":[{"type":"image"}]`, "system[0]"},
		{toMessages, `"output_config":{"task_budget":1}`, "task_budget"},
		{toMessages, `"tool_choice":{"type":"x"}`, "tool_choice"},

		{toChat, `"seed":1`, "seed"}, {toChat, `"n":2`, "n cannot"}, {toChat, `"logprobs":true`, "logprobs"},
		{toChat, `"top_logprobs":3`, "top_logprobs"}, {toChat, `"logit_bias":{"1":5}`, "logit_bias"},
		{toChat, `"frequency_penalty":0.5`, "frequency_penalty"}, {toChat, `"presence_penalty":-1`, "presence_penalty"},
		{toChat, `"temperature":1.5`, "temperature"},
		{toChat, `"response_format":{"type":"json_object"}`, "json_object"},
		{toChat, `"response_format":{"type":"json_schema","json_schema":{"name":"n"}}`, "schema"},
		{toChat, `"reasoning_effort":"minimal"`, "minimal"},
		{toChat, `"reasoning":{"effort":"low","exclude":true}`, "reasoning.exclude"},
		{toChat, `"thinking":{"type":"enabled"}`, "thinking"},
		{toChat, `"tools":[{"type":"custom","custom":{"name":"f"}}]`, "tools[0]"},
		{toChat, `"tool_choice":{"type":"allowed_tools"}`, "tool_choice"},
		{toChat, `"functions":[]`, "functions"}, {toChat, `"modalities":["text","audio"]`, "modalities"},
		{toChat, `"audio":{}`, "audio"}, {toChat, `"prediction":{}`, "prediction"},
		{toChat, `"web_search_options":{}`, "web_search_options"},
		{toChat, `"prompt_cache_key":"k"`, "prompt_cache_key"}, {toChat, `"verbosity":"low"`, "verbosity"},
		{toChat, `"store":true`, "store"}, {toChat, `"metadata":{"a":"b"}`, "metadata"},
		{toChat, `"service_tier":"flex"`, "service_tier"},
		{toChat, `"stream_options":{"include_obfuscation":false}`, "include_obfuscation"},
		{toChat, `"user":"a","safety_identifier":"b"`, "safety_identifier"}, {toChat, `"min_p":0.1`, "min_p"},
	} {
		to := toChat
		if tc.from == toChat {
			to = toMessages
		}
		body := `{"messages":[{"role":"user","content":"a"}],` + tc.field + `}`
		out, err := Body(json.RawMessage(body), tc.from, to)
		if !IsUntranslatable(err) || !strings.Contains(err.Error(), tc.names) {
			t.Errorf("%s to %s:\n got %s, %v; want an error that names %s", tc.field, to, out, err, tc.names)
		}
	}
}

func TestInvalidBodies(t *testing.T) {
	for _, body := range []string{`[]`, `{`, `{"messages":7}`, `{"messages":[7]}`,
		`{"model":"a","messages":[],"messages":[]}`,
		`{"reasoning_effort":"low","reasoning":{"effort":"low"},"messages":[{"role":"user","content":"a"}]}`} {
		if out, err := Body(json.RawMessage(body), nightshift.Chat, nightshift.Messages); err == nil ||
			IsUntranslatable(err) {
			t.Errorf("%s: %s, %v; want class invalid_request", body, out, err)
		}
	}
}

// FuzzBody: a translation is valid JSON; and what has been said in one format
// and can be said in the other comes back the same: after the first round,
// further rounds change nothing.
func FuzzBody(f *testing.F) {
	for _, tc := range pairs {
		f.Add([]byte(`{"model":"x","max_tokens":5,"messages":[{"role":"user","content":"a"},`+tc.messages+`]}`), true)
		f.Add([]byte(`{"model":"x","max_tokens":5,"messages":[{"role":"system","content":"a"},`+tc.chat+`]}`), false)
	}
	f.Add([]byte(`{"model":"o3","max_tokens":5,"system":[{"type":"text","text":"a"}],"messages":[],`+
		`"tools":[{"name":"f","input_schema":{}}],"tool_choice":{"type":"any","disable_parallel_tool_use":true},`+
		`"stop_sequences":["a"]}`), true)
	f.Add([]byte(`{"messages":[{"role":"user","content":"a"}],"reasoning_effort":"high",`+
		`"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"a":1.0}}},"user":"u",`+
		`"stop":"x","max_completion_tokens":9}`), false)
	f.Fuzz(func(t *testing.T, body []byte, fromMessages bool) {
		here, there := nightshift.Chat, nightshift.Messages
		if fromMessages {
			here, there = there, here
		}
		first, err := Body(body, here, there)
		if err != nil {
			var e *nightshift.Error
			if !errors.As(err, &e) || e.Class != nightshift.ClassUntranslatable && e.Class != nightshift.ClassInvalidRequest {
				t.Fatalf("an error of no class: %v", err)
			}
			return
		}
		if !json.Valid(first) {
			t.Fatalf("not JSON: %s", first)
		}
		back, err := Body(first, there, here)
		if err != nil {
			return // some of it has one direction only
		}
		second := translated(t, back, here, there)
		again := translated(t, translated(t, second, there, here), here, there)
		if !bytes.Equal(second, again) && !sameJSON(second, again) {
			t.Fatalf("first  %s\nback   %s\nsecond %s\nagain  %s", first, back, second, again)
		}
	})
}

func translated(t *testing.T, body []byte, from, to nightshift.Protocol) []byte {
	t.Helper()
	out, err := Body(body, from, to)
	if err != nil {
		t.Fatalf("%s, which is a translation, is refused: %v", body, err)
	}
	return out
}

// sameJSON compares values, not key order: fields that share a place in one
// format may change theirs in the other.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
