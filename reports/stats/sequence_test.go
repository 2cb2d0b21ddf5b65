package stats_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"nightshift/reports/stats"
)

// A pairDraw draws the differences of a run of n pairs, whose true mean is 0.
type pairDraw struct {
	name string
	draw func(r *rand.Rand, n int) []float64
}

// rightOrWrongPairs differ in a share of the pairs.
func rightOrWrongPairs(share, gap float64) func(*rand.Rand, int) []float64 {
	return func(r *rand.Rand, n int) []float64 {
		d := make([]float64, n)
		for i := range d {
			switch u := r.Float64(); {
			case u < (share+gap)/2:
				d[i] = 1
			case u < share:
				d[i] = -1
			}
		}
		return d
	}
}

// nullDraws are differences of every kind without a true difference.
var nullDraws = []pairDraw{
	{name: "20 % differ", draw: rightOrWrongPairs(0.2, 0)},
	{name: "2 % differ", draw: rightOrWrongPairs(0.02, 0)},
	{name: "all differ", draw: rightOrWrongPairs(1, 0)},
	{name: "graded and skewed", draw: func(r *rand.Rand, n int) []float64 {
		d := make([]float64, n)
		for i := range d {
			if d[i] = 0.1; r.Float64() < 0.1 {
				d[i] = -0.9
			}
		}
		return d
	}},
	{name: "means of 3 epochs", draw: func(r *rand.Rand, n int) []float64 {
		d := make([]float64, n)
		for i := range d {
			p := 0.4 + 0.6*r.Float64()
			for range 3 {
				d[i] += (bit(r, p) - bit(r, p)) / 3
			}
		}
		return d
	}},
	{name: "a sorted list in random order, to its end", draw: func(r *rand.Rand, n int) []float64 {
		d := make([]float64, n)
		for i := range n / 5 {
			d[i] = float64(1 - 2*(i%2))
		}
		r.Shuffle(n, func(i, j int) { d[i], d[j] = d[j], d[i] })
		return d
	}},
}

// farAbove is a number of hits among so many runs that a true rate passes one time in
// a million: five standard deviations.
func farAbove(rate float64, runs int) float64 {
	return rate*float64(runs) + 5*math.Sqrt(rate*(1-rate)*float64(runs))
}

func sequenceOf(t *testing.T, values []float64, low, high float64) stats.Sequence {
	t.Helper()
	s, err := stats.NewSequence(values, low, high)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// 2,000 runs of 1,000 pairs in which nothing differs, each looked at after every
// pair: no more than alpha of them ever claim a difference. The seed is fixed.
func TestSequenceFalseDecisions(t *testing.T) {
	const runs, pairs, alpha = 2000, 1000, 0.05
	for _, d := range nullDraws {
		r := rand.New(rand.NewPCG(1, 2))
		wrong := 0
		for range runs {
			s := sequenceOf(t, d.draw(r, pairs), -1, 1)
			if s.Above(0, alpha) || s.Below(0, alpha) {
				wrong++
			}
		}
		t.Logf("%s: %.2f %% ever claim a difference", d.name, 100*float64(wrong)/runs)
		if float64(wrong) > farAbove(alpha, runs) {
			t.Errorf("%s: %d of %d runs claim a difference that there is not", d.name, wrong, runs)
		}
	}
}

// The mean of a score is never left by its interval, however near to 0 or 1 it is.
func TestSequenceCoverage(t *testing.T) {
	const runs, values, alpha = 500, 500, 0.05
	for _, mean := range []float64{0.02, 0.3, 0.5, 0.9, 0.99} {
		r := rand.New(rand.NewPCG(3, 4))
		outside, below := 0, 0
		for range runs {
			v := make([]float64, values)
			for i := range v {
				v[i] = bit(r, mean)
			}
			s := sequenceOf(t, v, 0, 1)
			if s.Above(mean, alpha) || s.Below(mean, alpha) {
				outside++
			}
			if s.Lower(alpha) > mean {
				below++
			}
		}
		t.Logf("mean %v: left in %d, its lower bound above it in %d of %d runs", mean, outside, below, runs)
		if most := farAbove(alpha, runs); float64(outside) > most || float64(below) > most {
			t.Errorf("mean %v: left in %d, its lower bound above it in %d of %d runs", mean, outside, below, runs)
		}
	}
}

// All that a sequence says goes together, and no mean that was excluded comes back.
func TestSequenceAgreesWithItself(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const alpha = 0.05
	values := rightOrWrongPairs(0.3, 0.1)(r, 800)
	means := []float64{-0.3, -0.05, 0, 0.05, 0.1, 0.4}
	gone := map[float64]bool{}
	for n := 0; n <= len(values); n += 40 {
		s := sequenceOf(t, values[:n], -1, 1)
		v := s.Interval(alpha)
		if mean := s.Mean(); n > 0 && !(v.Lower < mean && mean < v.Upper) {
			t.Errorf("after %d: %v lies outside %v", n, mean, v)
		}
		for _, m := range means {
			above, below := s.Above(m, alpha), s.Below(m, alpha)
			if v.Lower > m && !above || v.Upper < m && !below || gone[m] && !above && !below {
				t.Errorf("after %d: above %v %v, below %v; the interval is %v", n, m, above, below, v)
			}
			gone[m] = above || below
			if got := s.P(m) <= alpha; got != (above || below) {
				t.Errorf("after %d: p of %v is %v and the interval %v", n, m, s.P(m), v)
			}
		}
		if lower := s.Lower(alpha / 2); math.Abs(lower-v.Lower) > 1e-8 {
			t.Errorf("after %d: one-sided at alpha/2 %v, two-sided at alpha %v", n, lower, v.Lower)
		}
	}
	if !gone[0] || gone[0.1] {
		t.Errorf("800 pairs that differ by 10 points exclude %v", gone)
	}
}

// Capitals that a person can work out: after n values of 1 against a mean of 1/2,
// each stake f has grown to (1+f)^n.
func TestSequenceByHand(t *testing.T) {
	ones := []float64{1, 1, 1, 1}
	want := 0.0
	for _, f := range []float64{0.9, 0.6, 0.35, 0.2, 0.12, 0.07, 0.035} {
		want += math.Pow(1+f, 4) / 7
	}
	s := sequenceOf(t, ones, 0, 1)
	if got := s.P(0.5); math.Abs(got-2/want) > 1e-12 {
		t.Errorf("p of 1/2 after four values of 1: %v, want %v", got, 2/want)
	}
	if v := s.Interval(0.05); v.Upper != 1 {
		t.Errorf("four values of 1: %v does not reach 1", v)
	}
	empty := sequenceOf(t, nil, -1, 1)
	if v := empty.Interval(0.05); math.Abs(v.Lower+1) > 1e-8 || math.Abs(v.Upper-1) > 1e-8 || empty.P(0) != 1 {
		t.Errorf("without values: %v, p %v", v, empty.P(0))
	}
	for _, bad := range []float64{1.5, -0.1, math.NaN()} {
		if _, err := stats.NewSequence([]float64{0.5, bad}, 0, 1); err == nil {
			t.Errorf("%v passes for a value in 0..1", bad)
		}
	}
}

// firstDecided is after how many pairs a difference is claimed: what is claimed once is
// claimed for good. One more than there are when it never is.
func firstDecided(t *testing.T, values []float64, alpha float64) int {
	low, high := 0, len(values)+1
	for low+1 < high {
		mid := (low + high) / 2
		s := sequenceOf(t, values[:mid], -1, 1)
		if s.Above(0, alpha) || s.Below(0, alpha) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}

// Rows that it takes, as docs/measured/stopping.md has them.
func TestSequenceMedianRows(t *testing.T) {
	const runs, alpha = 200, 0.05
	for _, c := range []struct {
		share, gap float64
		rows, most int // of the dataset; the median at most, some ten per cent above what was measured
	}{
		{0.2, 0.03, 5000, 2000}, {0.2, 0.05, 5000, 720}, {0.2, 0.1, 5000, 190},
		{0.1, 0.03, 5000, 1060}, {0.1, 0.05, 5000, 400},
	} {
		r := rand.New(rand.NewPCG(7, 8))
		var first []int
		for range runs {
			first = append(first, firstDecided(t, rightOrWrongPairs(c.share, c.gap)(r, c.rows), alpha))
		}
		slices.Sort(first)
		median, late := first[runs/2], first[runs*9/10]
		t.Logf("%.0f points, %.0f %% differ: half are decided after %d rows, nine of ten after %d; a fixed test needs %d",
			100*c.gap, 100*c.share, median, late, stats.PairedItems(c.gap, c.share, 0.8, alpha))
		if median > c.most {
			t.Errorf("%v points, %v differ: the median is %d rows, more than %d", 100*c.gap, c.share, median, c.most)
		}
	}
}

// width is that of the interval, as a multiple of Agresti and Min's for the same pairs.
func width(t *testing.T, d []float64, alpha float64) float64 {
	a, b := make([]float64, len(d)), make([]float64, len(d))
	for i, v := range d {
		a[i], b[i] = math.Max(0, v), math.Max(0, -v)
	}
	fixed, err := stats.Compare(a, b, stats.Options{Level: 1 - alpha, Resamples: 1})
	if err != nil {
		t.Fatal(err)
	}
	v := sequenceOf(t, d, -1, 1).Interval(alpha)
	return (v.Upper - v.Lower) / (fixed.Upper - fixed.Lower)
}

// What it costs that one may look at any time: intervals are wider, and by less than twice
// where a hundred pairs or more are there.
func TestSequenceWidth(t *testing.T) {
	for _, n := range []int{100, 300, 1000, 3000, 10_000} {
		r := rand.New(rand.NewPCG(9, 10))
		var widths []float64
		for range 5 {
			widths = append(widths, width(t, rightOrWrongPairs(0.2, 0.05)(r, n), 0.05))
		}
		slices.Sort(widths)
		t.Logf("%d pairs: %.2f times as wide", n, widths[2])
		if !(widths[0] > 1) || !(widths[4] < 2.2) {
			t.Errorf("%d pairs: %v times as wide as an interval for a fixed number", n, widths)
		}
	}
}
