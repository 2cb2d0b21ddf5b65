package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"nightshift/providers/simulator/testdata/simtest"
)

// askGemini posts a body and returns the answer.
func askGemini(t *testing.T, s *Server, path, key, body string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://simulator.invalid"+path,
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Goog-Api-Key", key)
	resp, err := s.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// geminiPiece is what tests look at in an answer.
type geminiPiece struct {
	Candidates []struct {
		Content struct {
			Parts []struct {
				Text    string `json:"text"`
				Thought bool   `json:"thought"`
				Call    *struct {
					Name string          `json:"name"`
					Args json.RawMessage `json:"args"`
				} `json:"functionCall"`
				Signature string `json:"thoughtSignature"`
			} `json:"parts"`
		} `json:"content"`
		Reason string `json:"finishReason"`
	} `json:"candidates"`
	RawUsage map[string]int64 `json:"usageMetadata"`
	Model    string           `json:"modelVersion"`
}

const geminiHello = `{"contents":[{"role":"user","parts":[{"text":"Hello?"}]}],` +
	`"generation_config":{"max_output_tokens":64}}`

func TestGeminiWholeAndStreamed(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	status, _, body := askGemini(t, s, "/v1beta/models/sim:generateContent", "k", geminiHello)
	var whole geminiPiece
	if err := json.Unmarshal([]byte(body), &whole); err != nil || status != 200 || whole.Candidates[0].Reason == "" ||
		whole.Model != "sim" {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	want := whole.Candidates[0].Content.Parts[0].Text

	_, _, body = askGemini(t, s, "/v1beta/models/sim:streamGenerateContent?alt=sse", "k", geminiHello)
	text, last := "", geminiPiece{}
	for _, event := range strings.Split(strings.TrimSuffix(body, "\r\n\r\n"), "\r\n\r\n") {
		last = geminiPiece{}
		data, ok := strings.CutPrefix(event, "data: ")
		if err := json.Unmarshal([]byte(data), &last); err != nil || !ok {
			t.Fatalf("%q: %v", event, err)
		}
		if parts := last.Candidates[0].Content.Parts; len(parts) > 0 {
			text += parts[0].Text
		}
	}
	if text != want || last.Candidates[0].Reason == "" ||
		last.RawUsage["totalTokenCount"] != whole.RawUsage["totalTokenCount"] {
		t.Errorf("streamed %q (%v), whole %q (%v)", text, last.RawUsage, want, whole.RawUsage)
	}

	_, header, body := askGemini(t, s, "/v1/projects/p/locations/l/publishers/google/models/sim:streamGenerateContent",
		"k", geminiHello)
	var list []geminiPiece
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) < 2 ||
		!strings.HasPrefix(header.Get("Content-Type"), "application/json") {
		t.Errorf("without alt=sse: %v\n%s", err, body)
	}
	ledger := s.Ledger()
	if ledger.Received != 3 || ledger.Billed.InputTotal() != 3*whole.RawUsage["promptTokenCount"] {
		t.Errorf("%+v", ledger)
	}
}

// The same conversation has the same key in the ledger as in other protocols.
func TestGeminiKey(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	askGemini(t, s, "/v1beta/models/sim:generateContent", "k",
		`{"systemInstruction":{"parts":[{"text":"S"}]},"contents":[{"parts":[{"text":"a"}]},{"role":"model",`+
			`"parts":[{"text":"b"}]},{"role":"user","parts":[{"text":"c"}]}]}`)
	if _, ok := s.Prompts().Prompts[simtest.Key("sim", "S", "a", "b", "c")]; !ok {
		t.Errorf("%+v", s.Prompts().Prompts)
	}
}

func TestGeminiTools(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	_, _, body := askGemini(t, s, "/v1beta/models/sim:generateContent", "k",
		`{"contents":[{"role":"user","parts":[{"text":"What is the weather?"}]}],
		"tools":[{"functionDeclarations":[{"name":"get_weather","parametersJsonSchema":{"type":"object",
		"properties":{"place_name":{"type":"string"}},"required":["place_name"]}}]}],
		"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`)
	var p geminiPiece
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatal(err)
	}
	part := p.Candidates[0].Content.Parts[0]
	if part.Call == nil || part.Call.Name != "get_weather" || part.Signature == "" ||
		p.Candidates[0].Reason != "STOP" || !strings.Contains(string(part.Call.Args), "place_name") {
		t.Errorf("%s", body)
	}
	status, _, body := askGemini(t, s, "/v1beta/models/sim:generateContent", "k",
		`{"contents":[{"role":"user","parts":[{"text":"w?"}]},
		{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}}]},
		{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"result":"rain in Oslo"}}}]}],
		"tools":[{"functionDeclarations":[{"name":"f"}]}]}`)
	if status != 200 || !strings.Contains(body, `"text"`) {
		t.Errorf("after the result: %d %s", status, body)
	}
}

func TestGeminiThoughts(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	_, _, body := askGemini(t, s, "/v1beta/models/sim:generateContent", "k",
		`{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"thinkingConfig":{"includeThoughts":true,`+
			`"thinkingBudget":50},"candidateCount":2}}`)
	var p geminiPiece
	if err := json.Unmarshal([]byte(body), &p); err != nil || len(p.Candidates) != 2 ||
		!p.Candidates[0].Content.Parts[0].Thought {
		t.Fatalf("%v %s", err, body)
	}
	u := p.RawUsage
	if u["thoughtsTokenCount"] == 0 ||
		u["promptTokenCount"]+u["candidatesTokenCount"]+u["thoughtsTokenCount"] != u["totalTokenCount"] {
		t.Errorf("%v", u)
	}
}

func TestGeminiErrors(t *testing.T) {
	s := New(Config{Keys: []string{"k"}, Limits: Limits{Requests: 1}})
	defer s.Close()
	for _, tc := range []struct {
		path, key, body string
		status          int
		want            []string
	}{
		{"/v1beta/models/sim:generateContent", "wrong", geminiHello, 400, []string{"API_KEY_INVALID", "INVALID_ARGUMENT"}},
		{"/v1beta/models/sim:generateContent", "k", `{"contents":[{"parts":[{"text":"a"}]}],"stream":true}`, 400,
			[]string{`Unknown name \"stream\"`}},
		{"/v1beta/models/sim:generateContent", "k", `{"contents":[]}`, 400, []string{"contents is not specified"}},
		{"/v1beta/models/sim:generateContent", "k", `{"contents":[{"role":"assistant","parts":[{"text":"a"}]}]}`, 400,
			[]string{"valid role"}},
		{"/v1beta/models/sim:generateContent", "k", geminiHello, 200, []string{"candidates"}},
		{"/v1beta/models/sim:streamGenerateContent?alt=sse", "k", geminiHello, 429,
			[]string{"RESOURCE_EXHAUSTED", "QuotaFailure", "PerMinute", `"quotaValue": "1"`, "retryDelay"}},
	} {
		status, _, body := askGemini(t, s, tc.path, tc.key, tc.body)
		for _, want := range tc.want {
			if status != tc.status || !strings.Contains(body, want) {
				t.Errorf("%s: %d %s, want %d and %s", tc.body, status, body, tc.status, want)
			}
		}
	}
}

func FuzzGemini(f *testing.F) {
	f.Add(geminiHello)
	f.Add(`{"contents":[{"parts":[{"functionCall":{"name":"f"}},{"inline_data":{"mime_type":"image/png",` +
		`"data":"x"}}]}],"tools":[{}],"toolConfig":{"functionCallingConfig":{"mode":"any"}}}`)
	s := New(Config{})
	f.Fuzz(func(t *testing.T, body string) {
		status, _, text := askGemini(t, s, "/v1beta/models/sim:generateContent", "k", body)
		if !json.Valid([]byte(text)) || status >= 500 {
			t.Fatalf("%q: %d %q", body, status, text)
		}
	})
}
