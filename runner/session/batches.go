package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/providers/limits"
	"nightshift/runner"
	"nightshift/runner/plan"
	"nightshift/runner/store"
)

// batched gives the pools whose rows travel in batches, or have batches that are
// away, the way to the batch API. What is away is set aside in the budget.
func (s *Session) batched(st *store.Run, pools []runner.Pool) ([]runner.Pool, error) {
	away := map[string]bool{}
	for _, b := range st.Batches() {
		away[b.Model] = true
	}
	list := make([]runner.Pool, len(pools))
	for i, pool := range pools {
		m := s.model(pool.Model)
		if m.Mode == plan.ModeBatch || away[m.Name] {
			b, err := s.clients.batching(m, s.Plan)
			if err != nil {
				return nil, err
			}
			pool.Batch = b
		}
		list[i] = pool
	}
	s.clients.redactKeys()
	return list, nil
}

// model is the plan's model with that name.
func (s *Session) model(name string) (m plan.ResolvedModel) {
	for _, m := range s.Plan.Models {
		if m.Name == name {
			return m
		}
	}
	return m
}

// batching is how a model's rows travel in batches.
func (f *clients) batching(m plan.ResolvedModel, p *plan.Resolved) (*runner.Batching, error) {
	api, err := f.batcher(m, p)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.batchers = append(f.batchers, api)
	f.mu.Unlock()
	b := m.Batch
	return &runner.Batching{
		API: api, Budget: batchBudget{f.budget}, Submit: m.Mode == plan.ModeBatch,
		MaxRows: b.MaxRequests, MaxBytes: b.MaxBytes, MaxTokens: b.MaxEnqueuedTokens, Window: b.Window,
		PollFirst: b.PollFirst, PollMost: b.PollMost, Deadline: b.Deadline, Then: runner.Then(b.Then),
		MinRows: b.MinRequests, Delete: b.DeleteRemote, Attempts: p.Attempts,
	}, nil
}

// batchBudget is a budget as the runner's batches see it.
type batchBudget struct{ *limits.Budget }

func (b batchBudget) Hold(tokens int64, cost nightshift.NanoUSD) runner.Reservation {
	return b.Budget.Hold(tokens, cost)
}

// Cancel calls back the batches of a run that are away: those of one model, or
// all when that is "". What they have answered by then is kept; their other rows
// are as if they had not been sent. Without wait the providers are asked, and the
// next start collects. It returns how many rows are still away.
func Cancel(ctx context.Context, p *plan.Resolved, o Options, model string, wait bool) (away int64, err error) {
	s, err := Open(ctx, p, o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Dataset.Close()) }()
	st, err := s.openStore(s.identity())
	if err != nil {
		return 0, err
	}
	s.recall = runner.RecallAsk
	if wait {
		s.recall = runner.RecallWait
	}
	failure := s.callBack(ctx, st, model)
	away, _ = rowsAway(st)
	state := "stopped"
	if st.Totals().Sum().Rows == s.items() {
		state = "finished"
	}
	return away, errors.Join(failure, st.Close(state))
}

// callBack runs the pools that have batches away, which send nothing.
func (s *Session) callBack(ctx context.Context, st *store.Run, model string) (err error) {
	if s.clients, err = newClients(s.Plan, s.Log); err != nil {
		return err
	}
	defer s.clients.Close()
	s.clients.spend(st.Totals().Add(st.Unsettled()).Sum())
	pools, err := s.batched(st, s.clients.pools)
	if err != nil {
		return err
	}
	others := func(p runner.Pool) bool { return p.Batch == nil || model != "" && p.Model != model }
	stops, err := s.loop(ctx, st, slices.DeleteFunc(pools, others), nil)
	for _, stop := range stops {
		err = errors.Join(err, fmt.Errorf("%s: %w", stop.Model, stop.Err))
	}
	return err
}

// rowsAway is how many rows are at providers, and when the first of their
// batches ends at the latest; zero when that is not known.
func rowsAway(st *store.Run) (rows int64, first time.Time) {
	for _, b := range st.Batches() {
		if !b.Away() {
			continue
		}
		rows += b.Rows
		if at := b.ExpiresAt(); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return rows, first
}

// sayAway says which batches are at the providers when a process ends.
func (s *Session) sayAway(st *store.Run) {
	rows, first := rowsAway(st)
	if rows == 0 {
		return
	}
	until := ""
	if !first.IsZero() {
		until = ", the first until " + first.Local().Format("2006-01-02 15:04")
	}
	s.Log.Info(words.Counted(rows, "row") + " in batches are at the provider" + until + "; the same command collects them")
}
