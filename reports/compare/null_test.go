package compare

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
)

// A nullRun is a made-up run of two models on the same items, whose true
// scores are known.
type nullRun struct {
	name    string
	items   int
	epochs  int     // 0 is one
	cluster int     // items of a cluster; 0 is none
	unread  float64 // share of answers without a score, at random
	graded  bool
	gap     float64 // how much worse the new model truly is
}

// matrix draws a run. Items are of different difficulty, so that the models'
// answers are correlated; the old model's true score is 0.7.
func (n nullRun) matrix(random *rand.Rand) *matrix {
	run := &comparedRun{}
	run.info.Name, run.info.State, run.info.Epochs = "null", "finished", max(n.epochs, 1)
	m := &matrix{runs: []*comparedRun{run}, scorers: []scoring.Described{{Name: "mark", Kind: scorers.Pure}}}
	m.options.Disagreements = -1
	for i := range n.items {
		m.items++
		run.items = append(run.items, int32(i))
		run.table.rows = append(run.table.rows, int64(i))
		if n.cluster > 0 {
			m.labels = append(m.labels, int32(i/n.cluster))
		}
	}
	for i, name := range []string{"old", "new"} {
		c := newColumn(run, name)
		c.index = i
		c.allocate(n.items, 1)
		m.columns = append(m.columns, c)
	}
	difficulty := 0.0
	for i := range n.items {
		if n.cluster == 0 || i%n.cluster == 0 {
			difficulty = 0.4 + 0.6*random.Float64()
		}
		for k, c := range m.columns {
			right := difficulty - n.gap*float64(k)
			for e := range c.epochs {
				at := i*c.epochs + e
				c.kind[at], c.status[0][at] = completed, stateScored
				if random.Float64() < n.unread {
					c.status[0][at] = stateUnscored
					continue
				}
				c.scores[0][at] = 0
				switch {
				case n.graded:
					c.scores[0][at] = math.Max(0, math.Min(1, right/2+random.Float64()/2))
				case random.Float64() < right:
					c.scores[0][at] = 1
				}
			}
		}
	}
	return m
}

func longForm() bool { return os.Getenv("NIGHTSHIFT_LONG") != "" }

// gateRates are the shares of runs in which each gate was met, missed, or
// could not tell.
func (n nullRun) gateRates(t *testing.T, runs int, gates ...string) map[string][3]float64 {
	t.Helper()
	random := rand.New(rand.NewPCG(20, uint64(n.items)))
	rates := map[string][3]float64{}
	for range runs {
		m := n.matrix(random)
		c := m.comparison()
		c.Baseline = "old"
		if err := m.evaluate(c); err != nil {
			t.Fatal(err)
		}
		c.gate(gates, 0)
		if c.Invalid != "" {
			t.Fatal(c.Invalid)
		}
		for _, g := range c.Gates {
			r := rates[g.Gate]
			switch {
			case g.Passed:
				r[0] += 1 / float64(runs)
			case g.CannotTell:
				r[2] += 1 / float64(runs)
			default:
				r[1] += 1 / float64(runs)
			}
			rates[g.Gate] = r
		}
	}
	return rates
}

// within reports whether a share of so many runs is not above a bound by more
// than chance, three standard errors, explains.
func within(rate, bound float64, runs int) bool {
	return rate <= bound+3*math.Sqrt(bound*(1-bound)/float64(runs))
}

// TestEqualModelsRarelyMissAGate: a gate on regressions that fails when nothing
// has changed is not a gate, also where a judge cannot be read now and then. At
// alpha 5 % two-sided, less than 2.5 % may; and no more are better.
func TestEqualModelsRarelyMissAGate(t *testing.T) {
	runs, sizes := 150, []int{100}
	if longForm() {
		runs, sizes = 2000, []int{20, 100, 200}
	}
	for _, items := range sizes {
		for _, n := range []nullRun{
			{name: "0/1"}, {name: "0/1, 1 % unread", unread: 0.01}, {name: "0/1, 5 % unread", unread: 0.05},
			{name: "graded, 1 % unread", graded: true, unread: 0.01},
			{name: "3 epochs, 1 % unread", epochs: 3, unread: 0.01},
			{name: "clusters of 4, 1 % unread", cluster: 4, unread: 0.01},
		} {
			n.items = items
			rates := n.gateRates(t, runs, "no_regression(new)", "better(new)")
			worse, better := rates["no_regression(new)"], rates["better(new)"]
			t.Logf("| no_regression | %s | %d | missed %.2f %%, cannot tell %.2f %% | better %.2f %% |", n.name, items,
				100*worse[1], 100*worse[2], 100*better[0])
			if !within(worse[1], 0.025, runs) {
				t.Errorf("%s, %d items: no_regression is missed by %.2f %% of equal models", n.name, items,
					100*worse[1])
			}
			if !within(better[0], 0.025, runs) {
				t.Errorf("%s, %d items: better is passed by %.2f %% of equal models", n.name, items, 100*better[0])
			}
		}
	}
}

// TestWorseModelsRarelyPassAGate: of models that are worse by just the margin,
// or score just the limit, few more than one in twenty may pass.
func TestWorseModelsRarelyPassAGate(t *testing.T) {
	runs, sizes := 200, []int{10, 50}
	if longForm() {
		runs, sizes = 2000, []int{5, 10, 20, 50, 100}
	}
	for _, items := range sizes {
		for _, n := range []nullRun{
			{name: "0/1"}, {name: "graded", graded: true}, {name: "3 epochs", epochs: 3},
			{name: "clusters of 4", cluster: 4}, {name: "0/1, 1 % unread", unread: 0.01},
		} {
			if n.cluster > 0 && items < 20 {
				continue
			}
			n.items, n.gap = items, 0.05
			margin := n.gap
			if n.graded {
				margin /= 2
			}
			noninferior, score := fmt.Sprintf("noninferior(new, %v)", margin), "score(old) >= 0.7"
			gates := []string{noninferior}
			if !n.graded { // a true score of 0.7
				gates = append(gates, score)
			}
			rates := n.gateRates(t, runs, gates...)
			t.Logf("| noninferior, score | %s | %d | %.2f %% | %.2f %% |", n.name, items, 100*rates[noninferior][0],
				100*rates[score][0])
			if !within(rates[noninferior][0], 0.065, runs) {
				t.Errorf("%s, %d items: noninferior is passed by %.2f %% of models that are worse by the margin",
					n.name, items, 100*rates[noninferior][0])
			}
			if !within(rates[score][0], 0.05, runs) {
				t.Errorf("%s, %d items: score >= 0.7 is passed by %.2f %% of models whose true score is 0.7", n.name,
					items, 100*rates[score][0])
			}
		}
	}
}

// TestTheGateCanFire keeps the rates above from being those of gates that never
// decide anything.
func TestTheGateCanFire(t *testing.T) {
	n := nullRun{name: "much worse", items: 200, gap: 0.2}
	rates := n.gateRates(t, 50, "no_regression(new)", "noninferior(new, 0.5)", "score(old) >= 0.5")
	for gate, place := range map[string]int{"no_regression(new)": 1, "noninferior(new, 0.5)": 0,
		"score(old) >= 0.5": 0} {
		if rates[gate][place] < 0.9 {
			t.Errorf("%s: passed, missed, cannot tell %v", gate, rates[gate])
		}
	}
}

// TestWinRateGateRarelyPasses: of judges who prefer neither model, one in
// twenty at most shows a win rate above one half.
func TestWinRateGateRarelyPasses(t *testing.T) {
	runs := 500
	if longForm() {
		runs = 20_000
	}
	random := rand.New(rand.NewPCG(3, 9))
	for _, pairs := range []int{3, 5, 10, 20, 50, 200} {
		for _, ties := range []float64{0, 0.3, 0.9} {
			passed, point, told := 0, 0, 0
			for range runs {
				pair := preferredOf(t, pairs, func(int) float64 {
					switch u := random.Float64(); {
					case u < ties:
						return 0.5
					case u < ties+(1-ties)/2:
						return 1
					}
					return 0
				})
				for gate, n := range map[string]*int{"win_rate(a) > 50%": &passed, "point_win_rate(a) > 50%": &point} {
					g, err := parseGate(gate)
					if err != nil {
						t.Fatal(err)
					}
					if o, _ := pair.gate(g); o == met {
						*n++
					}
				}
				if pair.Verdict == better {
					told++
				}
			}
			rate := float64(passed) / float64(runs)
			t.Logf("| win_rate > 50%% | %d pairs, %.0f %% ties | %.2f %% | point_win_rate %.1f %% |", pairs, 100*ties,
				100*rate, 100*float64(point)/float64(runs))
			if !within(rate, 0.05, runs) {
				t.Errorf("%d pairs, %.0f %% ties: win_rate > 50%% is passed by %.2f %% without a preference", pairs,
					100*ties, 100*rate)
			}
		}
	}
}

// preferredOf is what a judge says of pairs; NaN is a verdict that could not be
// read.
func preferredOf(t *testing.T, pairs int, points func(i int) float64) preferredPair {
	t.Helper()
	run := &comparedRun{}
	m := &matrix{runs: []*comparedRun{run}, items: pairs}
	for _, name := range []string{"a", "b"} {
		m.columns = append(m.columns, newColumn(run, name))
	}
	one := &pairing{a: 0, b: 1, points: make([]float64, pairs), read: make([]int, pairs), unread: make([]int, pairs)}
	for i := range pairs {
		if v := points(i); math.IsNaN(v) {
			one.unread[i], one.unscored = 1, one.unscored+1
		} else {
			one.points[i], one.read[i] = v, 1
		}
	}
	p := &preference{}
	if err := m.weigh(p, []*pairing{one}, 0.05); err != nil {
		t.Fatal(err)
	}
	return p.Pairs[0]
}

// TestUnreadVerdicts: a judge may fail on just the answers that would have
// lost; where that could turn the verdict there is none.
func TestUnreadVerdicts(t *testing.T) {
	for name, tc := range map[string]struct {
		wins, losses, unread int
		verdict              verdict
		gate                 outcome
	}{
		"all read":       {30, 10, 0, better, met},
		"few unread":     {300, 100, 4, better, met},
		"could turn it":  {30, 10, 25, withheld, cannotTell},
		"could not":      {90, 10, 20, better, met},
		"never a winner": {20, 20, 1, notShown, notMet},
	} {
		p := preferredOf(t, tc.wins+tc.losses+tc.unread, func(i int) float64 {
			switch {
			case i < tc.wins:
				return 1
			case i < tc.wins+tc.losses:
				return 0
			}
			return math.NaN()
		})
		g, err := parseGate("win_rate(a) > 50%")
		if err != nil {
			t.Fatal(err)
		}
		if o, text := p.gate(g); p.Verdict != tc.verdict || o != tc.gate || p.Unscored != tc.unread ||
			(p.Bounds != nil) != (tc.unread > 0) {
			t.Errorf("%s: %s (%s), gate %v (%s), bounds %v", name, p.Verdict, p.Why, o, text, p.Bounds)
		}
	}
	all := preferredOf(t, 5, func(int) float64 { return 1 })
	if all.Interval == nil || all.Interval.Lower > 0.6 || all.Interval.Upper != 1 {
		t.Errorf("five wins of five: %v", all.Interval)
	}
	ties := preferredOf(t, 10, func(int) float64 { return 0.5 })
	if ties.Interval == nil || ties.Interval.Lower > 0.3 || ties.Interval.Upper < 0.7 {
		t.Errorf("ten ties: %v", ties.Interval)
	}
}

// TestJudgesCostCounts: a gate on what everything cost knows of the judges.
func TestJudgesCostCounts(t *testing.T) {
	c := &Comparison{Models: []comparedModel{{Label: "a"}}}
	c.Cost.add(600_000_000, false)
	c.JudgeCost = &money{}
	c.JudgeCost.add(500_000_000, false)
	for gate, want := range map[string]outcome{"cost <= 1": notMet, "cost <= 1.2": met} {
		g, err := parseGate(gate)
		if err != nil {
			t.Fatal(err)
		}
		if o, text, err := c.judge(g); err != nil || o != want || text != "all models and judges together cost $1.10" {
			t.Errorf("%s: %v, %s, %v", gate, o, text, err)
		}
	}
}
