package stats

import (
	"cmp"
	"math"
	"slices"
)

// Holm adjusts the p values of one family of comparisons (S. Holm, 1979):
// sorted, multiplied by m, m-1, …, made non-decreasing, capped at 1. The
// answers stand in the order of the input; NaN stays NaN and does not count.
func Holm(p []float64) []float64 {
	adjusted := make([]float64, len(p))
	order := make([]int, 0, len(p))
	for i, v := range p {
		if math.IsNaN(v) {
			adjusted[i] = v
			continue
		}
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	highest := 0.0
	for rank, i := range order {
		highest = max(highest, p[i]*float64(len(order)-rank))
		adjusted[i] = min(1, highest)
	}
	return adjusted
}
