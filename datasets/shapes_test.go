package datasets_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"nightshift"
	"nightshift/datasets"
)

// said writes a sample's conversation in one line.
func said(s nightshift.Sample) string {
	var out []string
	if s.System != "" {
		out = append(out, "S:"+s.System)
	}
	for _, m := range s.Messages {
		if m.Raw != nil {
			out = append(out, "raw:"+string(m.Raw))
			continue
		}
		out = append(out, string(m.Role)[:1]+":"+m.Text)
	}
	for _, turn := range s.Turns {
		out = append(out, "then:"+turn)
	}
	if s.Body != nil {
		out = append(out, string(s.BodyProtocol)+":"+string(s.Body))
	}
	for _, p := range s.Params {
		out = append(out, p.Name+"="+string(p.Value))
	}
	return strings.Join(out, "|")
}

func TestShapes(t *testing.T) {
	fields := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	for _, tc := range []struct {
		name, row        string
		spec             datasets.Spec
		shape, id        string
		said             string
		target, metadata string
	}{
		{"prompt", `{"id":7,"prompt":"Hi\n\u00e9","n":12345678901234567890,"f":1.10}`, datasets.Spec{},
			"prompt", "7", "u:Hi\né", "", `{"n":12345678901234567890,"f":1.10}`},
		{"prompt with system and params",
			`{"prompt":"Hi","system":"Be brief.","params":{"temperature":0.50,"max_tokens":9}}`, datasets.Spec{},
			"prompt", "0", "S:Be brief.|u:Hi|temperature=0.50|max_tokens=9", "", ""},
		{"prompt as messages", `{"prompt":[{"role":"user","content":"Hi"}],"target":["a","b"]}`, datasets.Spec{},
			"prompt", "0", "u:Hi", `["a","b"]`, ""},
		{"messages",
			`{"messages":[{"role":"system","content":"S"},{"role":"user","content":"Hi"},{"role":"assistant",` +
				`"content":"Yes"}],"x":{"b":1,"a":2}}`, datasets.Spec{},
			"messages", "0", "S:S|u:Hi|a:Yes", "", `{"x":{"b":1,"a":2}}`},
		{"messages, last assistant",
			`{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes"}]}`,
			datasets.Spec{Target: "last_assistant"},
			"messages", "0", "u:Hi", "Yes", ""},
		{"messages with parts",
			`{"messages":[{"role":"user","content":[{"type":"text", "text":"Hi"}]},{"role":"user","name":"Bo",` +
				`"content":"b"}]}`, datasets.Spec{},
			"messages", "0",
			`raw:{"role":"user","content":[{"type":"text", "text":"Hi"}]}|raw:{"role":"user","name":"Bo",` +
				`"content":"b"}`, "", ""},
		{"input/target", `{"input":"2+2","target":4,"id":"s"}`, datasets.Spec{}, "input/target", "s", "u:2+2", "4", ""},
		{"input/ideal",
			`{"input":[{"role":"system","content":"S"},{"role":"user","content":"2+2"}],"ideal":["4","four"]}`, datasets.Spec{},
			"input/ideal", "0", "S:S|u:2+2", `["4","four"]`, ""},
		{"question/answer", `{"question":"2+2","answer":"4"}`, datasets.Spec{}, "question/answer", "0", "u:2+2", "4",
			""},
		{"question/answer with marks", `{"question":"2+2","answer":"It is\n#### 1,004 "}`, datasets.Spec{},
			"question/answer", "0", "u:2+2", "1,004", `{"answer":"It is\n#### 1,004 "}`},
		{"instruction", `{"instruction":"Add.","input":"2, 2","output":"4"}`, datasets.Spec{},
			"instruction/input/output", "0", "u:Add.\n\n2, 2", "4", ""},
		{"instruction without input", `{"instruction":"Add.","input":"","output":"4"}`, datasets.Spec{},
			"instruction/input/output", "0", "u:Add.", "4", ""},
		{"ShareGPT",
			`{"id":"c","conversations":[{"from":"system","value":"S"},{"from":"human","value":"Hi"},{"from":"gpt",` +
				`"value":"Ho"}]}`, datasets.Spec{},
			"conversations", "c", "S:S|u:Hi|a:Ho", "", ""},
		{"OpenAI batch",
			`{"custom_id":"r1","method":"POST","url":"/v1/chat/completions","body":{"model":"m",` +
				`"temperature":0.10, "messages":[{"role":"user","content":"Hi"}]}}`, datasets.Spec{},
			"OpenAI batch", "r1", `chat:{"model":"m","temperature":0.10, "messages":[{"role":"user","content":"Hi"}]}`,
			"", ""},
		{"Anthropic batch",
			`{"custom_id":"r1","params":{"max_tokens":5,"messages":[{"role":"user","content":"Hi"}]},"answer":"x"}`,
			datasets.Spec{Fields: fields("target", "answer")},
			"Anthropic batch", "r1", `messages:{"max_tokens":5,"messages":[{"role":"user","content":"Hi"}]}`, "x", ""},
		{"MT-Bench", `{"question_id":81,"category":"writing","turns":["One","Two","Three"],"reference":["a","b"]}`,
			datasets.Spec{},
			"turns", "81", "u:One|then:Two|then:Three", `["a","b"]`, ""},
		{"promptfoo", `{"vars":{"topic":"cats","n":2},"assert":[{"type":"contains","value":"meow"}],"description":"d"}`,
			datasets.Spec{Prompt: "Write {{ n }} lines on {{ topic }}"},
			"promptfoo tests", "0", "u:Write 2 lines on cats", "meow",
			`{"assert":[{"type":"contains","value":"meow"}],"description":"d"}`},
		{"mapped by dotted path", `{"q":{"text":"Hi","list":[1,{"id":"deep"}]},"a.b":"dot"}`,
			datasets.Spec{Fields: fields("prompt", "q.text", "id", "q.list.1.id", "target", "a.b")},
			"mapped fields", "deep", "u:Hi", "dot", `{"q":{"text":"Hi","list":[1,{"id":"deep"}]}}`},
		{"mapped messages", `{"chat":[{"role":"user","content":"Hi"}]}`,
			datasets.Spec{Fields: fields("messages", "chat")}, "messages", "0", "u:Hi", "", ""},
		{"category and cluster", `{"prompt":"Hi","topic":"t","passage":5}`,
			datasets.Spec{Category: "topic", Cluster: "passage"}, "prompt", "0", "u:Hi", "", ""},
		{"templates", `{"q":"Hi","a":[1,2.50]}`, datasets.Spec{System: "S{{ index }}",
			Prompt: "{{ q }}{% for x in a %}:{{ x }}{% endfor %}", Target: "{{ a[1] }}"},
			"prompt template", "0", "S:S0|u:Hi:1:2.50", "2.50", `{"q":"Hi","a":[1,2.50]}`},
		{"images", `{"prompt":"Look","pic":"https://example.com/a.png"}`,
			datasets.Spec{Fields: fields("images", "pic")}, "prompt", "0",
			`raw:{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.com/a.png"}},` +
				`{"type":"text","text":"Look"}]}`, "", ""},
		{"named format", `{"prompt":"p","messages":[{"role":"user","content":"Hi"}]}`, datasets.Spec{Format: "prompt"},
			"prompt", "0", "u:p", "", `{"messages":[{"role":"user","content":"Hi"}]}`},
		{"escaped key", `{"pro\u006dpt":"Hi","\u0069d":"x"}`, datasets.Spec{}, "prompt", "x", "u:Hi", "", ""},
		{"system that is data", `{"prompt":"Hi","system":{"os":"plan9"}}`, datasets.Spec{}, "prompt", "0", "u:Hi", "",
			`{"system":{"os":"plan9"}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := tc.spec
			s.Paths = []string{put(t, t.TempDir(), "data.jsonl", tc.row+"\n")}
			o := run(t, s)
			if o.err != nil || len(o.samples) != 1 {
				t.Fatal(o.err, o.bad)
			}
			got := o.samples[0]
			if shape := o.d.Info().Shape; shape != tc.shape || got.ID != tc.id {
				t.Errorf("shape %q and id %q, want %q and %q", shape, got.ID, tc.shape, tc.id)
			}
			if said(got) != tc.said {
				t.Errorf("got  %s\nwant %s", said(got), tc.said)
			}
			if got.Target != tc.target || got.HasTarget != (tc.target != "") || string(got.Metadata) != tc.metadata {
				t.Errorf("target %q, metadata %s; want %q and %s", got.Target, got.Metadata, tc.target, tc.metadata)
			}
			if tc.spec.Category != "" && (got.Category != "t" || got.Cluster != "5") {
				t.Errorf("category %q, cluster %q", got.Category, got.Cluster)
			}
		})
	}
}

func TestCSV(t *testing.T) {
	content := "\xef\xbb\xbfid,question,answer,note\r\n" +
		"1,\"Is \"\"this\"\", a\r\nquestion?\",yes,\r\n\r\n" +
		"2,plain,no,{{ id }}\n" +
		"3,too,few\n" +
		"4,\"open,x,y\n"
	path := put(t, t.TempDir(), "data.csv", content)
	o := run(t, datasets.Spec{Paths: []string{path}, ShardRows: 1})
	if o.err != nil || fmt.Sprint(o.order) != "[1 2 ! !]" {
		t.Fatal(o.err, o.order, o.failure)
	}
	if got := said(o.samples[0]); got != "u:Is \"this\", a\r\nquestion?" || o.samples[0].Target != "yes" {
		t.Errorf("%q, target %q", got, o.samples[0].Target)
	}
	if o.samples[0].Line != 2 || o.samples[1].Line != 5 || o.bad[0].Line != 6 || o.bad[1].Line != 7 {
		t.Errorf("lines %d, %d, %d, %d", o.samples[0].Line, o.samples[1].Line, o.bad[0].Line, o.bad[1].Line)
	}
	if got := string(o.samples[1].Metadata); got != `{"note":"{{ id }}"}` {
		t.Errorf("metadata %s", got)
	}
	if !strings.Contains(o.bad[0].What, "3 fields, but the header names 4") ||
		!strings.Contains(o.bad[1].What, "a quote is not closed") {
		t.Errorf("bad rows %v", o.bad)
	}
	info := o.d.Info()
	if info.RawFormat != "csv" || info.RawHeader != "id,question,answer,note" {
		t.Errorf("raw form %q %q", info.RawFormat, info.RawHeader)
	}
	raw, err := rawRow(o.d, 0)
	if err != nil || string(raw) != "1,\"Is \"\"this\"\", a\r\nquestion?\",yes," {
		t.Errorf("Raw = %q, %v", raw, err)
	}
	// What export writes can be read again.
	again := put(t, t.TempDir(), "again.csv", info.RawHeader+"\n"+string(raw)+"\n")
	if o := run(t, datasets.Spec{Paths: []string{again}}); len(o.samples) != 1 || o.samples[0].Target != "yes" {
		t.Error(o.err, o.bad)
	}

	tsv := put(t, t.TempDir(), "data.tsv", "prompt\tn\nHi, there\t1\n")
	if o := run(t, datasets.Spec{Paths: []string{tsv}}); len(o.samples) != 1 || said(o.samples[0]) != "u:Hi, there" {
		t.Error(o.err, o.bad)
	}
	chat := put(t, t.TempDir(), "data.csv", "messages\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"Hi\"\"}]\"\n")
	if o := run(t, datasets.Spec{Paths: []string{chat}}); len(o.samples) != 1 || said(o.samples[0]) != "u:Hi" {
		t.Error(o.err, o.bad)
	}
}

func TestJSONArray(t *testing.T) {
	content := "\n [ {\"id\":\"a\",\n  \"prompt\":\"Hi ]},{\\\"\"} ,\n17 , {\"id\":\"b\",\"prompt\":\"Ho\"},\n\"x\", " +
		"{\"id\":\"c\"}]\n\n"
	for shard := int64(1); shard <= 3; shard++ {
		o := run(t, datasets.Spec{Paths: []string{put(t, t.TempDir(), "data.jsonl", content)}, ShardRows: shard})
		if o.err != nil || fmt.Sprint(o.order) != "[a ! b ! !]" || o.failure != nil {
			t.Fatal(o.err, o.order, o.failure)
		}
		if o.samples[0].Line != 2 || o.bad[0].Line != 4 || o.samples[1].Line != 4 || o.bad[1].Line != 5 {
			t.Errorf("lines %d %d %d %d", o.samples[0].Line, o.bad[0].Line, o.samples[1].Line, o.bad[1].Line)
		}
		if raw, err := rawRow(o.d, 0); err != nil || string(raw) != `{"id":"a","prompt":"Hi ]},{\""}` {
			t.Errorf("Raw = %s, %v", raw, err)
		}
	}
	if o := run(t, datasets.Spec{Paths: []string{put(t, t.TempDir(), "data.json", "[]")}}); o.err == nil {
		t.Error("an empty list is a dataset")
	}
	big := `[{"prompt":"` + strings.Repeat("x", 3<<20) + `"},{"id":"b","prompt":"Hi"}]`
	o := run(t, datasets.Spec{Paths: []string{put(t, t.TempDir(), "data.json", big)}, MaxLine: 1 << 20})
	if o.err != nil || fmt.Sprint(o.order) != "[! b]" || !strings.Contains(o.bad[0].What, "longer than 1 MiB") {
		t.Error(o.err, o.order, o.bad)
	}
}

func TestSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	row := func(id string) string { return `{"id":"` + id + `","prompt":"Hi"}` }
	put(t, dir, "b/2.jsonl", row("c")) // no newline at the end: the next file still begins a row
	put(t, dir, "b/1.jsonl", lines(row("a"), row("b")))
	put(t, dir, "b/3.json", "["+row("d")+","+row("e")+"]")
	put(t, dir, "4.csv", "id,prompt\nf,Hi\n")
	put(t, dir, "5.gz", gz(lines(row("g"), row("h"))))
	for shard := int64(1); shard <= 9; shard++ {
		o := run(t, datasets.Spec{Dir: dir, Paths: []string{"b/*.json*", "4.csv", "5.gz"}, ShardRows: shard})
		if o.err != nil || o.failure != nil || strings.Join(o.order, "") != "abcdefgh" {
			t.Fatalf("unit %d: %v %v %v", shard, o.err, o.failure, o.order)
		}
		var where []string
		for i, s := range o.samples {
			where = append(where, fmt.Sprintf("%s:%d", s.File, s.Line))
			if raw, err := rawRow(o.d, int64(i)); err != nil || !json.Valid(raw) {
				t.Errorf("Raw(%d) = %s, %v", i, raw, err)
			}
		}
		want := "b/1.jsonl:1 b/1.jsonl:2 b/2.jsonl:1 b/3.json:1 b/3.json:1 4.csv:2 5.gz:1 5.gz:2"
		if got := strings.Join(where, " "); got != want {
			t.Errorf("unit %d: places are %s", shard, got)
		}
	}
	o := run(t, datasets.Spec{Dir: dir, Paths: []string{"b/*.jsonl", "4.csv", "nosuch", "5.gz",
		"../x[" + filepath.Base(dir)}})
	if o.err == nil || !strings.Contains(o.err.Error(), "nosuch: no such file") ||
		!strings.Contains(o.err.Error(), "not a pattern") {
		t.Errorf("several problems: %v", o.err)
	}
}

// Chunks cover the rows without gaps, and their hashes are those of the bytes.
func TestChunks(t *testing.T) {
	var rows []string
	for i := range 1000 {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"prompt":"%s"}`, i, strings.Repeat("x", i+1)))
	}
	content := lines(rows...)
	path := put(t, t.TempDir(), "data.jsonl", content)
	for _, tc := range []struct{ rows, bytes int64 }{{20_000, 1 << 20}, {7, 1 << 30}, {1000, 1 << 30}, {1001, 1 << 30},
		{300, 5000}} {
		o := run(t, datasets.Spec{Paths: []string{path}, ShardRows: tc.rows, ShardBytes: tc.bytes})
		if o.err != nil || len(o.samples) != 1000 {
			t.Fatal(o.err, o.failure, len(o.samples))
		}
		var first, offset int64
		for _, s := range o.d.Chunks() {
			if s.First != first || s.Offset != offset || s.Rows > tc.rows || s.Rows > 1 && s.Bytes > tc.bytes {
				t.Fatalf("units of %d rows and %d bytes: slice %+v after %d rows, %d bytes", tc.rows, tc.bytes, s,
					first, offset)
			}
			first, offset = first+s.Rows, offset+s.Bytes
		}
		if first != 1000 || offset != int64(len(content)) {
			t.Errorf("the slices cover %d rows and %d of %d bytes", first, offset, len(content))
		}
	}
}

// A template changes how a row is asked, not where its target stands.
func TestTemplatedRowsKeepTheirTarget(t *testing.T) {
	for _, tc := range []struct{ row, want string }{
		{`{"prompt": "p", "target": "t"}`, "t"},
		{`{"question": "q", "answer": "so 2\n#### 2"}`, "2"},
		{`{"input": "i", "ideal": "d"}`, "d"},
		{`{"text": "x", "answer": "a"}`, ""}, // nothing says that it is the target
	} {
		o := run(t, datasets.Spec{Paths: []string{put(t, t.TempDir(), "rows.jsonl", tc.row+"\n")},
			Prompt: "say it: {{ row }}"})
		if o.err != nil || len(o.samples) != 1 || o.samples[0].Target != tc.want ||
			o.samples[0].HasTarget != (tc.want != "") {
			t.Errorf("%s: %v %+v", tc.row, o.err, o.samples)
		}
	}
}

// rawRow is one row in the dataset's own form.
func rawRow(d *datasets.Dataset, index int64) (raw []byte, err error) {
	for raw, err = range d.Raw(context.Background(), []int64{index}) {
		break
	}
	return raw, err
}
