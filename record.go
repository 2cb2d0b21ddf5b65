package nightshift

import (
	"time"
)

// An Outcome says in one word what became of a row.
type Outcome string

const (
	OutcomeOK         Outcome = "ok"
	OutcomeTruncated  Outcome = "truncated"   // max_tokens, context_window or pause
	OutcomeRefused    Outcome = "refused"     // refusal or content filter
	OutcomeEmpty      Outcome = "empty"       // ended with neither text nor tool call
	OutcomeFailed     Outcome = "failed"      // no answer after all attempts
	OutcomeInputError Outcome = "input_error" // unusable dataset row; nothing was sent
	OutcomeUnknown    Outcome = "unknown"     // may have been billed; not sent again by choice
)

// Answered reports whether a model's answer is on record.
func (o Outcome) Answered() bool {
	switch o {
	case OutcomeOK, OutcomeTruncated, OutcomeRefused, OutcomeEmpty:
		return true
	}
	return false
}

// A Record is everything about one (row, model, epoch): a row of
// results/*.parquet and, as JSON under the same names, a line of the journal.
// It stands alone. A nil pointer is unknown and becomes NULL; it is never 0
// or "".
//
// The parquet tags are the file format, schema version 1; runner/store reads
// them. Texts in a Record are valid UTF-8.
type Record struct {
	Run            string  `json:"run" parquet:"run,dict"`
	Row            int64   `json:"row" parquet:"row"`
	ID             string  `json:"id" parquet:"id"`
	Epoch          int32   `json:"epoch" parquet:"epoch"`
	Model          string  `json:"model" parquet:"model,dict"`
	Endpoint       string  `json:"endpoint" parquet:"endpoint,dict"`
	Protocol       string  `json:"protocol" parquet:"protocol,dict"`
	RequestedModel string  `json:"requested_model" parquet:"requested_model,dict"`
	ServedModel    *string `json:"served_model,omitempty" parquet:"served_model,optional,dict"`
	Fingerprint    *string `json:"fingerprint,omitempty" parquet:"fingerprint,optional,dict"`
	Outcome        Outcome `json:"outcome" parquet:"outcome,dict"`

	Text      *string `json:"text,omitempty" parquet:"text,optional"`
	Thinking  *string `json:"thinking,omitempty" parquet:"thinking,optional"`
	ToolCalls *string `json:"tool_calls,omitempty" parquet:"tool_calls,optional"` // JSON array of ToolCall
	Choices   *string `json:"choices,omitempty" parquet:"choices,optional"`       // JSON array of Choice when n > 1
	// Embedding is the vector of the row's text. A row of several texts has
	// their vectors one after the other, all of one length; EmbeddingCount says
	// how many there are. Both are nil where no vectors were asked for.
	Embedding      Vector  `json:"embedding,omitempty" parquet:"embedding,optional,list"`
	EmbeddingCount *int32  `json:"embedding_count,omitempty" parquet:"embedding_count,optional"`
	StopReason     *string `json:"stop_reason,omitempty" parquet:"stop_reason,optional,dict"`
	RawStopReason  *string `json:"raw_stop_reason,omitempty" parquet:"raw_stop_reason,optional,dict"`

	InputTokens        *int64  `json:"input_tokens,omitempty" parquet:"input_tokens,optional"` // cached ones included
	CacheReadTokens    *int64  `json:"cache_read_tokens,omitempty" parquet:"cache_read_tokens,optional"`
	CacheWrite5mTokens *int64  `json:"cache_write_5m_tokens,omitempty" parquet:"cache_write_5m_tokens,optional"`
	CacheWrite1hTokens *int64  `json:"cache_write_1h_tokens,omitempty" parquet:"cache_write_1h_tokens,optional"`
	OutputTokens       *int64  `json:"output_tokens,omitempty" parquet:"output_tokens,optional"`
	ReasoningTokens    *int64  `json:"reasoning_tokens,omitempty" parquet:"reasoning_tokens,optional"`
	UsageRaw           *string `json:"usage_raw,omitempty" parquet:"usage_raw,optional"`

	CostUSD            *float64 `json:"cost_usd,omitempty" parquet:"cost_usd,optional"`           // all attempts
	CostNanoUSD        *int64   `json:"cost_nano_usd,omitempty" parquet:"cost_nano_usd,optional"` // the same, exactly
	ReportedCostUSD    *float64 `json:"reported_cost_usd,omitempty" parquet:"reported_cost_usd,optional"`
	PriceID            *string  `json:"price_id,omitempty" parquet:"price_id,optional,dict"`
	BilledInputTokens  *int64   `json:"billed_input_tokens,omitempty" parquet:"billed_input_tokens,optional"`
	BilledOutputTokens *int64   `json:"billed_output_tokens,omitempty" parquet:"billed_output_tokens,optional"`
	MaybeBilled        bool     `json:"maybe_billed" parquet:"maybe_billed"`

	Attempts     int32      `json:"attempts" parquet:"attempts"`
	AttemptLog   *string    `json:"attempt_log,omitempty" parquet:"attempt_log,optional"` // JSON array of Attempt
	LatencyMS    *float64   `json:"latency_ms,omitempty" parquet:"latency_ms,optional"`
	FirstTokenMS *float64   `json:"first_token_ms,omitempty" parquet:"first_token_ms,optional"`
	QueuedMS     *float64   `json:"queued_ms,omitempty" parquet:"queued_ms,optional"`
	BackoffMS    *float64   `json:"backoff_ms,omitempty" parquet:"backoff_ms,optional"`
	StartedAt    *time.Time `json:"started_at,omitempty" parquet:"started_at,optional,timestamp(microsecond)"`
	FinishedAt   *time.Time `json:"finished_at,omitempty" parquet:"finished_at,optional,timestamp(microsecond)"`
	HTTPStatus   *int32     `json:"http_status,omitempty" parquet:"http_status,optional"`
	ErrorClass   *string    `json:"error_class,omitempty" parquet:"error_class,optional,dict"`
	ErrorMessage *string    `json:"error_message,omitempty" parquet:"error_message,optional"`
	RequestID    *string    `json:"request_id,omitempty" parquet:"request_id,optional"`
	Flags        *string    `json:"flags,omitempty" parquet:"flags,optional,dict"` // comma-separated

	System *string `json:"system,omitempty" parquet:"system,optional"`
	Input  *string `json:"input,omitempty" parquet:"input,optional"` // messages as JSON
	Target *string `json:"target,omitempty" parquet:"target,optional"`
	// TargetIsList says whether Target was a list in the dataset: only then is
	// it a list of alternatives. It is nil without a target, and in runs older
	// than this column.
	TargetIsList *bool   `json:"target_is_list,omitempty" parquet:"target_is_list,optional"`
	Category     *string `json:"category,omitempty" parquet:"category,optional,dict"`
	Cluster      *string `json:"cluster,omitempty" parquet:"cluster,optional"`
	Metadata     *string `json:"metadata,omitempty" parquet:"metadata,optional"`
	RowHash      string  `json:"row_hash" parquet:"row_hash"` // hex of Sample.Hash
	// hex; equal for equal rendered prompts whatever the model
	PromptHash  string  `json:"prompt_hash" parquet:"prompt_hash"`
	RequestHash *string `json:"request_hash,omitempty" parquet:"request_hash,optional"` // hex SHA-256 of the body sent

	RawResponse *string `json:"raw_response,omitempty" parquet:"raw_response,optional"`
	// RawBytes holds the body as read when it is not valid UTF-8; RawResponse
	// is then its repaired text.
	RawBytes []byte `json:"raw_bytes,omitempty" parquet:"raw_bytes,optional"`

	// ReusedFrom names the run that was sent the request and paid for the answer,
	// as name@run_id; nil for what this run sent itself. The costs and attempts
	// above are then those of this run only.
	ReusedFrom *string `json:"reused_from,omitempty" parquet:"reused_from,optional,dict"`
	// ReusedCostNanoUSD is what the answer cost there; nil where that is not known.
	ReusedCostNanoUSD *int64 `json:"reused_cost_nano_usd,omitempty" parquet:"reused_cost_nano_usd,optional"`

	// Variant is the way in which the model was asked, and VariantOf the model's
	// name in the plan; Model is both. They are nil in runs without variants.
	Variant   *string `json:"variant,omitempty" parquet:"variant,optional,dict"`
	VariantOf *string `json:"variant_of,omitempty" parquet:"variant_of,optional,dict"`
	// Dataset is the name of the row's dataset, where the plan has several; ID then
	// begins with it and a slash. It is nil in runs with one dataset.
	Dataset *string `json:"dataset,omitempty" parquet:"dataset,optional,dict"`
}

// A Score is a row of scores/*.parquet: what one scorer said of one answer.
type Score struct {
	Run    string      `json:"run" parquet:"run,dict"`
	Row    int64       `json:"row" parquet:"row"`
	ID     string      `json:"id" parquet:"id"`
	Epoch  int32       `json:"epoch" parquet:"epoch"`
	Model  string      `json:"model" parquet:"model,dict"`
	Scorer string      `json:"scorer" parquet:"scorer,dict"`
	Value  *float64    `json:"value" parquet:"value,optional"` // nil when unscored or error
	Status ScoreStatus `json:"status" parquet:"status,dict"`
	Answer *string     `json:"answer,omitempty" parquet:"answer,optional"` // what was extracted
	// equal for answers that are equal to the scorer
	Canonical *string `json:"canonical,omitempty" parquet:"canonical,optional"`
	// JSON list: what the answer adds to a statistic of all answers
	Counts        *string `json:"counts,omitempty" parquet:"counts,optional"`
	Explanation   *string `json:"explanation,omitempty" parquet:"explanation,optional"`
	ScorerVersion string  `json:"scorer_version" parquet:"scorer_version,dict"`
	Params        string  `json:"params" parquet:"params,dict"` // JSON object
	// JSON list of {name, value, weight}: what the value is made of, such as criteria
	Parts *string `json:"parts,omitempty" parquet:"parts,optional"`
}

// A ScoreStatus says whether a score is one.
type ScoreStatus string

const (
	Scored   ScoreStatus = "scored"    // a comparison was made
	NoAnswer ScoreStatus = "no_answer" // nothing to compare was found in the answer: value 0
	Unscored ScoreStatus = "unscored"  // the scorer failed: no value
	NotRun   ScoreStatus = "error"     // the request failed: no value
)
