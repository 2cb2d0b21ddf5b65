package stats

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// NormalQuantile is the p-quantile of the standard normal distribution.
func NormalQuantile(p float64) float64 { return mathext.NormalQuantile(p) }

// TQuantile is the p-quantile of Student's t with df degrees of freedom. With
// x = df/(t²+df), the chance of a value beyond ±t is the regularized incomplete
// beta function I_x(df/2, 1/2).
func TQuantile(p, df float64) float64 {
	if !(df > 0) {
		return math.NaN()
	}
	x := mathext.InvRegIncBeta(df/2, 0.5, 2*math.Min(p, 1-p))
	return math.Copysign(math.Sqrt(df*(1-x)/x), p-0.5)
}

// A binomial is the number of successes in n independent trials with chance p
// each.
type binomial struct {
	n int
	p float64
}

// cdf is P(X <= k), the regularized incomplete beta function I_{1-p}(n-k, k+1).
func (x binomial) cdf(k int) float64 {
	switch {
	case k < 0:
		return 0
	case k >= x.n:
		return 1
	}
	return mathext.RegIncBeta(float64(x.n-k), float64(k+1), 1-x.p)
}

// prob is P(X = k) for k in 0..n.
func (x binomial) prob(k int) float64 {
	log := logFactorial(x.n) - logFactorial(k) - logFactorial(x.n-k)
	if k > 0 {
		log += float64(k) * math.Log(x.p)
	}
	if k < x.n {
		log += float64(x.n-k) * math.Log1p(-x.p)
	}
	return math.Exp(log)
}

func logFactorial(n int) float64 {
	v, _ := math.Lgamma(float64(n) + 1)
	return v
}

// quantile is the smallest k with P(X <= k) >= p.
func (x binomial) quantile(p float64) int {
	low, high := 0, x.n
	for low < high {
		mid := (low + high) / 2
		if x.cdf(mid) >= p {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}
