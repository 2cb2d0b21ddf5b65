package embeddings_test

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats"
)

func format(t testing.TB, p nightshift.Protocol) formats.Format {
	t.Helper()
	f, ok := formats.Of(p)
	if !ok {
		t.Fatalf("no format %s", p)
	}
	return f
}

func TestEncode(t *testing.T) {
	text := func(s string) []nightshift.Message { return []nightshift.Message{{Role: nightshift.RoleUser, Text: s}} }
	param := func(name, value string) []nightshift.Param {
		return []nightshift.Param{{Name: name, Value: json.RawMessage(value)}}
	}
	for _, tc := range []struct {
		name     string
		protocol nightshift.Protocol
		req      nightshift.Request
		want     string
		texts    int64
		input    int64
	}{
		{"a row", nightshift.Embeddings,
			nightshift.Request{Model: "m", Messages: text("a \"b\""), Params: param("dimensions", "8")},
			`{"model":"m","input":"a \"b\"","dimensions":8}`, 1, 7},
		{"several texts", nightshift.Embeddings, nightshift.Request{Model: "m", Texts: []string{"a", "bc"}},
			`{"model":"m","input":["a","bc"]}`, 2, 3},
		{"a row's own body", nightshift.Embeddings,
			nightshift.Request{Model: "m", Body: json.RawMessage(`{"input":["a","b","c"],"model":"x"}`),
				BodyProtocol: nightshift.Embeddings, Params: param("dimensions", "8")},
			`{"input":["a","b","c"],"model":"m","dimensions":8}`, 3, 3},
		{"tokens", nightshift.Embeddings,
			nightshift.Request{Model: "m", Body: json.RawMessage(`{"input":[1,2,3]}`),
				BodyProtocol: nightshift.Embeddings}, `{"input":[1,2,3],"model":"m"}`, 1, 3},
		{"lists of tokens", nightshift.Embeddings,
			nightshift.Request{Model: "m", Body: json.RawMessage(`{"input":[[1,2,3],[4]]}`),
				BodyProtocol: nightshift.Embeddings}, `{"input":[[1,2,3],[4]],"model":"m"}`, 2, 4},
		{"Gemini", nightshift.GeminiEmbeddings,
			nightshift.Request{Model: "g", Messages: text("a"), Params: param("dimensions", "8")},
			`{"requests":[{"model":"models/g","content":{"parts":[{"text":"a"}]},"outputDimensionality":8}]}`, 1, 1},
		{"Gemini, several", nightshift.GeminiEmbeddings,
			nightshift.Request{Model: "models/g", Texts: []string{"a", "b"}, Params: param("taskType", `"CLUSTERING"`)},
			`{"requests":[{"model":"models/g","content":{"parts":[{"text":"a"}]},"taskType":"CLUSTERING"},` +
				`{"model":"models/g","content":{"parts":[{"text":"b"}]},"taskType":"CLUSTERING"}]}`, 2, 2},
		{"translated", nightshift.GeminiEmbeddings,
			nightshift.Request{
				Model: "g", Body: json.RawMessage(
					`{"model":"x","input":["a","b"],"dimensions":4,"encoding_format":"base64"}`), BodyProtocol: nightshift.Embeddings},
			`{"requests":[{"model":"models/g","content":{"parts":[{"text":"a"}]},"outputDimensionality":4},` +
				`{"model":"models/g","content":{"parts":[{"text":"b"}]},"outputDimensionality":4}]}`, 2, 2},
	} {
		p, err := formats.Encode(format(t, tc.protocol), tc.req, true)
		if err != nil || string(p.Body) != tc.want || p.Texts != tc.texts || p.InputText+p.InputOther != tc.input ||
			p.MaxOutput != 0 {
			t.Errorf("%s: %v\n got %s, %d texts, input %d+%d\nwant %s, %d texts, input %d", tc.name, err, p.Body,
				p.Texts, p.InputText, p.InputOther, tc.want, tc.texts, tc.input)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	user := nightshift.Message{Role: nightshift.RoleUser, Text: "a"}
	for name, req := range map[string]nightshift.Request{
		"system prompt":   {Model: "m", System: "S", Messages: []nightshift.Message{user}},
		"two messages":    {Model: "m", Messages: []nightshift.Message{user, user}},
		"an empty text":   {Model: "m", Messages: []nightshift.Message{{Role: nightshift.RoleUser}}},
		"empty among all": {Model: "m", Texts: []string{"a", ""}},
		"a stream": {Model: "m", Messages: []nightshift.Message{user},
			Params: []nightshift.Param{{Name: "stream", Value: json.RawMessage("true")}}},
		"packed bits": {Model: "m", Messages: []nightshift.Message{user},
			Params: []nightshift.Param{{Name: "encoding_format", Value: json.RawMessage(`"ubinary"`)}}},
		"no such format": {Model: "m", Body: json.RawMessage(`{"input":"a"}`), BodyProtocol: "telex"},
		"a chat": {
			Model: "m", Body: json.RawMessage(`{"messages":[{"role":"user","content":"a"}],"temperature":1}`),
			BodyProtocol: nightshift.Chat},
	} {
		if p, err := formats.Encode(format(t, nightshift.Embeddings), req, false); err == nil {
			t.Errorf("%s: %s", name, p.Body)
		}
	}
	if p, err := formats.Encode(format(t, nightshift.Chat), nightshift.Request{Model: "m", Texts: []string{"a"}},
		false); err == nil {
		t.Errorf("texts for a chat: %s", p.Body)
	}
}

func TestDecode(t *testing.T) {
	vector := func(v ...float32) nightshift.Vector { return v }
	for _, tc := range []struct {
		name, answer string
		want         []nightshift.Vector
		flags        string
		tokens       nightshift.Count
	}{
		{"floats", `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1e-3]}],"model":"m",` +
			`"usage":{"prompt_tokens":3,"total_tokens":3}}`,
			[]nightshift.Vector{vector(0.5, -1e-3)}, "", nightshift.Tokens(3)},
		{"base64, in another order",
			`{"data":[{"index":1,"embedding":"AACAPwAAAEA="},{"index":0,"embedding":[3,4]}],"usage":{"prompt_tokens":5}}`,
			[]nightshift.Vector{vector(3, 4), vector(1, 2)}, "", nightshift.Tokens(5)},
		{"without indexes", `{"data":[{"embedding":[1]},{"embedding":[2]}],"usage":{"total_tokens":2}}`,
			[]nightshift.Vector{vector(1), vector(2)}, "", nightshift.Tokens(2)},
		{"int8 as numbers", `{"data":[{"index":0,"embedding":[127,-128]}]}`, []nightshift.Vector{vector(127, -128)},
			"usage_missing", nightshift.Count{}},
		{"int8 in base64", `{"data":[{"index":0,"embedding":"f4ABAA3w/w=="}],"usage":{"prompt_tokens":0}}`,
			[]nightshift.Vector{vector(127, -128, 1, 0, 13, -16, -1)}, "vector_int8,usage_missing", nightshift.Count{}},
		{"int8 of a length that float32 could have",
			`{"data":[{"index":0,"embedding":"f4ABf4B/AX8="}],"usage":{"prompt_tokens":1}}`,
			[]nightshift.Vector{vector(127, -128, 1, 127, -128, 127, 1, 127)}, "vector_int8", nightshift.Tokens(1)},
		{"Gemini", `{"embeddings":[{"values":[1,2]},{"values":[3,4]}]}`,
			[]nightshift.Vector{vector(1, 2), vector(3, 4)}, "usage_missing", nightshift.Count{}},
		{"Gemini, one, with usage", `{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":4}}`,
			[]nightshift.Vector{vector(1)}, "", nightshift.Tokens(4)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := decode(t, tc.answer)
			if err != nil || !reflect.DeepEqual(r.Vectors, tc.want) || strings.Join(r.Flags, ",") != tc.flags ||
				r.Usage.InputTotal() != tc.tokens {
				t.Errorf("%v\n got %v %v %v\nwant %v %s %v", err, r.Vectors, r.Flags, r.Usage.InputTotal(), tc.want,
					tc.flags, tc.tokens)
			}
			if tc.tokens.Known() && r.Usage.Output != nightshift.Tokens(0) {
				t.Errorf("output %v", r.Usage.Output)
			}
		})
	}
}

func decode(t testing.TB, text string) (r nightshift.Response, err *nightshift.Error) {
	t.Helper()
	root, scanErr := rawjson.Scan([]byte(text))
	if scanErr != nil {
		t.Fatal(scanErr)
	}
	f, ok := formats.Recognise(root)
	if !ok {
		t.Fatalf("not recognised: %s", text)
	}
	err = f.Decode(&r, root)
	return r, err
}

func base64Of(v nightshift.Vector) string {
	return base64.StdEncoding.EncodeToString(v.AppendBytes(nil))
}

func TestDecodeRefuses(t *testing.T) {
	for name, answer := range map[string]string{
		"NaN":           `{"data":[{"index":0,"embedding":[NaN]}]}`,
		"NaN in base64": `{"data":[{"index":0,"embedding":"AADAfw=="}]}`,
		"one NaN among many": `{"data":[{"index":0,` +
			`"embedding":"` + base64Of(append(make(nightshift.Vector, 50), float32(math.NaN()))) + `"}]}`,
		"no base64":               `{"data":[{"index":0,"embedding":"AADA/w=!"}]}`,
		"a null among numbers":    `{"data":[{"index":0,"embedding":[1,null]}]}`,
		"too large":               `{"data":[{"index":0,"embedding":[1e39]}]}`,
		"one index twice":         `{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[2]}]}`,
		"an index out of bounds":  `{"data":[{"index":2,"embedding":[1]},{"index":0,"embedding":[2]}]}`,
		"an index missing":        `{"data":[{"index":0,"embedding":[1]},{"embedding":[2]}]}`,
		"vectors of two lengths":  `{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1,2]}]}`,
		"an empty vector":         `{"data":[{"index":0,"embedding":[]}]}`,
		"an object for a vector":  `{"data":[{"index":0,"embedding":{"float":[1]}}]}`,
		"Gemini without values":   `{"embeddings":[{"values":[1]},{}]}`,
		"Gemini, a text in there": `{"embeddings":[{"values":["a"]}]}`,
	} {
		if r, err := decode(t, answer); err == nil || len(r.Vectors) > 0 || !err.MaybeBilled {
			t.Errorf("%s: %v, %v", name, r.Vectors, err)
		}
	}
}

// FuzzDecode: whatever is recognised is decoded into vectors of one length and
// of finite numbers, or refused.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"data":[{"index":1,"embedding":"AACAPwAAAEA="},{"index":0,"embedding":[3,4]}],` +
		`"usage":{"prompt_tokens":5}}`))
	f.Add([]byte(`{"embeddings":[{"values":[1,2]},[3,4]],"usageMetadata":{"promptTokenCount":4}}`))
	f.Add([]byte(`{"embedding":{"values":[1e400]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		root, err := rawjson.Scan(text)
		if err != nil {
			return
		}
		for _, p := range []nightshift.Protocol{nightshift.Embeddings, nightshift.GeminiEmbeddings} {
			var r nightshift.Response
			if format(t, p).Decode(&r, root) != nil {
				continue
			}
			for _, v := range r.Vectors {
				if len(v) == 0 || len(v) != len(r.Vectors[0]) || !v.Finite() {
					t.Fatalf("%v", r.Vectors)
				}
			}
		}
	})
}
