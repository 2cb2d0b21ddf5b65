package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzRequest sends anything: the answer is always well-formed JSON with a
// status that fits.
func FuzzRequest(f *testing.F) {
	f.Add(`{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"Hi"}]}`)
	f.Add(`{"model":"m","max_tokens":10,"n":3,"messages":[{"role":"user","content":[{"type":"text","text":"Hi"},` +
		`{"type":"image","source":{"type":"base64","data":"AAAA"}}]}]}`)
	f.Add(`{"model":"m","max_tokens":99,"tools":[{"name":"f","input_schema":{"type":"object",` +
		`"properties":{"a":{"type":"array"}},"required":["a","b"]}}],"tool_choice":{"type":"any"},` +
		`"messages":[{"role":"user","content":"f"}]}`)
	f.Add(`{"model":"m","max_tokens":0,"thinking":{"type":"adaptive"},"stop":["a"],"messages":[{"role":"user",` +
		`"content":null},{"role":"tool","content":"x"}]}`)
	f.Add(`{"model":"m","max_tokens":9,"response_format":{"type":"json_schema",` +
		`"json_schema":{"schema":{"$ref":"#"}}},"messages":[{"role":"user","content":"x"}]}`)
	f.Add(`[]`)
	f.Fuzz(func(t *testing.T, body string) {
		s := New(Config{})
		for _, path := range []string{"/v1/messages", "/v1/chat/completions", "/api/v1/messages",
			"/v1/messages/count_tokens"} {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
			got, _ := io.ReadAll(w.Body)
			switch {
			case w.Code != 200 && w.Code != 400 && w.Code != 404:
				t.Errorf("%s: status %d", path, w.Code)
			case strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") && utf8.ValidString(body) &&
				!json.Valid(got):
				t.Errorf("%s: not JSON: %s", path, got)
			}
		}
		l := s.Ledger()
		if l.InFlight != 0 || l.Billed.Input < 0 || l.Billed.Output < 0 || l.Billed.Reasoning > l.Billed.Output {
			t.Errorf("ledger: %+v", l)
		}
	})
}
