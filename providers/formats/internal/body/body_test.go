package body

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"nightshift"
	"nightshift/internal/rawjson"
)

func param(name, value string) nightshift.Param {
	return nightshift.Param{Name: name, Value: json.RawMessage(value)}
}

// What a request holds and asks for besides text decides which prices bound it.
func TestMedia(t *testing.T) {
	for body, want := range map[string]nightshift.Media{
		`{"messages":[{"role":"user","content":"x"}]}`: {},
		`{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"x"}}]}],` +
			`"modalities":["text","audio"]}`: {AudioInput: true, AudioOutput: true},
		`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}],` +
			`"modalities":["text"]}`: {ImageInput: true},
		`{"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image"}]}]}],` +
			`"modalities":["image"]}`: {ImageInput: true, ImageOutput: true},
	} {
		root, err := rawjson.Strict([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		m := NewMeter("m")
		if m.Body(root); m.Media != want {
			t.Errorf("%s: %+v, want %+v", body, m.Media, want)
		}
	}
}

func TestOverride(t *testing.T) {
	for _, tc := range []struct {
		name, body string
		set        []nightshift.Param
		drop       []string
		want       string
	}{
		{"nothing to do", " {\"a\" :1.0} \n", nil, []string{"z"}, " {\"a\" :1.0} \n"},
		{"in place", `{"a": 1, "b" : [2] ,"c":3}`, []nightshift.Param{param("b", `"x"`)}, nil, `{"a": 1, "b" : "x" ,"c":3}`},
		{"at the end", `{"a": 1 }`, []nightshift.Param{param("b", "2"), param("c", "3")}, nil, `{"a": 1 ,"b":2,"c":3}`},
		{"into nothing", `{ }`, []nightshift.Param{param("b", "2"), param("c", "3")}, nil, `{ "b":2,"c":3}`},
		{"every occurrence", `{"a":1,"b":2,"a":3}`, []nightshift.Param{param("a", "9")}, nil, `{"a":9,"b":2,"a":9}`},
		{"only at the top", `{"x":{"a":1}}`, []nightshift.Param{param("a", "9")}, nil, `{"x":{"a":1},"a":9}`},
		{"exact case", `{"A":1}`, []nightshift.Param{param("a", "9")}, nil, `{"A":1,"a":9}`},
		{"an escaped key", `{"\u0061":1}`, []nightshift.Param{param("a", "9")}, nil, `{"\u0061":9}`},
		{"taken out", `{"a":1, "b":2,"c":3}`, []nightshift.Param{param("c", "9")}, []string{"a"}, `{"b":2,"c":9}`},
	} {
		got, err := Override(json.RawMessage(tc.body), tc.set, tc.drop...)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %s (%v), want %s", tc.name, got, err, tc.want)
		}
	}
}

// FuzzOverride: the result says what the body said but for the field that was
// set.
func FuzzOverride(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"a":2}}`), "a", []byte(`"x"`))
	f.Add([]byte(`{}`), "\"", []byte(`[1]`))
	f.Fuzz(func(t *testing.T, body []byte, name string, value []byte) {
		if !json.Valid(value) {
			return
		}
		got, err := Override(body, []nightshift.Param{{Name: name, Value: value}})
		if err != nil {
			return
		}
		var want, have map[string]any
		var set any
		if json.Unmarshal(body, &want) != nil || json.Unmarshal(value, &set) != nil {
			return // not strict enough for encoding/json, or numbers beyond float64
		}
		key, _ := rawjson.Scan(rawjson.AppendString(nil, name)) // as it reads once written
		want[key.String()] = set
		if err := json.Unmarshal(got, &have); err != nil || !reflect.DeepEqual(have, want) {
			t.Fatalf("%s with %q = %s: %s (%v)", body, name, value, got, err)
		}
	})
}

func TestMeasure(t *testing.T) {
	const png = `"source":{"type":"base64","media_type":"image/png","data":"AAAA"}`
	data := strings.Repeat("A", 4000)
	for _, tc := range []struct {
		name, body, model string
		text, other       int64
	}{
		{"texts and roles", `{"system":"123","messages":[{"role":"user","content":"12345"}]}`, "m", 8, 0},
		{"escapes count as written", `{"messages":[{"role":"user","content":"\u00e9"}]}`, "m", 6, 0},
		{"parts", `{"system":[{"type":"text","text":"12"}],"messages":[{"role":"user","content":[{"type":"text",` +
			`"text":"345"}]}]}`, "m", 5, 0},
		{"tools and schemas", `{"tools":[{"x":1}],"response_format":{"a":1},"messages":[]}`, "m", 9 + 7, 0},
		{"what is no prompt", `{"model":"mmmm","metadata":{"a":"bbbbbbb"},"stop":["x"],"messages":[]}`, "m", 0, 0},
		{"images by model", `{"messages":[{"role":"user","content":[{"type":"image",` + png + `}]}]}`, "claude-x", 0,
			imageClaude},
		{"gpt-4o-mini", `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}}]}]}`,
			"gpt-4o-mini-2024", 0, imageMini},
		{"any other",
			`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}},` +
				`{"type":"image_url"}]}]}`, "qwen", 0, 2 * imageUnknown},
		{"an image in a tool result",
			`{"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"image",` + png +
				`},{"type":"text","text":"12"}]}]}]}`, "claude", 2, imageClaude},
		{"a document out of sight",
			`{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"u"}}]}]}`, "m", 0,
			documentMost},
		{"a document in the request",
			`{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64",` +
				`"data":"` + data + `"}}]}]}`, "m", 0, (4002/4*3)*2 + documentPage},
		{"audio", `{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"` + data +
			`"}}]}]}`, "m", 0, 97},
		{"tool calls", `{"messages":[{"role":"assistant","content":null,"tool_calls":[{"a":1}]}]}`, "m", 4 + 9, 0},
	} {
		root, err := rawjson.Strict([]byte(tc.body))
		if err != nil {
			t.Fatal(tc.name, err)
		}
		m := NewMeter(tc.model)
		m.Body(root)
		text, other := m.Text, m.Other
		if tc.name == "audio" || tc.name == "a document in the request" {
			if text != 0 || other < tc.other || other > tc.other*11/10 {
				t.Errorf("%s: %d, %d; want 0 and about %d", tc.name, text, other, tc.other)
			}
		} else if text != tc.text || other != tc.other {
			t.Errorf("%s: %d, %d; want %d, %d", tc.name, text, other, tc.text, tc.other)
		}
	}
}
