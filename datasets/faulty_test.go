package datasets_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"

	"nightshift"
	"nightshift/datasets"
)

// put writes a file below dir and returns its path.
func put(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// outcome is what became of one dataset: why it was refused, or its rows.
type outcome struct {
	d       *datasets.Dataset
	err     error
	samples []nightshift.Sample
	bad     []*datasets.RowError
	order   []string // ids and "!" for bad rows, as they came
	failure error    // what ended reading
}

// run opens and reads a dataset whose bad rows are recorded, unless the Spec
// says otherwise.
func run(t testing.TB, s datasets.Spec) outcome {
	t.Helper()
	if s.OnBadRow == "" {
		s.OnBadRow = "record"
	}
	if s.Spool == "" {
		s.Spool = filepath.Join(t.TempDir(), "run")
	}
	var o outcome
	o.d, o.err = datasets.Open(context.Background(), s)
	if o.err != nil {
		return o
	}
	t.Cleanup(func() { o.d.Close() })
	o.read()
	return o
}

func (o *outcome) read() {
	o.samples, o.bad, o.order, o.failure = nil, nil, nil, nil
	for i := range o.d.Chunks() {
		for s, err := range o.d.Read(context.Background(), i) {
			var row *datasets.RowError
			switch {
			case err == nil:
				o.samples, o.order = append(o.samples, s), append(o.order, s.ID)
			case errors.As(err, &row):
				o.bad, o.order = append(o.bad, row), append(o.order, "!")
			default:
				o.failure = err
				return
			}
		}
	}
}

func lines(rows ...string) string { return strings.Join(rows, "\n") + "\n" }

const good = `{"id":"a","prompt":"Hi"}`

func utf16File(s string, order binary.ByteOrder, mark bool) string {
	words16 := utf16.Encode([]rune(s))
	if mark {
		words16 = append([]uint16{0xfeff}, words16...)
	}
	var b bytes.Buffer
	binary.Write(&b, order, words16)
	return b.String()
}

func gz(s string) string {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

func zst(s string) string {
	var b bytes.Buffer
	w, _ := zstd.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

// Refused datasets: exit 2, nothing is sent. Numbers are those of the catalogue
// of faulty inputs.
func TestRefusedDatasets(t *testing.T) {
	big := strings.Repeat(good+"\n", 1<<17) // 3 MiB of one row
	for _, tc := range []struct {
		no      int
		name    string
		content string
		spec    datasets.Spec
		want    string // part of the message
	}{
		{1, "empty file", "", datasets.Spec{}, "data.jsonl: the file is empty"},
		{1, "only blank lines", "\n \n\r\n", datasets.Spec{}, "there is no row"},
		{1, "no such file", good, datasets.Spec{Paths: []string{"other.jsonl"}}, "other.jsonl: no such file"},
		{1, "glob matches nothing", good, datasets.Spec{Paths: []string{"*.csv"}}, "*.csv: no file matches"},
		{1, "no file named", good, datasets.Spec{Paths: []string{}}, "no dataset file is named"},
		{1, "same file twice", good, datasets.Spec{Paths: []string{"data.jsonl", "./data.jsonl"}},
			"./data.jsonl: the same file twice (it is already read as data.jsonl)"},
		{1, "same file by glob and name", good, datasets.Spec{Paths: []string{"*.jsonl", "data.jsonl"}},
			"the same file twice"},
		{1, "a folder", good, datasets.Spec{Paths: []string{"."}}, ".: a folder (name its files: *.jsonl)"},
		{7, "UTF-16 with mark", utf16File(good+"\n", binary.LittleEndian, true), datasets.Spec{}, "a UTF-16 file"},
		{7, "UTF-16 big-endian", utf16File(good+"\n", binary.BigEndian, true), datasets.Spec{}, "a UTF-16 file"},
		{7, "UTF-16 without mark", utf16File(good+"\n"+good, binary.LittleEndian, false), datasets.Spec{},
			"a UTF-16 or UTF-32 file"},
		{7, "UTF-32", "\xff\xfe\x00\x00{\x00\x00\x00\"\x00\x00\x00", datasets.Spec{}, "a UTF-32 file"},
		{12, "array said to be lines", "[" + good + "]", datasets.Spec{Format: "jsonl"},
			"the format is said to be jsonl, but the file is one JSON list (use format: auto)"},
		{12, "array that does not end", "[" + good + ",", datasets.Spec{},
			"data.jsonl:1: the list does not end (was the file cut?)"},
		{12, "array without comma", "[" + good + "\n" + good + "]", datasets.Spec{},
			"data.jsonl:2: a comma is missing between two rows of the list"},
		{12, "text behind the array", "[" + good + "]\n[" + good + "]", datasets.Spec{Format: "json"},
			"text after the end of the list"},
		{13, "double ids", lines(good, `{"id":"b","prompt":"x"}`, good), datasets.Spec{},
			`data.jsonl:3: the id "a" again (first at `},
		{13, "double ids, one escaped", lines(good, `{"id":"\u0061","prompt":"x"}`), datasets.Spec{},
			`the id "a" again`},
		{16, "template names what no row has", lines(good, good),
			datasets.Spec{Prompt: "{{ promt }}", AllowDuplicateIDs: true},
			`the prompt template names "promt", which the row does not have (the fields are id, prompt)`},
		{16, "nested name", good, datasets.Spec{Prompt: "{{ row['odd name'] }}"}, `names "odd name"`},
		{16, "filter names what no row has", good, datasets.Spec{Filter: "lvl > 3"}, `the filter template names "lvl"`},
		{16, "template syntax", good, datasets.Spec{Prompt: "{{ prompt "}, "the prompt template"},
		{16, "unknown filter in a template", good, datasets.Spec{Prompt: "{{ prompt|nosuch }}"}, "nosuch"},
		{17, "template that reads files", good, datasets.Spec{Prompt: "{% include 'data.jsonl' %}"},
			"the prompt template"},
		{26, "gzip that is cut", gz(big)[:len(gz(big))/2], datasets.Spec{}, "was the file cut or damaged?"},
		{26, "zstd that is cut", zst(big)[:len(zst(big))/2], datasets.Spec{}, "was the file cut or damaged?"},
		{26, "gzip with a wrong checksum", gz(good)[:len(gz(good))-8] + "\x00\x00\x00\x00\x00\x00\x00\x00",
			datasets.Spec{}, "was the file cut or damaged?"},
		{26, "gzip bomb", gz(strings.Repeat("\n", 80<<20)), datasets.Spec{}, "unpacks to more than 200 times its size"},
		{26, "zstd bomb", zst(strings.Repeat("\n", 80<<20)), datasets.Spec{},
			"unpacks to more than 200 times its size"},
		{26, "size cap", gz(big), datasets.Spec{MaxBytes: 1 << 20, MaxRatio: 1 << 30}, "unpacks to more than 1 MiB"},
		{26, "gzip in gzip", gz(gz(good)), datasets.Spec{}, "compressed twice"},
		{30, "unreadable file", good, datasets.Spec{Paths: []string{"locked.jsonl"}}, "locked.jsonl:"},
		{0, "zip", "PK\x03\x04aaaaaaaaaaaaaaaaa", datasets.Spec{}, "a zip archive or an Excel file"},
		{0, "parquet that is none", "PAR1aaaaaaaaaaaaaaaaaPAR1", datasets.Spec{}, "Parquet file"},
		{0, "spaced name", `{"review text":"q"}`, datasets.Spec{Prompt: "{{ review text }}"},
			"a field of such a name is written {{ row['review text'] }}"},
		{0, "assignment", `{"prompt":"q","label":"bug"}`, datasets.Spec{Filter: `label = "bug"`},
			"a comparison is written with =="},
		{0, "no dataset", "# Title\n\nSome text\n- a\n- b", datasets.Spec{OnBadRow: "refuse"},
			"this is no dataset: none of its first 4 lines is a JSON object that can be read"},
		{0, "no shape", `{"question":"q","options":["A"]}`, datasets.Spec{},
			`nothing says what the prompt is; the fields are question, options (write a template, such as prompt: ` +
				`"{{ question }}"`},
		{0, "unknown role of a field", good, datasets.Spec{Fields: map[string]string{"taget": "x"}},
			`fields: "taget" is not something a field can be`},
		{0, "CSV with a nameless column", "a,,b\n1,2,3\n", datasets.Spec{Format: "csv"},
			"data.jsonl:1: column 2 has no name"},
		{0, "CSV with two columns of a name", "a,a\n1,2\n", datasets.Spec{Format: "csv"}, `two columns are named "a"`},
		{0, "bad row, refused", lines(good, `{"id":"b"}`, `{"id":"c"`), datasets.Spec{OnBadRow: "refuse"},
			"data.jsonl:2: \"prompt\" is missing\ndata.jsonl:3: the row ends in the middle"},
	} {
		t.Run(fmt.Sprintf("%02d %s", tc.no, tc.name), func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "data.jsonl", tc.content)
			if tc.no == 30 {
				// A link to itself: unlike a file without permissions, root
				// cannot read it either.
				if err := os.Symlink("locked.jsonl", filepath.Join(dir, "locked.jsonl")); err != nil {
					t.Fatal(err)
				}
			}
			s := tc.spec
			s.Dir = dir
			if s.Paths == nil {
				s.Paths = []string{"data.jsonl"}
			}
			o := run(t, s)
			var p *datasets.Problems
			if !errors.As(o.err, &p) || p.Total == 0 {
				t.Fatalf("Open = %v, want *Problems", o.err)
			}
			if !strings.Contains(o.err.Error(), tc.want) {
				t.Errorf("Open says:\n%v\nwant in it:\n%s", o.err, tc.want)
			}
		})
	}
}

// Row errors: the other rows go on. Numbers as above.
func TestBadRows(t *testing.T) {
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	row := func(fields string) string { return `{"id":"x","prompt":"Hi",` + fields + `}` }
	chat := func(messages string) string { return `{"id":"x","messages":` + messages + `}` }
	for _, tc := range []struct {
		no   int
		name string
		row  string // stands between two good rows
		spec datasets.Spec
		what string // part of the message; "" means that the row is good
		hint string
	}{
		{3, "mark inside the file", "\xef\xbb\xbf" + good, datasets.Spec{}, "a byte-order mark inside the file",
			"joined"},
		{4, "lone CR is no separator", "{\"id\":\"x\",\r\"prompt\":\"Hi\"}", datasets.Spec{}, "", ""},
		{4, "CRLF", row(`"n":1`) + "\r", datasets.Spec{}, "", ""},
		{6, "row above the cap", row(`"n":"` + strings.Repeat("x", 3<<20) + `"`), datasets.Spec{MaxLine: 1 << 20},
			"the row is longer than 1 MiB", "raise the limit"},
		{6, "row just above the cap", row(`"n":"` + strings.Repeat("x", 2000) + `"`), datasets.Spec{MaxLine: 1000},
			"the row is longer than 1000 bytes", ""},
		{7, "NUL in a text", row("\"n\":\"\x00\""), datasets.Spec{}, "a NUL byte", ""},
		{7, "NUL between values", row("\"n\":\x00"), datasets.Spec{}, "a NUL byte", ""},
		{8, "invalid UTF-8", row("\"n\":\"\xff\""), datasets.Spec{}, "not valid UTF-8", "convert"},
		{8, "overlong UTF-8", row("\"n\":\"\xc0\xaf\""), datasets.Spec{}, "not valid UTF-8", ""},
		{8, "invalid UTF-8, replaced", row("\"n\":\"\xff\""), datasets.Spec{RepairUTF8: true}, "", ""},
		{8, "lone high surrogate", row(`"n":"\ud83d"`), datasets.Spec{}, "half a character", ""},
		{8, "lone low surrogate", row(`"n":"\ude00 "`), datasets.Spec{}, "half a character", ""},
		{8, "lone surrogate, replaced", row(`"n":"\ud83d"`), datasets.Spec{RepairUTF8: true}, "", ""},
		{8, "pair", row(`"n":"\ud83d\ude00"`), datasets.Spec{}, "", ""},
		{9, "double key", row(`"prompt":"again"`), datasets.Spec{}, `the key "prompt" appears twice`, ""},
		{9, "double key, one escaped", row(`"\u0070rompt":"again"`), datasets.Spec{}, "appears twice", ""},
		{9, "double key inside", row(`"n":[{"a":1,"b":{"c":1,"c":2}}]`), datasets.Spec{}, `the key "c" appears twice`,
			""},
		{9, "NaN", row(`"n":NaN`), datasets.Spec{}, "NaN and Infinity are not JSON", "null"},
		{9, "minus Infinity", row(`"n":-Infinity`), datasets.Spec{}, "NaN and Infinity are not JSON", ""},
		{9, "trailing text", good + " x", datasets.Spec{}, "text after the end of the row", ""},
		{9, "two rows on a line", good + good, datasets.Spec{}, "text after the end of the row",
			"two rows on one line?"},
		{9, "trailing comma", `{"id":"x","prompt":"Hi",}`, datasets.Spec{}, "a comma before }", "trailing comma"},
		{9, "Python", `{'id': 'x', 'prompt': 'Hi'}`, datasets.Spec{}, "a key in single quotes", "double quotes"},
		{9, "None", row(`"n":None`), datasets.Spec{}, "a Python word", "json.dumps"},
		{9, "leading zero", row(`"n":01`), datasets.Spec{}, "leading zeros", ""},
		{9, "half a number", row(`"n":1.`), datasets.Spec{}, "a number that is not JSON", ""},
		{9, "unknown escape", row(`"n":"\x41"`), datasets.Spec{}, "an escape that JSON does not know", ""},
		{9, "raw tab", row("\"n\":\"\t\""), datasets.Spec{}, "a tab inside a text", ""},
		{10, "big numbers", row(`"n":[12345678901234567890123,1e999,-0.10]`), datasets.Spec{}, "", ""},
		{11, "100,000 levels", row(`"n":` + deep), datasets.Spec{}, "nested more than 200 levels deep", ""},
		{11, "199 levels", row(`"n":` + strings.Repeat("[", 199) + strings.Repeat("]", 199)), datasets.Spec{}, "", ""},
		{12, "a number", `17`, datasets.Spec{}, "the row is a number, not an object", ""},
		{12, "a list", `[1,2]`, datasets.Spec{}, "the row is a list, not an object", ""},
		{12, "a text", `"Hi"`, datasets.Spec{}, "the row is a text, not an object", ""},
		{14, "id of a kilobyte", `{"id":"` + strings.Repeat("x", 1024) + `","prompt":"Hi"}`, datasets.Spec{}, "", ""},
		{14, "id of a megabyte", `{"id":"` + strings.Repeat("x", 1<<20) + `","prompt":"Hi"}`, datasets.Spec{},
			"the id is 1,048,578 bytes long", "at most 1,024"},
		{14, "id that is a list", `{"id":[1],"prompt":"Hi"}`, datasets.Spec{}, `the id "id" is a list`, ""},
		{14, "id with slashes and controls", `{"id":"../../\u0000\u001b[31m","prompt":"Hi"}`, datasets.Spec{}, "", ""},
		{15, "no prompt", `{"id":"x","promt":"Hi"}`, datasets.Spec{}, `"prompt" is missing`, ""},
		{15, "prompt of a wrong type", `{"id":"x","prompt":17}`, datasets.Spec{}, `"prompt" is a number, not a text`,
			""},
		{15, "prompt null", `{"id":"x","prompt":null}`, datasets.Spec{}, `"prompt" is null, not a text`, ""},
		{15, "empty prompt", `{"id":"x","prompt":" "}`, datasets.Spec{}, `"prompt" is empty`, ""},
		{15, "unknown role", chat(`[{"role":"wizard","content":"Hi"}]`), datasets.Spec{},
			`messages[0]: unknown role "wizard"`, "user"},
		{15, "no role", chat(`[{"role":"user","content":"a"},{"content":"Hi"}]`), datasets.Spec{},
			"messages[1]: the message has no role", ""},
		{15, "no content", chat(`[{"role":"user"}]`), datasets.Spec{}, "messages[0]: the message has no content", ""},
		{15, "content of a wrong type", chat(`[{"role":"user","content":{"a":1}}]`), datasets.Spec{},
			"the content is an object", ""},
		{15, "only a system message", chat(`[{"role":"system","content":"Hi"}]`), datasets.Spec{},
			"holds nothing to answer", ""},
		{15, "no messages", chat(`[]`), datasets.Spec{}, "holds nothing to answer", ""},
		{15, "tool call without content",
			chat(`[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"id":"1"}]},` +
				`{"role":"tool","tool_call_id":"1","content":"b"}]`), datasets.Spec{}, "", ""},
		{16, "template on one row", `{"id":"x","prompt":"Hi"}`, datasets.Spec{Prompt: "{{ prompt }}{{ extra }}"},
			`the prompt template names "extra", which the row does not have`, ""},
		{16, "template that makes nothing", `{"id":"x","prompt":"Hi","extra":""}`, datasets.Spec{Prompt: "{{ extra }}"},
			"an empty prompt", ""},
		{17, "template syntax in a value", `{"id":"x","prompt":"{{ 7*7 }}{% for %}{# #}","extra":""}`,
			datasets.Spec{Prompt: "{{ prompt }}{{ extra }}"}, "", ""},
		{21, "data URL above the cap",
			chat(`[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` +
				strings.Repeat("A", 28<<20) + `"}}]}]`), datasets.Spec{MaxLine: 64 << 20},
			"an image or document of 21 MiB", "at most 20 MiB"},
		{22, "base URL", row(`"base_url":"http://evil"`), datasets.Spec{}, `the field "base_url"`,
			"a row cannot choose its endpoint"},
		{22, "key", row(`"api_key":"sk-123"`), datasets.Spec{}, `the field "api_key"`, ""},
		{22, "headers", row(`"headers":{"x":"y"}`), datasets.Spec{}, `the field "headers"`, ""},
		{22, "headers in params", row(`"params":{"extra_headers":{"x":"y"}}`), datasets.Spec{},
			"params.extra_headers is refused", ""},
		{22, "unknown parameter", row(`"params":{"max_tokens":5,"stream":true}`), datasets.Spec{},
			`params."stream" is not a parameter that a row may set`, "plan"},
		{22, "params that are data", row(`"params":{"x":5}`), datasets.Spec{}, "", ""},
		{22, "batch to another host",
			`{"custom_id":"x","method":"POST","url":"https://evil/v1/chat/completions",` +
				`"body":{"messages":[{"role":"user","content":"Hi"}]}}`, datasets.Spec{}, "the row names a whole URL", ""},
		{22, "batch with a key", `{"custom_id":"x","body":{"api_key":"k","messages":[{"role":"user","content":"Hi"}]}}`,
			datasets.Spec{}, "body.api_key is refused", ""},
		{23, "max_tokens -1", row(`"params":{"max_tokens":-1}`), datasets.Spec{},
			"params.max_tokens is -1, not between 1 and 10,000,000", ""},
		{23, "max_tokens 10^9", row(`"params":{"max_tokens":1000000000}`), datasets.Spec{},
			"params.max_tokens is 1000000000", ""},
		{23, "max_tokens 1e999", row(`"params":{"max_tokens":1e999}`), datasets.Spec{}, "params.max_tokens is 1e999",
			""},
		{23, "max_tokens 1.5", row(`"params":{"max_tokens":1.5}`), datasets.Spec{}, "not a whole number", ""},
		{23, "temperature NaN", row(`"params":{"temperature":NaN}`), datasets.Spec{}, "NaN and Infinity are not JSON",
			""},
		{23, "temperature as a text", row(`"params":{"temperature":"NaN"}`), datasets.Spec{},
			"params.temperature is a text", ""},
		{23, "n = 10^6", row(`"params":{"n":1000000}`), datasets.Spec{}, "params.n is 1000000, not between 1 and 128",
			""},
		{23, "in a batch", `{"custom_id":"x","body":{"max_tokens":-1,"messages":[{"role":"user","content":"Hi"}]}}`,
			datasets.Spec{}, "body.max_tokens is -1", ""},
		{23, "in an Anthropic batch",
			`{"custom_id":"x","params":{"max_tokens":1000000000,"messages":[{"role":"user","content":"Hi"}]}}`,
			datasets.Spec{}, "params.max_tokens is 1000000000", ""},
		{27, "escapes and bidi marks", `{"id":"=cmd|'/c'!A1","prompt":"<script>\u001b[2J\u202e"}`, datasets.Spec{}, "",
			""},
	} {
		t.Run(fmt.Sprintf("%02d %s", tc.no, tc.name), func(t *testing.T) {
			before, after := neighbours(tc.row, tc.spec)
			path := put(t, t.TempDir(), "data.jsonl", lines(before, tc.row, after))
			s := tc.spec
			s.Paths = []string{path}
			o := run(t, s)
			if o.err != nil || o.failure != nil {
				t.Fatalf("Open = %v, Read ended with %v", o.err, o.failure)
			}
			if tc.what == "" {
				if len(o.samples) != 3 || len(o.bad) != 0 {
					t.Fatalf("got %d samples and bad rows %v, want 3 samples", len(o.samples), o.bad)
				}
				return
			}
			if len(o.samples) != 2 || len(o.bad) != 1 || o.order[1] != "!" {
				t.Fatalf("got %v with bad rows %v, want the middle one bad", o.order, o.bad)
			}
			bad := o.bad[0]
			if bad.Line != 2 || bad.Index != 1 || bad.File != path {
				t.Errorf("the bad row is at %s:%d, index %d", bad.File, bad.Line, bad.Index)
			}
			if !strings.Contains(bad.What, tc.what) || !strings.Contains(bad.Hint, tc.hint) {
				t.Errorf("the row error is %q (%q), want in it %q (%q)", bad.What, bad.Hint, tc.what, tc.hint)
			}
			// Found before anything was sent, and refused by default.
			if info := o.d.Info(); info.Bad != 1 || len(info.Problems.List) != 1 || info.Problems.List[0].Line != 2 {
				t.Errorf("the first pass found %d bad rows: %v", info.Bad, info.Problems.List)
			}
			s.OnBadRow = "refuse"
			if again := run(t, s); again.err == nil || !strings.Contains(again.err.Error(), tc.what) {
				t.Errorf("with refuse, Open = %v", again.err)
			}
		})
	}
}

// neighbours are good rows of the same shape.
func neighbours(row string, s datasets.Spec) (before, after string) {
	form := `{"id":"%s","prompt":"Hi"}`
	switch {
	case strings.Contains(row, `"messages"`) && strings.Contains(row, `"body"`):
		form = `{"custom_id":"%s","body":{"messages":[{"role":"user","content":"Hi"}]}}`
	case strings.Contains(row, `"messages"`) && strings.Contains(row, `"params"`):
		form = `{"custom_id":"%s","params":{"messages":[{"role":"user","content":"Hi"}]}}`
	case strings.Contains(row, `"messages"`):
		form = `{"id":"%s","messages":[{"role":"user","content":"Hi"}]}`
	case s.Prompt != "":
		form = `{"id":"%s","prompt":"Hi","extra":"there"}`
	}
	return fmt.Sprintf(form, "before"), fmt.Sprintf(form, "after")
}

// 2, 3, 4, 5: lines.
func TestLines(t *testing.T) {
	content := "\xef\xbb\xbf" + good + "\r\n\n  \t\r\n" + `{"id":"b","prompt":"Hi"}` + "\n\n" +
		`{"id":"c","prompt":"Hi"`
	path := put(t, t.TempDir(), "data.jsonl", content)
	o := run(t, datasets.Spec{Paths: []string{path}})
	if got := fmt.Sprint(o.order); got != "[a b !]" {
		t.Errorf("rows are %s", got)
	}
	if got := o.d.Info(); got.Blank != 3 || got.Rows != 3 || got.Bad != 1 {
		t.Errorf("Info = %+v", got)
	}
	if o.samples[0].Line != 1 || o.samples[1].Line != 4 || o.bad[0].Line != 6 {
		t.Errorf("lines are %d, %d, %d", o.samples[0].Line, o.samples[1].Line, o.bad[0].Line)
	}
	if !strings.Contains(o.bad[0].Error(), "the row ends in the middle at character 24 (was the file cut?)") {
		t.Errorf("the cut row says %v", o.bad[0])
	}
	// Without the cut, the missing newline is no matter.
	put(t, filepath.Dir(path), "data.jsonl", content+"}")
	if o := run(t, datasets.Spec{Paths: []string{path}}); len(o.samples) != 3 {
		t.Errorf("%d samples, want 3", len(o.samples))
	}
}

// 14: identity.
func TestIDs(t *testing.T) {
	path := put(t, t.TempDir(), "data.jsonl", lines(
		`{"prompt":"Hi"}`, `{"id":1,"prompt":"Hi"}`, `{"id":"2","prompt":"Hi"}`, `{"id":"","prompt":"Hi"}`,
		`{"id":null,"prompt":"Hi"}`,
		`{"id":9007199254740993,"prompt":"Hi"}`, `{"custom_id":"c","prompt":"Hi"}`, `{"task_id":"t","prompt":"Hi"}`,
		`{"question_id":81,"prompt":"Hi"}`, `{"key":"k","prompt":"Hi"}`))
	o := run(t, datasets.Spec{Paths: []string{path}})
	if o.err != nil {
		t.Fatal(o.err)
	}
	if got, want := o.order, []string{"0", "1", "2", "3", "4", "9007199254740993", "c", "t", "81",
		"k"}; !slices.Equal(got, want) {
		t.Errorf("ids are %v, want %v", got, want)
	}
	if n := o.d.Info().NoID; n != 3 {
		t.Errorf("%d rows without an id, want 3", n)
	}
}

// 13: the first ten double ids are shown, all are counted, and allowing them
// makes them no problem.
func TestDoubleIDs(t *testing.T) {
	var rows []string
	for i := range 60 {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"prompt":"Hi"}`, i%30))
	}
	s := datasets.Spec{Paths: []string{put(t, t.TempDir(), "data.jsonl", lines(rows...))}}
	o := run(t, s)
	var p *datasets.Problems
	if !errors.As(o.err, &p) || p.Total != 30 || len(p.List) != 10 {
		t.Fatalf("Open = %v, want 30 problems of which ten are listed", o.err)
	}
	for i, q := range p.List {
		if q.Line != int64(31+i) {
			t.Errorf("double id %d is at line %d", i, q.Line)
		}
	}
	s.AllowDuplicateIDs = true
	o = run(t, s)
	if o.err != nil || len(o.samples) != 60 || o.d.Info().SameIDs != 30 {
		t.Errorf("allowed: %v, %d samples, %d double ids", o.err, len(o.samples), o.d.Info().SameIDs)
	}
}

// 18, 19, 20: media.
func TestMedia(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	const png = "\x89PNG\r\n\x1a\n0123456789"
	put(t, data, "images/ok.png", png)
	put(t, data, "doc.pdf", "%PDF-1.4 x")
	put(t, data, "note.txt", "plain")
	put(t, data, "odd.bin", "\x01\x02\x03")
	put(t, dir, "secret.txt", "secret")
	put(t, data, "huge.png", png+strings.Repeat("x", 21<<20))
	for link, to := range map[string]string{"out.png": "../secret.txt", "abs.png": "/etc/passwd",
		"proc.png": "/proc/self/environ", "in.png": "images/ok.png"} {
		if err := os.Symlink(to, filepath.Join(data, link)); err != nil {
			t.Fatal(err)
		}
	}
	makeFifo(t, filepath.Join(data, "pipe.png"))
	const b64 = "iVBORw0KGgowMTIzNDU2Nzg5"
	image := func(ref string) string {
		return `{"type":"image_url","image_url":{"url":"` + ref + `","detail":"low"}}`
	}
	source := func(kind, ref string) string {
		return `{"type":"` + kind + `","source":{"type":"url","url":"` + ref + `"}}`
	}
	for _, tc := range []struct {
		name, part string
		want       string // in the message that goes out
		bad        string // or in the row error
	}{
		{"chat image", image("file:images/ok.png"), image("data:image/png;base64," + b64), ""},
		{"file with slashes", image("file://images/ok.png"), image("data:image/png;base64," + b64), ""},
		{"link inside", image("file:in.png"), image("data:image/png;base64," + b64), ""},
		{"messages image", source("image", "file:images/ok.png"),
			`{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + b64 + `"}}`, ""},
		{"messages document", source("document", "file:doc.pdf"),
			`"media_type":"application/pdf","data":"JVBERi0xLjQgeA=="`, ""},
		{"messages text", source("document", "file:note.txt"),
			`"source":{"type":"text","media_type":"text/plain","data":"plain"}`, ""},
		{"chat file", `{"type":"file","file":{"filename":"d","file_data":"file:doc.pdf"}}`,
			`"file_data":"data:application/pdf;base64,JVBERi0xLjQgeA=="`, ""},
		{"in a tool result", `{"type":"tool_result","tool_use_id":"1","content":[` + source("image",
			"file:images/ok.png") + `]}`, b64, ""},
		{"20 private host", image("http://169.254.169.254/latest"), image("http://169.254.169.254/latest"), ""},
		{"20 absolute file URL", image("file:///etc/passwd"), "", "is refused"},
		{"18 absolute", image("file:/etc/passwd"), "", "is refused"},
		{"18 parent", image("file:../secret.txt"), "", "is refused"},
		{"18 parent inside", image("file:images/../../secret.txt"), "", "is refused"},
		{"18 link out", image("file:out.png"), "", "is refused"},
		{"18 absolute link", image("file:abs.png"), "", "is refused"},
		{"18 process file", image("file:proc.png"), "", "is refused"},
		{"18 pipe", image("file:pipe.png"), "", "is not a regular file"},
		{"18 device", image("file:/dev/zero"), "", "is refused"},
		{"18 directory", image("file:images"), "", "is not a regular file"},
		{"19 missing", image("file:none.png"), "", "is missing"},
		{"19 too large", image("file:huge.png"), "", "holds 21 MiB"},
		{"unknown kind", image("file:odd.bin"), "", "of a kind that is not known"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			row := `{"id":"x","messages":[{"role":"user","content":[{"type":"text","text":"Look: file:none"},` +
				tc.part + `]}]}`
			path := put(t, data, "data.jsonl", row+"\n")
			o := run(t, datasets.Spec{Paths: []string{path}})
			if o.err != nil {
				t.Fatal(o.err)
			}
			if tc.bad != "" {
				if len(o.bad) != 1 || !strings.Contains(o.bad[0].What, tc.bad) {
					t.Fatalf("bad rows are %v, want %q", o.bad, tc.bad)
				}
				if tc.name != "unknown kind" && o.d.Info().Bad != 1 {
					t.Error("the first pass did not find it")
				}
				return
			}
			if len(o.samples) != 1 {
				t.Fatalf("bad rows: %v", o.bad)
			}
			s := o.samples[0]
			if got := string(s.Messages[0].Raw); !strings.Contains(got, tc.want) ||
				!strings.Contains(got, "Look: file:none") {
				t.Errorf("the message is %s\nwant in it %s", got, tc.want)
			}
			if strings.Contains(tc.want, b64) && !strings.Contains(string(s.Metadata), `"sha256":"`) {
				t.Errorf("the content hash is not noted: %s", s.Metadata)
			}
		})
	}
	t.Run("19 changed", func(t *testing.T) {
		row := `{"id":"x","messages":[{"role":"user","content":[` + image("file:images/ok.png") + `]}]}`
		o := run(t, datasets.Spec{Paths: []string{put(t, data, "data.jsonl", row+"\n")}})
		put(t, data, "images/ok.png", png+"more")
		o.read()
		if len(o.bad) != 1 || !strings.Contains(o.bad[0].What, "has changed since") {
			t.Errorf("bad rows are %v", o.bad)
		}
	})
}

// 24: a file that changes after indexing.
func TestChangedFile(t *testing.T) {
	rows := lines(good, `{"id":"b","prompt":"Hi"}`, `{"id":"c","prompt":"Hi"}`)
	for _, tc := range []struct {
		name     string
		change   func(path string)
		appended bool
		what     string
	}{
		{"edited", func(p string) { os.WriteFile(p, []byte(strings.Replace(rows, "Hi", "Ho", 1)), 0o600) }, false,
			"rows 0 to 0 are not what they were"},
		{"truncated", func(p string) { os.Truncate(p, 30) }, false, "shrunk"},
		{"appended", func(p string) { os.WriteFile(p, []byte(rows+good+"\n"), 0o600) }, true, "grown"},
		{"replaced", func(p string) {
			os.Remove(p)
			os.WriteFile(p, []byte(strings.ReplaceAll(rows, "Hi", "Ha")), 0o600)
		}, false, "are not what they were"},
		{"gone", func(p string) { os.Remove(p) }, false, "the file is gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := put(t, t.TempDir(), "data.jsonl", rows)
			o := run(t, datasets.Spec{Paths: []string{path}, ShardRows: 1})
			if len(o.samples) != 3 {
				t.Fatal(o.err, o.failure)
			}
			tc.change(path)
			o.read()
			var changed *datasets.ChangedError
			if !errors.As(o.failure, &changed) || changed.Appended != tc.appended ||
				!strings.Contains(changed.Error(), tc.what) {
				t.Fatalf("Read ended with %v, want a ChangedError with %q", o.failure, tc.what)
			}
			if len(o.samples) != 0 {
				t.Errorf("%d samples came before the change was seen", len(o.samples))
			}
		})
	}
	t.Run("touched", func(t *testing.T) {
		path := put(t, t.TempDir(), "data.jsonl", rows)
		o := run(t, datasets.Spec{Paths: []string{path}})
		put(t, filepath.Dir(path), "data.jsonl", rows)
		if o.read(); len(o.samples) != 3 {
			t.Error(o.failure)
		}
	})
}

// 25: streams are spooled, and a second start reads the copy.
func TestStreams(t *testing.T) {
	dir := t.TempDir()
	spool := filepath.Join(dir, "run")
	s := datasets.Spec{Paths: []string{"-"}, Stdin: strings.NewReader(lines(good, `{"id":"b","prompt":"Hi"}`)),
		Spool: spool, OnBadRow: "record"}
	o := run(t, s)
	if len(o.samples) != 2 || o.samples[1].File != "standard input" || o.samples[1].Line != 2 {
		t.Fatalf("%v, samples %+v", o.err, o.samples)
	}
	info, err := os.Stat(filepath.Join(spool, "dataset.input-0"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy: %v, %v", info, err)
	}
	index := filepath.Join(spool, "dataset.idx")
	if err := o.d.WriteIndex(index); err != nil {
		t.Fatal(err)
	}
	s.Stdin = strings.NewReader("this is not read")
	d, err := datasets.LoadIndex(context.Background(), index, s)
	if err != nil {
		t.Fatal(err)
	}
	again := outcome{d: d}
	if again.read(); len(again.samples) != 2 {
		t.Error(again.failure)
	}

	// A touched copy is read again; the stream is not.
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(spool, "dataset.input-0"), later, later); err != nil {
		t.Fatal(err)
	}
	if d, err = datasets.Resume(context.Background(), index, s); err != nil {
		t.Fatal(err)
	}
	again = outcome{d: d}
	if again.read(); len(again.samples) != 2 {
		t.Error(again.failure)
	}

	fifo := filepath.Join(dir, "pipe")
	makeFifo(t, fifo)
	go os.WriteFile(fifo, []byte(gz(lines(good))), 0o600)
	if o := run(t, datasets.Spec{Paths: []string{fifo}}); len(o.samples) != 1 {
		t.Errorf("a named pipe gives %v, %d samples", o.err, len(o.samples))
	}
	if o := run(t, datasets.Spec{Paths: []string{"/dev/zero"}}); o.err == nil ||
		!strings.Contains(o.err.Error(), "not a regular file") {
		t.Errorf("a device gives %v", o.err)
	}
}

// 26: members one behind the other read through.
func TestMembers(t *testing.T) {
	a, b, c := good+"\n"+`{"id":"b",`, `"prompt":"Hi"}`+"\n", `{"id":"c","prompt":"Hi"}`
	for name, content := range map[string]string{
		"gzip": gz(a) + gz(b) + gz("") + gz(c),
		"zstd": zst(a) + zst(b) + "\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + zst(c),
	} {
		o := run(t, datasets.Spec{Paths: []string{put(t, t.TempDir(), "data.jsonl", content)}, ShardRows: 1})
		if got := fmt.Sprint(o.order); got != "[a b c]" || o.d.Info().Packed != name {
			t.Errorf("%s: rows are %s, %v", name, got, o.err)
		}
	}
}

// 6, 29: what is large is read in bounded memory.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 300 MB")
	}
	const bound = 256 << 20
	check := func(name, path string, rows, bad int) {
		var o outcome
		peak := peakHeap(func() { o = run(t, datasets.Spec{Paths: []string{path}}) })
		if o.err != nil || len(o.samples) != rows || len(o.bad) != bad {
			t.Errorf("%s: %v, %d samples, bad rows %v", name, o.err, len(o.samples), o.bad)
		}
		if peak > bound {
			t.Errorf("%s: %d MiB of heap", name, peak>>20)
		}
		t.Logf("%s: %d MiB of heap", name, peak>>20)
	}
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "line.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, good)
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	for range 40 { // the rest of a gigabyte behaves alike
		f.Write(chunk)
	}
	fmt.Fprintln(f, "\n"+`{"id":"b","prompt":"Hi"}`)
	f.Close()
	check("one line of 40 MiB", f.Name(), 2, 1)

	f, err = os.Create(filepath.Join(dir, "rows.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		fmt.Fprintf(f, `{"id":%d,"prompt":"%s"}`+"\n", i, bytes.Repeat(chunk, 15))
	}
	f.Close()
	d := open(t, datasets.Spec{Paths: []string{f.Name()}})
	peak := peakHeap(func() {
		for i := range d.Chunks() {
			for _, err := range d.Read(context.Background(), i) {
				if err != nil {
					t.Error(err)
				}
			}
		}
	})
	if peak > bound {
		t.Errorf("ten rows of 15 MiB: %d MiB of heap", peak>>20)
	}
}
