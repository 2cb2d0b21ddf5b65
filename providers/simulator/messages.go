package simulator

import (
	"strings"

	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/random"
)

// messagesBody renders a Messages answer.
func (x *exchange) messagesBody(r *reply) []byte {
	c := &r.choices[0]
	o := jsontext.New()
	o.Text("id", r.id)
	o.Text("type", "message")
	o.Text("role", "assistant")
	o.Text("model", r.model)
	o.Raw("content", jsontext.Array(contentBlocks(c)...))
	x.messagesEnd(&o, c)
	if !r.noUsage {
		o.Object("usage", x.messagesUsage(r, true))
	}
	return o.End()
}

// messagesEnd writes why the answer ended.
func (x *exchange) messagesEnd(o *jsontext.Object, c *choice) {
	o.Text("stop_reason", messagesStop(c.stop))
	if c.stop == stopSequence {
		o.Text("stop_sequence", c.sequence)
	} else {
		o.Null("stop_sequence")
	}
	if c.stop == stopRefusal {
		o.Raw("stop_details",
			`{"type":"refusal","category":"general_harms","explanation":"The request was declined by a safety classifier."}`)
	}
}

// signature stands for the vendor's opaque one.
func signature(thinking string) string {
	return ident("Eq", random.Start.With(thinking), 86) + "=="
}

func contentBlocks(c *choice) []jsontext.Object {
	var blocks []jsontext.Object
	if c.thinking != "" {
		o := jsontext.New()
		o.Text("type", "thinking")
		o.Text("thinking", c.thinking)
		o.Text("signature", signature(c.thinking))
		blocks = append(blocks, o)
	}
	if c.text != "" {
		o := jsontext.New()
		o.Text("type", "text")
		o.Text("text", c.text)
		blocks = append(blocks, o)
	}
	for _, call := range c.calls {
		o := jsontext.New()
		o.Text("type", "tool_use")
		o.Text("id", call.id)
		o.Text("name", call.name)
		o.Raw("input", call.arguments)
		blocks = append(blocks, o)
	}
	return blocks
}

// event writes one Messages event, padded before its last brace as the
// vendor's are.
func event(o jsontext.Object, padding int) []byte {
	data := o.End()
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
	end := jsontext.Typed("message_delta")
	delta := jsontext.New()
	x.messagesEnd(&delta, c)
	end.Object("delta", delta)
	if !r.noUsage {
		end.Object("usage", x.messagesUsage(r, true))
	}
	s.tokens = c.output
	s.send(end, true)
	if r.twice {
		s.send(end, true)
	}
	s.send(jsontext.Typed("message_stop"), true)
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

func (s *streamer) send(o jsontext.Object, tail bool) {
	padding := s.ask.Seed.WithInt(uint64(len(s.out.pieces))).Below("padding", 16)
	s.out.add(event(o, padding), s.tokens, tail)
}

func (s *streamer) start() {
	m := jsontext.New()
	m.Text("model", s.reply.model)
	m.Text("id", s.reply.id)
	m.Text("type", "message")
	m.Text("role", "assistant")
	m.Raw("content", "[]")
	m.Null("stop_reason")
	m.Null("stop_sequence")
	if !s.noUsage {
		m.Object("usage", s.messagesUsage(s.reply, false))
	}
	o := jsontext.Typed("message_start")
	o.Object("message", m)
	s.send(o, false)
}

// open starts a content block.
func (s *streamer) open(content jsontext.Object) {
	o := jsontext.Typed("content_block_start")
	o.Int("index", int64(s.block))
	o.Object("content_block", content)
	s.send(o, false)
	if s.block == 0 {
		s.send(jsontext.Typed("ping"), false)
	}
}

func (s *streamer) delta(kind, field, value string) {
	d := jsontext.Typed(kind)
	d.Text(field, value)
	o := jsontext.Typed("content_block_delta")
	o.Int("index", int64(s.block))
	o.Object("delta", d)
	s.send(o, false)
}

func (s *streamer) close() {
	o := jsontext.Typed("content_block_stop")
	o.Int("index", int64(s.block))
	s.send(o, false)
	s.block++
}

// deltas sends a text piece by piece.
func (s *streamer) deltas(kind, field, text string) {
	before := s.tokens
	parts, tokens := chunks(text, s.ask.Seed)
	for i, part := range parts {
		s.tokens = before + tokens[i]
		s.delta(kind, field, part)
	}
}

func (s *streamer) thinking(c *choice) {
	o := jsontext.Typed("thinking")
	o.Text("thinking", "")
	o.Text("signature", "")
	s.open(o)
	s.deltas("thinking_delta", "thinking", c.thinking)
	s.delta("signature_delta", "signature", signature(c.thinking))
	s.close()
}

func (s *streamer) text(text string) {
	o := jsontext.Typed("text")
	o.Text("text", "")
	s.open(o)
	s.deltas("text_delta", "text", text)
	s.close()
}

func (s *streamer) call(c call) {
	o := jsontext.Typed("tool_use")
	o.Text("id", c.id)
	o.Text("name", c.name)
	o.Raw("input", "{}")
	s.open(o)
	s.delta("input_json_delta", "partial_json", "")
	if c.arguments != "{}" {
		s.deltas("input_json_delta", "partial_json", c.arguments)
	}
	s.close()
}
