package stats_test

import (
	"math/rand/v2"
	"testing"

	"nightshift/reports/stats"
)

// BenchmarkMillion is the arithmetic of comparing three models on a million
// rows: intervals, paired tests, percentiles, cost per correct answer. Run it
// with -benchtime 1x.
func BenchmarkMillion(b *testing.B) {
	const n = 1_000_000
	r := rand.New(rand.NewPCG(1, 2))
	clusters := make([]int32, n)
	for i := range clusters {
		clusters[i] = int32(i / 2)
	}
	for _, bc := range []struct {
		name   string
		binary bool
		opt    stats.Options
	}{
		{"binary", true, stats.Options{}},
		{"graded", false, stats.Options{}},
		{"clustered", false, stats.Options{Clusters: clusters}},
	} {
		models := [3][]float64{randomScores(r, n, bc.binary), randomScores(r, n, bc.binary),
			randomScores(r, n, bc.binary)}
		cost := randomScores(r, n, false)
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for i, m := range models {
					if _, err := stats.Score(m, bc.opt); err != nil {
						b.Fatal(err)
					}
					stats.CostPerCorrect(cost, m)
					sorted := stats.Sorted(cost)
					stats.Percentile(sorted, 0.99)
					if i > 0 {
						mustCompare(b, m, models[0], bc.opt)
					}
				}
				if _, _, err := stats.Bootstrap([][]float64{cost, models[0]},
					func(s []float64) float64 { return s[0] / s[1] }, bc.opt); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
