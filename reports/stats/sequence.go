package stats

import (
	"errors"
	"math"
)

// A Sequence is a confidence sequence for the mean of bounded values that came
// one after the other: its intervals hold the mean at all times at once, so one may
// look at any time and stop for whatever was seen.
//
// It is made by betting (I. Waudby-Smith and A. Ramdas, "Estimating means of bounded
// random variables by betting", 2024, section 4 and appendix B). For a mean m, one
// gambler bets that values lie above m and one that they lie below. If m is the mean,
// neither game favours them, and by Ville's inequality (J. Ville, 1939) a capital of 1
// ever grows to 1/alpha with probability alpha at most. A mean against which one of
// them has ever won 2/alpha is therefore excluded, and what is excluded stays so
// (S. R. Howard, A. Ramdas, J. McAuliffe and J. Sekhon, "Time-uniform, nonparametric,
// nonasymptotic confidence sequences", 2021).
//
// Each gambler divides the capital among several stakes (see stakes). Values are
// taken to be drawn independently, or in random order; their order must not depend
// on what they are. Means are of the population that the values stand for, not of a
// finite list of which they are a part: drawing without replacement is not used to
// make the intervals narrower.
type Sequence struct {
	up, down  []float64 // distances from either end, as shares of the range
	low, span float64
}

// stakes are the shares of the most that may be staked, each with an equal part of
// the capital. Which is best depends on the mean and the spread (J. L. Kelly, 1956):
// large ones find large differences soon, small ones small differences at all. All
// together win at least a seventh of what the best of them does.
var stakes = [...]float64{0.9, 0.6, 0.35, 0.2, 0.12, 0.07, 0.035}

var errOutside = errors.New("a value lies outside its range")

// NewSequence takes values that lie in low..high, in the order in which they came.
func NewSequence(values []float64, low, high float64) (Sequence, error) {
	s := Sequence{low: low, span: high - low}
	for _, v := range values {
		if !(v >= low && v <= high) {
			return Sequence{}, errOutside
		}
		s.up, s.down = append(s.up, (v-low)/s.span), append(s.down, (high-v)/s.span)
	}
	return s, nil
}

// N is how many values there are.
func (s Sequence) N() int { return len(s.up) }

// Mean is the arithmetic mean; NaN without values.
func (s Sequence) Mean() float64 { return s.low + s.span*Mean(s.up) }

// Interval holds the mean at all times with probability 1-alpha. Where the two
// gamblers contradict each other, which happens with probability alpha at most, it is
// what lies between their bounds.
func (s Sequence) Interval(alpha float64) Interval {
	lower, upper := bound(s.up, 2/alpha), 1-bound(s.down, 2/alpha)
	return Interval{s.low + s.span*math.Min(lower, upper), s.low + s.span*math.Max(lower, upper)}
}

// Lower is the bound that the mean lies above at all times with probability
// 1-alpha.
func (s Sequence) Lower(alpha float64) float64 { return s.low + s.span*bound(s.up, 1/alpha) }

// P is the p of a mean that was never excluded at a level above it, two-sided: it
// falls below alpha, ever, with probability alpha at most if that is the mean.
func (s Sequence) P(mean float64) float64 {
	m := (mean - s.low) / s.span
	return math.Min(1, 2/math.Max(most(s.up, m, math.Inf(1)), most(s.down, 1-m, math.Inf(1))))
}

// Above reports whether [Sequence.Interval] lies above a mean.
func (s Sequence) Above(mean, alpha float64) bool {
	return most(s.up, (mean-s.low)/s.span, 2/alpha) >= 2/alpha
}

// Below reports whether [Sequence.Interval] lies below a mean.
func (s Sequence) Below(mean, alpha float64) bool {
	return most(s.down, 1-(mean-s.low)/s.span, 2/alpha) >= 2/alpha
}

// bound is the highest mean against which the gambler above it has won so much. The
// capital falls as the mean rises.
func bound(values []float64, capital float64) float64 {
	low, high := 0.0, 1.0
	for range 30 {
		if mid := (low + high) / 2; most(values, mid, capital) >= capital {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// endless is a capital beyond which counting makes no sense.
const endless = 1e290

// most is the most that the capital of the gambler above m ever was, beginning
// with 1; where it reaches enough it is counted no further.
func most(values []float64, m, enough float64) float64 {
	if m <= 0 {
		return 1 // nothing lies below the range
	}
	enough = math.Min(enough, endless)
	var capital [len(stakes)]float64
	for i := range capital {
		capital[i] = 1.0 / float64(len(stakes))
	}
	peak := 1.0
	for _, v := range values {
		sum, ratio := 0.0, v/m
		for i, stake := range stakes {
			capital[i] *= 1 - stake + stake*ratio
			sum += capital[i]
		}
		if peak = math.Max(peak, sum); peak >= enough {
			return peak
		}
	}
	return peak
}
