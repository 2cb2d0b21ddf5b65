package plan

// An Option is a setting of a plan that flags, and some of them the
// environment, can give in the plan's place. [Options] is the only list.
type Option struct {
	Flag  string // without dashes
	Kind  Kind
	Usage string // help text; backquotes mark the name of the value

	variable string // environment variable; empty for none
	secret   bool   // its value is not kept in the run directory
	path     string // the field that it sets, below what apply says
	hint     string // what to write instead of a value that cannot be read
	// read turns a value of the command line into the plan's; nil keeps it.
	read func(string) string
	// apply sets the option; nil is [applier.plain].
	apply func(*applier, Option, []string)
}

// A Kind is the type of an option's value.
type Kind int

// Kinds of values. Only a list may be given more than once.
const (
	Text Kind = iota
	List
	Integer
	Number
	Boolean
)

// Options lists the options in the order of the help text. They are applied
// in this order too: models come before what is set for each model.
func Options() []Option {
	return []Option{
		{Flag: "dataset", Kind: List, variable: "NIGHTSHIFT_DATASET", path: "dataset.path", read: abs,
			apply: (*applier).dataset,
			Usage: "dataset `FILE`: JSONL, JSON, CSV, Parquet, gzip or zstd, a glob, or - for standard input; may " +
				"be repeated"},
		{Flag: "model", Kind: List, variable: "NIGHTSHIFT_MODEL", path: "models", apply: (*applier).models,
			Usage: "`ENDPOINT/MODEL-ID`, such as anthropic/claude-sonnet-4-6; may be repeated"},
		{Flag: "out", variable: "NIGHTSHIFT_OUT", path: "out", read: abs,
			Usage: "run `DIRECTORY`, or s3://bucket/run (default runs/NAME)"},
		{Flag: "name", variable: "NIGHTSHIFT_NAME", path: "name", Usage: "name of the run"},
		{Flag: "system", path: "dataset.system", read: template,
			Usage: "system prompt, a Jinja `TEMPLATE` over the row's fields, or file:PATH"},
		{Flag: "prompt", path: "dataset.prompt", read: template, Usage: "prompt `TEMPLATE`, or file:PATH"},
		{Flag: "target", path: "dataset.target", read: template, Usage: "target `TEMPLATE`"},
		{Flag: "field", Kind: List, apply: (*applier).fields,
			Usage: "which field is what: `ROLE=FIELD`, such as id=ticket or messages=conversation; may be repeated"},
		{Flag: "max-tokens", Kind: Integer, variable: "NIGHTSHIFT_MAX_TOKENS", apply: (*applier).maxTokens,
			Usage: "cap on the tokens of an answer"},
		{Flag: "param", Kind: List, apply: (*applier).params, Usage: "request parameter `KEY=JSON`; may be repeated"},
		{Flag: "stream", Kind: Boolean, path: "stream", apply: (*applier).everyModel,
			Usage: "ask for streamed answers"},
		{Flag: "batch", Kind: Boolean, variable: "NIGHTSHIFT_BATCH", path: "mode", read: batchMode,
			apply: (*applier).everyMode,
			Usage: "send the rows of all models and judges in the providers' batches: about half the price, " +
				"answers within a day"},
		{Flag: "cache", variable: "NIGHTSHIFT_CACHE", path: "cache", apply: (*applier).everyModel,
			Usage: "send rows that share a beginning together, for the prompt cache: auto, off, order, 5m or 1h"},
		{Flag: "format", path: "dataset.format", Usage: "dataset format or shape, where it is not detected"},
		{Flag: "limit", Kind: Integer, variable: "NIGHTSHIFT_LIMIT", path: "dataset.limit",
			Usage: "use at most this many rows"},
		{Flag: "offset", Kind: Integer, path: "dataset.offset", Usage: "skip this many rows first"},
		{Flag: "sample", Kind: Integer, path: "dataset.sample", Usage: "use a random sample of this many rows"},
		{Flag: "seed", Kind: Integer, path: "dataset.seed", read: unsigned, Usage: "seed of the random sample"},
		{Flag: "filter", path: "dataset.filter",
			Usage: "use only rows that meet this `CONDITION` over their fields, such as 'level > 3'"},
		{Flag: "on-bad-row", path: "dataset.on_bad_row",
			Usage: "unusable rows: refuse (before anything is sent) or record (as input_error, and run the others)"},
		{Flag: "allow-duplicate-ids", Kind: Boolean, path: "dataset.allow_duplicate_ids",
			Usage: "accept rows that share an id"},
		{Flag: "repair-utf8", Kind: Boolean, path: "dataset.repair_utf8",
			Usage: "replace invalid UTF-8 instead of refusing the row"},
		{Flag: "epochs", Kind: Integer, variable: "NIGHTSHIFT_EPOCHS", path: "epochs",
			Usage: "answers per row and model"},
		{Flag: "concurrency", Kind: Integer, variable: "NIGHTSHIFT_CONCURRENCY", path: "limits.concurrency",
			apply: (*applier).everyEndpoint, Usage: "most requests in flight for each endpoint (default: inferred)"},
		{Flag: "rpm", Kind: Number, variable: "NIGHTSHIFT_RPM", path: "limits.requests_per_minute",
			apply: (*applier).everyEndpoint, Usage: "requests per minute"},
		{Flag: "tpm", Kind: Number, variable: "NIGHTSHIFT_TPM", path: "limits.tokens_per_minute",
			apply: (*applier).everyEndpoint, Usage: "tokens per minute"},
		{Flag: "base-url", path: "base_url", apply: (*applier).onlyEndpoint,
			Usage: "base `URL` of the endpoint of a single --model"},
		{Flag: "protocol", path: "protocol", apply: (*applier).onlyEndpoint,
			Usage: "its wire format, such as messages or chat"},
		{Flag: "auth", apply: (*applier).auth,
			Usage: "its auth scheme: bearer, x-api-key, x-goog-api-key, raw, header:NAME or none"},
		{Flag: "api-key-env", apply: (*applier).keyVariable,
			Usage: "environment `VARIABLE` that holds its key"},
		{Flag: "budget-usd", variable: "NIGHTSHIFT_BUDGET_USD", path: "budget.usd", hint: "write dollars: 20 or 2.50",
			Usage: "most `DOLLARS` that the run may cost"},
		{Flag: "budget-tokens", Kind: Integer, variable: "NIGHTSHIFT_BUDGET_TOKENS", path: "budget.tokens",
			Usage: "most tokens that the run may use"},
		{Flag: "scorer", Kind: List, path: "scorers", apply: (*applier).scorers,
			Usage: "`SCORER`, such as number or exact:normalize=squad; may be repeated"},
		{Flag: "gate", Kind: List, path: "gates",
			Usage: "`CONDITION` that the run must meet, such as 'error_rate < 1%'; may be repeated"},
		{Flag: "baseline", path: "compare.baseline", Usage: "model that the others are compared with"},
		{Flag: "attempts", Kind: Integer, path: "retry.attempts",
			Usage: "attempts per row, refusals for rate limits not counted (default 4)"},
		{Flag: "tolerate-failed", path: "tolerate_failed",
			Usage: "failed rows that still exit with 0: a `NUMBER` (3) or a share (1%)"},
		{Flag: "prices", variable: "NIGHTSHIFT_PRICES", path: "prices", read: abs,
			Usage: "price table `FILE`: our CSV or LiteLLM's JSON"},
		{Flag: "raw", variable: "NIGHTSHIFT_RAW", path: "raw", Usage: "which raw bodies are kept: all, errors or none"},
		{Flag: "deadline", variable: "NIGHTSHIFT_DEADLINE", path: "deadline",
			Usage: "stop sending in time for requests in flight to end by this `TIME`, such as 07:00"},
		{Flag: "notify", variable: "NIGHTSHIFT_NOTIFY", path: "notify", secret: true,
			Usage: "post a JSON summary to this `URL` when the run ends, well or not"},
		{Flag: "on-unknown", path: "on_unknown",
			Usage: "rows that may have been billed without an answer: resend or skip"},
		{Flag: "durability", path: "durability",
			Usage: "normal (survives kill -9) or strict (each answer fsynced before the next)"},
		{Flag: "metrics-addr", variable: "NIGHTSHIFT_METRICS", path: "metrics",
			Usage: "serve Prometheus metrics at this `ADDRESS`"},
	}
}
