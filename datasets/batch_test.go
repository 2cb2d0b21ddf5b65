package datasets_test

import (
	"path/filepath"
	"strings"
	"testing"

	"nightshift/datasets"
)

func TestBatchRows(t *testing.T) {
	for _, tc := range []struct{ name, row, system, shape, id, said string }{
		{"Responses", `{"custom_id":"r","url":"/v1/responses","body":{"input":"Hi","temperature":0.10}}`, "",
			"OpenAI batch", "r",
			`responses:{"input":"Hi","temperature":0.10}`},
		{"Responses, system",
			`{"custom_id":"r","url":"/openai/v1/responses","body":{"instructions":"old",` +
				`"input":[{"role":"developer","content":"old"},{"type":"item_reference","id":"x"}]}}`,
			"New.", "OpenAI batch", "r",
			`S:New.|responses:{"instructions":"New.","input":[{"type":"item_reference","id":"x"}]}`},
		{"completions",
			`{"custom_id":"c","method":"POST","url":"/v1/completions","body":{"prompt":"Once ","logprobs":5,"echo":true}}`, "",
			"OpenAI batch", "c", `completions:{"prompt":"Once ","logprobs":5,"echo":true}`},
		{"completions, tokens", `{"custom_id":"c","url":"/v1/completions","body":{"prompt":[[1,2],[3]]}}`, "",
			"OpenAI batch", "c",
			`completions:{"prompt":[[1,2],[3]]}`},
		{"embeddings", `{"custom_id":"e","url":"/v1/embeddings","body":{"input":["a","b"],"dimensions":8}}`, "",
			"OpenAI batch", "e",
			`embeddings:{"input":["a","b"],"dimensions":8}`},
		{"Gemini", `{"key":"g","request":{"contents":[{"parts":[{"text":"Hi"}]}],` +
			`"generation_config":{"temperature":0.7}}}`, "", "Gemini batch", "g",
			`gemini:{"contents":[{"parts":[{"text":"Hi"}]}],"generation_config":{"temperature":0.7}}`},
		{"Gemini, system",
			`{"key":"g","request":{"system_instruction":{"parts":[{"text":"old"}]},` +
				`"contents":[{"parts":[{"text":"Hi"}]}]}}`, "New.",
			"Gemini batch", "g",
			`S:New.|gemini:{"system_instruction":{"parts":[{"text":"New."}]},"contents":[{"parts":[{"text":"Hi"}]}]}`},
		{"Vertex", `{"request":{"contents":[{"role":"user","parts":[{"text":"Hi"}]}]}}`, "New.", "Gemini batch", "0",
			`S:New.|gemini:{"contents":[{"role":"user","parts":[{"text":"Hi"}]}],` +
				`"systemInstruction":{"parts":[{"text":"New."}]}}`},
		{"a row about a request", `{"request":{"text":"x"},"prompt":"Hi"}`, "", "prompt", "0", "u:Hi"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := run(t, datasets.Spec{Paths: []string{put(t, t.TempDir(), "data.jsonl", tc.row+"\n")},
				System: tc.system})
			if o.err != nil || len(o.samples) != 1 {
				t.Fatal(o.err, o.bad)
			}
			if got := o.samples[0]; o.d.Info().Shape != tc.shape || got.ID != tc.id || said(got) != tc.said {
				t.Errorf("%s, id %s\n got %s\nwant %s", o.d.Info().Shape, got.ID, said(got), tc.said)
			}
		})
	}
}

func TestBatchRowsRefused(t *testing.T) {
	batch := func(url, body string) string { return `{"custom_id":"r","url":"` + url + `","body":` + body + `}` }
	for _, tc := range []struct{ name, row, system, want string }{
		{"no such url", batch("/v1/images/generations", `{"input":"x"}`), "",
			`the url is "/v1/images/generations" (only /v1/chat/completions, /v1/messages, /v1/responses, ` +
				`/v1/completions and /v1/embeddings can be sent)`},
		{"a whole URL", batch("https://elsewhere.test/v1/responses", `{"input":"x"}`), "",
			"a row cannot choose its endpoint"},
		{"no input", batch("/v1/responses", `{"messages":[]}`), "", `"body.input" is missing`},
		{"input of a wrong type", batch("/v1/responses", `{"input":7}`), "",
			`"body.input" is a number, not a text or a list of items`},
		{"an empty text", batch("/v1/embeddings", `{"input":""}`), "", `"body.input" is empty`},
		{"an empty text in a list", batch("/v1/embeddings", `{"input":["a",""]}`), "", `body.input[1] is empty`},
		{"an object as text", batch("/v1/completions", `{"prompt":[{}]}`), "",
			"body.prompt[0] is an object, not a text or a list of tokens"},
		{"an item that is none", batch("/v1/responses", `{"input":["a"]}`), "",
			"body.input[0] is a text, not an object"},
		{"a key", batch("/v1/responses", `{"input":"x","api_key":"k"}`), "", "body.api_key is refused"},
		{"a parameter out of bounds", batch("/v1/responses", `{"input":"x","temperature":9}`), "",
			"body.temperature is 9, not between 0 and 2"},
		{"logprobs", batch("/v1/completions", `{"prompt":"x","logprobs":"all"}`), "", "body.logprobs is a text"},
		{"a system prompt for a completion", batch("/v1/completions", `{"prompt":"x"}`), "Be brief.",
			"a request of completions has no system prompt (leave system out of the plan)"},
		{"Gemini without contents", `{"key":"g","request":{"content":{}}}`, "", `"request.contents" is missing`},
		{"Gemini, a text as contents", `{"key":"g","request":{"contents":["x"]}}`, "",
			"request.contents[0] is a text, not an object"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := run(t, datasets.Spec{Paths: []string{put(t, t.TempDir(), "data.jsonl", tc.row+"\n")},
				System: tc.system})
			said := ""
			for _, bad := range o.bad {
				said += bad.Error()
			}
			if o.err != nil {
				said += o.err.Error()
			}
			if len(o.samples) != 0 || !strings.Contains(said, tc.want) {
				t.Errorf("got %q, want it to say %q", said, tc.want)
			}
		})
	}
}

// Files that a body names are read and sent in the form of its protocol.
func TestBatchRowsWithFiles(t *testing.T) {
	for _, tc := range []struct{ row, want string }{
		{`{"custom_id":"r","url":"/v1/responses","body":{"input":[{"role":"user","content":[{"type":"input_image",` +
			`"image_url":"file:a.png"}]}]}}`,
			`responses:{"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,`},
		{`{"key":"g","request":{"contents":[{"parts":[{"fileData":{"fileUri":"file:a.png"}},{"text":"what?"}]}]}}`,
			`gemini:{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"`},
	} {
		dir := t.TempDir()
		put(t, dir, "a.png", "\x89PNG\r\n\x1a\n")
		put(t, dir, "data.jsonl", tc.row+"\n")
		o := run(t, datasets.Spec{Paths: []string{filepath.Join(dir, "data.jsonl")}})
		if o.err != nil || len(o.samples) != 1 || !strings.HasPrefix(said(o.samples[0]), tc.want) {
			t.Errorf("%v %v\n got %v\nwant %s", o.err, o.bad, o.samples, tc.want)
		}
	}
}
