package providers

import (
	"bytes"
	"sync"

	"nightshift"
	"nightshift/providers/limits"
)

const (
	firstTokensPerByte = 0.27 // English and code; corrected by the first answers
	firstOutput        = 300  // tokens of an answer, before there has been one
	estimateMemory     = 0.98 // weight that an observation keeps at the next: about 50 count
)

// An Estimator guesses what requests will use, in tokens, and corrects itself
// from what answers really used. Its guesses pace requests; they are never
// called usage. The zero value is ready; it is safe for concurrent use.
type Estimator struct {
	mu     sync.Mutex
	models map[string]*modelEstimate
}

// modelEstimate holds decaying sums over a model's answers.
type modelEstimate struct {
	bytes, input     float64 // of prompts that are text only
	answers, outputs float64
}

// Cost estimates one attempt.
func (e *Estimator) Cost(model string, p Prepared) limits.Cost {
	e.mu.Lock()
	defer e.mu.Unlock()
	perByte, output := firstTokensPerByte, float64(firstOutput)
	if m := e.models[model]; m != nil {
		if m.bytes > 0 {
			perByte = m.input / m.bytes
		}
		if m.answers > 0 {
			output = m.outputs / m.answers
		}
	}
	c := limits.Cost{
		Input:     int64(perByte*float64(p.InputText)) + p.InputOther + 1,
		Output:    int64(output) + 1,
		MaxOutput: p.MaxOutput,
	}
	if p.Texts > 0 {
		c.Output = 0
	} else if p.MaxOutput > 0 {
		c.Output = min(c.Output, p.MaxOutput)
	}
	return c
}

// Observe learns from what an answer used.
func (e *Estimator) Observe(model string, p Prepared, u nightshift.Usage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.models == nil {
		e.models = map[string]*modelEstimate{}
	}
	m := e.models[model]
	if m == nil {
		m = &modelEstimate{}
		e.models[model] = m
	}
	if in, ok := u.InputTotal().Get(); ok && p.InputOther == 0 && p.InputText > 0 {
		m.bytes = m.bytes*estimateMemory + float64(p.InputText)
		m.input = m.input*estimateMemory + float64(in)
	}
	if out, ok := u.Output.Get(); ok {
		m.answers = m.answers*estimateMemory + 1
		m.outputs = m.outputs*estimateMemory + float64(out)
	}
}

// WorstInput bounds the input tokens of a prepared request from above: no
// tokenizer makes more tokens than bytes, each message adds a few of its own,
// and servers put a page of instructions before tool definitions.
func WorstInput(p Prepared) int64 {
	const perRequest, perMessage, forTools = 32, 16, 700
	worst := p.InputText + p.InputOther + perRequest
	worst += perMessage * (int64(bytes.Count(p.Body, []byte(`"role"`))) + p.Texts)
	if bytes.Contains(p.Body, []byte(`"tools"`)) {
		worst += forTools
	}
	return worst
}
