package answer

import (
	"nightshift"
	"nightshift/internal/rawjson"
)

// A UsageReader reads the usage object Raw of Response and flags what is
// wrong with it.
type UsageReader struct {
	Response *nightshift.Response
	Raw      rawjson.Value
}

// ReadUsage sorts a usage object into disjoint classes, with read, and flags the
// answer: where there is none, where a number in it was none (notFinite), and where
// a later one counted less (shrank).
func ReadUsage(resp *nightshift.Response, usage []byte, notFinite, shrank bool,
	read func(*UsageReader) nightshift.Usage) {
	doc := rawjson.Borrow()
	defer doc.Return()
	raw, err := doc.Scan(usage)
	if err != nil {
		resp.Flag(FlagUsageMissing)
		return
	}
	resp.UsageRaw = usage
	r := UsageReader{Response: resp, Raw: raw}
	if notFinite {
		r.Flag(flagUsageInvalid)
	}
	if shrank {
		r.Flag(FlagUsageOdd)
	}
	u := read(&r)
	u.Reported = r.Reported()
	resp.Usage = r.Settle(u)
}

// Flag notes an oddity of the usage.
func (r *UsageReader) Flag(name string) { r.Response.Flag(name) }

// Count reads a token count; one that cannot be believed is unknown.
func (r *UsageReader) Count(v rawjson.Value) nightshift.Count {
	c, bad := Count(v)
	if bad {
		r.Flag(flagUsageInvalid)
	}
	return c
}

// FirstOf is the first count that is not 0, else the first of all: of two
// names for one count servers leave one at 0.
func (r *UsageReader) FirstOf(values ...rawjson.Value) nightshift.Count {
	var first nightshift.Count
	for _, v := range values {
		c := r.Count(v)
		if c.N() > 0 {
			return c
		}
		if !first.Known() {
			first = c
		}
	}
	return first
}

// LargestOf is the largest of several findings of one count. Two that are
// not 0 and differ are flagged.
func (r *UsageReader) LargestOf(values ...rawjson.Value) nightshift.Count {
	var largest nightshift.Count
	for _, v := range values {
		c := r.Count(v)
		if c.N() > 0 && largest.N() > 0 && c != largest {
			r.Flag(FlagUsageOdd)
		}
		if c.Known() && (!largest.Known() || c.N() > largest.N()) {
			largest = c
		}
	}
	return largest
}

// Reported is the cost that the provider stated: cost in dollars (OpenRouter,
// and Perplexity with an object of sums), or xAI's ticks of 1e-10 dollars.
func (r *UsageReader) Reported() *nightshift.NanoUSD {
	cost := r.Raw.Get("cost")
	if cost.Kind() == rawjson.Object {
		cost = cost.Get("total_cost")
	}
	if usd := dollars(cost, 1); usd != nil {
		return usd
	}
	return dollars(r.Raw.Get("cost_in_usd_ticks"), 1e-10)
}

// Settle turns zeros that cannot be true into unknowns: no model answers
// without having read anything, and no text is without tokens.
func (r *UsageReader) Settle(u nightshift.Usage) nightshift.Usage {
	in, out := u.InputTotal(), u.Output
	answered := r.answered()
	switch {
	case in.N() == 0 && out.N() == 0:
		r.Flag(FlagUsageMissing)
		u = nightshift.Usage{ServiceTier: u.ServiceTier, Region: u.Region, Reported: u.Reported}
	case in.N() == 0 && out.N() > 0:
		r.Flag(FlagUsagePartial)
		u.Input, u.CacheRead, u.CacheWrite5m, u.CacheWrite1h = nightshift.Count{}, nightshift.Count{},
			nightshift.Count{}, nightshift.Count{}
	case out.N() == 0 && answered:
		r.Flag(FlagUsagePartial)
		u.Output, u.Reasoning = nightshift.Count{}, nightshift.Count{}
	}
	if u.Output.Known() && u.Reasoning.N() > u.Output.N() {
		r.Flag(FlagUsageOdd)
		u.Reasoning = u.Output
	}
	return u
}

func (r *UsageReader) answered() bool { return Spoke(r.Response) || some(r.Response.Thinking) }

// Spoke reports whether an answer holds more than reasoning.
func Spoke(r *nightshift.Response) bool {
	return some(r.Text) || len(r.ToolCalls) > 0 || len(r.Choices) > 0
}

func some(s *string) bool { return s != nil && *s != "" }
