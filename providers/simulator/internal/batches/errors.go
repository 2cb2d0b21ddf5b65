package batches

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"nightshift/providers/simulator/internal/jsontext"
)

// A refusal is an answer that is an error.
type refusal struct {
	status            int
	kind, code, param string
	message           string
	wait              time.Duration // told in Retry-After
}

func invalid(code, param, message string) *refusal {
	return &refusal{status: http.StatusBadRequest, kind: "invalid_request_error", code: code, param: param,
		message: message}
}

func notFound(message string) *refusal {
	return &refusal{status: http.StatusNotFound, kind: "not_found_error", message: message}
}

// refuse sends a refusal in the vendor's words.
func (c *call) refuse(f *refusal) (abort bool) {
	if f.wait > 0 {
		c.w.Header().Set("Retry-After", strconv.Itoa(int((f.wait+time.Second-1)/time.Second)))
	}
	return c.send(f.status, f.body(c.at.style))
}

// geminiStatus are Google's words for HTTP statuses.
var geminiStatus = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 409: "ABORTED", 429: "RESOURCE_EXHAUSTED",
	503: "UNAVAILABLE",
}

func (f *refusal) body(s style) []byte {
	e := jsontext.New()
	switch s {
	case anthropic:
		e.Text("type", f.kind)
		e.Text("message", f.message)
		o := jsontext.Typed("error")
		o.Object("error", e)
		return o.End()
	case gemini:
		e.Int("code", int64(f.status))
		e.Text("message", f.message)
		word := geminiStatus[f.status]
		if word == "" {
			word = "INTERNAL"
		}
		e.Text("status", word)
	case mistral:
		if f.status == http.StatusUnauthorized {
			return []byte(`{"detail":"Invalid API Key"}`)
		}
		e.Text("object", "error")
		e.Text("message", f.message)
		e.Text("type", f.kind)
		e.Null("param")
		textOrNull(&e, "code", f.code)
		return e.End()
	default:
		kind := f.kind
		if kind == "not_found_error" || kind == "authentication_error" {
			kind = "invalid_request_error"
		}
		e.Text("message", f.message)
		e.Text("type", kind)
		textOrNull(&e, "param", f.param)
		textOrNull(&e, "code", f.code)
	}
	o := jsontext.New()
	o.Object("error", e)
	return o.End()
}

func textOrNull(o *jsontext.Object, name, value string) {
	if value == "" {
		o.Null(name)
		return
	}
	o.Text(name, value)
}

// send sends a body of JSON.
func (c *call) send(status int, body []byte) (abort bool) {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
	return false
}

// reply sends what is made while nothing else changes.
func (c *call) reply(answer func() ([]byte, *refusal)) (abort bool) {
	c.mu.Lock()
	body, bad := answer()
	c.mu.Unlock()
	if bad != nil {
		return c.refuse(bad)
	}
	return c.send(http.StatusOK, body)
}

// sendCut sends the first half of a body and breaks the connection.
func (c *call) sendCut(status int, body []byte) (abort bool) {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body[:len(body)/2])
	flush(c.w)
	return true
}

// hang waits without an answer, then breaks the connection.
func (c *call) hang(d time.Duration) (abort bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	_, _ = io.Copy(io.Discard, c.r.Body) // so that a client that goes away is noticed
	select {
	case <-t.C:
	case <-c.r.Context().Done():
	}
	return true
}

func flush(w http.ResponseWriter) {
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	} else if f, ok := w.(interface{ FlushError() error }); ok {
		_ = f.FlushError()
	}
}
