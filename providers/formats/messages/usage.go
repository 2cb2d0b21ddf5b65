package messages

import (
	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// addUsage merges a usage object into what came before it: streams send a
// first one and then, cumulatively, what has changed. Fields that are absent
// or null leave the earlier value.
func (m *assembly) addUsage(usage rawjson.Value) {
	if usage.Kind() != rawjson.Object {
		return
	}
	m.notFinite = m.notFinite || !usage.Finite()
	if m.usage == nil {
		m.usage = usage.JSON()
		return
	}
	doc := rawjson.Borrow()
	defer doc.Return()
	earlier, err := doc.Scan(m.usage)
	if err != nil {
		m.usage = usage.JSON()
		return
	}
	rules := merging
	if !m.sawOutput { // the first event's output count is no total
		rules.Wrote = nil
	}
	var shrank bool
	m.usage, shrank = rules.Join(earlier, usage)
	m.usageShrank = m.usageShrank || shrank
}

// merging counts what a usage object says in all; the input tokens do not
// include the cached ones.
var merging = answer.UsageMerge{
	Read: func(usage rawjson.Value) int64 {
		split := usage.Get("cache_creation")
		written := max(count(usage, "cache_creation_input_tokens", ""),
			count(split, "ephemeral_5m_input_tokens", "")+count(split, "ephemeral_1h_input_tokens", ""))
		return count(usage, "input_tokens", "prompt_tokens") + count(usage, "cache_read_input_tokens", "") + written
	},
	Wrote: func(usage rawjson.Value) int64 { return count(usage, "output_tokens", "completion_tokens") },
}

// count is the larger of two names' counts.
func count(usage rawjson.Value, name, other string) int64 {
	c, _ := answer.Count(usage.Get(name))
	d, _ := answer.Count(usage.Get(other))
	return max(c.N(), d.N())
}

// readUsage sorts the usage object into disjoint classes. In this format the
// input tokens do not include the cached ones.
func (m *assembly) readUsage(resp *nightshift.Response) {
	answer.ReadUsage(resp, m.usage, m.notFinite, m.usageShrank, m.read)
}

func (m *assembly) read(r *answer.UsageReader) nightshift.Usage {
	raw := r.Raw
	u := m.classes(r, raw)
	u.Reasoning = r.Count(raw.Get("output_tokens_details").Get("thinking_tokens"))
	u.Searches = r.Count(raw.Get("server_tool_use").Get("web_search_requests"))
	u.ServiceTier = raw.Get("service_tier").String()
	if raw.Get("speed").Is("fast") { // a price class of its own, beside the tier "standard"
		u.ServiceTier = "fast"
	}
	u.Region = raw.Get("inference_geo").String()
	if !m.sawOutput { // the first event's output count is no total
		u.Output = nightshift.Count{}
		r.Flag(answer.FlagUsagePartial)
	}
	openAICounts(r, &u, raw.Get("billing_usage"))
	m.iterations(r, &u, raw.Get("iterations"))
	return u
}

// openAICounts replaces the counts by those of a gateway's upstream (new-api in
// front of an OpenAI model), whose prompt tokens include the cached ones: what
// is beside them may or may not. Only where the usage says so itself, because
// other gateways and servers count as this format does.
func openAICounts(r *answer.UsageReader, u *nightshift.Usage, billing rawjson.Value) {
	own := billing.Get("openai_usage")
	if !billing.Get("semantic").Is("openai") {
		return
	}
	r.Flag("usage_cache_included")
	if own.Kind() != rawjson.Object {
		if u.CacheRead.N() > 0 && u.Input.N() >= u.CacheRead.N() {
			u.Input = nightshift.Tokens(u.Input.N() - u.CacheRead.N())
		}
		return
	}
	inner := answer.UsageReader{Response: r.Response, Raw: own}
	counts := inner.OpenAI()
	u.Input, u.CacheRead, u.CacheWrite5m, u.CacheWrite1h = counts.Input, counts.CacheRead, counts.CacheWrite5m,
		counts.CacheWrite1h
	u.AudioInput, u.ImageInput, u.AudioOutput, u.ImageOutput = counts.AudioInput, counts.ImageInput, counts.AudioOutput,
		counts.ImageOutput
	if u.Output.Known() && counts.Output.N() > 0 {
		u.Output, u.Reasoning = counts.Output, counts.Reasoning
	}
}

// classes reads the counts that a usage object and each of its iterations
// have.
func (m *assembly) classes(r *answer.UsageReader, raw rawjson.Value) nightshift.Usage {
	u := nightshift.Usage{
		Input:     r.FirstOf(raw.Get("input_tokens"), raw.Get("prompt_tokens")),
		CacheRead: r.Count(raw.Get("cache_read_input_tokens")),
		Output:    r.FirstOf(raw.Get("output_tokens"), raw.Get("completion_tokens")),
	}
	u.CacheWrite5m, u.CacheWrite1h = r.Written(r.Count(raw.Get("cache_creation_input_tokens")), raw)
	return u
}

// iterations adds what is billed on top of the totals: those cover the
// iterations of kind "message" only. A compaction is the same model's work and
// is added; what another model did cannot be in this usage, and is flagged.
func (m *assembly) iterations(r *answer.UsageReader, u *nightshift.Usage, list rawjson.Value) {
	for it := list.First(); it.Exists(); it = it.Next() {
		if it.Get("type").Is("message") {
			continue
		}
		if model := it.Get("model"); model.Set() && !model.Is(m.model) || !it.Get("type").Is("compaction") {
			r.Flag("usage_other_model")
			continue
		}
		*u = u.Add(m.classes(r, it))
		r.Flag("usage_compaction")
	}
}

func first(a, b rawjson.Value) rawjson.Value {
	if a.Exists() {
		return a
	}
	return b
}

// DecodeUsage implements the format.
func (Format) DecodeUsage(resp *nightshift.Response, root rawjson.Value) {
	m := assembly{sawOutput: true}
	m.begin(root)
	m.readUsage(resp)
}
