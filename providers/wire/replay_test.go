package wire_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/secrets"
	"nightshift/providers/wire"
)

// A recording is one recorded exchange.
type recording struct {
	name    string
	Request struct {
		URL  string
		Body string
	}
	Response struct {
		Status  int
		Headers map[string]string
		Body    string
	}
}

func (r recording) protocol() nightshift.Protocol {
	if strings.HasPrefix(r.name, "messages") {
		return nightshift.Messages
	}
	return nightshift.Chat
}

func (r recording) streamed() bool {
	text := strings.TrimSpace(r.Response.Body)
	return strings.HasPrefix(text, "data:") || strings.HasPrefix(text, "event:") || strings.HasPrefix(text, ":")
}

func (r recording) model() string {
	var body struct{ Model string }
	_ = json.Unmarshal([]byte(r.Request.Body), &body)
	return body.Model
}

func (r recording) header() http.Header {
	h := http.Header{}
	for name, value := range r.Response.Headers {
		switch name {
		case "content-length", "transfer-encoding", "content-encoding", "connection":
		default:
			h.Set(name, value)
		}
	}
	return h
}

// inference are the exchanges of inference calls; batches are another API.
func inference(t *testing.T) []recording {
	files, err := filepath.Glob(filepath.Join(sharedDir(t), "recorded", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []recording
	for _, file := range files {
		if strings.Contains(file, "-batch-") {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := recording{name: strings.TrimSuffix(filepath.Base(file), ".json")}
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, r)
	}
	if len(all) < 100 {
		t.Fatalf("%d recordings", len(all))
	}
	return all
}

// failures are the recorded exchanges that are no answers, read by a person.
var failures = map[string]nightshift.ErrorClass{
	"chat-error-01": "auth", "chat-error-02": "not_found", "chat-error-03": "invalid_request",
	"chat-error-04": "invalid_request",
	"chat-error-05": "auth", "chat-error-06": "auth", "chat-error-07": "auth", "chat-error-08": "context_length",
	"chat-error-09": "context_length",
	"chat-error-10": "rate_limit", "chat-error-11": "rate_limit", "chat-error-12": "rate_limit", "chat-error-13": "server",
	"chat-filter-02": "content_policy", "chat-groq-02": "invalid_request", "chat-groq-03": "invalid_request",
	"chat-reported-01": "quota", "chat-reported-02": "quota", "chat-reported-03": "rate_limit",
	"chat-reported-04": "not_found", "chat-reported-05": "rate_limit",
	"messages-error-01": "auth", "messages-error-02": "context_length", "messages-error-03": "not_found",
	"messages-error-04": "invalid_request",
	"messages-error-05": "rate_limit", "messages-error-06": "invalid_request", "messages-reported-01": "overloaded",
}

// wordless are the recorded answers without a text of their own.
var wordless = []string{
	"chat-cache-02", "chat-filter-01", "chat-gemini-01", "chat-openrouter-03", "chat-stream-tool-01",
	"chat-stream-tool-02", "chat-tool-01", "chat-tool-02",
	"chat-tool-03", "chat-tool-04", "chat-tool-05", "chat-ollama-01", "messages-empty-01", "messages-tool-01",
	"messages-tool-02", "messages-stream-tool-01",
}

// otherModels are the recorded answers that name another model than was
// asked. Dates, vendors' prefixes and the order of the words are no other.
//
// The Azure one names a deployment, which only the real URL shows.
var otherModels = []string{"chat-deepseek-01", "chat-deepseek-03", "chat-filter-01", "chat-xai-01"}

func (r recording) endpoint(base string) providers.Endpoint {
	e := providers.Endpoint{Name: r.name, Protocol: r.protocol(), BaseURL: base,
		Auth: providers.Auth{Scheme: providers.AuthNone}}
	e.DoneMarkerOnly = strings.Contains(r.name, "snowflake")
	return e
}

func (r recording) send(t *testing.T, base string, transport http.RoundTripper) providers.Exchange {
	t.Helper()
	e := r.endpoint(base)
	w, err := wire.New(wire.Config{Endpoint: e, Key: secrets.Secret{}, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	defer w.CloseIdleConnections()
	return w.Send(t.Context(), providers.Prepared{Body: []byte(`{}`), Stream: r.streamed(), Model: r.model(), Hash: "h"})
}

// Every recorded exchange comes back through a real server with the right
// class, or as an answer.
func TestReplay(t *testing.T) {
	for _, r := range inference(t) {
		t.Run(r.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for name, values := range r.header() {
					w.Header()[name] = values
				}
				w.WriteHeader(r.Response.Status)
				io.WriteString(w, r.Response.Body)
			}))
			defer server.Close()
			x := r.send(t, server.URL, nil)
			r.check(t, x)
		})
	}
}

func (r recording) check(t *testing.T, x providers.Exchange) {
	t.Helper()
	if want := failures[r.name]; want != "" {
		if x.Err == nil || x.Err.Class != want || x.Err.Status != r.Response.Status {
			t.Errorf("%v, want class %s", x.Err, want)
		}
		if string(x.Response.Raw) != r.Response.Body {
			t.Error("the raw body is not kept")
		}
		return
	}
	if x.Err != nil {
		t.Fatalf("%v (%v)", x.Err, x.Err.Err)
	}
	if string(x.Response.Raw) != r.Response.Body {
		t.Error("the raw body is not kept")
	}
	hasText := x.Response.Text != nil && *x.Response.Text != ""
	if hasText == slices.Contains(wordless, r.name) {
		t.Errorf("text: %v", hasText)
	}
	if got := slices.Contains(x.Response.Flags, "model_mismatch"); got != slices.Contains(otherModels, r.name) {
		t.Errorf("mismatch flagged: %v (asked %q, served %q)", got, r.model(), x.Response.ServedModel)
	}
}

// canned answers every request with one body, without a network.
type canned struct {
	r    recording
	body io.Reader
}

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, req.Body)
	return &http.Response{StatusCode: c.r.Response.Status, Header: c.r.header(), Body: io.NopCloser(c.body),
		ContentLength: -1, Request: req}, nil
}

// oneByte gives a byte at a time.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// Delivered a byte at a time, every exchange comes back the same.
func TestReplayByteByByte(t *testing.T) {
	for _, r := range inference(t) {
		if len(r.Response.Body) > 40_000 && os.Getenv("NIGHTSHIFT_LONG") == "" {
			continue
		}
		x := r.send(t, "http://localhost", canned{r, oneByte{strings.NewReader(r.Response.Body)}})
		t.Run(r.name, func(t *testing.T) { r.check(t, x) })
	}
}

// Cut at the end of every event, a stream is either whole or cut, never
// anything else, and keeps a part of its text.
func TestReplayCut(t *testing.T) {
	for _, r := range inference(t) {
		if !r.streamed() || failures[r.name] != "" {
			continue
		}
		t.Run(r.name, func(t *testing.T) { r.cutEverywhere(t) })
	}
}

func (r recording) cutEverywhere(t *testing.T) {
	full := r.send(t, "http://localhost", canned{r, strings.NewReader(r.Response.Body)}).Response
	whole := false
	for _, at := range cuts(r.Response.Body) {
		for _, end := range []error{io.EOF, io.ErrUnexpectedEOF} {
			part := io.MultiReader(strings.NewReader(r.Response.Body[:at]), &failing{end})
			x := r.send(t, "http://localhost", canned{r, part})
			if x.Response.Text != nil && full.Text != nil && !strings.HasPrefix(*full.Text, *x.Response.Text) &&
				!slices.Contains(x.Response.Flags, "think_tags") {
				t.Errorf("cut at %d: text %q is not the beginning of %q", at, *x.Response.Text, *full.Text)
			}
			switch {
			case x.Err == nil:
				whole = true
			case whole && end == io.EOF:
				t.Errorf("cut at %d: %v, though it was whole before", at, x.Err)
			case x.Err.Class != nightshift.ClassCut && x.Err.Class != nightshift.ClassEmptyResponse:
				t.Errorf("cut at %d: %v", at, x.Err)
			case !x.Err.MaybeBilled:
				t.Errorf("cut at %d: certainly not billed?", at)
			}
			if at < len(r.Response.Body)/2 && x.Err == nil {
				t.Errorf("cut at %d of %d: passes for whole", at, len(r.Response.Body))
			}
		}
	}
	if !whole {
		t.Error("never whole")
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// cuts are the ends of events. Long streams are cut at forty places.
func cuts(body string) []int {
	var at []int
	for i := 0; i+1 < len(body); i++ {
		if body[i] == '\n' && (body[i+1] == '\n' || body[i+1] == '\r') {
			at = append(at, i+1)
		}
	}
	step := max(1, len(at)/40)
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		step = 1
	}
	var some []int
	for i := 0; i < len(at); i += step {
		some = append(some, at[i])
	}
	return append(some, len(body))
}

func TestSimilarNames(t *testing.T) {
	for _, tc := range []struct {
		asked, served string
		same          bool
	}{
		{"gpt-4o", "gpt-4o-2024-08-06", true},
		{"gpt-4", "gpt-4-0613", true},
		{"gpt-3.5-turbo", "gpt-3.5-turbo-0125", true},
		{"gpt-4o", "gpt-4o-mini", false},
		{"claude-sonnet-4-5", "claude-sonnet-4-5-20250929", true},
		{"claude-3-7-sonnet-latest", "claude-3-7-sonnet-20250219", true},
		{"anthropic/claude-haiku-4.5", "anthropic/claude-4.5-haiku-20251001", true},
		{"meta-llama/llama-3.2-3b-instruct:free", "meta-llama/llama-3.2-3b-instruct", true},
		{"claude-opus-4-6", "claude-sonnet-4-6", false},
		{"llama3", "llama3:latest", true},
		{"gpt-oss:120b", "gpt-oss:20b", false},
		{"gemini-2.5-pro-preview-05-06", "gemini-2.5-pro-preview", true},
		{"gpt-5", "gpt-5.1", false},
		{"claude-sonnet-4-0", "claude-sonnet-4-20250514", true},
		{"mistral-large", "mistral-large-2411", true},
		{"claude-sonnet-4", "claude-sonnet-4@20250514", true},
		{"gpt-3.5-turbo-instruct", "gpt-3.5-turbo-instruct:20230824-v2", true},
		{"davinci-002", "davinci:2023-07-21-v2", true},
	} {
		e := providers.Endpoint{Name: "x", Protocol: nightshift.Chat, BaseURL: "http://localhost",
			Auth: providers.Auth{Scheme: providers.AuthNone}}
		body := `{"model":"` + tc.served + `","choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}`
		w, err := wire.New(wire.Config{Endpoint: e, Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader([]byte(body))),
				ContentLength: int64(len(body))}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		x := w.Send(t.Context(), providers.Prepared{Body: []byte(`{}`), Model: tc.asked})
		if x.Err != nil {
			t.Fatal(x.Err)
		}
		if got := !slices.Contains(x.Response.Flags, "model_mismatch"); got != tc.same {
			t.Errorf("%s and %s: same %v", tc.asked, tc.served, got)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	return f(r)
}
