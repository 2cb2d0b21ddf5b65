package plainhttp

import (
	"bufio"
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"sync"
	"time"

	"nightshift/internal/netx"
)

// A Transport keeps the connections that are idle. All fields must be set.
type Transport struct {
	Dial        func(ctx context.Context, network, address string) (net.Conn, error)
	MaxIdle     int           // connections kept for each address
	IdleTimeout time.Duration // after which an idle connection is closed
	MaxHeader   int64         // bytes of an answer's headers
	ReadBuffer  int           // bytes of a connection's buffer

	mu   sync.Mutex
	idle map[string][]*conn // by address; the one used last is last
}

// connection takes an idle connection or makes one.
func (t *Transport) connection(w Watcher, address string) (*conn, error) {
	for {
		c := t.take(address)
		if c == nil {
			break
		}
		if c.alive() {
			return c, nil
		}
		c.Close()
	}
	raw, err := t.Dial(w.Context(), "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw, address: address, left: math.MaxInt64, alive: netx.Watch(raw)}
	c.end = func() { raw.Close() }
	c.in = bufio.NewReaderSize(c, t.ReadBuffer)
	return c, nil
}

func (t *Transport) take(address string) *conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.idle[address]
	if len(kept) == 0 {
		return nil
	}
	c := kept[len(kept)-1]
	t.idle[address] = kept[:len(kept)-1]
	return c
}

// put keeps a connection for the next request, and closes those that nobody
// has needed for too long.
func (t *Transport) put(c *conn) {
	c.idle = time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.idle == nil {
		t.idle = map[string][]*conn{}
	}
	kept := t.idle[c.address]
	for len(kept) > 0 && (len(kept) >= t.MaxIdle || c.idle.Sub(kept[0].idle) > t.IdleTimeout) {
		kept[0].Close()
		kept = kept[1:]
	}
	t.idle[c.address] = append(kept, c)
}

// CloseIdleConnections closes the connections that are not in use.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, kept := range t.idle {
		for _, c := range kept {
			c.Close()
		}
	}
	t.idle = nil
}

// handOver gives the connection to the answer's body: with the end of the body
// it is free again.
func (t *Transport) handOver(c *conn, resp *http.Response, w Watcher) {
	b := &body{ReadCloser: resp.Body, conn: c, transport: t, watcher: w}
	b.reuse = !resp.Close && resp.StatusCode != http.StatusSwitchingProtocols
	if resp.Body == http.NoBody || resp.ContentLength == 0 {
		b.end(true)
	}
	resp.Body = b
}

// A body is an answer's body that owns its connection.
type body struct {
	io.ReadCloser
	transport *Transport
	watcher   Watcher
	conn      *conn // nil once it was given back or closed
	reuse     bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.end(err == io.EOF)
	}
	return n, err
}

// Close gives up what was not read: the connection is closed with it.
func (b *body) Close() error {
	b.end(false)
	return nil
}

// end gives the connection back, when all was read and nothing more came.
func (b *body) end(whole bool) {
	c := b.conn
	if c == nil {
		return
	}
	b.conn = nil
	stopped, released := c.stop(), b.watcher.Release() // both, whatever the other says
	if stopped && released && whole && b.reuse && c.in.Buffered() == 0 {
		b.transport.put(c)
		return
	}
	c.Close()
}
