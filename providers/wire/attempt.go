package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers"
	"nightshift/providers/sse"
)

// An attempt is one Send.
type attempt struct {
	wire      *Wire
	keyed     *keyed // the key that is sent
	prepared  providers.Prepared
	method    string   // empty means POST
	to        *url.URL // nil means where the request goes
	watch     *watch
	sending   *sendProgress // of the request that is or was on its way
	tlsFailed atomic.Bool
	ex        providers.Exchange

	tier       string              // of service, as a header says
	headerCost *nightshift.NanoUSD // what a header says that the answer cost; nil without one
}

func (a *attempt) run(ctx context.Context) {
	a.sending = &sendProgress{}
	a.watch = newWatch(ctx, a.wire.timeouts)
	defer a.watch.stop()
	resp, err := a.post(ctx)
	if err != nil {
		a.fail(a.noAnswer(err))
	} else {
		a.wire.heard.Store(true)
		a.watch.connected() // a transport that is no network says nothing itself
		a.read(resp)
		_ = resp.Body.Close()
	}
	a.finish()
}

func (a *attempt) fail(e *nightshift.Error) { a.ex.Err = e }

// begun tells that an answer has begun. Headers and blanks say nothing: some
// gateways send them at once, to keep the connection open.
func (a *attempt) begun() {
	if a.prepared.Begun != nil {
		a.prepared.Begun()
	}
}

// finish fills in what is known whatever happened, and takes the key out of
// everything.
func (a *attempt) finish() {
	r := &a.ex.Response
	r.RequestHash = a.prepared.Hash
	if r.Latency == 0 {
		r.Latency = time.Since(a.watch.started)
	}
	a.ex.Sent = a.sending.began.Load()
	if e := a.ex.Err; e != nil {
		e.Status = r.Status
		if e.RequestID == "" {
			e.RequestID = r.RequestID
		}
		a.explain(e)
	} else {
		a.compareModel()
	}
	a.redact()
}

// read takes the answer's headers and body.
func (a *attempt) read(resp *http.Response) {
	a.headersOf(resp)
	if resp.StatusCode < 200 || resp.StatusCode == http.StatusSwitchingProtocols {
		a.fail(providers.Classify(resp.StatusCode, resp.Header, nil))
		return
	}
	success := resp.StatusCode < 300
	limit := a.wire.maxBody
	if !success {
		limit = min(limit, maxErrorBody)
	}
	byBytes := !a.prepared.Stream || !success
	b, err := newBody(resp, limit, func() {
		if byBytes {
			a.watch.progress()
		}
	})
	if err != nil {
		a.unread(resp, b, err)
		return
	}
	form := b.sniff()
	if form == list && !a.prepared.Stream {
		form = whole
	}
	if form != whole && success && resp.StatusCode != http.StatusPartialContent {
		byBytes = false
		a.readStream(b, form)
		return
	}
	byBytes = true
	a.watch.progress()
	if success {
		a.begun()
	}
	a.readWhole(resp, b, b.rest())
}

func (a *attempt) headersOf(resp *http.Response) {
	r := &a.ex.Response
	r.Status = resp.StatusCode
	r.RequestID = providers.RequestID(resp.Header)
	a.headerCost = headerCost(resp.Header)
	a.tier = strings.ToLower(resp.Header.Get("X-Gemini-Service-Tier"))
	r.Usage.Reported = a.headerCost
	a.ex.Limits = providers.ParseLimits(resp.Header, time.Now())
	if !providers.RetryAfterCounts(resp.StatusCode) {
		a.ex.Limits.RetryAfter, a.ex.Limits.HasRetryAfter = 0, false
	}
}

// headerCost is the cost that LiteLLM's proxy states beside an answer; nil
// without one. 0 is what it says of models whose price it does not know, and of
// streams before they begin.
func headerCost(h http.Header) *nightshift.NanoUSD {
	stated := h.Get("X-Litellm-Response-Cost")
	if stated == "" {
		return nil
	}
	usd, err := strconv.ParseFloat(stated, 64)
	if err != nil || !(usd > 0 && usd < 1e6) {
		return nil
	}
	cost := nightshift.NanoUSD(math.Round(usd * 1e9))
	return &cost
}

// readWhole reads an answer that is no stream, whose body has been read up to
// err.
func (a *attempt) readWhole(resp *http.Response, b *body, err error) {
	a.ex.Response.Latency = time.Since(a.watch.started)
	text := a.clean(b.keep())
	a.ex.Response.Raw = text
	late := err != nil && a.ended() != nil
	if resp.StatusCode >= 300 {
		a.refused(resp, text, err)
		return
	}
	if err != nil && !(late && endsWhole(text)) {
		a.unread(resp, b, err)
		return
	}
	if resp.StatusCode == http.StatusPartialContent || resp.StatusCode == http.StatusNoContent {
		a.fail(providers.Classify(resp.StatusCode, resp.Header, text))
		return
	}
	a.decode(resp, text)
	if err != nil && a.ex.Err == nil {
		a.ex.Response.Flag("body_not_closed")
	}
}

// endsWhole reports whether a body that never ended could be a whole JSON
// answer: one that was paid for and read is kept.
func endsWhole(text []byte) bool {
	text = bytes.TrimSpace(text)
	return len(text) > 1 && text[len(text)-1] == '}'
}

// refused is an answer that is an error by its status. What could be read of
// its body serves, even when reading it failed.
func (a *attempt) refused(resp *http.Response, text []byte, err error) {
	if err != nil && errors.Is(err, errEncoding) {
		text = nil // not to be shown to anybody
	}
	e := providers.Classify(resp.StatusCode, resp.Header, text)
	e.Err = err
	a.bodyWait(text, e)
	a.refusedUsage(text, e)
	a.fail(e)
}

// refusedUsage reads what an error reply says that it used.
func (a *attempt) refusedUsage(text []byte, e *nightshift.Error) {
	doc := rawjson.Borrow()
	defer doc.Return()
	if !bytes.Contains(text, []byte(`"usage`)) {
		return
	}
	if root, err := doc.Scan(text); err == nil {
		a.errorUsage(root, e)
	}
}

// bodyWait takes a wait from the body, or from the moment at which the limit
// is full again, where no header names one.
func (a *attempt) bodyWait(text []byte, e *nightshift.Error) {
	report := &a.ex.Limits
	a.tooLargeForLimit(text, e)
	if d, ok := providers.DayEnds(text, time.Now()); ok && e.Class == nightshift.ClassQuota {
		report.RetryAfter, report.HasRetryAfter = d, true
		return
	}
	waits := e.Class == nightshift.ClassRateLimit || e.Class == nightshift.ClassQuota ||
		e.Class == nightshift.ClassOverloaded
	if report.HasRetryAfter || !waits {
		return
	}
	if d, ok := providers.BodyRetryAfter(text, time.Now()); ok {
		report.RetryAfter, report.HasRetryAfter = d, true
		return
	}
	if w := report.Requests; w != nil && w.Remaining == 0 && w.Reset > 0 {
		report.RetryAfter, report.HasRetryAfter = w.Reset, true
	}
}

// tooLargeForLimit makes a refusal that names the input tokens a minute final
// where the prompt alone has more.
func (a *attempt) tooLargeForLimit(text []byte, e *nightshift.Error) {
	if e.Class != nightshift.ClassRateLimit {
		return
	}
	if most, ok := providers.BodyInputLimit(text); ok && providers.LeastInput(a.prepared) > most {
		e.Class = nightshift.ClassExceedsLimit
		e.Hint = fmt.Sprintf("the model's limit is %d input tokens a minute, and this row alone has more: shorten it", most)
	}
}

// unread is an answer that began as a success and could not be read to its
// end.
func (a *attempt) unread(resp *http.Response, b *body, err error) {
	if a.ex.Response.Raw == nil {
		a.ex.Response.Raw = a.clean(b.keep())
	}
	if resp.StatusCode >= 300 {
		a.refused(resp, nil, err)
		return
	}
	a.fail(a.brokenOff(err))
}

// brokenOff says why reading an answer failed.
func (a *attempt) brokenOff(err error) *nightshift.Error {
	e := &nightshift.Error{Class: nightshift.ClassCut, MaybeBilled: true, Err: err,
		Message: "the connection broke in the middle of the answer: " + err.Error()}
	switch {
	case errors.Is(err, errTooLong), errors.Is(err, errBomb), errors.Is(err, sse.ErrLineTooLong):
		e.Class, e.Message = nightshift.ClassTooLong, err.Error()
	case errors.Is(err, errEncoding):
		e.Class, e.Code, e.Message = nightshift.ClassBadResponse, "content_encoding", err.Error()
	default:
		if ended := a.ended(); ended != nil {
			ended.Err, ended.MaybeBilled = err, true
			return ended
		}
		if refusedStream(err.Error()) {
			e.Class, e.MaybeBilled = nightshift.ClassConnection, false
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			e.Message = "the answer ended before its end"
		}
	}
	return e
}

// clean returns a body without the key, as its own slice.
func (a *attempt) clean(raw []byte) []byte {
	safe := a.keyed.redactor.Live(raw)
	if len(safe) != len(raw) {
		a.ex.Response.Flag("key_redacted")
	}
	return safe
}

// redact takes the key out of what is shown to people and what was assembled
// from pieces.
func (a *attempt) redact() {
	red := a.keyed.redactor
	if e := a.ex.Err; e != nil {
		e.Message, e.Code, e.Hint, e.RequestID = red.Redact(e.Message), red.Redact(e.Code), red.Redact(e.Hint),
			red.Redact(e.RequestID)
		e.Err = safely(red.Contains, e.Err)
	}
	r := &a.ex.Response
	r.RequestID = red.Redact(r.RequestID)
	for _, text := range []*string{r.Text, r.Thinking, &r.ServedModel, &r.ID, &r.Fingerprint} {
		if text != nil && red.ContainsText(*text) {
			*text = string(red.Live([]byte(*text)))
			r.Flag("key_redacted")
		}
	}
}

// safely drops a cause whose text holds the key.
func safely(holdsKey func([]byte) bool, err error) error {
	if err != nil && holdsKey([]byte(err.Error())) {
		return errors.New("a cause that held the key was left out")
	}
	return err
}

// explain adds what only the endpoint knows to an error's hint.
func (a *attempt) explain(e *nightshift.Error) {
	switch e.Class {
	case nightshift.ClassNotAnAPI, nightshift.ClassNotFound:
		if hint := a.pathHint(e); hint != "" {
			e.Hint = hint
		}
	case nightshift.ClassAuth:
		if auth := a.wire.endpoint.Auth; e.Status == http.StatusUnauthorized && auth.Scheme != providers.AuthNone {
			e.Hint = "check the key" + from(auth) + ", and how it is sent: now as " + sentAs(auth)
		} else if e.Status == http.StatusUnauthorized {
			e.Hint = "the endpoint wants a key: set auth"
		}
	}
}

func from(auth providers.Auth) string {
	switch {
	case auth.Command != "":
		return " that the command prints"
	case auth.File != "":
		return " in the file " + auth.File
	case auth.Env != "":
		return " in $" + auth.Env
	}
	return ""
}

func sentAs(auth providers.Auth) string {
	switch name := auth.HeaderName(); {
	case name != "Authorization":
		return "the header " + strings.ToLower(name)
	case auth.Scheme == providers.AuthRaw:
		return "Authorization without Bearer"
	}
	return "Authorization: Bearer"
}
