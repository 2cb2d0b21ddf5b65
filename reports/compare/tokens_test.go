package compare

import (
	"slices"
	"testing"
)

// Tokens that no answer reports are unknown, which is not zero.
func TestUnknownTokens(t *testing.T) {
	var sum tokenSums
	for _, n := range []*int64{new(int64(3)), nil, new(int64(1000))} {
		addKnown(&sum.Input, n)
		addKnown(&sum.Reasoning, nil)
	}
	addKnown(&sum.Output, new(int64(0)))
	c := &Comparison{Models: []comparedModel{{Label: "m", Tokens: sum}}}
	if got, want := c.tokenGrid().Rows[0], []string{"m", "1,003", "-", "-", "0", "-"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
