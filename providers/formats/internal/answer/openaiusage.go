package answer

import (
	"nightshift"
	"nightshift/internal/rawjson"
)

// An OpenAIUsage joins the usage objects of one answer in OpenAI's manner, each
// of which states what has been used so far.
type OpenAIUsage struct {
	joined    []byte
	notFinite bool // one held NaN or Infinity, which is null now
	shrank    bool // a later one counted less
}

// Add takes a usage object. One that counts nothing does not displace one that
// did.
func (u *OpenAIUsage) Add(usage rawjson.Value) {
	if usage.Kind() != rawjson.Object || u.joined != nil && !counted(usage) {
		return
	}
	u.join(usage)
	u.notFinite = u.notFinite || !usage.Finite()
}

func (u *OpenAIUsage) join(usage rawjson.Value) {
	if u.joined == nil {
		u.joined = usage.JSON()
		return
	}
	doc := rawjson.Borrow()
	defer doc.Return()
	old, err := doc.Scan(u.joined)
	if err != nil || !counted(old) {
		u.joined = usage.JSON()
		return
	}
	joined, shrank := merging.Join(old, usage)
	u.joined, u.shrank = joined, u.shrank || shrank
}

// merging counts what a usage object says in all; the prompt tokens include
// the cached ones.
var merging = UsageMerge{
	Read:  func(usage rawjson.Value) int64 { return largest(usage, "prompt_tokens", "input_tokens") },
	Wrote: func(usage rawjson.Value) int64 { return largest(usage, "completion_tokens", "output_tokens") },
}

// largest is the larger of two names' counts.
func largest(usage rawjson.Value, name, other string) int64 {
	c, _ := Count(usage.Get(name))
	d, _ := Count(usage.Get(other))
	return max(c.N(), d.N())
}

func counted(usage rawjson.Value) bool { return merging.Read(usage)+merging.Wrote(usage) > 0 }

// JSON is what the objects say together; nil without any.
func (u *OpenAIUsage) JSON() []byte { return u.joined }

// Read sorts the counts into disjoint classes. The tier is the answer's own
// word, which goes before that of the usage.
func (u *OpenAIUsage) Read(resp *nightshift.Response, tier string) {
	resp.Usage.ServiceTier = tier
	ReadUsage(resp, u.joined, u.notFinite, u.shrank, func(r *UsageReader) nightshift.Usage {
		sorted := r.OpenAI()
		sorted.ServiceTier = tier
		if tier == "" {
			sorted.ServiceTier = r.Raw.Get("service_tier").String()
		}
		return sorted
	})
}
