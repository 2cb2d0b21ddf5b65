// Package simtest helps tests to read what a simulated server counted.
package simtest

import (
	"fmt"

	"nightshift/providers/simulator/internal/answers"
	"nightshift/providers/simulator/internal/random"
)

// Key identifies a conversation in the ledger: the model's name, the system
// prompt ("" for none), and the turns, user and assistant by turns. All
// formats give the same key.
func Key(model, system string, turns ...string) string {
	h := random.Start.With(model).With(system)
	for i, t := range turns {
		h = h.With([]string{"user", "assistant"}[i%2]).With(t)
	}
	return fmt.Sprintf("%016x", uint64(h.WithInt(0)))
}

// Logprobs are the tokens of a text with the log-probabilities that a model
// gives them which knows no answers. The server gives none for the first.
func Logprobs(model, text string) []answers.Token { return answers.Model{Name: model}.Logprobs(text) }
