package stats

import "math"

// DetectableGap is the smallest true gap that a two-sided test at level alpha
// finds with the given power, when the standard error is se:
// (z_{1-alpha/2} + z_power)·se, which is 2.8016·se at 5 % and 80 %.
func DetectableGap(se, power, alpha float64) float64 {
	return (NormalQuantile(1-alpha/2) + NormalQuantile(power)) * se
}

// ItemsNeeded is how many items show a true gap of delta with the given power,
// when the item differences have variance diffVar (Miller 2024, section 5);
// rounded up. It is -1 when no number of items would do (a gap of 0).
func ItemsNeeded(delta, diffVar, power, alpha float64) int {
	z := NormalQuantile(1-alpha/2) + NormalQuantile(power)
	n := z * z * diffVar / (delta * delta)
	if !finite(n) || n > math.MaxInt32*1e3 {
		return -1
	}
	return int(math.Ceil(n - 1e-9))
}

// Detectable is the smallest true gap that such data would show at level alpha
// with the given power. NaN where so few units differ that the test cannot
// reach alpha, however they differ.
//
// For McNemar's exact test it is the exact power: of n items a share differs,
// as large as was seen, or as the gap itself where that is larger. For sign
// flips it is that of the t test, (t_{1-alpha/2} + t_power)·se.
func (p Paired) Detectable(power, alpha float64) float64 {
	if math.Pow(0.5, float64(p.Differing-1)) > alpha {
		return math.NaN()
	}
	if p.Method == "agresti-min" {
		return PairedGap(p.N, float64(p.Differing)/float64(p.N), power, alpha)
	}
	df := p.units - 1
	return (TQuantile(1-alpha/2, df) + TQuantile(power, df)) * p.SE
}

// exactGap is how many differing items are expected at most where power is
// taken from the exact test. Beyond, a normal approximation is as good.
const exactGap = 2000

// PairedGap is the smallest gap that McNemar's exact test finds with the
// given power, when a share of n items is right for one model alone; NaN when none
// does. Where the gap is larger than the share, that many differ.
func PairedGap(n int, share, power, alpha float64) float64 {
	if share*float64(n) > exactGap {
		return DetectableGap(math.Sqrt(share/float64(n)), power, alpha)
	}
	t := mcnemarTest{n: n, alpha: alpha, limits: map[int]int{}}
	low, high := 0.0, 1.0
	if t.power(share, high) < power {
		return math.NaN()
	}
	for high-low > 1e-4 {
		mid := (low + high) / 2
		if t.power(math.Max(share, mid), mid) >= power {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// PairedItems is how many items McNemar's exact test needs to show a gap with the
// given power, when a share of them, the gap at least, is right for one model
// alone. The exact power rises in steps with the number of items and falls a
// little between them: one item fewer does not do, some more may just not. It is
// -1 when no number would do.
func PairedItems(gap, share, power, alpha float64) int {
	share = math.Max(share, gap)
	n := ItemsNeeded(gap, share-gap*gap, power, alpha)
	if n < 0 || float64(n)*share > exactGap {
		return n
	}
	enough := func(n int) bool {
		t := mcnemarTest{n: n, alpha: alpha, limits: map[int]int{}}
		return t.power(share, gap) >= power
	}
	low, high := 0, max(n, 1)
	for !enough(high) {
		low, high = high, high+high/4+1
	}
	for high-low > 1 {
		if mid := (low + high) / 2; enough(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// A mcnemarTest knows which results the exact test calls significant.
type mcnemarTest struct {
	n      int
	alpha  float64
	limits map[int]int
}

// limit is the largest smaller count of k differing items that is significant;
// -1 when none is.
func (t *mcnemarTest) limit(k int) int {
	limit, known := t.limits[k]
	if !known {
		limit = binomial{k, 0.5}.quantile(t.alpha / 2)
		for limit >= 0 && mcNemar(limit, k-limit) > t.alpha {
			limit--
		}
		t.limits[k] = limit
	}
	return limit
}

// power is the chance of significance when a share of the items differs and
// the models differ by gap: (share+gap)/2 for one, (share-gap)/2 for the
// other.
func (t *mcnemarTest) power(share, gap float64) float64 {
	share = math.Max(share, gap)
	differing := binomial{t.n, share}
	spread := 5*math.Sqrt(float64(t.n)*share*(1-share)) + 1
	centre := float64(t.n) * share
	sum := 0.0
	for k := int(math.Max(1, centre-spread)); k <= int(math.Min(float64(t.n), centre+spread)); k++ {
		limit := t.limit(k)
		if limit < 0 {
			continue
		}
		losses := binomial{k, (1 - gap/share) / 2}
		found := losses.cdf(limit) + 1 - losses.cdf(k-limit-1)
		sum += differing.prob(k) * found
	}
	return sum
}

// ItemsForNonInferiority is how many items a non-inferiority test at one-sided
// level alpha needs to pass with the given power when the models are equal and
// the item differences have variance diffVar; -1 when no number would do.
func ItemsForNonInferiority(margin, diffVar, power, alpha float64) int {
	return ItemsNeeded(margin, diffVar, power, 2*alpha)
}
