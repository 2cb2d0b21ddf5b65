package simulator

import (
	"fmt"
	"slices"

	"nightshift/providers/simulator/internal/random"
)

// usageModes are the ways in which usage is reported, with what each does.
// Every one of them has been seen in the field; the ledger always holds the
// truth. Exact says that the truth can be worked out from the answer.
var usageModes = []struct {
	name     string
	protocol protocol // "" is both
	exact    bool
	about    string
}{
	{"standard", "", true, "as the vendor documents it"},
	{"absent", "", false, "no usage at all"},
	{"zero", "", false, "all counts 0"},
	{"twice", "", true, "reported twice in a stream"},
	{"delta_output_only", messages, true, "message_delta holds output_tokens alone"},
	{"start_zero", messages, true, "message_start holds zeros, message_delta the truth"},
	{"grown", messages, true, "input_tokens grows between message_start and message_delta"},
	{"split_absent", messages, true, "no cache_creation split; writes are 5 minute ones then"},
	{"iterations", messages, true, "a compaction step, listed in iterations only, is billed on top"},
	{"cache_included", messages, false, "input_tokens includes the cached ones"},
	{"cached_outside", chat, false, "prompt_tokens excludes the cached ones; exact where cached is the larger"},
	{"reasoning_outside", chat, true, "completion_tokens excludes reasoning, the total includes it"},
	{"reasoning_in_total", chat, true, "reasoning shows in total_tokens alone"},
	{"reasoning_over", chat, true, "reasoning_tokens exceeds completion_tokens"},
	{"every_chunk", chat, true, "cumulative usage on every chunk"},
	{"finish_chunk", chat, true, "usage on the chunk that holds the finish reason"},
	{"groq", chat, true, "usage in x_groq on the finish chunk, and again in a last chunk"},
	{"deepseek", chat, true, "prompt_cache_hit_tokens and prompt_cache_miss_tokens"},
	{"moonshot", chat, true, "cached_tokens beside prompt_tokens"},
	{"null_details", chat, true, "details are null"},
	{"cost", chat, true, "with the provider's own cost in dollars"},
}

// UsageModes are the names that Config.Usage may hold; with exact those alone
// from whose answers one can work out what was billed.
func UsageModes(exact bool) []string {
	var names []string
	for _, m := range usageModes {
		if m.exact || !exact {
			names = append(names, m.name)
		}
	}
	return names
}

func knownUsage(mode string) bool { return slices.Contains(UsageModes(false), mode) }

// usageMode chooses how this conversation's usage is reported.
func (x *exchange) usageMode() string {
	if len(x.server.cfg.Usage) == 0 {
		return "standard"
	}
	mode := random.Pick(x.ask.seed, "usage", x.server.cfg.Usage)
	p := x.ask.protocol
	if p.likeChat() && p != responses {
		p = chat
	}
	for _, m := range usageModes {
		if m.name == mode && (m.protocol == "" || m.protocol == p) {
			return mode
		}
	}
	return "standard"
}

// setUsage settles how a reply reports its usage, and what a mode bills on
// top. Reasoning that a mode does not tell is not booked as such: it is part
// of the output and costs the same.
func (x *exchange) setUsage(r *reply) {
	r.mode = x.usageMode()
	switch r.mode {
	case "absent":
		r.noUsage = true
	case "twice":
		r.twice = true
	case "split_absent":
		r.tokens.CacheWrite5m += r.tokens.CacheWrite1h
		r.tokens.CacheWrite1h = 0
	case "iterations":
		r.extra = Tokens{Input: r.tokens.InputTotal() + 500, Output: 40}
		r.tokens.add(r.extra, 1)
	case "null_details": // what is cached is not told, so it is not billed as such
		r.tokens.Input, r.tokens.CacheRead = r.tokens.InputTotal(), 0
		r.tokens.Reasoning = 0
	case "reasoning_in_total":
		r.tokens.Reasoning = 0
	case "delta_output_only":
		if x.ask.stream {
			r.tokens.Reasoning = 0
		}
	}
}

// messagesUsage renders usage; in message_start (final false) the output is
// only begun.
func (x *exchange) messagesUsage(r *reply, final bool) object {
	t := r.tokens
	t.add(r.extra, -1)
	o := newObject()
	switch {
	case r.mode == "zero" || r.mode == "start_zero" && !final:
		t = Tokens{}
	case r.mode == "delta_output_only" && final && x.ask.stream:
		o.int("output_tokens", t.Output)
		return o
	case r.mode == "grown" && !final:
		t.Input /= 2
	case r.mode == "cache_included":
		t.Input = t.InputTotal()
	}
	if !final {
		t.Output = min(t.Output, 1)
	}
	if r.badUsage {
		t.Input = -t.Input
	}
	o.int("input_tokens", t.Input)
	o.int("cache_creation_input_tokens", t.CacheWrite5m+t.CacheWrite1h)
	o.int("cache_read_input_tokens", t.CacheRead)
	if r.mode != "split_absent" {
		split := newObject()
		split.int("ephemeral_5m_input_tokens", t.CacheWrite5m)
		split.int("ephemeral_1h_input_tokens", t.CacheWrite1h)
		o.object("cache_creation", split)
	}
	o.int("output_tokens", t.Output)
	if final && t.Reasoning > 0 {
		details := newObject()
		details.int("thinking_tokens", t.Reasoning)
		o.object("output_tokens_details", details)
	}
	if final && r.mode == "iterations" {
		o.raw("iterations", array(iteration("compaction", r.extra), iteration("message", t)))
	}
	o.text("service_tier", "standard")
	return o
}

func iteration(kind string, t Tokens) object {
	o := typed(kind)
	o.int("input_tokens", t.Input)
	o.int("cache_creation_input_tokens", t.CacheWrite5m+t.CacheWrite1h)
	o.int("cache_read_input_tokens", t.CacheRead)
	o.int("output_tokens", t.Output)
	return o
}

// chatUsage renders usage with the given counts: all of it, or what was
// generated up to a chunk.
func (x *exchange) chatUsage(r *reply, t Tokens) object {
	if r.mode == "zero" {
		t = Tokens{}
	}
	prompt, completion, reasoning := t.InputTotal(), t.Output, t.Reasoning
	total := prompt + completion
	switch r.mode {
	case "cached_outside":
		prompt -= t.CacheRead
		total = prompt + completion
	case "reasoning_outside":
		completion -= reasoning
	case "reasoning_in_total":
		completion = int64(r.visibleTokens())
	case "reasoning_over":
		if reasoning > 0 {
			reasoning = completion + 3
		}
	}
	if r.badUsage {
		prompt = -prompt
	}
	o := newObject()
	o.int("prompt_tokens", prompt)
	o.int("completion_tokens", completion)
	o.int("total_tokens", total)
	switch r.mode {
	case "deepseek":
		o.int("prompt_cache_hit_tokens", t.CacheRead)
		o.int("prompt_cache_miss_tokens", prompt-t.CacheRead)
	case "moonshot":
		o.int("cached_tokens", t.CacheRead)
	case "null_details":
		o.null("prompt_tokens_details")
		o.null("completion_tokens_details")
		return o
	default:
		details := newObject()
		details.int("cached_tokens", t.CacheRead)
		if t.CacheWrite5m > 0 {
			details.int("cache_write_tokens", t.CacheWrite5m)
		}
		details.int("audio_tokens", 0)
		o.object("prompt_tokens_details", details)
	}
	if r.mode != "reasoning_in_total" {
		details := newObject()
		details.int("reasoning_tokens", reasoning)
		details.int("accepted_prediction_tokens", 0)
		details.int("rejected_prediction_tokens", 0)
		o.object("completion_tokens_details", details)
	}
	if r.mode == "cost" {
		o.raw("cost", fmt.Sprintf("%.9f", float64(3*t.InputTotal()+15*t.Output)/1e6))
	}
	return o
}

// visibleTokens is the output without the reasoning.
func (r *reply) visibleTokens() int {
	n := 0
	for _, c := range r.choices {
		n += c.output - c.reasoned
	}
	return n
}

// usageInLastChunk reports whether a stream ends with a usage chunk.
func (x *exchange) usageInLastChunk(r *reply) bool {
	if r.noUsage || x.ask.protocol == envelope || r.mode == "every_chunk" || r.mode == "finish_chunk" {
		return false
	}
	return x.ask.includeUsage
}

// chunkUsage writes what a chunk says of usage.
func (s *chatStreamer) chunkUsage(o *object, finish bool) {
	r := s.reply
	switch {
	case r.noUsage:
	case r.mode == "every_chunk" || r.mode == "finish_chunk" && finish:
		t := r.tokens
		if !finish {
			t.Output = int64(s.tokens)
			t.Reasoning = min(t.Reasoning, t.Output)
		}
		o.object("usage", s.chatUsage(r, t))
	case r.mode == "groq" && finish:
		g := newObject()
		g.object("usage", s.chatUsage(r, r.tokens))
		o.object("x_groq", g)
	case s.ask.includeUsage:
		o.null("usage")
	}
}
