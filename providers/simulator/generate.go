package simulator

import "strings"

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
	r := &reply{model: a.model, created: x.start.Unix(), forced: a.choice.kind == "tool"}
	if x.server.cfg.Vary {
		x.vary()
	}
	prefix := "msg_01"
	if a.protocol != messages {
		prefix = "chatcmpl-"
	}
	r.id = ident(prefix, a.seed.with(x.entry.RequestID), 24)
	r.tokens = x.server.inputTokens(a, x.start)
	for i := range a.n {
		s := a.seed
		if i > 0 {
			s = s.withInt(uint64(i))
		}
		r.choices = append(r.choices, x.choose(s))
		if a.protocol == messages {
			break
		}
	}
	r.count()
	switch {
	case a.seed.roll("declines") < x.model.RefusalRate:
		x.decline(r)
	case a.seed.roll("truncates") < x.model.TruncateRate:
		r.truncate(0.5)
	}
	return r
}

// vary makes the answer depend on which sample of the conversation it is.
func (x *exchange) vary() {
	if id := x.r.Header.Get("Idempotency-Key"); id != "" {
		x.ask.seed = x.ask.seed.with(id)
		return
	}
	x.ask.seed = x.ask.seed.withInt(uint64(x.server.book.answeredBefore(x.ask.key)))
}

// choose makes one answer: what the model would say, cut to what was asked.
func (x *exchange) choose(s seed) choice {
	c := x.think(s)
	x.stopAt(&c)
	x.fit(&c)
	return c
}

// stopAt ends the text before the first stop sequence.
func (x *exchange) stopAt(c *choice) {
	first := -1
	for _, stop := range x.ask.stop {
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
		c.reasoned = countTokens(c.thinking)
	}
	if c.reasoned > allowed {
		c.thinking, _ = cutTokens(c.thinking, allowed)
		c.text, c.calls = "", nil
		c.reasoned, c.output, c.stop = allowed, allowed, stopMax
		return
	}
	text, cut := cutTokens(c.text, allowed-c.reasoned)
	c.output = c.reasoned + countTokens(text)
	for _, call := range c.calls {
		c.output += countTokens(call.name) + countTokens(call.arguments)
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
