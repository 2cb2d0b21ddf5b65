package compare

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
)

// A nullGrid is a made-up run of two models, each asked in three ways at two temperatures, on the same
// items. Which factors make a difference is known.
type nullGrid struct {
	name   string
	items  int
	epochs int
	unread float64            // share of answers without a score, at random
	gaps   map[string]float64 // how much worse the other values of a factor truly are; none of the rest
}

// matrix draws a run. Items are of different difficulty, so that all answers to one are correlated.
func (n nullGrid) matrix(random *rand.Rand) *matrix {
	run := &comparedRun{}
	run.info.Name, run.info.State, run.info.Epochs = "null", "finished", max(n.epochs, 1)
	m := &matrix{runs: []*comparedRun{run}, scorers: []scoring.Described{{Name: "mark", Kind: scorers.Pure}}}
	for i := range n.items {
		m.items++
		run.items, run.table.rows = append(run.items, int32(i)), append(run.table.rows, int64(i))
	}
	difficulty := make([]float64, n.items)
	for i := range difficulty {
		difficulty[i] = 0.4 + 0.6*random.Float64()
	}
	for _, model := range []string{"old", "new"} {
		for _, way := range []string{"plain", "role", "steps"} {
			for _, temperature := range []int{0, 1} {
				variant := fmt.Sprintf("%s/temperature=%d", way, temperature)
				c := newColumn(run, model+"/"+variant)
				c.index, c.Variant, c.VariantOf = len(m.columns), variant, model
				c.Params = json.RawMessage(fmt.Sprintf(`{"temperature": %d}`, temperature))
				c.allocate(n.items, 1)
				worse := 0.0
				for factor, other := range map[string]bool{byModel: model == "new", byVariant: way != "plain",
					"temperature": temperature == 1} {
					if other {
						worse += n.gaps[factor]
					}
				}
				n.answer(c, random, difficulty, worse)
				m.columns = append(m.columns, c)
			}
		}
	}
	return m
}

// answer draws a column.
func (n nullGrid) answer(c *column, random *rand.Rand, difficulty []float64, worse float64) {
	for i := range c.kind {
		c.kind[i], c.status[0][i] = completed, stateScored
		if random.Float64() < n.unread {
			c.status[0][i] = stateUnscored
			continue
		}
		c.scores[0][i] = 0
		if random.Float64() < difficulty[i/c.epochs]-worse {
			c.scores[0][i] = 1
		}
	}
}

// claimed are the factors of which a run claims a main effect.
func (n nullGrid) claimed(t *testing.T, random *rand.Rand) (factors []string) {
	t.Helper()
	m := n.matrix(random)
	c := m.comparison()
	r := &scorerResult{}
	cols := make([]scoredColumn, len(m.columns))
	for i, col := range m.columns {
		cols[i] = scoredColumn{col, m.itemScores(col, 0)}
		score, err := m.modelScore(cols[i], 0)
		if err != nil {
			t.Fatal(err)
		}
		r.Models = append(r.Models, score)
	}
	if err := m.effects(c, r, 0, cols); err != nil {
		t.Fatal(err)
	}
	if len(r.Effects) != 4 { // one of the model, two of the variant, one of the temperature
		t.Fatalf("%d main effects", len(r.Effects))
	}
	for _, e := range r.Effects {
		if e.Verdict == better || e.Verdict == worse {
			factors = append(factors, e.Factor)
		}
	}
	return factors
}

// mostAtRate is the number of n cases that is exceeded with a probability of one in a thousand at most,
// where each happens with the rate p: the exact quantile of the binomial distribution.
func mostAtRate(n int, p float64) int {
	all := 0.0
	for k := range n + 1 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		if all += math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p)); all >= 0.999 {
			return k
		}
	}
	return n
}

// TestMainEffectsFalseClaims: of runs in which a factor makes no difference, no more than alpha claim for any
// such factor that it does. The main effects are one Holm family, which promises that also where another
// factor does make one. If the promise holds, more claims than mostAtRate come up with a probability of
// one in a thousand at most; the seeds are fixed, so that what is counted here does not change.
func TestMainEffectsFalseClaims(t *testing.T) {
	cases := []nullGrid{{name: "nothing differs", items: 40}}
	runs := 200
	if longForm() {
		runs = 5000
		cases = append(cases, nullGrid{name: "nothing differs, 12 items", items: 12},
			nullGrid{name: "nothing differs, 200 items", items: 200},
			nullGrid{name: "3 epochs", items: 40, epochs: 3}, nullGrid{name: "2 % unread", items: 40, unread: 0.02},
			nullGrid{name: "the models differ by 20 points", items: 40, gaps: map[string]float64{byModel: 0.2}},
			nullGrid{name: "the temperatures differ by 10 points", items: 100,
				gaps: map[string]float64{"temperature": 0.1}})
	}
	for _, n := range cases {
		random := rand.New(rand.NewPCG(7, uint64(n.items)))
		wrong := 0
		for range runs {
			if slices.ContainsFunc(n.claimed(t, random), func(factor string) bool { return n.gaps[factor] == 0 }) {
				wrong++
			}
		}
		t.Logf("| %s | %d | %.1f %% |", n.name, n.items, 100*float64(wrong)/float64(runs))
		if most := mostAtRate(runs, 0.05); wrong > most {
			t.Errorf("%s: %d of %d runs claim a main effect that there is not, want %d at most", n.name, wrong, runs, most)
		}
	}
}

// TestMainEffectsAreFound keeps the rate above from being that of a test that never claims anything.
func TestMainEffectsAreFound(t *testing.T) {
	n := nullGrid{items: 100, gaps: map[string]float64{byVariant: 0.2}}
	random := rand.New(rand.NewPCG(8, 8))
	const runs = 20
	found := 0
	for range runs {
		if slices.Contains(n.claimed(t, random), byVariant) {
			found++
		}
	}
	if found != runs {
		t.Errorf("a variant that is 20 points worse is seen in %d of %d runs", found, runs)
	}
}
