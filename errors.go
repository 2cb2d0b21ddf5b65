package nightshift

import (
	"errors"
	"fmt"
	"time"
)

// An ErrorClass groups failures with low cardinality: what happened, from the
// caller's side of the wire.
type ErrorClass string

const (
	ClassRateLimit        ErrorClass = "rate_limit"         // 429 that heals by waiting
	ClassExceedsLimit     ErrorClass = "exceeds_limit"      // larger than the rate limit itself: this row never passes
	ClassQuota            ErrorClass = "quota"              // money or quota used up
	ClassAuth             ErrorClass = "auth"               // key refused
	ClassPermission       ErrorClass = "permission"         // key accepted, use refused
	ClassNotFound         ErrorClass = "not_found"          // unknown model or path
	ClassNoLogprobs       ErrorClass = "no_logprobs"        // no log-probabilities of the prompt, which were asked for
	ClassInvalidRequest   ErrorClass = "invalid_request"    // the request itself is refused
	ClassTooLarge         ErrorClass = "request_too_large"  // 413
	ClassContextLength    ErrorClass = "context_length"     // longer than the model's window
	ClassContentPolicy    ErrorClass = "content_policy"     // refused for what it says
	ClassConflict         ErrorClass = "conflict"           // 408, 409, 425
	ClassOverloaded       ErrorClass = "overloaded"         // 529, 503 with a word
	ClassNoCapacity       ErrorClass = "no_capacity"        // a cheap tier has no room: its requests wait, others pass
	ClassServer           ErrorClass = "server"             // other 5xx
	ClassTimeoutConnect   ErrorClass = "timeout_connect"    // no connection in time: not billed
	ClassTimeoutFirstByte ErrorClass = "timeout_first_byte" // no headers or no first content in time
	ClassTimeoutIdle      ErrorClass = "timeout_idle"       // content stopped coming
	ClassTimeoutTotal     ErrorClass = "timeout_total"      // took too long altogether
	ClassConnection       ErrorClass = "connection"         // refused, DNS, reset
	ClassTLS              ErrorClass = "tls"                // certificate not accepted
	ClassRedirect         ErrorClass = "redirect"           // redirects are never followed
	ClassBadResponse      ErrorClass = "bad_response"       // neither an answer nor an error we can read
	ClassNotAnAPI         ErrorClass = "not_an_api"         // a web page answered
	ClassEmptyResponse    ErrorClass = "empty_response"     // nothing came
	ClassCut              ErrorClass = "cut"                // the answer ended before its end
	ClassTooLong          ErrorClass = "answer_too_long"    // over our own cap on bytes
	ClassUntranslatable   ErrorClass = "untranslatable"     // cannot be said in the endpoint's protocol; nothing sent
	ClassUnknownOutcome   ErrorClass = "unknown_outcome"    // the process ended between sending and reading
	ClassCancelled        ErrorClass = "cancelled"          // we ended it
	ClassBatchExpired     ErrorClass = "batch_expired"      // its batch ended before it had run: not billed
	ClassInput            ErrorClass = "input"              // the dataset row is unusable; nothing sent
	ClassPanic            ErrorClass = "panic"              // a bug of ours
)

// An Error is why a request got no answer.
type Error struct {
	Class   ErrorClass
	Status  int    // HTTP status; 0 without one
	Code    string // the server's own code or type
	Message string // for people: what the server said, secrets removed
	Hint    string // for people: what to try; may be empty
	// RequestID is the server's id of the exchange.
	RequestID string
	// MaybeBilled is true when the request may have been billed.
	MaybeBilled bool
	// OfModel is true when only the model asked for is refused: others of the
	// endpoint may be asked.
	OfModel bool
	// Err is the cause in this process (a net error, a context error); may be nil.
	Err error
}

func (e *Error) Error() string {
	s := string(e.Class)
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	switch {
	case e.Message != "":
		s += ": " + e.Message
	case e.Err != nil:
		s += ": " + e.Err.Error()
	}
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// A StopError says that an endpoint (or one model of it) must not be asked
// any more. The row in hand is not failed: it has not run.
type StopError struct {
	Endpoint string
	Model    string    // empty when the whole endpoint is concerned
	Until    time.Time // when asking again may help; zero when only a person can
	Err      *Error
}

func (e *StopError) Error() string {
	s := "endpoint " + e.Endpoint
	if e.Model != "" {
		s += ", model " + e.Model
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if !e.Until.IsZero() {
		s += " (until " + e.Until.UTC().Format(time.RFC3339) + ")"
	}
	return s
}

func (e *StopError) Unwrap() error {
	if e.Err == nil {
		return nil
	}
	return e.Err
}

// ErrBudget is returned by a Provider when the run's budget cannot cover
// another attempt and nothing in flight can free enough of it. The row has
// not run.
var ErrBudget = errors.New("budget spent")
