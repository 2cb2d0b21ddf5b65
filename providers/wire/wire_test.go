package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/secrets"
	"nightshift/providers/wire"
)

const key = "sk-test-0123456789abcdef"

const chatAnswer = `{"id":"c","model":"m","choices":[{"index":0,"message":{"content":"Hi"},` +
	`"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`

// endpoint is a chat endpoint at a base URL.
func endpoint(base string) providers.Endpoint {
	return providers.Endpoint{Name: "e", Protocol: nightshift.Chat, BaseURL: base,
		Auth: providers.Auth{Scheme: providers.AuthBearer}}
}

func build(t testing.TB, e providers.Endpoint, rt http.RoundTripper) *wire.Wire {
	t.Helper()
	w, err := wire.New(wire.Config{Endpoint: e, Key: secrets.New(key), Transport: rt})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.CloseIdleConnections)
	return w
}

// answering is a transport that answers everything with a body.
func answering(body io.Reader) roundTrip {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(body), ContentLength: -1}, nil
	}
}

var plain = providers.Prepared{Body: []byte(`{"model":"m"}`), Model: "m", Hash: "hash"}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]wire.Config{
		"no key":            {Endpoint: endpoint("https://a.test")},
		"base_url":          {Endpoint: endpoint(""), Key: secrets.New(key)},
		"plain http":        {Endpoint: endpoint("http://a.test"), Key: secrets.New(key)},
		"user name":         {Endpoint: endpoint("https://u:" + key + "@a.test"), Key: secrets.New(key)},
		"protocol":          {Endpoint: providers.Endpoint{BaseURL: "https://a.test", Auth: providers.Auth{Scheme: "none"}}},
		"keys belong in au": {Endpoint: endpoint("https://a.test?api_key=" + key), Key: secrets.New(key)},
	} {
		w, err := wire.New(c)
		if err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v, %v", name, w, err)
		}
	}
}

func TestWireDoesNotShowItsKey(t *testing.T) {
	w := build(t, endpoint("https://a.test"), nil)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		holder := struct {
			W *wire.Wire
			w *wire.Wire
		}{w, w}
		if got := fmt.Sprintf(verb+verb, w, holder); strings.Contains(got, "0123456789") ||
			strings.Contains(got, fmt.Sprintf("%x", key)) {
			t.Errorf("%s shows %s", verb, got)
		}
	}
}

// endless gives the same bytes for ever.
type endless struct {
	head, fill string
	at         int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.head != "" {
		n := copy(p, e.head)
		e.head = e.head[n:]
		return n, nil
	}
	n := 0
	for n < len(p) {
		m := copy(p[n:], e.fill[e.at:])
		n += m
		e.at = (e.at + m) % len(e.fill)
	}
	return n, nil
}

func TestDefaultCaps(t *testing.T) {
	event := `data: {"choices":[{"index":0,"delta":{"content":"` + strings.Repeat("x", 1<<20) + `"}}]}` + "\n\n"
	for _, tc := range []struct {
		name string
		body io.Reader
		read int
	}{
		{"a body", &endless{head: `{"a":"`, fill: strings.Repeat("x", 4096)}, wire.DefaultMaxBody},
		{"blanks", &endless{fill: strings.Repeat(" \n", 4096)}, wire.DefaultMaxBody},
		{"a stream", &endless{fill: event}, wire.DefaultMaxBody},
		{"a line", &endless{head: "data: ", fill: strings.Repeat("x", 4096)}, wire.DefaultMaxLine},
	} {
		x := build(t, endpoint("https://a.test"), answering(tc.body)).Send(t.Context(), plain)
		if x.Err == nil || x.Err.Class != nightshift.ClassTooLong || !x.Err.MaybeBilled {
			t.Errorf("%s: %v", tc.name, x.Err)
		}
		if got := len(x.Response.Raw); got < tc.read || got > tc.read+1<<20 {
			t.Errorf("%s: %d bytes kept, want about %d", tc.name, got, tc.read)
		}
	}
}

func TestPathIsExplained(t *testing.T) {
	page := func(status int, body string) roundTrip {
		return func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
		}
	}
	const html = "<html><title>One API</title></html>"
	for _, tc := range []struct {
		base   string
		path   string
		status int
		body   string
		hint   string
	}{
		{"https://a.test/openapi", "", 200, html, "did you mean https://a.test/openapi/v1/chat/completions?"},
		{"https://a.test", "/chat/completions", 200, html, "did you mean https://a.test/v1/chat/completions?"},
		{"https://a.test/v1", "", 200, html, "did you mean https://a.test/api/v1/chat/completions?"},
		{"https://a.test/openapi", "", 404, html, "did you mean https://a.test/openapi/v1/chat/completions?"},
		{"https://a.test/openapi", "", 404, `{"error":{"message":"Invalid URL (POST /openapi/chat/completions)"}}`,
			"did you mean https://a.test/openapi/v1/chat/completions?"},
		{"https://a.test/openapi", "", 404, `{"detail":"Not Found"}`, "did you mean"},
		{"https://a.test/v1", "", 404, `{"error":{"code":"model_not_found","message":"The model x does not exist"}}`,
			"check the model's name"},
		{"https://a.test/v1beta/openai", "", 404, "", "check base_url and path"},
	} {
		e := endpoint(tc.base)
		e.Path = tc.path
		x := build(t, e, page(tc.status, tc.body)).Send(t.Context(), plain)
		if x.Err == nil || !strings.Contains(x.Err.Hint, tc.hint) {
			t.Errorf("%s%s: %v, want a hint with %q", tc.base, tc.path, x.Err, tc.hint)
		}
	}
}

func TestWhatGoesOut(t *testing.T) {
	var got *http.Request
	see := func(r *http.Request) (*http.Response, error) {
		got = r
		return answering(strings.NewReader(chatAnswer))(r)
	}
	e, _ := providers.Lookup("azure-openai", "", nil)
	e.BaseURL = "https://r.openai.azure.com/"
	e.Path = "/openai/deployments/{model}/chat/completions?api-version=2024-10-21"
	e.IdempotencyHeader = "Idempotency-Key"
	e.Headers = map[string]string{"x-team": "evals", "user-agent": ""}
	p := plain
	p.Model, p.Key = "my dep/1", "row-7"
	x := build(t, e, roundTrip(see)).Send(t.Context(), p)
	if x.Err != nil {
		t.Fatal(x.Err)
	}
	if want := "https://r.openai.azure.com/openai/deployments/my%20dep%2F1/chat/completions?api-version=2024-" +
		"10-21"; got.URL.String() != want {
		t.Errorf("URL %s, want %s", got.URL, want)
	}
	if got.Header.Get("Api-Key") != key || got.Header.Get("Authorization") != "" ||
		got.Header.Get("X-Team") != "evals" || got.Header.Get("User-Agent") != "" {
		t.Errorf("headers %v", got.Header)
	}
	name := strings.ToLower(e.IdempotencyHeader)
	if values := got.Header[name]; len(values) != 1 || values[0] != "row-7" || got.GetBody != nil {
		t.Error("the idempotency key is missing, or net/http may send twice because of it")
	}
	if len(x.Response.Flags) != 0 {
		t.Errorf("flags %v: a deployment's name is no model's", x.Response.Flags)
	}
}

// A connection that turns out to be dead before anything was written is no
// attempt.
func TestUnsentIsSentAgain(t *testing.T) {
	calls := 0
	x := build(t, endpoint("https://a.test"), roundTrip(func(r *http.Request) (*http.Response, error) {
		if calls++; calls == 1 {
			return nil, errors.New("net/http: cannot rewind body after connection loss")
		}
		return answering(strings.NewReader(chatAnswer))(r)
	})).Send(t.Context(), plain)
	if x.Err != nil || calls != 2 {
		t.Errorf("%d calls, %v", calls, x.Err)
	}
}

func TestHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto)
		w.Header().Set("Request-Id", r.Proto)
		_, _ = io.Copy(io.Discard, r.Body)
		io.WriteString(w, chatAnswer)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	transport := wire.NewTransport(0)
	transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	defer transport.CloseIdleConnections()
	x := build(t, endpoint(server.URL), transport).Send(t.Context(), plain)
	if x.Err != nil || x.Response.RequestID != "HTTP/2.0" {
		t.Errorf("%v over %s", x.Err, x.Response.RequestID)
	}
}

func TestCancelledBeforeSending(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request came") }))
	defer server.Close()
	x := build(t, endpoint(server.URL), nil).Send(ctx, plain)
	if x.Err == nil || x.Err.Class != nightshift.ClassCancelled || x.Err.MaybeBilled || x.Sent {
		t.Errorf("%+v, sent %v", x.Err, x.Sent)
	}
}

// A step is something that a slow body does.
type step struct {
	after time.Duration
	text  string
}

// slow is a body that comes in steps, under the clock of the test.
type slow struct {
	ctx   context.Context
	steps []step
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.steps) == 0 {
		return 0, io.EOF
	}
	select {
	case <-time.After(s.steps[0].after):
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	}
	n := copy(p, s.steps[0].text)
	s.steps = s.steps[1:]
	return n, nil
}

func (s *slow) Close() error { return nil }

// Timeouts are those of the endpoint to the millisecond, and count what is
// progress: bytes of a whole answer, content of a stream.
func TestTimeouts(t *testing.T) {
	content := `data: {"choices":[{"index":0,"delta":{"content":"x"}}]}` + "\n\n"
	end := `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	const comment = ": ping\n\n"
	every := func(n int, after time.Duration, text string) []step {
		var steps []step
		for range n {
			steps = append(steps, step{after, text})
		}
		return steps
	}
	for _, tc := range []struct {
		name   string
		stream bool
		header time.Duration // until the headers come
		steps  []step
		class  nightshift.ErrorClass
		at     time.Duration // when Send returns
	}{
		{"headers too late", false, time.Hour, nil, nightshift.ClassTimeoutFirstByte, 10 * time.Minute},
		{"headers late", false, 9 * time.Minute, every(1, 0, chatAnswer), "", 9 * time.Minute},
		{"body too late", false, 0, every(1, time.Hour, chatAnswer), nightshift.ClassTimeoutFirstByte, 10 * time.Minute},
		{"blanks are progress of a whole answer", false, 0,
			append(every(20, 50*time.Second, "\n"), step{0, chatAnswer}), "", 1000 * time.Second},
		{"a whole answer stops", false, 0, append(every(1, time.Second, `{"id":`), step{time.Hour, ""}),
			nightshift.ClassTimeoutIdle, 61 * time.Second},
		{"blanks for ever", false, 0, every(200, 50*time.Second, "\n"), nightshift.ClassTimeoutTotal, 30 * time.Minute},
		{"comments are no content", true, 0, every(1000, 10*time.Second, comment), nightshift.ClassTimeoutFirstByte,
			10 * time.Minute},
		{"comments, then content", true, 0, append(every(50, 10*time.Second, comment), step{0, content}, step{0, end}),
			"", 500 * time.Second},
		{"content stops", true, 0, append(every(3, 20*time.Second, content), every(1000, 10*time.Second, comment)...),
			nightshift.ClassTimeoutIdle, 2 * time.Minute},
		{"content for ever", true, 0, every(1000, 20*time.Second, content), nightshift.ClassTimeoutTotal, 30 * time.Minute},
		{"whole, and the end of the body does not come", true, 0,
			[]step{{time.Second, content}, {0, end}, {0, "data: [DONE]\n\n"}, {time.Hour, ""}}, "", 1500 * time.Millisecond},
		{"finished, and nothing more comes", true, 0, []step{{time.Second, content}, {0, end}, {time.Hour, ""}}, "",
			61 * time.Second},
		{"a whole answer, and the end of the body does not come", false, 0,
			[]step{{time.Second, chatAnswer}, {time.Hour, ""}}, "", 61 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := build(t, endpoint("https://a.test"), roundTrip(func(r *http.Request) (*http.Response, error) {
					select {
					case <-time.After(tc.header):
					case <-r.Context().Done():
						return nil, r.Context().Err()
					}
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: &slow{r.Context(), tc.steps},
						ContentLength: -1}, nil
				}))
				p := plain
				p.Stream = tc.stream
				began := time.Now()
				x := w.Send(t.Context(), p)
				if got := time.Since(began); got != tc.at {
					t.Errorf("returned after %v, want %v", got, tc.at)
				}
				switch {
				case tc.class == "" && x.Err != nil:
					t.Errorf("%v (%v)", x.Err, x.Err.Err)
				case tc.class != "" && (x.Err == nil || x.Err.Class != tc.class || !x.Err.MaybeBilled):
					t.Errorf("%+v, want %s", x.Err, tc.class)
				}
				if strings.HasPrefix(tc.name, "whole") && x.Response.Latency != time.Second {
					t.Errorf("latency %v counts the wait for the body's end", x.Response.Latency)
				}
			})
		})
	}
}

func TestCancelKeepsWhatCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		w := build(t, endpoint("https://a.test"), roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: &slow{r.Context(), []step{
				{0, `data: {"choices":[{"index":0,"delta":{"content":"some"}}]}` + "\n\n"}, {time.Minute, ""}}}}, nil
		}))
		time.AfterFunc(time.Second, func() { cancel(errors.New("second Ctrl-C")) })
		p := plain
		p.Stream = true
		x := w.Send(ctx, p)
		if x.Err == nil || x.Err.Class != nightshift.ClassCancelled || !x.Err.MaybeBilled ||
			!strings.Contains(x.Err.Message, "second Ctrl-C") {
			t.Errorf("%+v", x.Err)
		}
		if x.Response.Text == nil || *x.Response.Text != "some" ||
			x.Response.FirstToken != 0 && x.Response.FirstToken > time.Second {
			t.Errorf("kept %v", x.Response.Text)
		}
	})
}

// A second answer in one stream, from another upstream, is never joined to
// the first.
func TestTwoAnswersInOneStream(t *testing.T) {
	start := func(id string) string {
		return `data: {"type":"message_start","message":{"id":"` + id + `","content":[],"usage":{"input_tokens":5,` +
			`"output_tokens":1}}}` + "\n\n" +
			`data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n\n"
	}
	part := func(text string) string {
		return `data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + text + `"}}` + "\n\n"
	}
	body := start("a") + part("first half") + start("b") + part("all of it") +
		`data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}` + "\n\n" +
		`data: {"type":"message_stop"}` + "\n\n"
	x := build(t, endpoint("https://a.test"), answering(strings.NewReader(body))).Send(t.Context(), plain)
	if x.Err != nil && x.Err.Class != nightshift.ClassCut {
		t.Fatal(x.Err)
	}
	if x.Err == nil && (x.Response.Text == nil || *x.Response.Text != "all of it" || len(x.Response.Flags) == 0) {
		t.Errorf("text %v, flags %v", x.Response.Text, x.Response.Flags)
	}
}

func BenchmarkSend(b *testing.B) {
	text := strings.Repeat("Some words of an answer. ", 80)
	whole := strings.Replace(chatAnswer, "Hi", text, 1)
	var stream bytes.Buffer
	for range 100 {
		stream.WriteString(`data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,` +
			`"delta":{"content":"Some words of an answer."},"finish_reason":null}]}` + "\n\n")
	}
	stream.WriteString(`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n")
	for name, body := range map[string]string{"whole": whole, "stream": stream.String()} {
		b.Run(name, func(b *testing.B) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				io.WriteString(w, body)
			}))
			defer server.Close()
			w := build(b, endpoint(server.URL), nil)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if x := w.Send(context.Background(), plain); x.Err != nil {
						b.Error(x.Err)
					}
				}
			})
		})
	}
}

func BenchmarkSendInMemory(b *testing.B) {
	text := strings.Repeat("Some words of an answer. ", 80)
	body := strings.Replace(chatAnswer, "Hi", text, 1)
	w := build(b, endpoint("https://a.test"), roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)),
			ContentLength: int64(len(body))}, nil
	}))
	b.ReportAllocs()
	for b.Loop() {
		if x := w.Send(context.Background(), plain); x.Err != nil {
			b.Fatal(x.Err)
		}
	}
}

// TestErrorsThatStateUsage: what a reply says that it used is billed, also
// where it is no answer. What says nothing is left open where a model may have
// written something.
func TestErrorsThatStateUsage(t *testing.T) {
	const chatUsage, messagesUsage = `"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}`,
		`"usage":{"input_tokens":700,"cache_read_input_tokens":300,"output_tokens":500}`
	for _, tc := range []struct {
		name     string
		protocol nightshift.Protocol
		status   int
		body     string
		class    nightshift.ErrorClass
		in       int64 // -1 where nothing is stated
		maybe    bool
	}{
		{"an error", "chat", 200, `{"error":{"message":"The upstream broke off","code":502},` + chatUsage + `}`,
			"server", 1000, false},
		{"an error beside a part of an answer", "chat", 200,
			`{"error":{"message":"broke off","code":502},"choices":[{"index":0,"message":{"content":"par"},` +
				`"finish_reason":"error"}],` + chatUsage + `}`, "server", 1000, false},
		{"MiniMax", "chat", 200,
			`{"choices":[{"message":{"content":""},"finish_reason":"stop"}],` + chatUsage + `,"base_resp":{` +
				`"status_code":1027,"status_msg":"sensitive output"}}`, "content_policy", 1000, false},
		{"no choices", "chat", 200, `{"choices":null,` + chatUsage + `}`, "bad_response", 1000, false},
		{"choices left out", "chat", 200, `{"id":"x",` + chatUsage + `}`, "bad_response", 1000, false},
		{"an envelope", "chat", 200,
			`{"code":1,"message":"no","data":{"error":{"message":"broke off","code":502},` + chatUsage + `}}`, "server",
			1000, false},
		{"a refusal by status", "chat", 500, `{"error":{"message":"broke off"},` + chatUsage + `}`, "server", 1000, false},
		{"an error of the other format", "messages", 200,
			`{"type":"error","error":{"type":"api_error","message":"broke off"},` + messagesUsage + `}`, "server", 1000, false},
		{"the other format by its status", "messages", 529,
			`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},` + messagesUsage + `}`,
			"overloaded", 1000, false},
		{"zeros", "chat", 200,
			`{"error":{"message":"slow down","code":429},"usage":{"prompt_tokens":0,"completion_tokens":0}}`,
			"rate_limit", -1, false},
		{"nothing stated, the upstream failed", "chat", 200, `{"error":{"message":"broke off","code":502}}`, "server",
			-1, true},
		{"nothing stated beside words", "chat", 200,
			`{"error":{"message":"no","code":429},"choices":[{"message":{"content":"par"},"finish_reason":"stop"}]}`,
			"rate_limit", -1, true},
		{"nothing stated, nothing begun", "chat", 200, `{"error":{"message":"slow down","code":429}}`, "rate_limit", -1,
			false},
		{"nothing stated, by its status", "chat", 500, `{"error":{"message":"broke off"}}`, "server", -1, false},
	} {
		e := endpoint("https://a.test")
		e.Protocol = tc.protocol
		x := build(t, e, roundTrip(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: tc.status, Header: http.Header{},
				Body: io.NopCloser(strings.NewReader(tc.body)), ContentLength: -1}, nil
		})).Send(t.Context(), plain)
		u := x.Response.Usage
		in, known := u.InputTotal().Get()
		if !known {
			in = -1
		}
		if x.Err == nil || x.Err.Class != tc.class || in != tc.in || x.Err.MaybeBilled != tc.maybe ||
			(tc.in > 0) != (u.Output.N() == 500) {
			t.Errorf("%s: %v, maybe billed %v, usage %+v", tc.name, x.Err, x.Err != nil && x.Err.MaybeBilled, u)
		}
	}
}

// An error object in which nothing is said stands beside good answers.
func TestErrorsThatSayNothing(t *testing.T) {
	const message = `{"type":"message","id":"m","model":"m","content":[{"type":"text","text":"Hi"}],` +
		`"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}`
	for _, fault := range []string{`{}`, `[]`, `null`, `""`, `false`, `0`,
		`{"message":"","type":"","param":"","code":null}`, `{"code":0,"details":[{}]}`} {
		for _, body := range []string{chatAnswer, message,
			strings.Replace(chatAnswer, `{`, `{"base_resp":{"status_code":0},`, 1)} {
			body = strings.Replace(body, `{`, `{"error":`+fault+`,`, 1)
			for _, body := range []string{body, `{"data":` + body + `}`,
				strings.Replace(body, `"index":0`, `"index":0,"error":`+fault, 1)} {
				x := build(t, endpoint("https://a.test"), answering(strings.NewReader(body))).Send(t.Context(), plain)
				if x.Err != nil || x.Response.Text == nil || *x.Response.Text != "Hi" || !x.Response.Usage.Output.Known() {
					t.Errorf("%s: %v", body, x.Err)
				}
			}
		}
	}
	for _, body := range []string{`{"error":{}}`, `{"error":{"message":"no"},` + chatAnswer[1:]} {
		if x := build(t, endpoint("https://a.test"), answering(strings.NewReader(body))).Send(t.Context(),
			plain); x.Err == nil {
			t.Errorf("%s is taken for an answer", body)
		}
	}
}

// LiteLLM's proxy says in a header what an answer cost.
func TestCostInAHeader(t *testing.T) {
	for _, tc := range []struct {
		header, usage string
		want          int64 // nano-dollars; -1 for none
	}{
		{"0.000123", `{"prompt_tokens":1,"completion_tokens":1}`, 123_000},
		{"1.5e-05", `null`, 15_000},
		{"0.5", `{"prompt_tokens":1,"completion_tokens":1,"cost":0.25}`, 250_000_000},
		{"0.0", `{"prompt_tokens":1,"completion_tokens":1}`, -1},
		{"None", `{"prompt_tokens":1,"completion_tokens":1}`, -1},
		{"NaN", `{"prompt_tokens":1,"completion_tokens":1}`, -1},
		{"", `{"prompt_tokens":1,"completion_tokens":1}`, -1},
	} {
		body := `{"choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":` + tc.usage + `}`
		stream := `data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}],` +
			`"usage":` + tc.usage + "}\n\ndata: [DONE]\n\n"
		for _, body := range []string{body, stream} {
			x := build(t, endpoint("https://a.test"), roundTrip(func(*http.Request) (*http.Response, error) {
				h := http.Header{}
				h.Set("x-litellm-response-cost", tc.header)
				return &http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(strings.NewReader(body)),
					ContentLength: -1}, nil
			})).Send(t.Context(), plain)
			got := int64(-1)
			if c := x.Response.Usage.Reported; c != nil {
				got = int64(*c)
			}
			if x.Err != nil || got != tc.want {
				t.Errorf("%q, usage %s: %d, %v", tc.header, tc.usage, got, x.Err)
			}
		}
	}
}

// How many answers were asked for decides what several, and too few, are.
func TestChoicesAskedFor(t *testing.T) {
	blocks := `data: {"id":"c","choices":[{"index":0,"delta":{"reasoning_content":"2+2"}}]}` + "\n\n" +
		`data: {"id":"c","choices":[{"index":1,"delta":{"content":"4"}}]}` + "\n\n" +
		`data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,` +
		`"completion_tokens":1}}` + "\n\ndata: [DONE]\n\n"
	for _, tc := range []struct {
		name, params, body string
		class              nightshift.ErrorClass
		flag               string
	}{
		{"blocks as choices", `{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}`, blocks, "",
			"choices_joined"},
		{"two choices, one without an end",
			`{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true,"n":2}`, blocks, "cut", ""},
		{"one of two", `{"model":"m","messages":[{"role":"user","content":"x"}],"n":2}`, chatAnswer, "", "choices_missing"},
		{"one of one", `{"model":"m","messages":[{"role":"user","content":"x"}],"n":1}`, chatAnswer, "", ""},
		{"two of two", `{"model":"m","messages":[{"role":"user","content":"x"}],"n":2}`,
			strings.Replace(chatAnswer, `"choices":[`,
				`"choices":[{"index":1,"message":{"content":"Ho"},"finish_reason":"stop"},`, 1), "", ""},
	} {
		w := build(t, endpoint("https://a.test"), answering(strings.NewReader(tc.body)))
		p, err := w.Prepare(nightshift.Request{Model: "m", Body: []byte(tc.params), BodyProtocol: nightshift.Chat})
		if err != nil {
			t.Fatal(err)
		}
		x := w.Send(t.Context(), p)
		var class nightshift.ErrorClass
		if x.Err != nil {
			class = x.Err.Class
		}
		if class != tc.class || strings.Join(x.Response.Flags, ",") != tc.flag {
			t.Errorf("%s: %v, flags %v", tc.name, x.Err, x.Response.Flags)
		}
		if tc.flag == "choices_joined" && (*x.Response.Text != "4" || *x.Response.Thinking != "2+2") {
			t.Errorf("%s: %q, %q", tc.name, *x.Response.Text, *x.Response.Thinking)
		}
	}
}
