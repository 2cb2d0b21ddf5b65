package runner

import (
	"context"
	"unicode"
	"unicode/utf8"

	"nightshift"
)

// Likelihoods say which log-probabilities a pool asks for in place of answers.
type Likelihoods struct {
	Choices   bool   // of each of a row's choices, given its prompt
	Text      bool   // of a row's prompt
	Delimiter string // between a prompt and a choice where neither has white space there
}

// asks reports whether any are asked for.
func (l Likelihoods) asks() bool { return l.Choices || l.Text }

// Requests are what the pool sends for a sample, as far as it is known before the
// answers: a request for each log-probability, or the first turn.
func (l Pool) Requests(s nightshift.Sample) []nightshift.Request {
	if !l.Likelihoods.asks() {
		return []nightshift.Request{l.Request(s)}
	}
	requests := make([]nightshift.Request, max(len(s.Choices), 1))
	for i := range requests {
		requests[i] = l.likelihood(s, i)
	}
	return requests
}

// likelihood is the request for one log-probability of a sample.
func (l Pool) likelihood(s nightshift.Sample, choice int) nightshift.Request {
	req := l.Request(s)
	req.Stream = false
	prompt := ""
	for _, m := range s.Messages {
		prompt += m.Text
	}
	if l.Likelihoods.Choices && choice < len(s.Choices) {
		req.Continuation = l.Likelihoods.between(prompt, s.Choices[choice]) + s.Choices[choice]
		return req
	}
	req.Continuation, req.Messages = prompt, nil
	return req
}

// between is what stands between a prompt and a choice.
func (l Likelihoods) between(prompt, choice string) string {
	last, _ := utf8.DecodeLastRuneInString(prompt)
	first, _ := utf8.DecodeRuneInString(choice)
	if prompt == "" || unicode.IsSpace(last) || unicode.IsSpace(first) {
		return ""
	}
	return l.Delimiter
}

// likelihoods asks for the log-probabilities of a sample one after the other. What
// an earlier process has had is not asked for again.
func (c *conversation) likelihoods(ctx context.Context, history []nightshift.Attempt, settled int) error {
	c.messages = c.row.Messages
	c.answers = c.shard.Turns(c.row.Index, c.row.Epoch)
	n := max(len(c.row.Choices), 1)
	for i := len(c.answers); i < n; i++ {
		req := c.pool.likelihood(c.row.Sample, i)
		resp, err := c.send(ctx, i, &req, history, settled)
		c.answers = append(c.answers, resp)
		if err != nil {
			return err
		}
		history, settled = nil, 0 // they belong to the request that was under way
		if i < n-1 {
			if err := c.shard.PutTurn(c.row.Index, c.row.Epoch, resp); err != nil {
				return err
			}
		}
	}
	return nil
}

// judged is what a model thinks of the choices of a sample, or of its prompt, as
// one answer: its text is the likeliest choice; usage, cost and times are those of
// all requests.
func (c *conversation) judged() nightshift.Response {
	sum := c.merged()
	sum.Text, sum.Thinking, sum.ToolCalls, sum.Choices = nil, nil, nil, nil
	sum.StopReason, sum.RawStopReason = nightshift.StopEnd, ""
	var likeliest *nightshift.Choice
	for i, a := range c.answers {
		choice := nightshift.Choice{Index: i, Loglikelihood: a.Loglikelihood}
		if i < len(c.row.Choices) {
			choice.Text = c.row.Choices[i]
		}
		sum.Choices = append(sum.Choices, choice)
		if a.Loglikelihood != nil && (likeliest == nil || a.Loglikelihood.Sum > likeliest.Loglikelihood.Sum) {
			likeliest = &choice
		}
	}
	if likeliest != nil && len(c.row.Choices) > 0 {
		sum.Text = &likeliest.Text
	}
	return sum
}
