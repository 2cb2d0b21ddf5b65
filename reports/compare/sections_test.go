package compare

import (
	"math"
	"testing"
)

// The figures were worked out by hand: means 0.9 and 0.5 of 60 and 20 rows.
func TestAverageOfDatasets(t *testing.T) {
	parts := []weighed{{60, 0.9, 0.03, 0.82, 0.95}, {20, 0.5, 0.04, 0.40, 0.62}}
	for _, tc := range []struct {
		rows bool
		want weighed
	}{
		{false, weighed{80, 0.7, 0.025, 0.7 - 0.5*math.Hypot(0.08, 0.10), 0.7 + 0.5*math.Hypot(0.05, 0.12)}},
		{true, weighed{80, 0.8, math.Hypot(0.75*0.03, 0.25*0.04), 0.8 - math.Hypot(0.06, 0.025),
			0.8 + math.Hypot(0.75*0.05, 0.03)}},
	} {
		got := average(parts, tc.rows)
		for name, pair := range map[string][2]float64{
			"value": {got.value, tc.want.value}, "se": {got.se, tc.want.se},
			"lower": {got.lower, tc.want.lower}, "upper": {got.upper, tc.want.upper},
		} {
			if math.Abs(pair[0]-pair[1]) > 1e-12 {
				t.Errorf("by rows %v: %s is %v, want %v", tc.rows, name, pair[0], pair[1])
			}
		}
		if got.n != tc.want.n {
			t.Errorf("%d rows", got.n)
		}
	}
	if one := average(append(parts, weighedOf(0, nil, nil, nil)), false); one.interval() != nil || !math.IsNaN(one.value) {
		t.Errorf("a dataset without a score leaves no average: %+v", one)
	}
}
