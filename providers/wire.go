package providers

import (
	"context"

	"nightshift"
	"nightshift/providers/limits"
)

// A Wire speaks to one endpoint. It sends one request once: it never waits,
// tries again or keeps state between calls, and it is safe for concurrent use.
type Wire interface {
	// Prepare encodes a request. The error is an *nightshift.Error of class
	// untranslatable or invalid_request; nothing has been sent.
	Prepare(req nightshift.Request) (Prepared, error)
	// Send makes one attempt.
	Send(ctx context.Context, p Prepared) Exchange
}

// A RemoteWire gives its attempts to workers on other machines. They keep an
// answer under the attempt's id until it is on record, so that a later process
// can ask for it, and may bring it after the attempt was given up.
type RemoteWire interface {
	Wire
	// Away reports that no worker is there that could send. When that changes
	// [Client.LookAgain] is to be called.
	Away() bool
	// NewAttempt makes the id of an attempt: [nightshift.WorkerJob] and more.
	NewAttempt() string
	// Late returns what became of an attempt that was given up as unknown, once,
	// when it is known after all.
	Late(attempt string) (Exchange, bool)
}

// Prepared is an encoded request, ready to be sent any number of times.
type Prepared struct {
	Body   []byte
	Hash   string // hex SHA-256 of Body
	Stream bool
	Key    string // Request.Key
	Model  string // model id asked for
	// InputText is the number of bytes of prompt text in Body (messages,
	// system, tool definitions), InputOther an upper bound on the tokens of
	// parts that are not text (images, documents). No tokenizer makes more
	// tokens than bytes, so InputText+InputOther plus a small overhead bounds
	// the input from above.
	InputText, InputOther int64
	// Media is what the request holds, or asks for, that is not text.
	Media nightshift.Media
	// Choices is how many answers the request asks for; 0 is not known.
	Choices int64
	// Texts is how many vectors the request asks for; 0 where it asks for an
	// answer in words. Requests for vectors have no output tokens.
	Texts int64
	// Job is the id of an answer that the server makes in the background: it is
	// asked for, and nothing is sent. Empty for a request that is to be sent.
	Job string
	// Attempt is the id of the attempt for a [RemoteWire]; empty for others.
	Attempt string
	// Accepted, when not nil, is told under which id the server makes the answer
	// in the background, before that is asked for.
	Accepted func(id string)
	// Begun, when not nil, is told when the first part of an answer has come: the
	// first content of a stream, else the first byte that is not blank.
	Begun func()
	// MaxOutput is the most output tokens the request permits over all its
	// choices; 0 when the request sets no cap.
	MaxOutput int64
	// Scored is the text whose log-probability is asked for; nil where an answer
	// is.
	Scored *Scored
}

// Scored is a text whose log-probability is asked for, given what stands before
// it.
type Scored struct {
	Prompt string // with what stands before it
	From   int    // where it begins, in bytes
}

// An Exchange is what one attempt brought back.
type Exchange struct {
	Response nightshift.Response // as far as known, also on error
	Err      *nightshift.Error   // nil when a whole answer came
	Limits   limits.Report       // what the headers said
	// Sent is true once the first byte of the request may have reached the server.
	Sent bool
	// Returned is true when a [RemoteWire] has certainly sent nothing, for want of
	// a worker: no attempt was made, and another route may be asked.
	Returned bool
	// Worker is the name of the worker that sent; empty for this process.
	Worker string
}
