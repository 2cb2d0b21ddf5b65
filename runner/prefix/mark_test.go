package prefix_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers/formats"
	"nightshift/runner/prefix"
)

// long is what rows share: about 2,000 bytes.
var long = strings.TrimSpace(strings.Repeat("The shop is open. ", 110))

func quoted(s string) string { b, _ := json.Marshal(s); return string(b) }

// shared are two requests that differ in what stands for %s.
func shared(t *testing.T, params, messages string) (reqs [2]nightshift.Request) {
	t.Helper()
	for i, word := range []string{"one", "two"} {
		req := nightshift.Request{Model: "m", Params: []nightshift.Param{{Name: "max_tokens", Value: json.RawMessage("9")}}}
		if params != "" {
			req.Params = append(req.Params,
				nightshift.Param{Name: "tools", Value: json.RawMessage(strings.ReplaceAll(params, "%s", word))})
		}
		var list []json.RawMessage
		if err := json.Unmarshal([]byte(strings.ReplaceAll(messages, "%s", word)), &list); err != nil {
			t.Fatalf("%v in %s", err, messages)
		}
		for _, raw := range list {
			req.Messages = append(req.Messages, message(t, raw))
		}
		reqs[i] = req
	}
	return reqs
}

// message reads a message as datasets do: as text where it is one.
func message(t *testing.T, raw json.RawMessage) nightshift.Message {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	var role, text string
	_ = json.Unmarshal(m["role"], &role)
	if len(m) == 2 && json.Unmarshal(m["content"], &text) == nil && string(m["content"]) != "null" {
		return nightshift.Message{Role: nightshift.Role(role), Text: text}
	}
	return nightshift.Message{Role: nightshift.Role(role), Raw: raw}
}

func found(reqs [2]nightshift.Request, minimum int64) *prefix.Prefix {
	var f prefix.Finder
	for _, req := range reqs {
		f.Add(&req)
	}
	return f.Find(prefix.Rule{Minimum: minimum, Step: 500})[0]
}

// TestMark: where a marker stands in the body that is sent, in both formats that
// have markers. LONG is the text that is shared.
func TestMark(t *testing.T) {
	const minimum = 1000
	pixel := `{"type":"image_url","image_url":{"url":"data:image/gif;base64,R0lGODlhAQABAAAAACw="}}`
	tool := `{"type":"function","function":{"name":"%s","description":` + quoted(long) +
		`,"parameters":{"type":"object"}}}`
	call := `{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":` +
		`{"name":"f","arguments":"{}"}}]}`
	for _, tc := range []struct {
		name, tools, messages string
		chat, anthropic       string // before the marker in the body; empty is no marker
	}{
		{name: "system prompt",
			messages:  `[{"role":"system","content":LONG},{"role":"user","content":"%s?"}]`,
			chat:      `"content":[{"type":"text","text":LONG`,
			anthropic: `"system":[{"type":"text","text":LONG`},
		{name: "system prompt in parts",
			messages: `[{"role":"system","content":[{"type":"text","text":LONG},{"type":"text","text":"%s"}]},` +
				`{"role":"user","content":"?"}]`,
			chat:      `"content":[{"type":"text","text":LONG`,
			anthropic: `"system":[{"type":"text","text":LONG`},
		{name: "beginning of a text", messages: `[{"role":"user","content":"LONG2 %s"}]`,
			chat: `The shop`, anthropic: `The shop`},
		{name: "image in parts",
			messages: `[{"role":"user","content":[{"type":"text","text":LONG},` + pixel + `,{"type":"text","text":"%s"}]}]`,
			chat:     `"url":"data:image/gif;base64,R0lGODlhAQABAAAAACw="}`, anthropic: `"data":"R0lGODlhAQABAAAAACw="}`},
		{name: "document",
			messages: `[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":` +
				`"data:application/pdf;base64,JVBERi0="}},{"type":"text","text":"%s"}]}]`,
			chat: `"file_data":"data:application/pdf;base64,JVBERi0="}`, anthropic: `"title":"a.pdf"`},
		{name: "tools alone", tools: `[` + strings.ReplaceAll(tool, "%s", "g") + `,` + strings.ReplaceAll(tool, "%s", "f") +
			`]`, messages: `[{"role":"user","content":"%s"}]`,
			chat: `"parameters":{"type":"object"}}`, anthropic: `"parameters":{"type":"object"}}`},
		{name: "tools that differ", tools: `[` + tool + `]`, messages: `[{"role":"user","content":"?"}]`},
		{name: "earlier turns",
			messages: `[{"role":"user","content":LONG},{"role":"assistant","content":"Yes."},{"role":"user","content":"%s"}]`,
			chat:     `"role":"assistant","content":[{"type":"text","text":"Yes."`, anthropic: `{"type":"text","text":"Yes."`},
		{name: "a call that cannot be marked", tools: `[` + strings.ReplaceAll(tool, "%s", "f") + `]`,
			messages: `[{"role":"user","content":"Look."},` + call + `,{"role":"tool","tool_call_id":"c","content":"%s"}]`,
			chat:     `{"type":"text","text":"Look."`, anthropic: `{"type":"text","text":"Look."`},
		{name: "white space at the end",
			messages: `[{"role":"user","content":[{"type":"text","text":LONG},{"type":"text","text":" "},` +
				`{"type":"text","text":"%s"}]}]`, chat: `"text":LONG`, anthropic: `"text":LONG`},
		{name: "markers of its own", messages: `[{"role":"user","content":[{"type":"text","text":LONG,` +
			`"cache_control":{"type":"ephemeral"}},{"type":"text","text":"and LONG2"},{"type":"text","text":"%s"}]}]`},
		{name: "a marker on the tools", tools: `[{"type":"function","function":{"name":"f"},"cache_control":` +
			`{"type":"ephemeral"}}]`, messages: `[{"role":"system","content":LONG},{"role":"user","content":"%s?"}]`},
		{name: "tools that are none", tools: `["f"]`, messages: `[{"role":"user","content":"LONG2 %s"}]`,
			chat: "The shop"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			expand := func(s string) string {
				return strings.ReplaceAll(strings.ReplaceAll(s, "LONG2", long), "LONG", quoted(long))
			}
			reqs := shared(t, tc.tools, expand(tc.messages))
			before := fmt.Sprintf("%+v", reqs)
			p := found(reqs, minimum)
			for _, want := range []struct {
				protocol nightshift.Protocol
				before   string
			}{{nightshift.Chat, tc.chat}, {nightshift.Messages, tc.anthropic}} {
				if p == nil && want.before == "" {
					continue
				}
				marked, ok := prefix.Mark(reqs[1], p, minimum, "1h")
				if ok != (tc.chat != "") {
					t.Fatalf("marked: %v", ok)
				}
				checkMarker(t, want.protocol, marked, ok, expand(want.before))
			}
			if after := fmt.Sprintf("%+v", reqs); after != before {
				t.Errorf("the requests were changed:\n%s\n%s", before, after)
			}
		})
	}
}

const hourMarker = `"cache_control":{"type":"ephemeral","ttl":"1h"}`

func checkMarker(t *testing.T, p nightshift.Protocol, req nightshift.Request, ok bool, before string) {
	t.Helper()
	f, _ := formats.Of(p)
	prepared, err := formats.Encode(f, req, false)
	if err != nil {
		if before != "" {
			t.Errorf("%s: %v", p, err)
		}
		return
	}
	body := string(prepared.Body)
	want := 0
	if ok {
		want = 1
	}
	if n := strings.Count(body, hourMarker); n != want || !json.Valid(prepared.Body) {
		t.Fatalf("%s: %d markers in %s", p, n, body)
	}
	if i := strings.Index(body, hourMarker); ok && !strings.HasSuffix(strings.TrimSuffix(body[:i], ","), before) &&
		!(before == "The shop" && strings.Contains(body[:i], "The shop") && !strings.Contains(body[:i], "two")) {
		t.Errorf("%s: a marker after …%s, want it after %s", p, body[max(i-200, 0):i], before)
	}
}

// TestMarkTwice: prefixes within each other are marked each, four at most, and the
// text stays what it was.
func TestMarkTwice(t *testing.T) {
	var f prefix.Finder
	var reqs []nightshift.Request
	for i := range 64 {
		text := ""
		for level := range 6 {
			text += strings.Repeat(fmt.Sprintf("Level %d of %d. ", level, i>>(5-level)), 60)
		}
		reqs = append(reqs, nightshift.Request{System: text, Messages: []nightshift.Message{{Role: "user", Text: "?"}}})
		f.Add(&reqs[i])
	}
	list := f.Find(prefix.Rule{Minimum: 500, Step: 500})
	marked, ok := prefix.Mark(reqs[9], list[9], 500, "5m")
	if !ok || len(marked.Messages) != 2 {
		t.Fatalf("not marked: %v, %d messages", ok, len(marked.Messages))
	}
	var m struct {
		Content []struct {
			Text  string          `json:"text"`
			Cache json.RawMessage `json:"cache_control"`
		} `json:"content"`
	}
	if err := json.Unmarshal(marked.Messages[0].Raw, &m); err != nil {
		t.Fatal(err)
	}
	text, markers := "", 0
	for _, part := range m.Content {
		text += part.Text
		if part.Cache != nil {
			markers++
		}
	}
	if text != reqs[9].System || markers != 4 || marked.System != "" {
		t.Errorf("%d markers, the text is the same: %v", markers, text == reqs[9].System)
	}
}

// TestMarkOfNeighbours: all rows of one prefix are marked at the same place, so
// that the later ones read what the first wrote.
func TestMarkOfNeighbours(t *testing.T) {
	for _, text := range []string{long + "%s", "x " + long + " %s!", strings.Repeat("No_space.", 300) + " %s"} {
		reqs := shared(t, "", `[{"role":"user","content":`+quoted(text)+`}]`)
		p := found(reqs, 1000)
		var first []string
		for _, req := range reqs {
			marked, _ := prefix.Mark(req, p, 1000, "5m")
			before, _, ok := strings.Cut(string(marked.Messages[0].Raw), "cache_control")
			if ok {
				first = append(first, before)
			}
		}
		if len(first) == 2 && first[0] != first[1] || len(first) == 1 {
			t.Errorf("marked at %q", first)
		}
	}
}
