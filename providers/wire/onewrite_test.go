package wire_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"nightshift/providers"
)

// A small request leaves in one write: one packet, and one read at the server.
func TestOneWrite(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	first := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b := make([]byte, 32<<10)
		n, _ := c.Read(b)
		first <- string(b[:n])
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"+chatAnswer)
	}()
	p := providers.Prepared{Body: []byte(`{"model":"m","x":"` + strings.Repeat("y", 4000) + `"}`), Model: "m", Hash: "hash"}
	x := build(t, endpoint("http://"+l.Addr().String()), nil).Send(context.Background(), p)
	if x.Err != nil || !x.Sent {
		t.Fatalf("%v, sent %v", x.Err, x.Sent)
	}
	if got := <-first; !strings.HasSuffix(got, string(p.Body)) {
		t.Errorf("the first read ends before the body does:\n%.300s", got)
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
	x := build(t, endpoint("http://"+l.Addr().String()), nil).Send(context.Background(), plain)
	if x.Err == nil || !x.Err.MaybeBilled || !x.Sent {
		t.Errorf("%+v, sent %v", x.Err, x.Sent)
	}
}
