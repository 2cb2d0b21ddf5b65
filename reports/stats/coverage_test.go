package stats_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"nightshift/reports/stats"
)

// A sampling draws scores whose true mean is known.
type sampling struct {
	kind  string // row of the table
	units int    // column of the table
	name  string
	truth float64
	draw  func(r *rand.Rand) (values []float64, opt stats.Options)
}

// beta draws the share of right answers of one item or cluster: alike is the
// correlation of two answers of one, from 0 (all have the mean) to 1 (each is
// always right or always wrong).
func beta(r *rand.Rand, mean, alike float64) float64 {
	if alike <= 0 {
		return mean
	}
	scale := (1 - alike) / alike
	x, y := gamma(r, mean*scale), gamma(r, (1-mean)*scale)
	if x+y == 0 {
		return bit(r, mean)
	}
	return x / (x + y)
}

// gamma draws by the method of G. Marsaglia and W. W. Tsang (2000).
func gamma(r *rand.Rand, shape float64) float64 {
	if shape == 0 {
		return 0
	}
	if shape < 1 {
		return gamma(r, shape+1) * math.Pow(1-r.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	for {
		x := r.NormFloat64()
		v := 1 + x/math.Sqrt(9*d)
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-r.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

func bit(r *rand.Rand, p float64) float64 {
	if r.Float64() < p {
		return 1
	}
	return 0
}

// epochSampling has n items of k answers each.
func epochSampling(n, k int, p, alike float64) sampling {
	name := fmt.Sprintf("%d items of %d epochs, p %.2f, alike %.1f", n, k, p, alike)
	return sampling{"0/1, 2 to 5 epochs", n, name, p, func(r *rand.Rand) ([]float64, stats.Options) {
		v := make([]float64, n)
		for i := range v {
			share, right := beta(r, p, alike), 0.0
			for range k {
				right += bit(r, share)
			}
			v[i] = right / float64(k)
		}
		return v, stats.Options{Epochs: k}
	}}
}

// clusterSampling has c clusters of size items, of 1 to -size where it is
// negative.
func clusterSampling(c, size int, p, alike float64) sampling {
	name := fmt.Sprintf("%d clusters of %d, p %.2f, icc %.1f", c, size, p, alike)
	return sampling{"0/1, clusters of 2 to 10", c, name, p, func(r *rand.Rand) ([]float64, stats.Options) {
		var v []float64
		var labels []int32
		for label := range int32(c) {
			share, items := beta(r, p, alike), size
			if size < 0 {
				items = 1 + r.IntN(-size)
			}
			for range items {
				v, labels = append(v, bit(r, share)), append(labels, label)
			}
		}
		return v, stats.Options{Clusters: labels}
	}}
}

// duplicateSampling has n rows of which some repeat the first one, or every
// second the one before it where repeats is negative.
func duplicateSampling(n, repeats int, p, alike float64) sampling {
	name := fmt.Sprintf("%d rows, %d repeated, p %.2f, alike %.1f", n, repeats, p, alike)
	return sampling{"0/1, repeated prompts", n, name, p, func(r *rand.Rand) ([]float64, stats.Options) {
		v, labels := make([]float64, n), make([]int32, n)
		share := 0.0
		for i := range v {
			repeated := i > 0 && i <= repeats || repeats < 0 && i%2 == 1
			if labels[i] = int32(i); repeated {
				labels[i] = labels[i-1]
			} else {
				share = beta(r, p, alike)
			}
			v[i] = bit(r, share)
		}
		return v, stats.Options{Clusters: labels}
	}}
}

// gradedScores are what judges and similarities give.
var gradedScores = []struct {
	name string
	mean float64
	draw func(r *rand.Rand) float64
}{
	{"uniform", 0.5, func(r *rand.Rand) float64 { return r.Float64() }},
	{"a little below 1", 0.95, func(r *rand.Rand) float64 { return beta(r, 0.95, 0.1) }},
	{"mostly near 1", 0.9, func(r *rand.Rand) float64 { return beta(r, 0.9, 0.3) }},
	{"1, sometimes anything", 0.95, func(r *rand.Rand) float64 { return math.Max(bit(r, 0.9), r.Float64()) }},
	{"narrow", 0.3, func(r *rand.Rand) float64 { return 0.3 + 0.1*(r.Float64()+r.Float64()-1) }},
	{"five grades", 0.92, func(r *rand.Rand) float64 {
		switch u := r.Float64(); {
		case u < 0.8:
			return 1
		case u < 0.9:
			return 0.8
		case u < 0.98:
			return 0.5
		}
		return 0
	}},
}

// samplings are the grid of the table for one number of units.
func samplings(n int, ps, alikes []float64) []sampling {
	var all []sampling
	for _, p := range ps {
		for _, alike := range alikes {
			for _, k := range []int{2, 3, 5} {
				all = append(all, epochSampling(n, k, p, alike))
			}
			for _, size := range []int{2, 4, 10, -10} {
				all = append(all, clusterSampling(n, size, p, alike))
			}
			for _, repeats := range []int{1, n / 5, -1} {
				all = append(all, duplicateSampling(n, repeats, p, math.Min(1, alike/0.6)))
			}
		}
	}
	for _, g := range gradedScores {
		all = append(all, sampling{"graded, skewed or not", n, fmt.Sprintf("%d items, %s", n, g.name), g.mean,
			func(r *rand.Rand) ([]float64, stats.Options) {
				v := make([]float64, n)
				for i := range v {
					v[i] = g.draw(r)
				}
				return v, stats.Options{}
			}})
	}
	return all
}

// coverage is the share of draws whose interval holds the true mean.
func (s sampling) coverage(t *testing.T, r *rand.Rand, draws int) float64 {
	held := 0
	for range draws {
		values, opt := s.draw(r)
		e, err := stats.Score(values, opt)
		if err != nil {
			t.Fatal(err)
		}
		if e.Lower < 0 || e.Upper > 1 {
			t.Fatalf("%s: %+v", s.name, e)
		}
		if e.Lower <= s.truth && s.truth <= e.Upper {
			held++
		}
	}
	return float64(held) / float64(draws)
}

// TestCoverage: intervals of 95 % hold the true mean in 93 % of samples or
// more, whatever the number of items, their truth, epochs, clusters and
// repeated prompts; graded scores of five items in 90 %. The long form makes
// the table in docs/evaluation.md (-v shows it).
func TestCoverage(t *testing.T) {
	units, ps, alikes, draws := []int{5, 20}, []float64{0.5, 0.9, 0.98}, []float64{0, 0.6}, 250
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		units, ps, draws = []int{5, 10, 20, 50, 100}, []float64{0.5, 0.7, 0.9, 0.95, 0.98, 0.99}, 4000
		alikes = []float64{0, 0.1, 0.3, 0.6}
	}
	worst := map[string]map[int]float64{}
	for _, n := range units {
		for _, s := range samplings(n, ps, alikes) {
			r := rand.New(rand.NewPCG(uint64(n), uint64(draws)))
			c := s.coverage(t, r, draws)
			bound := 0.93
			if n == 5 && strings.HasPrefix(s.kind, "graded") {
				bound = 0.90
			}
			// Three and a half standard errors of the simulation.
			if c < bound-3.5*math.Sqrt(bound*(1-bound)/float64(draws)) {
				t.Errorf("%s: a 95 %% interval holds the truth in %.3f", s.name, c)
			}
			if worst[s.kind] == nil {
				worst[s.kind] = map[int]float64{}
			}
			if w, known := worst[s.kind][n]; !known || c < w {
				worst[s.kind][n] = c
			}
		}
	}
	for kind, row := range worst {
		t.Logf("| %s | %s |", kind, tableRow(units, row))
	}
}

func tableRow(units []int, row map[int]float64) string {
	var cells []string
	for _, n := range units {
		cells = append(cells, fmt.Sprintf("%.3f", row[n]))
	}
	return strings.Join(cells, " | ")
}

// TestProportionCoverage takes every number of items and every share of right
// ones: no simulation, the sum over all results.
func TestProportionCoverage(t *testing.T) {
	worst := map[int]float64{}
	step := 5
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		step = 1
	}
	for n := 5; n <= 100; n += step {
		intervals := make([]stats.Interval, n+1)
		for right := range intervals {
			intervals[right] = stats.Proportion(float64(right), float64(n), 0.95)
		}
		for percent := 50; percent <= 99; percent++ {
			p := float64(percent) / 100
			x, sum := distuv.Binomial{N: float64(n), P: p}, 0.0
			for right, v := range intervals {
				if v.Lower <= p && p <= v.Upper {
					sum += x.Prob(float64(right))
				}
			}
			if sum < 0.935 {
				t.Errorf("%d items, p %.2f: a 95 %% interval holds the truth in %.4f", n, p, sum)
			}
			if w, known := worst[n]; !known || sum < w {
				worst[n] = sum
			}
		}
	}
	units := []int{5, 10, 20, 50, 100}
	t.Logf("| 0/1, independent items | %s |", tableRow(units, worst))
}

// TestPairedCoverage: the same of differences of right or wrong answers, of
// equal models and of two that differ.
func TestPairedCoverage(t *testing.T) {
	units, alikes, draws := []int{5, 20}, []float64{0, 0.6}, 150
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		units, alikes, draws = []int{5, 10, 20, 50, 100}, []float64{0, 0.1, 0.3, 0.6}, 2000
	}
	worst := map[string]map[int]float64{}
	for _, n := range units {
		for _, ps := range [][2]float64{{0.5, 0.5}, {0.9, 0.9}, {0.98, 0.98}, {0.98, 0.9}, {0.7, 0.5}} {
			for _, alike := range alikes {
				for _, sample := range []func(p float64) sampling{
					func(p float64) sampling { return epochSampling(n, 3, p, alike) },
					func(p float64) sampling { return clusterSampling(n, 4, p, alike) },
					func(p float64) sampling { return clusterSampling(n, 10, p, alike) },
				} {
					x, y := sample(ps[0]), sample(ps[1])
					c := pairedCoverage(t, x, y, draws)
					if c < 0.93-3.5*math.Sqrt(0.93*0.07/float64(draws)) {
						t.Errorf("%s against p %.2f: a 95 %% interval holds the difference in %.3f", x.name, ps[1], c)
					}
					if worst[x.kind] == nil {
						worst[x.kind] = map[int]float64{}
					}
					if w, known := worst[x.kind][n]; !known || c < w {
						worst[x.kind][n] = c
					}
				}
			}
		}
	}
	for kind, row := range worst {
		t.Logf("| differences: %s | %s |", kind, tableRow(units, row))
	}
}

func pairedCoverage(t *testing.T, x, y sampling, draws int) float64 {
	r := rand.New(rand.NewPCG(uint64(x.units), 4))
	held, truth := 0, x.truth-y.truth
	for range draws {
		a, opt := x.draw(r)
		b, _ := y.draw(r)
		opt.Resamples = 1
		p := mustCompare(t, a, b, opt)
		if p.Lower < -1 || p.Upper > 1 {
			t.Fatalf("%s: %+v", x.name, p)
		}
		if p.Lower <= truth+1e-12 && truth-1e-12 <= p.Upper {
			held++
		}
	}
	return float64(held) / float64(draws)
}

// TestRatingCoverage: ratings of few prompts do not pass for certain.
func TestRatingCoverage(t *testing.T) {
	var ties []stats.Game
	for prompt := range int32(10) {
		for _, pair := range [][2]int{{0, 1}, {1, 2}, {0, 2}} {
			ties = append(ties, stats.Game{A: pair[0], B: pair[1], Points: 0.5, Prompt: prompt})
		}
	}
	r, err := stats.BradleyTerry(3, ties, stats.Options{Resamples: 200})
	if err != nil || r.Ranges[0].Upper-r.Ranges[0].Lower < 150 {
		t.Errorf("ten ties: %+v, %v", r, err)
	}
	draws := 150
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		draws = 2000
	}
	random := rand.New(rand.NewPCG(6, 2))
	for _, strengths := range [][]float64{{0, 0, 0}, {1.2, 0, -1.2}} {
		for _, prompts := range []int{5, 20} {
			held := 0
			for range draws {
				var games []stats.Game
				for prompt := range int32(prompts) {
					for _, pair := range [][2]int{{0, 1}, {1, 2}, {0, 2}} {
						wins := 1 / (1 + math.Exp(strengths[pair[1]]-strengths[pair[0]]))
						games = append(games, stats.Game{A: pair[0], B: pair[1], Points: bit(random, wins),
							Prompt: prompt})
					}
				}
				r, err := stats.BradleyTerry(3, games, stats.Options{Resamples: 200})
				if err != nil {
					t.Fatal(err)
				}
				truth := 1000 + 400/math.Ln10*strengths[0]
				if r.Ranges[0].Lower <= truth && truth <= r.Ranges[0].Upper {
					held++
				}
			}
			c := float64(held) / float64(draws)
			t.Logf("%d prompts, strengths %v: %.3f", prompts, strengths, c)
			if c < 0.93-3.5*math.Sqrt(0.93*0.07/float64(draws)) {
				t.Errorf("%d prompts, strengths %v: a 95 %% interval holds the rating in %.3f", prompts, strengths, c)
			}
		}
	}
}
