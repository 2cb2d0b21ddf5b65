package batch

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/secrets"
)

const testKey = "sk-test-0123456789abcdef"

// A fakeAPI answers what a table says, and keeps what it was asked.
type fakeAPI struct {
	t       *testing.T
	answers map[string]string // "METHOD path?query" → status, a space and the body
	mu      sync.Mutex
	asked   bytes.Buffer
	headers []http.Header
	calls   map[string]int
	server  *httptest.Server
	named   bool // data sets have names of the client's making: DATASET stands for them
	last    string
}

func newFakeAPI(t *testing.T, answers map[string]string) *fakeAPI {
	f := &fakeAPI{t: t, answers: answers, calls: map[string]int{}}
	f.server = httptest.NewServer(f)
	t.Cleanup(f.server.Close)
	return f
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil || r.ContentLength != int64(len(body)) {
		f.t.Errorf("%s %s: %d bytes came, %d were announced: %v", r.Method, r.URL, len(body), r.ContentLength, err)
	}
	what := r.Method + " " + r.URL.RequestURI()
	name := datasetName.FindString(what + string(body))
	if f.named && name != "" {
		what, body = strings.ReplaceAll(what, name, "DATASET"), bytes.ReplaceAll(body, []byte(name), []byte("DATASET"))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[what]++
	f.headers = append(f.headers, r.Header)
	fmt.Fprintf(&f.asked, "%s\n", what)
	f.writeBody(r.Header.Get("Content-Type"), body)
	answer, ok := f.answers[what]
	if !ok {
		f.t.Errorf("nobody should ask for %s", what)
		answer = "404 {}"
	}
	var status int
	_, _ = fmt.Sscanf(answer, "%d", &status)
	_, text, _ := strings.Cut(answer, " ")
	w.Header().Set("X-Goog-Upload-Url", f.server.URL+"/upload/session?upload_id=u1")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, strings.NewReplacer("SERVER", f.server.URL, "DATASET", f.dataset(name)).Replace(text))
}

// datasetName is a data set's name, which ends in the time.
var datasetName = regexp.MustCompile(`ns1-7f3a2c-000012-b3-[0-9a-z]{6,}`)

// dataset is the name that the client gave last.
func (f *fakeAPI) dataset(named string) string {
	if named != "" {
		f.last = named
	}
	return f.last
}

// writeBody writes a body for people to read: of a form its parts.
func (f *fakeAPI) writeBody(contentType string, body []byte) {
	kind, params, _ := mime.ParseMediaType(contentType)
	if !strings.HasPrefix(kind, "multipart/") {
		if len(body) > 0 {
			fmt.Fprintf(&f.asked, "  %s: %s\n", kind, bytes.TrimSpace(body))
		}
		return
	}
	parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err != nil {
			return
		}
		text, _ := io.ReadAll(p)
		fmt.Fprintf(&f.asked, "  %s %s %s: %s\n", kind, p.FormName(), p.FileName(), bytes.TrimSpace(text))
	}
}

// batcher is a Batcher at the fake API, of the preset's facts.
func (f *fakeAPI) batcher(preset string, protocol nightshift.Protocol, change func(*Config)) *Batcher {
	f.t.Helper()
	e, ok := providers.Lookup(preset, protocol, nil)
	if !ok {
		f.t.Fatalf("no preset %s for %s", preset, protocol)
	}
	_, at, _ := strings.Cut(e.BaseURL, "://")
	_, at, _ = strings.Cut(at, "/")
	e.BaseURL = f.server.URL + "/" + at
	c := Config{Endpoint: e, Key: secrets.New(testKey), Model: "m-1"}
	if e.Auth.Scheme == providers.AuthNone {
		c.Key = secrets.Secret{}
	}
	if change != nil {
		change(&c)
	}
	b, err := New(c)
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// golden compares with a file, or writes it under -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update writes it):\n%s", path, got)
	}
}
