package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/batches"
	"nightshift/providers/simulator/internal/ratelimit"
)

// Config says how a Server behaves. The zero value is an instant, unlimited,
// faultless server that accepts any key and any model.
//
// Latency, Limits, Cache, Fault, Window and Competitor have a text form, used by
// flags and, as strings, in JSON.
type Config struct {
	Seed       uint64     `json:"seed,omitempty"`
	Latency    Latency    `json:"latency,omitzero"`
	Limits     Limits     `json:"limits,omitzero"`
	Faults     []Fault    `json:"faults,omitempty"`
	Outages    []Window   `json:"outages,omitempty"` // every request gets 503 meanwhile
	Competitor Competitor `json:"neighbour,omitzero"`

	// Models overrides what a model's name says about it.
	Models map[string]Model `json:"models,omitempty"`
	// Embeddings are how texts become vectors.
	Embeddings Embeddings `json:"embeddings,omitzero"`
	// OnlyModels refuses every model that is neither in Models nor in Answers
	// with 404.
	OnlyModels bool `json:"only_models,omitempty"`
	// AnswersFile names a file for Answers, which LoadAnswers reads.
	AnswersFile string `json:"answers,omitempty"`
	// Answers are what models are known to answer; anything else gets prose.
	Answers *answers.File `json:"-"`
	// Vary gives repeated requests of one conversation different answers, as
	// a temperature above 0 does: by the Idempotency-Key header where there is
	// one, else by how often the conversation was answered before.
	Vary bool `json:"vary,omitempty"`

	// Keys are the accepted API keys; empty accepts everything, even no key.
	Keys  []string `json:"-"`
	Quota Quota    `json:"quota,omitzero"`
	// Usage names the ways in which usage is reported; see UsageModes. With
	// several, each conversation keeps one of them.
	Usage []string `json:"usage,omitempty"`
	// Strict refuses parameters that particular vendor models refuse
	// (temperature, max_tokens, prefill), by the model's name.
	Strict bool `json:"strict,omitempty"`
	// CacheMinimum is the shortest prompt prefix, in tokens, that is cached; 0
	// means 1024, as at the vendors.
	CacheMinimum int `json:"cache_minimum,omitempty"`
	// Cache is a prompt cache like those of the vendors, in place of the simple one.
	Cache Cache `json:"cache,omitzero"`
	// MaxBody is the largest request body accepted, in bytes; 0 means 32 MB.
	MaxBody int64 `json:"max_body,omitempty"`

	// Batches says how the batch APIs behave.
	Batches Batches `json:"batches,omitzero"`
	// MaxLedger is how many conversations get counters of their own; 0 means
	// 200,000, a negative number none. Totals always count all.
	MaxLedger int `json:"max_ledger,omitempty"`
	// LedgerFile is written when the server is closed: the ledger with the rows of
	// batches, as GET /ledger?rows=1 tells it.
	LedgerFile string `json:"ledger_file,omitempty"`
	// Log receives one JSON line per exchange, each with a single Write call,
	// when the exchange is settled. May be nil.
	Log io.Writer `json:"-"`
}

// Latency says how long answers take. All times are multiplied by one
// log-normal factor per request.
type Latency struct {
	Base       time.Duration // before anything, errors included
	FirstToken time.Duration // further time to the first token
	PerToken   time.Duration // per output token
	Jitter     float64       // sigma of the log-normal factor; 0 is none, 0.5 has a long tail
	Queue      time.Duration // before an answer that is made in the background is begun
}

// Limits are kept per API key. A zero field is no limit.
type Limits struct {
	Requests    int64 // per minute
	Input       int64 // input tokens per minute; tokens read from a cache do not count
	Output      int64 // output tokens per minute
	Tokens      int64 // input and output tokens per minute
	Concurrency int   // requests in flight

	// Burst is how many seconds' worth a token bucket holds; 0 means 60 s.
	Burst time.Duration
	// Window counts in fixed windows of that length instead of buckets,
	// aligned to the clock.
	Window time.Duration
	// Sliding counts what was used in the last so long instead of buckets, as
	// new-api and other gateways do. No competitor takes part in that.
	Sliding time.Duration
	// Charge says when output is charged: ChargeActual (default) on
	// completion, ChargeMax at max_tokens on admission.
	Charge string
	// Headers is the dialect in which limits are told; see HeaderDialects.
	// Empty means the vendor's of the protocol that was spoken.
	Headers string
	// PerModel gives each model limits of its own.
	PerModel bool
}

// How output tokens are charged to the limits.
const (
	chargeActual = "actual"
	ChargeMax    = ratelimit.ChargeMax
)

// headerDialects are the ways in which limits are told.
var headerDialects = []string{"auto", "anthropic", "openai", "azure", "openrouter", "retry-after", "none"}

// Competitor is another client of the same limits: for Busy out of every
// Period it takes Share of the rates (above 1 it drains the bucket).
type Competitor struct {
	Share  float64
	Period time.Duration // 0 means always busy
	Busy   time.Duration
}

// A Window is a stretch of time, counted from the first request.
type Window struct {
	At  time.Duration
	For time.Duration // 0 means for ever
}

func (w Window) holds(since time.Duration) bool {
	return since >= w.At && (w.For == 0 || since < w.At+w.For)
}

// A Fault makes a share of the requests go wrong. Kinds are listed by
// FaultKinds, mixes of them by FaultMixes.
type Fault struct {
	Kind  string
	Share float64 // of the requests that Only admits, 0 to 1
	// During limits the fault to a stretch of time; zero is always. Faults
	// with a window depend on when a request comes.
	During Window
	// Hold is how long stalls and drips last before the connection is dropped;
	// 0 means 10 minutes.
	Hold time.Duration
	Only only
}

// only selects requests; its zero value selects all.
type only struct {
	Protocol string // "messages" or "chat"
	Model    string // prefix of the model's name
	Stream   *bool
	Contains string       // part of the last user message
	First    int          // only the first so many tries of a conversation
	Batch    batches.Span // of faults of batches: the number of the create call
	Call     batches.Span // of faults of batches: the number of the call of its operation
}

// Model is what the server knows of one model. Zero fields mean the default.
type Model struct {
	Skill     *float64 `json:"skill,omitempty"`     // share of questions answered rightly, 0 to 1; nil goes by the name
	Verbosity float64  `json:"verbosity,omitempty"` // 1 is usual, 0.3 terse, 3 talkative
	Context   int      `json:"context,omitempty"`   // longest input in tokens; 0 means 200,000
	MaxOutput int      `json:"max_output,omitempty"`
	// Reasoning is how many tokens the model thinks without being asked.
	Reasoning int `json:"reasoning,omitempty"`
	// ReasoningField is where Chat answers carry the thinking: "reasoning_content",
	// "reasoning", "think_tags" or "" for not at all (it is billed all the same).
	ReasoningField string `json:"reasoning_field,omitempty"`
	// NoPromptLogprobs is set for models that give no log-probabilities of a
	// prompt, whatever is asked (llama.cpp).
	NoPromptLogprobs bool `json:"no_prompt_logprobs,omitempty"`
	// Speed multiplies all latencies; 0 means 1.
	Speed float64 `json:"speed,omitempty"`
	// RefusalRate is the share of conversations that the model declines.
	RefusalRate float64 `json:"refusal_rate,omitempty"`
	// TruncateRate is the share of conversations cut as if by max_tokens.
	TruncateRate float64 `json:"truncate_rate,omitempty"`
}

// Quota ends a key's credit after a number of answered requests or billed
// tokens; 0 is no quota.
type Quota struct {
	Requests int64 `json:"requests,omitempty"`
	Tokens   int64 `json:"tokens,omitempty"`
	// Kind is how it shows: "insufficient_quota" (429, default), "payment"
	// (402), "credit" (400 in Messages words), "forbidden" (403) or "token"
	// (401, as gateways do).
	Kind string `json:"kind,omitempty"`
}

// LoadAnswers reads AnswersFile, where one is named, from JSON lines; errors
// begin with the name and the line. A line's prompt stands in "prompt",
// "question" or "input"; a text in "target", "answer" or "ideal" is the right
// answer for every model; every other field that holds a text, or an object
// with a text in "solution", "answer", "output", "text" or "response", is the
// answer of the model that has the field's name. A relative path starts from
// the given folder.
func (c *Config) LoadAnswers(folder string) error {
	if c.AnswersFile == "" {
		return nil
	}
	path := c.AnswersFile
	if !filepath.IsAbs(path) {
		path = filepath.Join(folder, path)
	}
	known, err := answers.Open(path)
	if err != nil {
		return fmt.Errorf("answers: %w", err)
	}
	c.Answers = known
	return nil
}

// Validate reports everything that is wrong with a Config.
func (c Config) Validate() error {
	var bad []string
	for _, f := range c.Faults {
		if err := f.validate(); err != nil {
			bad = append(bad, err.Error())
		}
	}
	for _, m := range c.Usage {
		if !knownUsage(m) {
			bad = append(bad, fmt.Sprintf("unknown usage mode %q, have %s", m, strings.Join(UsageModes(false), ", ")))
		}
	}
	if h := c.Limits.Headers; h != "" && !slices.Contains(headerDialects, h) {
		bad = append(bad, fmt.Sprintf("unknown header dialect %q, have %s", h, strings.Join(headerDialects, ", ")))
	}
	if ch := c.Limits.Charge; ch != "" && ch != chargeActual && ch != ChargeMax {
		bad = append(bad, fmt.Sprintf("unknown charge %q, have %s, %s", ch, chargeActual, ChargeMax))
	}
	if r := c.Embeddings.Refusal; r != "" && !slices.Contains(textRefusals, r) {
		bad = append(bad, fmt.Sprintf("unknown refusal of texts %q, have %s", r, strings.Join(textRefusals, ", ")))
	}
	if shape := c.Batches.Shape; shape != "" && !slices.Contains(batches.Shapes(), shape) {
		bad = append(bad, fmt.Sprintf("unknown shape of batches %q, have %s", shape, strings.Join(batches.Shapes(), ", ")))
	}
	if k := c.Quota.Kind; k != "" && !slices.Contains(quotaKinds, k) {
		bad = append(bad, fmt.Sprintf("unknown quota kind %q, have %s", k, strings.Join(quotaKinds, ", ")))
	}
	if len(bad) > 0 {
		return fmt.Errorf("simulator: %s", strings.Join(bad, "; "))
	}
	return nil
}

// ParseConfig reads settings in JSON; empty is the default.
func ParseConfig(b []byte) (c Config, err error) {
	if len(b) == 0 {
		return c, nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, err
	}
	return c, c.Validate()
}
