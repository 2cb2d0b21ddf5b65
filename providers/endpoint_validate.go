package providers

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"nightshift"
	"nightshift/providers/limits"
)

// OrDefaults fills in what is zero.
func (t Timeouts) OrDefaults() Timeouts {
	or := func(d, otherwise time.Duration) time.Duration {
		if d == 0 {
			return otherwise
		}
		return d
	}
	return Timeouts{
		Connect:   or(t.Connect, 10*time.Second),
		FirstByte: or(t.FirstByte, 10*time.Minute),
		Idle:      or(t.Idle, time.Minute),
		Total:     or(t.Total, 30*time.Minute),
	}
}

// On is the endpoint as one of its routes sees it: with the route's base URL,
// auth and limits where it has its own, and no routes.
func (e Endpoint) On(r Route) Endpoint {
	if r.BaseURL != "" {
		e.BaseURL = r.BaseURL
	}
	if r.Auth != nil {
		e.Auth = *r.Auth
	}
	if r.Limits != nil {
		e.Limits = *r.Limits
	}
	e.Routes = nil
	return e
}

// Validate returns everything that is wrong with the endpoint, each in a
// person's words and none with a secret in it. It asks nobody: neither the
// network nor the environment.
func (e Endpoint) Validate() []error {
	var errs []error
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if !e.Protocol.Valid() {
		add(fmt.Errorf("protocol %q: choose %s", e.Protocol, nightshift.ProtocolNames()))
	} else {
		add(e.validateURL())
	}
	add(e.Auth.validate())
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		add(validateHeader(name, e.Headers[name]))
	}
	if e.IdempotencyHeader != "" && !isToken(e.IdempotencyHeader) {
		add(fmt.Errorf("idempotency_header %q is not a header name", e.IdempotencyHeader))
	}
	switch e.Envelope {
	case "", "none", "data":
	default:
		add(fmt.Errorf("envelope %q: choose none or data", e.Envelope))
	}
	add(validateLimits(e.Limits))
	add(validateTimeouts(e.Timeouts))
	add(e.Batch.validate())
	for i, r := range e.Routes {
		for _, err := range e.validateRoute(r) {
			add(fmt.Errorf("routes[%d]: %w", i, err))
		}
	}
	return errs
}

func (e Endpoint) validateRoute(r Route) []error {
	var errs []error
	on := e.On(r)
	if r.BaseURL != "" {
		errs = append(errs, on.validateURL())
	}
	if r.Auth != nil {
		errs = append(errs, on.Auth.validate())
	}
	if r.Weight < 0 || r.Weight != r.Weight {
		errs = append(errs, fmt.Errorf("weight %v is negative", r.Weight))
	}
	if r.Limits != nil {
		errs = append(errs, validateLimits(*r.Limits))
	}
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// validateURL checks the URL, and for the slip of giving a part of the path
// twice.
func (e Endpoint) validateURL() error {
	full, err := e.URL()
	if err != nil {
		return err
	}
	path, _, _ := strings.Cut(full, "?")
	for _, twice := range []string{"/v1/v1", "/chat/completions/chat/completions", "/messages/messages",
		"/v1/messages/v1"} {
		if strings.Contains(path, twice) {
			return fmt.Errorf("the URL %s has a part of its path twice: check base_url and path", anySecrets.URL(full))
		}
	}
	return nil
}

// ownHeaders are set by the program itself; a plan cannot.
var ownHeaders = map[string]string{
	"Authorization":     "keys belong in auth",
	"X-Api-Key":         "keys belong in auth",
	"Api-Key":           "keys belong in auth",
	"X-Goog-Api-Key":    "keys belong in auth",
	"Cookie":            "no cookies are sent",
	"Host":              "it follows from base_url",
	"Content-Length":    "it follows from the body",
	"Content-Type":      "the body is always JSON",
	"Content-Encoding":  "the body is sent as it is",
	"Accept-Encoding":   "only gzip is read",
	"Transfer-Encoding": "it follows from the body",
	"Connection":        "connections are kept by the program",
	"Expect":            "it is not supported",
	"Upgrade":           "it is not supported",
}

func validateHeader(name, value string) error {
	if !isToken(name) {
		return fmt.Errorf("headers: %q is not a header name", name)
	}
	if why, own := ownHeaders[http.CanonicalHeaderKey(name)]; own {
		return fmt.Errorf("headers: %s cannot be set: %s", name, why)
	}
	if strings.ContainsAny(value, "\r\n\x00") {
		return fmt.Errorf("headers: the value of %s holds a line break", name)
	}
	if anySecrets.Redact(value) != value {
		return fmt.Errorf(
			"headers: the value of %s looks like a key: keys belong in auth, where they are kept out of logs", name)
	}
	return nil
}

func validateLimits(c limits.Config) error {
	switch c.Charge {
	case "", limits.ChargeActual, limits.ChargeMaxTokens:
	default:
		return fmt.Errorf("limits.charge %q: choose actual or max_tokens", c.Charge)
	}
	if c.Concurrency < 0 {
		return errors.New("limits.concurrency is negative")
	}
	for _, v := range []float64{c.Requests, c.Tokens, c.InputTokens, c.OutputTokens} {
		if v < 0 || v != v {
			return errors.New("limits: a rate is negative: leave it out, or 0, when it is not known")
		}
	}
	return nil
}

func validateTimeouts(t Timeouts) error {
	for _, d := range []time.Duration{t.Connect, t.FirstByte, t.Idle, t.Total} {
		if d < 0 {
			return errors.New("timeouts: a duration is negative: leave it out for the default")
		}
	}
	return nil
}
