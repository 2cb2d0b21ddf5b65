package main

import (
	"context"

	"nightshift/runner/plan"
)

func (s *scoringStep) byJudge(calls, waiting context.Context, rs plan.ResolvedScorer) (scoreTable, error) {
	return scoreTable{}, usageError("scorer %s: judges are not asked yet", rs.Spec.Name)
}
