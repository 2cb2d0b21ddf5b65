package simulator_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"net/http/httptest"
	"strings"
	"testing"

	"nightshift/providers/simulator"
)

type embeddingAnswer struct {
	Data []struct {
		Index     int             `json:"index"`
		Embedding json.RawMessage `json:"embedding"`
	} `json:"data"`
	Embeddings []struct{ Values []float32 } `json:"embeddings"`
	Embedding  struct{ Values []float32 }   `json:"embedding"`
	Usage      struct {
		Prompt int64 `json:"prompt_tokens"`
	} `json:"usage"`
}

func askEmbeddings(t *testing.T, s *simulator.Server, path, body string) (a embeddingAnswer, status int, text string) {
	t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Result().Body)
	_ = json.Unmarshal(b, &a)
	return a, w.Code, string(b)
}

func cosine(a, b []float32) (dot float64) {
	for i := range a {
		dot += float64(a[i]) * float64(b[i])
	}
	return dot
}

// Equal texts have equal vectors, similar ones near ones, others far ones; base64
// and floats say the same.
func TestEmbeddings(t *testing.T) {
	s := simulator.New(simulator.Config{})
	a, status, text := askEmbeddings(t, s, "/v1/embeddings",
		`{"model":"e","input":["the quick brown fox","The quick brown foxes","interest rates rose again",`+
			`"the quick brown fox"]}`)
	if status != 200 || len(a.Data) != 4 || a.Usage.Prompt == 0 {
		t.Fatal(status, text)
	}
	v := make([][]float32, 4)
	for _, d := range a.Data {
		if json.Unmarshal(d.Embedding, &v[d.Index]) != nil || math.Abs(cosine(v[d.Index], v[d.Index])-1) > 1e-5 {
			t.Fatalf("%s", d.Embedding)
		}
	}
	if same, near, far := cosine(v[0], v[3]), cosine(v[0], v[1]), cosine(v[0], v[2]); same < 0.99999 || near < 0.7 ||
		far > 0.5 {
		t.Errorf("cosines %v, %v, %v", same, near, far)
	}
	b, _, _ := askEmbeddings(t, s, "/v1/embeddings",
		`{"model":"e","input":"the quick brown fox","encoding_format":"base64"}`)
	var encoded string
	_ = json.Unmarshal(b.Data[0].Embedding, &encoded)
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(raw) != 4*len(v[0]) || math.Float32frombits(binary.LittleEndian.Uint32(raw)) != v[0][0] {
		t.Errorf("%d bytes, %v", len(raw), err)
	}
	g, status, text := askEmbeddings(t, s, "/v1beta/models/e:batchEmbedContents",
		`{"requests":[{"model":"models/e","content":{"parts":[{"text":"the quick brown fox"}]},"outputDimensionality":8}]}`)
	if status != 200 || len(g.Embeddings) != 1 || len(g.Embeddings[0].Values) != 8 {
		t.Error(status, text)
	}
	one, _, text := askEmbeddings(t, s, "/v1beta/models/e:embedContent", `{"content":{"parts":[{"text":"a"}]}}`)
	if len(one.Embedding.Values) != 256 {
		t.Error(text)
	}
	if l := s.Ledger(); l.Billed.Output != 0 || l.Billed.Input == 0 {
		t.Errorf("billed %+v", l.Billed)
	}
}

func TestEmbeddingsRefused(t *testing.T) {
	for _, tc := range []struct {
		refusal, body string
		status        int
		says          string
	}{
		{"", `{"model":"e","input":["a","b","c"]}`, 400, "array of at most 2 texts"},
		{"mistral", `{"model":"e","input":["a","b","c"]}`, 400, `"code":"3210"`},
		{"llama.cpp", `{"model":"e","input":["a","b","c"]}`, 500, "too large to process"},
		{"tei", `{"model":"e","input":["a","b","c"]}`, 413, "maximum allowed batch size"},
		{"", `{"model":"e","input":["a",""]}`, 400, "a text is empty"},
		{"", `{"model":"e","input":[]}`, 400, "empty"},
		{"", `{"input":"a"}`, 400, "model"},
		{"", `{"model":"e","input":"` + strings.Repeat("word ", 200) + `"}`, 400, "maximum context length is 100 tokens"},
		{"", `{"model":"e","input":"a","encoding_format":"ubinary"}`, 400, "encoding_format"},
	} {
		s := simulator.New(
			simulator.Config{Embeddings: simulator.Embeddings{MaxTexts: 2, MaxTokens: 100, Refusal: tc.refusal}})
		if _, status, text := askEmbeddings(t, s, "/v1/embeddings", tc.body); status != tc.status ||
			!strings.Contains(text, tc.says) {
			t.Errorf("%s %.60s: %d %s", tc.refusal, tc.body, status, text)
		}
	}
	if err := (simulator.Config{Embeddings: simulator.Embeddings{Refusal: "x"}}).Validate(); err == nil {
		t.Error("an unknown refusal is taken")
	}
}
