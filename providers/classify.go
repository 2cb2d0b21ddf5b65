package providers

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"nightshift"
	"nightshift/internal/pattern"
	"nightshift/providers/secrets"
)

// Classify reads one whole, decompressed HTTP answer that is not an event
// stream, or the JSON of an error inside one (status 200 then), and says why
// it is no answer. It returns nil when the body may be one: a 2xx whose JSON
// object carries no sign of an error. Whether it has the shape of an answer is
// for the wire formats to say.
//
// Servers disagree about what a status means and gateways remap them, so codes
// and types are read first, then phrases of the message, the status last.
// What cannot be read keeps the meaning of its status. The error's Message has
// key-shaped texts removed; MaybeBilled is set where a 2xx brought no answer
// that can be read, and where a proxy gave up on a request that its upstream
// may still have served.
func Classify(status int, header http.Header, body []byte) *nightshift.Error {
	err := classify(status, header, body)
	if err == nil {
		return nil
	}
	err.Status = status
	if err.RequestID == "" {
		err.RequestID = RequestID(header)
	}
	err.Message = tidy(err.Message)
	err.Code = clip(anySecrets.Redact(err.Code), maxCode)
	if err.Hint == "" {
		err.Hint = hintFor(err)
	}
	return err
}

// anySecrets knows no live key, only what keys look like.
var anySecrets = secrets.NewRedactor()

const (
	maxMessage = 2000
	maxCode    = 120
)

func classify(status int, header http.Header, body []byte) *nightshift.Error {
	text := errorEvent(bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))))
	switch {
	case status == http.StatusSwitchingProtocols, status != 0 && (status < 200 || status > 599):
		return &nightshift.Error{Class: nightshift.ClassBadResponse,
			Message: "the server answered with HTTP status " + strconv.Itoa(status)}
	case status >= 300 && status < 400:
		return &nightshift.Error{Class: nightshift.ClassRedirect, Message: redirectMessage(header)}
	case status == http.StatusNoContent, status == http.StatusResetContent, len(text) == 0:
		return emptyBody(status)
	case status == http.StatusPartialContent:
		return &nightshift.Error{Class: nightshift.ClassCut, MaybeBilled: true,
			Message: "the server sent a part of an answer (HTTP 206)"}
	case status == http.StatusBadRequest && plainToTLS(text):
		return &nightshift.Error{Class: nightshift.ClassTLS,
			Message: "the server speaks TLS there and was asked in plain HTTP", Hint: useHTTPS}
	case text[0] == '<':
		return webPage(status, text)
	}
	return classifyText(status, header, text)
}

// ClassifyEvent is Classify for the data of a stream's event that is named
// error, whose name makes it one whatever its fields are.
func ClassifyEvent(data []byte) *nightshift.Error {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || data[0] != '{' && data[0] != '[' || !json.Valid(data) {
		return &nightshift.Error{Class: nightshift.ClassServer, MaybeBilled: true,
			Message: "the server ended the stream: " + tidy(clip(string(data), 300))}
	}
	if e := Classify(0, nil, data); e != nil {
		return e
	}
	object, err := asObject(data)
	if err != nil {
		object = jsonObject{}
	}
	object["type"] = json.RawMessage(`"error"`)
	named, _ := json.Marshal(object)
	return Classify(0, nil, named)
}

// errorEvent takes the data out of an error that came as an event stream; it
// may be empty.
func errorEvent(text []byte) []byte {
	if !bytes.HasPrefix(text, []byte("event:")) && !bytes.HasPrefix(text, []byte("data:")) {
		return text
	}
	for line := range bytes.Lines(text) {
		if data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data:")); ok {
			return bytes.TrimSpace(data)
		}
	}
	return text
}

func emptyBody(status int) *nightshift.Error {
	if claimsSuccess(status) {
		return &nightshift.Error{Class: nightshift.ClassEmptyResponse, MaybeBilled: true,
			Message: "the server answered with nothing"}
	}
	return &nightshift.Error{Class: byStatus(status), Message: http.StatusText(status), MaybeBilled: gaveUp(status, false)}
}

// ok reports whether a status claims success. 0 stands for the inside of a
// stream that began as a success.
func claimsSuccess(status int) bool { return status == 0 || status >= 200 && status < 300 }

// gaveUp reports whether a proxy stopped waiting for an upstream that had the
// request and may have answered, and charged for, it. A 504 that speaks JSON
// comes from the service itself, which then knows.
func gaveUp(status int, fromService bool) bool {
	return status == 524 || status == http.StatusGatewayTimeout && !fromService
}

func redirectMessage(header http.Header) string {
	to := header.Get("Location")
	if to == "" {
		return "the server redirects elsewhere, which is never followed"
	}
	return "the server redirects to " + anySecrets.URL(to) + ", which is never followed"
}

var titleTag = pattern.Late(`(?is)<title[^>]*>(.*?)</title>`)

// webPage classifies an answer in HTML: a proxy's error page, or, with a 200,
// a sign that the URL is not that of an API.
func webPage(status int, text []byte) *nightshift.Error {
	message := "a web page"
	if m := titleTag().FindSubmatch(text[:min(len(text), 64<<10)]); m != nil {
		if title := strings.Join(strings.Fields(string(m[1])), " "); title != "" {
			message += " titled " + strconv.Quote(clip(title, 120))
		}
	}
	if claimsSuccess(status) {
		return &nightshift.Error{Class: nightshift.ClassNotAnAPI, Message: "answered with " + message}
	}
	class := byStatus(status)
	if status == http.StatusBadRequest {
		class = nightshift.ClassInvalidRequest
	}
	return &nightshift.Error{Class: class, Message: "answered with " + message, MaybeBilled: gaveUp(status, false)}
}

func classifyText(status int, header http.Header, text []byte) *nightshift.Error {
	object, err := asObject(text)
	if err != nil {
		return unreadable(status, text, err)
	}
	f := findFault(object, status)
	if !f.found {
		return nil
	}
	f.wait = comesBackSoon(status, header, text)
	e := &nightshift.Error{
		Class:       f.class(status),
		Code:        f.shownCode(),
		Message:     f.message,
		RequestID:   f.requestID,
		MaybeBilled: gaveUp(status, true) || f.fromUpstream(status),
	}
	if e.Message == "" && !claimsSuccess(status) {
		e.Message = http.StatusText(status)
	}
	if e.OfModel = f.ofModel(e.Class); e.OfModel && e.Class == nightshift.ClassQuota {
		e.Hint = f.quotaHint()
	}
	return e
}

// longestMoment is the longest wait that a limit of minutes or an hour asks for.
const longestMoment = time.Hour

// comesBackSoon reports whether a refusal says when to come back, in its
// headers or its body, and that it is a moment.
func comesBackSoon(status int, header http.Header, text []byte) bool {
	now := time.Now()
	if wait, ok := BodyRetryAfter(text, now); ok {
		return wait <= longestMoment
	}
	if !RetryAfterCounts(status) || strings.EqualFold(header.Get("X-Should-Retry"), "false") {
		return false
	}
	report := ParseLimits(header, now)
	return report.HasRetryAfter && report.RetryAfter <= longestMoment
}

var errNotObject = errors.New("not a JSON object")

// asObject parses a JSON object, or an array whose first element is one: some
// servers wrap their errors so. Keys keep their exact case.
func asObject(text []byte) (map[string]json.RawMessage, error) {
	if text[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, errNotObject
		}
		text = list[0]
	}
	if len(text) == 0 || text[0] != '{' {
		if !json.Valid(text) {
			return nil, json.Unmarshal(text, new(any))
		}
		return nil, errNotObject
	}
	var object map[string]json.RawMessage
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&object); err != nil {
		return nil, err
	}
	return object, nil
}

// unreadable is a body that is no JSON object. Under a 2xx, one that stops
// before its end was cut on the way.
func unreadable(status int, text []byte, cause error) *nightshift.Error {
	shown := clip(strings.Join(strings.Fields(string(text[:min(len(text), 4*maxMessage)])), " "), 300)
	if !claimsSuccess(status) {
		f := fault{message: shown, found: true}
		return &nightshift.Error{Class: f.class(status), Message: shown,
			MaybeBilled: gaveUp(status, false) || f.fromUpstream(status)}
	}
	var syntax *json.SyntaxError
	switch {
	case errors.Is(cause, io.ErrUnexpectedEOF), errors.As(cause, &syntax) && syntax.Offset >= int64(len(text)) &&
		(text[0] == '{' || text[0] == '['):
		return &nightshift.Error{Class: nightshift.ClassCut, MaybeBilled: true,
			Message: "the answer stops in the middle of its JSON"}
	case strings.Contains(cause.Error(), "exceeded max depth"):
		return &nightshift.Error{Class: nightshift.ClassBadResponse, Code: CodeTooDeep, MaybeBilled: true,
			Message: "the answer's JSON is nested too deeply"}
	}
	return &nightshift.Error{Class: nightshift.ClassBadResponse, MaybeBilled: true,
		Message: "the answer is not a JSON object: " + shown}
}

// CodeTooDeep is the Code of a bad_response whose JSON is nested deeper than
// anything an API sends. Asking again does not help.
const CodeTooDeep = "nesting"

// CodeNotReady is the Code of an answer that the server is still making.
const CodeNotReady = "not_ready"

// gatewayID is what one-api and new-api put at the end of a message. It makes
// equal errors look different.
var gatewayID = pattern.Late(`\s*[(（]request id: ?[^)）]*[)）]`)

// tidy makes a server's message fit to be shown and grouped: one line, no
// keys, no request id, not endless.
func tidy(message string) string {
	message = gatewayID().ReplaceAllString(message, "")
	message = strings.Join(strings.Fields(strings.ToValidUTF8(message, "\uFFFD")), " ")
	return clip(anySecrets.Redact(message), maxMessage)
}

// clip shortens s to at most n bytes, at a rune.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	cut := n
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
