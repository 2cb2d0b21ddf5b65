package answer

import (
	"nightshift"
	"nightshift/internal/rawjson"
)

// Flags of the ways in which servers count.
const (
	FlagCacheExcluded    = "usage_cache_excluded"    // prompt_tokens without the cached ones
	flagReasoningOutside = "usage_reasoning_outside" // completion_tokens without the reasoning
)

// OpenAI sorts the counts of a usage object in OpenAI's manner into disjoint
// classes. In it the prompt tokens include the cached ones, and the completion
// tokens the reasoning, except where the numbers themselves say otherwise.
func (r *UsageReader) OpenAI() nightshift.Usage {
	raw := r.Raw
	in, out := details(raw, "prompt_tokens_details", "input_tokens_details"),
		details(raw, "completion_tokens_details", "output_tokens_details")
	c := counts{
		prompt:     r.FirstOf(raw.Get("prompt_tokens"), raw.Get("input_tokens")),
		completion: r.FirstOf(raw.Get("completion_tokens"), raw.Get("output_tokens")),
		total:      r.Count(raw.Get("total_tokens")),
		written: r.LargestOf(in.Get("cache_write_tokens"), in.Get("cache_creation_tokens"),
			raw.Get("cache_creation_input_tokens"), raw.Get("cache_write_tokens")),
		reasoning: r.LargestOf(out.Get("reasoning_tokens"), raw.Get("reasoning_tokens")),
	}
	// At the top level: DeepSeek, Moonshot, LiteLLM in front of Claude.
	c.cached = r.LargestOf(in.Get("cached_tokens"), raw.Get("prompt_cache_hit_tokens"), raw.Get("cached_tokens"),
		raw.Get("cache_read_input_tokens"))
	u := nightshift.Usage{CacheRead: c.cached, Reasoning: c.reasoning}
	u.CacheWrite5m, u.CacheWrite1h = r.Written(c.written, in, raw)
	c.written = u.CacheWrite5m.Add(u.CacheWrite1h)
	u.AudioInput, u.ImageInput = r.some(in.Get("audio_tokens")), r.some(in.Get("image_tokens"))
	u.AudioOutput, u.ImageOutput = r.some(out.Get("audio_tokens")), r.some(out.Get("image_tokens"))
	u.Input = c.input(r)
	u.Output = c.output(r)
	u.Searches = r.Count(searches(raw))
	return u
}

// some is a count that says nothing when it is 0: most answers hold neither
// sound nor pictures.
func (r *UsageReader) some(v rawjson.Value) nightshift.Count {
	if c := r.Count(v); c.N() > 0 {
		return c
	}
	return nightshift.Count{}
}

// details is the first of the objects with these names.
func details(raw rawjson.Value, names ...string) rawjson.Value {
	for _, name := range names {
		if v := raw.Get(name); v.Set() {
			return v
		}
	}
	return rawjson.Value{}
}

// searches are what servers count of the searches that they did: OpenRouter,
// Perplexity, xAI.
func searches(raw rawjson.Value) rawjson.Value {
	if v := raw.Get("server_tool_use").Get("web_search_requests"); v.Set() {
		return v
	}
	return details(raw, "num_search_queries", "num_sources_used")
}

// splitNames are the objects that split cache writes by how long they last,
// "" for the counts that stand beside the others.
var splitNames = [...]string{"cache_creation", "cache_creation_token_details", "cache_creation_tokens_details",
	"cache_write_details", ""}

// Written splits the tokens that were written to a cache into those for five
// minutes and those for an hour, as any of the holders says. What the split
// leaves out counts as written for five minutes.
func (r *UsageReader) Written(written nightshift.Count, holders ...rawjson.Value) (for5m, for1h nightshift.Count) {
	for _, holder := range holders {
		for _, name := range splitNames {
			split := holder
			if name != "" {
				split = holder.Get(name)
			}
			if !split.Exists() {
				continue
			}
			m5 := r.FirstOf(split.Get("ephemeral_5m_input_tokens"), split.Get("claude_cache_creation_5_m_tokens"))
			// new-api's names
			h1 := r.FirstOf(split.Get("ephemeral_1h_input_tokens"), split.Get("claude_cache_creation_1_h_tokens"))
			if sum := m5.Add(h1); sum.Known() && (!for5m.Add(for1h).Known() || sum.N() > for5m.N()+for1h.N()) {
				for5m, for1h = m5, h1
			}
		}
	}
	sum := for5m.Add(for1h)
	switch {
	case !sum.Known(), sum.N() == 0 && written.N() > 0: // no split, or one that counts nothing
		return written, for1h
	case written.N() > sum.N():
		for5m = nightshift.Tokens(for5m.N() + written.N() - sum.N())
		r.Flag(FlagUsageOdd)
	}
	return for5m, for1h
}

// counts are the numbers of a usage object in OpenAI's manner.
type counts struct {
	prompt, completion, total  nightshift.Count
	cached, written, reasoning nightshift.Count
}

// input is the part of the prompt that was neither read from nor written to a
// cache. Where the cached tokens do not fit into the prompt, or the total is
// exactly larger by them, the server has not counted them into the prompt:
// Grok on Azure, and gateways in front of Claude.
func (c counts) input(r *UsageReader) nightshift.Count {
	if !c.prompt.Known() {
		return c.prompt
	}
	if c.cacheExcluded() {
		r.Flag(FlagCacheExcluded)
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
func (c counts) output(r *UsageReader) nightshift.Count {
	surplus := c.surplus()
	if c.cacheExcluded() && surplus >= c.cache() {
		surplus -= c.cache()
	}
	switch {
	case surplus > 0:
		r.Flag(flagReasoningOutside)
		return nightshift.Tokens(c.completion.N() + surplus)
	case c.completion.Known() && c.reasoning.N() > c.completion.N() && (Spoke(r.Response) || c.completion.N() == 0):
		r.Flag(flagReasoningOutside)
		return nightshift.Tokens(c.completion.N() + c.reasoning.N())
	case surplus < 0:
		r.Flag(FlagUsageOdd)
	}
	return c.completion
}
