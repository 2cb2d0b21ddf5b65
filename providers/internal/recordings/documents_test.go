package recordings_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/sse"
)

// documents reads the five gateways' documents, which lie beside the
// recordings.
func documents(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir(t), "..", "documents", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Skip("needs ../shared/documents, which is not there")
	}
	texts := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(f)] = string(b)
	}
	return texts
}

// objects returns every JSON object that stands in a text, outermost only.
func objects(text string) []json.RawMessage {
	var found []json.RawMessage
	for i := 0; i < len(text); i++ {
		if text[i] != '{' {
			continue
		}
		dec := json.NewDecoder(strings.NewReader(text[i:]))
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			continue
		}
		found = append(found, raw)
		i += int(dec.InputOffset()) - 1
	}
	return found
}

func fields(t *testing.T, raw []byte) map[string]json.RawMessage {
	t.Helper()
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDocumentRequests: every sample request goes out as it stands when it is
// a row's own body, and with the same fields and values when it is put
// together from a prompt and parameters.
func TestDocumentRequests(t *testing.T) {
	n := 0
	for file, text := range documents(t) {
		for _, sample := range objects(text) {
			f := fields(t, sample)
			if f["messages"] == nil {
				continue
			}
			n++
			format := nightshift.Messages
			if f["frequency_penalty"] != nil {
				format = nightshift.Chat
			}
			p := encode(t, format, nightshift.Request{Body: sample, BodyProtocol: format})
			if string(p.Body) != string(sample) {
				t.Errorf("%s: sent %s, want %s", file, p.Body, sample)
			}
			p = encode(t, format, request(t, sample))
			if !sameValue(t, p.Body, sample) {
				t.Errorf("%s: put together %s, want the fields of %s", file, p.Body, sample)
			}
		}
	}
	if n != 8 {
		t.Errorf("%d sample requests found, want 8: two in each of ccapi's documents and applerouter's, one in the others", n)
	}
}

func encode(t *testing.T, format nightshift.Protocol, req nightshift.Request) providers.Prepared {
	t.Helper()
	p, err := formats.Encode(of(format), req, true)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// request takes a body apart into the nouns that the rest of the program
// speaks of.
func request(t *testing.T, body []byte) nightshift.Request {
	t.Helper()
	var req nightshift.Request
	dec := json.NewDecoder(strings.NewReader(string(body)))
	if _, err := dec.Token(); err != nil {
		t.Fatal(err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			t.Fatal(err)
		}
		switch name {
		case "model":
			_ = json.Unmarshal(value, &req.Model)
		case "system":
			_ = json.Unmarshal(value, &req.System)
		case "messages":
			var raws []json.RawMessage
			if err := json.Unmarshal(value, &raws); err != nil {
				t.Fatal(err)
			}
			for _, raw := range raws {
				req.Messages = append(req.Messages, turn(raw))
			}
		default:
			req.Params = append(req.Params, nightshift.Param{Name: name.(string), Value: value})
		}
	}
	return req
}

// turn is a message as a dataset reads it: plain where it is a role and a text.
func turn(raw json.RawMessage) nightshift.Message {
	var plain struct{ Role, Content *string }
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	dec.DisallowUnknownFields()
	if dec.Decode(&plain) == nil && plain.Role != nil && plain.Content != nil {
		return nightshift.Message{Role: nightshift.Role(*plain.Role), Text: *plain.Content}
	}
	return nightshift.Message{Raw: raw}
}

func sameValue(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		t.Fatalf("not JSON: %s, %s", a, b)
	}
	return reflect.DeepEqual(x, y)
}

// TestDocumentPythonSamples: the samples that the documents give in Python,
// put together from prompt and parameters.
func TestDocumentPythonSamples(t *testing.T) {
	documents(t)
	for _, tc := range []struct {
		name, message, params, want string
	}{
		{"extended thinking", `{"role":"user","content":"Solve this complex math problem..."}`,
			`{"max_tokens":16000,"thinking":{"type":"enabled","budget_tokens":10000}}`,
			`{"model":"m","messages":[{"role":"user","content":"Solve this complex math problem..."}],` +
				`"max_tokens":16000,"thinking":{"type":"enabled","budget_tokens":10000}}`},
		{"vision", `{"role":"user","content":[{"type":"image","source":{"type":"url",` +
			`"url":"https://example.com/image.jpg"}},{"type":"text","text":"What's in this image?"}]}`, `{"max_tokens":1024}`,
			`{"model":"m","messages":[{"role":"user","content":[{"type":"image","source":{"type":"url",` +
				`"url":"https://example.com/image.jpg"}},{"type":"text","text":"What's in this image?"}]}],"max_tokens":1024}`},
		{"tool use", `{"role":"user","content":"What's the weather in Paris?"}`,
			`{"max_tokens":1024,"tools":[{"name":"get_weather","description":"Get the current weather for a ` +
				`location","input_schema":{"type":"object","properties":{"location":{"type":"string"}},"required":["location"]}}]}`,
			`{"model":"m","messages":[{"role":"user","content":"What's the weather in Paris?"}],"max_tokens":1024,` +
				`"tools":[{"name":"get_weather","description":"Get the current weather for a location",` +
				`"input_schema":{"type":"object","properties":{"location":{"type":"string"}},"required":["location"]}}]}`},
	} {
		req := request(t, []byte(`{"model":"m","messages":[`+tc.message+`],`+tc.params[1:]))
		if p := encode(t, nightshift.Messages, req); string(p.Body) != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", tc.name, p.Body, tc.want)
		}
	}
}

// known is what a sample response may hold, and where it must come back.
type known struct {
	ID, Model, Stop, Text string
	In, Out               int64
}

// TestDocumentResponses: every sample response comes back with every field.
func TestDocumentResponses(t *testing.T) {
	n := 0
	for file, text := range documents(t) {
		for _, sample := range objects(text) {
			f := fields(t, sample)
			if inner := f["data"]; inner != nil { // unwrapping is the wire's work
				sample, f = inner, fields(t, inner)
			}
			var read reading
			var want known
			switch {
			case f["messages"] != nil || f["id"] == nil:
				continue
			case f["content"] != nil:
				read = decode(nightshift.Messages, sample)
				want = knownMessage(t, sample)
			case f["choices"] != nil && string(f["object"]) != `"chat.completion.chunk"`:
				read = decode(nightshift.Chat, sample)
				want = knownChat(t, sample)
			default:
				continue
			}
			n++
			resp, err := read.resp, read.err
			got := known{ID: resp.ID, Model: resp.ServedModel, Stop: resp.RawStopReason, In: resp.Usage.Input.N(),
				Out: resp.Usage.Output.N()}
			if resp.Text != nil {
				got.Text = *resp.Text
			}
			if err != nil || got != want {
				t.Errorf("%s: %+v (%v), want %+v", file, got, err, want)
			}
		}
	}
	if n != 6 {
		t.Errorf("%d sample responses found, want 6", n)
	}
}

func knownMessage(t *testing.T, raw []byte) known {
	var m struct {
		ID, Model   string
		Content     []struct{ Text string }
		Stop_reason string
		Usage       struct{ Input_tokens, Output_tokens int64 }
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return known{m.ID, m.Model, m.Stop_reason, m.Content[0].Text, m.Usage.Input_tokens, m.Usage.Output_tokens}
}

func knownChat(t *testing.T, raw []byte) known {
	var m struct {
		ID, Model string
		Choices   []struct {
			Message       struct{ Content string }
			Finish_reason string
		}
		Usage struct{ Prompt_tokens, Completion_tokens int64 }
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return known{m.ID, m.Model, m.Choices[0].Finish_reason, m.Choices[0].Message.Content, m.Usage.Prompt_tokens,
		m.Usage.Completion_tokens}
}

// TestDocumentStream: the envelope gateway's sample stream, whose chunks have
// neither index nor finish reason, is whole where the endpoint is configured
// so, and cut where it is not.
func TestDocumentStream(t *testing.T) {
	n := 0
	for file, text := range documents(t) {
		_, stream, found := strings.Cut(text, "Streaming response example (text/event-stream):\n")
		if !found {
			continue
		}
		n++
		// The document shows the lines without the blank ones between them.
		stream = strings.ReplaceAll(stream, "\ndata:", "\n\ndata:")
		for _, doneOnly := range []bool{true, false} {
			s := of(nightshift.Chat).NewStream(formats.StreamOptions{DoneMarkerOnly: doneOnly})
			for r := sse.NewReader(strings.NewReader(stream), 0); !s.Done(); {
				ev, err := r.Next()
				if err != nil {
					t.Fatalf("%s: no end marker: %v", file, err)
				}
				if _, err := s.Event(ev.Data); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
			}
			resp, err := s.End()
			if resp.Text == nil || *resp.Text != "Hello!" || resp.ID != "msg_123" || (err == nil) != doneOnly {
				t.Errorf("%s, done_marker_only %v: %+v, %v", file, doneOnly, resp, err)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d sample streams, want 1", n)
	}
}
