package stats_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"nightshift/reports/stats"
)

// TestQuantiles: however values are kept, their quantiles are those of the values.
func TestQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 2))
	micros := func(int) float64 { return float64(r.Int64N(90_000_000)) / 1000 }
	for name, value := range map[string]func(i int) float64{
		"microseconds": micros,
		"any":          func(int) float64 { return r.Float64() * 1000 },
		"a long one late": func(i int) float64 {
			if i == 20_000 {
				return 5e6 // milliseconds: more than an hour
			}
			return micros(i)
		},
		"no number late": func(i int) float64 {
			if i == 20_000 {
				return math.Inf(1)
			}
			return micros(i)
		},
		"one value": func(int) float64 { return 12.5 },
	} {
		for _, n := range []int{1, 2, 99, 16_384, 40_000} {
			var q stats.Quantiles
			var values []float64
			for i := range n {
				v := value(i)
				q.Add(v)
				values = append(values, v)
				if i == n/2 && *q.At(0.5) < 0 { // may be asked in between
					t.Fatal("below 0")
				}
			}
			slices.Sort(values)
			for _, p := range []float64{0, 0.5, 0.9, 0.95, 0.999, 1} {
				want := stats.Percentile(values, p)
				if got := *q.At(p); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
					t.Errorf("%s, %d values: quantile %v is %v, want %v", name, n, p, got, want)
				}
			}
		}
	}
}
