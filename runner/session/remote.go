package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"nightshift"
	"nightshift/providers/batch"
	"nightshift/runner/plan"
	"nightshift/runner/store/view"
)

// RemoteBatches asks an endpoint for the batches of its account that were
// created since a time, newest first; see [plan.Plan.Endpoint].
func RemoteBatches(ctx context.Context, m plan.ResolvedModel, since time.Time) (list []nightshift.Batch, err error) {
	err = withBatcher(m, func(b *batch.Batcher) error {
		list, err = b.List(ctx, since)
		return err
	})
	return list, err
}

// FetchBatch writes all results of a batch to w, as they come from the endpoint.
// It returns how the batch stands.
func FetchBatch(ctx context.Context, m plan.ResolvedModel, id string, w io.Writer) (found nightshift.Batch, err error) {
	err = withBatcher(m, func(b *batch.Batcher) error {
		list, err := b.Get(ctx, []string{id})
		if err != nil {
			return err
		}
		found = list[0]
		for _, handle := range found.Results {
			err = errors.Join(err, b.Fetch(ctx, found, handle, w))
		}
		return err
	})
	return found, err
}

func withBatcher(m plan.ResolvedModel, do func(*batch.Batcher) error) error {
	f, err := newClients(&plan.Resolved{}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := f.batcher(m, &plan.Resolved{})
	if err != nil {
		return err
	}
	defer b.Close()
	if err := do(b); err != nil {
		return &Error{Stopped, err}
	}
	return nil
}

// An AskedBatch is a batch of a run as its provider describes it now.
type AskedBatch struct {
	N     int              `json:"n"` // its number in the run
	Model string           `json:"model"`
	Batch nightshift.Batch `json:"batch"`
}

// AskBatches asks the providers once how the batches of a run stand that are
// away. It changes nothing.
func AskBatches(ctx context.Context, p *plan.Resolved, dir string) (all []AskedBatch, err error) {
	list, err := view.Batches(dir)
	if err != nil {
		return nil, Usagef("%w", err)
	}
	for _, m := range p.Models {
		ids, numbers := awayOf(list, m.Name)
		if len(ids) == 0 {
			continue
		}
		err := withBatcher(m, func(b *batch.Batcher) error {
			found, err := b.Get(ctx, ids)
			for _, batch := range found {
				all = append(all, AskedBatch{N: numbers[batch.ID], Model: m.Name, Batch: batch})
			}
			return err
		})
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// awayOf are the providers' ids of a model's batches that are away, and the
// number of each.
func awayOf(list []view.Batch, model string) (ids []string, numbers map[string]int) {
	numbers = map[string]int{}
	for i := range list {
		if b := &list[i]; b.Model == model && b.Away() {
			for _, r := range b.Remotes {
				ids, numbers[r.ID] = append(ids, r.ID), b.N
			}
		}
	}
	return ids, numbers
}
