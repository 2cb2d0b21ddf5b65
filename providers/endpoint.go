// Package providers reaches model endpoints: an [Endpoint] is data that says
// where one is and how it wants to be spoken to, a [Wire] sends one request
// once, and a [Client] waits, tries again and counts around it.
package providers

import (
	"time"

	"nightshift"
	"nightshift/providers/limits"
)

// An Endpoint is everything that tells one model server from another.
type Endpoint struct {
	Name     string // preset or plan name
	Protocol nightshift.Protocol
	BaseURL  string // with or without /v1, or the whole path
	Path     string // overrides the path that Protocol gives; may hold [modelPlaceholder] and a query

	Auth         Auth
	Headers      map[string]string // further request headers; an empty value sends none of that name
	Envelope     string            // "" or "none", "data": answers come wrapped
	IncludeUsage bool              // chat streams: ask for usage
	// DoneMarkerOnly is set for servers whose streams never carry a finish
	// reason: [DONE] then ends an answer.
	DoneMarkerOnly bool
	// IdempotencyHeader names the header that carries Request.Key; empty sends none.
	IdempotencyHeader string
	// AllowHTTP permits plain HTTP to hosts other than loopback.
	AllowHTTP bool

	Limits   limits.Config
	Timeouts Timeouts
	Batch    BatchAPI // its Dialect is empty where no batch API is known
	// Routes are further keys or base URLs that serve the same models. Empty
	// means one route: this endpoint itself.
	Routes []Route
}

// Auth says how the key is sent and where it comes from. The key itself is
// never part of it.
type Auth struct {
	Scheme string // "bearer", "x-api-key", "x-goog-api-key", "raw", "header", "none"; "" is the protocol's
	Header string // header name for scheme "header"
	Env    string // environment variable that holds the key
	File   string // file of mode 0600 that holds it
	// Command is a program that prints it, and its arguments, with a zero byte
	// after each but the last. Like a file it is read again when the key is
	// refused.
	Command string
}

// A Route is one key or base URL among several behind an endpoint.
type Route struct {
	Name    string
	BaseURL string // "" means the endpoint's
	Auth    *Auth  // nil means the endpoint's
	Weight  float64
	Limits  *limits.Config // nil means the endpoint's
}

// Timeouts watch for progress, measured from dispatch. Zero means the default.
type Timeouts struct {
	Connect   time.Duration // default 10 s
	FirstByte time.Duration // headers, and in a stream the first content event; default 10 m
	Idle      time.Duration // between content events (streamed) or bytes (not); default 60 s
	Total     time.Duration // default 30 m
}
