package session

import (
	"context"
	"errors"
	"fmt"

	"nightshift/internal/words"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/runner/plan"
	"nightshift/runner/store/view"
)

// byEmbedding asks for the vectors that are not on record and writes the
// scorer's table. Its requests are runs of their own, as a judge's are.
func (s *Session) byEmbedding(ctx context.Context, rs plan.ResolvedScorer) (ScoreTable, error) {
	e, err := s.embedding(rs)
	if err != nil {
		return ScoreTable{}, err
	}
	asked := s.askVectors(ctx, e, rs)
	t := ScoreTable{Described: e.Described()}
	report := scoring.JudgeReport{Model: rs.Judge.ModelID, Endpoint: rs.Judge.Endpoint.Name, Params: judgeParams(rs)}
	// What has come is worth a table however the asking ended.
	t.Tallies, err = e.Finish(context.WithoutCancel(ctx), report)
	return t, errors.Join(asked, err)
}

func (s *Session) embedding(rs plan.ResolvedScorer) (*scoring.Embedding, error) {
	info, err := view.ReadInfo(s.Plan.Out)
	if err != nil {
		return nil, err
	}
	scorer, err := scorers.NewEmbedder(rs.Spec)
	if err != nil {
		return nil, Usagef("%w", err)
	}
	_, key := s.judgePlan(rs, "").Identity()
	return &scoring.Embedding{Run: s.Plan.Out, Models: info.Models, Key: key, Scorer: scorer,
		Datasets: rs.Datasets}, nil
}

// askVectors finishes batches that were begun, then asks for what is missing.
func (s *Session) askVectors(ctx context.Context, e *scoring.Embedding, rs plan.ResolvedScorer) error {
	begun, next, err := e.Batches()
	if err != nil {
		return err
	}
	for _, dir := range begun {
		if !s.ours(dir, rs) {
			continue
		}
		if err := s.batch(ctx, rs, dir, nil); err != nil {
			return err
		}
	}
	n, err := e.Prepare(s.sending(ctx), next)
	if err != nil || n == 0 {
		return err
	}
	s.Log.Info(fmt.Sprintf("scorer %s: %s to %s", rs.Judge.Name, words.Plural(n, "text"), rs.Judge.ModelID))
	return s.batch(ctx, rs, next, nil)
}
