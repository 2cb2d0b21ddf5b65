package main

import (
	"bytes"
	"testing"
	"time"

	"nightshift/runner/store/view"
)

func TestPrintBatches(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	in := func(d time.Duration) *time.Time { at := now.Add(d); return &at }
	for _, c := range []struct {
		name string
		m    view.ModelBatches
		want string
	}{
		{"waiting", view.ModelBatches{Model: "mini", Batches: 1, Waiting: 1, RowsWaiting: 1200},
			"  batches    mini: 1 batch, 1 waiting (1,200 rows)\n             0 rows on record\n"},
		{"price not known", view.ModelBatches{Model: "mini", Batches: 2, Away: 1, Collected: 1, RowsAway: 5,
			RowsRecorded: 5, ReservedTokens: 5100, Unpriced: 1, CostUnknown: 5},
			"  batches    mini: 2 batches, 1 collected, 1 in progress, 0 of 5 rows away finished\n" +
				"             5 rows on record, cost unknown, at most 5.1k tokens reserved, cost unknown\n"},
		{"free so far", view.ModelBatches{Model: "mini", Batches: 1, Collected: 1, RowsRecorded: 5},
			"  batches    mini: 1 batch, 1 collected\n             5 rows on record, $0.00 spent\n"},
		{"under way", view.ModelBatches{Model: "mini", Batches: 31, Collected: 4, Away: 22, Waiting: 5,
			RowsWaiting: 100_000, RowsDone: 412_300, RowsAway: 440_000, RowsRecorded: 62_114, Spent: 18.4e9,
			Reserved: 71.2e9, FirstExpiry: in(21*time.Hour + 10*time.Minute)},
			"  batches    mini: 31 batches, 4 collected, 22 in progress, 5 waiting (100,000 rows), " +
				"412,300 of 440,000 rows away finished\n" +
				"             62,114 rows on record, $18.40 spent, at most $71.20 reserved, the oldest expires in 21h10m\n"},
		{"lost and late", view.ModelBatches{Model: "m\x1b", Batches: 3, Lost: 1, Ended: 2, RowsAway: 3, Vanishing: 2,
			ResultsVanish: in(5 * 24 * time.Hour), Extras: 1, ExtraCost: 2e9, CostUnknown: 1, RowsAgain: 9},
			"  batches    m\\u{1b}: 3 batches, 2 ended and to be collected, 1 to be looked for, 0 of 3 rows away finished\n" +
				"             0 rows on record, 9 went again, at most $0.00 reserved, " +
				"1 row answered twice ($2.00)\n" +
				"! m\\u{1b}: 1 batch without an answer whether it was created: the next start looks for it\n" +
				"! m\\u{1b}: results of 2 batches are not fetched, and are deleted by the provider in 5 days: start the run\n"},
	} {
		var out bytes.Buffer
		(&app{out: &out}).printBatches([]view.ModelBatches{c.m}, now)
		if out.String() != c.want {
			t.Errorf("%s: got\n%swant\n%s", c.name, out.String(), c.want)
		}
	}
}
