package wire

import (
	"io"
	"net/http"
	"testing"

	"nightshift"
	"nightshift/providers"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestBegun: neither headers, nor blanks, nor comments and empty events say that an
// answer has begun, and so that the prompt is in the cache.
func TestBegun(t *testing.T) {
	const answer = `{"id":"c","model":"m","choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}`
	chunk := func(delta string) string {
		return `data: {"id":"c","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":` + delta + `}]}` +
			"\n\n"
	}
	for _, tc := range []struct {
		name        string
		stream      bool
		early, late string
	}{
		{"whole", false, "\n\n  \n", answer},
		{"stream", true, ": PROCESSING\n\n" + chunk(`{"role":"assistant","content":""}`),
			chunk(`{"content":"Hi"},"finish_reason":"stop"`) + "data: [DONE]\n\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			began := false
			body, server := io.Pipe()
			go func() {
				_, _ = io.WriteString(server, tc.early)
				_, _ = io.WriteString(server, "\n") // what came before has been read then
				if began {
					t.Error("begun before there was an answer")
				}
				_, _ = io.WriteString(server, tc.late)
				server.Close()
			}()
			w, err := New(Config{
				Endpoint: providers.Endpoint{Name: "e", Protocol: nightshift.Chat, BaseURL: "http://127.0.0.1:1",
					Auth: providers.Auth{Scheme: providers.AuthNone}},
				Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, Request: r, ContentLength: -1}, nil
				})})
			if err != nil {
				t.Fatal(err)
			}
			req := nightshift.Request{Model: "m", Stream: tc.stream,
				Messages: []nightshift.Message{{Role: nightshift.RoleUser, Text: "Hello"}}}
			prepared, err := w.Prepare(req)
			if err != nil {
				t.Fatal(err)
			}
			prepared.Begun = func() { began = true }
			if ex := w.Send(t.Context(), prepared); ex.Err != nil || !began {
				t.Errorf("begun %v, error %v", began, ex.Err)
			}
		})
	}
}
