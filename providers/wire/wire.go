// Package wire makes one HTTP attempt: it encodes a request in the endpoint's
// format, posts it once, and reads whatever comes back. The shape of the
// answer decides how it is read, not the URL that was asked. It never waits,
// tries again or follows a redirect, and it never shows the key.
package wire

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/formats"
	"nightshift/providers/secrets"
	"nightshift/providers/wire/plainhttp"
)

// Caps on what is read of one answer, in decompressed bytes.
const (
	DefaultMaxBody = 64 << 20 // a whole body, streams included
	DefaultMaxLine = 8 << 20  // one line of a stream
	maxErrorBody   = 1 << 20  // of an answer that is an error by its status
)

// Config is what a Wire needs. Only Endpoint must be given, and Key unless
// the endpoint takes none.
type Config struct {
	Endpoint providers.Endpoint
	Key      secrets.Secret
	// ReadKey reads the key again: once for a request whose key was refused, and
	// before a token is known to end. nil keeps Key.
	ReadKey func() (secrets.Secret, error)
	// Transport carries the requests; nil makes one with [NewTransport].
	// Wires of one endpoint may share one.
	Transport http.RoundTripper
	// Concurrency is how many requests will be in flight at most; it sizes the
	// pool of idle connections. 0 means 1,024.
	Concurrency int
	MaxBody     int64  // 0 means DefaultMaxBody
	MaxLine     int    // 0 means DefaultMaxLine
	UserAgent   string // "" means nightshift
}

// A Wire speaks to one endpoint with one key. It implements
// [providers.Wire] and is safe for concurrent use.
type Wire struct {
	endpoint  providers.Endpoint
	format    formats.Format // in which requests are written
	transport http.RoundTripper
	owned     *http.Transport        // made here; nil when it was given
	plain     *plainhttp.Transport   // beside owned, for short requests without TLS
	url       atomic.Pointer[target] // of all requests, where it depends on nothing of them; nil before the first
	urls      sync.Map               // destination → *target, of the requests so far, where it does
	keys      keyring
	timeouts  providers.Timeouts
	maxBody   int64
	maxLine   int
	heard     atomic.Bool // an answer has begun at some time
}

var _ providers.Wire = (*Wire)(nil)

// Format shows the endpoint's name, and never the headers.
func (w *Wire) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "wire(%s)", w.endpoint.Name) }

// New checks the endpoint and prepares everything that its requests share. No
// connection is made. Errors name what is wrong in a person's words, without
// the key.
func New(c Config) (*Wire, error) {
	if err := check(c); err != nil {
		return nil, err
	}
	format, _ := formats.Of(c.Endpoint.Protocol) // check has seen that there is one
	w := &Wire{
		endpoint:  c.Endpoint,
		format:    format,
		transport: c.Transport,
		timeouts:  c.Endpoint.Timeouts.OrDefaults(),
		maxBody:   orDefault(c.MaxBody, DefaultMaxBody),
		maxLine:   orDefault(c.MaxLine, DefaultMaxLine),
	}
	if w.transport == nil {
		w.owned, w.plain = NewTransport(c.Concurrency), newPlain(c.Concurrency)
		w.transport = w.owned
	}
	if w.endpoint.Auth.Scheme == "" {
		w.endpoint.Auth.Scheme = format.AuthScheme()
	}
	auth := w.endpoint.Auth
	w.keys.again = c.ReadKey
	w.keys.as = func(key secrets.Secret) http.Header { return header(c, auth, key, format) }
	w.keys.set(c.Key, nil)
	return w, nil
}

func check(c Config) error {
	e := c.Endpoint
	if e.Auth.Scheme != providers.AuthNone && e.Auth.Env == "" && e.Auth.File == "" && e.Auth.Command == "" {
		e.Auth.Env = "given" // the key is here already: where it came from is no matter
	}
	if errs := e.Validate(); len(errs) > 0 {
		return fmt.Errorf("endpoint %s: %w", e.Name, errors.Join(errs...))
	}
	if c.Key.IsZero() && e.Auth.Scheme != providers.AuthNone {
		return fmt.Errorf("endpoint %s: no key was given, and auth.scheme is not none", e.Name)
	}
	return nil
}

func orDefault[N int | int64](n, otherwise N) N {
	if n <= 0 {
		return otherwise
	}
	return n
}

// header makes the headers of every request. The key goes in here and nowhere
// else.
func header(c Config, auth providers.Auth, key secrets.Secret, format formats.Format) http.Header {
	h := http.Header{
		"Content-Type":    {"application/json"},
		"Accept-Encoding": {"gzip"}, // undone here, so that the caps count what comes out
		"User-Agent":      {c.UserAgent},
	}
	if c.UserAgent == "" {
		h["User-Agent"] = []string{"nightshift"}
	}
	maps.Copy(h, format.Header())
	for name, value := range c.Endpoint.Headers {
		name = http.CanonicalHeaderKey(name)
		if delete(h, name); value != "" {
			h[name] = []string{value}
		}
	}
	auth.Set(h, key)
	return h
}

// A destination is all of a request that its URL may depend on.
type destination struct {
	model  string
	stream bool
}

// A target is where requests go.
type target struct {
	*url.URL
	plain bool // by plainhttp, where they are short
}

// target is where a request goes.
func (w *Wire) target(p providers.Prepared) (*target, error) {
	if known := w.url.Load(); known != nil {
		return known, nil
	}
	to := destination{p.Model, p.Stream}
	if known, ok := w.urls.Load(to); ok {
		return known.(*target), nil
	}
	full, err := w.endpoint.URLFor(p.Model, p.Stream)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(full)
	if err != nil {
		return nil, err
	}
	t := &target{URL: u, plain: w.owned != nil && plainhttp.Suits(u, w.owned.Proxy)}
	if w.endpoint.SameURL() {
		w.url.Store(t)
	} else {
		w.urls.Store(to, t)
	}
	return t, nil
}

// Prepare implements [providers.Wire].
func (w *Wire) Prepare(req nightshift.Request) (providers.Prepared, error) {
	return formats.Encode(w.format, req, w.endpoint.IncludeUsage)
}

// Send implements [providers.Wire]: one POST, and everything that can be known
// about what became of it. An answer that the server makes in the background is
// then asked for until it is there. It returns within the endpoint's timeouts or soon
// after ctx ends. Err.MaybeBilled is exact as far as this side of the wire can
// tell: false while the request cannot have reached the server whole, and for
// answers that say that nothing was done.
func (w *Wire) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	if p.Job != "" {
		return w.follow(ctx, p, p.Job)
	}
	a := w.exchange(ctx, func(k *keyed) *attempt { return &attempt{wire: w, prepared: p, keyed: k} })
	if id := a.inBackground(); id != "" {
		return w.follow(ctx, p, id)
	}
	return a.ex
}

// exchange makes an attempt with the key at hand, and once more when that is
// refused and another can be read: nothing was done for the refused one.
func (w *Wire) exchange(ctx context.Context, with func(*keyed) *attempt) *attempt {
	a := with(w.keys.current())
	a.run(ctx)
	if e := a.ex.Err; e == nil || e.Class != nightshift.ClassAuth || e.Status == 0 {
		return a
	}
	next, ok := w.keys.renew(a.keyed)
	if !ok {
		return a
	}
	again := with(next)
	again.run(ctx)
	return again
}

// CloseIdleConnections closes the connections that the Wire made and does not
// use. A transport that was given is left alone.
func (w *Wire) CloseIdleConnections() {
	if w.owned != nil {
		w.owned.CloseIdleConnections()
		w.plain.CloseIdleConnections()
	}
}
