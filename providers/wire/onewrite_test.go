package wire

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"nightshift"
	"nightshift/providers"
)

// writes counts the writes to the connections of a wire's own transport.
type writes struct {
	net.Conn
	n *atomic.Int64
}

func (w writes) Write(b []byte) (int, error) {
	w.n.Add(1)
	return w.Conn.Write(b)
}

func countWrites(t *testing.T, w *Wire) *atomic.Int64 {
	t.Helper()
	n := new(atomic.Int64)
	dial := w.owned.DialContext
	w.owned.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return writes{c, n}, err
	}
	w.plain.Dial = w.owned.DialContext
	t.Cleanup(w.CloseIdleConnections)
	return n
}

func open(t *testing.T, url string) *Wire {
	t.Helper()
	w, err := New(
		Config{Endpoint: providers.Endpoint{Name: "e", Protocol: nightshift.Chat, BaseURL: url,
			Auth: providers.Auth{Scheme: providers.AuthNone}}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A small request leaves in one write. A large one takes more, and says how
// far it has come.
func TestOneWrite(t *testing.T) {
	var got atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got.Store(n)
		_, _ = io.WriteString(w,
			`{"id":"c","model":"m","choices":[{"index":0,"message":{"content":"Hi"},"finish_reason":"stop"}]}`)
	}))
	defer server.Close()
	w := open(t, server.URL)
	n := countWrites(t, w)
	for size, one := range map[int]bool{100: true, 1000: true, writeBuffer - headerRoom: true, writeBuffer: false} {
		n.Store(0)
		body := `{"x":"` + strings.Repeat("y", size-8) + `"}`
		x := w.Send(context.Background(), providers.Prepared{Body: []byte(body), Model: "m"})
		if x.Err != nil || !x.Sent || got.Load() != int64(size) {
			t.Errorf("%d bytes: %v, sent %v, %d arrived", size, x.Err, x.Sent, got.Load())
		}
		if (n.Load() == 1) != one {
			t.Errorf("%d bytes: %d writes", size, n.Load())
		}
	}
}

// A connection that breaks after a small request was written may have been
// billed, whether or not the server read it.
func TestOneWriteMaybeBilled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = c.Read(make([]byte, 32<<10))
		c.Close()
	}()
	x := open(t, "http://"+l.Addr().String()).Send(context.Background(),
		providers.Prepared{Body: []byte(`{}`), Model: "m"})
	if x.Err == nil || !x.Err.MaybeBilled || !x.Sent {
		t.Errorf("%+v, sent %v", x.Err, x.Sent)
	}
}
