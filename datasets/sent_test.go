package datasets_test

import (
	"strings"
	"testing"

	"nightshift/datasets"
)

// TestSystemInBatchBodies: the plan's system prompt goes into the bodies of a
// batch file, in the place of their own, and all else stays as written.
func TestSystemInBatchBodies(t *testing.T) {
	for _, tc := range []struct{ row, want string }{
		{`{"custom_id":"a","body":{"model":"x","max_tokens":20,"messages":[{"role":"user","content":"hi"}]}}`,
			`{"model":"x","max_tokens":20,"messages":[{"role":"system","content":"be \"brief\""},{"role":"user",` +
				`"content":"hi"}]}`},
		{`{"custom_id":"a","body":{"messages":[{"role":"developer","content":"own"},{"role":"user",` +
			`"content":"hi"}],"seed": 1}}`,
			`{"messages":[{"role":"developer","content":"be \"brief\""},{"role":"user","content":"hi"}],"seed":1}`},
		{`{"custom_id":"a","params":{"model":"x","max_tokens":20,"messages":[{"role":"user","content":"hi"}]}}`,
			`{"model":"x","max_tokens":20,"messages":[{"role":"user","content":"hi"}],"system":"be \"brief\""}`},
		{`{"custom_id":"a","params":{"system":[{"type":"text","text":"own"}],"messages":[{"role":"user","content":"hi"}]}}`,
			`{"system":"be \"brief\"","messages":[{"role":"user","content":"hi"}]}`},
	} {
		path := put(t, t.TempDir(), "b.jsonl", lines(tc.row))
		o := run(t, datasets.Spec{Paths: []string{path}, System: `be "brief"`})
		if o.err != nil || len(o.samples) != 1 {
			t.Fatalf("%s: %v", tc.row, o.err)
		}
		if got := string(o.samples[0].Body); got != tc.want {
			t.Errorf("%s\n is sent as %s\n      want %s", tc.row, got, tc.want)
		}
		o = run(t, datasets.Spec{Paths: []string{path}})
		if body := string(o.samples[0].Body); strings.Contains(body, "brief") || !strings.Contains(tc.row, body) {
			t.Errorf("without a system prompt in the plan %s is sent", body)
		}
	}
}

// TestNullsInMessages: null members of messages are absent; what a tool is
// called with stays as it is.
func TestNullsInMessages(t *testing.T) {
	for row, want := range map[string]string{
		`[{"role":"user","content":"hi","name":null,"tool_calls":null}]`: "user: hi",
		`[{"role":"user","content":[{"type":"text","text":"a","image_url":null},{"type":"image_url","text":null,` +
			`"image_url":{"url":"https://e.invalid/a.png","detail":null}}]}]`: `{"role":"user",` +
			`"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://e.invalid/a.png"}}]}`,
		`[{"role":"user","content":"q"},{"role":"assistant","content":null,"name":null,"tool_calls":[{"id":"1",` +
			`"type":"function","index":null,"function":{"name":"f","arguments":"null"}}]},{"role":"tool",` +
			`"tool_call_id":"1","content":"x"}]`: `{"role":"assistant","tool_calls":[{"id":"1","type":"function",` +
			`"function":{"name":"f","arguments":"null"}}],"content":null}`,
		`[{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f",` +
			`"text":null,"input":{"x":null}}]},{"role":"user","content":"r"}]`: `{"role":"assistant",` +
			`"content":[{"type":"tool_use","id":"1","name":"f","input":{"x":null}}]}`,
	} {
		o := run(t, datasets.Spec{Paths: []string{put(t, t.TempDir(), "m.jsonl", `{"messages":`+row+"}\n")}})
		if o.err != nil || len(o.samples) != 1 {
			t.Fatalf("%s: %v", row, o.err)
		}
		var got []string
		for _, m := range o.samples[0].Messages {
			if m.Raw != nil {
				got = append(got, string(m.Raw))
			} else {
				got = append(got, string(m.Role)+": "+m.Text)
			}
		}
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%s is sent as\n%s\nwant %s", row, strings.Join(got, "\n"), want)
		}
	}
}

// TestNullsInBatchBodies: the messages of a whole request body are sent without
// their null members, too; all else stays as written.
func TestNullsInBatchBodies(t *testing.T) {
	messages := `[{"role":"user","content":"hi","name":null},{"role":"assistant","content":null,` +
		`"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}]`
	sent := `[{"role":"user","content":"hi"},{"role":"assistant","tool_calls":[{"id":"1","type":"function",` +
		`"function":{"name":"f","arguments":"{}"}}],"content":null}]`
	for row, want := range map[string]string{
		`{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"x", "messages":` + messages +
			`,"stop":["a", "b"]}}`: `{"model":"x","messages":` + sent + `,"stop":["a", "b"]}`,
		`{"custom_id":"a","params":{"model":"x","max_tokens":5,"messages":[{"role":"user","content":"hi",` +
			`"name":null}]}}`: `{"model":"x","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`,
		`{"custom_id":"a","params":{"model":"x", "max_tokens":5,"messages":[{"role":"user",` +
			`"content":"hi"}]}}`: `{"model":"x", "max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`,
	} {
		o := run(t, datasets.Spec{Paths: []string{put(t, t.TempDir(), "b.jsonl", row+"\n")}})
		if o.err != nil || len(o.samples) != 1 {
			t.Fatalf("%s: %v", row, o.err)
		}
		if got := string(o.samples[0].Body); got != want {
			t.Errorf("%s is sent as\n%s\nwant %s", row, got, want)
		}
	}
}

// TestQuotesInTSV: in tab-separated lines a quote is a character, except where
// quotes stand around whole fields, as spreadsheets write them.
func TestQuotesInTSV(t *testing.T) {
	for _, tc := range []struct {
		name, content, want string // the prompts; "" is refused
	}{
		{"a quotation over two lines", "id\tprompt\ttarget\n1\t\"To be\tH\n2\tor not\"\tH\n3\tplain\tx\n",
			`"To be|or not"|plain`},
		{"inside a field", "id\tprompt\ttarget\n1\tA 36\" screen\tx\n2\t\"So\" he said\ty\n",
			`A 36" screen|"So" he said`},
		{"around fields", "id\tprompt\ttarget\n1\t\"say \"\"hi\"\"\"\tx\n", `say "hi"`},
		{"around a tab", "id\tprompt\ttarget\n1\t\"a\tb\"\tx\n", "a\tb"},
		{"around a line break", "id\tprompt\ttarget\n1\t\"a\nb\"\tx\n2\tc\ty\n", "a\nb|c"},
		{"a short line before another", "id\tprompt\ttarget\n1\t\"a\n2\tb\"\tx\n", ""},
	} {
		o := run(t, datasets.Spec{Paths: []string{put(t, t.TempDir(), "d.tsv", tc.content)}})
		var got []string
		for _, s := range o.samples {
			got = append(got, s.Messages[0].Text)
		}
		if strings.Join(got, "|") != tc.want || (tc.want == "") != (o.err != nil || len(o.bad) > 0) {
			t.Errorf("%s: %q, %v; want %q", tc.name, got, o.err, tc.want)
		}
	}
}
