// Package stats holds the statistics of an evaluation: how well one model did,
// whether two models differ, and how far either figure can be trusted.
//
// Items are the unit of everything here. Scores are plain columns, one value
// an item, NaN where the item has no score; with several epochs the value is
// the item's mean over its epochs, because the epochs of one item are not
// independent of each other.
//
// A result that is undefined (the standard error of one item, the cost of a
// correct answer when there is none) is NaN, never 0. Sums are correctly
// rounded, so no result depends on the order of the rows. All functions are
// pure and safe for concurrent use; what is random takes a seed and gives the
// same answer every time.
package stats

import (
	"errors"
	"fmt"
	"math"
)

// Options say how items depend on each other and how sure to be. The zero
// value is independent items, one epoch, 95 % confidence.
type Options struct {
	// Level of two-sided intervals; 0 means 0.95.
	Level float64
	// Clusters labels each item with the group of dependent items it belongs
	// to, 0 or higher; nil means that all items are independent.
	Clusters []int32
	// Epochs is how many answers stand behind an item's score; 0 means one.
	Epochs int
	// Resamples of random tests and bootstraps; 0 means 10,000.
	Resamples int
	// Seed of random tests and bootstraps.
	Seed uint64
}

func (o Options) level() float64 {
	if o.Level == 0 {
		return 0.95
	}
	return o.Level
}

func (o Options) resamples() int {
	if o.Resamples <= 0 {
		return 10_000
	}
	return o.Resamples
}

// check reports labels that do not fit n items.
func (o Options) check(n int) error {
	if l := o.level(); !(l > 0 && l < 1) {
		return fmt.Errorf("confidence level %v: want a number between 0 and 1", l)
	}
	if o.Clusters == nil {
		return nil
	}
	if len(o.Clusters) != n {
		return fmt.Errorf("%d cluster labels for %d items", len(o.Clusters), n)
	}
	for i, c := range o.Clusters {
		if c < 0 {
			return fmt.Errorf("item %d has no cluster", i)
		}
	}
	return nil
}

// Interval is a range with both ends included.
type Interval struct{ Lower, Upper float64 }

func (v Interval) clip(lo, hi float64) Interval {
	return Interval{math.Max(lo, v.Lower), math.Min(hi, v.Upper)}
}

// hull is the smallest interval that holds both; an undefined one adds nothing.
func (v Interval) hull(w Interval) Interval {
	if math.IsNaN(v.Lower) {
		return w
	}
	if math.IsNaN(w.Lower) {
		return v
	}
	return Interval{math.Min(v.Lower, w.Lower), math.Max(v.Upper, w.Upper)}
}

// around is the interval centre -+ half.
func around(centre, half float64) Interval {
	return Interval{centre - half, centre + half}
}

var undefined = Interval{math.NaN(), math.NaN()}

var errLengths = errors.New("columns of different lengths")

// twoSided is the upper quantile point of a two-sided interval.
func twoSided(level float64) float64 { return 1 - (1-level)/2 }

// Sum is the correctly rounded sum of values: the float64 nearest to the exact
// sum, whatever their order (Shewchuk 1997, exact partial sums).
func Sum(values []float64) float64 {
	var a accumulator
	for _, v := range values {
		a.add(v)
	}
	return a.sum()
}

// Mean is the arithmetic mean; NaN without values.
func Mean(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	return Sum(values) / float64(len(values))
}

// MeanSE is the mean with its standard error s/sqrt(n), s with n-1. Fewer than
// two values have no standard error.
func MeanSE(values []float64) (mean, se float64) {
	mean = Mean(values)
	return mean, math.Sqrt(variance(values, mean) / float64(len(values)))
}

// Variance is the sample variance with n-1; NaN for fewer than two values.
func Variance(values []float64) float64 { return variance(values, Mean(values)) }

func variance(values []float64, mean float64) float64 {
	if len(values) < 2 {
		return math.NaN()
	}
	var a accumulator
	for _, v := range values {
		a.add((v - mean) * (v - mean))
	}
	return a.sum() / float64(len(values)-1)
}

// binary reports whether every value is 0 or 1.
func binary(values []float64) bool {
	for _, v := range values {
		if v != 0 && v != 1 {
			return false
		}
	}
	return true
}

// scored returns the values that are finite, and their cluster labels.
func scored(values []float64, labels []int32) ([]float64, []int32) {
	kept := make([]float64, 0, len(values))
	var groups []int32
	if labels != nil {
		groups = make([]int32, 0, len(values))
	}
	for i, v := range values {
		if !finite(v) {
			continue
		}
		kept = append(kept, v)
		if labels != nil {
			groups = append(groups, labels[i])
		}
	}
	return kept, groups
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// Defined is v for a JSON field; nil when it is undefined.
func Defined(v float64) *float64 {
	if !finite(v) {
		return nil
	}
	return &v
}
