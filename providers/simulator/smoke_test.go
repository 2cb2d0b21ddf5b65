package simulator

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestSmoke(t *testing.T) {
	s := New(Config{})
	c := &http.Client{Transport: s.Transport()}
	for _, p := range []string{"/v1/messages", "/v1/chat/completions", "/api/v1/messages"} {
		for _, stream := range []string{"false", "true"} {
			r, err := c.Post("http://sim"+p, "application/json", strings.NewReader(`{"model":"sim-large","max_tokens":50,"stream":`+stream+`,"messages":[{"role":"user","content":"What is 17 + 25?"}]}`))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r.Body)
			t.Log(r.Status, r.Header, string(b), err)
		}
	}
	t.Logf("%+v", s.Ledger())
}
