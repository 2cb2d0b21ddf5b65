package wire

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/secrets"
)

// listing serves pages of a list and asks for all of them.
func listing(t *testing.T, handler http.HandlerFunc) ([]Model, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv("LIST_KEY", "sk-secret-0123456789abcdef")
	key, err := secrets.FromEnv("LIST_KEY")
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Config{Key: key, Endpoint: providers.Endpoint{Name: "e", Protocol: nightshift.Chat, BaseURL: server.URL,
		Auth: providers.Auth{Scheme: providers.AuthBearer, Env: "LIST_KEY"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.CloseIdleConnections)
	return w.Models(context.Background())
}

func TestModels(t *testing.T) {
	usd := func(v float64) *float64 { return &v }
	for _, tc := range []struct {
		name  string
		pages map[string]string // by query
		want  []Model
	}{
		{"OpenAI", map[string]string{
			"": `{"object":"list","data":[{"id":"gpt-5","object":"model"},{"id":"text-embedding-3-small"}]}`},
			[]Model{{ID: "gpt-5"}, {ID: "text-embedding-3-small"}}},
		{"Anthropic, three pages", map[string]string{
			"": `{"data":[{"id":"a","max_input_tokens":200000,"max_tokens":64000}],"has_more":true,` +
				`"first_id":"a","last_id":"a"}`,
			"after_id=a": `{"data":[{"id":"b"}],"has_more":true,"last_id":"b"}`,
			"after_id=b": `{"data":[{"id":"c"}],"has_more":false,"last_id":"c"}`,
		}, []Model{{ID: "a", MaxInput: 200000, MaxOutput: 64000}, {ID: "b"}, {ID: "c"}}},
		{"Gemini, two pages", map[string]string{
			"": `{"models":[{"name":"models/g1","inputTokenLimit":1048576,` +
				`"outputTokenLimit":65536,"supportedGenerationMethods":["generateContent","embedContent"]}],` +
				`"nextPageToken":"x+/="}`,
			"pageToken=x%2B%2F%3D": `{"models":[{"name":"tunedModels/g2"}]}`,
		}, []Model{{ID: "g1", MaxInput: 1048576, MaxOutput: 65536,
			Methods: []string{"generateContent", "embedContent"}}, {ID: "tunedModels/g2"}}},
		{"OpenRouter",
			map[string]string{
				"": `{"data":[{"id":"v/m","context_length":131072,"pricing":{"prompt":"0.0000025",` +
					`"completion":"0.00001"},"top_provider":{"max_completion_tokens":8192}},{"id":"v/auto",` +
					`"pricing":{"prompt":"-1","completion":"-1"}}]}`},
			[]Model{{ID: "v/m", MaxInput: 131072, MaxOutput: 8192, InputUSD: usd(2.5), OutputUSD: usd(10)}, {ID: "v/auto"}}},
		{"vLLM", map[string]string{"": `{"data":[{"id":"q","max_model_len":4096}]}`}, []Model{{ID: "q", MaxInput: 4096}}},
		{"llama.cpp",
			map[string]string{"": `{"models":[{"name":"x"}],"data":[{"id":"x.gguf","meta":{"n_ctx_train":32768}}]}`},
			[]Model{{ID: "x.gguf", MaxInput: 32768}}},
		{"Groq", map[string]string{"": `{"data":[{"id":"l","context_window":8192,"max_completion_tokens":1024}]}`},
			[]Model{{ID: "l", MaxInput: 8192, MaxOutput: 1024}}},
		{"a bare list", map[string]string{"": `[{"id":"t","context_length":4096},"plain",{"x":1},7]`},
			[]Model{{ID: "t", MaxInput: 4096}, {ID: "plain"}}},
		{"nothing", map[string]string{"": `{"data":[]}`}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := listing(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != "/v1/models" || r.Header.Get("Authorization") == "" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				page, found := tc.pages[r.URL.RawQuery]
				if !found {
					http.Error(w, "no such page "+r.URL.RawQuery, http.StatusBadRequest)
				}
				_, _ = w.Write([]byte(page))
			})
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				a, _ := json.Marshal(got)
				b, _ := json.Marshal(tc.want)
				t.Errorf("%v\n got %s\nwant %s", err, a, b)
			}
		})
	}
}

func TestModelsRefused(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		body   string
		class  nightshift.ErrorClass
		says   string
	}{
		{"a wrong key", 401, `{"error":{"message":"Incorrect API key provided: sk-secret-0123456789abcdef"}}`,
			nightshift.ClassAuth, "check the key in $LIST_KEY"},
		{"no list", 404, `{"error":{"message":"Not Found"}}`, nightshift.ClassNotFound, "no list of models"},
		{"a page", 200, `<html>Console</html>`, nightshift.ClassBadResponse, "something else than a list"},
		{"an answer", 200, `{"choices":[]}`, nightshift.ClassBadResponse, "something else than a list"},
		{"a list without end", 200, `{"data":[{"id":"a"}],"has_more":true,"last_id":"a"}`, nightshift.ClassBadResponse,
			"more than 200 pages"},
		{"elsewhere", 302, ``, nightshift.ClassRedirect, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list, err := listing(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			})
			var wrong *nightshift.Error
			if !errors.As(err, &wrong) || wrong.Class != tc.class || !strings.Contains(err.Error(), tc.says) || len(list) != 0 {
				t.Errorf("%v %v, want %s that says %q", list, err, tc.class, tc.says)
			}
			if err != nil && strings.Contains(err.Error(), "sk-secret") {
				t.Errorf("the key is shown: %v", err)
			}
		})
	}
}

// FuzzModels: whatever a server sends as a list is read or refused.
func FuzzModels(f *testing.F) {
	f.Add([]byte(`{"data":[{"id":"a","pricing":{"prompt":"1e-6"}}],"has_more":true,"last_id":"a"}`))
	f.Add([]byte(`{"models":[{"name":"models/g","inputTokenLimit":1e99}],"nextPageToken":7}`))
	f.Add([]byte(`[null,[],"x",{"id":{}}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, _, err := readModels(text, "https://h.test/v1/models")
		for _, m := range list {
			if m.ID == "" || m.MaxInput < 0 || m.MaxOutput < 0 || err != nil {
				t.Fatalf("%+v, %v", m, err)
			}
		}
	})
}
