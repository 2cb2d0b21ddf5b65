package stats

import (
	"math"
	"slices"
)

// Formulae that the program has no use for. Published vectors and scipy check
// the parts that they share with those it uses.

// BootstrapMean is the percentile interval of the mean of the items that have
// a score.
func BootstrapMean(values []float64, opt Options) (Interval, error) {
	columns, opt, err := meanColumns(values, opt)
	if err != nil {
		return undefined, err
	}
	v, _, err := Bootstrap(columns, ratio, opt)
	return v, err
}

// BootstrapMeanSE is the bootstrap standard error of the mean.
func BootstrapMeanSE(values []float64, opt Options) (float64, error) {
	columns, opt, err := meanColumns(values, opt)
	if err != nil {
		return math.NaN(), err
	}
	_, se, err := Bootstrap(columns, ratio, opt)
	return se, err
}

// ratio of two column sums; a column of ones makes it a mean.
func ratio(sums []float64) float64 { return sums[0] / sums[1] }

func meanColumns(values []float64, opt Options) ([][]float64, Options, error) {
	if err := opt.check(len(values)); err != nil {
		return nil, opt, err
	}
	kept, labels := scored(values, opt.Clusters)
	opt.Clusters = labels
	ones := make([]float64, len(kept))
	for i := range ones {
		ones[i] = 1
	}
	return [][]float64{kept, ones}, opt, nil
}

// MeanT is the mean with Student's t interval, for independent items.
func MeanT(values []float64, level float64) Estimate {
	kept, _ := scored(values, nil)
	return meanT(kept, level)
}

// ClusteredMean is the mean with a standard error that is robust to any
// dependence inside the clusters: sqrt(C/(C-1) · Σ_c (Σ_i (s_i - m))²)/n with
// C-1 degrees of freedom (E. Miller, "Adding Error Bars to Evals", 2024,
// appendix A, with the small-sample factor). One cluster has no standard
// error.
func ClusteredMean(values []float64, labels []int32, level float64) (Estimate, error) {
	opt := Options{Level: level, Clusters: labels}
	if labels == nil {
		opt.Clusters = []int32{}
	}
	if err := opt.check(len(values)); err != nil {
		return Estimate{}, err
	}
	kept, groups := scored(values, opt.Clusters)
	return clusteredT(kept, groups, opt.level()), nil
}

// Wilson is the score interval of a proportion (E. B. Wilson, 1927), clipped
// to 0..1.
func Wilson(successes, n int, level float64) Interval {
	return wilson(float64(successes), float64(n), level)
}

// UnpairedSE is the standard error of the difference of two independent means.
// It is for showing what pairing gains; models measured on the same items are
// never compared with it.
func UnpairedSE(a, b []float64) float64 {
	_, x := MeanSE(a)
	_, y := MeanSE(b)
	return math.Hypot(x, y)
}

// PairedT is the mean difference of two columns with Student's t interval
// (Miller 2024, section 4.2), whatever the scores look like.
func PairedT(a, b []float64, level float64) (Estimate, error) {
	if len(a) != len(b) {
		return Estimate{}, errLengths
	}
	_, _, d, _ := common(a, b, nil)
	return meanT(d, level), nil
}

// NonInferiorBinary is the one-sided 1-alpha lower bound of a difference of
// two paired proportions, Agresti and Min's, and whether it lies above
// -margin.
func NonInferiorBinary(aOnly, bOnly, n int, margin, alpha float64) (lower float64, pass bool) {
	lower = agrestiMin(aOnly, bOnly, n, 1-2*alpha).Lower
	return lower, lower > -margin
}

// NonInferiorT is the one-sided 1-alpha lower bound of a difference by Student's
// t with df degrees of freedom, and whether it lies above -margin. An undefined
// bound does not.
func NonInferiorT(delta, se, df, margin, alpha float64) (lower float64, pass bool) {
	lower = delta - TQuantile(1-alpha, df)*se
	return lower, lower > -margin
}

// WinRate is the share of comparisons won, a tie counting half, with the
// standard error of the 1, ½ and 0 values.
func WinRate(wins, ties, losses int) (rate, se float64) {
	n := float64(wins + ties + losses)
	if n == 0 {
		return math.NaN(), math.NaN()
	}
	rate = (float64(wins) + float64(ties)/2) / n
	if n < 2 {
		return rate, math.NaN()
	}
	square := func(v float64) float64 { return (v - rate) * (v - rate) }
	sum := float64(wins)*square(1) + float64(ties)*square(0.5) + float64(losses)*square(0)
	return rate, math.Sqrt(sum / (n - 1) / n)
}

// WinRateInterval is the interval of the share of comparisons won, a tie
// counting half: [proportion] of the points, which ties only make too wide.
func WinRateInterval(wins, ties, losses int, level float64) Interval {
	return proportion(float64(wins)+float64(ties)/2, float64(wins+ties+losses), level)
}

// AtLeast is 1 when k or more of the values are right answers, else 0; NaN
// without values.
func AtLeast(values []float64, k int) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	if Correct(values) >= k {
		return 1
	}
	return 0
}

// Majority is the score that most values have. Scores that are equally common
// are averaged: that is what breaking the tie by lot gives in the long run.
func Majority(values []float64) float64 {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	best, ties, sum := 0, 0, 0.0
	for i := 0; i < len(sorted); {
		j := i + 1
		for j < len(sorted) && sorted[j] == sorted[i] {
			j++
		}
		switch {
		case j-i > best:
			best, ties, sum = j-i, 1, sorted[i]
		case j-i == best:
			ties, sum = ties+1, sum+sorted[i]
		}
		i = j
	}
	return sum / float64(ties)
}

// Sorted returns the finite values in ascending order.
func Sorted(values []float64) []float64 {
	kept, _ := scored(values, nil)
	slices.Sort(kept)
	return kept
}

// TailKnown reports whether n values are enough to speak of the q-quantile:
// at least one value must be expected beyond it, so p99 needs 100. Where they
// are not, show the maximum and call it that.
func TailKnown(n int, q float64) bool {
	return float64(n)*(1-q) >= 1-1e-9
}

// PercentileRange is the interval of the q-quantile from order statistics: the
// ranks are binomial, so it needs neither a distribution nor resampling. It is
// the limit of the percentile bootstrap for many resamples.
func PercentileRange(sorted []float64, q, level float64) Interval {
	n := len(sorted)
	if n == 0 {
		return undefined
	}
	ranks := binomial{n, q}
	tail := (1 - level) / 2
	lower, upper := ranks.quantile(tail), ranks.quantile(1-tail)
	return Interval{sorted[max(lower-1, 0)], sorted[min(upper, n-1)]}
}
