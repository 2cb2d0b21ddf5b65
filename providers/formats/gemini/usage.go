package gemini

import (
	"strconv"
	"strings"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// addUsage takes a usage object, which states what has been used so far. The
// last one counts, unless it counts nothing.
func (a *assembly) addUsage(usage rawjson.Value) {
	if usage.Kind() != rawjson.Object || a.usage != nil && !counts(usage) {
		return
	}
	total, _ := usage.Get("totalTokenCount").Int()
	a.usageShrank = a.usageShrank || total < a.total()
	a.notFinite = a.notFinite || !usage.Finite()
	a.usage = usage.JSON()
}

func counts(usage rawjson.Value) bool {
	return usage.Get("totalTokenCount").Set() || usage.Get("promptTokenCount").Set()
}

// total is what the usage so far counts in all.
func (a *assembly) total() int64 {
	doc := rawjson.Borrow()
	defer doc.Return()
	usage, err := doc.Scan(a.usage)
	if err != nil {
		return 0
	}
	n, _ := usage.Get("totalTokenCount").Int()
	return n
}

// readUsage sorts the usage object into disjoint classes. In this format cached
// tokens lie inside the prompt, and the results of the server's tools and the
// thoughts beside it and the candidates: the total is the sum of all four.
func (a *assembly) readUsage(resp *nightshift.Response) {
	answer.ReadUsage(resp, a.usage, a.notFinite, a.usageShrank, func(r *answer.UsageReader) nightshift.Usage {
		u := classes(r, r.Raw)
		u.Searches = a.searches()
		u.ServiceTier = tier(r.Raw)
		return u
	})
}

func classes(r *answer.UsageReader, raw rawjson.Value) nightshift.Usage {
	prompt, tools := r.Count(raw.Get("promptTokenCount")), r.Count(raw.Get("toolUsePromptTokenCount"))
	u := nightshift.Usage{
		CacheRead: r.Count(raw.Get("cachedContentTokenCount")),
		Reasoning: r.Count(raw.Get("thoughtsTokenCount")),
		Input:     prompt,
	}
	if u.CacheRead.N() > prompt.N() {
		r.Flag(answer.FlagCacheExcluded)
	} else if prompt.Known() {
		u.Input = nightshift.Tokens(prompt.N() - u.CacheRead.N())
	}
	u.Input = u.Input.Add(tools)
	u.Output = written(r, raw, prompt.N()+tools.N(), u.Reasoning)
	for _, field := range []string{"promptTokensDetails", "toolUsePromptTokensDetails"} {
		u.AudioInput = u.AudioInput.Add(modality(r, raw.Get(field), "AUDIO"))
		u.ImageInput = u.ImageInput.Add(modality(r, raw.Get(field), "IMAGE"))
	}
	u.AudioOutput = modality(r, raw.Get("candidatesTokensDetails"), "AUDIO")
	u.ImageOutput = modality(r, raw.Get("candidatesTokensDetails"), "IMAGE")
	return u
}

// written is all that the model wrote. Where the parts do not make up the total, or
// a part is missing, the total is believed.
func written(r *answer.UsageReader, raw rawjson.Value, input int64, thoughts nightshift.Count) nightshift.Count {
	said := r.Count(raw.Get("candidatesTokenCount"))
	total := r.Count(raw.Get("totalTokenCount"))
	sum := said.Add(thoughts)
	if !total.Known() || total.N() < input {
		if total.N() > 0 {
			r.Flag(answer.FlagUsageOdd)
		}
		return sum
	}
	if said.Known() && sum.N() != total.N()-input {
		r.Flag(answer.FlagUsageOdd)
	}
	return nightshift.Tokens(total.N() - input)
}

// modality is what a list of counts by modality says of one; unknown where it
// says nothing.
func modality(r *answer.UsageReader, list rawjson.Value, kind string) (sum nightshift.Count) {
	for d := list.First(); d.Exists(); d = d.Next() {
		if n := r.Count(d.Get("tokenCount")); d.Get("modality").Is(kind) && n.N() > 0 {
			sum = sum.Add(n)
		}
	}
	return sum
}

// traffic are Vertex's words for the tiers of service.
var traffic = map[string]string{
	"ON_DEMAND": "standard", "ON_DEMAND_FLEX": "flex", "ON_DEMAND_PRIORITY": "priority",
	"PROVISIONED_THROUGHPUT": "provisioned",
}

func tier(raw rawjson.Value) string {
	if said := raw.Get("serviceTier").String(); said != "" {
		return strings.ToLower(said)
	}
	kind := raw.Get("trafficType").String()
	if known, ok := traffic[kind]; ok {
		return known
	}
	return strings.ToLower(kind)
}

// searches are the searches that are billed: one for a prompt up to the second
// generation of models, one for a query since the third.
func (a *assembly) searches() nightshift.Count {
	queries := 0
	for _, c := range a.candidates {
		queries += c.queries
	}
	if queries == 0 {
		return nightshift.Count{}
	}
	if generation(a.model) < 3 {
		queries = 1
	}
	return nightshift.Tokens(int64(queries))
}

// generation is the number that follows gemini- in the name of a model; 0 where
// there is none.
func generation(model string) int {
	_, rest, _ := strings.Cut(strings.ToLower(model), "gemini-")
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	n, _ := strconv.Atoi(rest[:digits])
	return n
}

// DecodeUsage implements the format.
func (Format) DecodeUsage(resp *nightshift.Response, root rawjson.Value) {
	var a assembly
	a.take(answerOf(root))
	a.readUsage(resp)
}
