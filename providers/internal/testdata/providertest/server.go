package providertest

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A Server is a faulty model server on 127.0.0.1 that speaks HTTP/1.1 by hand,
// so that it can break it.
type Server struct {
	URL string // base URL

	requests atomic.Int64
	listener net.Listener
	done     chan struct{}
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]bool
}

// Requests is how many whole requests have been read.
func (s *Server) Requests() int { return int(s.requests.Load()) }

// Close ends the server and everything that hangs on it.
func (s *Server) Close() {
	select {
	case <-s.done:
		return
	default:
	}
	close(s.done)
	_ = s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// serve starts a server that hands every connection to handle.
func serve(tb testing.TB, l net.Listener, scheme string, handle func(s *Server, conn net.Conn)) *Server {
	tb.Helper()
	s := &Server{listener: l, done: make(chan struct{}), conns: map[net.Conn]bool{},
		URL: scheme + "://" + l.Addr().String()}
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.track(conn, handle)
		}
	}()
	tb.Cleanup(s.Close)
	return s
}

func (s *Server) track(conn net.Conn, handle func(*Server, net.Conn)) {
	s.mu.Lock()
	s.conns[conn] = true
	s.mu.Unlock()
	s.wg.Add(1)
	go func() {
		defer s.wg.Done()
		handle(s, conn)
		_ = conn.Close()
		s.mu.Lock()
		delete(s.conns, conn)
		s.mu.Unlock()
	}()
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// An Exchange is one request that a fault answers. Its methods give up
// silently when the client has gone.
type Exchange struct {
	Case
	Request *http.Request // its body has been read into Body
	Body    []byte
	N       int // 1-based, over all connections of the server
	conn    net.Conn
	out     *bufio.Writer
	done    <-chan struct{}
	kept    bool // the connection may carry another request
}

// talk reads requests off a connection and lets respond answer them, until it
// closes or respond does not keep it.
func talk(c Case, respond func(*Exchange)) func(*Server, net.Conn) {
	return func(s *Server, conn net.Conn) {
		in := bufio.NewReader(conn)
		for {
			req, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return
			}
			x := &Exchange{Case: c, Request: req, Body: body, N: int(s.requests.Add(1)), conn: conn,
				out: bufio.NewWriter(conn), done: s.done}
			respond(x)
			_ = x.out.Flush()
			if !x.kept {
				return
			}
		}
	}
}

// Answer sends a whole response with a right Content-Length. Headers are
// name, value pairs.
func (x *Exchange) Answer(status int, body string, headers ...string) {
	x.Head(status, append(headers, "Content-Length", fmt.Sprint(len(body)))...)
	x.Write(body)
	x.kept = true
}

// Head sends status line and headers.
func (x *Exchange) Head(status int, headers ...string) {
	fmt.Fprintf(x.out, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(x.out, "%s: %s\r\n", headers[i], headers[i+1])
	}
	io.WriteString(x.out, "\r\n")
	_ = x.out.Flush()
}

// Write sends bytes as they are.
func (x *Exchange) Write(s string) {
	io.WriteString(x.out, s)
	_ = x.out.Flush()
}

// Chunk sends a chunk of a chunked body; "" ends it.
func (x *Exchange) Chunk(s string) {
	if s == "" {
		x.kept = true
	}
	x.Write(fmt.Sprintf("%x\r\n%s\r\n", len(s), s))
}

// Good sends the whole answer of the case, a stream event by event. Headers
// are added to its own.
func (x *Exchange) Good(headers ...string) { x.GoodBody(x.good(), headers...) }

// GoodBody sends a body as Good does.
func (x *Exchange) GoodBody(body string, headers ...string) {
	headers = append([]string{"Content-Type", x.contentType()}, headers...)
	if !x.Stream {
		x.Answer(http.StatusOK, body, headers...)
		return
	}
	x.Head(http.StatusOK, append(headers, "Transfer-Encoding", "chunked")...)
	for _, event := range strings.SplitAfter(body, "\n\n") {
		if event != "" {
			x.Chunk(event)
		}
	}
	x.Chunk("")
}

// Problem sends an error in the case's dialect.
func (x *Exchange) Problem(status int, kind, code, message string, headers ...string) {
	x.Answer(status, x.echoing(x.Request, status, kind, code, message),
		append([]string{"Content-Type", "application/json"}, headers...)...)
}

// Begin sends the head of a good answer without a length, and the first n
// events of it when it is streamed.
func (x *Exchange) Begin(n int) {
	x.Head(http.StatusOK, "Content-Type", x.contentType(), "Connection", "close")
	if x.Stream {
		x.Write(strings.Join(x.events()[:n], ""))
	}
}

// Content is how many of the events must have come for the head of the text
// to be there.
func (c Case) content() int {
	for i, event := range c.events() {
		if strings.Contains(event, quote(head)) {
			return i + 1
		}
	}
	return 0
}

// Hang waits until the client or the server has gone.
func (x *Exchange) Hang() {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = x.conn.Read(make([]byte, 1))
	}()
	select {
	case <-gone:
	case <-x.done:
	}
}

// Drip sends s a byte at a time until the client has gone.
func (x *Exchange) Drip(s string, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := 0; i < len(s); i++ {
		if _, err := x.conn.Write([]byte{s[i]}); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-x.done:
			return
		}
	}
}

// Reset breaks the connection the hard way.
func (x *Exchange) Reset() {
	_ = x.out.Flush()
	if tcp, ok := x.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = x.conn.Close()
}

// echo is the key as it came, in the forms in which servers show it.
func echo(req *http.Request) []string {
	if req == nil {
		return []string{"nothing"}
	}
	key := keyOf(req)
	if key == "" {
		return []string{"no key"}
	}
	return []string{key, url.QueryEscape(key), base64.StdEncoding.EncodeToString([]byte(key)),
		base64.URLEncoding.EncodeToString([]byte("key:" + key))}
}
