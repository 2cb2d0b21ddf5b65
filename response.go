package nightshift

import (
	"encoding/json"
	"time"
)

// A StopReason says in our words why an answer ended.
type StopReason string

const (
	StopEnd           StopReason = "end"
	StopSequence      StopReason = "stop_sequence"
	StopMaxTokens     StopReason = "max_tokens"
	StopContextWindow StopReason = "context_window"
	StopToolUse       StopReason = "tool_use"
	StopRefusal       StopReason = "refusal"
	StopContentFilter StopReason = "content_filter"
	StopPause         StopReason = "pause"
	StopOther         StopReason = "other"
)

// A ToolCall is a tool that the model wants run. Arguments is JSON text where
// the model wrote valid JSON, and its words as they came where it did not.
type ToolCall struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// A Choice is one of several answers to one request (n > 1).
type Choice struct {
	Index         int        `json:"index"`
	Text          string     `json:"text"`
	Thinking      string     `json:"thinking,omitempty"`
	ToolCalls     []ToolCall `json:"tool_calls,omitempty"`
	StopReason    StopReason `json:"stop_reason,omitempty"`
	RawStopReason string     `json:"raw_stop_reason,omitempty"`
	// Loglikelihood is that of Text, where it was asked for instead of an answer.
	Loglikelihood *Loglikelihood `json:"loglikelihood,omitempty"`
}

// A Loglikelihood says how likely a model takes a text for, given what stands
// before it.
type Loglikelihood struct {
	Sum    float64 `json:"sum"`    // of the natural logarithms of its tokens' probabilities
	Tokens int64   `json:"tokens"` // that were summed
	Bytes  int64   `json:"bytes"`  // of the text that they cover
}

// A Response is what a provider answered. On error it is filled in as far as
// known.
type Response struct {
	ID string // the answer's own id

	// Text is the answer, Thinking the reasoning that came with it. Each is
	// nil when the server sent none at all, and empty when it sent an empty
	// one.
	Text          *string
	Thinking      *string
	ToolCalls     []ToolCall
	StopReason    StopReason // empty when unknown
	RawStopReason string     // the server's own word
	StopSequence  string     // which stop sequence was met
	Choices       []Choice   // all answers, by index, when there is more than one
	// Loglikelihood is that of Request.Continuation; nil where an answer was asked
	// for.
	Loglikelihood *Loglikelihood

	Vectors []Vector // the embedding of each text that was sent, in their order

	Usage       Usage
	UsageRaw    json.RawMessage // the server's usage object; nil when it sent none
	ServedModel string          // model named in the answer
	Fingerprint string          // system_fingerprint, where sent
	RequestID   string          // the server's request id
	Status      int             // HTTP status of the last attempt; 0 without one

	Latency    time.Duration // of the attempt that answered, from dispatch to its last byte
	FirstToken time.Duration // to the first content; 0 when not streamed
	Queued     time.Duration // waiting for limiter and budget, all attempts
	Backoff    time.Duration // waiting between attempts

	Attempts    []Attempt // every HTTP request sent for this one, oldest first
	Cost        *NanoUSD  // of all attempts; nil when a price or a usage is unknown
	PriceID     string    // which price was used
	RequestHash string    // hex SHA-256 of the body sent
	Raw         []byte    // the body as read, streams included
	// Repeat is the answer as messages that a further turn puts back, where it
	// holds more than its text, such as encrypted reasoning; nil where the text
	// says it all.
	Repeat []Message
	// Flags are oddities worth knowing, in lower snake case (usage_missing,
	// model_mismatch, text_repaired, no_done_marker, …), each once.
	Flags []string
}

// Flag notes an oddity once.
func (r *Response) Flag(name string) {
	for _, f := range r.Flags {
		if f == name {
			return
		}
	}
	r.Flags = append(r.Flags, name)
}

// WorkerJob begins the Job of attempts that a worker on another machine was
// given: only a run with workers can ask for them.
const WorkerJob = "worker/"

// An Attempt is one HTTP exchange, kept as part of a record's attempt_log.
type Attempt struct {
	N           int        `json:"n"` // 1-based
	StartedAt   time.Time  `json:"started_at"`
	DurationMS  float64    `json:"duration_ms"`
	QueuedMS    float64    `json:"queued_ms,omitempty"`  // before it: limiter and budget
	BackoffMS   float64    `json:"backoff_ms,omitempty"` // before it: waiting to try again
	Route       string     `json:"route,omitempty"`      // which key or base URL, where a model has several
	Status      int        `json:"status,omitempty"`
	Class       ErrorClass `json:"class,omitempty"` // empty when it answered
	Message     string     `json:"message,omitempty"`
	RequestID   string     `json:"request_id,omitempty"`
	ServedModel string     `json:"served_model,omitempty"`
	Usage       Usage      `json:"usage,omitzero"`
	// Cost is what the attempt cost; nil when unknown. Where a worst case is
	// set too it is what the reported part of the usage cost: at least that.
	Cost    *NanoUSD `json:"cost_nano_usd,omitempty"`
	PriceID string   `json:"price_id,omitempty"`
	// MaybeBilled is true when the request may have been billed although no
	// usage came back. WorstCost and WorstTokens then say how much at most.
	MaybeBilled bool    `json:"maybe_billed,omitempty"`
	WorstTokens int64   `json:"worst_tokens,omitempty"`
	WorstCost   NanoUSD `json:"worst_cost_nano_usd,omitempty"`
	Kept        string  `json:"partial,omitempty"` // partial text of an answer that was cut
	// Job is the id under which the server makes the answer in the background, or
	// under which a worker on another machine was given the attempt: one whose
	// outcome is unknown can be asked for under it.
	Job string `json:"job,omitempty"`
	// Batch is the server's id of the batch in which it travelled. Its times are
	// those of the batch, and say nothing of how fast the model answers.
	Batch string `json:"batch,omitempty"`
	// Worker is the name of the worker that made the attempt; empty for one of
	// this process.
	Worker string `json:"worker,omitempty"`
	// Cache says what was expected of the prompt cache; nil where rows are not sent
	// by their common prefixes.
	Cache *Caching `json:"cache,omitempty"`
}

// Caching is what was expected of a prompt cache, and done for it. Tokens are
// estimates until answers have told how many there are.
type Caching struct {
	Prefix   string `json:"prefix"`                  // names what the request shares with others
	Tokens   int64  `json:"tokens"`                  // of the prefix
	Expected int64  `json:"expected_read,omitempty"` // tokens that should have been in the cache
	// Marker is the lifetime of the cache markers that were added to the request
	// ("5m", "1h"), Key the prompt_cache_key; empty where none was.
	Marker string `json:"marker,omitempty"`
	Key    string `json:"key,omitempty"`
}
