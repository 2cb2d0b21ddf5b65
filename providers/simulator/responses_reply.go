package simulator

import (
	"strconv"
	"strings"
)

// responseStatus is how an answer ended: its status, and the reason where it is
// incomplete.
func responseStatus(c *choice) (status, reason string) {
	switch c.stop {
	case stopMax:
		return "incomplete", "max_output_tokens"
	case stopFilter:
		return "incomplete", "content_filter"
	}
	if raw, other := strings.CutPrefix(c.stop, "="); other {
		return "incomplete", raw
	}
	return "completed", ""
}

// responseBody renders a whole answer.
func (x *exchange) responseBody(r *reply) []byte {
	status, reason := responseStatus(&r.choices[0])
	o := x.responseObject(r, status, reason, x.responseItems(r))
	return o.end()
}

// responseObject is an answer in some state, with the items that it has by then.
func (x *exchange) responseObject(r *reply, status, reason string, items []object) object {
	o := newObject()
	o.text("id", r.id)
	o.text("object", "response")
	o.int("created_at", r.created)
	o.text("status", status)
	o.raw("background", strconv.FormatBool(x.ask.response.background))
	o.null("error")
	if reason == "" {
		o.null("incomplete_details")
	} else {
		o.raw("incomplete_details", `{"reason":`+quote(reason)+`}`)
	}
	if x.ask.hasMax {
		o.int("max_output_tokens", int64(x.ask.maxTokens))
	} else {
		o.null("max_output_tokens")
	}
	o.text("model", r.model)
	o.raw("output", array(items...))
	o.raw("parallel_tool_calls", "true")
	o.null("previous_response_id")
	o.text("service_tier", "default")
	o.raw("store", strconv.FormatBool(x.ask.response.store))
	o.raw("text", `{"format":{"type":"text"}}`)
	o.text("tool_choice", "auto")
	o.raw("tools", "[]")
	over := status == "completed" || status == "incomplete" || status == "cancelled"
	if r.noUsage || !over {
		o.null("usage")
	} else {
		o.object("usage", x.responseUsage(r))
	}
	o.raw("metadata", "{}")
	return o
}

func (x *exchange) responseUsage(r *reply) object {
	t := r.tokens
	if r.mode == "zero" {
		t = Tokens{}
	}
	input := t.InputTotal()
	if r.badUsage {
		input = -input
	}
	o := newObject()
	o.int("input_tokens", input)
	o.raw("input_tokens_details", `{"cached_tokens":`+strconv.FormatInt(t.CacheRead, 10)+
		`,"cache_write_tokens":`+strconv.FormatInt(t.CacheWrite5m, 10)+`}`)
	o.int("output_tokens", t.Output)
	o.raw("output_tokens_details", `{"reasoning_tokens":`+strconv.FormatInt(t.Reasoning, 10)+`}`)
	o.int("total_tokens", input+t.Output)
	return o
}

// A responseItem is an item of an answer before it takes its form.
type responseItem struct {
	kind, id, text string
	call           call
}

// responseParts are the items of an answer: reasoning, words, calls.
func (x *exchange) responseParts(c *choice, r *reply) (items []responseItem) {
	id := func(prefix string, n int) string { return ident(prefix, x.ask.seed.With(r.id).WithInt(uint64(n)), 32) }
	if c.reasoned > 0 {
		it := responseItem{kind: "reasoning", id: id("rs_", 0)}
		if x.ask.response.summary {
			it.text = c.thinking
		}
		items = append(items, it)
	}
	switch {
	case c.refusal:
		items = append(items, responseItem{kind: "refusal", id: id("msg_", 1), text: c.text})
	case c.text != "" || !c.null && len(c.calls) == 0 && c.stop != stopMax:
		items = append(items, responseItem{kind: "message", id: id("msg_", 1), text: c.text})
	}
	for i, call := range c.calls {
		kind := "function_call"
		if call.custom {
			kind = "custom_tool_call"
		}
		items = append(items, responseItem{kind: kind, id: id("fc_", 2+i), call: call})
	}
	return items
}

func (x *exchange) responseItems(r *reply) (items []object) {
	for _, it := range x.responseParts(&r.choices[0], r) {
		items = append(items, x.responseItem(&it, true))
	}
	return items
}

// responseItem is an item as it is at its beginning, or whole.
func (x *exchange) responseItem(it *responseItem, whole bool) object {
	shown := *it
	status := "completed"
	if !whole {
		status, shown.text, shown.call.arguments = "in_progress", "", ""
	}
	switch it.kind {
	case "reasoning":
		return x.reasoningItem(&shown)
	case "function_call", "custom_tool_call":
		field := "arguments"
		if it.call.custom {
			field = "input"
		}
		o := typed(it.kind)
		o.text("id", it.id)
		o.text("status", status)
		o.text("call_id", it.call.id)
		o.text("name", it.call.name)
		o.text(field, shown.call.arguments)
		return o
	}
	o := typed("message")
	o.text("id", it.id)
	o.text("status", status)
	o.text("role", "assistant")
	if whole {
		o.raw("content", array(responsePart(it.kind, it.text)))
	} else {
		o.raw("content", "[]")
	}
	return o
}

func (x *exchange) reasoningItem(it *responseItem) object {
	o := typed("reasoning")
	o.text("id", it.id)
	var summary []object
	if it.text != "" {
		summary = append(summary, responsePart("summary", it.text))
	}
	o.raw("summary", array(summary...))
	if x.ask.response.sealed {
		o.text("encrypted_content", signature(it.id))
	}
	return o
}

// responsePart is a part of what an item says.
func responsePart(kind, text string) object {
	switch kind {
	case "refusal":
		o := typed("refusal")
		o.text("refusal", text)
		return o
	case "summary":
		o := typed("summary_text")
		o.text("text", text)
		return o
	}
	o := typed("output_text")
	o.text("text", text)
	o.raw("annotations", "[]")
	o.raw("logprobs", "[]")
	return o
}

// A responseStreamer renders the events of one stream.
type responseStreamer struct {
	*exchange
	reply  *reply
	out    rendering
	index  int // of the item in hand
	number int // of the next event
	tokens int
}

// responseStream renders an answer as a stream of events.
func (x *exchange) responseStream(r *reply) rendering {
	s := responseStreamer{exchange: x, reply: r}
	s.out = rendering{status: 200, contentType: "text/event-stream; charset=utf-8"}
	begun := "in_progress"
	if x.ask.response.background {
		begun = "queued"
	}
	s.state("created", begun, "", nil)
	if x.ask.response.background {
		s.state("queued", begun, "", nil)
	}
	s.state("in_progress", "in_progress", "", nil)
	c := &r.choices[0]
	for _, it := range x.responseParts(c, r) {
		s.item(&it, c)
	}
	s.tokens = c.output
	status, reason := responseStatus(c)
	s.state(status, status, reason, x.responseItems(r))
	return s.out
}

// state sends an event that holds the answer in some state.
func (s *responseStreamer) state(name, status, reason string, items []object) {
	o := typed("response." + name)
	o.object("response", s.responseObject(s.reply, status, reason, items))
	s.send(o, name == "completed" || name == "incomplete")
}

func (s *responseStreamer) send(o object, tail bool) {
	o.int("sequence_number", int64(s.number))
	s.number++
	s.out.add(event(o, 0), s.tokens, tail)
}

// about begins an event about the item in hand.
func (s *responseStreamer) about(it *responseItem, kind string) object {
	o := typed("response." + kind)
	o.text("item_id", it.id)
	o.int("output_index", int64(s.index))
	return o
}

// item sends all of one item.
func (s *responseStreamer) item(it *responseItem, c *choice) {
	o := typed("response.output_item.added")
	o.int("output_index", int64(s.index))
	o.object("item", s.responseItem(it, false))
	s.send(o, false)
	switch it.kind {
	case "reasoning":
		s.summary(it)
		s.tokens = max(s.tokens, c.reasoned)
	case "function_call":
		s.words(it, "function_call_arguments", "arguments", it.call.arguments)
	case "custom_tool_call":
		s.words(it, "custom_tool_call_input", "input", it.call.arguments)
	case "refusal":
		s.part(it, "refusal", "refusal")
	default:
		s.part(it, "output_text", "text")
	}
	o = typed("response.output_item.done")
	o.int("output_index", int64(s.index))
	o.object("item", s.responseItem(it, true))
	s.send(o, false)
	s.index++
}

func (s *responseStreamer) part(it *responseItem, name, field string) {
	o := s.about(it, "content_part.added")
	o.int("content_index", 0)
	o.object("part", responsePart(it.kind, ""))
	s.send(o, false)
	s.words(it, name, field, it.text)
	o = s.about(it, "content_part.done")
	o.int("content_index", 0)
	o.object("part", responsePart(it.kind, it.text))
	s.send(o, false)
}

func (s *responseStreamer) summary(it *responseItem) {
	if it.text == "" {
		return
	}
	o := s.about(it, "reasoning_summary_part.added")
	o.int("summary_index", 0)
	o.object("part", responsePart("summary", ""))
	s.send(o, false)
	s.words(it, "reasoning_summary_text", "text", it.text)
	o = s.about(it, "reasoning_summary_part.done")
	o.int("summary_index", 0)
	o.object("part", responsePart("summary", it.text))
	s.send(o, false)
}

// words sends a text in pieces, and then whole.
func (s *responseStreamer) words(it *responseItem, name, field, text string) {
	index := "content_index"
	if it.kind == "reasoning" {
		index = "summary_index"
	}
	before := s.tokens
	parts, tokens := chunks(text, s.ask.seed)
	for i, part := range parts {
		s.tokens = before + tokens[i]
		o := s.about(it, name+".delta")
		o.int(index, 0)
		o.text("delta", part)
		s.send(o, false)
	}
	o := s.about(it, name+".done")
	o.int(index, 0)
	o.text(field, text)
	s.send(o, false)
}
