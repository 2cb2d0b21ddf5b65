package simulator

import (
	"fmt"
	"unicode/utf8"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/jsontext"
	"nightshift/providers/simulator/internal/random"
)

// complete fills a reply with n texts for each prompt; best_of of them are
// billed.
func (x *exchange) complete(r *reply) {
	a := x.ask
	spare := 0
	for _, prompt := range a.Completion.Prompts {
		a.Question = prompt
		for i := range a.Completion.BestOf {
			s := a.Seed.With(prompt)
			if i > 0 {
				s = s.WithInt(uint64(i))
			}
			c := x.choose(s)
			if i < a.N {
				r.choices = append(r.choices, c)
			} else {
				spare += c.output
			}
		}
	}
	r.count()
	r.tokens.Output += int64(spare)
}

// promptOf is the prompt that a choice goes on with.
func (x *exchange) promptOf(choice int) string {
	prompts := x.ask.Completion.Prompts
	return prompts[min(choice/x.ask.N, len(prompts)-1)]
}

// completionHead begins an answer or a chunk.
func (x *exchange) completionHead(r *reply) jsontext.Object {
	o := jsontext.New()
	o.Text("id", r.id)
	o.Text("object", "text_completion")
	o.Int("created", r.created)
	o.Text("model", r.model)
	return o
}

// completionBody renders a whole answer.
func (x *exchange) completionBody(r *reply) []byte {
	o := x.completionHead(r)
	var choices []jsontext.Object
	for i := range r.choices {
		c := &r.choices[i]
		prompt := x.promptOf(i)
		piece := completionPiece{index: i, text: c.text, to: len(c.text), finish: r.chatStop(c), null: c.null}
		if x.ask.Completion.Echo {
			piece.text, piece.to = prompt+c.text, len(prompt)+len(c.text)
		}
		choice := x.completionChoice(piece)
		if x.ask.Completion.PromptLogprobs {
			choice.Raw("prompt_logprobs", x.promptLogprobs(prompt))
		}
		choices = append(choices, choice)
	}
	o.Raw("choices", jsontext.Array(choices...))
	if !r.noUsage {
		o.Object("usage", x.chatUsage(r, r.tokens))
	}
	return o.End()
}

// A completionPiece is a part of the text of one choice.
type completionPiece struct {
	index    int
	text     string // the whole
	from, to int    // the part
	finish   string // empty for none yet
	null     bool   // no text at all
}

func (x *exchange) completionChoice(p completionPiece) jsontext.Object {
	o := jsontext.New()
	if p.null {
		o.Null("text")
	} else {
		o.Text("text", p.text[p.from:p.to])
	}
	o.Int("index", int64(p.index))
	if x.ask.Completion.Logprobs < 0 || p.to == p.from {
		o.Null("logprobs")
	} else {
		o.Object("logprobs", x.completionLogprobs(p))
	}
	if p.finish == "" {
		o.Null("finish_reason")
	} else {
		o.Text("finish_reason", p.finish)
	}
	return o
}

// completionLogprobs writes the log-probabilities of a part's tokens. Models
// that give none of the prompt leave them out, as llama.cpp does.
func (x *exchange) completionLogprobs(p completionPiece) jsontext.Object {
	context, own := x.promptOf(p.index), 0
	if x.ask.Completion.Echo {
		context, own = "", len(x.promptOf(p.index))
	}
	var tokens, probabilities, tops, offsets listOf
	for _, t := range x.logprobs(context + p.text) {
		at := t.At - len(context)
		if at < p.from || at >= p.to || at < own && x.model.NoPromptLogprobs {
			continue
		}
		tokens.add(jsontext.Quote(t.Text))
		if t.At == 0 {
			probabilities.add("null")
			tops.add("null")
		} else {
			probabilities.add(number(t.Logprob))
			tops.add(x.alternatives(t))
		}
		offsets.add(itoa(utf8.RuneCountInString(p.text[:at])))
	}
	o := jsontext.New()
	o.Raw("tokens", tokens.String())
	o.Raw("token_logprobs", probabilities.String())
	o.Raw("top_logprobs", tops.String())
	o.Raw("text_offset", offsets.String())
	return o
}

// alternatives writes the token itself, then ever less likely ones.
func (x *exchange) alternatives(t answers.Token) string {
	o := jsontext.New()
	text, p := t.Text, t.Logprob
	for range max(1, x.ask.Completion.Logprobs) {
		o.Raw(text, number(p))
		text, p = text+"~", p-1
	}
	return o.String()
}

// promptLogprobs writes the log-probabilities of a prompt in vLLM's form.
func (x *exchange) promptLogprobs(prompt string) string {
	if x.model.NoPromptLogprobs {
		return "null"
	}
	var list listOf
	for i, t := range x.logprobs(prompt) {
		if i == 0 {
			list.add("null")
			continue
		}
		o := jsontext.New()
		o.Raw("logprob", number(t.Logprob))
		o.Int("rank", 1)
		o.Text("decoded_token", t.Text)
		byID := jsontext.New()
		byID.Object(itoa(1000+i), o)
		list.add(byID.String())
	}
	return list.String()
}

// logprobs are what the model of the request thinks of a text.
func (x *exchange) logprobs(text string) []answers.Token {
	m := answers.Model{Name: x.ask.Model, Skill: x.model.Skill, Known: x.server.cfg.Answers}
	m.Seed = random.Start.WithInt(x.server.cfg.Seed)
	return m.Logprobs(text)
}

func number(p float64) string { return fmt.Sprintf("%.6f", p) }

// A listOf is a JSON list in the making.
type listOf []byte

func (l *listOf) add(value string) {
	if len(*l) > 0 {
		*l = append(*l, ',')
	}
	*l = append(*l, value...)
}

func (l listOf) String() string { return "[" + string(l) + "]" }

// completionStream renders an answer as chunks. The choices follow one another.
func (x *exchange) completionStream(r *reply) rendering {
	out := rendering{status: 200, contentType: "text/event-stream; charset=utf-8"}
	tokens := 0
	for i := range r.choices {
		x.streamCompletion(&out, r, i, tokens)
		tokens += r.choices[i].output
	}
	if x.usageInLastChunk(r) {
		last := x.completionHead(r)
		last.Raw("choices", "[]")
		last.Object("usage", x.chatUsage(r, r.tokens))
		out.add(chunkEvent(last), tokens, true)
		if r.twice {
			out.add(chunkEvent(last), tokens, true)
		}
	}
	out.add([]byte("data: [DONE]\n\n"), tokens, true)
	return out
}

// streamCompletion streams one choice, of which tokens were written before.
func (x *exchange) streamCompletion(out *rendering, r *reply, i, tokens int) {
	c := &r.choices[i]
	p := completionPiece{index: i, text: c.text}
	if x.ask.Completion.Echo {
		p.text, p.to = x.promptOf(i)+c.text, len(x.promptOf(i))
		out.add(x.completionChunk(r, p, false), tokens, false)
		p.from = p.to
	}
	parts, upTo := chunks(c.text, x.ask.Seed)
	for k, part := range parts {
		p.to = p.from + len(part)
		out.add(x.completionChunk(r, p, false), tokens+upTo[k], false)
		p.from = p.to
	}
	p.to, p.finish = p.from, r.chatStop(c)
	out.add(x.completionChunk(r, p, i == len(r.choices)-1), tokens+c.output, true)
}

func (x *exchange) completionChunk(r *reply, p completionPiece, last bool) []byte {
	o := x.completionHead(r)
	o.Raw("choices", jsontext.Array(x.completionChoice(p)))
	s := chatStreamer{exchange: x, reply: r, tokens: int(r.tokens.Output)}
	s.chunkUsage(&o, last && p.finish != "")
	return chunkEvent(o)
}
