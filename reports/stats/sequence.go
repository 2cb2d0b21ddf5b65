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

// Interval is what is not excluded by what the gamblers own now: it and all intervals
// of before hold the mean with probability 1-alpha. That part of it which an earlier
// one has left is excluded as well, see [Sequence.Above]; what all of them have in common
// is no good interval, though, because it becomes ever narrower by chance.
func (s Sequence) Interval(alpha float64) Interval {
	return Interval{s.low + s.span*bound(s.up, 2/alpha), s.low + s.span*(1-bound(s.down, 2/alpha))}
}

// Lower is the end of a one-sided interval: the mean lies above it at all times with
// probability 1-alpha.
func (s Sequence) Lower(alpha float64) float64 { return s.low + s.span*bound(s.up, 1/alpha) }

// P is the p of a mean that was never excluded at a level above it, two-sided: it
// falls below alpha, ever, with probability alpha at most if that is the mean.
func (s Sequence) P(mean float64) float64 {
	m := (mean - s.low) / s.span
	return math.Min(1, 2/math.Max(most(s.up, m, math.Inf(1)), most(s.down, 1-m, math.Inf(1))))
}

// Above reports whether [Sequence.Interval] has ever been above a mean.
func (s Sequence) Above(mean, alpha float64) bool {
	return most(s.up, (mean-s.low)/s.span, 2/alpha) >= 2/alpha
}

// Below reports whether [Sequence.Interval] has ever been below a mean.
func (s Sequence) Below(mean, alpha float64) bool {
	return most(s.down, 1-(mean-s.low)/s.span, 2/alpha) >= 2/alpha
}

// bound is the highest mean against which the gambler above it owns so much. The capital
// falls as the mean rises.
func bound(values []float64, enough float64) float64 {
	low, high := 0.0, 1.0
	for range 30 {
		mid := (low + high) / 2
		if _, owns := play(values, mid, math.Inf(1)); owns >= enough {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// endless is a capital beyond which counting makes no sense.
const endless = 1e290

// most is the most that the capital of the gambler above m ever was; where it reaches
// enough it is counted no further.
func most(values []float64, m, enough float64) float64 {
	peak, _ := play(values, m, math.Min(enough, endless))
	return peak
}

// play is the most that the capital of the gambler above m ever was, beginning with 1, and what
// it is in the end, or when it reaches enough.
func play(values []float64, m, enough float64) (peak, owns float64) {
	if m <= 0 {
		return 1, 1 // nothing lies below the range
	}
	var capital [len(stakes)]float64
	for i := range capital {
		capital[i] = 1.0 / float64(len(stakes))
	}
	peak, owns = 1, 1
	for _, v := range values {
		ratio := v / m
		owns = 0
		for i, stake := range stakes {
			capital[i] *= 1 - stake + stake*ratio
			owns += capital[i]
		}
		if peak = max(peak, owns); peak >= enough {
			break
		}
	}
	return peak, owns
}
