package nightshift

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// A Role says who speaks in a [Message].
type Role string

const (
	RoleSystem    Role = "system"
	RoleDeveloper Role = "developer"
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
	RoleTool      Role = "tool"
)

// A Message is one turn of a conversation.
type Message struct {
	Role Role
	// Text is the content where it is plain text and Raw is nil.
	Text string
	// Raw is the whole message object as the dataset wrote it, where it holds
	// more than a role and a text: content parts, tool calls, tool results,
	// cache markers, a name. A wire sends it untouched when it is in its own
	// format or in the part that all share, and translates it otherwise.
	Raw json.RawMessage
}

// A Param is one field of the request body, written by the user. The order of
// params is the order in which they go into the body.
type Param struct {
	Name  string
	Value json.RawMessage
}

// A Sample is one dataset row, rendered for one epoch.
type Sample struct {
	Index int64  // 0-based row of the dataset, over all its files
	Epoch int    // 0-based repetition
	File  string // where the row stands, for messages to people
	Line  int64  // 1-based line (or record number, where there are no lines)
	ID    string // the row's own id, or its index in decimal

	// System is the system prompt. With a Body it is already in that, and
	// stands here for the record.
	System   string
	Messages []Message
	// Turns are further user turns, each sent after the answer to the one
	// before it (MT-Bench). Most samples have none.
	Turns []string
	// Choices are the answers of which one is right, where their
	// log-probabilities are to be asked for.
	Choices []string
	// Params are request parameters that the row itself carries.
	Params []Param
	// Body is a whole request body from a batch file. Messages is then nil.
	Body         json.RawMessage
	BodyProtocol Protocol

	// Target is what a right answer looks like: a text, or JSON when it is
	// anything else (a list of texts, an object). Empty and HasTarget false
	// when the row has none.
	Target    string
	HasTarget bool
	// TargetIsList says that Target was a list in the row, and not a text that
	// looks like one.
	TargetIsList bool
	Category     string          // group for breakdowns; may be empty
	Dataset      string          // name of the row's dataset, where the plan has several; else empty
	Cluster      string          // group of dependent rows; may be empty
	Metadata     json.RawMessage // JSON object of the row's other fields as written; nil when there are none

	// Hash is the first 16 bytes of the SHA-256 of the raw row.
	Hash [16]byte
}

// PromptHash names what a sample asks, whatever the model: the first 16 bytes
// of a SHA-256 in hex. Samples with equal hashes are the same question.
func (s *Sample) PromptHash() string { return HashPrompt(s.AppendPrompt(nil)) }

// HashPrompt is the [Sample.PromptHash] of what [Sample.AppendPrompt] made.
func HashPrompt(prompt []byte) string {
	sum := sha256.Sum256(prompt)
	return hex.EncodeToString(sum[:16])
}

// AppendPrompt appends all that a sample asks to b.
func (s *Sample) AppendPrompt(b []byte) []byte {
	b = appendPart(b, s.System)
	b = appendPart(b, s.Body)
	for _, m := range s.Messages {
		b = appendPart(b, m.Role)
		b = appendPart(b, m.Text)
		b = appendPart(b, m.Raw)
	}
	for _, t := range s.Turns {
		b = appendPart(b, t)
	}
	for _, c := range s.Choices {
		b = appendPart(b, c)
	}
	for _, p := range s.Params {
		b = appendPart(b, p.Name)
		b = appendPart(b, p.Value)
	}
	return b
}

// appendPart appends a text behind its length, so that no two lists of texts
// run together.
func appendPart[T ~string | ~[]byte](b []byte, s T) []byte {
	n := len(s)
	b = append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	return append(b, s...)
}

// A Request is one prompt in terms that all wire formats share.
type Request struct {
	Model    string // model id as the endpoint knows it
	System   string // system prompt; empty for none
	Messages []Message
	Params   []Param // go into the body as written
	Stream   bool
	// Continues says that another turn follows the answer, which then has to
	// come with what [Response.Repeat] needs.
	Continues bool

	// Continuation, when not empty, is a text whose log-probability is asked for,
	// given the messages before it, instead of an answer.
	Continuation string

	// Body, when not nil, is a whole request body in the dialect BodyProtocol;
	// System and Messages are then empty. Params and Model override its
	// fields.
	Body         json.RawMessage
	BodyProtocol Protocol

	// Texts, when not nil, are what to make a vector of, one of each; System,
	// Messages and Body are then empty.
	Texts []string

	// Key identifies the work item (row, model, epoch, generation) for
	// gateways that honour an idempotency header. It may be empty.
	Key string
	// Attempts were made for this request by an earlier process; numbering and
	// limits go on from there.
	Attempts []Attempt
	// Settled is how many of Attempts, from the first, belong to an earlier
	// failure of the row that is being run again: they are on the bill, and do
	// not count against it.
	Settled int
	// AttemptLog, when not nil, is told of every attempt as it happens.
	AttemptLog AttemptLog
	// Cache, when not nil, is the request's turn among those that share a prefix in
	// the server's prompt cache.
	Cache CacheTurn
	// Unsent, when not nil, is the context of the request as long as it has not
	// been sent: when it ends, the request is given up, while one in flight goes
	// on until the context given to Complete ends. That is how a run stops
	// without losing what is being paid for.
	Unsent context.Context
}

// A CacheTurn lets one request write a prefix into a prompt cache while the
// others that share it wait. Its methods are called from the goroutine that called
// Complete, but for Written.
type CacheTurn interface {
	// Begin asks whether an attempt may be sent by a route now. Every attempt that
	// may is ended by Ended; one that may not asks again after Wait. note goes into
	// the attempt's record.
	Begin(route string) (note *Caching, ok bool)
	// Wait waits until it is worth asking again.
	Wait(ctx context.Context) error
	// Written is called when the first part of an answer has come: the prefix is in
	// the cache then.
	Written()
	// Ended is called when the attempt has ended, whatever became of it.
	Ended(answered bool, used Usage)
}

// An AttemptLog writes down every attempt as it happens, so that what may have
// been billed is on record before it can be. Its methods are called from the
// goroutine that called Complete; an error ends the request without another
// send.
type AttemptLog interface {
	// Sending is called right before the first byte of an attempt goes out,
	// with the most it can cost.
	Sending(Intent) error
	// Accepted is called when the server makes the answer in the background and
	// has said under which id; that is in the intent, which is otherwise that of
	// Sending. On return it is durable.
	Accepted(Intent) error
	// Failed is called when an attempt has ended without a final answer and
	// another may follow.
	Failed(Attempt) error
}

// An Intent announces one attempt.
type Intent struct {
	Attempt     int     `json:"attempt"`             // 1-based
	WorstTokens int64   `json:"worst_tokens"`        // input and output at their most
	WorstCost   NanoUSD `json:"worst_cost,omitzero"` // 0 when no price is known
	// Job is the id under which the server makes the answer in the background,
	// and Route the name of the route that was asked.
	Job   string `json:"job,omitempty"`
	Route string `json:"route,omitempty"`
}
