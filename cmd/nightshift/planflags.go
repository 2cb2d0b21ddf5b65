package main

import (
	"errors"
	"io/fs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nightshift/runner/plan"
)

// planFlags are the flags that say what to run. Each also overrides the plan.
type planFlags struct {
	set *pflag.FlagSet

	name, format, out, system, prompt, target               string
	dataset, models, params, scorers, gates, fields         []string
	limit, offset, sample, seed, maxTokens, budgetTokens    int64
	epochs, concurrency, attempts                           int
	stream                                                  bool
	rpm, tpm                                                float64
	baseURL, protocol, auth, apiKeyEnv                      string
	budgetUSD, baseline, prices, raw, onUnknown, durability string
	metrics, filter, rowsFrom, rows, onBadRow, tolerate     string
	sameIDs, repair                                         bool
}

func (f *planFlags) add(c *cobra.Command) {
	s := c.Flags()
	f.set = s
	s.StringArrayVar(&f.dataset, "dataset", nil, "dataset `FILE`: JSONL, JSON, CSV, Parquet, gzip or zstd, a glob, or - for standard input; may be repeated")
	s.StringArrayVar(&f.models, "model", nil, "`ENDPOINT/MODEL-ID`, such as anthropic/claude-sonnet-4-6; may be repeated")
	s.StringVar(&f.out, "out", "", "run `DIRECTORY` (default runs/NAME)")
	s.StringVar(&f.name, "name", "", "name of the run")
	s.StringVar(&f.system, "system", "", "system prompt, a Jinja `TEMPLATE` over the row's fields, or file:PATH")
	s.StringVar(&f.prompt, "prompt", "", "prompt `TEMPLATE`, or file:PATH")
	s.StringVar(&f.target, "target", "", "target `TEMPLATE`")
	s.StringArrayVar(&f.fields, "field", nil, "which field is what: `ROLE=FIELD`, such as id=ticket or messages=conversation; may be repeated")
	s.Int64Var(&f.maxTokens, "max-tokens", 0, "cap on the tokens of an answer")
	s.StringArrayVar(&f.params, "param", nil, "request parameter `KEY=JSON`; may be repeated")
	s.BoolVar(&f.stream, "stream", false, "ask for streams")
	s.StringVar(&f.format, "format", "", "dataset format or shape, where it is not detected")
	s.Int64Var(&f.limit, "limit", 0, "use at most this many rows")
	s.Int64Var(&f.offset, "offset", 0, "pass over this many rows first")
	s.Int64Var(&f.sample, "sample", 0, "draw this many rows at random")
	s.Int64Var(&f.seed, "seed", 0, "seed of the draw")
	s.StringVar(&f.filter, "filter", "", "use only rows that meet this `CONDITION` over their fields, such as 'level > 3'")
	s.StringVar(&f.rowsFrom, "rows-from", "", "use only rows of an earlier `RUN` of the same dataset; --rows says which")
	s.StringVar(&f.rows, "rows", "failed", "with --rows-from: failed, truncated, refused, empty, different, or several with commas")
	s.StringVar(&f.onBadRow, "on-bad-row", "", "unusable rows: refuse (before anything is sent) or record (as input_error, and run the others)")
	s.BoolVar(&f.sameIDs, "allow-duplicate-ids", false, "accept rows that share an id")
	s.BoolVar(&f.repair, "repair-utf8", false, "replace invalid UTF-8 in place of refusing the row")
	s.IntVar(&f.epochs, "epochs", 0, "answers per row and model")
	s.IntVar(&f.concurrency, "concurrency", 0, "most requests in flight for each endpoint (default: found out)")
	s.Float64Var(&f.rpm, "rpm", 0, "requests per minute")
	s.Float64Var(&f.tpm, "tpm", 0, "tokens per minute")
	s.StringVar(&f.baseURL, "base-url", "", "base `URL` of the endpoint of a single --model")
	s.StringVar(&f.protocol, "protocol", "", "its wire format: messages or chat")
	s.StringVar(&f.auth, "auth", "", "its auth scheme: bearer, x-api-key, raw, header:NAME or none")
	s.StringVar(&f.apiKeyEnv, "api-key-env", "", "environment `VARIABLE` that holds its key")
	s.StringVar(&f.budgetUSD, "budget-usd", "", "most `DOLLARS` that the run may cost")
	s.Int64Var(&f.budgetTokens, "budget-tokens", 0, "most tokens that the run may use")
	s.StringArrayVar(&f.scorers, "scorer", nil, "`SCORER`, such as number or exact:normalize=squad; may be repeated")
	s.StringArrayVar(&f.gates, "gate", nil, "`CONDITION` that the run must meet, such as 'error_rate < 1%'; may be repeated")
	s.StringVar(&f.baseline, "baseline", "", "model that the others are compared with")
	s.IntVar(&f.attempts, "attempts", 0, "attempts per row, refusals for rate limits not counted (default 4)")
	s.StringVar(&f.tolerate, "tolerate-failed", "", "failed rows that still exit with 0: a `NUMBER` (3) or a share (1%)")
	s.StringVar(&f.prices, "prices", "", "price table `FILE`: our CSV or LiteLLM's JSON")
	s.StringVar(&f.raw, "raw", "", "which raw bodies are kept: all, errors or none")
	s.StringVar(&f.onUnknown, "on-unknown", "", "rows that may have been billed without an answer: resend or skip")
	s.StringVar(&f.durability, "durability", "", "normal (survives kill -9) or strict (each answer fsynced before the next)")
	s.StringVar(&f.metrics, "metrics-addr", "", "serve Prometheus metrics at this `ADDRESS`")
}

// overrides are the flags that were given.
func (f *planFlags) overrides() plan.Overrides {
	return plan.Overrides{
		Name: given(f, "name", f.name), Dataset: f.dataset, Format: given(f, "format", f.format), Models: f.models,
		Out: given(f, "out", f.out), System: given(f, "system", f.system), Prompt: given(f, "prompt", f.prompt), Target: given(f, "target", f.target),
		Limit: given(f, "limit", f.limit), Offset: given(f, "offset", f.offset), Sample: given(f, "sample", f.sample), Seed: given(f, "seed", f.seed), Filter: given(f, "filter", f.filter),
		Fields: f.fields, OnBadRow: given(f, "on-bad-row", f.onBadRow), AllowDuplicateIDs: given(f, "allow-duplicate-ids", f.sameIDs), RepairUTF8: given(f, "repair-utf8", f.repair),
		Tolerate: given(f, "tolerate-failed", f.tolerate),
		Epochs:   given(f, "epochs", f.epochs), MaxTokens: given(f, "max-tokens", f.maxTokens), Params: f.params, Stream: given(f, "stream", f.stream),
		Concurrency: given(f, "concurrency", f.concurrency), RPM: given(f, "rpm", f.rpm), TPM: given(f, "tpm", f.tpm),
		BaseURL: given(f, "base-url", f.baseURL), Protocol: given(f, "protocol", f.protocol), Auth: given(f, "auth", f.auth), APIKeyEnv: given(f, "api-key-env", f.apiKeyEnv),
		BudgetUSD: given(f, "budget-usd", f.budgetUSD), BudgetTokens: given(f, "budget-tokens", f.budgetTokens),
		Scorers: f.scorers, Gates: f.gates, Baseline: given(f, "baseline", f.baseline), Prices: given(f, "prices", f.prices),
		Raw: given(f, "raw", f.raw), OnUnknown: given(f, "on-unknown", f.onUnknown), Durability: given(f, "durability", f.durability),
		Metrics: given(f, "metrics-addr", f.metrics), Attempts: given(f, "attempts", f.attempts),
	}
}

// given is the value of a flag that stands on the command line, else nil.
func given[T any](f *planFlags, flag string, value T) *T {
	if !f.set.Changed(flag) {
		return nil
	}
	return &value
}

// load reads the plan file, if there is one, and lays environment and flags
// over it: flags win over the environment, which wins over the plan. All
// mistakes come back together.
func (f *planFlags) load(a *app, args []string) (*plan.Plan, error) {
	if len(args) == 0 && len(f.dataset) == 0 {
		return nil, usageError("nothing to run: name a plan, or give --dataset and --model\n" +
			"for example: nightshift run --dataset prompts.jsonl --model simulator/sim-large --max-tokens 500 --out runs/first")
	}
	p, problems := &plan.Plan{}, []error(nil)
	if len(args) == 1 {
		loaded, err := plan.Load(args[0])
		if loaded == nil {
			return nil, unreadable(args[0], err)
		}
		p, problems = loaded, append(problems, err)
	}
	environment, err := plan.FromEnvironment(a.getenv)
	problems = append(problems, err)
	for _, o := range []plan.Overrides{environment, f.overrides()} {
		problems = append(problems, p.Apply(o))
	}
	return p, errors.Join(problems...)
}

// unreadable gives a plan that cannot be read at all a remedy; mistakes in it
// have theirs.
func unreadable(path string, err error) error {
	var mistakes *plan.Errors
	if err == nil || errors.As(err, &mistakes) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return usageError("%s: no such plan; nightshift init writes one, and --dataset runs without", path)
	}
	return usageError("%s: %w", path, err)
}
