// Package plan reads the YAML plan of a run: what to ask, of whom, at what
// price and within which limits. [Load] finds every mistake of a file at once,
// each with its place; [Plan.Apply] lays flags over it; [Plan.Resolve] looks
// up presets, prices, prompts and scorers, and finds everything that would
// stop the run before a request is sent.
package plan

import (
	"encoding/json"

	"nightshift"
	"nightshift/providers/pricing"
)

// A Plan is the whole file. A field that the file does not have is its zero
// value; [Plan.Resolve] fills in the defaults.
type Plan struct {
	// Version of the plan format; 1.
	Version int `yaml:"version" json:"version,omitempty" jsonschema:"enum=1"`
	// Name of the run, in every row of its files. Default: the plan file's
	// name without its ending.
	Name string `yaml:"name" json:"name,omitempty"`
	// The rows and how they become prompts.
	Dataset Dataset `yaml:"dataset" json:"dataset,omitzero"`
	// Answers per row and model; default 1.
	Epochs int `yaml:"epochs" json:"epochs,omitempty" jsonschema:"minimum=1"`
	// The models that answer.
	Models []Model `yaml:"models" json:"models" jsonschema:"minItems=1"`
	// Variants of system prompt, prompt, parameters and tools, each tried with every
	// model.
	Variants []Variant `yaml:"variants" json:"variants,omitempty"`
	// Endpoints beside the presets, by name. An entry with a preset's name
	// starts from that preset.
	Endpoints map[string]Endpoint `yaml:"endpoints" json:"endpoints,omitempty"`
	// The most that the whole run may spend, judges included.
	Budget Budget `yaml:"budget" json:"budget,omitzero"`
	// How often a row is tried again, and how long an outage may last.
	Retry Retry `yaml:"retry" json:"retry,omitzero"`
	// How the rows of models in mode batch travel; a model's own batch: goes before it.
	Batch Batch `yaml:"batch" json:"batch,omitzero"`
	// What all judges have in common.
	Judges Judges `yaml:"judges" json:"judges,omitzero"`
	// How answers are scored. A scorer can also be written as its bare type.
	Scorers []Scorer `yaml:"scorers" json:"scorers,omitempty"`
	// Several datasets in one run, in place of dataset.
	Datasets []NamedDataset `yaml:"datasets" json:"datasets,omitempty"`
	// How models are compared.
	Compare Compare `yaml:"compare" json:"compare,omitzero"`
	// Conditions that the run must meet, such as "error_rate < 1%",
	// "score(sonnet) >= 0.9" or "no_regression(gpt-5)".
	Gates []string `yaml:"gates" json:"gates,omitempty"`
	// Failed rows that still count as success: a number (3) or a share ("1%").
	// Default 0.
	TolerateFailed Tolerance `yaml:"tolerate_failed" json:"tolerate_failed,omitzero"`
	// Which raw bodies are kept; default all.
	Raw string `yaml:"raw" json:"raw,omitempty" jsonschema:"enum=all,enum=errors,enum=none"`
	// Run directory, relative to the plan, or s3://bucket/run. Default: runs/NAME.
	Out string `yaml:"out" json:"out,omitempty"`
	// Price table that goes before the built-in one: our CSV, or LiteLLM's
	// model_prices_and_context_window.json.
	Prices string `yaml:"prices" json:"prices,omitempty"`
	// Address at which Prometheus metrics are served, such as 127.0.0.1:9090.
	// Default: nowhere.
	Metrics string `yaml:"metrics" json:"metrics,omitempty"`
	// When the run has to have ended: a time of day such as 07:00, which is the next
	// one after the start, or a date with a time. Sending stops in time for what is
	// in flight to end before it; the same command goes on. Default: none.
	Deadline string `yaml:"deadline" json:"deadline,omitempty"`
	// Address to which a JSON summary is posted when the run ends, well or not.
	// Default: none.
	Notify string `yaml:"notify" json:"notify,omitempty"`
	// What happens to rows that may have been billed without an answer on
	// record: resend (default) or skip.
	OnUnknown string `yaml:"on_unknown" json:"on_unknown,omitempty" jsonschema:"enum=resend,enum=skip"`
	// normal (default) survives kill -9, strict also power failure at once.
	Durability string `yaml:"durability" json:"durability,omitempty" jsonschema:"enum=normal,enum=strict"`

	source   *source
	allModes string // mode of all models and judges, given by a flag; empty for none
}

// A Dataset says where the rows are and how they become prompts. Texts are
// Jinja templates over the row's fields; a text that begins with "file:" is
// read from that file, relative to the plan.
type Dataset struct {
	// A file, a glob, or a list of them; .gz and .zst are unpacked; "-" is
	// standard input.
	Path Strings `yaml:"path" json:"path"`
	// auto (default), jsonl, json, csv, tsv or parquet, or the name of a
	// shape such as openai_batch.
	Format string `yaml:"format" json:"format,omitempty"`
	// Names or dotted paths of fields where auto does not find them, by role:
	// id, target, prompt, system, messages, category, cluster, …
	Fields map[string]string `yaml:"fields" json:"fields,omitempty"`
	// System prompt, a template.
	System string `yaml:"system" json:"system,omitempty"`
	// Prompt, a template. Default: what the shape of the rows implies.
	Prompt string `yaml:"prompt" json:"prompt,omitempty"`
	// Target, a template, or last_assistant.
	Target string `yaml:"target" json:"target,omitempty"`
	// Field that groups rows which depend on each other.
	Cluster string `yaml:"cluster" json:"cluster,omitempty"`
	// Field for the breakdown by category.
	Category string `yaml:"category" json:"category,omitempty"`
	// Rows to use at most; default all.
	Limit int64 `yaml:"limit" json:"limit,omitempty" jsonschema:"minimum=0"`
	// Rows to skip at the start.
	Offset int64 `yaml:"offset" json:"offset,omitempty" jsonschema:"minimum=0"`
	// Size of a random sample of the rows, in dataset order; default all.
	Sample int64 `yaml:"sample" json:"sample,omitempty" jsonschema:"minimum=0"`
	// Seed of the sample; the same seed selects the same rows.
	Seed uint64 `yaml:"seed" json:"seed,omitempty" jsonschema:"minimum=0"`
	// Condition that a row must meet: a Jinja expression over its fields, such
	// as level == "hard" and year > 2020.
	Filter string `yaml:"filter" json:"filter,omitempty"`
	// What to do about unusable rows: refuse (default) before anything is
	// sent, or record them as input_error and run the rest.
	OnBadRow string `yaml:"on_bad_row" json:"on_bad_row,omitempty" jsonschema:"enum=refuse,enum=record"`
	// Accept rows that share an id.
	AllowDuplicateIDs bool `yaml:"allow_duplicate_ids" json:"allow_duplicate_ids,omitempty"`
	// Replace invalid UTF-8 by U+FFFD instead of refusing the row.
	RepairUTF8 bool `yaml:"repair_utf8" json:"repair_utf8,omitempty"`
	// Longest row in bytes; default 16 MiB.
	MaxLine int64 `yaml:"max_line" json:"max_line,omitempty" jsonschema:"minimum=0"`
}

// A NamedDataset is one of several datasets of a run.
type NamedDataset struct {
	// Unique name: NAME/ID is what outputs call the dataset's rows.
	Name    string `yaml:"name" json:"name" jsonschema:"required,oneof_type=string;number"`
	Dataset `yaml:",inline"`
	// Scorers of its answers, in place of the plan's.
	Scorers []Scorer `yaml:"scorers" json:"scorers,omitempty"`
}

// A Model is one column of the comparison.
type Model struct {
	// Unique name, in every output row. Default: the model id.
	Name string `yaml:"name" json:"name,omitempty" jsonschema:"oneof_type=string;number"`
	// A preset or an entry of endpoints.
	Endpoint string `yaml:"endpoint" json:"endpoint" jsonschema:"required"`
	// Model id as the endpoint knows it.
	Model string `yaml:"model" json:"model" jsonschema:"required,oneof_type=string;number"`
	// Fields of the request body, which go into it as they are written here. A
	// list of values for a parameter that takes one, such as temperature: [0, 0.7],
	// tries each.
	Params Params `yaml:"params" json:"params,omitempty"`
	// Ask for a stream.
	Stream bool `yaml:"stream" json:"stream,omitempty"`
	// Rows that share a beginning are sent together, so that the prompt cache has it:
	// off (default); order changes their order alone; auto adds cache markers, where
	// they pay, and prompt_cache_key too; 5m and 1h add markers of that lifetime.
	Cache string `yaml:"cache" json:"cache,omitempty" jsonschema:"enum=auto,enum=off,enum=order,enum=5m,enum=1h"`
	// Price, in dollars per million tokens. Default: the price table's.
	Price *Price `yaml:"price" json:"price,omitempty"`
	// The most output tokens that the model can write, where no parameter
	// caps them and the price table does not know: it lets a budget reserve.
	MaxOutput int64 `yaml:"max_output" json:"max_output,omitempty" jsonschema:"minimum=0"`
	// How many rows go into one request for embeddings (at most 2048). A
	// request that is refused is sent again in halves. Default: 1.
	RowsPerRequest int64 `yaml:"rows_per_request" json:"rows_per_request,omitempty" jsonschema:"minimum=0,maximum=2048"`
	// live (default): a request for each row. batch: the rows go in the provider's
	// batches, at its batch price, and the answers come hours later.
	Mode string `yaml:"mode" json:"mode,omitempty" jsonschema:"enum=live,enum=batch"`
	// How the rows travel in mode batch, where it differs from the plan's batch:.
	Batch Batch `yaml:"batch" json:"batch,omitzero"`
}

// A Variant is one way to ask, tried with every model: what it leaves out is the
// dataset's and the model's own.
type Variant struct {
	// Unique name: MODEL/NAME is what outputs call the pair of model and variant.
	Name string `yaml:"name" json:"name" jsonschema:"required,oneof_type=string;number"`
	// System prompt, a template, in place of the dataset's. An empty text is none.
	System *string `yaml:"system" json:"system,omitempty"`
	// Prompt, a template, in place of the dataset's.
	Prompt *string `yaml:"prompt" json:"prompt,omitempty"`
	// Fields of the request body over those of the model. A list of values for a
	// parameter that takes one, such as temperature: [0, 0.7], makes a variant of each.
	Params Params `yaml:"params" json:"params,omitempty"`
	// Tools that the model is offered, as the endpoint's format writes them.
	Tools []Params `yaml:"tools" json:"tools,omitempty"`
}

// A Batch says how rows travel in a provider's batches. What is left out, or 0,
// is the provider's own.
type Batch struct {
	// Most rows in a batch.
	MaxRequests int64 `yaml:"max_requests" json:"max_requests,omitempty" jsonschema:"minimum=0"`
	// Most bytes of a batch, such as 100MB.
	MaxBytes Size `yaml:"max_bytes" json:"max_bytes,omitempty"`
	// Most tokens of all batches that are at the provider at once. Refusals teach
	// it, too.
	MaxEnqueuedTokens int64 `yaml:"max_enqueued_tokens" json:"max_enqueued_tokens,omitempty" jsonschema:"minimum=0"`
	// How long the provider may take: 24h, 7d, or its own word.
	Window Window `yaml:"window" json:"window,omitempty"`
	// How often batches are looked at: 60s, or the first and the longest time,
	// 10s..5m.
	Poll Poll `yaml:"poll" json:"poll,omitzero"`
	// When to cancel a batch that is not done, from its creation, such as 36h.
	// Default: never; the provider ends it.
	Deadline Span `yaml:"deadline" json:"deadline,omitempty"`
	// What becomes of rows that a batch has ended without: next (default), the next
	// batch; live, a request for each at the live price; fail, a failed row.
	Then string `yaml:"then" json:"then,omitempty" jsonschema:"enum=next,enum=live,enum=fail"`
	// A rest of fewer rows goes live, where then is live. Default 50.
	MinRequests *int64 `yaml:"min_requests" json:"min_requests,omitempty" jsonschema:"minimum=0"`
	// Files at the provider: keep (default), or delete once their rows are
	// committed.
	Remote string `yaml:"remote" json:"remote,omitempty" jsonschema:"enum=keep,enum=delete"`
}

// Judges are what all judges have in common.
type Judges struct {
	// live (default) or batch, for judges that do not say it themselves.
	Mode string `yaml:"mode" json:"mode,omitempty" jsonschema:"enum=live,enum=batch"`
	// How their requests travel in mode batch, over the plan's batch:.
	Batch Batch `yaml:"batch" json:"batch,omitzero"`
}

// A Price is what a model costs in dollars per million tokens.
type Price struct {
	// Input tokens.
	Input *pricing.Rate `yaml:"input" json:"input" jsonschema:"required"`
	// Output tokens, reasoning included.
	Output *pricing.Rate `yaml:"output" json:"output" jsonschema:"required"`
	// Input tokens read from a cache. Default: the price of input.
	CacheRead *pricing.Rate `yaml:"cache_read" json:"cache_read,omitempty"`
	// Input tokens written to a cache for 5 minutes. Default: the price of input.
	CacheWrite5m *pricing.Rate `yaml:"cache_write_5m" json:"cache_write_5m,omitempty"`
	// Input tokens written to a cache for an hour. Default: the price of input.
	CacheWrite1h *pricing.Rate `yaml:"cache_write_1h" json:"cache_write_1h,omitempty"`
	// Audio tokens in the input. Default: not known, and they then have no price.
	AudioInput *pricing.Rate `yaml:"audio_input" json:"audio_input,omitempty"`
	// Audio tokens in the output. Default: not known.
	AudioOutput *pricing.Rate `yaml:"audio_output" json:"audio_output,omitempty"`
	// Image tokens in the input, where the server counts them apart. Default: not known.
	ImageInput *pricing.Rate `yaml:"image_input" json:"image_input,omitempty"`
	// Image tokens in the output. Default: not known.
	ImageOutput *pricing.Rate `yaml:"image_output" json:"image_output,omitempty"`
	// Multipliers of the whole request for long prompts.
	Long []Long `yaml:"long" json:"long,omitempty"`
	// Multipliers by the service tier of the answer, such as batch: 0.5; one number,
	// INPUT:OUTPUT, or INPUT:OUTPUT:CACHE_READ:CACHE_WRITE.
	Services map[string]Multiplier `yaml:"services" json:"services,omitempty"`
	// Multipliers by the region that the answer names, such as us: 1.1.
	Regions map[string]pricing.Factor `yaml:"regions" json:"regions,omitempty"`
	// Dollars per thousand server-side searches.
	Searches *USD `yaml:"searches" json:"searches,omitempty"`
}

// Long re-rates requests with long prompts.
type Long struct {
	// Input tokens, cached ones included, above which the multipliers apply.
	Above int64 `yaml:"above" json:"above" jsonschema:"required,minimum=1"`
	// Multiplier of the input prices, caches included; default 1.
	Input *pricing.Factor `yaml:"input" json:"input,omitempty"`
	// Multiplier of the output price; default 1.
	Output *pricing.Factor `yaml:"output" json:"output,omitempty"`
}

// An Endpoint is a place that serves models. What it leaves out comes from its
// preset.
type Endpoint struct {
	// Preset to start from.
	Preset string `yaml:"preset" json:"preset,omitempty"`
	// Wire format, such as messages (Anthropic) or chat (OpenAI Chat
	// Completions).
	Protocol nightshift.Protocol `yaml:"protocol" json:"protocol,omitempty"`
	// Base URL, with or without /v1.
	BaseURL string `yaml:"base_url" json:"base_url,omitempty"`
	// Path of the request, where it is not the usual one.
	Path string `yaml:"path" json:"path,omitempty"`
	// How the key is sent, and where it is found. Also as a bare scheme: `auth: none`.
	Auth *Auth `yaml:"auth" json:"auth,omitempty"`
	// Further request headers. Keys do not belong here: use auth.
	Headers map[string]string `yaml:"headers" json:"headers,omitempty"`
	// none, or data where answers come wrapped in {"data": …}.
	Envelope string `yaml:"envelope" json:"envelope,omitempty" jsonschema:"enum=none,enum=data"`
	// Ask for usage in chat streams.
	IncludeUsage *bool `yaml:"include_usage" json:"include_usage,omitempty"`
	// Streams never send a finish reason: [DONE] alone ends an answer.
	DoneMarkerOnly *bool `yaml:"done_marker_only" json:"done_marker_only,omitempty"`
	// Header that carries a key unique to each request, for gateways that
	// answer a repeated one from memory.
	IdempotencyHeader string `yaml:"idempotency_header" json:"idempotency_header,omitempty"`
	// Permit plain HTTP to a host other than this machine.
	AllowHTTP bool `yaml:"allow_http" json:"allow_http,omitempty"`
	// Provider whose list prices this endpoint charges, such as anthropic.
	// Default: the preset's.
	Prices string `yaml:"prices" json:"prices,omitempty"`
	// Rate limits of the key. What is left out is inferred.
	Limits *Limits `yaml:"limits" json:"limits,omitempty"`
	// Timeouts, which watch for progress.
	Timeouts Timeouts `yaml:"timeouts" json:"timeouts,omitzero"`
	// Further keys or base URLs that serve the same models.
	Routes []Route `yaml:"routes" json:"routes,omitempty"`
	// Batch API of the endpoint, where it is not the preset's.
	BatchAPI *BatchAPI `yaml:"batch_api" json:"batch_api,omitempty"`
	// Settings of the built-in simulator, for an endpoint with preset
	// simulator: latency, faults, limits. See `nightshift simulate --help`.
	Simulator json.RawMessage `yaml:"simulator" json:"simulator,omitempty" jsonschema:"type=object"`
}

// BatchAPI says where an endpoint's batch API is, and how it is spoken to.
type BatchAPI struct {
	// openai (files and batches, as most gateways have them), azure, zhipu,
	// mistral, together, xai, gemini, fireworks, anthropic or openrouter.
	// Default: the preset's; of other endpoints openai, for Messages anthropic.
	Dialect string `yaml:"dialect" json:"dialect,omitempty" jsonschema:"enum=openai,enum=azure,enum=zhipu,enum=mistral,enum=together,enum=xai,enum=gemini,enum=fireworks,enum=anthropic,enum=openrouter"`
	// Where its paths begin, or a path on the endpoint's host. Default: beside
	// the path of the requests.
	BaseURL string `yaml:"base_url" json:"base_url,omitempty"`
}

// Auth says how a key is sent and where it is found. The key itself never
// stands in a plan.
type Auth struct {
	// bearer (Authorization: Bearer KEY), x-api-key, x-goog-api-key, raw
	// (Authorization: KEY), header (the header of name:), or none. Default: the
	// protocol's.
	Scheme string `yaml:"scheme" json:"scheme,omitempty" jsonschema:"enum=bearer,enum=x-api-key,enum=x-goog-api-key,enum=raw,enum=header,enum=none"`
	// Header name for scheme header.
	Name string `yaml:"name" json:"name,omitempty"`
	// Environment variable that holds the key.
	Env string `yaml:"env" json:"env,omitempty"`
	// File of mode 0600 that holds the key. It is read again when the key is
	// refused.
	File string `yaml:"file" json:"file,omitempty"`
	// Program that prints the key, and its arguments. It is run again when the
	// key is refused.
	Command Strings `yaml:"command" json:"command,omitempty"`
}

// Limits are what one key may ask, per minute. 0 or absent is unknown.
type Limits struct {
	// Most requests in flight.
	Concurrency int `yaml:"concurrency" json:"concurrency,omitempty" jsonschema:"minimum=0"`
	// Requests per minute.
	RequestsPerMinute float64 `yaml:"requests_per_minute" json:"requests_per_minute,omitempty" jsonschema:"minimum=0"`
	// Tokens per minute, input and output together.
	TokensPerMinute float64 `yaml:"tokens_per_minute" json:"tokens_per_minute,omitempty" jsonschema:"minimum=0"`
	// Input tokens per minute.
	InputTokensPerMinute float64 `yaml:"input_tokens_per_minute" json:"input_tokens_per_minute,omitempty" jsonschema:"minimum=0"`
	// Output tokens per minute.
	OutputTokensPerMinute float64 `yaml:"output_tokens_per_minute" json:"output_tokens_per_minute,omitempty" jsonschema:"minimum=0"`
	// What the server counts against output limits: actual tokens (default),
	// or max_tokens when the request arrives.
	Charge string `yaml:"charge" json:"charge,omitempty" jsonschema:"enum=actual,enum=max_tokens"`
}

// Timeouts watch for progress; absent means the default.
type Timeouts struct {
	// To connect; default 10s.
	Connect Duration `yaml:"connect" json:"connect,omitzero"`
	// To the first byte of an answer; default 10m.
	FirstByte Duration `yaml:"first_byte" json:"first_byte,omitzero"`
	// Without anything new; default 60s.
	Idle Duration `yaml:"idle" json:"idle,omitzero"`
	// Altogether; default 30m.
	Total Duration `yaml:"total" json:"total,omitzero"`
}

// A Route is one key or base URL among several.
type Route struct {
	// Name in the attempt log. Default: its number.
	Name string `yaml:"name" json:"name,omitempty"`
	// Base URL; default the endpoint's.
	BaseURL string `yaml:"base_url" json:"base_url,omitempty"`
	// Key; default the endpoint's.
	Auth *Auth `yaml:"auth" json:"auth,omitempty"`
	// Share of the requests relative to the other routes; default 1.
	Weight *float64 `yaml:"weight" json:"weight,omitempty" jsonschema:"minimum=0"`
	// Limits of this key; default the endpoint's.
	Limits *Limits `yaml:"limits" json:"limits,omitempty"`
}

// A Budget limits what the run spends. Absent is no limit.
type Budget struct {
	// Dollars.
	USD *USD `yaml:"usd" json:"usd,omitempty"`
	// Tokens, input and output.
	Tokens *int64 `yaml:"tokens" json:"tokens,omitempty" jsonschema:"minimum=1"`
}

// Retry says how often and how long to retry.
type Retry struct {
	// Attempts per row whose failure counts; 429s do not. Default 4.
	Attempts int `yaml:"attempts" json:"attempts,omitempty" jsonschema:"minimum=1"`
	// How long an endpoint may give no answer at all before the run stops,
	// resumable. Default 2h.
	MaxStall Duration `yaml:"max_stall" json:"max_stall,omitzero"`
}

// A Scorer judges answers. Fields beside these are the scorer's own
// parameters.
type Scorer struct {
	// Which scorer: exact, number, judge_grade, …
	Type string `yaml:"type" json:"type" jsonschema:"required"`
	// Unique name in the score tables. Default: the type.
	Name string `yaml:"name" json:"name,omitempty"`
	// Judges: the model that judges. With an endpoint it is a model id, without
	// one it names an entry of models.
	Model string `yaml:"model" json:"model,omitempty"`
	// Judges: endpoint of the model.
	Endpoint string `yaml:"endpoint" json:"endpoint,omitempty"`
	// Judges: the template, as a file relative to the plan or, with a {placeholder}
	// in it, as the text itself.
	Template string `yaml:"template" json:"template,omitempty"`
	// Judges: fields of the judge's request body.
	Request Params `yaml:"params" json:"params,omitempty"`
	// Judges: price of the judge model, where the table does not know it.
	Price *Price `yaml:"price" json:"price,omitempty"`
	// Judges: ask for a stream.
	Stream bool `yaml:"stream" json:"stream,omitempty"`
	// Judges: live or batch. Default: judges.mode, else that of the entry of models.
	Mode string `yaml:"mode" json:"mode,omitempty" jsonschema:"enum=live,enum=batch"`
	// Scorers of type embedding: how many texts go into one request. Default: 1.
	RowsPerRequest int64 `yaml:"rows_per_request" json:"rows_per_request,omitempty" jsonschema:"minimum=0,maximum=2048"`
	// The scorer's own parameters.
	Params Params `yaml:"-,rest" json:"-"`
}

// Compare says how models are compared.
type Compare struct {
	// Name of the model, variant, or MODEL/VARIANT that the others are compared
	// with. Default: the first.
	Baseline string `yaml:"baseline" json:"baseline,omitempty"`
	// With variants: compare variants of the same model (variants, default), models
	// asked in the same way (models), or everything with one baseline (all).
	Along string `yaml:"along" json:"along,omitempty" jsonschema:"enum=models,enum=variants,enum=all"`
	// Level of significance; default 0.05.
	Alpha float64 `yaml:"alpha" json:"alpha,omitempty" jsonschema:"exclusiveMinimum=0,exclusiveMaximum=1"`
	// What the average over several datasets weighs each by: datasets (all alike,
	// default), or rows.
	Average string `yaml:"average" json:"average,omitempty" jsonschema:"enum=datasets,enum=rows"`
	// decided: rows go in random order, and no more are sent once every difference is
	// shown (or, with smallest_difference, shown to be no larger). Default: all rows.
	StopWhen string `yaml:"stop_when" json:"stop_when,omitempty" jsonschema:"enum=decided"`
	// With stop_when: a difference that is shown to be smaller than this, such as "2
	// points", counts as decided, too.
	SmallestDifference Points `yaml:"smallest_difference" json:"smallest_difference,omitzero" jsonschema:"type=string"`
	// No more rows are sent once every difference is known to ± this, such as "1.5
	// points". With stop_when, once each is decided or known so well.
	Precision Points `yaml:"precision" json:"precision,omitzero" jsonschema:"type=string"`
}
