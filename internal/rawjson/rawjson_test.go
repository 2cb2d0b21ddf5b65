package rawjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func mustScan(t testing.TB, text string) Value {
	t.Helper()
	v, err := Scan([]byte(text))
	if err != nil {
		t.Fatalf("Scan(%q) = %v", text, err)
	}
	return v
}

func TestKeysMatchByExactCase(t *testing.T) {
	v := mustScan(t, `{"Content":1,"content":2,"CONTENT":3}`)
	if n, _ := v.Get("content").Int(); n != 2 {
		t.Errorf("content = %d, want 2", n)
	}
	if v.Doc().Repeated {
		t.Error("keys that differ by case were taken for duplicates")
	}
	if v.Get("contenT").Exists() {
		t.Error("found a key that is not there")
	}
}

func TestRepeatedKeys(t *testing.T) {
	v := mustScan(t, `{"unused":1,"unused":2,"\u0061":1,"a":2}`)
	if n, _ := v.Get("b").Int(); n != 0 || v.Doc().Repeated {
		t.Error("a repeated key that nobody asks for must not be reported")
	}
	if n, _ := v.Get("a").Int(); n != 2 || !v.Doc().Repeated {
		t.Errorf("a = %d, repeated %v; want the last value, 2, and the report", n, v.Doc().Repeated)
	}
}

func TestText(t *testing.T) {
	for _, tc := range []struct {
		json, want string
		repaired   bool
	}{
		{`"plain"`, "plain", false},
		{`"\"\\\/\b\f\n\r\t\u00e9"`, "\"\\/\b\f\n\r\té", false},
		{`"\ud83d\ude00"`, "😀", false},
		{`"\ud83d"`, "\uFFFD", true},
		{`"\ud83dx\ude00"`, "\uFFFDx\uFFFD", true},
		{`"\ud83d\u0041"`, "\uFFFDA", true},
		{"\"a\xffb\"", "a\uFFFDb", true},
		{"\"\xf0\x9f\x98\"", "\uFFFD\uFFFD\uFFFD", true},
		{"\"tab\there\"", "tab\there", false},
		{`"\u0000"`, "\x00", false},
	} {
		v := mustScan(t, tc.json)
		if got, ok := v.Text(); got != tc.want || !ok || v.Doc().Repaired != tc.repaired {
			t.Errorf("Text(%s) = %q, repaired %v; want %q, %v", tc.json, got, v.Doc().Repaired, tc.want, tc.repaired)
		}
	}
}

func TestInt(t *testing.T) {
	for _, tc := range []struct {
		json string
		want int64
		ok   bool
	}{
		{"12", 12, true}, {"-3", -3, true}, {"12.0", 12, true}, {"1.2e1", 12, true},
		{"12.5", 0, false}, {"1e999", 0, false}, {"NaN", 0, false}, {"-Infinity", 0, false},
		{`"12"`, 0, false}, {"null", 0, false}, {"99999999999999999999", 0, false},
	} {
		if n, ok := mustScan(t, tc.json).Int(); n != tc.want || ok != tc.ok {
			t.Errorf("Int(%s) = %d, %v; want %d, %v", tc.json, n, ok, tc.want, tc.ok)
		}
	}
}

func TestDepthAndSizeAreBounded(t *testing.T) {
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	if _, err := Scan([]byte(deep)); err != nil {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
	if _, err := Scan([]byte("[" + deep + "]")); !errors.Is(err, ErrDepth) {
		t.Errorf("%d levels: %v, want ErrDepth", maxDepth+1, err)
	}
	if _, err := Scan([]byte("[" + strings.Repeat("0,", maxNodes) + "0]")); !errors.Is(err, ErrNodes) {
		t.Errorf("millions of values: %v, want ErrNodes", err)
	}
	opaqueOnly := `{"logprobs":[` + strings.Repeat("0,", 100) + `0],"a":1}`
	if v := mustScan(t, opaqueOnly); v.Get("logprobs").Count() != 0 || len(v.Doc().nodes) != 3 {
		t.Errorf("the values inside logprobs were kept: %d nodes", len(v.Doc().nodes))
	}
}

func TestJSONIsAlwaysStrict(t *testing.T) {
	for _, tc := range []struct{ json, want string }{
		{`{"a": [1, "x"] }`, `{"a": [1, "x"] }`}, // as written
		{`{"a":NaN,"b":[-Infinity,1.50],"c":{}}`, `{"a":null,"b":[null,1.50],"c":{}}`},
		{"{\"a\":\"x\xff\"}", `{"a":"x` + "\uFFFD" + `"}`},
		{`{"a":"\ud800"}`, `{"a":"` + "\uFFFD" + `"}`},
		{`{"a":NaN,"logprobs":{"x":1}}`, `{"a":null,"logprobs":null}`},
	} {
		got := mustScan(t, tc.json).JSON()
		if string(got) != tc.want || !json.Valid(got) {
			t.Errorf("JSON(%s) = %s, want %s", tc.json, got, tc.want)
		}
	}
}

func TestMissingValuesAreHarmless(t *testing.T) {
	var v Value
	if v.Get("a").First().Next().Get("b").Exists() || v.String() != "" || v.Raw() != nil || v.JSON() != nil ||
		v.Count() != 0 || v.Key() != "" {
		t.Error("a missing value holds something")
	}
}

var seeds = []string{
	`{"a":[1,-2.5e3,true,false,null,"x\u00e9\ud83d\ude00"],"b":{"c":{}},"d":[]}`,
	`[]`, `{}`, ` "x" `, `01`, `1.`, `.5`, `-`, `1e`, `tru`, `nul`, `[1,]`, `{"a"}`, `{"a":}`, `{,}`, `"\x"`, `"\u12"`,
	`"`, `[`, `NaN`, `-Infinity`,
	"\"\xff\"", "\ufeff{}", `{"a":1}{`, `"` + "\x01" + `"`, `{"logprobs":{"content":[{"token":"a"}]}}`,
}

// FuzzScan compares with encoding/json: whatever that accepts is accepted and
// read alike; what it refuses is refused or marked as loose.
func FuzzScan(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Scan(data)
		valid := json.Valid(data)
		switch {
		case errors.Is(err, ErrDepth):
			return
		case err != nil && valid:
			t.Fatalf("refused valid JSON: %v", err)
		case err == nil && !valid && !v.Doc().Loose && !bytes.HasPrefix(data, []byte("\ufeff")):
			t.Fatal("accepted as strict what is not JSON")
		case err != nil:
			return
		}
		strict := v.JSON()
		if !json.Valid(strict) || !utf8.Valid(strict) {
			t.Fatalf("JSON() = %q, which is not strict JSON", strict)
		}
		if !valid {
			return
		}
		compare(t, v, data)
	})
}

// compare decodes data twice. Duplicate keys collapse in a map, to the last
// one on both sides.
func compare(t *testing.T, v Value, data []byte) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var want any
	if err := dec.Decode(&want); err != nil {
		t.Fatal(err)
	}
	if got := plainValue(v); !bytes.Contains(data, []byte("logprobs")) && !reflect.DeepEqual(got, want) {
		t.Fatalf("read %#v, want %#v", got, want)
	}
}

func plainValue(v Value) any {
	switch v.Kind() {
	case Bool:
		return v.IsTrue()
	case Number:
		return json.Number(v.Raw())
	case String:
		return v.String()
	case Array:
		list := []any{}
		for c := v.First(); c.Exists(); c = c.Next() {
			list = append(list, plainValue(c))
		}
		return list
	case Object:
		m := map[string]any{}
		for c := v.First(); c.Exists(); c = c.Next() {
			m[c.Key()] = plainValue(c)
		}
		return m
	}
	return nil
}

func BenchmarkScan(b *testing.B) {
	data := []byte(`{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":"` +
		strings.Repeat("The quick brown fox. ", 80) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,` +
		`"completion_tokens":2,"total_tokens":3}}`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var d Doc
	for b.Loop() {
		if _, err := d.Scan(data); err != nil {
			b.Fatal(err)
		}
	}
}
