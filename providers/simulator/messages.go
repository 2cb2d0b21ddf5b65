package simulator

import (
	"strings"

	"nightshift/providers/simulator/internal/random"
)

// messagesBody renders a Messages answer.
func (x *exchange) messagesBody(r *reply) []byte {
	c := &r.choices[0]
	o := newObject()
	o.text("id", r.id)
	o.text("type", "message")
	o.text("role", "assistant")
	o.text("model", r.model)
	o.raw("content", array(contentBlocks(c)...))
	x.messagesEnd(&o, c)
	if !r.noUsage {
		o.object("usage", x.messagesUsage(r, true))
	}
	return o.end()
}

// messagesEnd writes why the answer ended.
func (x *exchange) messagesEnd(o *object, c *choice) {
	o.text("stop_reason", messagesStop(c.stop))
	if c.stop == stopSequence {
		o.text("stop_sequence", c.sequence)
	} else {
		o.null("stop_sequence")
	}
	if c.stop == stopRefusal {
		o.raw("stop_details", `{"type":"refusal","category":"general_harms","explanation":"The request was declined by a safety classifier."}`)
	}
}

// signature stands for the vendor's opaque one.
func signature(thinking string) string {
	return ident("Eq", random.Start.With(thinking), 86) + "=="
}

func contentBlocks(c *choice) []object {
	var blocks []object
	if c.thinking != "" {
		o := newObject()
		o.text("type", "thinking")
		o.text("thinking", c.thinking)
		o.text("signature", signature(c.thinking))
		blocks = append(blocks, o)
	}
	if c.text != "" {
		o := newObject()
		o.text("type", "text")
		o.text("text", c.text)
		blocks = append(blocks, o)
	}
	for _, call := range c.calls {
		o := newObject()
		o.text("type", "tool_use")
		o.text("id", call.id)
		o.text("name", call.name)
		o.raw("input", call.arguments)
		blocks = append(blocks, o)
	}
	return blocks
}

// event writes one Messages event, padded before its last brace as the
// vendor's are.
func event(o object, padding int) []byte {
	data := o.end()
	kind := string(data[len(`{"type":"`):])
	kind, _, _ = strings.Cut(kind, `"`)
	b := make([]byte, 0, len(data)+len(kind)+padding+20)
	b = append(b, "event: "...)
	b = append(b, kind...)
	b = append(b, "\ndata: "...)
	b = append(b, data[:len(data)-1]...)
	for range padding {
		b = append(b, ' ')
	}
	return append(b, "}\n\n"...)
}

func typed(kind string) object {
	o := newObject()
	o.text("type", kind)
	return o
}

// messagesStream renders a Messages answer as a stream of events.
func (x *exchange) messagesStream(r *reply) rendering {
	c := &r.choices[0]
	s := streamer{exchange: x, reply: r}
	s.out = rendering{status: 200, contentType: "text/event-stream; charset=utf-8"}
	s.start()
	if c.thinking != "" {
		s.thinking(c)
	}
	if c.text != "" {
		s.text(c.text)
	}
	for _, call := range c.calls {
		s.call(call)
	}
	end := typed("message_delta")
	delta := newObject()
	x.messagesEnd(&delta, c)
	end.object("delta", delta)
	if !r.noUsage {
		end.object("usage", x.messagesUsage(r, true))
	}
	s.tokens = c.output
	s.send(end, true)
	if r.twice {
		s.send(end, true)
	}
	s.send(typed("message_stop"), true)
	return s.out
}

// A streamer renders the parts of one stream.
type streamer struct {
	*exchange
	*reply
	out    rendering
	block  int
	tokens int
}

func (s *streamer) send(o object, tail bool) {
	padding := s.ask.seed.WithInt(uint64(len(s.out.pieces))).Below("padding", 16)
	s.out.add(event(o, padding), s.tokens, tail)
}

func (s *streamer) start() {
	m := newObject()
	m.text("model", s.reply.model)
	m.text("id", s.reply.id)
	m.text("type", "message")
	m.text("role", "assistant")
	m.raw("content", "[]")
	m.null("stop_reason")
	m.null("stop_sequence")
	if !s.noUsage {
		m.object("usage", s.messagesUsage(s.reply, false))
	}
	o := typed("message_start")
	o.object("message", m)
	s.send(o, false)
}

// open starts a content block.
func (s *streamer) open(content object) {
	o := typed("content_block_start")
	o.int("index", int64(s.block))
	o.object("content_block", content)
	s.send(o, false)
	if s.block == 0 {
		s.send(typed("ping"), false)
	}
}

func (s *streamer) delta(kind, field, value string) {
	d := typed(kind)
	d.text(field, value)
	o := typed("content_block_delta")
	o.int("index", int64(s.block))
	o.object("delta", d)
	s.send(o, false)
}

func (s *streamer) close() {
	o := typed("content_block_stop")
	o.int("index", int64(s.block))
	s.send(o, false)
	s.block++
}

// deltas sends a text piece by piece.
func (s *streamer) deltas(kind, field, text string) {
	before := s.tokens
	parts, tokens := chunks(text, s.ask.seed)
	for i, part := range parts {
		s.tokens = before + tokens[i]
		s.delta(kind, field, part)
	}
}

func (s *streamer) thinking(c *choice) {
	o := typed("thinking")
	o.text("thinking", "")
	o.text("signature", "")
	s.open(o)
	s.deltas("thinking_delta", "thinking", c.thinking)
	s.delta("signature_delta", "signature", signature(c.thinking))
	s.close()
}

func (s *streamer) text(text string) {
	o := typed("text")
	o.text("text", "")
	s.open(o)
	s.deltas("text_delta", "text", text)
	s.close()
}

func (s *streamer) call(c call) {
	o := typed("tool_use")
	o.text("id", c.id)
	o.text("name", c.name)
	o.raw("input", "{}")
	s.open(o)
	s.delta("input_json_delta", "partial_json", "")
	if c.arguments != "{}" {
		s.deltas("input_json_delta", "partial_json", c.arguments)
	}
	s.close()
}
