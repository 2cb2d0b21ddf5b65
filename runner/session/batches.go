package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/providers/limits"
	"nightshift/runner"
	"nightshift/runner/plan"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// batched gives the pools whose rows travel in batches, or have batches that are
// away, the way to the batch API. What is away is set aside in the budget.
func (s *Session) batched(st *store.Run, pools []runner.Pool) ([]runner.Pool, error) {
	known := map[string]bool{}
	for _, b := range st.Batches() {
		known[b.Model] = true
	}
	list := make([]runner.Pool, len(pools))
	for i, pool := range pools {
		m := s.model(pool.Model)
		if m.Mode == plan.ModeBatch || known[m.Name] {
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
// all, with those of its judges, when that is "". What they have answered by then
// is kept; their other rows are as if they had not been sent. Without wait the
// providers are asked, and the next start collects. It returns how many rows are
// still away.
func Cancel(ctx context.Context, p *plan.Resolved, o Options, model string, wait bool) (left int64, err error) {
	s, err := Open(ctx, p, o)
	if err != nil {
		return 0, err
	}
	defer s.Kept.hurry(ctx)()
	defer func() { err = errors.Join(err, s.Dataset.Close(), s.closeCopies()) }()
	s.recall = runner.RecallAsk
	if wait {
		s.recall = runner.RecallWait
	}
	if s.clients, err = newClients(s.Plan, s.Log); err != nil {
		return 0, err
	}
	defer s.clients.Close()
	left, err = s.callBack(ctx, s.clients.pools, model)
	if model != "" {
		return left, err
	}
	for _, rs := range s.Plan.Scorers {
		if rs.Judge == nil {
			continue
		}
		more, failure := s.callBackJudge(ctx, rs)
		left, err = left+more, errors.Join(err, failure)
	}
	return left, err
}

// callBack runs the pools that have batches away, which send nothing.
func (s *Session) callBack(ctx context.Context, all []runner.Pool, model string) (left int64, err error) {
	st, err := s.openStore(s.identity())
	if err != nil {
		return 0, err
	}
	s.clients.spend(st.Totals().Add(st.Unsettled()).Sum())
	stops, failure := s.callBackPools(ctx, st, all, model)
	for _, stop := range stops {
		failure = errors.Join(failure, fmt.Errorf("%s: %w", stop.Model, stop.Err))
	}
	for _, a := range atProviders(st) {
		left += a.rows
	}
	state := "stopped"
	if st.Totals().Sum().Rows == s.items() {
		state = "finished"
	}
	return left, errors.Join(failure, st.Close(state))
}

func (s *Session) callBackPools(ctx context.Context, st *store.Run, all []runner.Pool, model string) ([]runner.Stop,
	error) {
	pools, err := s.batched(st, slices.Clone(all))
	if err != nil {
		return nil, err
	}
	others := func(p runner.Pool) bool { return p.Batch == nil || model != "" && p.Model != model }
	return s.loop(ctx, st, slices.DeleteFunc(pools, others), nil)
}

// callBackJudge calls back what a judge's own runs have at the provider.
func (s *Session) callBackJudge(ctx context.Context, rs plan.ResolvedScorer) (left int64, err error) {
	j, err := s.judging(rs)
	if err != nil {
		return 0, err
	}
	begun, _, err := j.Batches()
	if err != nil {
		return 0, err
	}
	for _, dir := range begun {
		if st, failure := view.Status(dir); failure != nil || len(st.Batches) == 0 || !s.ours(dir, rs) {
			err = errors.Join(err, failure)
			continue
		}
		more, failure := s.callBackVerdicts(ctx, rs, dir)
		left, err = left+more, errors.Join(err, failure)
	}
	return left, err
}

func (s *Session) callBackVerdicts(ctx context.Context, rs plan.ResolvedScorer, dir string) (left int64, err error) {
	one, pool, err := s.judgeRun(ctx, rs, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, one.Dataset.Close()) }()
	one.recall = s.recall
	return one.callBack(ctx, []runner.Pool{pool}, "")
}

// An away is what of a model is at the provider.
type away struct {
	rows, batches int64
	first         time.Time // when the first batch ends at the latest; zero when that is not known
}

// atProviders is what of each model is at its provider.
func atProviders(st *store.Run) map[string]away {
	models := map[string]away{}
	for _, b := range st.Batches() {
		if !b.Away() {
			continue
		}
		a := models[b.Model]
		a.rows += b.Rows
		a.batches++
		if at := b.ExpiresAt(); !at.IsZero() && (a.first.IsZero() || at.Before(a.first)) {
			a.first = at
		}
		models[b.Model] = a
	}
	return models
}

// sayAway says which rows are at the providers when a process ends.
func (s *Session) sayAway(st *store.Run) {
	models := atProviders(st)
	for _, name := range slices.Sorted(maps.Keys(models)) {
		a, until := models[name], ""
		if !a.first.IsZero() {
			until = ", which expire from " + a.first.Local().Format("2006-01-02 15:04") + " on"
		}
		s.Log.Info(fmt.Sprintf("%s: %s are in %s at the provider%s; the same command collects them", name,
			words.Counted(a.rows, "row"), words.Counted(a.batches, "batch"), until))
	}
}
