package plainhttp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/internal/netx"
	"nightshift/providers/wire/plainhttp"
)

func transport(dial func(context.Context, string, string) (net.Conn, error)) *plainhttp.Transport {
	return &plainhttp.Transport{Dial: dial, MaxIdle: 64, IdleTimeout: time.Minute, MaxHeader: 64 << 10,
		ReadBuffer: 2 << 10}
}

func request(t testing.TB, to, body string) plainhttp.Request {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	return plainhttp.Request{Method: http.MethodPost, URL: u, Body: []byte(body), Watcher: watcher{},
		Header: plainhttp.HeaderLines(http.Header{"Content-Type": {"text/plain"}})}
}

// A watcher ends nothing by itself.
type watcher struct {
	sending func() // may be nil
	closes  bool   // the connection, as soon as it is there
}

func (watcher) Context() context.Context { return context.Background() }
func (w watcher) Release() bool          { return !w.closes }

func (w watcher) Connected(c io.Closer) {
	if w.closes {
		c.Close()
	}
}

func (w watcher) Sending() {
	if w.sending != nil {
		w.sending()
	}
}

// A server that says what it was asked, and counts its connections.
func echo(t *testing.T) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	connections := new(atomic.Int64)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.RequestURI, r.Header.Get("Content-Type"), body)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s, connections
}

func send(t testing.TB, tr *plainhttp.Transport, r plainhttp.Request) (string, error) {
	t.Helper()
	resp, err := tr.Send(context.Background(), r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func skipWhereUnused(t *testing.T) {
	if !netx.CanTell {
		t.Skip("this way of sending is not used on this system")
	}
}

func TestSend(t *testing.T) {
	skipWhereUnused(t)
	server, connections := echo(t)
	tr := transport(new(net.Dialer).DialContext)
	defer tr.CloseIdleConnections()
	for i := range 5 {
		got, err := send(t, tr, request(t, server.URL+"/a%20b?c=d", fmt.Sprint("body ", i)))
		if want := fmt.Sprint("POST /a%20b?c=d text/plain body ", i); got != want || err != nil {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for five requests, want 1", n)
	}
}

// A connection that the server closed while it was idle is not used: the
// request arrives, once.
func TestClosedWhileIdle(t *testing.T) {
	skipWhereUnused(t)
	server, connections := echo(t)
	tr := transport(new(net.Dialer).DialContext)
	defer tr.CloseIdleConnections()
	for i := range 3 {
		if _, err := send(t, tr, request(t, server.URL, "x")); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		server.CloseClientConnections() // returns when they are closed
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections, want 3", n)
	}
}

// A connection that the watcher has closed is not used again.
func TestClosedByWatcher(t *testing.T) {
	skipWhereUnused(t)
	server, connections := echo(t)
	tr := transport(new(net.Dialer).DialContext)
	defer tr.CloseIdleConnections()
	r := request(t, server.URL, "x")
	r.Watcher = watcher{closes: true}
	if _, err := send(t, tr, r); err == nil {
		t.Error("no error on a connection that was closed")
	}
	for range 2 {
		if _, err := send(t, tr, request(t, server.URL, "x")); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// What was not read is not read by the next request.
func TestBodyNotRead(t *testing.T) {
	skipWhereUnused(t)
	server, connections := echo(t)
	tr := transport(new(net.Dialer).DialContext)
	defer tr.CloseIdleConnections()
	for i := range 2 {
		resp, err := tr.Send(context.Background(), request(t, server.URL, strings.Repeat("x", 3<<10)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(resp.Body, make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if n := connections.Load(); n != int64(i+1) {
			t.Errorf("%d connections after %d answers that were given up", n, i+1)
		}
	}
}

func TestContextEndsIt(t *testing.T) {
	skipWhereUnused(t)
	held := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			_, _ = io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
		}
		<-held
	}))
	defer server.Close()
	defer close(held)
	tr := transport(new(net.Dialer).DialContext)

	ctx, cancel := context.WithCancel(context.Background())
	r := request(t, server.URL, "x")
	r.Watcher = watcher{sending: cancel}
	if _, err := tr.Send(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("headers that do not come: %v", err)
	}

	ctx, cancel = context.WithCancel(context.Background())
	resp, err := tr.Send(ctx, request(t, server.URL+"/body", "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a body whose context ended: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	skipWhereUnused(t)
	server, connections := echo(t)
	tr := transport(new(net.Dialer).DialContext)
	defer tr.CloseIdleConnections()
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := range 20 {
				body := fmt.Sprint(w, "/", i)
				if got, err := send(t, tr, request(t, server.URL, body)); err != nil || !strings.HasSuffix(got, " "+body) {
					t.Errorf("%s: %q, %v", body, got, err)
				}
			}
		})
	}
	all.Wait()
	if n := connections.Load(); n > 16 {
		t.Errorf("%d connections for 16 at once", n)
	}
}

func TestSuits(t *testing.T) {
	skipWhereUnused(t)
	proxy := func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "proxied" {
			return url.Parse("http://proxy:3128")
		}
		return nil, nil
	}
	for to, want := range map[string]bool{
		"http://127.0.0.1:8000/v1": true, "http://model-server/v1": true, "http://[::1]:80/": true,
		"https://model-server/v1": false, "http://proxied/v1": false, "http://name:word@host/": false,
		"http://bücher.example/": false, "/v1": false,
	} {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		if got := plainhttp.Suits(u, proxy); got != want {
			t.Errorf("Suits(%s) = %v", to, got)
		}
	}
}

// A fake is a connection that answers with fixed bytes whatever it is sent, as
// soon as it was sent anything or closed.
type fake struct {
	net.Conn
	answer io.Reader
	asked  chan struct{}
	once   sync.Once
}

func (f *fake) ask() { f.once.Do(func() { close(f.asked) }) }

func (f *fake) Read(p []byte) (int, error) {
	<-f.asked
	return f.answer.Read(p)
}

func (f *fake) Write(p []byte) (int, error) {
	f.ask()
	return len(p), nil
}

func (f *fake) Close() error {
	f.ask()
	return nil
}

func answering(answer []byte) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		return &fake{answer: bytes.NewReader(answer), asked: make(chan struct{})}, nil
	}
}

// outcome is what a caller can see of an answer.
func outcome(resp *http.Response, err error) string {
	if err != nil {
		return "error"
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %v %d %q %v", resp.StatusCode, resp.Header, resp.ContentLength, body, err != nil)
}

var answers = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
	"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
	"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n1\r\na\r\n0\r\nX: y\r\n\r\n",
	"HTTP/1.0 200 OK\r\n\r\nuntil the end",
	"HTTP/1.1 204 No Content\r\n\r\n",
	"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nRetry-After: 4\r\nContent-Length: 0\r\n\r\n",
	"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 7) + "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 70<<10) + "\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
	"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
	"HTTP/1.1 200 OK\r\nbroken\r\n\r\n",
	"HTTP/1.1 2x0 OK\r\n\r\n",
	"\x15\x03\x01\x00\x02\x02\x16",
	"",
	"hello",
}

// FuzzSameAsNetHTTP answers the same request with the same bytes here and
// through net/http: both see the same, or both see an error.
func FuzzSameAsNetHTTP(f *testing.F) {
	for _, a := range answers {
		f.Add([]byte(a))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if bytes.HasPrefix(answer, []byte("HTTP/1.1 101")) {
			return // another protocol: net/http hands over the connection
		}
		r := request(t, "http://host/", "x")
		ours := outcome(transport(answering(answer)).Send(context.Background(), r))
		other := &http.Transport{DialContext: answering(answer), DisableKeepAlives: true, DisableCompression: true,
			MaxResponseHeaderBytes: 64 << 10, ReadBufferSize: 2 << 10}
		req, err := http.NewRequest(http.MethodPost, "http://host/", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		theirs := outcome(other.RoundTrip(req))
		if ours != theirs {
			t.Errorf("%q:\nhere     %s\nnet/http %s", answer, ours, theirs)
		}
	})
}
