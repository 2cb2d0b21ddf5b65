package stats

import "math"

// An Estimate is how one model did on one set of items.
type Estimate struct {
	N        int     // items with a score
	Clusters int     // groups of dependent items; 0 when items are independent
	Mean     float64 // NaN without items
	SE       float64 // standard error of the mean; NaN when undefined
	DF       float64 // degrees of freedom of the t interval; NaN for Wilson
	Interval         // NaN when undefined
	Method   string  // how the interval was made: "wilson", "t" or "clustered t"
}

// Score estimates the mean of the items that have a score. Scores that are all
// 0 or 1, of one epoch and of independent items, get Wilson's interval; others
// get Student's t, over clusters where there are any.
func Score(values []float64, opt Options) (Estimate, error) {
	if err := opt.check(len(values)); err != nil {
		return Estimate{}, err
	}
	kept, labels := scored(values, opt.Clusters)
	if labels != nil && clustered(labels) {
		return clusteredT(kept, labels, opt.level()), nil
	}
	e := meanT(kept, opt.level())
	if opt.Epochs <= 1 && len(kept) > 0 && binary(kept) {
		e.Interval = Wilson(int(Sum(kept)), len(kept), opt.level())
		e.DF, e.Method = math.NaN(), "wilson"
	}
	return e, nil
}

// MeanT is the mean with Student's t interval, for independent items.
func MeanT(values []float64, level float64) Estimate {
	kept, _ := scored(values, nil)
	return meanT(kept, level)
}

func meanT(values []float64, level float64) Estimate {
	mean, se := MeanSE(values)
	e := Estimate{N: len(values), Mean: mean, SE: se, Method: "t"}
	return e.withT(float64(len(values)-1), level)
}

func (e Estimate) withT(df, level float64) Estimate {
	e.DF, e.Interval = df, undefined
	if df >= 1 {
		e.Interval = around(e.Mean, TQuantile(twoSided(level), df)*e.SE)
	} else {
		e.DF = math.NaN()
	}
	return e
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

func clusteredT(values []float64, labels []int32, level float64) Estimate {
	mean := Mean(values)
	sums := clusterSums(values, labels, mean)
	c := float64(len(sums))
	var squares accumulator
	for _, s := range sums {
		squares.add(s * s)
	}
	e := Estimate{N: len(values), Clusters: len(sums), Mean: mean, SE: math.NaN(), Method: "clustered t"}
	if c >= 2 {
		e.SE = math.Sqrt(c/(c-1)*squares.sum()) / float64(len(values))
	}
	return e.withT(c-1, level)
}

// clusterSums sums value-centre within each cluster that occurs. The sums
// carry their rounding errors along, so that the order of rows does not show.
func clusterSums(values []float64, labels []int32, centre float64) []float64 {
	size := int32(0)
	for _, l := range labels {
		size = max(size, l+1)
	}
	high, low, seen := make([]float64, size), make([]float64, size), make([]bool, size)
	for i, v := range values {
		c := labels[i]
		x := v - centre
		t := high[c] + x
		if math.Abs(high[c]) >= math.Abs(x) {
			low[c] += high[c] - t + x
		} else {
			low[c] += x - t + high[c]
		}
		high[c], seen[c] = t, true
	}
	sums := high[:0]
	for c := range seen {
		if seen[c] {
			sums = append(sums, high[c]+low[c])
		}
	}
	return sums
}

// clustered reports whether any two items share a label. Items that are all
// clusters of their own are independent items.
func clustered(labels []int32) bool {
	size := int32(0)
	for _, l := range labels {
		size = max(size, l+1)
	}
	seen := make([]bool, size)
	for _, l := range labels {
		if seen[l] {
			return true
		}
		seen[l] = true
	}
	return false
}

// Wilson is the score interval of a proportion (E. B. Wilson, 1927), clipped
// to 0..1.
func Wilson(successes, n int, level float64) Interval {
	if n <= 0 {
		return undefined
	}
	z, nf := NormalQuantile(twoSided(level)), float64(n)
	p := float64(successes) / nf
	half := z * math.Sqrt(p*(1-p)/nf+z*z/(4*nf*nf))
	scale := 1 + z*z/nf
	v := around((p+z*z/(2*nf))/scale, half/scale).clip(0, 1)
	// The bound is exactly 0 or 1 there; rounding would leave 1e-17.
	if successes == 0 {
		v.Lower = 0
	}
	if successes == n {
		v.Upper = 1
	}
	return v
}

// MissingBounds is the lowest and the highest mean that the items without a
// score leave possible, given the sum of the scored ones, when scores lie in
// 0..1.
func MissingBounds(sum float64, scored, total int) Interval {
	if total <= 0 {
		return undefined
	}
	n := float64(total)
	return Interval{sum / n, (sum + float64(total-scored)) / n}
}

// Macro is the unweighted mean of category means, with its standard error
// sqrt(Σ se²)/C. A category without a standard error leaves none.
func Macro(means, ses []float64) (mean, se float64) {
	var squares accumulator
	for _, s := range ses {
		squares.add(s * s)
	}
	return Mean(means), math.Sqrt(squares.sum()) / float64(len(means))
}
