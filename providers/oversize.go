package providers

import (
	"fmt"

	"nightshift"
)

// longestTokens is how many bytes a token has on average at the very most, over a
// prompt that is too large for a minute's limit. Text has 3 to 5.
const longestTokens = 10

// surelyTokens is how many bytes a token has in most texts at the most.
const surelyTokens = 6

// LeastInput bounds the input tokens of a prepared request from below, as far as
// text is ordinary.
func LeastInput(p Prepared) int64 { return p.InputText / surelyTokens }

// fits refuses a request that is larger than all that its route's limits let
// through in a minute: it would be refused again and again.
func (k *call) fits(t *ticket) error {
	most := k.at(t.route).MostInput
	if most <= 0 {
		return nil
	}
	p := t.prepared
	least := p.InputText / longestTokens
	if least <= most {
		return nil
	}
	return &nightshift.Error{
		Class: nightshift.ClassExceedsLimit,
		Message: fmt.Sprintf("the prompt has %d bytes, at least %d tokens, and the configured limits let %d through in a "+
			"minute", p.InputText, least, most),
		Hint: "shorten it, or raise the limits of the endpoint if the key has more",
	}
}
