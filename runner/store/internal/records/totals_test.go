package records

import (
	"encoding/json"
	"testing"

	"nightshift"
	"nightshift/runner/store/internal/testdata/storetest"
)

// A row whose cost is unknown because of one attempt still owes what its other
// attempts are known to have cost: a resumed run takes that off its budget.
func TestTallyCountsKnownAttempts(t *testing.T) {
	known := nightshift.NanoUSD(70)
	log, err := json.Marshal([]nightshift.Attempt{
		{N: 1, MaybeBilled: true, WorstTokens: 9, WorstCost: 400, Class: nightshift.ClassCut},
		{N: 2, Cost: &known},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := Spent(
		[]nightshift.Attempt{
			{N: 1, WorstTokens: 9, WorstCost: 40,
				Usage: nightshift.Usage{Input: nightshift.Tokens(4)}}}); got.MaybeTokens != 5 || got.MaybeCost != 40 ||
		got.MaybeBilled != 0 {
		t.Errorf("an answer of which only the input is known: %+v", got)
	}
	if got := Spent(
		[]nightshift.Attempt{{N: 1, WorstCost: 40, Cost: storetest.Ptr(nightshift.NanoUSD(15))}}); got.Cost != 15 ||
		got.MaybeCost != 25 {
		t.Errorf("an attempt that cost at least 15 and at most 40: %+v", got)
	}
	text := string(log)
	c := Columns{Outcome: nightshift.OutcomeOK, Attempts: 2, MaybeBilled: true, AttemptLog: &text}
	got := c.Tally()
	if got.Cost != 70 || got.CostUnknown != 1 || got.MaybeCost != 400 || got.MaybeTokens != 9 {
		t.Errorf("tally = %+v", got)
	}
}
