package compare

import (
	"math"
	"testing"

	"nightshift/reports/stats"
)

// TestPartsAreRatios: a part with weights has the ratio of the sums for a mean, and
// its standard error by the delta method.
func TestPartsAreRatios(t *testing.T) {
	var p partColumns
	for i, raw := range []string{`[{"name":"a","value":1,"weight":1},{"name":"b","value":0.5}]`,
		`[{"name":"a","value":0.5,"weight":2}]`, `[{"name":"a","value":0,"weight":3}]`, `nonsense`} {
		p.take(raw, i, 4)
	}
	if len(p.names) != 2 || p.names[0] != "a" || p.names[1] != "b" {
		t.Fatalf("parts %v", p.names)
	}
	e, err := stats.Score(p.byName["a"].linear(), stats.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// Σwv/Σw = (1 + 1 + 0)/6; residuals w(v − R) = 2/3, 1/3, −1
	want := math.Sqrt((4./9+1./9+1)*3/2) / 6
	if e.N != 3 || math.Abs(e.Mean-1./3) > 1e-12 || math.Abs(e.SE-want) > 1e-12 {
		t.Errorf("%+v, want mean 1/3 and standard error %v", e, want)
	}
	if same := p.byName["b"].linear(); same[0] != 0.5 || !math.IsNaN(same[1]) {
		t.Errorf("items of one weight: %v", same)
	}
}
