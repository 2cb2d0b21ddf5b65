package stats_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"nightshift/reports/stats"
)

func near(a, b, tol float64) bool {
	return math.Abs(a-b) <= tol || math.IsNaN(a) && math.IsNaN(b)
}

func randomScores(r *rand.Rand, n int, binary bool) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = r.Float64()
		if binary {
			out[i] = math.Round(out[i])
		}
	}
	return out
}

func mustCompare(t testing.TB, a, b []float64, opt stats.Options) stats.Paired {
	t.Helper()
	p, err := stats.Compare(a, b, opt)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// settings are the ways in which scores are compared.
func settings(r *rand.Rand, n int) map[string]struct {
	a, b []float64
	opt  stats.Options
} {
	clusters := make([]int32, n)
	for i := range clusters {
		clusters[i] = int32(i / 3)
	}
	type setting = struct {
		a, b []float64
		opt  stats.Options
	}
	return map[string]setting{
		"binary":    {randomScores(r, n, true), randomScores(r, n, true), stats.Options{}},
		"graded":    {randomScores(r, n, false), randomScores(r, n, false), stats.Options{}},
		"epochs":    {randomScores(r, n, true), randomScores(r, n, true), stats.Options{Epochs: 3}},
		"clustered": {randomScores(r, n, true), randomScores(r, n, true), stats.Options{Clusters: clusters}},
	}
}

// TestAgainstItself: a model compared with itself shows nothing.
func TestAgainstItself(t *testing.T) {
	for name, s := range settings(rand.New(rand.NewPCG(1, 1)), 60) {
		p := mustCompare(t, s.a, s.a, s.opt)
		if p.Delta != 0 || p.P != 1 || p.Win != 0 || p.Loss != 0 || p.Tie != 60 || p.Lower > 0 || p.Upper < 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// TestSwap: swapping the models flips signs and nothing else.
func TestSwap(t *testing.T) {
	for name, s := range settings(rand.New(rand.NewPCG(2, 2)), 60) {
		p, q := mustCompare(t, s.a, s.b, s.opt), mustCompare(t, s.b, s.a, s.opt)
		if p.Delta != -q.Delta || p.Lower != -q.Upper || p.Upper != -q.Lower || p.P != q.P || p.SE != q.SE ||
			p.Win != q.Loss || p.Tie != q.Tie {
			t.Errorf("%s: %+v and swapped %+v", name, p, q)
		}
	}
}

// TestRowOrder: the same rows in another order give the same numbers to the
// last bit.
func TestRowOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for name, s := range settings(r, 300) {
		want := mustCompare(t, s.a, s.b, s.opt)
		wantScore, _ := stats.Score(s.a, s.opt)
		wantBoot, _ := stats.BootstrapMean(s.a, s.opt)
		for range 5 {
			order := r.Perm(len(s.a))
			a, b, opt := pick(s.a, order), pick(s.b, order), s.opt
			if opt.Clusters != nil {
				opt.Clusters = pick(opt.Clusters, order)
			}
			if got := mustCompare(t, a, b, opt); !same(got, want) {
				t.Errorf("%s: %+v, in another order %+v", name, want, got)
			}
			if got, _ := stats.Score(a, opt); got.Mean != wantScore.Mean || got.SE != wantScore.SE ||
				got.Interval != wantScore.Interval {
				t.Errorf("%s: %+v, in another order %+v", name, wantScore, got)
			}
			if got, _ := stats.BootstrapMean(a, opt); got != wantBoot {
				t.Errorf("%s: bootstrap %+v, in another order %+v", name, wantBoot, got)
			}
		}
	}
}

// same compares results in which DF may be NaN.
func same(a, b stats.Paired) bool {
	if math.IsNaN(a.DF) && math.IsNaN(b.DF) {
		a.DF, b.DF = 0, 0
	}
	return a == b
}

func pick[T any](values []T, order []int) []T {
	out := make([]T, len(order))
	for i, j := range order {
		out[i] = values[j]
	}
	return out
}

// TestDuplicates: rows written three times, as clusters, know no more than
// once.
func TestDuplicates(t *testing.T) {
	a := randomScores(rand.New(rand.NewPCG(4, 4)), 80, false)
	once, _ := stats.Score(a, stats.Options{})
	var thrice []float64
	var labels []int32
	for i, v := range a {
		thrice = append(thrice, v, v, v)
		labels = append(labels, int32(i), int32(i), int32(i))
	}
	all, err := stats.Score(thrice, stats.Options{Clusters: labels})
	if err != nil || !near(all.SE, once.SE, 1e-12) || !near(all.Lower, once.Lower, 1e-12) || all.Clusters != 80 {
		t.Errorf("Score = %+v, %v, want the error of %+v", all, err, once)
	}
	naive, _ := stats.Score(thrice, stats.Options{})
	if naive.SE > 0.6*once.SE {
		t.Errorf("without clusters the error would be %v, want well below %v", naive.SE, once.SE)
	}
}

// TestMissing: items without a score are left out on both sides, and counted.
func TestMissing(t *testing.T) {
	nan := math.NaN()
	p := mustCompare(t, []float64{1, nan, 0, 1}, []float64{0, 1, nan, 1}, stats.Options{})
	if p.N != 2 || p.LeftOut != 2 || p.Delta != 0.5 || p.Win != 1 || p.MeanA != 1 || p.MeanB != 0.5 {
		t.Errorf("Compare = %+v", p)
	}
	e, _ := stats.Score([]float64{nan, 1, math.Inf(1)}, stats.Options{})
	if e.N != 1 || e.Mean != 1 || !math.IsNaN(e.SE) || e.Method != "wilson" || e.Upper != 1 {
		t.Errorf("Score = %+v", e)
	}
	empty, err := stats.Score(nil, stats.Options{})
	if err != nil || !math.IsNaN(empty.Mean) || !math.IsNaN(empty.Lower) {
		t.Errorf("Score(nil) = %+v, %v", empty, err)
	}
	none := mustCompare(t, []float64{nan}, []float64{1}, stats.Options{})
	if none.N != 0 || !math.IsNaN(none.P) || !math.IsNaN(none.Delta) {
		t.Errorf("nothing in common: %+v", none)
	}
	if b := stats.MissingBounds(8, 9, 10); b != (stats.Interval{Lower: 0.8, Upper: 0.9}) {
		t.Errorf("MissingBounds = %+v", b)
	}
}

func TestBadInput(t *testing.T) {
	v := []float64{1, 0}
	for name, opt := range map[string]stats.Options{
		"no label":  {Clusters: []int32{0, -1}},
		"too few":   {Clusters: []int32{0}},
		"level":     {Level: 95},
		"bad level": {Level: -1},
	} {
		if _, err := stats.Score(v, opt); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := stats.Compare(v, v, opt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := stats.Compare(v, v[:1], stats.Options{}); err == nil {
		t.Error("columns of different lengths: no error")
	}
	if _, err := stats.ClusteredMean(v, nil, 0.95); err == nil {
		t.Error("no clusters: no error")
	}
}

// TestSum: the sum is exact whatever the order, where a plain loop is not.
func TestSum(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, tc := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0},
		{[]float64{1e100, 1, -1e100}, 1},
		{slices.Repeat([]float64{0.1}, 10), 1},
		{[]float64{1e16, 1, 1, -1e16}, 2},
		{[]float64{1, 1e-16, 1e-16}, 1 + 2e-16},
		{[]float64{math.MaxFloat64, 1, -math.MaxFloat64}, 1},
	} {
		for range 20 {
			r.Shuffle(len(tc.values), func(i, j int) { tc.values[i], tc.values[j] = tc.values[j], tc.values[i] })
			if got := stats.Sum(tc.values); got != tc.want {
				t.Errorf("Sum(%v) = %v, want %v", tc.values, got, tc.want)
			}
		}
	}
	if !math.IsNaN(stats.Sum([]float64{1, math.NaN(), 2})) {
		t.Error("a sum with NaN is a number")
	}
}

func TestGroupAndUnion(t *testing.T) {
	labels, n := stats.Group([]uint64{9, 4, 9, 7, 4})
	if n != 3 || !slices.Equal(labels, []int32{0, 1, 0, 2, 1}) {
		t.Errorf("Group = %v, %d", labels, n)
	}
	// Topics {0,1},{2,3},{4} and equal prompts {1,2}: one group of four.
	labels, n, err := stats.Union([]int32{5, 5, 1, 1, 0}, []int32{0, 1, 1, 2, 3})
	if err != nil || n != 2 || !slices.Equal(labels, []int32{0, 0, 0, 0, 1}) {
		t.Errorf("Union = %v, %d, %v", labels, n, err)
	}
	if _, _, err := stats.Union([]int32{0}, nil); err == nil {
		t.Error("labels of different lengths: no error")
	}
}

// TestSignFlipIsMcNemar: on 0/1 scores both exact tests are one.
func TestSignFlipIsMcNemar(t *testing.T) {
	for wins := range 9 {
		for losses := range 8 {
			var d []float64
			d = append(d, slices.Repeat([]float64{1}, wins)...)
			d = append(d, slices.Repeat([]float64{-1}, losses)...)
			p, test := stats.SignFlip(append(d, 0, 0), stats.Options{})
			if want := stats.McNemar(wins, losses); !near(p, want, 1e-12) || test != "sign-flip exact" {
				t.Errorf("%d against %d: sign flip %v (%s), McNemar %v", wins, losses, p, test, want)
			}
		}
	}
}

// TestRandomSignFlip: the random test agrees with the exact one, repeats
// itself, and is never 0.
func TestRandomSignFlip(t *testing.T) {
	var d []float64
	d = append(d, slices.Repeat([]float64{1}, 40)...)
	d = append(d, slices.Repeat([]float64{-1}, 25)...)
	p, test := stats.SignFlip(d, stats.Options{Resamples: 100_000})
	want := stats.McNemar(40, 25)
	if test != "sign-flip" || !near(p, want, 4*math.Sqrt(want/100_000)) {
		t.Errorf("SignFlip = %v (%s), want about %v", p, test, want)
	}
	again, _ := stats.SignFlip(d, stats.Options{Resamples: 100_000})
	if again != p {
		t.Errorf("the same test gave %v, then %v", p, again)
	}
	sure, _ := stats.SignFlip(slices.Repeat([]float64{1}, 200), stats.Options{})
	if sure != 1.0/10_001 {
		t.Errorf("200 wins of 200: p = %v", sure)
	}
}

func TestHolmKeepsOrderAndNaN(t *testing.T) {
	got := stats.Holm([]float64{0.04, math.NaN(), 0.01})
	if !near(got[0], 0.04, 1e-12) || !math.IsNaN(got[1]) || !near(got[2], 0.02, 1e-12) {
		t.Errorf("Holm = %v", got)
	}
	if len(stats.Holm(nil)) != 0 {
		t.Error("Holm(nil) is not empty")
	}
}

func TestBradleyTerry(t *testing.T) {
	var games []stats.Game
	for i := range 60 {
		prompt := int32(i)
		games = append(games,
			stats.Game{A: 0, B: 1, Points: []float64{1, 1, 0.5, 0}[i%4], Prompt: prompt},
			stats.Game{A: 1, B: 2, Points: []float64{1, 0, 1}[i%3], Prompt: prompt})
	}
	r, err := stats.BradleyTerry(3, games, stats.Options{Resamples: 500})
	if err != nil || r.Smoothed {
		t.Fatalf("BradleyTerry = %+v, %v", r, err)
	}
	// Two pairs in a chain: each gap is the log odds of its own points.
	for i, odds := range []float64{37.5 / 22.5, 2} {
		if gap := r.Ratings[i] - r.Ratings[i+1]; !near(gap, 400*math.Log10(odds), 1e-6) {
			t.Errorf("gap %d = %v, want %v", i, gap, 400*math.Log10(odds))
		}
	}
	if m := stats.Mean(r.Ratings); !near(m, 1000, 1e-9) {
		t.Errorf("mean rating %v", m)
	}
	for m, v := range r.Ranges {
		if !(v.Lower < r.Ratings[m] && r.Ratings[m] < v.Upper && v.Upper-v.Lower < 300) {
			t.Errorf("model %d: %v in %+v", m, r.Ratings[m], v)
		}
	}
	shuffled := slices.Clone(games)
	rand.New(rand.NewPCG(6, 6)).Shuffle(len(shuffled),
		func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	again, _ := stats.BradleyTerry(3, shuffled, stats.Options{Resamples: 500})
	if !slices.Equal(again.Ratings, r.Ratings) || !slices.Equal(again.Ranges, r.Ranges) {
		t.Errorf("the order of games shows: %+v, then %+v", r, again)
	}
}

func TestBradleyTerryWithoutMaximum(t *testing.T) {
	ratings, smoothed, err := stats.BradleyTerryPoints(2, []float64{0, 9, 0, 0})
	if err != nil || !smoothed || !near(ratings[0]-ratings[1], 400*math.Log10(19), 1e-6) {
		t.Errorf("9 to 0: %v, %v, %v, want the gap of 9.5 to 0.5", ratings, smoothed, err)
	}
	// Each won something, but a and b never lost to c and d.
	points := []float64{
		0, 1, 3, 0,
		1, 0, 0, 2,
		0, 0, 0, 1,
		0, 0, 1, 0,
	}
	if _, smoothed, err = stats.BradleyTerryPoints(4, points); err != nil || !smoothed {
		t.Errorf("two leagues: smoothed %v, %v", smoothed, err)
	}
	if _, _, err := stats.BradleyTerryPoints(3, []float64{0, 1, 0, 1, 0, 0, 0, 0, 0}); err != stats.ErrUnconnected {
		t.Errorf("a model that never played: %v", err)
	}
	if _, _, err := stats.BradleyTerryPoints(1, []float64{0}); err == nil {
		t.Error("one model: no error")
	}
	games := []stats.Game{{A: 0, B: 1, Points: 1, Prompt: 0}, {A: 0, B: 1, Points: 1, Prompt: 1}}
	if r, err := stats.BradleyTerry(2, games, stats.Options{Resamples: 50}); err != nil || !r.Smoothed {
		t.Errorf("BradleyTerry = %+v, %v", r, err)
	}
}

func TestEpochsWithGaps(t *testing.T) {
	nan := math.NaN()
	r := stats.Epochs([]float64{1, 0, nan, nan, 1, nan}, 2)
	if r.Items != 2 || r.Mean != 0.75 || r.Within != 0.5 || r.Unstable != 1 || !math.IsNaN(r.Means[1]) ||
		r.Means[2] != 1 {
		t.Errorf("Epochs = %+v", r)
	}
	one := stats.Epochs([]float64{1, 0, 1}, 1)
	if !math.IsNaN(one.Within) || !near(one.SE, math.Sqrt(1.0/9), 1e-12) {
		t.Errorf("one epoch: %+v", one)
	}
	steady := stats.Epochs([]float64{1, 1, 1, 1}, 2)
	if steady.Within != 0 || steady.Between != 0 || !math.IsNaN(steady.Removable) {
		t.Errorf("nothing varies: %+v", steady)
	}
}

// TestBootstrapBlocks: many items are dealt into blocks, and the interval stays
// that of the items.
func TestBootstrapBlocks(t *testing.T) {
	values := randomScores(rand.New(rand.NewPCG(7, 7)), 40_000, false)
	slices.Sort(values) // blocks of neighbours would see no variance
	se, err := stats.BootstrapMeanSE(values, stats.Options{Resamples: 1500})
	_, want := stats.MeanSE(values)
	if err != nil || !near(se/want, 1, 0.08) {
		t.Errorf("bootstrap se %v, %v, want about %v", se, err, want)
	}
}

func TestBootstrapClusters(t *testing.T) {
	values, labels := []float64{}, []int32{}
	r := rand.New(rand.NewPCG(8, 8))
	for c := range int32(50) {
		v := r.Float64()
		for range 4 {
			values, labels = append(values, v), append(labels, c)
		}
	}
	opt := stats.Options{Clusters: labels, Resamples: 3000}
	se, err := stats.BootstrapMeanSE(values, opt)
	want, _ := stats.ClusteredMean(values, labels, 0.95)
	if err != nil || !near(se/want.SE, 1, 0.08) {
		t.Errorf("bootstrap se %v, %v, want about %v", se, err, want.SE)
	}
}

func TestPercentileRange(t *testing.T) {
	sorted := make([]float64, 1001)
	for i := range sorted {
		sorted[i] = float64(i)
	}
	v := stats.PercentileRange(sorted, 0.5, 0.95)
	// The median's rank is binomial: 500.5 ∓ 1.96·15.8.
	if !near(v.Lower, 469, 2) || !near(v.Upper, 531, 2) {
		t.Errorf("PercentileRange = %+v, want about 469 to 531", v)
	}
	if v := stats.PercentileRange([]float64{7}, 0.99, 0.95); v.Lower != 7 || v.Upper != 7 {
		t.Errorf("one value: %+v", v)
	}
	if stats.TailKnown(99, 0.99) || !stats.TailKnown(100, 0.99) || !stats.TailKnown(20, 0.95) {
		t.Error("TailKnown: p99 needs 100 values, p95 20")
	}
}

func TestParetoUnknown(t *testing.T) {
	nan := math.NaN()
	got := stats.Pareto([]float64{nan, 1, 2, 3}, []float64{0.9, 0.5, 0.4, nan})
	if !slices.Equal(got, []bool{false, true, false, false}) {
		t.Errorf("Pareto = %v", got)
	}
}

func TestItemsNeeded(t *testing.T) {
	if n := stats.ItemsNeeded(0, 0.1, 0.8, 0.05); n != -1 {
		t.Errorf("no gap needs %d items", n)
	}
	if n := stats.ItemsForNonInferiority(0.02, 0.1, 0.8, 0.05); n != 1546 { // (1.644854+0.841621)²·0.1/0.0004
		t.Errorf("non-inferiority needs %d items", n)
	}
	if _, pass := stats.NonInferiorT(0, math.NaN(), math.NaN(), 0.1, 0.05); pass {
		t.Error("an undefined bound passes")
	}
}
