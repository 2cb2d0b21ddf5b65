package simulator

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/random"
)

// completions is the format of legacy text completions. Its errors, headers and
// usage are Chat's.
const completions protocol = "completions"

// likeChat reports whether errors and headers are those of Chat Completions.
func (p protocol) likeChat() bool { return p == chat || p == completions || p == responses }

// A continuation is what only a request for a text completion says.
type continuation struct {
	prompts        []string
	echo           bool
	logprobs       int // alternatives to each token; -1 asks for no log-probabilities
	promptLogprobs bool
	bestOf         int // answers that are generated for each prompt
}

// wireContinuation are the fields that Chat does not have, or has otherwise.
type wireContinuation struct {
	Prompt         json.RawMessage `json:"prompt"`
	Suffix         string          `json:"suffix"`
	Echo           bool            `json:"echo"`
	Logprobs       *int            `json:"logprobs"`
	PromptLogprobs *int            `json:"prompt_logprobs"`
	BestOf         *int            `json:"best_of"`
}

// defaultCompletion is how many tokens a request may have that does not say.
const defaultCompletion = 16

// parseCompletion reads the body of a request for a text completion.
func parseCompletion(body []byte) (*ask, error) {
	var own wireContinuation
	if err := json.Unmarshal(body, &own); err != nil {
		return nil, &requestError{message: "The request body is not valid JSON: " + err.Error()}
	}
	w, err := sharedFields(body)
	if err != nil {
		return nil, err
	}
	a := &ask{protocol: completions, stream: w.Stream, n: 1, model: *w.Model}
	if a.completion, err = own.read(); err != nil {
		return nil, err
	}
	if w.MaxTokens == nil {
		w.MaxTokens = new(int)
		*w.MaxTokens = defaultCompletion
	}
	if err := a.readCaps(w); err != nil {
		return nil, err
	}
	if w.Seed != nil {
		a.seed = random.Start.WithInt(uint64(*w.Seed))
	}
	return a, a.readPrompts(own)
}

// sharedFields reads the fields that are as in Chat.
func sharedFields(body []byte) (*wireAsk, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, &requestError{message: "The request body is not a JSON object"}
	}
	delete(fields, "logprobs") // a number here
	rest, err := json.Marshal(fields)
	w := &wireAsk{}
	if err == nil {
		err = json.Unmarshal(rest, w)
	}
	if err != nil {
		return nil, &requestError{message: "The request body is not valid: " + err.Error()}
	}
	if w.Model == nil || *w.Model == "" {
		return nil, missing(completions, "model")
	}
	return w, nil
}

func (w wireContinuation) read() (*continuation, error) {
	c := &continuation{echo: w.Echo, logprobs: -1, promptLogprobs: w.PromptLogprobs != nil, bestOf: 1}
	if w.Logprobs != nil {
		if *w.Logprobs < 0 || *w.Logprobs > 5 {
			return nil, invalid("logprobs", "logprobs: must be between 0 and 5, got %d", *w.Logprobs)
		}
		c.logprobs = *w.Logprobs
	}
	if w.BestOf != nil {
		if *w.BestOf < 1 || *w.BestOf > 20 {
			return nil, invalid("best_of", "best_of: must be between 1 and 20, got %d", *w.BestOf)
		}
		c.bestOf = *w.BestOf
	}
	var one string
	switch {
	case len(w.Prompt) == 0:
		return nil, missing(completions, "prompt")
	case json.Unmarshal(w.Prompt, &one) == nil:
		c.prompts = []string{one}
	case json.Unmarshal(w.Prompt, &c.prompts) != nil || len(c.prompts) == 0:
		return nil, invalid("prompt", "prompt: must be a string or an array of strings")
	}
	return c, nil
}

// readPrompts settles what several fields say together.
func (a *ask) readPrompts(w wireContinuation) error {
	c := a.completion
	c.bestOf = max(c.bestOf, a.n)
	switch {
	case w.BestOf != nil && *w.BestOf < a.n:
		return invalid("best_of", "best_of: must be at least n")
	case a.maxTokens == 0 && !c.echo:
		return invalid("max_tokens", "max_tokens: must be at least 1 without echo, got 0")
	case a.stream && w.BestOf != nil && c.bestOf > 1:
		return invalid("best_of", "best_of: cannot be streamed")
	case a.stream && c.promptLogprobs:
		return invalid("prompt_logprobs", "prompt_logprobs: cannot be streamed")
	}
	for _, prompt := range c.prompts {
		a.turns = append(a.turns, turn{role: "user", text: prompt})
		a.inputTokens += answers.CountTokens(prompt)
	}
	a.inputTokens += answers.CountTokens(w.Suffix)
	a.question = c.prompts[len(c.prompts)-1]
	a.key = a.conversation()
	return nil
}

// complete fills a reply with n texts for each prompt; best_of of them are
// billed.
func (x *exchange) complete(r *reply) {
	a := x.ask
	spare := 0
	for _, prompt := range a.completion.prompts {
		a.question = prompt
		for i := range a.completion.bestOf {
			s := a.seed.With(prompt)
			if i > 0 {
				s = s.WithInt(uint64(i))
			}
			c := x.choose(s)
			if i < a.n {
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
	prompts := x.ask.completion.prompts
	return prompts[min(choice/x.ask.n, len(prompts)-1)]
}

// completionHead begins an answer or a chunk.
func (x *exchange) completionHead(r *reply) object {
	o := newObject()
	o.text("id", r.id)
	o.text("object", "text_completion")
	o.int("created", r.created)
	o.text("model", r.model)
	return o
}

// completionBody renders a whole answer.
func (x *exchange) completionBody(r *reply) []byte {
	o := x.completionHead(r)
	var choices []object
	for i := range r.choices {
		c := &r.choices[i]
		prompt := x.promptOf(i)
		piece := completionPiece{index: i, text: c.text, to: len(c.text), finish: r.chatStop(c), null: c.null}
		if x.ask.completion.echo {
			piece.text, piece.to = prompt+c.text, len(prompt)+len(c.text)
		}
		choice := x.completionChoice(piece)
		if x.ask.completion.promptLogprobs {
			choice.raw("prompt_logprobs", x.promptLogprobs(prompt))
		}
		choices = append(choices, choice)
	}
	o.raw("choices", array(choices...))
	if !r.noUsage {
		o.object("usage", x.chatUsage(r, r.tokens))
	}
	return o.end()
}

// A completionPiece is a part of the text of one choice.
type completionPiece struct {
	index    int
	text     string // the whole
	from, to int    // the part
	finish   string // empty for none yet
	null     bool   // no text at all
}

func (x *exchange) completionChoice(p completionPiece) object {
	o := newObject()
	if p.null {
		o.null("text")
	} else {
		o.text("text", p.text[p.from:p.to])
	}
	o.int("index", int64(p.index))
	if x.ask.completion.logprobs < 0 || p.to == p.from {
		o.null("logprobs")
	} else {
		o.object("logprobs", x.completionLogprobs(p))
	}
	if p.finish == "" {
		o.null("finish_reason")
	} else {
		o.text("finish_reason", p.finish)
	}
	return o
}

// completionLogprobs writes the log-probabilities of a part's tokens. Models
// that give none of the prompt leave them out, as llama.cpp does.
func (x *exchange) completionLogprobs(p completionPiece) object {
	context, own := x.promptOf(p.index), 0
	if x.ask.completion.echo {
		context, own = "", len(x.promptOf(p.index))
	}
	var tokens, probabilities, tops, offsets listOf
	for _, t := range x.logprobs(context + p.text) {
		at := t.At - len(context)
		if at < p.from || at >= p.to || at < own && x.model.NoPromptLogprobs {
			continue
		}
		tokens.add(quote(t.Text))
		if t.At == 0 {
			probabilities.add("null")
			tops.add("null")
		} else {
			probabilities.add(number(t.Logprob))
			tops.add(x.alternatives(t))
		}
		offsets.add(itoa(utf8.RuneCountInString(p.text[:at])))
	}
	o := newObject()
	o.raw("tokens", tokens.String())
	o.raw("token_logprobs", probabilities.String())
	o.raw("top_logprobs", tops.String())
	o.raw("text_offset", offsets.String())
	return o
}

// alternatives writes the token itself, then ever less likely ones.
func (x *exchange) alternatives(t answers.Token) string {
	o := newObject()
	text, p := t.Text, t.Logprob
	for range max(1, x.ask.completion.logprobs) {
		o.raw(text, number(p))
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
		o := newObject()
		o.raw("logprob", number(t.Logprob))
		o.int("rank", 1)
		o.text("decoded_token", t.Text)
		byID := newObject()
		byID.object(itoa(1000+i), o)
		list.add(byID.String())
	}
	return list.String()
}

// logprobs are what the model of the request thinks of a text.
func (x *exchange) logprobs(text string) []answers.Token {
	m := answers.Model{Name: x.ask.model, Skill: x.model.Skill, Known: x.server.cfg.Answers}
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
		last.raw("choices", "[]")
		last.object("usage", x.chatUsage(r, r.tokens))
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
	if x.ask.completion.echo {
		p.text, p.to = x.promptOf(i)+c.text, len(x.promptOf(i))
		out.add(x.completionChunk(r, p, false), tokens, false)
		p.from = p.to
	}
	parts, upTo := chunks(c.text, x.ask.seed)
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
	o.raw("choices", array(x.completionChoice(p)))
	s := chatStreamer{exchange: x, reply: r, tokens: int(r.tokens.Output)}
	s.chunkUsage(&o, last && p.finish != "")
	return chunkEvent(o)
}
