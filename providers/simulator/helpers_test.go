package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"nightshift/providers/simulator/internal/jsontext"
)

// A caller sends requests to a server in one of the two ways.
type caller struct {
	*Server
	name   string
	client *http.Client
	base   string
}

// inProcess reaches a server without sockets.
func inProcess(cfg Config) *caller {
	s := New(cfg)
	return &caller{s, "in process", &http.Client{Transport: s.Transport()}, "http://simulator"}
}

// overTCP reaches a server through a socket of the loopback interface.
func overTCP(t testing.TB, cfg Config) *caller {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(cfg)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != http.ErrServerClosed {
			t.Errorf("Serve = %v, want %v", err, http.ErrServerClosed)
		}
	})
	return &caller{s, "TCP", &http.Client{Transport: transport}, "http://" + l.Addr().String()}
}

// everyWay runs a test both ways.
func everyWay(t *testing.T, cfg Config, f func(t *testing.T, c *caller)) {
	t.Helper()
	t.Run("in process", func(t *testing.T) { f(t, inProcess(cfg)) })
	t.Run("TCP", func(t *testing.T) { f(t, overTCP(t, cfg)) })
}

type got struct {
	status int
	header http.Header
	body   string
	err    error // of the exchange, or of reading its body
}

func (c *caller) post(path, body string, headers ...string) got {
	return c.postCtx(context.Background(), path, body, headers...)
}

func (c *caller) postCtx(ctx context.Context, path, body string, headers ...string) got {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, strings.NewReader(body))
	if err != nil {
		return got{err: err}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return got{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, string(b), err}
}

const (
	messagesPath = "/v1/messages"
	chatPath     = "/v1/chat/completions"
	envelopePath = "/api/v1/messages"
)

// simple is a request of one user message; extra is further fields, each
// with a comma behind it.
func simple(model, prompt, extra string) string {
	return fmt.Sprintf(`{"model":%q,%s"max_tokens":300,"messages":[{"role":"user","content":%s}]}`, model, extra,
		jsontext.Quote(prompt))
}

// An answer is what a client makes of a response.
type answer struct {
	ID, Model, Text, Thinking, Stop, StopSequence string
	Calls                                         []struct{ ID, Name, Arguments string }
	Usage                                         map[string]any
	Choices                                       []string
	Finished                                      bool // the stream said that it was whole
}

// in returns a number of the usage object by its path; -1 when it is absent.
func (a answer) in(path ...string) int64 {
	var v any = a.Usage
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return -1
		}
		v = m[p]
	}
	f, ok := v.(float64)
	if !ok {
		return -1
	}
	return int64(f)
}

// parse reads a response of either protocol, streamed or not. It is written
// for the tests and shares nothing with the code under test.
func parse(t testing.TB, path string, g got) answer {
	t.Helper()
	if g.err != nil {
		t.Fatalf("%s: %v", path, g.err)
	}
	if g.status != 200 {
		t.Fatalf("%s: status %d: %s", path, g.status, g.body)
	}
	stream := strings.HasPrefix(g.header.Get("Content-Type"), "text/event-stream")
	switch {
	case stream && strings.HasSuffix(path, "/messages") && path != envelopePath:
		return parseEvents(t, g.body)
	case stream:
		return parseChunks(t, g.body)
	case path == envelopePath:
		var e struct {
			Success bool
			Code    string
			Data    json.RawMessage
		}
		decode(t, g.body, &e)
		if !e.Success || e.Code != "200" {
			t.Fatalf("envelope: %s", g.body)
		}
		return parseChat(t, string(e.Data))
	case strings.HasSuffix(path, "/messages"):
		return parseMessage(t, g.body)
	}
	return parseChat(t, g.body)
}

func decode(t testing.TB, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

type wireBlockOut struct {
	Type, Text, Thinking, ID, Name, Signature string
	Input                                     json.RawMessage
}

func parseMessage(t testing.TB, body string) answer {
	t.Helper()
	var m struct {
		ID, Type, Role, Model string
		Content               []wireBlockOut
		StopReason            string         `json:"stop_reason"`
		StopSequence          *string        `json:"stop_sequence"`
		Usage                 map[string]any `json:"usage"`
	}
	decode(t, body, &m)
	if m.Type != "message" || m.Role != "assistant" {
		t.Errorf("type %q, role %q", m.Type, m.Role)
	}
	a := answer{ID: m.ID, Model: m.Model, Stop: m.StopReason, Usage: m.Usage, Finished: true}
	if m.StopSequence != nil {
		a.StopSequence = *m.StopSequence
	}
	for _, b := range m.Content {
		a.block(b)
	}
	return a
}

func (a *answer) block(b wireBlockOut) {
	switch b.Type {
	case "text":
		a.Text += b.Text
	case "thinking":
		a.Thinking += b.Thinking
	case "tool_use":
		a.Calls = append(a.Calls, struct{ ID, Name, Arguments string }{b.ID, b.Name, string(b.Input)})
	}
}

func parseChat(t testing.TB, body string) answer {
	t.Helper()
	var m struct {
		ID, Model string
		Choices   []struct {
			Index   int
			Message struct {
				Role      string
				Content   *string
				Refusal   *string
				Reasoning string `json:"reasoning_content"`
				ToolCalls []struct {
					ID       string
					Function struct{ Name, Arguments string }
				} `json:"tool_calls"`
			}
			Finish string `json:"finish_reason"`
		}
		Usage map[string]any `json:"usage"`
	}
	decode(t, body, &m)
	a := answer{ID: m.ID, Model: m.Model, Usage: m.Usage, Finished: true}
	for i, c := range m.Choices {
		if c.Index != i {
			t.Errorf("choice %d has index %d", i, c.Index)
		}
		text := ""
		if c.Message.Content != nil {
			text = *c.Message.Content
		}
		a.Choices = append(a.Choices, text)
		if i == 0 {
			a.Text, a.Stop, a.Thinking = text, c.Finish, c.Message.Reasoning
			for _, call := range c.Message.ToolCalls {
				a.Calls = append(a.Calls,
					struct{ ID, Name, Arguments string }{call.ID, call.Function.Name, call.Function.Arguments})
			}
		}
	}
	return a
}

// parseEvents reads a Messages stream strictly: events in order, every block
// closed, the name of each event equal to its type.
func parseEvents(t testing.TB, body string) (a answer) {
	t.Helper()
	open := map[int]*wireBlockOut{}
	var inputs = map[int]string{}
	for raw := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		name, data, ok := strings.Cut(raw, "\ndata: ")
		if !ok {
			t.Fatalf("not an event: %q", raw)
		}
		var e struct {
			Type    string
			Index   int
			Message struct {
				ID, Model string
				Usage     map[string]any
			}
			Block wireBlockOut `json:"content_block"`
			Delta struct {
				Type, Text, Thinking, Signature string
				Partial                         string  `json:"partial_json"`
				StopReason                      *string `json:"stop_reason"`
				StopSequence                    *string `json:"stop_sequence"`
			}
			Usage map[string]any
		}
		decode(t, data, &e)
		if name != "event: "+e.Type {
			t.Errorf("%q holds a %s", name, e.Type)
		}
		switch e.Type {
		case "message_start":
			a.ID, a.Model, a.Usage = e.Message.ID, e.Message.Model, e.Message.Usage
		case "content_block_start":
			b := e.Block
			open[e.Index] = &b
		case "content_block_delta":
			b := open[e.Index]
			if b == nil {
				t.Fatalf("delta for block %d, which is not open", e.Index)
			}
			b.Text += e.Delta.Text
			b.Thinking += e.Delta.Thinking
			b.Signature += e.Delta.Signature
			inputs[e.Index] += e.Delta.Partial
		case "content_block_stop":
			b := open[e.Index]
			if b.Type == "tool_use" {
				b.Input = json.RawMessage(inputs[e.Index])
			}
			if b.Type == "thinking" && b.Signature == "" {
				t.Error("thinking without signature")
			}
			a.block(*b)
			delete(open, e.Index)
		case "message_delta":
			if e.Delta.StopReason != nil {
				a.Stop = *e.Delta.StopReason
			}
			if e.Delta.StopSequence != nil {
				a.StopSequence = *e.Delta.StopSequence
			}
			for k, v := range e.Usage {
				a.Usage[k] = v
			}
		case "message_stop":
			a.Finished = len(open) == 0 && a.Stop != ""
		}
	}
	return a
}

func parseChunks(t testing.TB, body string) (a answer) {
	t.Helper()
	for raw := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(raw, "data: ")
		if !ok {
			t.Fatalf("not a chunk: %q", raw)
		}
		if data == "[DONE]" {
			a.Finished = true
			continue
		}
		var c struct {
			ID, Model string
			Choices   []struct {
				Index int
				Delta struct {
					Content   string
					Reasoning string `json:"reasoning_content"`
					ToolCalls []struct {
						Index    int
						ID       string
						Function struct{ Name, Arguments string }
					} `json:"tool_calls"`
				}
				Finish string `json:"finish_reason"`
			}
			Usage map[string]any
		}
		decode(t, data, &c)
		a.ID, a.Model = c.ID, c.Model
		if c.Usage != nil {
			a.Usage = c.Usage
		}
		for _, choice := range c.Choices {
			for len(a.Choices) <= choice.Index {
				a.Choices = append(a.Choices, "")
			}
			a.Choices[choice.Index] += choice.Delta.Content
			if choice.Index > 0 {
				continue
			}
			a.Text += choice.Delta.Content
			a.Thinking += choice.Delta.Reasoning
			if choice.Finish != "" {
				a.Stop = choice.Finish
			}
			for _, call := range choice.Delta.ToolCalls {
				if call.Index == len(a.Calls) {
					a.Calls = append(a.Calls, struct{ ID, Name, Arguments string }{call.ID, call.Function.Name, ""})
				}
				a.Calls[call.Index].Arguments += call.Function.Arguments
			}
		}
	}
	return a
}

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}
