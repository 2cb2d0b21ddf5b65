// Package batch speaks the batch APIs of all providers: files of requests that
// are answered within hours, at a lower price. How they differ is one table of
// data. Every call is one exchange, or the few pages of a list; none is tried
// again, and errors say whether a batch may have been made all the same. What a
// row's request and its answer look like is the work of the wire formats.
package batch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/secrets"
	"nightshift/providers/wire"
)

// Config is what a Batcher needs. Endpoint and Model must be given, and Key
// unless the endpoint takes none.
type Config struct {
	Endpoint providers.Endpoint
	Route    string // name of the endpoint's route, where it has several
	Key      secrets.Secret
	ReadKey  func() (secrets.Secret, error) // see [wire.Config]
	// Transport carries the calls; nil makes one that keeps no connection open
	// between calls, which are minutes apart: one that the server closed
	// meanwhile would leave it open whether a batch was made.
	Transport http.RoundTripper
	Model     string // model id as the endpoint knows it

	// MaxOutput is the most tokens that the model can answer with, for requests
	// that set no cap; 0 is not known.
	MaxOutput int64
	// NeedsTokens and NeedsCost are set where a budget holds, which needs to know
	// the most that a request can use and cost.
	NeedsTokens, NeedsCost bool
	// Price and WorstPrice are those of [providers.Client], for the batch tier;
	// nil where no price is known.
	Price      func(model string, u nightshift.Usage) (cost nightshift.NanoUSD, id string, ok bool)
	WorstPrice func(model string, in, out int64, media nightshift.Media) (cost nightshift.NanoUSD, ok bool)
}

// A Batcher reaches the batch API of one endpoint for one model. It implements
// [nightshift.Batcher] and is safe for concurrent use.
type Batcher struct {
	Config
	dialect
	wire  *wire.Wire
	base  string // URL without its path's end
	host  string // scheme and host
	query string // of all URLs
	guess providers.Estimator

	ahead  atomic.Int64 // of the server's clock, in nanoseconds
	mu     sync.Mutex
	ending map[string]time.Time // when a batch was first seen to have ended, where that must settle
}

var _ nightshift.Batcher = (*Batcher)(nil)

// Format shows the endpoint's name, and never the key.
func (b *Batcher) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "batches(%s)", b.Endpoint.Name) }

// New prepares a Batcher. No connection is made. Errors are in a person's words.
func New(c Config) (*Batcher, error) {
	d, ok := dialects[c.Endpoint.Batch.Dialect]
	if !ok {
		return nil, fmt.Errorf("endpoint %s has no batch API that is known for protocol %s: "+
			"if it has one, say how it is spoken to with batch_api: {dialect: …}", c.Endpoint.Name, c.Endpoint.Protocol)
	}
	b := &Batcher{Config: c, dialect: d, ending: map[string]time.Time{}}
	var err error
	if b.base, b.query, err = c.Endpoint.BatchURL(); err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", c.Endpoint.Name, err)
	}
	if u, err := url.Parse(b.base); err == nil {
		b.host = u.Scheme + "://" + u.Host
	}
	if b.Transport == nil {
		own := wire.NewTransport(1)
		own.DisableKeepAlives, own.WriteBufferSize = true, 64<<10
		b.Transport = own
	}
	b.wire, err = wire.New(wire.Config{
		Endpoint: c.Endpoint, Key: c.Key, ReadKey: c.ReadKey, Transport: b.Transport, Concurrency: 1,
	})
	return b, err
}

// Limits implements [nightshift.Batcher].
func (b *Batcher) Limits() nightshift.BatchLimits {
	api := b.Endpoint.Batch
	return nightshift.BatchLimits{
		Rows: api.MaxRows, Bytes: api.MaxBytes, LineBytes: api.MaxLine, Tokens: api.MaxEnqueued,
		Window: windowText(api.Window), Poll: api.Poll, Retention: api.Keep,
		Cancel: b.cancel != "", Inline: b.inline(),
	}
}

// windowText is a window as most services write it; 24h where none is known.
func windowText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d <= 0:
		return "24h"
	case d > day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	}
	return fmt.Sprintf("%dh", max(d/time.Hour, 1))
}

// hours is a window in hours, for services that want a number; 24 for words
// that are none.
func hours(window string) int {
	var n int
	var unit string
	if _, err := fmt.Sscanf(window, "%d%s", &n, &unit); err != nil || n <= 0 || n > 10_000 {
		return 24
	}
	if strings.HasPrefix(unit, "d") {
		n *= 24
	}
	return n
}

// Account implements [nightshift.Batcher].
func (b *Batcher) Account() nightshift.BatchAccount {
	account := nightshift.BatchAccount{BaseURL: b.base, Route: b.Route}
	if !b.Key.IsZero() {
		sum := sha256.Sum256([]byte("nightshift batches\x00" + b.Key.Reveal()))
		account.Key = hex.EncodeToString(sum[:6])
	}
	return account
}

// ServerTime implements [nightshift.Batcher].
func (b *Batcher) ServerTime() time.Time { return time.Now().Add(time.Duration(b.ahead.Load())) }

// Close ends idle connections of a transport that was made here.
func (b *Batcher) Close() { b.wire.CloseIdleConnections() }

// A place fills in what a path may name.
type place struct{ id, file, name, model string }

// url is where a path of the dialect leads.
func (b *Batcher) url(path string, at place) string {
	base := b.base
	if rest, atHost := strings.CutPrefix(path, "//"); atHost {
		base, path = b.host, "/"+rest
	}
	full := base + strings.NewReplacer(
		"{id}", segments(at.id), "{file}", segments(at.file), "{name}", url.PathEscape(at.name),
		"{model}", segments(strings.TrimPrefix(at.model, "models/")),
	).Replace(path)
	if b.query == "" {
		return full
	}
	return withQuery(full, b.query)
}

// segments escapes a name that may have slashes of its own, as files/abc has.
// Dots alone would lead elsewhere.
func segments(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if parts[i] = url.PathEscape(part); part == "." || part == ".." {
			parts[i] = strings.ReplaceAll(part, ".", "%2E")
		}
	}
	return strings.Join(parts, "/")
}

func withQuery(full, query string) string {
	if strings.Contains(full, "?") {
		return full + "&" + query
	}
	return full + "?" + query
}

// call makes one exchange and notes the server's clock.
func (b *Batcher) call(ctx context.Context, c wire.Call) (wire.Reply, error) {
	reply, e := b.wire.Call(ctx, c)
	if !reply.Date.IsZero() {
		b.ahead.Store(int64(time.Until(reply.Date.Add(time.Second / 2))))
	}
	if e == nil {
		return reply, nil
	}
	if ctx.Err() != nil && reply.Unsent && errors.Is(e, context.Cause(ctx)) {
		return reply, context.Cause(ctx)
	}
	return reply, refused(reply, e)
}

func (b *Batcher) getJSON(ctx context.Context, path string, at place) (wire.Reply, error) {
	return b.call(ctx, wire.Call{Method: http.MethodGet, URL: b.url(path, at)})
}
