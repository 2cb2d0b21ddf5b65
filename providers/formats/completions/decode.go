package completions

import (
	"slices"

	"nightshift"
	"nightshift/internal/rawjson"
	"nightshift/providers/formats/internal/answer"
)

// Decode implements the format.
func (Format) Decode(resp *nightshift.Response, root rawjson.Value) *nightshift.Error {
	var a assembly
	a.head(root)
	choices := root.Get("choices")
	if choices.Kind() != rawjson.Array {
		a.fill(resp)
		a.usage.Read(resp, a.tier)
		return answer.Shapeless("no_choices", "the answer has no choices: "+choices.Kind().String())
	}
	for v := choices.First(); v.Exists(); v = v.Next() {
		a.whole(v)
	}
	a.fill(resp)
	a.finish(resp, root.Doc())
	if err := a.brokenOff(); err != nil {
		return err
	}
	return answer.Empty(resp)
}

// An assembly is an answer as far as it has come, whole or in pieces.
type assembly struct {
	id, model, fingerprint, tier string
	choices                      []*choice
	usage                        answer.OpenAIUsage
}

// A choice is one of the texts that were written.
type choice struct {
	index     int64
	text      answer.Text
	finish    string // as answer.LaterStop decides
	stoppedBy string // stop sequence, or the number of a token (vLLM)
	conflict  bool   // a plain end came after another reason
}

// head takes what an answer or a chunk says of itself: the first id, model and
// fingerprint that are not empty, and the usage so far.
func (a *assembly) head(v rawjson.Value) {
	for s, name := range map[*string]string{&a.id: "id", &a.model: "model", &a.fingerprint: "system_fingerprint"} {
		if *s == "" {
			*s = v.Get(name).String()
		}
	}
	if tier := v.Get("service_tier").String(); tier != "" {
		a.tier = tier
	}
	a.usage.Add(v.Get("usage"))
}

// choice returns the choice with an index; an absent one is 0.
func (a *assembly) choice(v rawjson.Value) *choice {
	n, _ := v.Get("index").Int()
	n = max(n, 0)
	for _, c := range a.choices {
		if c.index == n {
			return c
		}
	}
	return a.add(n)
}

func (a *assembly) add(index int64) *choice {
	c := &choice{index: index}
	a.choices = append(a.choices, c)
	return c
}

// whole adds a choice of an answer that was not streamed. A second one with the
// same index is another choice: some servers number none of them.
func (a *assembly) whole(v rawjson.Value) {
	c := a.choice(v)
	if c.text.Set() || c.finish != "" {
		c = a.add(int64(len(a.choices)))
	}
	c.take(v)
}

// take adds a text, or a piece of one, and why it ended.
func (c *choice) take(v rawjson.Value) (content bool) {
	content = c.text.AddValue(v.Get("text"))
	if word := answer.StopWord(v.Get("finish_reason").String()); word != "" {
		var conflict bool
		c.finish, conflict = answer.LaterStop(c.finish, word)
		c.conflict = c.conflict || conflict
	}
	if by := v.Get("stop_reason"); by.Kind() == rawjson.String || by.Kind() == rawjson.Number {
		c.stoppedBy, _ = by.Words()
	}
	return content
}

// stop is the choice's finish reason in our words. vLLM says beside a plain stop
// which stop sequence, or which token, it was.
func (c *choice) stop() nightshift.StopReason {
	if stop := answer.Stop(c.finish); stop != nightshift.StopEnd || c.stoppedBy == "" {
		return stop
	}
	return nightshift.StopSequence
}

// fill writes the answer as far as it has come, without its usage, into an empty
// resp. Reasoning between tags comes where the prompt is a rendered chat template.
func (a *assembly) fill(resp *nightshift.Response) {
	resp.ID, resp.ServedModel, resp.Fingerprint = a.id, a.model, a.fingerprint
	slices.SortStableFunc(a.choices, func(x, y *choice) int { return int(x.index - y.index) })
	for i, c := range a.choices {
		if c.conflict {
			resp.Flag(answer.FlagStopConflict)
		}
		text, thinking, tags := answer.TakeThink(c.text.Pointer(), nil, c.stop())
		if tags {
			resp.Flag(answer.FlagThinkTags)
		}
		if i == 0 {
			resp.Text, resp.Thinking = text, thinking
			resp.StopReason, resp.RawStopReason = c.stop(), c.finish
			if resp.StopReason == nightshift.StopSequence {
				resp.StopSequence = c.stoppedBy
			}
		}
		if len(a.choices) > 1 {
			resp.Choices = append(resp.Choices, nightshift.Choice{
				Index: int(c.index), Text: orEmpty(text), Thinking: orEmpty(thinking),
				StopReason: c.stop(), RawStopReason: c.finish,
			})
		}
	}
}

func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// finish adds usage and flags to an answer that came to its end.
func (a *assembly) finish(resp *nightshift.Response, doc *rawjson.Doc) {
	a.usage.Read(resp, a.tier)
	answer.Marks(resp, doc)
	if len(a.choices) == 0 {
		resp.Flag("no_choices")
	} else {
		answer.MarkStop(resp)
	}
	if !answer.Spoke(resp) && resp.StopReason == nightshift.StopEnd && resp.Usage.Output.N() > 0 {
		resp.Flag(answer.FlagEmpty)
	}
}

// finished reports whether every choice that was seen has come to its end.
func (a *assembly) finished() bool {
	return len(a.choices) > 0 && !slices.ContainsFunc(a.choices, func(c *choice) bool {
		return c.finish == "" || answer.BrokenOff(c.finish) != nil
	})
}

// brokenOff is the error of an answer whose finish reason says that the server
// broke off.
func (a *assembly) brokenOff() *nightshift.Error {
	for _, c := range a.choices {
		if err := answer.BrokenOff(c.finish); err != nil {
			return err
		}
	}
	return nil
}

// DecodeUsage implements the format.
func (Format) DecodeUsage(resp *nightshift.Response, root rawjson.Value) {
	var a assembly
	a.head(root)
	a.usage.Read(resp, a.tier)
}
