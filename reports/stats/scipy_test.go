package stats_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os/exec"
	"testing"

	"nightshift/reports/stats"
)

// A check is a statistic with its arguments and what we made of them, for
// crosscheck.py to compute again.
type check struct {
	Name string         `json:"name"`
	In   map[string]any `json:"in"`
	Out  map[string]any `json:"out"`
	Tol  float64        `json:"tol,omitempty"` // relative to the larger of 1 and the value
}

// TestAgainstSciPy compares random inputs with numpy's and scipy's results.
func TestAgainstSciPy(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("comparing with scipy needs python3")
	}
	r := rand.New(rand.NewPCG(20, 26))
	var checks []check
	for range 12 {
		checks = append(checks, checkMeans(r)...)
		checks = append(checks, checkPairs(r)...)
		checks = append(checks, checkRepeats(r)...)
		checks = append(checks, checkOthers(r)...)
	}
	checks = append(checks, checkRandom(r)...)
	in, err := json.Marshal(checks)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "testdata/crosscheck.py")
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == 77 {
		t.Skipf("comparing with scipy needs numpy and scipy: %s", out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

type m = map[string]any

func checkMeans(r *rand.Rand) []check {
	x := randomScores(r, 2+r.IntN(60), r.IntN(2) == 0)
	x[0] += 0.25 // no column without variance
	e := stats.MeanT(x, 0.95)
	k, n := r.IntN(50), 50+r.IntN(200)
	w := stats.Wilson(k, n, 0.9)
	labels := make([]int32, len(x))
	for i := range labels {
		labels[i] = r.Int32N(5)
	}
	labels[0], labels[1] = 0, 1
	c, _ := stats.ClusteredMean(x, labels, 0.95)
	p, df := 0.5+r.Float64()/2, 1+r.Float64()*50
	wide := []float64{r.NormFloat64() * 1e12, r.NormFloat64(), r.NormFloat64() * 1e-12, r.NormFloat64() * 1e12}
	return []check{
		{"t_interval", m{"x": x}, m{"mean": e.Mean, "se": e.SE, "lower": e.Lower, "upper": e.Upper}, 0},
		{"wilson", m{"k": k, "n": n, "level": 0.9}, m{"lower": w.Lower, "upper": w.Upper}, 0},
		{"clustered", m{"x": x, "labels": labels}, m{"se": c.SE, "lower": c.Lower, "upper": c.Upper}, 0},
		{"normal_quantile", m{"p": p}, m{"q": stats.NormalQuantile(p)}, 0},
		{"t_quantile", m{"p": p, "df": df}, m{"q": stats.TQuantile(p, df)}, 1e-8},
		{"sum", m{"x": wide}, m{"sum": stats.Sum(wide)}, 1e-18},
	}
}

func checkPairs(r *rand.Rand) []check {
	a, b := r.IntN(40), r.IntN(40)
	n := a + b + 1 + r.IntN(100)
	am := stats.AgrestiMin(a, b, n, 0.95)
	d := make([]float64, 1+r.IntN(10))
	for i := range d {
		d[i] = float64(r.IntN(9)-4) / 10
	}
	d[0] = 0.5
	flip, _ := stats.SignFlip(d, stats.Options{})
	large := 1 + r.IntN(200_000)
	return []check{
		{"agresti_min", m{"a_only": a, "b_only": b, "n": n}, m{"lower": am.Lower, "upper": am.Upper}, 0},
		{"mcnemar", m{"a_only": a, "b_only": b}, m{"p": stats.McNemar(a, b)}, 0},
		{"mcnemar", m{"a_only": large, "b_only": large + 500}, m{"p": stats.McNemar(large, large+500)}, 1e-8},
		{"sign_flip", m{"d": d}, m{"p": flip}, 0},
	}
}

func checkRepeats(r *rand.Rand) []check {
	n, k := 3+r.IntN(20), 2+r.IntN(5)
	flat := randomScores(r, n*k, false)
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = flat[i*k : (i+1)*k]
	}
	e := stats.Epochs(flat, k)
	samples := 5 + r.IntN(100)
	right := r.IntN(samples + 1)
	of := 1 + r.IntN(5)
	w, ties, l := r.IntN(30), r.IntN(30), 2+r.IntN(30)
	rate, se := stats.WinRate(w, ties, l)
	return []check{
		{"repeats", m{"scores": rows}, m{"mean": e.Mean, "se": e.SE, "within": e.Within, "between": e.Between,
			"removable": e.Removable}, 0},
		{"pass_at_k", m{"n": samples, "c": right, "k": of}, m{"value": stats.PassAtK(samples, right, of)}, 0},
		{"pass_hat_k", m{"n": samples, "c": right, "k": of}, m{"value": stats.PassHatK(samples, right, of)}, 0},
		{"win_rate", m{"w": w, "t": ties, "l": l}, m{"rate": rate, "se": se}, 0},
	}
}

func checkOthers(r *rand.Rand) []check {
	p := randomScores(r, 1+r.IntN(12), false)
	x := randomScores(r, 1+r.IntN(40), false)
	q := r.Float64()
	cost, score := randomScores(r, 30, false), randomScores(r, 30, true)
	score[0] = 1
	per, se := stats.CostPerCorrect(cost, score)
	models := 2 + r.IntN(4)
	points := make([]float64, models*models)
	square := make([][]float64, models)
	for i := range square {
		for j := range models {
			if i != j {
				points[i*models+j] = 1 + float64(r.IntN(40))/2
			}
		}
		square[i] = points[i*models : (i+1)*models]
	}
	ratings, _, _ := stats.BradleyTerryPoints(models, points)
	gap, v := 0.01+r.Float64()/10, r.Float64()/4
	return []check{
		{"holm", m{"p": p}, m{"adjusted": stats.Holm(p)}, 0},
		{"percentile", m{"x": x, "q": q}, m{"value": stats.Percentile(stats.Sorted(x), q)}, 0},
		{"ratio", m{"cost": cost, "score": score}, m{"ratio": per, "se": se}, 0},
		{"bradley_terry", m{"points": square}, m{"ratings": ratings}, 1e-5},
		{"power", m{"delta": gap, "var": v, "target": 0.9, "alpha": 0.01},
			m{"items": stats.ItemsNeeded(gap, v, 0.9, 0.01), "gap": stats.DetectableGap(math.Sqrt(v), 0.9, 0.01)}, 0},
	}
}

// checkRandom compares what is random on both sides, loosely.
func checkRandom(r *rand.Rand) []check {
	d := make([]float64, 40)
	for i := range d {
		d[i] = r.NormFloat64() + 0.2
	}
	p, _ := stats.SignFlip(d, stats.Options{Resamples: 50_000})
	x := randomScores(r, 50, false)
	v, _ := stats.BootstrapMean(x, stats.Options{Resamples: 20_000})
	cost, score := randomScores(r, 40, false), randomScores(r, 40, true)
	w, _, _ := stats.Bootstrap([][]float64{cost, score}, func(s []float64) float64 { return s[0] / s[1] },
		stats.Options{})
	return []check{
		{"sign_flip_random", m{"d": d}, m{"p": p}, 0.012},
		{"bootstrap_mean", m{"x": x}, m{"lower": v.Lower, "upper": v.Upper}, 0.006},
		{"bootstrap_ratio", m{"cost": cost, "score": score}, m{"lower": w.Lower, "upper": w.Upper}, 0.05},
	}
}
