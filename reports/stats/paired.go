package stats

import "math"

// tied is how far apart two scores may be and still count as a tie.
const tied = 1e-12

// A Paired is what two models' scores on the same items say about their
// difference. Delta is A minus B.
type Paired struct {
	N        int     // items scored for both
	LeftOut  int     // items without a score for one or both
	Clusters int     // groups of dependent items; 0 when items are independent
	MeanA    float64 // over the N items
	MeanB    float64
	Delta    float64
	SE       float64 // of delta; NaN when undefined
	DF       float64 // degrees of freedom of the t interval; NaN otherwise
	Interval         // of delta
	Method   string  // "agresti-min", "t" or "clustered t"
	P        float64 // two-sided; NaN without items
	Test     string  // "mcnemar exact", "sign-flip exact" or "sign-flip"
	Win      int     // items where A scored higher
	Tie      int
	Loss     int
	// Differing counts the units (items, or clusters) that differ at all: what
	// the test rests on.
	Differing int
	// Skewness of the differences of units; NaN where they do not differ from
	// each other. Sign flips take them for symmetric.
	Skewness float64

	units    float64 // independent ones
	furthest float64 // what an unseen unit may differ by
}

// Compare compares two columns of scores of the same items.
//
// When all scores are 0 or 1, of one epoch, and items are independent, the
// interval is Agresti and Min's and the test McNemar's exact one. Otherwise
// the test flips the signs of the item differences, over clusters where there
// are any, and the interval is Student's t. Of scores in 0..1 it reaches, at
// each end, as far as Agresti and Min's does for the same number of units, and
// is clipped to -1..1.
func Compare(a, b []float64, opt Options) (Paired, error) {
	if len(a) != len(b) {
		return Paired{}, errLengths
	}
	if err := opt.check(len(a)); err != nil {
		return Paired{}, err
	}
	x, y, d, labels := common(a, b, opt.Clusters)
	if labels != nil && !clustered(labels) {
		labels = nil
	}
	e := estimateT(d, labels, opt.level())
	p := Paired{N: len(d), LeftOut: len(a) - len(d), MeanA: Mean(x), MeanB: Mean(y), P: math.NaN(),
		Delta: e.Mean, SE: e.SE, DF: e.DF, Interval: e.Interval, Method: e.Method, Clusters: e.Clusters, units: e.units()}
	p.Win, p.Tie, p.Loss = signs(d)
	if p.N == 0 {
		return p, nil
	}
	sums := d
	if labels != nil {
		sums = clusterSums(d, labels, 0)
	}
	up, _, down := signs(sums)
	p.Differing, p.Skewness = up+down, skewness(sums)
	if bounded(x) && bounded(y) {
		p.furthest = 1
		if f := furthestUnit(d, labels, 0); f > tied && !(rightOrWrong(x, opt.Epochs) && rightOrWrong(y, opt.Epochs)) {
			p.furthest = f
		}
	}
	if labels == nil && opt.Epochs <= 1 && binary(x) && binary(y) {
		p.DF, p.Method = math.NaN(), "agresti-min"
		p.P, p.Test = mcNemar(p.Win, p.Loss), "mcnemar exact"
	} else {
		p.P, p.Test = signFlip(sums, opt)
	}
	t := p.Interval.clip(-1, 1)
	if p.Interval = p.At(opt.level()); p.furthest > 0 && p.Method != "agresti-min" && p.Interval != t {
		p.Method += ", agresti-min"
	}
	return p, nil
}

// Units is how many independent ones, items or clusters, were compared.
func (p Paired) Units() int { return int(p.units) }

// Graded reports whether differences are of more than two sizes, so that the
// test is no McNemar test.
func (p Paired) Graded() bool { return p.Test != "mcnemar exact" }

// skewness is the third standardised moment.
func skewness(values []float64) float64 {
	mean := Mean(values)
	var squares, cubes accumulator
	for _, v := range values {
		d := v - mean
		squares.add(d * d)
		cubes.add(d * d * d)
	}
	n := float64(len(values))
	sd := math.Sqrt(squares.sum() / n)
	if !(sd > tied) {
		return math.NaN()
	}
	return cubes.sum() / n / (sd * sd * sd)
}

// At is the interval of the difference at another level, by the method of the
// one that Compare gave. The lower end at level 1-2α is the one-sided bound
// that the difference is above with probability 1-α.
func (p Paired) At(level float64) Interval {
	if p.Method == "agresti-min" {
		return agrestiMin(p.Win, p.Loss, p.N, level)
	}
	t := undefined
	if df := p.units - 1; df >= 1 {
		t = around(p.Delta, TQuantile(twoSided(level), df)*p.SE)
	}
	if p.furthest == 0 {
		return t
	}
	return t.clip(-1, 1).hull(p.agrestiMin(level))
}

// agrestiMin is Agresti and Min's interval for units that differ by more than
// 0 and ±1: two halves of a unit are added, one that is better and one that is
// worse by as much as a unit may be, beside one that is alike.
func (p Paired) agrestiMin(level float64) Interval {
	if p.N == 0 {
		return undefined
	}
	sum := p.Delta * p.units
	squares := p.furthest*p.furthest + sum*p.Delta
	if p.units > 1 {
		squares += (p.units - 1) * p.units * p.SE * p.SE
	}
	total := p.units + 2
	half := NormalQuantile(twoSided(level)) * math.Sqrt(math.Max(0, squares-sum*sum/total)) / total
	return around(sum/total, half).clip(-1, 1)
}

// NonInferior is the one-sided 1-alpha lower bound of the difference, by the
// method that made its interval, and whether it lies above -margin.
func (p Paired) NonInferior(margin, alpha float64) (lower float64, pass bool) {
	lower = p.At(1 - 2*alpha).Lower
	return lower, lower > -margin
}

// common keeps the items that both columns have a score for.
func common(a, b []float64, clusters []int32) (x, y, d []float64, labels []int32) {
	x, y, d = make([]float64, 0, len(a)), make([]float64, 0, len(a)), make([]float64, 0, len(a))
	if clusters != nil {
		labels = make([]int32, 0, len(a))
	}
	for i := range a {
		if !finite(a[i]) || !finite(b[i]) {
			continue
		}
		x, y, d = append(x, a[i]), append(y, b[i]), append(d, a[i]-b[i])
		if clusters != nil {
			labels = append(labels, clusters[i])
		}
	}
	return x, y, d, labels
}

// signs counts the differences above, at and below zero; differences of at
// most 1e-12 count as ties.
func signs(d []float64) (win, tie, loss int) {
	for _, v := range d {
		switch {
		case v > tied:
			win++
		case v < -tied:
			loss++
		default:
			tie++
		}
	}
	return win, tie, loss
}

// agrestiMin is the interval of a difference of two paired proportions, Wald's
// after adding half an observation to each of the four cells (A. Agresti and
// Y. Min, 2005), clipped to -1..1. aOnly and bOnly are the items that only one
// of the two got right, n all items.
func agrestiMin(aOnly, bOnly, n int, level float64) Interval {
	if n <= 0 {
		return undefined
	}
	z, total := NormalQuantile(twoSided(level)), float64(n)+2
	diff, discordant := float64(aOnly-bOnly), float64(aOnly+bOnly)+1
	half := z * math.Sqrt(discordant-diff*diff/total) / total
	return around(diff/total, half).clip(-1, 1)
}

// mcNemar is the exact two-sided p of McNemar's test: min(1, 2·P(X <= min))
// with X binomial over the discordant items at one half; 1 without any.
func mcNemar(aOnly, bOnly int) float64 {
	n := aOnly + bOnly
	if n == 0 {
		return 1
	}
	return math.Min(1, 2*binomial{n, 0.5}.cdf(min(aOnly, bOnly)))
}
