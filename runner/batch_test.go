package runner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/runner"
)

// batched is a pool whose rows travel in batches.
func batched(api nightshift.Batcher) runner.Pool {
	p := pool("m", func(context.Context, nightshift.Request) (nightshift.Response, error) {
		return nightshift.Response{}, errors.New("nothing goes live here")
	})
	p.Batch = &runner.Batching{API: api, Submit: true, MinRows: 1}
	return p
}

func TestBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFake()
		tr := newTrial(t, prompts(35), batched(api))
		began := time.Now()
		records := tr.finish()
		if len(records) != 35 {
			t.Fatalf("%d records, want 35", len(records))
		}
		for i, r := range records {
			if r.Row != int64(i) || r.Outcome != nightshift.OutcomeOK || *r.Text != fmt.Sprintf("answer to p%d", i) {
				t.Errorf("record %d: row %d, %s %v", i, r.Row, r.Outcome, r.Text)
			}
			if *r.CostNanoUSD != fakePrice || *r.RequestHash != fmt.Sprintf("hash-p%d", i) || r.LatencyMS != nil {
				t.Errorf("row %d: cost, hash or latency is wrong: %+v", i, r)
			}
			log, err := attemptlog.Parse(*r.AttemptLog)
			if err != nil || len(log) != 1 || log[0].Batch != fmt.Sprintf("batch-%d", 2*(i/10+1)) || log[0].N != 1 {
				t.Errorf("row %d: attempts %+v, %v", i, log, err)
			}
		}
		if got := api.sizes(); !slices.Equal(got, []int{10, 10, 10, 5}) {
			t.Errorf("batches of %v rows, want one a shard", got)
		}
		if took := time.Since(began); took < 20*time.Minute || took > 22*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}
