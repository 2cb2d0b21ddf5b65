package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"nightshift/internal/words"
	"nightshift/runner/session"
	"nightshift/runner/store/view"
)

// printBatches says where the batches of each model stand, by the files alone.
func (a *app) printBatches(list []view.ModelBatches, now time.Time) {
	for _, m := range list {
		fmt.Fprintf(a.out, "  batches    %s: %s\n", words.Visible(m.Model), batchCounts(m))
		fmt.Fprintf(a.out, "             %s\n", batchMoney(m, now))
		if m.Lost > 0 {
			fmt.Fprintf(a.out, "! %s: %s without an answer whether it was created: the next start looks for it\n",
				words.Visible(m.Model), words.Counted(int64(m.Lost), "batch"))
		}
		if m.Vanishing > 0 && m.ResultsVanish != nil {
			fmt.Fprintf(a.out, "! %s: results of %s are not fetched, and are deleted by the provider %s: start the run\n",
				words.Visible(m.Model), words.Counted(int64(m.Vanishing), "batch"), until(*m.ResultsVanish, now))
		}
	}
}

func batchCounts(m view.ModelBatches) string {
	parts := []string{words.Counted(int64(m.Batches), "batch")}
	add := func(n int, format string, args ...any) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d ", n)+fmt.Sprintf(format, args...))
		}
	}
	add(m.Collected, "collected")
	add(m.Away, "in progress")
	add(m.Ended, "ended and to be collected")
	add(m.Lost, "to be looked for")
	add(m.Waiting, "waiting (%s rows)", words.Thousands(m.RowsWaiting))
	if m.RowsAway > 0 {
		parts = append(parts, fmt.Sprintf("%s of %s rows away finished", words.Thousands(m.RowsDone),
			words.Thousands(m.RowsAway)))
	}
	return strings.Join(parts, ", ")
}

func batchMoney(m view.ModelBatches, now time.Time) string {
	parts := []string{words.Thousands(m.RowsRecorded) + " rows on record"}
	spent := words.Dollars(m.Spent.Dollars(), m.CostUnknown > 0)
	if m.Spent > 0 || m.CostUnknown == 0 {
		spent += " spent"
	}
	if m.Collected > 0 {
		parts = append(parts, spent)
	}
	if m.RowsAgain > 0 {
		parts = append(parts, words.Thousands(m.RowsAgain)+" went again")
	}
	switch {
	case m.Unpriced > 0:
		parts = append(parts, "at most "+words.Short(m.ReservedTokens)+" tokens reserved, cost unknown")
	case m.RowsAway > 0:
		parts = append(parts, "at most "+words.Money(m.Reserved.Dollars())+" reserved")
	}
	if m.FirstExpiry != nil {
		parts = append(parts, "the oldest expires "+until(*m.FirstExpiry, now))
	}
	if m.Extras > 0 {
		parts = append(parts, fmt.Sprintf("%s answered twice (%s)", words.Counted(m.Extras, "row"),
			words.Money(m.ExtraCost.Dollars())))
	}
	return strings.Join(parts, ", ")
}

// until says how long it is to a time, or that it was.
func until(t, now time.Time) string {
	if d := t.Sub(now); d > 48*time.Hour {
		return fmt.Sprintf("in %d days", int(d.Hours()/24))
	} else if d > 0 {
		return "in " + words.Duration(d)
	}
	return "at " + t.Local().Format(time.DateTime) + ", which is past"
}

// askBatches asks the providers how the batches of a run stand.
func (a *app) askBatches(ctx context.Context, dir string) ([]session.AskedBatch, error) {
	p, _, err := a.planOf(absolutePath(dir), "")
	if err != nil {
		return nil, err
	}
	return session.AskBatches(ctx, p, dir)
}

// printAsked says how batches stand at their providers.
func (a *app) printAsked(list []session.AskedBatch, now time.Time) {
	if len(list) == 0 {
		fmt.Fprintln(a.out, "  asked      no batches are at a provider")
	}
	for _, b := range list {
		state := cmp.Or(b.Batch.State, string(b.Batch.Phase))
		done := b.Batch.Counts.Completed.N() + b.Batch.Counts.Failed.N()
		text := fmt.Sprintf("%s of %s rows done", words.Thousands(done), words.Thousands(b.Batch.Counts.Total.N()))
		if at := b.Batch.ExpiresAt; !at.IsZero() && !b.Batch.Phase.Ended() {
			text += ", expires " + until(at, now)
		}
		fmt.Fprintf(a.out, "  asked      %s: batch %d (%s): %s, %s\n", words.Visible(b.Model), b.N, words.Visible(b.Batch.ID),
			words.Visible(state), text)
	}
}
