package reports

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
)

// nullMatrix is a run in which both models are equally good: correlated
// answers to the same items, none better by more than luck.
func nullMatrix(random *rand.Rand, items int) *matrix {
	run := &comparedRun{}
	run.info.Name, run.info.State = "null", "finished"
	m := &matrix{runs: []*comparedRun{run}, scorers: []scoring.Described{{Name: "mark", Kind: scorers.Pure}}}
	m.options.Disagreements = -1
	for i := range items {
		var key [16]byte
		binary.BigEndian.PutUint64(key[:], uint64(i))
		m.keys = append(m.keys, key)
		run.items = append(run.items, int32(i))
		run.table.rows = append(run.table.rows, int64(i))
	}
	for i, name := range []string{"old", "new"} {
		c := newColumn(run, name)
		c.index = i
		c.allocate(items, 1)
		m.columns = append(m.columns, c)
	}
	for i := range items {
		difficulty := random.Float64()
		for _, c := range m.columns {
			c.kind[i], c.status[0][i], c.scores[0][i] = completed, stateScored, 0
			if random.Float64() < difficulty {
				c.scores[0][i] = 1
			}
		}
	}
	return m
}

// TestNullPairsRarelyFireTheGate: a gate on regressions that fails when nothing
// has changed is not a gate. At alpha 5 % two-sided, less than 2.5 % may.
func TestNullPairsRarelyFireTheGate(t *testing.T) {
	random := rand.New(rand.NewPCG(20, 26))
	const pairs = 1000
	fired, below := 0, 0
	for range pairs {
		m := nullMatrix(random, 200)
		c := m.comparison()
		c.Baseline = "old"
		if err := m.evaluate(c); err != nil {
			t.Fatal(err)
		}
		c.gate([]string{"regression"}, 0)
		if c.Invalid != "" {
			t.Fatal(c.Invalid)
		}
		if c.Missed() {
			fired++
		}
		if *c.Scorers[0].Deltas[0].Delta < 0 {
			below++
		}
	}
	if fired >= pairs*25/1000 {
		t.Errorf("the gate fired on %d of %d pairs of equal models", fired, pairs)
	}
	if fired == 0 {
		t.Error("the gate never fired: it cannot fire at all")
	}
	// A gate on any drop would have fired on these.
	if below < pairs*40/100 {
		t.Errorf("only %d of %d deltas are negative: the models are not equal", below, pairs)
	}
	t.Logf("the gate fired on %d of %d; %d deltas were below 0", fired, pairs, below)
}
