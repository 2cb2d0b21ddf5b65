package stats

import "math"

// percentile is the q-quantile of sorted values.
func percentile(sorted []float64, q float64) float64 {
	return quantile(len(sorted), q, func(i int) float64 { return sorted[i] })
}

// quantile is the q-quantile of n values, of which at returns each in order, by
// linear interpolation at (n-1)q (type 7 of R. J. Hyndman and Y. Fan, 1996; numpy's
// default). NaN without values.
func quantile(n int, q float64, at func(int) float64) float64 {
	if n == 0 || !(q >= 0 && q <= 1) {
		return math.NaN()
	}
	place := float64(n-1) * q
	low := int(place)
	if low >= n-1 {
		return at(n - 1)
	}
	return at(low) + (place-float64(low))*(at(low+1)-at(low))
}

// CostPerCorrect is what one correct answer cost, Σcost/Σscore, with the
// standard error of a ratio by the delta method. Also for seconds per correct
// answer. NaN when nothing was correct; items without a cost or a score are
// left out.
func CostPerCorrect(cost, score []float64) (perCorrect, se float64) {
	c, s, _, _ := common(cost, score, nil)
	correct := Sum(s)
	if !(correct > 0) {
		return math.NaN(), math.NaN()
	}
	perCorrect = Sum(c) / correct
	var squares accumulator
	for i := range c {
		rest := c[i] - perCorrect*s[i]
		squares.add(rest * rest)
	}
	n := float64(len(c))
	if n < 2 {
		return perCorrect, math.NaN()
	}
	return perCorrect, math.Sqrt(n/(n-1)*squares.sum()) / correct
}

// Pareto marks the points on the frontier of low cost and high score. A point
// is off it when another is no dearer and no worse, and strictly better in
// one; a point whose cost or score is unknown is off it and puts none off.
func Pareto(cost, score []float64) []bool {
	on := make([]bool, len(cost))
	for i := range cost {
		on[i] = finite(cost[i]) && finite(score[i])
		for j := range cost {
			noDearer, noWorse := cost[j] <= cost[i], score[j] >= score[i]
			if noDearer && noWorse && (cost[j] < cost[i] || score[j] > score[i]) {
				on[i] = false
			}
		}
	}
	return on
}
