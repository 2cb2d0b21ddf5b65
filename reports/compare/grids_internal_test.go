package compare

import (
	"slices"
	"strings"
	"testing"
)

// TestAdjustedOnlyWhereItDiffers: of a single comparison the adjusted p is the p, and is
// not said twice.
func TestAdjustedOnlyWhereItDiffers(t *testing.T) {
	one := func(p, adjusted float64) delta {
		return delta{Label: "small", Delta: new(float64), P: &p, Adjusted: &adjusted}
	}
	c := &Comparison{Baseline: "large"}
	for name, tc := range map[string]struct {
		deltas []delta
		shown  bool
	}{
		"one": {[]delta{one(0.04, 0.04)}, false}, "two": {[]delta{one(0.04, 0.08), one(0.5, 0.5)}, true},
	} {
		g := c.deltaGrids(&scorerResult{Deltas: tc.deltas})[0]
		if slices.Contains(g.Head, "adj. p") != tc.shown || len(g.Rows[0]) != len(g.Head) {
			t.Errorf("%s: %q %q", name, g.Head, g.Rows)
		}
		if text := tc.deltas[0].brief(); strings.Contains(text, "adjusted") != tc.shown {
			t.Errorf("%s: %s", name, text)
		}
	}
}
