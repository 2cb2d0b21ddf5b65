package chat

import (
	"nightshift"
	"nightshift/providers/internal/answer"
	"nightshift/providers/internal/jsonscan"
)

// Flags of the ways in which servers count.
const (
	flagCacheExcluded    = "usage_cache_excluded"    // prompt_tokens without the cached ones
	flagReasoningOutside = "usage_reasoning_outside" // completion_tokens without the reasoning
)

// readUsage sorts the usage object into disjoint classes. In this format the
// prompt tokens include the cached ones, and the completion tokens the
// reasoning, except where the numbers themselves say otherwise.
func (a *assembly) readUsage(resp *nightshift.Response) {
	resp.Usage.ServiceTier = a.tier
	doc := jsonscan.Borrow()
	defer doc.Return()
	raw, err := doc.Scan(a.usage)
	if err != nil {
		resp.Flag(answer.FlagUsageMissing)
		return
	}
	resp.UsageRaw = a.usage
	r := answer.UsageReader{Response: resp, Raw: raw}
	if a.notFinite {
		r.Flag(answer.FlagUsageInvalid)
	}
	c := counts{
		prompt:     r.Count(first(raw, "prompt_tokens", "input_tokens")),
		completion: r.Count(first(raw, "completion_tokens", "output_tokens")),
		total:      r.Count(raw.Get("total_tokens")),
		cached:     r.Count(cached(raw)),
		written:    r.Count(written(raw)),
		reasoning:  r.Count(reasoning(raw)),
	}
	u := c.classes(&r)
	u.Searches = r.Count(searches(raw))
	u.ServiceTier = a.tier
	if u.ServiceTier == "" {
		u.ServiceTier = raw.Get("service_tier").String()
	}
	u.Reported = r.Reported()
	resp.Usage = r.Settle(u)
}

func first(v jsonscan.Value, names ...string) jsonscan.Value {
	for _, name := range names {
		if m := v.Get(name); m.Set() {
			return m
		}
	}
	return jsonscan.Value{}
}

func cached(raw jsonscan.Value) jsonscan.Value {
	if v := first(raw.Get("prompt_tokens_details"), "cached_tokens"); v.Exists() {
		return v
	}
	if v := first(raw.Get("input_tokens_details"), "cached_tokens"); v.Exists() {
		return v
	}
	// DeepSeek, Moonshot, LiteLLM in front of Claude.
	return first(raw, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
}

func written(raw jsonscan.Value) jsonscan.Value {
	if v := first(raw.Get("prompt_tokens_details"), "cache_write_tokens", "cache_creation_tokens"); v.Exists() {
		return v
	}
	return first(raw, "cache_creation_input_tokens")
}

func reasoning(raw jsonscan.Value) jsonscan.Value {
	if v := first(raw.Get("completion_tokens_details"), "reasoning_tokens"); v.Exists() {
		return v
	}
	return first(raw.Get("output_tokens_details"), "reasoning_tokens")
}

// searches are what servers count of the searches that they did: OpenRouter,
// Perplexity, xAI.
func searches(raw jsonscan.Value) jsonscan.Value {
	if v := first(raw.Get("server_tool_use"), "web_search_requests"); v.Exists() {
		return v
	}
	return first(raw, "num_search_queries", "num_sources_used")
}

// counts are the numbers of a Chat usage object.
type counts struct {
	prompt, completion, total  nightshift.Count
	cached, written, reasoning nightshift.Count
}

func (c counts) classes(r *answer.UsageReader) nightshift.Usage {
	u := nightshift.Usage{CacheRead: c.cached, CacheWrite5m: c.written, Reasoning: c.reasoning}
	u.Input = c.input(r)
	u.Output = c.output(r)
	return u
}

// input is the part of the prompt that was neither read from nor written to a
// cache. Where the cached tokens do not fit into the prompt, or the total is
// exactly larger by them, the server has not counted them into the prompt:
// Grok on Azure, and gateways in front of Claude.
func (c counts) input(r *answer.UsageReader) nightshift.Count {
	if !c.prompt.Known() {
		return c.prompt
	}
	if c.cacheExcluded() {
		r.Flag(flagCacheExcluded)
		return c.prompt
	}
	return nightshift.Tokens(c.prompt.N() - c.cache())
}

func (c counts) cache() int64 { return c.cached.N() + c.written.N() }

func (c counts) cacheExcluded() bool {
	return c.cache() > c.prompt.N() || c.cache() > 0 && c.surplus() == c.cache() && c.surplus() != c.reasoning.N()
}

// surplus is what the total has over prompt and completion.
func (c counts) surplus() int64 {
	if !c.total.Known() || !c.prompt.Known() || !c.completion.Known() {
		return 0
	}
	return c.total.N() - c.prompt.N() - c.completion.N()
}

// output is all that was written. A total above prompt and completion means
// that reasoning was left out of the completion (xAI, Gemini), and so does
// reasoning that is larger than the completion it should be part of (Vercel,
// whose price confirms it), when the completion has something else to count:
// for an answer that is reasoning alone the two counts may differ a little.
func (c counts) output(r *answer.UsageReader) nightshift.Count {
	surplus := c.surplus()
	if c.cacheExcluded() && surplus >= c.cache() {
		surplus -= c.cache()
	}
	switch {
	case surplus > 0:
		r.Flag(flagReasoningOutside)
		return nightshift.Tokens(c.completion.N() + surplus)
	case c.completion.Known() && c.reasoning.N() > c.completion.N() && (r.Spoke() || c.completion.N() == 0):
		r.Flag(flagReasoningOutside)
		return nightshift.Tokens(c.completion.N() + c.reasoning.N())
	case surplus < 0:
		r.Flag(answer.FlagUsageOdd)
	}
	return c.completion
}
