package session

import (
	"fmt"
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

// sayAway says which batches are at the providers when a process ends.
func (s *Session) sayAway(st *store.Run) {
	var rows, batches int64
	var first time.Time
	for _, b := range st.Batches() {
		if !b.Away() {
			continue
		}
		rows += b.Rows
		batches++
		if at := b.ExpiresAt(); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if batches == 0 {
		return
	}
	until := ""
	if !first.IsZero() {
		until = ", the first until " + first.Local().Format("2006-01-02 15:04")
	}
	s.Log.Info(fmt.Sprintf("%s in %s stay at the provider%s; the same command collects them",
		words.Counted(rows, "row"), words.Counted(batches, "batch"), until))
}
