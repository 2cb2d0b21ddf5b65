package stats

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

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

// Score estimates the mean of the items that have a score.
//
// Scores that are all 0 or 1, of one epoch and of independent items, get
// [proportion]. Other scores that lie in 0..1 get, at each end, the further of
// Student's t and Wilson's interval for an effective number of units, clipped
// to 0..1: the t interval alone has no width where all items score alike,
// however few they are. Scores of another range get Student's t. The standard
// error is over clusters where there are any.
func Score(values []float64, opt Options) (Estimate, error) {
	if err := opt.check(len(values)); err != nil {
		return Estimate{}, err
	}
	kept, labels := scored(values, opt.Clusters)
	if labels != nil && !clustered(labels) {
		labels = nil
	}
	if labels == nil && opt.Epochs <= 1 && len(kept) > 0 && binary(kept) {
		e := meanT(kept, opt.level())
		e.Interval = proportion(Sum(kept), float64(len(kept)), opt.level())
		e.DF, e.Method = math.NaN(), "wilson"
		return e, nil
	}
	e := estimateT(kept, labels, opt.level())
	if len(kept) > 0 && bounded(kept) {
		e.boundedMean(kept, labels, opt)
	}
	return e, nil
}

// estimateT is the t interval over items or, with labels, over clusters.
func estimateT(values []float64, labels []int32, level float64) Estimate {
	if labels != nil {
		return clusteredT(values, labels, level)
	}
	return meanT(values, level)
}

// boundedMean widens the t interval of scores in 0..1 to what the number of
// independent units allows, at each end to where Wilson's interval for an
// effective number of units reaches, and clips it.
//
// Answers that are right or wrong count as one unit for each item, or as
// L. Kish's effective number of clusters (1965) of unequal sizes, and never as
// more: neither epochs nor clusters that happen to agree narrow the interval.
// Graded scores that differ count as units/share, see gradedShare.
func (e *Estimate) boundedMean(values []float64, labels []int32, opt Options) {
	n := effectiveUnits(labels, len(values))
	if !rightOrWrong(values, opt.Epochs) {
		n /= e.gradedShare()
	}
	t := e.Interval.clip(0, 1)
	e.Interval = t.hull(proportion(e.Mean*n, n, opt.level()))
	if e.Interval != t {
		e.Method += ", wilson"
	}
}

// gradedShare is the variance of a unit as a share of m(1-m), the largest that
// a mean of m allows. One unseen unit with that variance is added, so that a
// few units which happen to score nearly alike do not pass for proof that all
// do; without any spread the share is 1.
func (e Estimate) gradedShare() float64 {
	units, largest := e.units(), e.Mean*(1-e.Mean)
	if !(e.SE > tied) || largest <= 0 {
		return 1
	}
	return math.Min(1, ((units-1)*(units-1)*e.SE*e.SE/largest+1)/units)
}

// effectiveUnits is the number of items, or n²/Σn_c² of clusters of n_c items:
// as many as there are when they are of equal size.
func effectiveUnits(labels []int32, items int) float64 {
	if labels == nil {
		return float64(items)
	}
	sizes := map[int32]float64{}
	for _, l := range labels {
		sizes[l]++
	}
	squares := 0.0 // whole numbers: the order of the map does not show
	for _, size := range sizes {
		squares += size * size
	}
	return float64(items) * float64(items) / squares
}

// units is how many independent ones stand behind the estimate.
func (e Estimate) units() float64 {
	if e.Clusters > 0 {
		return float64(e.Clusters)
	}
	return float64(e.N)
}

// furthestUnit is the largest deviation of an item, or of what a cluster adds,
// from the mean.
func furthestUnit(values []float64, labels []int32, mean float64) float64 {
	furthest := 0.0
	if labels == nil {
		for _, v := range values {
			furthest = math.Max(furthest, math.Abs(v-mean))
		}
		return furthest
	}
	sums := clusterSums(values, labels, mean)
	for _, s := range sums {
		furthest = math.Max(furthest, math.Abs(s))
	}
	return furthest * float64(len(sums)) / float64(len(values))
}

// bounded reports whether every value lies in 0..1.
func bounded(values []float64) bool {
	for _, v := range values {
		if v < 0 || v > 1 {
			return false
		}
	}
	return true
}

// rightOrWrong reports whether every value is a mean of up to k answers that
// are each 0 or 1.
func rightOrWrong(values []float64, k int) bool {
	for _, v := range values {
		ok := false
		for j := 1; j <= max(k, 1) && !ok; j++ {
			right := v * float64(j)
			ok = math.Abs(right-math.Round(right)) < 1e-9
		}
		if !ok {
			return false
		}
	}
	return true
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

// wilson also takes numbers that are not whole.
func wilson(right, n, level float64) Interval {
	if n <= 0 {
		return undefined
	}
	z := NormalQuantile(twoSided(level))
	p := right / n
	half := z * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	scale := 1 + z*z/n
	v := around((p+z*z/(2*n))/scale, half/scale).clip(0, 1)
	// The bound is exactly 0 or 1 there; rounding would leave 1e-17.
	if right == 0 {
		v.Lower = 0
	}
	if right == n {
		v.Upper = 1
	}
	return v
}

// exactBelow is how much less sure the exact interval of a proportion is.
const exactBelow = 0.015

// proportion is the interval of a share of n independent items of which so
// many are right: Wilson's, widened to the exact one (C. J. Clopper and E. S.
// Pearson, 1934) at level-1.5 % where that reaches further. Wilson's alone holds
// the truth only on average: of ten items at a true share of .95 in 91 % of
// samples instead of 95. The exact one never falls below its level, so neither
// does this. Neither number need be whole: n may be an effective number.
func proportion(right, n, level float64) Interval {
	if !(n > 0) {
		return undefined
	}
	right = math.Max(0, math.Min(right, n))
	return wilson(right, n, level).hull(clopperPearson(right, n, math.Max(0, level-exactBelow)))
}

// clopperPearson is the exact interval of a proportion, by quantiles of the
// beta distribution.
func clopperPearson(right, n, level float64) Interval {
	v := Interval{0, 1}
	if right > 0 {
		v.Lower = mathext.InvRegIncBeta(right, n-right+1, 1-twoSided(level))
	}
	if right < n {
		v.Upper = mathext.InvRegIncBeta(right+1, n-right, twoSided(level))
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
