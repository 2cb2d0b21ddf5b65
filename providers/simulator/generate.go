package simulator

import (
	"strings"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/random"
	"nightshift/providers/simulator/internal/requests"
)

// count sets the billed output to the sum of the choices.
func (r *reply) count() {
	r.tokens.Output, r.tokens.Reasoning = 0, 0
	for _, c := range r.choices {
		r.tokens.Output += int64(c.output)
		r.tokens.Reasoning += int64(c.reasoned)
	}
}

// generate makes the answer to a request.
func (x *exchange) generate() *reply {
	a := x.ask
	if a.Embed != nil {
		return x.embeddingReply()
	}
	r := &reply{model: a.Model, created: x.start.Unix(), forced: a.Choice.Kind == "tool"}
	if x.server.cfg.Vary {
		x.vary()
	}
	prefix := "msg_01"
	switch a.Protocol {
	case requests.Chat, requests.Envelope:
		prefix = "chatcmpl-"
	case requests.Completions:
		prefix = "cmpl-"
	case requests.Responses:
		prefix = "resp_"
	}
	r.id = ident(prefix, a.Seed.With(x.entry.RequestID), 24)
	r.tokens = x.inputTokens()
	if a.Completion != nil {
		x.complete(r)
		return r
	}
	for i := range a.N {
		s := a.Seed
		if i > 0 {
			s = s.WithInt(uint64(i))
		}
		r.choices = append(r.choices, x.choose(s))
		if a.Protocol == requests.Messages {
			break
		}
	}
	r.count()
	switch {
	case a.Seed.Roll("declines") < x.model.RefusalRate:
		x.decline(r)
	case a.Seed.Roll("truncates") < x.model.TruncateRate:
		r.truncate(0.5)
	}
	return r
}

// vary makes the answer depend on which sample of the conversation it is.
func (x *exchange) vary() {
	if id := x.r.Header.Get("Idempotency-Key"); id != "" {
		x.ask.Seed = x.ask.Seed.With(id)
		return
	}
	x.ask.Seed = x.ask.Seed.WithInt(uint64(x.server.book.AnsweredBefore(x.ask.Key)))
}

// choose makes one answer: what the model would say, cut to what was asked.
func (x *exchange) choose(s seed) choice {
	c := choice{stop: stopEnd}
	x.reason(&c, s)
	x.answer(&c, s)
	x.stopAt(&c)
	x.fit(&c)
	return c
}

// answer gives the text that is known of the model, calls tools, or answers.
func (x *exchange) answer(c *choice, s seed) {
	a, cfg := x.ask, &x.server.cfg
	var known bool
	if c.text, known = cfg.Answers.Find(a.Question, a.Model); known {
		return
	}
	if c.calls = x.toolCalls(s); len(c.calls) > 0 {
		c.stop = stopTool
		return
	}
	m := answers.Model{Name: a.Model, Skill: x.model.Skill, Verbosity: x.model.Verbosity}
	m.Known, m.Seed = cfg.Answers, random.Start.WithInt(cfg.Seed)
	c.text = m.Answer(a.AsQuestion(), s)
}

// reason thinks, when asked to or when the model always does.
func (x *exchange) reason(c *choice, s seed) {
	a := x.ask
	tokens := x.model.Reasoning
	if a.Thinking {
		tokens = max(tokens, 40+s.Below("thinking", 200))
		switch a.Effort {
		case "minimal", "low":
			tokens = max(1, tokens/4)
		case "high", "xhigh", "max":
			tokens *= 3
		}
	}
	if tokens == 0 || a.Effort == "none" {
		return
	}
	if a.Budget > 0 {
		tokens = min(tokens, a.Budget)
	}
	c.reasoned = tokens
	if a.Protocol == requests.Messages || a.ShowThoughts || x.model.ReasoningField != "" || x.thinkingField() != "" {
		c.thinking = answers.Thinking(a.Question, tokens, s)
	}
	if c.thinking != "" {
		c.reasoned = answers.CountTokens(c.thinking)
	}
}

// stopAt ends the text before the first stop sequence.
func (x *exchange) stopAt(c *choice) {
	first := -1
	for _, stop := range x.ask.Stop {
		at := strings.Index(c.text, stop)
		if stop != "" && at >= 0 && (first < 0 || at < first) {
			first, c.sequence = at, stop
		}
	}
	if first >= 0 {
		c.text, c.stop, c.calls = c.text[:first], stopSequence, nil
	}
}

// fit cuts thinking and text to the tokens allowed and counts them.
func (x *exchange) fit(c *choice) {
	allowed := x.outputCap()
	if c.reasoned == 0 {
		c.reasoned = answers.CountTokens(c.thinking)
	}
	if c.reasoned > allowed {
		c.thinking, _ = answers.CutTokens(c.thinking, allowed)
		c.text, c.calls = "", nil
		c.reasoned, c.output, c.stop = allowed, allowed, stopMax
		return
	}
	text, cut := answers.CutTokens(c.text, allowed-c.reasoned)
	c.output = c.reasoned + answers.CountTokens(text)
	for _, call := range c.calls {
		c.output += answers.CountTokens(call.name) + answers.CountTokens(call.arguments)
	}
	if cut || c.output > allowed {
		c.calls, c.stop, c.sequence = nil, stopMax, ""
		c.output = allowed
	}
	c.text = text
	if c.output == 0 && allowed > 0 {
		c.output = 1
	}
}
