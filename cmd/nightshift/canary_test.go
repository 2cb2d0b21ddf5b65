package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"nightshift"
	"nightshift/runner/store/view"
)

// canary is the key of the test. It must be found nowhere.
const canary = "sk-canary-7f3a9c51+e08b/42d6"

// canaryForms are the forms in which the key must not be found: plain, URL-
// and base64-encoded at every offset.
func canaryForms() []string {
	forms := []string{canary, url.QueryEscape(canary), url.PathEscape(canary)}
	for offset := range 3 {
		text := []byte("xyz"[:offset] + canary)
		std, web := base64.RawStdEncoding.EncodeToString(text), base64.RawURLEncoding.EncodeToString(text)
		forms = append(forms, std[4:len(std)-4], web[4:len(web)-4])
	}
	return forms
}

// TestKeyAppearsNowhere runs the real program with a key that the server sends
// back in every way it can think of, and looks for the key in everything that
// the program wrote and printed.
func TestKeyAppearsNowhere(t *testing.T) {
	t.Setenv("TABLE_KEY", canary)
	echo := httptest.NewServer(&echoServer{})
	defer echo.Close()
	d := newTable(t, 40, echo.URL, "")
	b, err := os.ReadFile(d.plan)
	if err != nil {
		t.Fatal(err)
	}
	keyed := strings.ReplaceAll(string(b), "auth: none", "auth: {scheme: bearer, env: TABLE_KEY}")
	if err := os.WriteFile(d.plan, []byte(keyed), 0o600); err != nil {
		t.Fatal(err)
	}
	logFile := filepath.Join(d.out, "..", "log.json")
	c := start(t, "run", d.plan, "-v", "--log-format", "json", "--log-file", logFile, "--attempts", "2")
	c.wait(t)
	texts := map[string]string{"stdout": c.out.String(), "stderr": c.errs.String()}
	err = filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var b []byte
			b, err = os.ReadFile(path)
			texts[path] = string(b)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for r, err := range view.Rows[nightshift.Record](d.out, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		texts[fmt.Sprintf("record %s/%d", r.Model, r.Row)] = string(b)
		rows++
	}
	if rows == 0 {
		t.Fatalf("no rows on record\n%s", c.errs.String())
	}
	for where, text := range texts {
		for _, form := range canaryForms() {
			if strings.Contains(text, form) {
				t.Errorf("the key shows in %s as %s", where, form)
			}
		}
	}
}

// An echoServer puts the key that it was sent into everything it answers.
type echoServer struct{ n atomic.Int64 }

func (s *echoServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	forms := []string{key, url.QueryEscape(key), base64.StdEncoding.EncodeToString([]byte("Authorization: Bearer " +
		key)), base64.URLEncoding.EncodeToString([]byte(key))}
	n := s.n.Add(1)
	said := "your key is " + forms[n%int64(len(forms))]
	w.Header().Set("X-Request-Id", "req-"+key)
	quoted, _ := json.Marshal(said)
	switch n % 5 {
	case 0:
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"error":{"type":"invalid_request_error","code":%s,"message":%[1]s}}`, quoted)
	case 1:
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "<html><title>%s</title></html>", said)
	case 2:
		fmt.Fprintf(w, `{"error":%s}`, quoted)
	case 3:
		fmt.Fprintf(w,
			"data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{"+
				"\"content\":%s},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n", quoted)
	default:
		fmt.Fprintf(w,
			`{"id":"x","object":"chat.completion","model":%s,"choices":[{"index":0,"message":{"role":"assistant",`+
				`"content":%[1]s},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,`+
				`"total_tokens":2}}`, quoted)
	}
}
