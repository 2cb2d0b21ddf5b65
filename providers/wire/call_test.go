package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/secrets"
)

// caller is a Wire for calls to a server, with a transport that keeps
// connections.
func caller(t *testing.T, url string, key secrets.Secret, again func() (secrets.Secret, error)) *Wire {
	t.Helper()
	e := providers.Endpoint{Name: "e", Protocol: nightshift.Chat, BaseURL: url, IdempotencyHeader: "Idempotency-Key",
		Headers: map[string]string{"Idempotency-Key": "of-the-plan"},
		Auth:    providers.Auth{Scheme: providers.AuthBearer, Env: "KEY"}}
	w, err := New(Config{Endpoint: e, Key: key, ReadKey: again})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.CloseIdleConnections)
	return w
}

func posted(url, body string) Call {
	return Call{Method: http.MethodPost, URL: url, Length: int64(len(body)),
		Body: func() io.Reader { return strings.NewReader(body) }}
}

// TestCallIsNeverRepeated closes kept connections right after a request has come
// whole, which is when Go's transport sends again what it may. A call is sent
// once, also with a header that is meant as leave to repeat it.
func TestCallIsNeverRepeated(t *testing.T) {
	var came atomic.Int64
	var drop atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if came.Add(1); drop.Load() {
			connection, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_ = connection.(*net.TCPConn).SetLinger(0)
			_ = connection.Close()
		}
	}))
	defer server.Close()
	w := caller(t, server.URL, secrets.New("sk-live-0123456789"), nil)
	for i := range 5 {
		drop.Store(false)
		if _, e := w.Call(context.Background(), posted(server.URL+"/v1/batches", "{}")); e != nil {
			t.Fatal(e)
		}
		drop.Store(true)
		reply, e := w.Call(context.Background(), posted(server.URL+"/v1/batches", "{}"))
		if e == nil || reply.Unsent || reply.Status != 0 {
			t.Errorf("call %d: %+v, %v", i, reply, e)
		}
	}
	if n := came.Load(); n != 10 {
		t.Errorf("the server got %d calls, want 10", n)
	}
}

// TestCallThatCannotArrive sees that nothing can have come of a call to where
// nobody listens.
func TestCallThatCannotArrive(t *testing.T) {
	w := caller(t, "http://127.0.0.1:1/v1", secrets.New("sk-live-0123456789"), nil)
	reply, e := w.Call(context.Background(), posted("http://127.0.0.1:1/v1/batches", "{}"))
	if e == nil || e.Class != nightshift.ClassConnection || !reply.Unsent {
		t.Errorf("%+v, %v", reply, e)
	}
}

// TestCallReadsTheKeyAgain sees that a call whose key was refused is made again
// with a new one, its body from the start.
func TestCallReadsTheKeyAgain(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer sk-new-0123456789" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"message":"bad key sk-old-0123456789","code":"invalid_api_key"}}`)
			return
		}
		fmt.Fprintf(w, `{"got":%q}`, body)
	}))
	defer server.Close()
	again := func() (secrets.Secret, error) { return secrets.New("sk-new-0123456789"), nil }
	w := caller(t, server.URL, secrets.New("sk-old-0123456789"), again)
	reply, e := w.Call(context.Background(), posted(server.URL+"/v1/files", "whole"))
	if e != nil || string(reply.Body) != `{"got":"whole"}` {
		t.Errorf("%s, %v", reply.Body, e)
	}
	once := caller(t, server.URL, secrets.New("sk-old-0123456789"), nil)
	reply, e = once.Call(context.Background(), posted(server.URL+"/v1/files", "whole"))
	if e == nil || e.Class != nightshift.ClassAuth || reply.Status != 401 {
		t.Fatalf("%s, %v", reply.Body, e)
	}
	if strings.Contains(e.Error()+string(reply.Body), "sk-old-0123456789") {
		t.Errorf("the key is shown: %s, %v", reply.Body, e)
	}
}

// TestCallWithoutKey sees that a URL which carries its own key gets no other.
func TestCallWithoutKey(t *testing.T) {
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	defer server.Close()
	w := caller(t, server.URL, secrets.New("sk-live-0123456789"), nil)
	if _, e := w.Call(context.Background(), Call{Method: "GET", URL: server.URL + "/signed", NoKey: true}); e != nil {
		t.Fatal(e)
	}
	if got.Get("Authorization") != "" || got.Get("Idempotency-Key") != "" {
		t.Errorf("headers %v", got)
	}
	safe := caller(t, "https://api.example.com", secrets.New("sk-live-0123456789"), nil)
	_, e := safe.Call(context.Background(), Call{Method: "GET", URL: server.URL + "/signed", NoKey: true})
	if e == nil || !strings.Contains(e.Message, "TLS") {
		t.Errorf("a place without TLS, named by a server: %v", e)
	}
}

// counted counts what it gets.
type counted int64

func (c *counted) Write(p []byte) (int, error) { *c += counted(len(p)); return len(p), nil }

// TestCallStreams sends and fetches 96 MB with at most 8 MiB more on the heap.
func TestCallStreams(t *testing.T) {
	const size = 96 << 20
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = io.CopyN(w, zeros{}, size)
			return
		}
		if n, err := io.Copy(io.Discard, r.Body); n != size || r.ContentLength != size || err != nil {
			t.Errorf("%d bytes came, %d announced, %v", n, r.ContentLength, err)
		}
	}))
	defer server.Close()
	w := caller(t, server.URL, secrets.New("sk-live-0123456789"), nil)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	peak := &peakHeap{}
	up := Call{Method: http.MethodPost, URL: server.URL + "/v1/files", Length: size,
		Body: func() io.Reader { return io.TeeReader(io.LimitReader(zeros{}, size), peak) }}
	if _, e := w.Call(context.Background(), up); e != nil {
		t.Fatal(e)
	}
	var got counted
	down := Call{Method: http.MethodGet, URL: server.URL + "/v1/files/f/content", To: io.MultiWriter(&got, peak)}
	reply, e := w.Call(context.Background(), down)
	if e != nil || reply.Bytes != size || int64(got) != size {
		t.Fatalf("%d bytes, %v", got, e)
	}
	runtime.ReadMemStats(&after)
	if more := int64(peak.most) - int64(before.HeapAlloc); more > 8<<20 {
		t.Errorf("%d MiB more on the heap", more>>20)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// peakHeap looks at the heap after each 8 MB that pass.
type peakHeap struct {
	passed int
	most   uint64
}

func (h *peakHeap) Write(p []byte) (int, error) {
	if h.passed += len(p); h.passed > 8<<20 {
		h.passed = 0
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		h.most = max(h.most, m.HeapAlloc)
	}
	return len(p), nil
}

// TestCallCutShort sees that a download which ends early is an error, and what
// came is handed on.
func TestCallCutShort(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("only this"))
	}))
	defer server.Close()
	w := caller(t, server.URL, secrets.New("sk-live-0123456789"), nil)
	var got bytes.Buffer
	_, e := w.Call(context.Background(), Call{Method: "GET", URL: server.URL + "/f", To: &got})
	if e == nil || e.Class != nightshift.ClassCut || got.String() != "only this" {
		t.Errorf("%q, %v", got.String(), e)
	}
	full := errors.New("no space left")
	_, e = w.Call(context.Background(), Call{Method: "GET", URL: server.URL + "/f", To: failing{full}})
	if e == nil || !errors.Is(e, full) {
		t.Errorf("a full disk: %v", e)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
