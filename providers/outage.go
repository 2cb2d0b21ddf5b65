package providers

import (
	"errors"
	"net"
	"strings"

	"nightshift"
	"nightshift/internal/netx"
)

// explain tells the limiter why an attempt brought no answer, and people when
// the endpoint has just begun to be silent. Errors that judge the row say
// nothing of the endpoint.
func (k *call) explain(t *ticket, e *nightshift.Error, p Policy) {
	if !p.Pauses && !p.FeedsBreaker && !p.Patient {
		return
	}
	r := k.at(t.route)
	if r.Limiter.Explain(e, isPermanent(e)) {
		k.event(Event{Kind: EventSilent, Route: r.Name, Model: k.req.Model, Attempt: len(k.attempts) + 1, Err: e})
	}
}

// neverThere reports whether a row that would fail now has met an endpoint that
// has never answered and cannot before a person has changed something.
func (k *call) neverThere(t *ticket, e *nightshift.Error, p Policy) bool {
	return isPermanent(e) && k.spent(p, e.Class) && k.at(t.route).Limiter.State().Succeeded == 0
}

// isPermanent reports whether a failure to connect does not heal by itself:
// nobody listens there, there is no such host, or what listens does not speak
// HTTP.
func isPermanent(e *nightshift.Error) bool {
	var dns *net.DNSError
	switch {
	case e.Class != nightshift.ClassConnection:
		return false
	case errors.As(e, &dns):
		return dns.IsNotFound
	}
	return e.Code == CodeNoHTTP || errors.Is(e, netx.ErrRefused)
}

// CodeNoHTTP is the Code of a connection error where a server that was asked in
// plain HTTP, and has never answered, closed the connection: it may expect TLS.
const CodeNoHTTP = "no_http"

const useHTTPS = "base_url has to begin with https:// there"

// plainToTLS reports whether a body is what servers say to plain HTTP on a port
// for TLS.
func plainToTLS(body []byte) bool {
	text := string(body[:min(len(body), 1000)])
	return strings.Contains(text, "HTTP request to an HTTPS server") ||
		strings.Contains(text, "plain HTTP request was sent to HTTPS port") ||
		strings.Contains(text, "speaking plain HTTP to an SSL-enabled server port")
}
