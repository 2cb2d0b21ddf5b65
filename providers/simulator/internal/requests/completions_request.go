package requests

import (
	"encoding/json"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/random"
)

// Completions is the format of legacy text completions. Its errors, headers and
// usage are Chat's.
const Completions Protocol = "completions"

// LikeChat reports whether errors and headers are those of Chat Completions.
func (p Protocol) LikeChat() bool { return p == Chat || p == Completions || p == Responses }

// A continuation is what only a request for a text completion says.
type continuation struct {
	Prompts        []string
	Echo           bool
	Logprobs       int // alternatives to each token; -1 asks for no log-probabilities
	PromptLogprobs bool
	BestOf         int // answers that are generated for each prompt
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
func parseCompletion(body []byte) (*Request, error) {
	var own wireContinuation
	if err := json.Unmarshal(body, &own); err != nil {
		return nil, &Error{Message: "The request body is not valid JSON: " + err.Error()}
	}
	w, err := sharedFields(body)
	if err != nil {
		return nil, err
	}
	a := &Request{Protocol: Completions, Stream: w.Stream, N: 1, Model: *w.Model}
	if a.Completion, err = own.read(); err != nil {
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
		a.Seed = random.Start.WithInt(uint64(*w.Seed))
	}
	return a, a.readPrompts(own)
}

// sharedFields reads the fields that are as in Chat.
func sharedFields(body []byte) (*wireAsk, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, &Error{Message: "The request body is not a JSON object"}
	}
	delete(fields, "logprobs") // a number here
	rest, err := json.Marshal(fields)
	w := &wireAsk{}
	if err == nil {
		err = json.Unmarshal(rest, w)
	}
	if err != nil {
		return nil, &Error{Message: "The request body is not valid: " + err.Error()}
	}
	if w.Model == nil || *w.Model == "" {
		return nil, missing(Completions, "model")
	}
	return w, nil
}

func (w wireContinuation) read() (*continuation, error) {
	c := &continuation{Echo: w.Echo, Logprobs: -1, PromptLogprobs: w.PromptLogprobs != nil, BestOf: 1}
	if w.Logprobs != nil {
		if *w.Logprobs < 0 || *w.Logprobs > 5 {
			return nil, invalid("logprobs", "logprobs: must be between 0 and 5, got %d", *w.Logprobs)
		}
		c.Logprobs = *w.Logprobs
	}
	if w.BestOf != nil {
		if *w.BestOf < 1 || *w.BestOf > 20 {
			return nil, invalid("best_of", "best_of: must be between 1 and 20, got %d", *w.BestOf)
		}
		c.BestOf = *w.BestOf
	}
	var one string
	switch {
	case len(w.Prompt) == 0:
		return nil, missing(Completions, "prompt")
	case json.Unmarshal(w.Prompt, &one) == nil:
		c.Prompts = []string{one}
	case json.Unmarshal(w.Prompt, &c.Prompts) != nil || len(c.Prompts) == 0:
		return nil, invalid("prompt", "prompt: must be a string or an array of strings")
	}
	return c, nil
}

// readPrompts settles what several fields say together.
func (a *Request) readPrompts(w wireContinuation) error {
	c := a.Completion
	c.BestOf = max(c.BestOf, a.N)
	switch {
	case w.BestOf != nil && *w.BestOf < a.N:
		return invalid("best_of", "best_of: must be at least n")
	case a.MaxTokens == 0 && !c.Echo:
		return invalid("max_tokens", "max_tokens: must be at least 1 without echo, got 0")
	case a.Stream && w.BestOf != nil && c.BestOf > 1:
		return invalid("best_of", "best_of: cannot be streamed")
	case a.Stream && c.PromptLogprobs:
		return invalid("prompt_logprobs", "prompt_logprobs: cannot be streamed")
	}
	for _, prompt := range c.Prompts {
		a.Turns = append(a.Turns, turn{role: "user", text: prompt})
		a.InputTokens += answers.CountTokens(prompt)
	}
	a.InputTokens += answers.CountTokens(w.Suffix)
	a.Question = c.Prompts[len(c.Prompts)-1]
	a.Key = a.conversation()
	return nil
}
