// Package plainhttp carries short requests over HTTP/1.1 without TLS. It does
// the work on the caller's goroutine, with one write and the reads that the
// answer takes, where net/http keeps two goroutines for each connection. That
// is worth having with servers of one's own, which answer many thousands of
// requests a second; all else is net/http's: proxies, TLS, HTTP/2, long
// requests. Answers are parsed by [http.ReadResponse].
package plainhttp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"nightshift/internal/netx"
)

// A Request is what is sent. It leaves in one write.
type Request struct {
	Method string
	URL    *url.URL
	Header []byte // its lines as [HeaderLines] makes them, without Host and Content-Length
	Body   []byte
	Watcher
}

// A Watcher follows an exchange and may end it.
type Watcher interface {
	// Context is that under which a connection is made.
	Context() context.Context
	// Connected is called once a connection is there, before anything is sent. From
	// then until Release the watcher may close it.
	Connected(c io.Closer)
	// Sending is called before the write: from then on the server may have all.
	Sending()
	// Release is called when the exchange has ended, and reports whether the watcher
	// has left the connection open.
	Release() bool
}

// HeaderLines returns headers as they are sent. Requests that have them in common
// can share the result.
func HeaderLines(h http.Header) []byte {
	var b bytes.Buffer
	_ = h.Write(&b) // cannot fail
	return b.Bytes()
}

// Suits reports whether requests to this address can go this way: plain HTTP
// to a host whose name is ASCII, without a proxy, on a system that can tell
// whether a connection was closed.
func Suits(u *url.URL, proxy func(*http.Request) (*url.URL, error)) bool {
	if !netx.CanTell || u.Scheme != "http" || u.User != nil || u.Hostname() == "" {
		return false
	}
	for _, c := range []byte(u.Host) {
		if c >= 0x80 || c <= ' ' {
			return false
		}
	}
	if proxy == nil {
		return true
	}
	through, err := proxy(&http.Request{URL: u})
	return err == nil && through == nil
}

// Send sends the request once and returns the answer as soon as its headers
// are read. Its body must be read to its end or closed. When ctx ends, the
// connection is closed, and with it ends what is being read. A connection that
// was closed while it was idle is not used, so nothing is sent twice.
func (t *Transport) Send(ctx context.Context, r Request) (*http.Response, error) {
	c, err := t.connection(r, address(r.URL))
	if err != nil {
		return nil, err
	}
	c.stop = context.AfterFunc(ctx, c.end)
	r.Connected(c)
	resp, err := c.exchange(r, t.MaxHeader)
	if err != nil {
		c.stop()
		r.Release()
		c.Close()
		if ended := ctx.Err(); ended != nil {
			return nil, ended
		}
		return nil, err
	}
	t.handOver(c, resp, r)
	return resp, nil
}

// address is the host and port of a URL.
func address(u *url.URL) string {
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "80")
	}
	return u.Host
}

// exchange writes the request and reads the headers of its answer.
func (c *conn) exchange(r Request, maxHeader int64) (*http.Response, error) {
	if err := c.write(r); err != nil {
		return nil, err
	}
	c.left = maxHeader
	defer func() { c.left = math.MaxInt64 }()
	for { // past interim answers, 1xx; their bytes count too
		if _, err := c.in.Peek(1); err != nil {
			return nil, err // io.EOF: closed before the answer began
		}
		resp, err := http.ReadResponse(c.in, nil)
		switch {
		case err != nil && c.left <= 0:
			return nil, fmt.Errorf("server response headers exceeded %d bytes", maxHeader)
		case err != nil:
			return nil, err
		case resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols:
			return resp, nil
		}
	}
}

// heads holds the buffers of requests on their way.
var heads = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func (c *conn) write(r Request) error {
	b := heads.Get().(*bytes.Buffer)
	defer heads.Put(b)
	b.Reset()
	b.WriteString(r.Method)
	b.WriteByte(' ')
	b.WriteString(r.URL.RequestURI())
	b.WriteString(" HTTP/1.1\r\nHost: ")
	b.WriteString(r.URL.Host)
	b.WriteString("\r\nContent-Length: ")
	b.Write(strconv.AppendInt(b.AvailableBuffer(), int64(len(r.Body)), 10))
	b.WriteString("\r\n")
	b.Write(r.Header)
	b.WriteString("\r\n")
	b.Write(r.Body)
	r.Sending()
	_, err := c.Write(b.Bytes())
	return err
}

// A conn is a connection and what has been read of it.
type conn struct {
	net.Conn
	address string
	in      *bufio.Reader
	left    int64       // bytes that may still be read; without bound but for headers
	end     func()      // closes it
	stop    func() bool // keeps the end of the context from closing it
	alive   func() bool // whether it is open and silent, while it is idle
	idle    time.Time   // when it was put back
}

// Read is io.Reader, for in.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	return n, err
}
