package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"nightshift"
	"nightshift/datasets"
	"nightshift/reports"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/runner"
	"nightshift/runner/plan"
	"nightshift/runner/store/view"
)

// judgeRounds bounds how often new requests are made in one go: everything
// once, and once more where a reply could not be read. One is to spare.
const judgeRounds = 3

// byJudge asks a judge what it has not been asked yet and writes its table. A
// judge's requests are runs of their own in the run's directory: killed at any
// moment, the same command goes on.
func (s *Session) byJudge(ctx context.Context, rs plan.ResolvedScorer) (ScoreTable, error) {
	j, err := s.judging(rs)
	if err != nil {
		return ScoreTable{}, err
	}
	asked := s.askJudge(ctx, j, rs)
	t := ScoreTable{Described: j.Described()}
	report := scoring.JudgeReport{Model: rs.Judge.ModelID, Endpoint: rs.Judge.Endpoint.Name, SameFamily: s.family(rs)}
	report.Params = judgeParams(rs)
	// What has been said is worth a table however the asking ended.
	t.Tallies, err = j.Finish(context.WithoutCancel(ctx), report)
	return t, errors.Join(asked, err)
}

func (s *Session) judging(rs plan.ResolvedScorer) (*scoring.Judging, error) {
	info, err := view.ReadInfo(s.Plan.Out)
	if err != nil {
		return nil, err
	}
	p := s.judgePlan(rs, "")
	_, key := p.Identity()
	j := &scoring.Judging{Run: s.Plan.Out, Models: info.Models, Ways: scoring.Ways(info), Baseline: s.Plan.Baseline,
		Along: s.Plan.Along, Key: key, Datasets: rs.Datasets}
	if e, err := scoring.ReadEvaluation(s.Plan.Out); err == nil && j.Baseline == "" {
		j.Baseline, j.Along = e.Baseline, e.Along
	}
	if j.Baseline == "" {
		j.Baseline = info.Models[0]
	}
	if rs.Spec.Type == "judge_pairwise" {
		j.Pairs, err = scorers.NewPairJudge(rs.Spec)
	} else {
		j.Grader, err = scorers.NewGrader(rs.Spec)
	}
	return j, err
}

// judgePlan is the plan of one of the judge's own runs.
func (s *Session) judgePlan(rs plan.ResolvedScorer, dir string) *plan.Resolved {
	p := *s.Plan
	p.Name = p.Name + "/" + rs.Judge.Name
	p.Out, p.Epochs, p.Scorers = dir, 1, nil
	p.Models = []plan.ResolvedModel{*rs.Judge}
	if rs.Embeds() {
		p.Raw = string(runner.RawNone) // the vectors have a column of their own
	}
	p.Dataset = datasets.Spec{Paths: []string{scoring.RequestsFile}, Dir: dir,
		Fields: map[string]string{"id": "id", "prompt": "prompt"}}
	return &p
}

func judgeParams(rs plan.ResolvedScorer) json.RawMessage {
	b, err := plan.Params(rs.Judge.Params).MarshalJSON()
	if err != nil {
		return nil
	}
	return b
}

// family lists the models of the run that come from the judge's family.
func (s *Session) family(rs plan.ResolvedScorer) []string {
	info, err := view.ReadInfo(s.Plan.Out)
	if err != nil {
		return nil
	}
	var run planAsRun
	var models struct {
		Models []struct{ Name, Model string } `json:"models"`
	}
	if json.Unmarshal(info.Plan, &run) != nil || json.Unmarshal(run.Plan, &models) != nil {
		return nil
	}
	ids := map[string]string{}
	for _, m := range models.Models {
		ids[m.Name] = m.Model
	}
	same := scoring.Families(rs.Judge.ModelID, ids)
	if len(same) > 0 {
		s.Log.Warn(fmt.Sprintf("judge %s (%s) is of one family with %s, and judges tend to prefer their own",
			rs.Judge.Name, rs.Judge.ModelID, strings.Join(same, ", ")))
	}
	return same
}

// askJudge finishes batches that were begun, then asks what is missing.
func (s *Session) askJudge(ctx context.Context, j *scoring.Judging, rs plan.ResolvedScorer) error {
	trial, err := j.Trial(s.sending(ctx))
	if err == nil {
		err = trialError(rs, trial)
	}
	if err != nil {
		return err
	}
	begun, _, err := j.Batches()
	if err != nil {
		return err
	}
	for _, dir := range begun {
		if !s.ours(dir, rs) {
			continue
		}
		current, err := j.Current(dir)
		if err == nil && current {
			err = s.batch(ctx, rs, dir, trial)
		}
		if err != nil {
			return err
		}
	}
	for range judgeRounds {
		_, next, err := j.Batches()
		if err != nil {
			return err
		}
		n, err := j.Prepare(s.sending(ctx), next)
		if err != nil || n == 0 {
			return err
		}
		s.Log.Info(fmt.Sprintf("judge %s: %d requests to %s", rs.Judge.Name, n, rs.Judge.ModelID))
		if err := s.batch(ctx, rs, next, trial); err != nil {
			return err
		}
	}
	return nil
}

// ours reports whether a batch is of this judge as it is now and has something
// left to ask. Batches of a judge that has changed since stay as they are.
func (s *Session) ours(dir string, rs plan.ResolvedScorer) bool {
	st, err := view.Status(dir)
	_, hash := s.judgePlan(rs, dir).Identity()
	if err != nil || st.PlanHash != hash {
		return false
	}
	return st.Done < st.Items || s.RetryFailed && st.Failed > 0
}

// batch runs one of the judge's runs to its end.
func (s *Session) batch(ctx context.Context, rs plan.ResolvedScorer, dir string, trial *scoring.Trial) (err error) {
	one, pool, err := s.judgeRun(ctx, rs, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, one.Dataset.Close()) }()
	pool.Provider = &judgeOnTrial{pool.Provider, trial}
	st, err := one.openStore(one.identity())
	if err != nil {
		return err
	}
	s.cluster.enter(dir, st)
	s.clients.giveBack(dir)
	pool.Reuse, err = s.reusing(*rs.Judge, s.reused)
	if err != nil {
		return errors.Join(err, st.Close("failed"))
	}
	pools, err := one.batched(st, []runner.Pool{pool})
	if err = errors.Join(err, one.keepIndex()); err != nil {
		return errors.Join(err, st.Close("failed"))
	}
	endShow := one.show(one.watch(st).state)
	stops, failure := one.loop(ctx, st, pools, nil)
	endShow()
	one.sayAway(st)
	e := one.ending(tolerant(st.Totals()), stops, failure, context.Cause(s.sending(ctx)))
	if err := st.Close(e.state); err != nil && failure == nil {
		return err
	}
	if err := trialError(rs, trial); err != nil {
		return err
	}
	if e.err != nil {
		return &Error{ReasonOf(e.err), fmt.Errorf("judge %s: %w", rs.Judge.Name, e.err)}
	}
	return nil
}

// judgeRun is one of the judge's runs, whose dataset the caller closes, and the
// way to the judge.
func (s *Session) judgeRun(ctx context.Context, rs plan.ResolvedScorer, dir string) (*Session, runner.Pool, error) {
	one := &Session{Options: s.Options, Plan: s.judgePlan(rs, dir)}
	one.MovedEndpoint = false
	pool, err := s.judgePool(ctx, rs)
	if err != nil {
		return nil, pool, err
	}
	one.clients, one.cluster = s.clients, s.cluster
	one.Dataset, err = one.openDataset(s.sending(ctx))
	return one, pool, err
}

// A judgeOnTrial is asked nothing more once its first replies have shown that it
// cannot be read.
type judgeOnTrial struct {
	nightshift.Provider
	trial *scoring.Trial
}

func (j *judgeOnTrial) Complete(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
	if err := j.trial.Err(); err != nil {
		return nightshift.Response{}, err
	}
	resp, err := j.Provider.Complete(ctx, req)
	if err == nil {
		j.trial.Hear(value(resp.Text))
	}
	return resp, err
}

func trialError(rs plan.ResolvedScorer, trial *scoring.Trial) error {
	if err := trial.Err(); err != nil {
		return &Error{Stopped, fmt.Errorf("judge %s: %w", rs.Judge.Name, err)}
	}
	return nil
}

// tolerant hides failed rows: a judge that fails leaves answers unscored, which
// every report shows, and is no failure of the run.
func tolerant(t view.Totals) view.Totals {
	for name, sum := range t.Models {
		outcomes := map[nightshift.Outcome]int64{}
		for o, n := range sum.Outcomes {
			if o.Answered() {
				outcomes[o] = n
			}
		}
		sum.Outcomes = outcomes
		t.Models[name] = sum
	}
	return t
}

// judgePool is the way to the judge: through the run's own limiters and
// budget, where there is a run.
func (s *Session) judgePool(ctx context.Context, rs plan.ResolvedScorer) (runner.Pool, error) {
	if s.clients == nil {
		p := *s.Plan
		p.Models = nil
		f, err := newClientsOver(&p, s.Log, nil, &s.latest)
		if err != nil {
			return runner.Pool{}, err
		}
		s.clients = f
		if s.reused, err = s.openReuse(ctx); err != nil {
			return runner.Pool{}, err
		}
		if err := errors.Join(f.spendBefore(s.Plan.Out), f.spendWithin(s.Plan.Out)); err != nil {
			return runner.Pool{}, err
		}
	}
	pool, err := s.clients.pool(*rs.Judge, s.Plan)
	s.clients.redactKeys()
	return pool, err
}

// spend takes what is on record off the budget, with the worst case of what
// may have been billed.
func (f *clients) spend(sum view.Tally) {
	f.budget.Spend(sum.BilledInputTokens.N()+sum.BilledOutputTokens.N()+sum.MaybeTokens, sum.Cost+sum.MaybeCost)
}

// spendBefore takes what a run has cost off the budget, the worst case of what
// may have been billed and of its batches that are away included.
func (f *clients) spendBefore(dir string) error {
	st, err := view.Status(dir)
	if err != nil {
		return err
	}
	var sum view.Tally
	sum = sum.Add(st.All.Sum()).Add(st.Unsettled)
	var away worst
	for _, m := range st.Batches {
		away.tokens, away.cost = away.tokens+m.ReservedTokens, away.cost+m.Reserved
	}
	f.budget.Spend(sum.BilledInputTokens.N()+sum.BilledOutputTokens.N()+sum.MaybeTokens+away.tokens, st.AtMost)
	f.away[filepath.Clean(dir)] = away
	return nil
}

// worst is the most that batches can use and cost.
type worst struct {
	tokens int64
	cost   nightshift.NanoUSD
}

// giveBack takes the batches of a run that is opened now off what is spent: they
// are reserved one by one from here on.
func (f *clients) giveBack(dir string) {
	away := f.away[filepath.Clean(dir)]
	f.budget.Spend(-away.tokens, -away.cost)
	delete(f.away, filepath.Clean(dir))
}

// spendWithin takes what the runs below a run have cost off the budget: its
// judges and its calibrations.
func (f *clients) spendWithin(dir string) error {
	for _, inner := range reports.InnerRuns(dir) {
		if err := f.spendBefore(inner); err != nil {
			return err
		}
	}
	return nil
}
