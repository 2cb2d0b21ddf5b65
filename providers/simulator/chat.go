package simulator

import (
	"fmt"
	"math"
	"strings"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/requests"
)

// chatBody renders a Chat answer, wrapped where the gateway wraps.
func (x *exchange) chatBody(r *reply) []byte {
	if x.ask.Protocol == requests.Envelope {
		return x.envelopeBody(r)
	}
	o := x.chatHead(r, "chat.completion")
	var choices []jsontext.Object
	for i := range r.choices {
		c := &r.choices[i]
		choice := jsontext.New()
		choice.Int("index", int64(i))
		choice.Object("message", x.chatMessage(c))
		x.chatLogprobs(&choice, x.visible(c))
		choice.Text("finish_reason", r.chatStop(c))
		choices = append(choices, choice)
	}
	o.Raw("choices", jsontext.Array(choices...))
	if !r.noUsage {
		o.Object("usage", x.chatUsage(r, r.tokens))
	}
	o.Text("service_tier", "default")
	o.Text("system_fingerprint", "fp_simulator")
	return o.End()
}

func (x *exchange) chatHead(r *reply, kind string) jsontext.Object {
	o := jsontext.New()
	o.Text("id", r.id)
	o.Text("object", kind)
	o.Int("created", r.created)
	o.Text("model", r.model)
	return o
}

func (x *exchange) chatMessage(c *choice) jsontext.Object {
	o := jsontext.New()
	o.Text("role", "assistant")
	x.chatText(&o, c)
	if c.refusal {
		o.Text("refusal", c.text)
	} else {
		o.Null("refusal")
	}
	if field := x.thinkingField(); field != "" && c.thinking != "" {
		o.Text(field, c.thinking)
	}
	if len(c.calls) > 0 && x.ask.Legacy {
		f := jsontext.New()
		f.Text("name", c.calls[0].name)
		f.Text("arguments", c.calls[0].arguments)
		o.Object("function_call", f)
	} else if len(c.calls) > 0 {
		var calls []jsontext.Object
		for _, call := range c.calls {
			calls = append(calls, chatCall(call))
		}
		o.Raw("tool_calls", jsontext.Array(calls...))
	}
	return o
}

// thinkingField is where thinking is shown as a field of its own.
func (x *exchange) thinkingField() string {
	switch f := x.model.ReasoningField; {
	case f == "think_tags":
		return ""
	case f == "" && x.ask.Protocol == requests.Chat && x.ask.Thinking && x.ask.Effort == "":
		return "reasoning_content" // asked for by the "thinking" extension, which shows it
	default:
		return f
	}
}

func (x *exchange) chatText(o *jsontext.Object, c *choice) {
	if c.null || c.refusal || c.text == "" && len(c.calls) > 0 {
		o.Null("content")
		return
	}
	o.Text("content", x.visible(c))
}

// visible is the text with its thinking in tags, for models that do so.
func (x *exchange) visible(c *choice) string {
	if x.model.ReasoningField == "think_tags" && c.thinking != "" {
		return "<think>" + c.thinking + "</think>\n" + c.text
	}
	return c.text
}

func chatCall(c call) jsontext.Object {
	kind, input := c.words()
	f := jsontext.New()
	f.Text("name", c.name)
	f.Text(input, c.arguments)
	o := jsontext.New()
	o.Text("id", c.id)
	o.Text("type", kind)
	o.Object(kind, f)
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
func (x *exchange) chatLogprobs(o *jsontext.Object, text string) {
	if !x.ask.Logprobs {
		o.Null("logprobs")
		return
	}
	x.tokenLogprobs(o, text, 0)
}

// tokenLogprobs writes the log probabilities of a piece of a text, whose first
// token is the text's from-th.
func (x *exchange) tokenLogprobs(o *jsontext.Object, text string, from int) {
	var tokens []jsontext.Object
	for i := from; len(text) > 0; i++ {
		n := answers.NextToken(text)
		p := -math.Pow(x.ask.Seed.WithInt(uint64(i)).Roll("logprob"), 6)
		t := tokenLogprob(text[:n], p)
		var top []jsontext.Object
		for k := range x.ask.TopLogprobs { // the token itself, then ever less likely ones
			other := text[:n]
			if k > 0 {
				other += strings.Repeat("~", k)
			}
			top = append(top, tokenLogprob(other, p-float64(k)))
		}
		t.Raw("top_logprobs", jsontext.Array(top...))
		tokens = append(tokens, t)
		text = text[n:]
	}
	o.Raw("logprobs", `{"content":`+jsontext.Array(tokens...)+`,"refusal":null}`)
}

func tokenLogprob(token string, p float64) jsontext.Object {
	o := jsontext.New()
	o.Text("token", token)
	o.Raw("logprob", fmt.Sprintf("%.6f", p))
	o.Null("bytes")
	return o
}

// envelopeBody is what the wrapping gateway answers: neither usage nor finish
// reason nor type.
func (x *exchange) envelopeBody(r *reply) []byte {
	message := jsontext.New()
	message.Text("role", "assistant")
	message.Text("content", r.choices[0].text)
	choice := jsontext.New()
	choice.Object("message", message)
	data := jsontext.New()
	data.Text("id", r.id)
	data.Text("model", r.model)
	data.Raw("choices", jsontext.Array(choice))
	o := jsontext.New()
	o.Raw("success", "true")
	o.Text("code", "200")
	o.Text("message", "successful")
	o.Object("data", data)
	return o.End()
}

func chunkEvent(o jsontext.Object) []byte {
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
func (s *chatStreamer) chunk(index int, delta jsontext.Object, finish string, tail bool) {
	c := jsontext.New()
	o := jsontext.New()
	if s.ask.Protocol == requests.Envelope {
		o.Text("id", s.reply.id)
		o.Text("model", s.reply.model)
		c.Object("delta", delta)
		o.Raw("choices", jsontext.Array(c))
		s.out.add(chunkEvent(o), s.tokens, tail)
		return
	}
	o = s.chatHead(s.reply, "chat.completion.chunk")
	o.Text("service_tier", "default")
	o.Text("system_fingerprint", "fp_simulator")
	c.Int("index", int64(index))
	c.Object("delta", delta)
	if s.piece != "" {
		s.tokenLogprobs(&c, s.piece, s.at)
	} else {
		c.Null("logprobs")
	}
	if finish == "" {
		c.Null("finish_reason")
	} else {
		c.Text("finish_reason", finish)
	}
	o.Raw("choices", jsontext.Array(c))
	s.chunkUsage(&o, finish != "" && index == len(s.reply.choices)-1)
	s.out.add(chunkEvent(o), s.tokens, tail)
}

// choice streams the content of one answer.
func (s *chatStreamer) choice(index int, c *choice) {
	first := jsontext.New()
	first.Text("role", "assistant")
	if s.ask.Protocol != requests.Envelope {
		if len(c.calls) > 0 && c.text == "" {
			first.Null("content")
		} else {
			first.Text("content", "")
		}
		first.Null("refusal")
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
	parts, tokens := chunks(text, s.ask.Seed)
	for i, part := range parts {
		s.tokens = before + tokens[i]
		d := jsontext.New()
		d.Text(field, part)
		if s.ask.Logprobs && field == "content" {
			s.piece = part
		}
		s.chunk(index, d, "", false)
		s.piece, s.at = "", tokens[i]
	}
	s.at = 0
}

func (s *chatStreamer) call(index, i int, c call) {
	if s.ask.Legacy {
		f := jsontext.New()
		f.Text("name", c.name)
		f.Text("arguments", c.arguments)
		d := jsontext.New()
		d.Object("function_call", f)
		s.chunk(index, d, "", false)
		return
	}
	kind, input := c.words()
	o := chatCall(call{c.id, c.name, "", c.custom})
	s.chunk(index, callDelta(i, o), "", false)
	parts, _ := chunks(c.arguments, s.ask.Seed)
	for _, part := range parts {
		f := jsontext.New()
		f.Text(input, part)
		o := jsontext.New()
		o.Object(kind, f)
		s.chunk(index, callDelta(i, o), "", false)
	}
}

// callDelta wraps a piece of the i-th tool call.
func callDelta(i int, piece jsontext.Object) jsontext.Object {
	o := jsontext.New()
	o.Int("index", int64(i))
	o = append(append(o, ','), piece[1:]...)
	d := jsontext.New()
	d.Raw("tool_calls", jsontext.Array(o))
	return d
}

func (s *chatStreamer) finish(index int, c *choice, last bool) {
	if s.ask.Protocol == requests.Envelope {
		return // these streams end with [DONE] alone
	}
	finish := s.reply.chatStop(c)
	if s.ask.Legacy && finish == "tool_calls" {
		finish = "function_call"
	}
	s.chunk(index, jsontext.New(), finish, true)
}

// usage sends the chunk that holds usage alone.
func (s *chatStreamer) usage() {
	o := s.chatHead(s.reply, "chat.completion.chunk")
	o.Text("service_tier", "default")
	o.Text("system_fingerprint", "fp_simulator")
	o.Raw("choices", "[]")
	o.Object("usage", s.chatUsage(s.reply, s.reply.tokens))
	s.out.add(chunkEvent(o), s.tokens, true)
}
