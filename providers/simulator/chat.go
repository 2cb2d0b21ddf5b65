package simulator

import (
	"fmt"
	"math"
	"strings"

	"nightshift/providers/simulator/internal/answers"
)

// chatBody renders a Chat answer, wrapped where the gateway wraps.
func (x *exchange) chatBody(r *reply) []byte {
	if x.ask.protocol == envelope {
		return x.envelopeBody(r)
	}
	o := x.chatHead(r, "chat.completion")
	var choices []object
	for i := range r.choices {
		c := &r.choices[i]
		choice := newObject()
		choice.int("index", int64(i))
		choice.object("message", x.chatMessage(c))
		x.chatLogprobs(&choice, x.visible(c))
		choice.text("finish_reason", r.chatStop(c))
		choices = append(choices, choice)
	}
	o.raw("choices", array(choices...))
	if !r.noUsage {
		o.object("usage", x.chatUsage(r, r.tokens))
	}
	o.text("service_tier", "default")
	o.text("system_fingerprint", "fp_simulator")
	return o.end()
}

func (x *exchange) chatHead(r *reply, kind string) object {
	o := newObject()
	o.text("id", r.id)
	o.text("object", kind)
	o.int("created", r.created)
	o.text("model", r.model)
	return o
}

func (x *exchange) chatMessage(c *choice) object {
	o := newObject()
	o.text("role", "assistant")
	x.chatText(&o, c)
	if c.refusal {
		o.text("refusal", c.text)
	} else {
		o.null("refusal")
	}
	if field := x.thinkingField(); field != "" && c.thinking != "" {
		o.text(field, c.thinking)
	}
	if len(c.calls) > 0 && x.ask.legacy {
		f := newObject()
		f.text("name", c.calls[0].name)
		f.text("arguments", c.calls[0].arguments)
		o.object("function_call", f)
	} else if len(c.calls) > 0 {
		var calls []object
		for _, call := range c.calls {
			calls = append(calls, chatCall(call))
		}
		o.raw("tool_calls", array(calls...))
	}
	return o
}

// thinkingField is where thinking is shown as a field of its own.
func (x *exchange) thinkingField() string {
	switch f := x.model.ReasoningField; {
	case f == "think_tags":
		return ""
	case f == "" && x.ask.protocol == chat && x.ask.thinking && x.ask.effort == "":
		return "reasoning_content" // asked for by the "thinking" extension, which shows it
	default:
		return f
	}
}

func (x *exchange) chatText(o *object, c *choice) {
	if c.null || c.refusal || c.text == "" && len(c.calls) > 0 {
		o.null("content")
		return
	}
	o.text("content", x.visible(c))
}

// visible is the text with its thinking in tags, for models that do so.
func (x *exchange) visible(c *choice) string {
	if x.model.ReasoningField == "think_tags" && c.thinking != "" {
		return "<think>" + c.thinking + "</think>\n" + c.text
	}
	return c.text
}

func chatCall(c call) object {
	kind, input := c.words()
	f := newObject()
	f.text("name", c.name)
	f.text(input, c.arguments)
	o := newObject()
	o.text("id", c.id)
	o.text("type", kind)
	o.object(kind, f)
	return o
}

// words are the type of a call and the name of its arguments.
func (c call) words() (kind, input string) {
	if c.custom {
		return "custom", "input"
	}
	return "function", "arguments"
}

// chatLogprobs writes log probabilities for the tokens of a text, where asked.
func (x *exchange) chatLogprobs(o *object, text string) {
	if !x.ask.logprobs {
		o.null("logprobs")
		return
	}
	x.tokenLogprobs(o, text, 0)
}

// tokenLogprobs writes the log probabilities of a piece of a text, whose first
// token is the text's from-th.
func (x *exchange) tokenLogprobs(o *object, text string, from int) {
	var tokens []object
	for i := from; len(text) > 0; i++ {
		n := answers.NextToken(text)
		p := -math.Pow(x.ask.seed.WithInt(uint64(i)).Roll("logprob"), 6)
		t := tokenLogprob(text[:n], p)
		var top []object
		for k := range x.ask.topLogprobs { // the token itself, then ever less likely ones
			other := text[:n]
			if k > 0 {
				other += strings.Repeat("~", k)
			}
			top = append(top, tokenLogprob(other, p-float64(k)))
		}
		t.raw("top_logprobs", array(top...))
		tokens = append(tokens, t)
		text = text[n:]
	}
	o.raw("logprobs", `{"content":`+array(tokens...)+`,"refusal":null}`)
}

func tokenLogprob(token string, p float64) object {
	o := newObject()
	o.text("token", token)
	o.raw("logprob", fmt.Sprintf("%.6f", p))
	o.null("bytes")
	return o
}

// envelopeBody is what the wrapping gateway answers: neither usage nor finish
// reason nor type.
func (x *exchange) envelopeBody(r *reply) []byte {
	message := newObject()
	message.text("role", "assistant")
	message.text("content", r.choices[0].text)
	choice := newObject()
	choice.object("message", message)
	data := newObject()
	data.text("id", r.id)
	data.text("model", r.model)
	data.raw("choices", array(choice))
	o := newObject()
	o.raw("success", "true")
	o.text("code", "200")
	o.text("message", "successful")
	o.object("data", data)
	return o.end()
}

func chunkEvent(o object) []byte {
	b := append([]byte("data: "), o...)
	return append(b, "}\n\n"...)
}

// A chatStreamer renders the chunks of one stream.
type chatStreamer struct {
	*exchange
	reply  *reply
	out    rendering
	tokens int

	piece string // of the text, in the chunk that comes; for its log probabilities
	at    int    // tokens of the text before it
}

// chatStream renders a Chat answer as chunks. The choices follow one another.
func (x *exchange) chatStream(r *reply) rendering {
	s := chatStreamer{exchange: x, reply: r}
	s.out = rendering{status: 200, contentType: "text/event-stream; charset=utf-8"}
	for i := range r.choices {
		s.choice(i, &r.choices[i])
	}
	for i := range r.choices {
		s.finish(i, &r.choices[i], i == len(r.choices)-1)
	}
	if x.usageInLastChunk(r) {
		s.usage()
		if r.twice {
			s.usage()
		}
	}
	s.out.add([]byte("data: [DONE]\n\n"), s.tokens, true)
	return s.out
}

// chunk sends one chunk with a delta for one choice.
func (s *chatStreamer) chunk(index int, delta object, finish string, tail bool) {
	c := newObject()
	o := newObject()
	if s.ask.protocol == envelope {
		o.text("id", s.reply.id)
		o.text("model", s.reply.model)
		c.object("delta", delta)
		o.raw("choices", array(c))
		s.out.add(chunkEvent(o), s.tokens, tail)
		return
	}
	o = s.chatHead(s.reply, "chat.completion.chunk")
	o.text("service_tier", "default")
	o.text("system_fingerprint", "fp_simulator")
	c.int("index", int64(index))
	c.object("delta", delta)
	if s.piece != "" {
		s.tokenLogprobs(&c, s.piece, s.at)
	} else {
		c.null("logprobs")
	}
	if finish == "" {
		c.null("finish_reason")
	} else {
		c.text("finish_reason", finish)
	}
	o.raw("choices", array(c))
	s.chunkUsage(&o, finish != "" && index == len(s.reply.choices)-1)
	s.out.add(chunkEvent(o), s.tokens, tail)
}

// choice streams the content of one answer.
func (s *chatStreamer) choice(index int, c *choice) {
	first := newObject()
	first.text("role", "assistant")
	if s.ask.protocol != envelope {
		if len(c.calls) > 0 && c.text == "" {
			first.null("content")
		} else {
			first.text("content", "")
		}
		first.null("refusal")
	}
	s.chunk(index, first, "", false)
	before := s.tokens
	if field := s.thinkingField(); field != "" && c.thinking != "" {
		s.deltas(index, field, c.thinking)
	} else {
		s.tokens += c.reasoned
	}
	field := "content"
	if c.refusal {
		field = "refusal"
	}
	if !c.null {
		s.deltas(index, field, s.visible(c))
	}
	for i, call := range c.calls {
		s.call(index, i, call)
	}
	s.tokens = before + c.output
}

func (s *chatStreamer) deltas(index int, field, text string) {
	before := s.tokens
	parts, tokens := chunks(text, s.ask.seed)
	for i, part := range parts {
		s.tokens = before + tokens[i]
		d := newObject()
		d.text(field, part)
		if s.ask.logprobs && field == "content" {
			s.piece = part
		}
		s.chunk(index, d, "", false)
		s.piece, s.at = "", tokens[i]
	}
	s.at = 0
}

func (s *chatStreamer) call(index, i int, c call) {
	if s.ask.legacy {
		f := newObject()
		f.text("name", c.name)
		f.text("arguments", c.arguments)
		d := newObject()
		d.object("function_call", f)
		s.chunk(index, d, "", false)
		return
	}
	kind, input := c.words()
	o := chatCall(call{c.id, c.name, "", c.custom})
	s.chunk(index, callDelta(i, o), "", false)
	parts, _ := chunks(c.arguments, s.ask.seed)
	for _, part := range parts {
		f := newObject()
		f.text(input, part)
		o := newObject()
		o.object(kind, f)
		s.chunk(index, callDelta(i, o), "", false)
	}
}

// callDelta wraps a piece of the i-th tool call.
func callDelta(i int, piece object) object {
	o := newObject()
	o.int("index", int64(i))
	o = append(append(o, ','), piece[1:]...)
	d := newObject()
	d.raw("tool_calls", array(o))
	return d
}

func (s *chatStreamer) finish(index int, c *choice, last bool) {
	if s.ask.protocol == envelope {
		return // these streams end with [DONE] alone
	}
	finish := s.reply.chatStop(c)
	if s.ask.legacy && finish == "tool_calls" {
		finish = "function_call"
	}
	s.chunk(index, newObject(), finish, true)
}

// usage sends the chunk that holds usage alone.
func (s *chatStreamer) usage() {
	o := s.chatHead(s.reply, "chat.completion.chunk")
	o.text("service_tier", "default")
	o.text("system_fingerprint", "fp_simulator")
	o.raw("choices", "[]")
	o.object("usage", s.chatUsage(s.reply, s.reply.tokens))
	s.out.add(chunkEvent(o), s.tokens, true)
}
