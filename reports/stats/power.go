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

// NonInferior reports whether delta is shown to lie above -margin: the
// one-sided 1-alpha lower bound of delta, Student's t with df degrees of
// freedom, and whether it does. An undefined bound does not pass.
func NonInferior(delta, se, df, margin, alpha float64) (lower float64, pass bool) {
	lower = delta - TQuantile(1-alpha, df)*se
	return lower, lower > -margin
}

// ItemsForNonInferiority is how many items a non-inferiority test at one-sided
// level alpha needs to pass with the given power when the models are equal and
// the item differences have variance diffVar; -1 when no number would do.
func ItemsForNonInferiority(margin, diffVar, power, alpha float64) int {
	return ItemsNeeded(margin, diffVar, power, 2*alpha)
}
