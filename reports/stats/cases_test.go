package stats_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nightshift/reports/stats"
)

// A caseFile is a file of reference values: name a statistic, give its input,
// say what comes out. null stands for undefined.
type caseFile struct {
	Cases []statCase `json:"cases"`
}

type statCase struct {
	ID       string          `json:"id"`
	Function string          `json:"function"`
	Input    json.RawMessage `json:"input"`
	Expected map[string]any  `json:"expected"`
	Tol      float64         `json:"tol"`
}

// TestCases runs our own cases, the reference cases beside the repository and
// those that NIGHTSHIFT_STATS_CASES lists. An unknown statistic fails.
func TestCases(t *testing.T) {
	files := append([]string{"testdata/cases.json"}, foreignCases(t)...)
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var file caseFile
			if err := json.Unmarshal(raw, &file); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if len(file.Cases) == 0 {
				t.Fatalf("%s holds no cases", path)
			}
			for _, c := range file.Cases {
				t.Run(c.ID, func(t *testing.T) { checkCase(t, c) })
			}
		})
	}
}

// foreignCases lists the files of NIGHTSHIFT_STATS_CASES and the reference
// files beside the repository.
func foreignCases(t *testing.T) []string {
	files := filepath.SplitList(os.Getenv("NIGHTSHIFT_STATS_CASES"))
	shared, err := filepath.Glob(filepath.Join("..", "..", "..", "shared", "data", "stats_cases*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if files = append(files, shared...); len(files) == 0 {
		t.Run("reference", func(t *testing.T) {
			t.Skip("the reference cases need ../shared or NIGHTSHIFT_STATS_CASES")
		})
	}
	return files
}

func checkCase(t *testing.T, c statCase) {
	run, known := statistics[c.Function]
	if !known {
		t.Fatalf("unknown statistic %q", c.Function)
	}
	var in input
	if err := json.Unmarshal(c.Input, &in); err != nil {
		t.Fatalf("input: %v", err)
	}
	in.raw = c.Input
	got, err := run(in)
	if want, ok := c.Expected["error"]; ok {
		checkError(t, c.Function, err, want)
		return
	}
	if err != nil {
		t.Fatalf("%s: %v", c.Function, err)
	}
	if in.bounded() && (c.Function == "mean_ci_t" || c.Function == "clustered_mean_ci") {
		// Some references state the bare t interval of scores in 0..1.
		clipLimits(got)
		clipLimits(c.Expected)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Expected)) {
		value, known := got[name]
		if !known {
			t.Errorf("%s does not give %q", c.Function, name)
			continue
		}
		tol := c.Tol
		if want, ok := c.Expected[name].(float64); ok && c.Function == "bootstrap_se_mean" {
			tol *= math.Abs(want)
		}
		compare(t, name, value, c.Expected[name], tol)
	}
}

// checkError wants an error where the case says true or a part of its words.
func checkError(t *testing.T, function string, err error, want any) {
	t.Helper()
	text, isText := want.(string)
	switch {
	case want == false && err != nil:
		t.Errorf("%s: %v", function, err)
	case want == false:
	case err == nil:
		t.Errorf("%s: no error, want %v", function, want)
	case isText && !strings.Contains(err.Error(), text):
		t.Errorf("%s: %v, want an error that says %q", function, err, text)
	}
}

func clipLimits(r results) {
	for _, name := range []string{"lower", "upper"} {
		if v, ok := r[name].(float64); ok {
			r[name] = math.Max(0, math.Min(1, v))
		}
	}
}

func (in input) bounded() bool {
	return !slices.ContainsFunc(in.Values, func(v float64) bool { return v < 0 || v > 1 })
}

// compare walks both values; got holds what Go code returned.
func compare(t *testing.T, name string, got, want any, tol float64) {
	t.Helper()
	switch want := want.(type) {
	case nil:
		if v, ok := got.(float64); !ok || !math.IsNaN(v) {
			t.Errorf("%s = %v, want undefined", name, got)
		}
	case float64:
		if v := number(got); !(math.Abs(v-want) <= tol) {
			t.Errorf("%s = %v, want %v within %v", name, v, want, tol)
		}
	case []any:
		list := items(got)
		if len(list) != len(want) {
			t.Fatalf("%s = %v, want %v", name, got, want)
		}
		for i := range want {
			compare(t, fmt.Sprintf("%s[%d]", name, i), list[i], want[i], tol)
		}
	case map[string]any:
		for key := range want {
			compare(t, name+"."+key, got.(map[string]float64)[key], want[key], tol)
		}
	default:
		if got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
}

func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case int:
		return float64(v)
	}
	return math.NaN()
}

func items(v any) []any {
	var list []any
	switch v := v.(type) {
	case []float64:
		for _, x := range v {
			list = append(list, x)
		}
	case []string:
		for _, x := range v {
			list = append(list, x)
		}
	}
	return list
}

// input has the arguments of every statistic; each case fills in its own.
type input struct {
	Values      []float64  `json:"values"`
	P           any        `json:"p"`
	DF          any        `json:"df"`
	Level       float64    `json:"level"`
	Successes   int        `json:"successes"`
	N           int        `json:"n"`
	Clusters    []any      `json:"clusters"`
	A           []*float64 `json:"a"`
	B           []*float64 `json:"b"`
	AOnly       int        `json:"a_only"`
	BOnly       int        `json:"b_only"`
	Differences []float64  `json:"differences"`
	Exceed      int        `json:"exceed"`
	Resamples   int        `json:"resamples"`
	Correct     int        `json:"correct"`
	K           int        `json:"k"`
	Scores      [][]any    `json:"scores"`
	Delta       float64    `json:"delta"`
	DiffVar     float64    `json:"diff_var"`
	Power       float64    `json:"power"`
	Alpha       float64    `json:"alpha"`
	SE          float64    `json:"se"`
	Margin      float64    `json:"margin"`
	Pairs       []pair     `json:"pairs"`
	Scale       float64    `json:"scale"`
	Mean        float64    `json:"mean"`
	Wins        int        `json:"wins"`
	Ties        int        `json:"ties"`
	Losses      int        `json:"losses"`
	Q           []float64  `json:"q"`
	Cost        []float64  `json:"cost"`
	Score       []float64  `json:"score"`
	Means       []float64  `json:"means"`
	SEs         []float64  `json:"ses"`
	Scored      int        `json:"scored"`
	Total       int        `json:"total"`
	Sum         float64    `json:"sum"`
	Answers     []string   `json:"answers"`

	Points map[string][2]float64 `json:"points"`

	Judge  []any              `json:"judge"`
	Human  []any              `json:"human"`
	Grades map[string]float64 `json:"grades"`

	raw json.RawMessage
}

type pair struct {
	A     string  `json:"a"`
	B     string  `json:"b"`
	AWins float64 `json:"a_wins"`
	BWins float64 `json:"b_wins"`
	Ties  float64 `json:"ties"`
}

// level is the confidence level, 95 % unless given.
func (in input) level() float64 {
	if in.Level == 0 {
		return 0.95
	}
	return in.Level
}

func (in input) power() (power, alpha float64) {
	power, alpha = in.Power, in.Alpha
	if power == 0 {
		power = 0.8
	}
	if alpha == 0 {
		alpha = 0.05
	}
	return power, alpha
}

// labels numbers the clusters; a missing id is -1.
func (in input) labels() []int32 {
	seen, out := map[any]int32{}, make([]int32, len(in.Clusters))
	for i, c := range in.Clusters {
		if c == nil {
			out[i] = -1
			continue
		}
		if _, ok := seen[c]; !ok {
			seen[c] = int32(len(seen))
		}
		out[i] = seen[c]
	}
	return out
}

func column(values []*float64) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		out[i] = math.NaN()
		if v != nil {
			out[i] = *v
		}
	}
	return out
}

func floats(v any) []float64 {
	var out []float64
	switch v := v.(type) {
	case float64:
		out = append(out, v)
	case []any:
		for _, x := range v {
			out = append(out, number(x))
		}
	}
	return out
}

type results = map[string]any

// statistics maps the names of the case files to the code.
var statistics = map[string]func(in input) (results, error){
	"mean_se": func(in input) (results, error) {
		mean, se := stats.MeanSE(in.Values)
		return results{"n": len(in.Values), "mean": mean, "se": se}, nil
	},
	"t_quantile": func(in input) (results, error) {
		var q []float64
		for _, df := range floats(in.DF) {
			q = append(q, stats.TQuantile(number(in.P), df))
		}
		return results{"q": q}, nil
	},
	"mean_ci_t": func(in input) (results, error) {
		return estimate(stats.MeanT(in.Values, in.level())), nil
	},
	"wilson": func(in input) (results, error) {
		return bounds(stats.Wilson(in.Successes, in.N, in.level())), nil
	},
	"clustered_mean_ci": func(in input) (results, error) {
		e, err := stats.ClusteredMean(in.Values, in.labels(), in.level())
		return estimate(e), err
	},
	"score_ci": func(in input) (results, error) {
		opt := stats.Options{Level: in.level(), Epochs: in.K}
		if in.Clusters != nil {
			opt.Clusters = in.labels()
		}
		e, err := stats.Score(in.Values, opt)
		return estimate(e), err
	},
	"paired_t": func(in input) (results, error) {
		a, b := column(in.A), column(in.B)
		e, err := stats.PairedT(a, b, in.level())
		r := estimate(e)
		d := make([]float64, len(a))
		for i := range d {
			d[i] = a[i] - b[i]
		}
		r["delta"], r["se_unpaired"] = e.Mean, stats.UnpairedSE(a, b)
		r["win"], r["tie"], r["loss"] = stats.Signs(d)
		return r, err
	},
	"compare": func(in input) (results, error) {
		opt := stats.Options{Level: in.level(), Epochs: in.K}
		if in.Clusters != nil {
			opt.Clusters = in.labels()
		}
		p, err := stats.Compare(column(in.A), column(in.B), opt)
		return results{
			"n": p.N, "left_out": p.LeftOut, "delta": p.Delta, "se": p.SE, "lower": p.Lower, "upper": p.Upper,
			"p": p.P, "test": p.Test, "method": p.Method, "win": p.Win, "tie": p.Tie, "loss": p.Loss,
			"mde": p.Detectable(0.8, 0.05),
		}, err
	},
	"paired_binary_ci": func(in input) (results, error) {
		r := bounds(stats.AgrestiMin(in.AOnly, in.BOnly, in.N, in.level()))
		r["delta"] = float64(in.AOnly-in.BOnly) / float64(in.N)
		return r, nil
	},
	"mcnemar_exact": func(in input) (results, error) {
		return results{"p": stats.McNemar(in.AOnly, in.BOnly)}, nil
	},
	"sign_flip_exact": func(in input) (results, error) {
		p, test := stats.SignFlip(in.Differences, stats.Options{})
		if test != "sign-flip exact" {
			return nil, fmt.Errorf("the test was %q", test)
		}
		return results{"p": p}, nil
	},
	"monte_carlo_p": func(in input) (results, error) {
		return results{"p": stats.MonteCarloP(in.Exceed, in.Resamples)}, nil
	},
	"holm": func(in input) (results, error) {
		return results{"adjusted": stats.Holm(floats(in.P))}, nil
	},
	"pass_at_k": func(in input) (results, error) {
		return results{"value": stats.PassAtK(in.N, in.Correct, in.K)}, nil
	},
	"pass_hat_k": func(in input) (results, error) {
		return results{"value": stats.PassHatK(in.N, in.Correct, in.K)}, nil
	},
	"majority": func(in input) (results, error) {
		return results{"value": stats.Majority(in.Values)}, nil
	},
	"majority_vote": func(in input) (results, error) {
		return results{"value": stats.MajorityVote(in.Answers, in.Values)}, nil
	},
	"at_least": func(in input) (results, error) {
		return results{"value": stats.AtLeast(in.Values, in.K)}, nil
	},
	"max": func(in input) (results, error) {
		return results{"value": stats.Max(in.Values)}, nil
	},
	"epochs":                runEpochs,
	"bootstrap_se_mean":     runBootstrap,
	"bradley_terry":         runBradleyTerry,
	"sample_size":           runSampleSize,
	"min_detectable_effect": runDetectable,
	"win_rate": func(in input) (results, error) {
		rate, se := stats.WinRate(in.Wins, in.Ties, in.Losses)
		return results{"win_rate": rate, "se": se}, nil
	},
	"percentile": func(in input) (results, error) {
		sorted := stats.Sorted(in.Values)
		var out []float64
		for _, q := range in.Q {
			out = append(out, stats.Percentile(sorted, q))
		}
		return results{"values": out}, nil
	},
	"cost_per_correct": func(in input) (results, error) {
		r, se := stats.CostPerCorrect(in.Cost, in.Score)
		return results{"cost_per_correct": r, "se": se}, nil
	},
	"pareto": func(in input) (results, error) {
		names := slices.Sorted(maps.Keys(in.Points))
		var cost, score []float64
		for _, name := range names {
			cost, score = append(cost, in.Points[name][0]), append(score, in.Points[name][1])
		}
		var frontier []string
		for i, on := range stats.Pareto(cost, score) {
			if on {
				frontier = append(frontier, names[i])
			}
		}
		return results{"frontier": frontier}, nil
	},
	"non_inferiority": func(in input) (results, error) {
		_, alpha := in.power()
		lower, pass := stats.NonInferiorT(in.Delta, in.SE, number(in.DF), in.Margin, alpha)
		return results{"lower": lower, "pass": pass}, nil
	},
	"non_inferiority_binary": func(in input) (results, error) {
		_, alpha := in.power()
		lower, pass := stats.NonInferiorBinary(in.AOnly, in.BOnly, in.N, in.Margin, alpha)
		return results{"lower": lower, "pass": pass}, nil
	},
	"win_rate_ci": func(in input) (results, error) {
		r := bounds(stats.WinRateInterval(in.Wins, in.Ties, in.Losses, in.level()))
		r["win_rate"], _ = stats.WinRate(in.Wins, in.Ties, in.Losses)
		return r, nil
	},
	"agreement": runAgreement,
	"macro_mean": func(in input) (results, error) {
		mean, se := stats.Macro(in.Means, in.SEs)
		return results{"mean": mean, "se": se}, nil
	},
	"missing_bounds": func(in input) (results, error) {
		return bounds(stats.MissingBounds(in.Sum, in.Scored, in.Total)), nil
	},
	"cost_usd": costUSD,
}

func estimate(e stats.Estimate) results {
	return results{"n": e.N, "mean": e.Mean, "se": e.SE, "df": e.DF, "clusters": e.Clusters,
		"lower": e.Lower, "upper": e.Upper, "method": e.Method}
}

func bounds(v stats.Interval) results { return results{"lower": v.Lower, "upper": v.Upper} }

// runAgreement takes one label of people for each row, or a list of them.
func runAgreement(in input) (results, error) {
	var judge []string
	for _, label := range in.Judge {
		judge = append(judge, labelsOf(label)[0])
	}
	var people [][]string
	for _, labels := range in.Human {
		people = append(people, labelsOf(labels))
	}
	a := stats.Agree(judge, people, in.Grades)
	return results{"n": a.N, "share": a.Share, "kappa": a.Kappa, "weighted_kappa": a.Weighted,
		"kappa_weighted": a.Weighted,
		"alpha":          a.Alpha, "krippendorff_alpha": a.Alpha, "alpha_people": a.People}, nil
}

func labelsOf(v any) []string {
	switch v := v.(type) {
	case nil:
		return []string{""}
	case []any:
		var all []string
		for _, one := range v {
			all = append(all, labelsOf(one)...)
		}
		return all
	}
	return []string{fmt.Sprint(v)}
}

func runEpochs(in input) (results, error) {
	k := 0
	for _, row := range in.Scores {
		k = max(k, len(row))
	}
	var flat []float64
	for _, row := range in.Scores {
		for i := range k {
			v := math.NaN()
			if i < len(row) && row[i] != nil {
				v = number(row[i])
			}
			flat = append(flat, v)
		}
	}
	r := stats.Epochs(flat, k)
	return results{"mean": r.Mean, "se": r.SE, "within_var": r.Within, "between_var": r.Between,
		"se_if_k_infinite": r.SEInfinite, "removable_share": r.Removable, "unstable": r.Unstable}, nil
}

func runBootstrap(in input) (results, error) {
	opt := stats.Options{Resamples: in.Resamples, Seed: 1}
	se, err := stats.BootstrapMeanSE(in.Values, opt)
	return results{"se": se}, err
}

func runSampleSize(in input) (results, error) {
	power, alpha := in.power()
	return results{"n": stats.ItemsNeeded(in.Delta, in.DiffVar, power, alpha)}, nil
}

func runDetectable(in input) (results, error) {
	power, alpha := in.power()
	return results{"mde": stats.DetectableGap(in.SE, power, alpha)}, nil
}

func runBradleyTerry(in input) (results, error) {
	if in.Scale != 0 && in.Scale != 400 || in.Mean != 0 && in.Mean != 1000 {
		return nil, fmt.Errorf("scale %v and mean %v: ours are 400 and 1000", in.Scale, in.Mean)
	}
	index := map[string]int{}
	for _, p := range in.Pairs {
		for _, name := range []string{p.A, p.B} {
			if _, ok := index[name]; !ok {
				index[name] = len(index)
			}
		}
	}
	m := len(index)
	points := make([]float64, m*m)
	for _, p := range in.Pairs {
		points[index[p.A]*m+index[p.B]] += p.AWins + p.Ties/2
		points[index[p.B]*m+index[p.A]] += p.BWins + p.Ties/2
	}
	ratings, smoothed, err := stats.BradleyTerryPoints(m, points)
	if err != nil {
		return nil, err
	}
	named := map[string]float64{}
	for name, i := range index {
		named[name] = ratings[i]
	}
	return results{"ratings": named, "smoothed": smoothed}, nil
}

// TestEveryStatisticHasCases keeps a new statistic from going without cases of
// our own.
func TestEveryStatisticHasCases(t *testing.T) {
	raw, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var file caseFile
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	has := map[string]int{}
	for _, c := range file.Cases {
		has[c.Function]++
	}
	for name := range statistics {
		if has[name] < 2 {
			t.Errorf("%s has %d cases", name, has[name])
		}
	}
}
