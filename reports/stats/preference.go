package stats

import (
	"errors"
	"math"
	"slices"
)

// A Game is the result of model A against model B on one prompt.
type Game struct {
	A, B   int     // models, counted from 0
	Points float64 // of A: 1 a win, 0.5 a tie, 0 a loss
	Prompt int32   // label of the prompt, 0 or higher
}

// A Rating places several models on one scale by their preferences.
type Rating struct {
	Ratings []float64  // by model, mean 1000; 400 points are odds of ten to one
	Ranges  []Interval // bootstrap over prompts
	// Smoothed says that some model never won or never lost, which has no
	// finite maximum likelihood, so that half a win each way was added to
	// every pair that met.
	Smoothed bool
}

// ErrUnconnected says that no chain of comparisons links all models, so that
// no common scale exists.
var ErrUnconnected = errors.New("some models were never compared, not even through others")

// BradleyTerry rates models by maximum likelihood (R. A. Bradley and M. E.
// Terry, 1952), a tie being half a win each. There is no order of games, hence
// no Elo.
//
// An interval reaches as far as the percentiles over resampled prompts or, at
// each end, the one that the likelihood gives where half a win each way is
// added: resampling alone has no width where all games end alike, however few
// they are.
func BradleyTerry(models int, games []Game, opt Options) (Rating, error) {
	columns, labels := gameColumns(models, games)
	sums := make([]float64, len(columns))
	for j, c := range columns {
		sums[j] = Sum(c)
	}
	ratings, smoothed, err := bradleyTerryPoints(models, sums)
	if err != nil {
		return Rating{}, err
	}
	opt.Clusters = labels
	ranges, err := ratingRanges(models, columns, opt)
	if err != nil {
		return Rating{}, err
	}
	for m, v := range likelihoodRanges(models, pointsByPrompt(models, games), opt.level()) {
		ranges[m] = ranges[m].hull(v)
	}
	return Rating{Ratings: ratings, Ranges: ranges, Smoothed: smoothed}, nil
}

// gameColumns has one column for each ordered pair of models: the points that
// the first took from the second.
func gameColumns(models int, games []Game) (columns [][]float64, prompts []int32) {
	columns = make([][]float64, models*models)
	for j := range columns {
		columns[j] = make([]float64, len(games))
	}
	prompts = make([]int32, len(games))
	for i, g := range games {
		columns[g.A*models+g.B][i] = g.Points
		columns[g.B*models+g.A][i] = 1 - g.Points
		prompts[i] = g.Prompt
	}
	return columns, prompts
}

func ratingRanges(models int, columns [][]float64, opt Options) ([]Interval, error) {
	draws := make([][]float64, models)
	err := resample(columns, opt, func(sums []float64) {
		ratings, _, err := bradleyTerryPoints(models, sums)
		if err != nil {
			return // a draw in which some models did not meet says nothing
		}
		for m, r := range ratings {
			draws[m] = append(draws[m], r)
		}
	})
	tail := (1 - opt.level()) / 2
	ranges := make([]Interval, models)
	for m := range ranges {
		slices.Sort(draws[m])
		ranges[m] = Interval{percentile(draws[m], tail), percentile(draws[m], 1-tail)}
	}
	return ranges, err
}

// pointsByPrompt are the points that each model took from each other one, as if
// every prompt had been played once: further games on a prompt are no further
// evidence.
func pointsByPrompt(models int, games []Game) []float64 {
	points := make([]float64, models*models)
	played := make([]float64, models*models)
	prompts := map[[3]int32]bool{}
	distinct := make([]float64, models*models)
	for _, g := range games {
		points[g.A*models+g.B] += g.Points
		points[g.B*models+g.A] += 1 - g.Points
		pair := min(g.A, g.B)*models + max(g.A, g.B)
		played[pair]++
		if key := [3]int32{int32(min(g.A, g.B)), int32(max(g.A, g.B)), g.Prompt}; !prompts[key] {
			prompts[key] = true
			distinct[pair]++
		}
	}
	for a := range models {
		for b := range models {
			if pair := min(a, b)*models + max(a, b); played[pair] > 0 {
				points[a*models+b] *= distinct[pair] / played[pair]
			}
		}
	}
	return points
}

// likelihoodRanges are ratings with normal intervals from the curvature of the
// likelihood, half a win each way added to every pair that met.
func likelihoodRanges(models int, points []float64, level float64) []Interval {
	ranges := slices.Repeat([]Interval{undefined}, models)
	points = halfWins(models, points)
	strengths := fitStrengths(models, points)
	_, hessian := slopes(models, points, strengths)
	factors, ok := factorize(hessian)
	if !ok {
		return ranges
	}
	z := NormalQuantile(twoSided(level))
	for m := range ranges {
		unit := make([]float64, models)
		unit[m] = 1
		// The direction (1, …, 1), which was added to pin the sum, has no uncertainty.
		variance := math.Max(0, factors.solve(unit)[m]-1/float64(models))
		ranges[m] = around(1000+400/math.Ln10*strengths[m], 400/math.Ln10*z*math.Sqrt(variance))
	}
	return ranges
}

// bradleyTerryPoints rates models from totals: points[a*models+b] is what a
// took from b, ties counted half. smoothed says that half a win each way was
// added to every pair that met, because the likelihood had no maximum.
func bradleyTerryPoints(models int, points []float64) (ratings []float64, smoothed bool, err error) {
	if models < 2 || len(points) != models*models {
		return nil, false, errors.New("Bradley-Terry wants two or more models and a square of points")
	}
	met := func(a, b int) bool { return points[a*models+b]+points[b*models+a] > 0 }
	if !reachesAll(models, met) {
		return nil, false, ErrUnconnected
	}
	took := func(a, b int) bool { return points[a*models+b] > 0 }
	gave := func(a, b int) bool { return points[b*models+a] > 0 }
	if !reachesAll(models, took) || !reachesAll(models, gave) {
		points, smoothed = halfWins(models, points), true
	}
	strengths := fitStrengths(models, points)
	for i, s := range strengths {
		strengths[i] = 1000 + 400/math.Ln10*s
	}
	return strengths, smoothed, nil
}

// reachesAll reports whether every model can be reached from the first.
func reachesAll(models int, edge func(a, b int) bool) bool {
	seen, queue := make([]bool, models), []int{0}
	seen[0] = true
	for len(queue) > 0 {
		a := queue[0]
		queue = queue[1:]
		for b := range models {
			if !seen[b] && a != b && edge(a, b) {
				seen[b] = true
				queue = append(queue, b)
			}
		}
	}
	return !slices.Contains(seen, false)
}

func halfWins(models int, points []float64) []float64 {
	more := slices.Clone(points)
	for a := range models {
		for b := range models {
			if a != b && points[a*models+b]+points[b*models+a] > 0 {
				more[a*models+b] += 0.5
			}
		}
	}
	return more
}

// fitStrengths maximises the likelihood by Newton's method; strengths sum to
// zero. Steps are halved until the likelihood grows, which it can: it is
// concave.
func fitStrengths(models int, points []float64) []float64 {
	strengths := make([]float64, models)
	best := likelihood(points, strengths)
	for range 100 {
		step, ok := newtonStep(models, points, strengths)
		if !ok {
			break
		}
		next, value := tryStep(points, strengths, step, best)
		if value <= best {
			break
		}
		strengths, best = next, value
		if maxAbs(step) < 1e-12 {
			break
		}
	}
	return strengths
}

// tryStep halves the step until the likelihood is higher than best, a few
// dozen times at most.
func tryStep(points, strengths, step []float64, best float64) (next []float64, value float64) {
	next = make([]float64, len(strengths))
	for scale := 1.0; scale > 1e-9; scale /= 2 {
		for i := range next {
			next[i] = strengths[i] + scale*step[i]
		}
		if value = likelihood(points, next); value > best {
			return next, value
		}
	}
	return strengths, best
}

func likelihood(points, strengths []float64) float64 {
	m, sum := len(strengths), 0.0
	for a := range m {
		for b := range m {
			if w := points[a*m+b]; w > 0 && a != b {
				sum -= w * math.Log1p(math.Exp(strengths[b]-strengths[a]))
			}
		}
	}
	return sum
}

// slopes are the gradient and the negative Hessian of the likelihood, of which
// the lower half is filled. It only knows differences, so the Hessian is
// singular along (1, …, 1); adding that direction to it pins the sum of the
// strengths.
func slopes(models int, points, strengths []float64) (gradient []float64, hessian [][]float64) {
	gradient, hessian = make([]float64, models), make([][]float64, models)
	for a := range models {
		hessian[a] = slices.Repeat([]float64{1 / float64(models)}, a+1)
	}
	for a := range models {
		for b := range a {
			won, lost := points[a*models+b], points[b*models+a]
			p := 1 / (1 + math.Exp(strengths[b]-strengths[a]))
			slope, curve := won-(won+lost)*p, (won+lost)*p*(1-p)
			gradient[a] += slope
			gradient[b] -= slope
			hessian[a][a] += curve
			hessian[b][b] += curve
			hessian[a][b] -= curve
		}
	}
	return gradient, hessian
}

func newtonStep(models int, points, strengths []float64) ([]float64, bool) {
	gradient, hessian := slopes(models, points, strengths)
	factors, ok := factorize(hessian)
	if !ok {
		return nil, false
	}
	return factors.solve(gradient), true
}

func maxAbs(values []float64) float64 {
	m := 0.0
	for _, v := range values {
		m = math.Max(m, math.Abs(v))
	}
	return m
}
