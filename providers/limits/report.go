// Package limits decides when a request may be sent: a [Limiter] follows the
// rates of one endpoint and key, a [Budget] is spent once. Neither knows HTTP.
package limits

import (
	"time"

	"nightshift"
)

// Config is what is known beforehand about one (endpoint, key). Zero means
// not known, which is not "unlimited": the limiter then learns.
type Config struct {
	Concurrency  int     // most requests in flight; 0 finds its own ceiling
	Requests     float64 // per minute
	Tokens       float64 // per minute, input and output together
	InputTokens  float64 // per minute
	OutputTokens float64 // per minute
	Charge       Charge  // how output is charged against the limits; "" learns it, starting from actual
	// FreeCacheReads is set where tokens read from a cache do not count
	// towards the input limits.
	FreeCacheReads bool
	// MaxStall is how long to go on without a single success before giving
	// up; 0 means two hours.
	MaxStall time.Duration
}

// A Charge says what a server counts against an output-token limit.
type Charge string

const (
	ChargeActual    Charge = "actual"     // the tokens that were written, when they are
	ChargeMaxTokens Charge = "max_tokens" // max_tokens, when the request arrives
)

// A Report is what one answer's headers said about the limits, and why it was no
// answer. Unknown parts
// are nil or negative-free zero values as noted.
type Report struct {
	Requests *Window
	Tokens   *Window // input and output together
	Input    *Window
	Output   *Window
	// RetryAfter is how long the server asked to wait; HasRetryAfter tells an
	// explicit 0 from silence. Unreadable values are silence.
	RetryAfter    time.Duration
	HasRetryAfter bool
	// ShouldRetry is the server's own word (x-should-retry); nil without one.
	ShouldRetry *bool
	// Err is why there was no answer; nil where there was one, or where that
	// is not known.
	Err *nightshift.Error
}

// A Window is one dimension of a Report.
type Window struct {
	Limit     float64       // per Period; 0 unknown
	Period    time.Duration // 0 means a minute
	Remaining float64       // negative when not said
	Reset     time.Duration // from now until full (or until the window ends); negative when not said
}
