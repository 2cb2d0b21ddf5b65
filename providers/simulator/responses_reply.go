package simulator

import (
	"strconv"
	"strings"

	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/ledger"
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
	return o.End()
}

// responseObject is an answer in some state, with the items that it has by then.
func (x *exchange) responseObject(r *reply, status, reason string, items []jsontext.Object) jsontext.Object {
	o := jsontext.New()
	o.Text("id", r.id)
	o.Text("object", "response")
	o.Int("created_at", r.created)
	o.Text("status", status)
	o.Raw("background", strconv.FormatBool(x.ask.Response.Background))
	o.Null("error")
	if reason == "" {
		o.Null("incomplete_details")
	} else {
		o.Raw("incomplete_details", `{"reason":`+jsontext.Quote(reason)+`}`)
	}
	if x.ask.HasMax {
		o.Int("max_output_tokens", int64(x.ask.MaxTokens))
	} else {
		o.Null("max_output_tokens")
	}
	o.Text("model", r.model)
	o.Raw("output", jsontext.Array(items...))
	o.Raw("parallel_tool_calls", "true")
	o.Null("previous_response_id")
	o.Text("service_tier", "default")
	o.Raw("store", strconv.FormatBool(x.ask.Response.Store))
	o.Raw("text", `{"format":{"type":"text"}}`)
	o.Text("tool_choice", "auto")
	o.Raw("tools", "[]")
	over := status == "completed" || status == "incomplete" || status == "cancelled"
	if r.noUsage || !over {
		o.Null("usage")
	} else {
		o.Object("usage", x.responseUsage(r))
	}
	o.Raw("metadata", "{}")
	return o
}

func (x *exchange) responseUsage(r *reply) jsontext.Object {
	t := r.tokens
	if r.mode == "zero" {
		t = ledger.Tokens{}
	}
	input := t.InputTotal()
	if r.badUsage {
		input = -input
	}
	o := jsontext.New()
	o.Int("input_tokens", input)
	o.Raw("input_tokens_details", `{"cached_tokens":`+strconv.FormatInt(t.CacheRead, 10)+
		`,"cache_write_tokens":`+strconv.FormatInt(t.CacheWrite5m, 10)+`}`)
	o.Int("output_tokens", t.Output)
	o.Raw("output_tokens_details", `{"reasoning_tokens":`+strconv.FormatInt(t.Reasoning, 10)+`}`)
	o.Int("total_tokens", input+t.Output)
	return o
}

// A responseItem is an item of an answer before it takes its form.
type responseItem struct {
	kind, id, text string
	call           call
}

// responseParts are the items of an answer: reasoning, words, calls.
func (x *exchange) responseParts(c *choice, r *reply) (items []responseItem) {
	id := func(prefix string, n int) string { return ident(prefix, x.ask.Seed.With(r.id).WithInt(uint64(n)), 32) }
	if c.reasoned > 0 {
		it := responseItem{kind: "reasoning", id: id("rs_", 0)}
		if x.ask.Response.Summary {
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

func (x *exchange) responseItems(r *reply) (items []jsontext.Object) {
	for _, it := range x.responseParts(&r.choices[0], r) {
		items = append(items, x.responseItem(&it, true))
	}
	return items
}

// responseItem is an item as it is at its beginning, or whole.
func (x *exchange) responseItem(it *responseItem, whole bool) jsontext.Object {
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
		o := jsontext.Typed(it.kind)
		o.Text("id", it.id)
		o.Text("status", status)
		o.Text("call_id", it.call.id)
		o.Text("name", it.call.name)
		o.Text(field, shown.call.arguments)
		return o
	}
	o := jsontext.Typed("message")
	o.Text("id", it.id)
	o.Text("status", status)
	o.Text("role", "assistant")
	if whole {
		o.Raw("content", jsontext.Array(responsePart(it.kind, it.text)))
	} else {
		o.Raw("content", "[]")
	}
	return o
}

func (x *exchange) reasoningItem(it *responseItem) jsontext.Object {
	o := jsontext.Typed("reasoning")
	o.Text("id", it.id)
	var summary []jsontext.Object
	if it.text != "" {
		summary = append(summary, responsePart("summary", it.text))
	}
	o.Raw("summary", jsontext.Array(summary...))
	if x.ask.Response.Sealed {
		o.Text("encrypted_content", signature(it.id))
	}
	return o
}

// responsePart is a part of what an item says.
func responsePart(kind, text string) jsontext.Object {
	switch kind {
	case "refusal":
		o := jsontext.Typed("refusal")
		o.Text("refusal", text)
		return o
	case "summary":
		o := jsontext.Typed("summary_text")
		o.Text("text", text)
		return o
	}
	o := jsontext.Typed("output_text")
	o.Text("text", text)
	o.Raw("annotations", "[]")
	o.Raw("logprobs", "[]")
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
	if x.ask.Response.Background {
		begun = "queued"
	}
	s.state("created", begun, "", nil)
	if x.ask.Response.Background {
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
func (s *responseStreamer) state(name, status, reason string, items []jsontext.Object) {
	o := jsontext.Typed("response." + name)
	o.Object("response", s.responseObject(s.reply, status, reason, items))
	s.send(o, name == "completed" || name == "incomplete")
}

func (s *responseStreamer) send(o jsontext.Object, tail bool) {
	o.Int("sequence_number", int64(s.number))
	s.number++
	s.out.add(event(o, 0), s.tokens, tail)
}

// about begins an event about the item in hand.
func (s *responseStreamer) about(it *responseItem, kind string) jsontext.Object {
	o := jsontext.Typed("response." + kind)
	o.Text("item_id", it.id)
	o.Int("output_index", int64(s.index))
	return o
}

// item sends all of one item.
func (s *responseStreamer) item(it *responseItem, c *choice) {
	o := jsontext.Typed("response.output_item.added")
	o.Int("output_index", int64(s.index))
	o.Object("item", s.responseItem(it, false))
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
	o = jsontext.Typed("response.output_item.done")
	o.Int("output_index", int64(s.index))
	o.Object("item", s.responseItem(it, true))
	s.send(o, false)
	s.index++
}

func (s *responseStreamer) part(it *responseItem, name, field string) {
	o := s.about(it, "content_part.added")
	o.Int("content_index", 0)
	o.Object("part", responsePart(it.kind, ""))
	s.send(o, false)
	s.words(it, name, field, it.text)
	o = s.about(it, "content_part.done")
	o.Int("content_index", 0)
	o.Object("part", responsePart(it.kind, it.text))
	s.send(o, false)
}

func (s *responseStreamer) summary(it *responseItem) {
	if it.text == "" {
		return
	}
	o := s.about(it, "reasoning_summary_part.added")
	o.Int("summary_index", 0)
	o.Object("part", responsePart("summary", ""))
	s.send(o, false)
	s.words(it, "reasoning_summary_text", "text", it.text)
	o = s.about(it, "reasoning_summary_part.done")
	o.Int("summary_index", 0)
	o.Object("part", responsePart("summary", it.text))
	s.send(o, false)
}

// words sends a text in pieces, and then whole.
func (s *responseStreamer) words(it *responseItem, name, field, text string) {
	index := "content_index"
	if it.kind == "reasoning" {
		index = "summary_index"
	}
	before := s.tokens
	parts, tokens := chunks(text, s.ask.Seed)
	for i, part := range parts {
		s.tokens = before + tokens[i]
		o := s.about(it, name+".delta")
		o.Int(index, 0)
		o.Text("delta", part)
		s.send(o, false)
	}
	o := s.about(it, name+".done")
	o.Int(index, 0)
	o.Text(field, text)
	s.send(o, false)
}
