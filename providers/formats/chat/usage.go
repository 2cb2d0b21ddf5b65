package chat

import (
	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// addUsage takes a usage object, which states what has been used so far. One
// that counts nothing does not displace one that did.
func (a *assembly) addUsage(usage rawjson.Value) {
	if usage.Kind() != rawjson.Object || a.usage != nil && !counted(usage) {
		return
	}
	a.usage, a.usageShrank = join(a.usage, usage, a.usageShrank)
	a.notFinite = a.notFinite || !usage.Finite()
}

func join(earlier []byte, usage rawjson.Value, shrank bool) ([]byte, bool) {
	doc := rawjson.Borrow()
	defer doc.Return()
	old, err := doc.Scan(earlier)
	if err != nil || !counted(old) {
		return usage.JSON(), shrank
	}
	joined, now := merging.Join(old, usage)
	return joined, shrank || now
}

// merging counts what a usage object says in all; the prompt tokens include
// the cached ones.
var merging = answer.UsageMerge{
	Read:  func(usage rawjson.Value) int64 { return count(usage, "prompt_tokens", "input_tokens") },
	Wrote: func(usage rawjson.Value) int64 { return count(usage, "completion_tokens", "output_tokens") },
}

// count is the larger of two names' counts.
func count(usage rawjson.Value, name, other string) int64 {
	c, _ := answer.Count(usage.Get(name))
	d, _ := answer.Count(usage.Get(other))
	return max(c.N(), d.N())
}

func counted(usage rawjson.Value) bool { return merging.Read(usage)+merging.Wrote(usage) > 0 }

// topUsage is the usage of an answer or a chunk.
func topUsage(v rawjson.Value) rawjson.Value {
	if usage := v.Get("usage"); usage.Set() {
		return usage
	}
	return v.Get("x_groq").Get("usage")
}

// choiceUsage is the usage inside the choices (Moonshot), where there is none
// beside them. Those of several choices are believed only where they agree.
func (a *assembly) choiceUsage() []byte {
	if len(a.choices) == 0 {
		return nil
	}
	usage := a.choices[0].usage
	for _, c := range a.choices {
		if string(c.usage) != string(usage) {
			return nil
		}
	}
	return usage
}

// readUsage sorts the usage object into disjoint classes.
func (a *assembly) readUsage(resp *nightshift.Response) {
	resp.Usage.ServiceTier = a.tier
	if a.usage == nil {
		a.usage = a.choiceUsage()
	}
	doc := rawjson.Borrow()
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
	if a.usageShrank {
		r.Flag(answer.FlagUsageOdd)
	}
	u := r.OpenAI()
	u.ServiceTier = a.tier
	if u.ServiceTier == "" {
		u.ServiceTier = raw.Get("service_tier").String()
	}
	u.Reported = r.Reported()
	resp.Usage = r.Settle(u)
}

// DecodeUsage implements the format.
func (Format) DecodeUsage(resp *nightshift.Response, root rawjson.Value) {
	var a assembly
	a.head(root)
	for c := root.Get("choices").First(); c.Exists(); c = c.Next() {
		a.choice(c)
	}
	a.readUsage(resp)
}
