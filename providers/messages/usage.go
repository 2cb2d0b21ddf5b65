package messages

import (
	"strings"

	"nightshift"
	"nightshift/providers/internal/answer"
	"nightshift/providers/internal/jsonscan"
)

// addUsage merges a usage object into what came before it: streams send a
// first one and then, cumulatively, what has changed. Fields that are absent
// or null leave the earlier value.
func (m *assembly) addUsage(usage jsonscan.Value) {
	if usage.Kind() != jsonscan.Object {
		return
	}
	m.notFinite = m.notFinite || !usage.Finite()
	if m.usage == nil {
		m.usage = usage.JSON()
		return
	}
	earlier, err := jsonscan.Scan(m.usage)
	if err != nil {
		m.usage = usage.JSON()
		return
	}
	m.usage = merge(earlier, usage)
}

// merge returns the members of a, in their order, with those of b that are
// not null in their place, and then the ones that only b has.
func merge(a, b jsonscan.Value) []byte {
	out := []byte{'{'}
	add := func(member jsonscan.Value) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(nightshift.AppendString(out, member.Key()), ':')
		out = append(out, member.JSON()...)
	}
	for c := a.First(); c.Exists(); c = c.Next() {
		if newer := b.Get(c.Key()); newer.Set() {
			add(newer)
		} else {
			add(c)
		}
	}
	for c := b.First(); c.Exists(); c = c.Next() {
		if !a.Get(c.Key()).Exists() {
			add(c)
		}
	}
	return append(out, '}')
}

// readUsage sorts the usage object into disjoint classes. In this format the
// input tokens do not include the cached ones.
func (m *assembly) readUsage(resp *nightshift.Response) {
	doc := jsonscan.Borrow()
	defer doc.Return()
	raw, err := doc.Scan(m.usage)
	if err != nil {
		resp.Flag(answer.FlagUsageMissing)
		return
	}
	resp.UsageRaw = m.usage
	r := answer.UsageReader{Response: resp, Raw: raw}
	if m.notFinite {
		r.Flag(answer.FlagUsageInvalid)
	}
	u := m.classes(&r, raw)
	u.Reasoning = r.Count(raw.Get("output_tokens_details").Get("thinking_tokens"))
	u.Searches = r.Count(raw.Get("server_tool_use").Get("web_search_requests"))
	u.ServiceTier = raw.Get("service_tier").String()
	if raw.Get("speed").Is("fast") { // a price class of its own, beside the tier "standard"
		u.ServiceTier = "fast"
	}
	u.Region = raw.Get("inference_geo").String()
	u.Reported = r.Reported()
	if !m.sawOutput { // the first event's output count is no total
		u.Output = nightshift.Count{}
		resp.Flag(answer.FlagUsagePartial)
	}
	if strings.HasPrefix(m.id, "chatcmpl") && u.CacheRead.N() > 0 && u.Input.N() >= u.CacheRead.N() {
		// new-api in front of an OpenAI model: its input count includes the
		// cached tokens and names them again.
		u.Input = nightshift.Tokens(u.Input.N() - u.CacheRead.N())
		resp.Flag("usage_cache_included")
	}
	m.iterations(&r, &u, raw.Get("iterations"))
	resp.Usage = r.Settle(u)
}

// classes reads the counts that a usage object and each of its iterations
// have.
func (m *assembly) classes(r *answer.UsageReader, raw jsonscan.Value) nightshift.Usage {
	u := nightshift.Usage{
		Input:     r.Count(first(raw.Get("input_tokens"), raw.Get("prompt_tokens"))),
		CacheRead: r.Count(raw.Get("cache_read_input_tokens")),
		Output:    r.Count(first(raw.Get("output_tokens"), raw.Get("completion_tokens"))),
	}
	written := r.Count(raw.Get("cache_creation_input_tokens"))
	split := raw.Get("cache_creation")
	u.CacheWrite5m = r.Count(split.Get("ephemeral_5m_input_tokens"))
	u.CacheWrite1h = r.Count(split.Get("ephemeral_1h_input_tokens"))
	switch sum := u.CacheWrite5m.Add(u.CacheWrite1h); {
	case !sum.Known():
		u.CacheWrite5m = written
	case written.N() > sum.N(): // what the split leaves out counts as 5m
		u.CacheWrite5m = nightshift.Tokens(u.CacheWrite5m.N() + written.N() - sum.N())
		r.Flag(answer.FlagUsageOdd)
	}
	return u
}

// iterations adds what is billed on top of the totals: those cover the
// iterations of kind "message" only. A compaction is the same model's work and
// is added; what another model did cannot be in this usage, and is flagged.
func (m *assembly) iterations(r *answer.UsageReader, u *nightshift.Usage, list jsonscan.Value) {
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

func first(a, b jsonscan.Value) jsonscan.Value {
	if a.Exists() {
		return a
	}
	return b
}
