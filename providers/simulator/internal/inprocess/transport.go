// Package inprocess hands HTTP requests to a handler inside this process.
package inprocess

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"nightshift/internal/netx"
)

// A Transport is a RoundTripper without sockets and without timers of its own:
// one goroutine per request, which ends with it. Broken connections, half-read
// bodies and cancellation look as they do over TCP, so it may be used in
// testing/synctest bubbles. Every URL reaches the handler. The handler's
// ResponseWriter has a method BreakOff, which breaks the connection.
type Transport struct{ Handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	if err := ctx.Err(); err != nil {
		cancel()
		closeBody(req)
		return nil, err
	}
	l := &line{ready: make(chan struct{}), header: http.Header{}, ctx: ctx, cancel: cancel}
	l.changed = make(chan struct{}, 1)
	l.room = make(chan struct{}, 1)
	go l.run(t.Handler, incoming(ctx, req))
	select {
	case <-l.ready:
		return l.response(req)
	case <-req.Context().Done():
		l.hangUp()
		return nil, req.Context().Err()
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// incoming is the request as a server sees it.
func incoming(ctx context.Context, req *http.Request) *http.Request {
	in := req.Clone(ctx)
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "in-process"
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	return in
}

// window is how many bytes a server may send ahead of its reader, as the
// buffers of a TCP connection let it.
const window = 64 << 10

// A line is the way back from the server to one client.
type line struct {
	header http.Header
	ready  chan struct{} // closed when the status is known, or never will be
	ctx    context.Context
	cancel context.CancelFunc

	changed chan struct{} // holds a value when there is news for the reader
	room    chan struct{} // holds a value when there is room for the writer

	mu      sync.Mutex
	status  int
	sent    http.Header
	buffer  bytes.Buffer
	length  int64 // announced; -1 is unknown
	wrote   int64
	isReady bool
	ended   bool // the server is done
	broken  bool // without ending well
	hungUp  bool // the client is gone
	unread  bool // and left something unread
}

// run lets the server answer.
func (l *line) run(h http.Handler, req *http.Request) {
	defer l.cancel()
	defer func() { _ = req.Body.Close() }()
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler { // as net/http does
			log.Printf("simulator: panic: %v\n%s", p, debug.Stack())
		}
		l.end(p != nil)
	}()
	h.ServeHTTP(l, req)
}

// end is the last thing that happens on a line.
func (l *line) end(broken bool) {
	l.mu.Lock()
	if l.status == 0 && !l.broken && !broken {
		l.writeHeader(http.StatusOK)
	}
	l.ended = true
	l.broken = l.broken || broken || l.length >= 0 && l.wrote < l.length
	l.beReady()
	l.mu.Unlock()
	signal(l.changed)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// beReady lets RoundTrip return; l.mu is held.
func (l *line) beReady() {
	if !l.isReady {
		l.isReady = true
		close(l.ready)
	}
}

// Header implements http.ResponseWriter.
func (l *line) Header() http.Header { return l.header }

// WriteHeader implements http.ResponseWriter.
func (l *line) WriteHeader(status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writeHeader(status)
}

func (l *line) writeHeader(status int) {
	if l.status != 0 {
		return
	}
	l.status = status
	l.sent = l.header.Clone()
	if l.sent == nil {
		l.sent = http.Header{}
	}
	if l.sent.Get("Date") == "" {
		l.sent.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	l.length = -1
	if v := l.sent.Get("Content-Length"); v != "" {
		l.length, _ = strconv.ParseInt(v, 10, 64) // written by the handler
	}
	l.beReady()
}

// Write implements http.ResponseWriter. It blocks while the reader is a
// window behind.
func (l *line) Write(b []byte) (n int, err error) {
	l.mu.Lock()
	l.writeHeader(http.StatusOK)
	for {
		if l.hungUp {
			l.mu.Unlock()
			return n, net.ErrClosed
		}
		take := min(len(b), window-l.buffer.Len())
		l.buffer.Write(b[:take])
		l.wrote += int64(take)
		n, b = n+take, b[take:]
		full := len(b) > 0
		l.mu.Unlock()
		signal(l.changed)
		if !full {
			return n, nil
		}
		select {
		case <-l.room:
		case <-l.ctx.Done(): // a client that is gone reads no more
			return n, net.ErrClosed
		}
		l.mu.Lock()
	}
}

// FlushError reports whether the client left something unread. A client that
// has read everything may be gone before the server looks.
func (l *line) FlushError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.unread {
		return net.ErrClosed
	}
	return nil
}

// BreakOff ends the line as a broken connection.
func (l *line) BreakOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	l.beReady()
}

// hangUp is the client going away.
func (l *line) hangUp() {
	l.mu.Lock()
	l.hungUp, l.unread = true, l.unread || l.buffer.Len() > 0
	l.buffer.Reset()
	l.mu.Unlock()
	l.cancel()
	signal(l.room)
}

// errReset is what a client sees of a connection that breaks before an answer.
var errReset = &net.OpError{Op: "read", Net: "in-process", Err: netx.ErrReset}

// response is what the client gets once the status is known.
func (l *line) response(req *http.Request) (*http.Response, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status == 0 {
		l.cancel()
		return nil, errReset
	}
	return &http.Response{
		Status: strconv.Itoa(l.status) + " " + http.StatusText(l.status), StatusCode: l.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: l.sent, Body: &lineBody{l, req.Context()}, ContentLength: l.length, Request: req,
	}, nil
}

// A lineBody reads what the server sends.
type lineBody struct {
	*line
	ctx context.Context // of the request: its end breaks the body off, as in net/http
}

// Read implements io.Reader.
func (b *lineBody) Read(p []byte) (int, error) {
	for {
		if err := b.ctx.Err(); err != nil {
			b.hangUp()
			return 0, err
		}
		n, err := b.take(p)
		if n > 0 || err != nil || len(p) == 0 {
			return n, err
		}
		select {
		case <-b.changed:
		case <-b.ctx.Done():
		}
	}
}

func (l *line) take(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hungUp {
		return 0, http.ErrBodyReadAfterClose
	}
	if l.buffer.Len() > 0 {
		n, _ := l.buffer.Read(p)
		signal(l.room)
		return n, nil
	}
	switch {
	case l.broken && l.ended:
		return 0, io.ErrUnexpectedEOF
	case l.ended || l.length >= 0 && l.wrote == l.length && !l.broken:
		return 0, io.EOF
	}
	return 0, nil
}

// Close implements io.Closer.
func (b *lineBody) Close() error {
	b.hangUp()
	return nil
}
