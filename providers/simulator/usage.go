package simulator

import (
	"fmt"
	"slices"

	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/internal/random"
	"nightshift/providers/simulator/internal/requests"
)

// usageModes are the ways in which usage is reported, with what each does.
// Every one of them has been seen in the field; the ledger always holds the
// truth. Exact says that the truth can be worked out from the answer.
var usageModes = []struct {
	name     string
	protocol requests.Protocol // "" is both
	exact    bool
	about    string
}{
	{"standard", "", true, "as the vendor documents it"},
	{"absent", "", false, "no usage at all"},
	{"zero", "", false, "all counts 0"},
	{"twice", "", true, "reported twice in a stream"},
	{"delta_output_only", requests.Messages, true, "message_delta holds output_tokens alone"},
	{"start_zero", requests.Messages, true, "message_start holds zeros, message_delta the truth"},
	{"grown", requests.Messages, true, "input_tokens grows between message_start and message_delta"},
	{"split_absent", requests.Messages, true, "no cache_creation split; writes are 5 minute ones then"},
	{"iterations", requests.Messages, true, "a compaction step, listed in iterations only, is billed on top"},
	{"cache_included", requests.Messages, false, "input_tokens includes the cached ones"},
	{"cached_outside", requests.Chat, false, "prompt_tokens excludes the cached ones; exact where cached is the larger"},
	{"reasoning_outside", requests.Chat, true, "completion_tokens excludes reasoning, the total includes it"},
	{"reasoning_in_total", requests.Chat, true, "reasoning shows in total_tokens alone"},
	{"reasoning_over", requests.Chat, true, "reasoning_tokens exceeds completion_tokens"},
	{"every_chunk", requests.Chat, true, "cumulative usage on every chunk"},
	{"finish_chunk", requests.Chat, true, "usage on the chunk that holds the finish reason"},
	{"groq", requests.Chat, true, "usage in x_groq on the finish chunk, and again in a last chunk"},
	{"deepseek", requests.Chat, true, "prompt_cache_hit_tokens and prompt_cache_miss_tokens"},
	{"moonshot", requests.Chat, true, "cached_tokens beside prompt_tokens"},
	{"null_details", requests.Chat, true, "details are null"},
	{"cost", requests.Chat, true, "with the provider's own cost in dollars"},
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
	mode := random.Pick(x.ask.Seed, "usage", x.server.cfg.Usage)
	p := x.ask.Protocol
	if p.LikeChat() && p != requests.Responses {
		p = requests.Chat
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
		r.extra = ledger.Tokens{Input: r.tokens.InputTotal() + 500, Output: 40}
		r.tokens.Add(r.extra, 1)
	case "null_details": // what is cached is not told, so it is not billed as such
		r.tokens.Input, r.tokens.CacheRead = r.tokens.InputTotal(), 0
		r.tokens.Reasoning = 0
	case "reasoning_in_total":
		r.tokens.Reasoning = 0
	case "delta_output_only":
		if x.ask.Stream {
			r.tokens.Reasoning = 0
		}
	}
}

// messagesUsage renders usage; in message_start (final false) the output is
// only begun.
func (x *exchange) messagesUsage(r *reply, final bool) jsontext.Object {
	t := r.tokens
	t.Add(r.extra, -1)
	o := jsontext.New()
	switch {
	case r.mode == "zero" || r.mode == "start_zero" && !final:
		t = ledger.Tokens{}
	case r.mode == "delta_output_only" && final && x.ask.Stream:
		o.Int("output_tokens", t.Output)
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
	o.Int("input_tokens", t.Input)
	o.Int("cache_creation_input_tokens", t.CacheWrite5m+t.CacheWrite1h)
	o.Int("cache_read_input_tokens", t.CacheRead)
	if r.mode != "split_absent" {
		split := jsontext.New()
		split.Int("ephemeral_5m_input_tokens", t.CacheWrite5m)
		split.Int("ephemeral_1h_input_tokens", t.CacheWrite1h)
		o.Object("cache_creation", split)
	}
	o.Int("output_tokens", t.Output)
	if final && t.Reasoning > 0 {
		details := jsontext.New()
		details.Int("thinking_tokens", t.Reasoning)
		o.Object("output_tokens_details", details)
	}
	if final && r.mode == "iterations" {
		o.Raw("iterations", jsontext.Array(iteration("compaction", r.extra), iteration("message", t)))
	}
	tier := "standard"
	if x.batch {
		tier = "batch"
	}
	o.Text("service_tier", tier)
	return o
}

func iteration(kind string, t ledger.Tokens) jsontext.Object {
	o := jsontext.Typed(kind)
	o.Int("input_tokens", t.Input)
	o.Int("cache_creation_input_tokens", t.CacheWrite5m+t.CacheWrite1h)
	o.Int("cache_read_input_tokens", t.CacheRead)
	o.Int("output_tokens", t.Output)
	return o
}

// chatUsage renders usage with the given counts: all of it, or what was
// generated up to a chunk.
func (x *exchange) chatUsage(r *reply, t ledger.Tokens) jsontext.Object {
	if r.mode == "zero" {
		t = ledger.Tokens{}
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
	o := jsontext.New()
	o.Int("prompt_tokens", prompt)
	o.Int("completion_tokens", completion)
	o.Int("total_tokens", total)
	switch r.mode {
	case "deepseek":
		o.Int("prompt_cache_hit_tokens", t.CacheRead)
		o.Int("prompt_cache_miss_tokens", prompt-t.CacheRead)
	case "moonshot":
		o.Int("cached_tokens", t.CacheRead)
	case "null_details":
		o.Null("prompt_tokens_details")
		o.Null("completion_tokens_details")
		return o
	default:
		details := jsontext.New()
		details.Int("cached_tokens", t.CacheRead)
		if t.CacheWrite5m > 0 {
			details.Int("cache_write_tokens", t.CacheWrite5m)
		}
		details.Int("audio_tokens", 0)
		o.Object("prompt_tokens_details", details)
	}
	if r.mode != "reasoning_in_total" {
		details := jsontext.New()
		details.Int("reasoning_tokens", reasoning)
		details.Int("accepted_prediction_tokens", 0)
		details.Int("rejected_prediction_tokens", 0)
		o.Object("completion_tokens_details", details)
	}
	if r.mode == "cost" {
		o.Raw("cost", fmt.Sprintf("%.9f", float64(3*t.InputTotal()+15*t.Output)/1e6))
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
	if r.noUsage || x.ask.Protocol == requests.Envelope || r.mode == "every_chunk" || r.mode == "finish_chunk" {
		return false
	}
	return x.ask.IncludeUsage
}

// chunkUsage writes what a chunk says of usage.
func (s *chatStreamer) chunkUsage(o *jsontext.Object, finish bool) {
	r := s.reply
	switch {
	case r.noUsage:
	case r.mode == "every_chunk" || r.mode == "finish_chunk" && finish:
		t := r.tokens
		if !finish {
			t.Output = int64(s.tokens)
			t.Reasoning = min(t.Reasoning, t.Output)
		}
		o.Object("usage", s.chatUsage(r, t))
	case r.mode == "groq" && finish:
		g := jsontext.New()
		g.Object("usage", s.chatUsage(r, r.tokens))
		o.Object("x_groq", g)
	case s.ask.IncludeUsage:
		o.Null("usage")
	}
}
