package wire

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	"nightshift/providers/wire/plainhttp"
)

// sendProgress is how far a request has come on its way to the server.
type sendProgress struct {
	began atomic.Bool // the first byte may have left
	whole atomic.Bool // the last byte may have left
}

// leaves notes that the whole request leaves at once.
func (p *sendProgress) leaves() {
	p.began.Store(true)
	p.whole.Store(true)
}

// sentBody is a request's body that tells how far it has been read. It cannot
// be rewound, so no layer below can send it twice.
type sentBody struct {
	bytes.Reader
	sending *sendProgress
	onRead  func()
}

func (b *sentBody) Read(p []byte) (int, error) {
	b.onRead()
	b.sending.began.Store(true)
	n, err := b.Reader.Read(p)
	if b.Len() == 0 {
		b.sending.whole.Store(true)
	}
	return n, err
}

// WriteTo is io.WriterTo; the reader's own would pass the tracking by.
func (b *sentBody) WriteTo(w io.Writer) (int64, error) {
	b.onRead()
	b.sending.began.Store(true)
	n, err := b.Reader.WriteTo(w)
	if err == nil {
		b.sending.whole.Store(true)
	}
	return n, err
}

func (*sentBody) Close() error { return nil }

// post sends the request and waits for the answer's headers.
func (a *attempt) post(ctx context.Context) (*http.Response, error) {
	to, err := a.target()
	if err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		if try > 0 {
			a.sending = &sendProgress{} // what is left of the first try may still tell of itself
		}
		resp, err := a.roundTrip(ctx, to)
		if err == nil || try == 2 || !unsent(err) {
			return resp, err
		}
	}
}

// roundTrip sends the request by the transport that suits it.
func (a *attempt) roundTrip(ctx context.Context, to *target) (*http.Response, error) {
	if to.plain && a.oneWrite() {
		return a.wire.plain.Send(ctx, plainhttp.Request{
			Method: a.httpMethod(), URL: to.URL, Header: a.headerLines(), Body: a.prepared.Body, Watcher: watcher{a},
		})
	}
	req := a.request()
	req.URL, req.Host = to.URL, to.Host
	return a.wire.transport.RoundTrip(req)
}

// A watcher follows an attempt for plainhttp.
type watcher struct{ *attempt }

func (w watcher) Context() context.Context { return w.watch.context() }
func (w watcher) Sending()                 { w.sending.leaves() }
func (w watcher) Release() bool            { return w.watch.release() }

func (w watcher) Connected(c io.Closer) {
	w.watch.connected()
	w.watch.hold(c)
}

func (a *attempt) httpMethod() string { return cmp.Or(a.method, http.MethodPost) }

// target is where the request goes.
func (a *attempt) target() (*target, error) {
	if a.to != nil {
		return &target{URL: a.to}, nil
	}
	return a.wire.target(a.prepared)
}

// unsent reports whether a kept-alive connection turned out to be closed
// before a single byte was written to it. That is no attempt yet: nothing has
// left this machine.
func unsent(err error) bool {
	return strings.Contains(err.Error(), "cannot rewind body after connection loss")
}

func (a *attempt) request() *http.Request {
	j := a.sending
	trace := &httptrace.ClientTrace{
		GotConn:          func(httptrace.GotConnInfo) { a.watch.connected() },
		WroteHeaders:     func() { j.began.Store(true) },
		TLSHandshakeDone: a.handshake,
	}
	body := a.body()
	if a.oneWrite() {
		// Nothing has left yet: headers and body go out together, right after this.
		trace.WroteHeaders = j.leaves
		body = io.NopCloser(bytes.NewReader(a.prepared.Body))
	}
	req := (&http.Request{
		Method: a.httpMethod(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.headers(), Body: body, ContentLength: int64(len(a.prepared.Body)),
	}).WithContext(httptrace.WithClientTrace(a.watch.context(), trace))
	if len(a.prepared.Body) == 0 {
		req.Body = http.NoBody
	}
	return req
}

// oneWrite reports whether headers and body leave in one write, which net/http
// grants to bodies that it knows to be in memory: others cost a second write,
// a second packet, and the server a second read. How far such a request has
// come is all or nothing, so it must fit the write buffer. A transport that
// was given may tell nothing of its progress and gets a body that does.
func (a *attempt) oneWrite() bool {
	return a.wire.owned != nil && len(a.prepared.Body) <= writeBuffer-headerRoom
}

func (a *attempt) body() io.ReadCloser {
	body := &sentBody{sending: a.sending, onRead: a.watch.connected}
	body.Reset(a.prepared.Body)
	return body
}

func (a *attempt) handshake(_ tls.ConnectionState, err error) {
	if err != nil {
		a.tlsFailed.Store(true)
	}
}

func (a *attempt) headers() http.Header {
	h := maps.Clone(a.keyed.header)
	h["Accept"] = acceptJSON
	if a.prepared.Stream {
		h["Accept"] = acceptStream
	}
	if name := a.wire.endpoint.IdempotencyHeader; name != "" && a.prepared.Key != "" {
		// Not in canonical form: Go would take the canonical Idempotency-Key as
		// leave to send a request again by itself.
		h[strings.ToLower(name)] = []string{a.prepared.Key}
	}
	return h
}

// headerLines are the headers as plainhttp sends them.
func (a *attempt) headerLines() []byte {
	switch {
	case a.wire.endpoint.IdempotencyHeader != "" && a.prepared.Key != "":
		return plainhttp.HeaderLines(a.headers())
	case a.prepared.Stream:
		return a.keyed.streamLines
	}
	return a.keyed.lines
}

// headerLinesFor are those of a key's requests that accept this, where nothing
// else is of a request's own.
func headerLinesFor(h http.Header, accept []string) []byte {
	h = maps.Clone(h)
	h["Accept"] = accept
	return plainhttp.HeaderLines(h)
}

var (
	acceptJSON   = []string{"application/json"}
	acceptStream = []string{"text/event-stream"}
)
