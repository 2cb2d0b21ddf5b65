package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/internal/testdata/providertest"
	"nightshift/providers/secrets"
	"nightshift/providers/wire"
)

func TestSuite(t *testing.T) { providertest.Run(t, newWire) }

// The suites try every format that answers with text.
func TestEveryFormatIsTried(t *testing.T) {
	tried := map[nightshift.Protocol]bool{}
	for _, c := range providertest.Cases() {
		tried[c.Protocol()] = true
	}
	for _, f := range formats.All {
		if _, texts := f.(formats.TextsFormat); !texts && !tried[f.Protocol()] {
			t.Errorf("nobody tries %s: add its dialect to providertest", f.Protocol())
		}
	}
}

// sharedDir finds the reference data beside the checkout, which is not part
// of it.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			if shared := filepath.Join(dir, "..", "shared"); exists(shared) {
				return shared
			}
			break
		}
	}
	t.Skip("needs ../shared, which is not there")
	return ""
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// A document is the text of a gateway's documentation with the endpoint that
// speaks to it.
type document struct {
	file     string
	preset   string
	protocol nightshift.Protocol
	path     string
	auth     [2]string // header, value
	version  bool      // anthropic-version goes out
	text     string    // of the sample answer
	usage    [2]int64  // 0 for none
	model    string
	stop     nightshift.StopReason
	samples  int // request samples in JSON
}

const docKey = "sk-docs-0123456789"

var documents = []document{
	{file: "000_", preset: "ccapi", protocol: nightshift.Messages, path: "/v1/messages",
		auth: [2]string{"X-Api-Key", docKey}, version: true,
		text: "Idempotency prevents duplicate charges, shipments, or accounting entries when payment platform " +
			"notifications are retried.", usage: [2]int64{58, 36}, model: "claude-opus-4-6", stop: nightshift.StopEnd,
		samples: 2},
	{file: "001_", preset: "ccapi", protocol: nightshift.Chat, path: "/v1/chat/completions",
		auth: [2]string{"Authorization", docKey},
		text: "Hello! How can I help you today?", usage: [2]int64{10, 8}, model: "gpt-5", stop: nightshift.StopEnd,
		samples: 2},
	{file: "002_", preset: "opeai", protocol: nightshift.Messages, path: "/v1/messages",
		auth: [2]string{"Authorization", "Bearer " + docKey}, version: true,
		text: "Hello!", usage: [2]int64{12, 6}, model: "claude-sonnet-4-5", stop: nightshift.StopEnd, samples: 1},
	{file: "003_", preset: "envelope", protocol: nightshift.Messages, path: "/api/v1/messages",
		auth: [2]string{"Authorization", "Bearer " + docKey},
		text: "Hello! How can I assist you today?", model: "claude-3-opus-20240229", samples: 1},
	{file: "004_", preset: "applerouter", protocol: nightshift.Messages, path: "/v1/messages",
		auth: [2]string{"X-Api-Key", docKey}, version: true,
		text: "Hello! I'm Claude, an AI assistant. How can I help you today?", usage: [2]int64{12, 20},
		model: "claude-3-5-sonnet-20241022", stop: nightshift.StopEnd, samples: 2},
}

// jsonObjects finds every JSON object in a text that begins a line or a
// quoted argument.
func jsonObjects(text string) []json.RawMessage {
	var found []json.RawMessage
	for i := 0; i < len(text); i++ {
		if text[i] != '{' {
			continue
		}
		dec := json.NewDecoder(strings.NewReader(text[i:]))
		var raw json.RawMessage
		if dec.Decode(&raw) == nil && len(raw) > 20 {
			found = append(found, raw)
			i += len(raw) - 1
		}
	}
	return found
}

func field(raw json.RawMessage, name string) json.RawMessage {
	var o map[string]json.RawMessage
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o[name]
}

func (d document) read(t *testing.T) (requests, responses []json.RawMessage, events []string) {
	matches, err := filepath.Glob(filepath.Join(sharedDir(t), "documents", d.file+"*"))
	if err != nil || len(matches) != 1 {
		t.Fatalf("%s: %v, %v", d.file, matches, err)
	}
	text, err := os.ReadFile(matches[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range jsonObjects(string(text)) {
		switch {
		case field(raw, "messages") != nil:
			requests = append(requests, raw)
		case bytes.Contains(raw, []byte("chat.completion.chunk")):
		case field(raw, "content") != nil && field(raw, "usage") != nil, field(raw, "choices") != nil,
			field(raw, "data") != nil:
			responses = append(responses, raw)
		}
	}
	events = regexp.MustCompile(`data: (\{"id".*?\}\]\}|\[DONE\])`).FindAllString(string(text), -1)
	return requests, responses, events
}

// The request samples of the gateways' documentation go out as they are, to
// the right path with the right headers, and the sample answers come back
// whole.
func TestDocuments(t *testing.T) {
	for _, d := range documents {
		t.Run(d.preset+" "+string(d.protocol), func(t *testing.T) {
			requests, responses, events := d.read(t)
			if len(requests) < d.samples || len(responses) == 0 {
				t.Fatalf("%d requests and %d responses found", len(requests), len(responses))
			}
			for _, body := range requests {
				for _, answer := range responses {
					d.exchange(t, body, string(answer), false)
				}
			}
			if len(events) > 1 {
				d.exchange(t, requests[0], strings.Join(events, "\n\n")+"\n\n", true)
			}
		})
	}
}

func (d document) exchange(t *testing.T, body json.RawMessage, answer string, stream bool) {
	t.Helper()
	var sent []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ = io.ReadAll(r.Body)
		d.checkRequest(t, r)
		if stream {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		io.WriteString(w, answer)
	}))
	defer server.Close()
	e, found := providers.Lookup(d.preset, d.protocol, nil)
	if !found {
		t.Fatalf("no preset %s for %s", d.preset, d.protocol)
	}
	e.BaseURL = server.URL + "/" // as in the samples: https://host//v1/messages
	w, err := wire.New(wire.Config{Endpoint: e, Key: secrets.New(docKey)})
	if err != nil {
		t.Fatal(err)
	}
	defer w.CloseIdleConnections()
	var model string
	if err := json.Unmarshal(field(body, "model"), &model); err != nil {
		t.Fatal(err)
	}
	p, err := w.Prepare(nightshift.Request{Model: model, Body: body, BodyProtocol: d.protocol})
	if err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	x := w.Send(t.Context(), p)
	if !equalJSON(t, sent, body) {
		t.Errorf("sent %s, want %s", sent, body)
	}
	if x.Err != nil {
		t.Fatalf("%v; raw %s", x.Err, x.Response.Raw)
	}
	d.checkResponse(t, x.Response, answer, stream)
}

func (d document) checkRequest(t *testing.T, r *http.Request) {
	if r.Method != "POST" || r.URL.Path != d.path || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s as %s", r.Method, r.URL, r.Header.Get("Content-Type"))
	}
	for _, name := range []string{"Authorization", "X-Api-Key"} {
		want := ""
		if name == d.auth[0] {
			want = d.auth[1]
		}
		if got := r.Header.Get(name); got != want {
			t.Errorf("header %s: %q, want %q", name, got, want)
		}
	}
	if got := r.Header.Get("Anthropic-Version"); (got == "2023-06-01") != d.version {
		t.Errorf("anthropic-version %q", got)
	}
}

func (d document) checkResponse(t *testing.T, r nightshift.Response, answer string, stream bool) {
	if string(r.Raw) != answer {
		t.Errorf("raw %q, want %q", r.Raw, answer)
	}
	if stream {
		if r.Text == nil || *r.Text != "Hello!" || r.ID != "msg_123" {
			t.Errorf("streamed %+v", r)
		}
		return
	}
	if r.Text == nil || *r.Text != d.text || r.ServedModel != d.model || r.StopReason != d.stop || r.ID == "" {
		t.Errorf("text %v, model %q, stop %q, id %q", r.Text, r.ServedModel, r.StopReason, r.ID)
	}
	if in, out := r.Usage.InputTotal().N(), r.Usage.Output.N(); in != d.usage[0] || out != d.usage[1] ||
		r.Usage.Known() != (d.usage[0] > 0) {
		t.Errorf("usage %d and %d, want %v", in, out, d.usage)
	}
}

func equalJSON(t *testing.T, a, b []byte) bool {
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Errorf("%s: %v", a, err)
		return false
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(x) == fmt.Sprint(y)
}
