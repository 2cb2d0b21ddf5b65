package stats

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

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
	// Detectable is the smallest true gap that such data would show at the 5 %
	// level four times out of five.
	Detectable float64
}

// Compare compares two columns of scores of the same items.
//
// When all scores are 0 or 1, of one epoch, and items are independent, the
// interval is Agresti and Min's and the test McNemar's exact one. Otherwise
// the interval is Student's t on the item differences and the test flips their
// signs, both over clusters where there are any.
func Compare(a, b []float64, opt Options) (Paired, error) {
	if len(a) != len(b) {
		return Paired{}, errLengths
	}
	if err := opt.check(len(a)); err != nil {
		return Paired{}, err
	}
	x, y, d, labels := common(a, b, opt.Clusters)
	p := Paired{N: len(d), LeftOut: len(a) - len(d), MeanA: Mean(x), MeanB: Mean(y), P: math.NaN()}
	p.Win, p.Tie, p.Loss = Signs(d)
	if labels != nil && clustered(labels) {
		p.take(clusteredT(d, labels, opt.level()))
		p.signFlip(clusterSums(d, labels, 0), opt)
		return p, nil
	}
	p.take(meanT(d, opt.level()))
	if opt.Epochs <= 1 && binary(x) && binary(y) {
		p.mcnemar(opt.level())
	} else {
		p.signFlip(d, opt)
	}
	return p, nil
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

func (p *Paired) take(e Estimate) {
	p.Delta, p.SE, p.DF, p.Interval, p.Method, p.Clusters = e.Mean, e.SE, e.DF, e.Interval, e.Method, e.Clusters
	p.Detectable = DetectableGap(p.SE, 0.8, 0.05)
}

func (p *Paired) mcnemar(level float64) {
	if p.N == 0 {
		return
	}
	p.Interval = AgrestiMin(p.Win, p.Loss, p.N, level)
	p.DF, p.Method = math.NaN(), "agresti-min"
	p.P, p.Test = McNemar(p.Win, p.Loss), "mcnemar exact"
}

func (p *Paired) signFlip(d []float64, opt Options) {
	if p.N == 0 {
		return
	}
	p.P, p.Test = SignFlip(d, opt)
}

// Signs counts the differences above, at and below zero; differences of at
// most 1e-12 count as ties.
func Signs(d []float64) (win, tie, loss int) {
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

// AgrestiMin is the interval of a difference of two paired proportions, Wald's
// after adding half an observation to each of the four cells (A. Agresti and
// Y. Min, 2005), clipped to -1..1. aOnly and bOnly are the items that only one
// of the two got right, n all items.
func AgrestiMin(aOnly, bOnly, n int, level float64) Interval {
	if n <= 0 {
		return undefined
	}
	z, total := NormalQuantile(twoSided(level)), float64(n)+2
	diff, discordant := float64(aOnly-bOnly), float64(aOnly+bOnly)+1
	half := z * math.Sqrt(discordant-diff*diff/total) / total
	return around(diff/total, half).clip(-1, 1)
}

// McNemar is the exact two-sided p of McNemar's test: min(1, 2·P(X <= min))
// with X binomial over the discordant items at one half; 1 without any.
func McNemar(aOnly, bOnly int) float64 {
	n := aOnly + bOnly
	if n == 0 {
		return 1
	}
	x := distuv.Binomial{N: float64(n), P: 0.5}
	return math.Min(1, 2*x.CDF(float64(min(aOnly, bOnly))))
}
