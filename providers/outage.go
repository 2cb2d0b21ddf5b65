package providers

import (
	"errors"
	"net"
	"strings"
	"syscall"

	"nightshift"
)

// explain tells the limiter why an attempt brought no answer, and people when
// the endpoint has just begun to be silent. Errors that judge the row say
// nothing of the endpoint.
func (k *call) explain(t *ticket, e *nightshift.Error, p Policy) {
	if !p.Pauses && !p.FeedsBreaker {
		return
	}
	r := k.Routes[t.route]
	if r.Limiter.Explain(e, isPermanent(e)) {
		k.event(Event{Kind: EventSilent, Route: r.Name, Model: k.req.Model, Attempt: k.latest().N, Err: e})
	}
}

// neverThere reports whether a row that would fail now has met an endpoint that
// has never answered and cannot before a person has changed something.
func (k *call) neverThere(t *ticket, e *nightshift.Error, p Policy) bool {
	return isPermanent(e) && k.spent(p, e.Class) && k.Routes[t.route].Limiter.State().Succeeded == 0
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
	return errors.Is(e, syscall.ECONNREFUSED) || strings.Contains(e.Message, "actively refused it") // so says Windows
}
