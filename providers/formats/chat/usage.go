package chat

import (
	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// topUsage is the usage of an answer or a chunk.
func topUsage(v rawjson.Value) rawjson.Value {
	if usage := v.Get("usage"); usage.Set() {
		return usage
	}
	return v.Get("x_groq").Get("usage")
}

// choiceUsage is the usage inside the choices (Moonshot), where there is none
// beside them. Those of several choices are believed only where they agree.
func (a *assembly) choiceUsage() answer.OpenAIUsage {
	if len(a.choices) == 0 {
		return answer.OpenAIUsage{}
	}
	usage := a.choices[0].usage
	for _, c := range a.choices {
		if string(c.usage.JSON()) != string(usage.JSON()) {
			return answer.OpenAIUsage{}
		}
	}
	return usage
}

// readUsage sorts the usage object into disjoint classes.
func (a *assembly) readUsage(resp *nightshift.Response) {
	if a.usage.JSON() == nil {
		a.usage = a.choiceUsage()
	}
	a.usage.Read(resp, a.tier)
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
