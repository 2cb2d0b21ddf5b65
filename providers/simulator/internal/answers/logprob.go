package answers

import (
	"math"
	"strings"

	"nightshift/providers/simulator/internal/random"
)

// A Token is a piece of a text with its log-probability, the natural logarithm,
// given what stands before it.
type Token struct {
	Text    string
	At      int // in bytes of the text
	Logprob float64
}

// Logprobs splits a text into tokens with their log-probabilities. The first has
// none before it; servers give null for it. They depend on the model and on the
// text up to and with the token alone, except for the end of a text that is the
// known answer to what stands before: a model that knows it takes it for likelier.
func (m Model) Logprobs(text string) (tokens []Token) {
	answer := m.endsInAnswer(text)
	seed := random.Start.With("logprob").With(m.Name)
	for at := 0; at < len(text); {
		end := at + NextToken(text[at:])
		p := roundLogprob(-8 * seed.With(text[:end]).Roll("token"))
		if end > answer {
			p = roundLogprob(p / 8)
		}
		tokens = append(tokens, Token{text[at:end], at, p})
		at = end
	}
	return tokens
}

// roundLogprob is a log-probability as it goes over the wire.
func roundLogprob(p float64) float64 { return math.Round(p*1e6) / 1e6 }

// endsInAnswer is where the answer begins that a text ends in, if the model
// knows it; the text's length otherwise.
func (m Model) endsInAnswer(text string) int {
	target, ok := m.Known.target(text)
	before, ends := strings.CutSuffix(text, target)
	if !ok || !ends {
		return len(text)
	}
	before = strings.TrimSpace(before)
	if !m.knows(Question{Text: before, Seed: random.Start.With(m.Name).With(before)}) {
		return len(text)
	}
	return len(text) - len(target)
}
