package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"nightshift"
	"nightshift/providers"
)

// A Call is one exchange that asks for no answer of a model: about files and
// batches.
type Call struct {
	Method, URL string
	Header      http.Header // beside the endpoint's, which they replace
	// Body opens the request's body, nil without one. It is called again only
	// where the key was refused and another could be read; it returns nil when
	// it cannot be opened again.
	Body   func() io.Reader
	Length int64 // of Body, in bytes; what is sent is exactly so long
	// To gets the body of a good answer as it comes, uncompressed; nil keeps it
	// in [Reply.Body].
	To io.Writer
	// Most is how many bytes of a good answer are read; 0 is the Wire's own cap.
	Most int64
	// NoKey sends no key: the URL says itself who may read there.
	NoKey bool
}

// A Reply is what came back of a Call.
type Reply struct {
	Status int // 0 when no answer came
	Header http.Header
	Body   []byte
	Bytes  int64         // of the body that were read, uncompressed
	Date   time.Time     // the server's clock; zero when it does not say
	Wait   time.Duration // for which the server asked, with good answers too; 0 for none
	// Unsent is true when the server cannot have got the whole request.
	Unsent bool
}

// callTotal bounds a whole call. Files of hundreds of megabytes take hours on a
// slow line, and progress is watched all the time.
const callTotal = 24 * time.Hour

// Call makes one exchange. It is not repeated, whatever happens to it, but for
// a key that was refused and can be read again. A status other than 2xx is an
// error, of the classes of answers of models. The key is in no error.
func (w *Wire) Call(ctx context.Context, c Call) (Reply, *nightshift.Error) {
	k := w.keys.current()
	reply, e := w.call(ctx, c, k)
	if e == nil || e.Class != nightshift.ClassAuth || e.Status == 0 || c.NoKey {
		return reply, e
	}
	next, ok := w.keys.renew(k)
	if !ok {
		return reply, e
	}
	again := c
	if c.Body != nil {
		body := c.Body()
		if body == nil {
			return reply, e
		}
		again.Body = func() io.Reader { return body }
	}
	return w.call(ctx, again, next)
}

func (w *Wire) call(ctx context.Context, c Call, k *keyed) (Reply, *nightshift.Error) {
	timeouts := w.timeouts
	timeouts.Total = max(timeouts.Total, callTotal)
	a := &attempt{wire: w, keyed: k, sending: &sendProgress{}}
	a.watch = newWatch(ctx, timeouts)
	defer a.watch.stop()
	req, err := a.callRequest(c)
	if err != nil {
		return Reply{Unsent: true},
			a.callFailed(&nightshift.Error{Class: nightshift.ClassInvalidRequest, Message: err.Error()})
	}
	resp, err := w.transport.RoundTrip(req)
	if err != nil {
		e := a.noAnswer(err)
		return Reply{Unsent: !e.MaybeBilled && e.Class != nightshift.ClassBadResponse}, a.callFailed(e)
	}
	defer resp.Body.Close()
	a.watch.connected()
	return a.readCall(c, resp)
}

// callFailed makes an error fit to be shown.
func (a *attempt) callFailed(e *nightshift.Error) *nightshift.Error {
	a.ex.Err = e
	if e.Class == nightshift.ClassAuth {
		a.explain(e)
	}
	a.redact()
	return e
}

func (a *attempt) callRequest(c Call) (*http.Request, error) {
	to, err := url.Parse(c.URL)
	if err != nil || to.Host == "" {
		return nil, errors.New("the URL of a call cannot be read")
	}
	if c.NoKey && to.Scheme != "https" && !a.wire.withoutTLS() {
		return nil, errors.New("the server named a place that does not speak TLS")
	}
	trace := &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { a.watch.connected() },
		WroteHeaders: func() {
			a.sending.began.Store(true)
			a.sending.whole.Store(a.sending.whole.Load() || c.Body == nil)
		},
		TLSHandshakeDone: a.handshake,
	}
	req := (&http.Request{
		Method: c.Method, URL: to, Host: to.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.callHeader(c), Body: http.NoBody,
	}).WithContext(httptrace.WithClientTrace(a.watch.context(), trace))
	if c.Body != nil {
		req.Body = &callBody{from: c.Body(), left: c.Length, attempt: a}
		req.ContentLength = c.Length
	}
	return req, nil
}

func (a *attempt) callHeader(c Call) http.Header {
	h := http.Header{}
	if !c.NoKey {
		h = maps.Clone(a.keyed.header)
	}
	h["Accept"] = acceptJSON
	if c.To != nil {
		h["Accept"], h["Accept-Encoding"] = []string{"*/*"}, []string{"identity"} // its length is checked
	}
	if c.Body == nil {
		delete(h, "Content-Type")
	}
	maps.Copy(h, c.Header)
	return h
}

// A callBody is a request's body of a known length, which tells how far it has
// come. Without a GetBody beside it, nothing below can send it twice.
type callBody struct {
	from    io.Reader
	left    int64
	attempt *attempt
}

func (b *callBody) Read(p []byte) (int, error) {
	b.attempt.watch.sending()
	b.attempt.sending.began.Store(true)
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left <= 0 {
		b.attempt.sending.whole.Store(true)
	}
	return n, err
}

func (*callBody) Close() error { return nil }

// readCall takes the answer's headers and body.
func (a *attempt) readCall(c Call, resp *http.Response) (Reply, *nightshift.Error) {
	reply := Reply{Status: resp.StatusCode, Header: resp.Header}
	reply.Date, _ = http.ParseTime(resp.Header.Get("Date"))
	if report := providers.ParseLimits(resp.Header, time.Now()); report.HasRetryAfter {
		reply.Wait = report.RetryAfter
	}
	a.ex.Response.RequestID = providers.RequestID(resp.Header)
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return a.callRefused(resp, reply)
	}
	if c.To != nil {
		return a.download(c, resp, reply)
	}
	limit := c.Most
	if limit == 0 {
		limit = a.wire.maxBody
	}
	b, err := newBody(resp, limit, a.watch.progress)
	if err == nil {
		err = b.rest()
	}
	reply.Body, reply.Bytes = a.keyed.redactor.Live(b.raw), int64(len(b.raw))
	if err != nil {
		return reply, a.callBroken(resp.StatusCode, err)
	}
	return reply, nil
}

// callRefused reads an answer that is an error by its status.
func (a *attempt) callRefused(resp *http.Response, reply Reply) (Reply, *nightshift.Error) {
	b, err := newBody(resp, maxErrorBody, a.watch.progress)
	if err == nil {
		_ = b.rest() // what came serves
	}
	reply.Body, reply.Bytes = a.keyed.redactor.Live(b.raw), int64(len(b.raw))
	e := providers.Classify(resp.StatusCode, resp.Header, reply.Body)
	if wait, ok := providers.BodyRetryAfter(reply.Body, time.Now()); ok && reply.Wait == 0 {
		reply.Wait = wait
	}
	if e.RequestID == "" {
		e.RequestID = a.ex.Response.RequestID
	}
	e.MaybeBilled = false
	return reply, a.callFailed(e)
}

// callBroken says why a good answer could not be read to its end.
func (a *attempt) callBroken(status int, err error) *nightshift.Error {
	e := a.brokenOff(err)
	e.Status, e.RequestID = status, a.ex.Response.RequestID
	return a.callFailed(e)
}

// download hands a body on as it comes.
func (a *attempt) download(c Call, resp *http.Response, reply Reply) (Reply, *nightshift.Error) {
	from, err := plainBody(resp)
	if err == nil {
		sink := &watched{to: c.To, most: c.Most, progress: a.watch.progress}
		_, err = io.Copy(sink, from)
		if reply.Bytes = sink.n; sink.failed != nil {
			return reply,
				&nightshift.Error{Class: nightshift.ClassInput,
					Message: "writing what was downloaded: " + sink.failed.Error(), Err: sink.failed}
		}
	}
	if err != nil {
		return reply, a.callBroken(resp.StatusCode, err)
	}
	return reply, nil
}

// plainBody is a body without the compression that some servers use unasked.
func plainBody(resp *http.Response) (io.Reader, error) {
	switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
		return resp.Body, nil
	case "gzip", "x-gzip":
		return &gunzip{from: bufio.NewReaderSize(resp.Body, 64<<10)}, nil
	default:
		return nil, fmt.Errorf("%w: content-encoding %q", errEncoding, encoding)
	}
}

// watched counts what it hands on, and tells of progress.
type watched struct {
	to       io.Writer
	n, most  int64
	progress func()
	failed   error // of to
}

func (w *watched) Write(p []byte) (int, error) {
	w.progress()
	if w.most > 0 && w.n+int64(len(p)) > w.most {
		return 0, fmt.Errorf("%w: more than %d bytes", errTooLong, w.most)
	}
	n, err := w.to.Write(p)
	w.n += int64(n)
	w.failed = err
	return n, err
}

// Read reads a body that came in another way than as the answer to a request of
// its own, as one line of a file of results. It decides as [Wire.Send] does; p
// is what is known of the request, of which the model is enough. text must not
// change afterwards.
func (w *Wire) Read(p providers.Prepared, status int, text []byte) providers.Exchange {
	a := &attempt{wire: w, prepared: p, keyed: w.keys.current()}
	r := &a.ex.Response
	r.Status, r.RequestHash = status, p.Hash
	text = a.clean(bytes.TrimSpace(text))
	r.Raw = text
	resp := &http.Response{StatusCode: status}
	if status >= 200 && status < 300 {
		a.decode(resp, text)
	} else {
		a.refused(resp, text, nil)
	}
	if e := a.ex.Err; e != nil {
		e.Status = status
	} else {
		a.compareModel()
	}
	a.redact()
	return a.ex
}
