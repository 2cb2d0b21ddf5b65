package stats_test

import (
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"nightshift/reports/stats"
)

// simulations is how many pairs of models the calibration tests draw.
func simulations() int {
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		return 20_000
	}
	return 1000
}

// A world draws two models' scores on the same items; gap is how much better
// the first one truly is.
type world struct {
	name  string
	exact bool // the test has no randomness and keeps its level strictly
	draw  func(r *rand.Rand, gap float64) (a, b []float64, opt stats.Options)
}

// worlds differ in what is scored and in how items depend on each other. Items
// are of different difficulty, so the two models' scores are correlated.
var worlds = []world{
	{"binary", true, func(r *rand.Rand, gap float64) ([]float64, []float64, stats.Options) {
		a, b := pairs(r, 200, 1, gap, 0.25)
		return a, b, stats.Options{}
	}},
	{"binary, few items", true, func(r *rand.Rand, gap float64) ([]float64, []float64, stats.Options) {
		a, b := pairs(r, 25, 1, gap, 0.25)
		return a, b, stats.Options{}
	}},
	{"epochs", false, func(r *rand.Rand, gap float64) ([]float64, []float64, stats.Options) {
		a, b := pairs(r, 80, 5, gap, 0.25)
		return a, b, stats.Options{Epochs: 5, Resamples: 1999}
	}},
	{"graded", false, func(r *rand.Rand, gap float64) ([]float64, []float64, stats.Options) {
		a, b := make([]float64, 60), make([]float64, 60)
		for i := range a {
			item := r.Float64()
			a[i], b[i] = item+r.NormFloat64()/4+gap, item+r.NormFloat64()/4
		}
		return a, b, stats.Options{Resamples: 1999}
	}},
	{"clusters", false, func(r *rand.Rand, gap float64) ([]float64, []float64, stats.Options) {
		a, b, labels := make([]float64, 160), make([]float64, 160), make([]int32, 160)
		lean := 0.0
		for i := range a {
			if i%4 == 0 { // a passage suits one model more than the other
				lean = r.NormFloat64() / 4
			}
			a[i], b[i], labels[i] = r.NormFloat64()/4+lean+gap, r.NormFloat64()/4, int32(i/4)
		}
		return a, b, stats.Options{Clusters: labels, Resamples: 1999}
	}},
}

// pairs draws items of different difficulty and k answers of each model.
func pairs(r *rand.Rand, n, k int, gap, spread float64) (a, b []float64) {
	a, b = make([]float64, n), make([]float64, n)
	for i := range a {
		p := math.Max(0.02, math.Min(0.9, 0.6+spread*r.NormFloat64()))
		for range k {
			if r.Float64() < p+gap {
				a[i] += 1 / float64(k)
			}
			if r.Float64() < p {
				b[i] += 1 / float64(k)
			}
		}
		a[i], b[i] = math.Min(1, a[i]), math.Min(1, b[i])
	}
	return a, b
}

// TestNullCalibration: with no difference between the models, a regression
// (delta below 0, p < 0.05 two-sided) is announced at most 2.5 % of the time,
// and the interval holds the truth about 95 %.
func TestNullCalibration(t *testing.T) {
	n := simulations()
	// Three standard errors of a share of n simulations.
	slack := 3 * math.Sqrt(0.025*0.975/float64(n))
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(11, 7))
			fired, covered := 0, 0
			for range n {
				a, b, opt := w.draw(r, 0)
				p := mustCompare(t, a, b, opt)
				if p.Delta < 0 && p.P < 0.05 {
					fired++
				}
				if p.Lower <= 0 && 0 <= p.Upper {
					covered++
				}
			}
			rate, coverage := float64(fired)/float64(n), float64(covered)/float64(n)
			t.Logf("regression fired %.2f %%, interval covered %.1f %% of %d pairs", 100*rate, 100*coverage, n)
			limit := 0.025 + slack
			if w.exact {
				limit = 0.025
			}
			if rate > limit {
				t.Errorf("the regression gate fired on %.2f %% of pairs without a difference, limit %.2f %%", 100*rate,
					100*limit)
			}
			if coverage < 0.95-2*slack || coverage > 0.99 {
				t.Errorf("the 95 %% interval held the truth in %.1f %%", 100*coverage)
			}
		})
	}
}

// TestMcNemarGap: the exact test finds the gap that it is said to find four
// times out of five, not six or seven as by the normal approximation, where
// the share of items that differ is as it was.
func TestMcNemarGap(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	for _, tc := range []struct {
		n     int
		share float64
	}{{20, 0.4}, {50, 0.2}, {100, 0.1}, {200, 0.3}, {500, 0.05}} {
		differ := int(math.Round(tc.share * float64(tc.n)))
		a, b := make([]float64, tc.n), make([]float64, tc.n)
		for i := range differ {
			a[i], b[i] = float64(i%2), float64(1-i%2)
		}
		gap := mustCompare(t, a, b, stats.Options{}).Detectable(0.8, 0.05)
		found, n := 0, simulations()
		for range n {
			wins, losses := 0, 0
			for range tc.n {
				switch u := r.Float64(); {
				case u < (math.Max(tc.share, gap)+gap)/2:
					wins++
				case u < math.Max(tc.share, gap):
					losses++
				}
			}
			if stats.McNemar(wins, losses) <= 0.05 {
				found++
			}
		}
		power := float64(found) / float64(n)
		t.Logf("%d items, %.0f %% differ: a gap of %.3f is found in %.1f %%", tc.n, 100*tc.share, gap, 100*power)
		if math.Abs(power-0.8) > 4*math.Sqrt(0.16/float64(n)) {
			t.Errorf("%d items, %.0f %% differ: a gap of %.3f is found in %.1f %%, not in 80", tc.n, 100*tc.share, gap,
				100*power)
		}
	}
}

// TestNoSmallestGap: where the test cannot reach its level, no gap is named.
func TestNoSmallestGap(t *testing.T) {
	ones, none := []float64{1, 1, 1, 1, 1}, make([]float64, 5)
	if g := mustCompare(t, ones, none, stats.Options{}).Detectable(0.8, 0.05); !math.IsNaN(g) {
		t.Errorf("five wins of five: a gap of %v can be seen", g)
	}
	var a, b []float64
	var labels []int32
	for i := range 300 { // three clusters: p is never below .25
		a, b, labels = append(a, float64(i%2)), append(b, 0), append(labels, int32(i%3))
	}
	if g := mustCompare(t, a, b, stats.Options{Clusters: labels}).Detectable(0.8, 0.05); !math.IsNaN(g) {
		t.Errorf("three clusters: a gap of %v can be seen", g)
	}
	if g := mustCompare(t, a, b, stats.Options{}).Detectable(0.8, 0.05); !(g > 0 && g < 1) {
		t.Errorf("300 items of which half differ: %v", g)
	}
}

// TestPower: a true gap of the size that is called detectable is found about
// four times out of five, so the calibration above is not that of a test that
// finds nothing.
func TestPower(t *testing.T) {
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(5, 9))
			var gaps []float64 // one run's differs by chance
			for range 50 {
				a, b, opt := w.draw(r, 0)
				if g := mustCompare(t, a, b, opt).Detectable(0.8, 0.05); !math.IsNaN(g) {
					gaps = append(gaps, g)
				}
			}
			gap := stats.Mean(gaps)
			found, n := 0, simulations()/2
			for range n {
				a, b, opt := w.draw(r, gap)
				if p := mustCompare(t, a, b, opt); p.Delta > 0 && p.P < 0.05 {
					found++
				}
			}
			share := float64(found) / float64(n)
			t.Logf("a gap of %.3f was found in %.1f %% of %d runs", gap, 100*share, n)
			// A large gap saturates in a world of shares, and is smaller than told.
			if share < 0.5 || share > 0.9 {
				t.Errorf("a gap of %.3f was found in %.1f %% of runs, want about 80", gap, 100*share)
			}
		})
	}
}

// TestEpochsAreNotItems: the answers to one item are not independent, and
// intervals over items know it.
func TestEpochsAreNotItems(t *testing.T) {
	const items, k, truth = 60, 5, 0.5
	r := rand.New(rand.NewPCG(3, 1))
	byItem, byAnswer, n := 0, 0, simulations()
	for range n {
		answers := make([]float64, 0, items*k)
		for range items {
			p := r.Float64()
			for range k {
				v := 0.0
				if r.Float64() < p {
					v = 1
				}
				answers = append(answers, v)
			}
		}
		e, _ := stats.Score(stats.Epochs(answers, k).Means, stats.Options{Epochs: k})
		if e.Lower <= truth && truth <= e.Upper {
			byItem++
		}
		w := stats.Wilson(int(stats.Sum(answers)), len(answers), 0.95)
		if w.Lower <= truth && truth <= w.Upper {
			byAnswer++
		}
	}
	if c := float64(byItem) / float64(n); c < 0.93 {
		t.Errorf("intervals over items covered %.3f", c)
	}
	if c := float64(byAnswer) / float64(n); c > 0.9 {
		t.Errorf("intervals over answers covered %.3f: the simulation shows nothing", c)
	}
}

// TestPairedItems: summed over all outcomes of so many rows, the exact test finds
// the gap four times out of five, and with one row fewer it does not.
func TestPairedItems(t *testing.T) {
	for _, tc := range []struct{ gap, share float64 }{{0.3, 0.05}, {0.3, 0.4}, {0.2, 0.2}, {0.2, 0.4}, {0.1, 0.2}} {
		n := stats.PairedItems(tc.gap, tc.share, 0.8, 0.05)
		now, before := mcnemarPower(n, tc.gap, tc.share), mcnemarPower(n-1, tc.gap, tc.share)
		if now < 0.8-1e-6 || before >= 0.8 {
			t.Errorf("gap %v, share %v: %d rows find it in %.4f, one fewer in %.4f", tc.gap, tc.share, n, now, before)
		}
	}
	if n := stats.PairedItems(0, 0.2, 0.8, 0.05); n != -1 {
		t.Errorf("no gap needs %d rows", n)
	}
	if n := stats.PairedItems(0.01, 0.2, 0.8, 0.05); n < 15_600 || n > 15_800 {
		t.Errorf("a gap of a point needs %d rows, want (1.96+0.84)² × 0.1999 / 0.0001 = 15,690", n)
	}
}

// mcnemarPower is the chance that the exact test finds a gap, from the trinomial
// probability of every outcome.
func mcnemarPower(n int, gap, share float64) (power float64) {
	share = math.Max(share, gap)
	win, lose := (share+gap)/2, (share-gap)/2
	fact := func(k int) float64 { v, _ := math.Lgamma(float64(k) + 1); return v }
	term := func(k int, p float64) float64 {
		if k == 0 {
			return 0
		}
		return float64(k) * math.Log(p)
	}
	for wins := range n + 1 {
		for losses := range n - wins + 1 {
			if stats.McNemar(wins, losses) > 0.05 {
				continue
			}
			same := n - wins - losses
			power += math.Exp(fact(n) - fact(wins) - fact(losses) - fact(same) + term(wins, win) + term(losses, lose) +
				term(same, 1-share))
		}
	}
	return power
}
