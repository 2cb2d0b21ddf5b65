package compare

import (
	"math"
	"slices"

	"nightshift/reports/stats"
)

// A Pilot is what an earlier run says of how far two models' scores of the same
// row lie apart: what decides how many rows a comparison needs. It is that of the
// pair of models for which it is largest.
type Pilot struct {
	Scorer string
	Items  int
	// Share is that of the items which only one of the two models has right; NaN
	// where scores are not all 0 or 1, of one epoch and independent.
	Share float64
	// Variance is that of an item's difference, as large as if items were
	// independent: what they share by clusters makes it larger.
	Variance float64
	Clusters bool
}

// Pilots reads what each scorer of a run says, the headline first, for a further
// run of so many answers a row. Where the pilot has several a row, their variance
// within a row is known, and shrinks or grows with the number. ok is false where
// it has no two models with scores of the same rows.
func Pilots(dir string, epochs int) (list []Pilot, ok bool, err error) {
	c, err := Runs(Options{Runs: []string{dir}, AllPairs: true, Disagreements: -1, Gates: []string{}})
	if err != nil {
		return nil, false, err
	}
	for _, r := range c.Scorers {
		one := Pilot{Scorer: r.Name, Share: math.NaN(), Variance: -1}
		for _, d := range r.Deltas {
			if d.SE == nil || d.N < 2 {
				continue
			}
			v := r.variance(d, c.Epochs, epochs)
			if v <= one.Variance {
				continue
			}
			one.Variance, one.Items, one.Clusters = v, d.N, d.paired.Clusters > 0
			one.Share = math.NaN()
			if d.Method == "agresti-min" && epochs == 1 {
				one.Share = float64(d.Differing) / float64(d.N)
			}
		}
		if one.Variance >= 0 {
			list = append(list, one)
		}
	}
	return list, len(list) > 0, nil
}

// variance is that of an item's difference when each model answers so many times:
// the variance within items is divided by the number (Miller 2024, section 3.2).
func (r *scorerResult) variance(d delta, had, epochs int) float64 {
	v := *d.SE * *d.SE * float64(d.N)
	if had == epochs {
		return v
	}
	for _, label := range []string{d.Label, d.Against} {
		i := slices.IndexFunc(r.Repeats, func(s repeatScore) bool { return s.Label == label })
		if i < 0 || r.Repeats[i].Within == nil {
			continue
		}
		v += *r.Repeats[i].Within * (1/float64(epochs) - 1/float64(had))
	}
	return max(v, 0)
}

// Shows is the smallest difference that so many rows show with the given power at
// level alpha; NaN when they show none.
func (p Pilot) Shows(rows int, power, alpha float64) float64 {
	if !math.IsNaN(p.Share) {
		return stats.PairedGap(rows, p.Share, power, alpha)
	}
	if rows < fewestFlips(alpha) {
		return math.NaN()
	}
	return stats.DetectableGap(math.Sqrt(p.Variance/float64(rows)), power, alpha)
}

// Needs is how many rows show a difference of gap with the given power at level
// alpha; -1 when no number would do.
func (p Pilot) Needs(gap, power, alpha float64) int {
	if !math.IsNaN(p.Share) {
		return stats.PairedItems(gap, p.Share, power, alpha)
	}
	n := stats.ItemsNeeded(gap, p.Variance, power, alpha)
	if n < 0 {
		return n
	}
	return max(n, fewestFlips(alpha))
}

// fewestFlips is how many differences sign flips need to reach level alpha: their smallest p is 2/2ⁿ.
func fewestFlips(alpha float64) int { return int(math.Floor(1-math.Log2(alpha))) + 1 }
