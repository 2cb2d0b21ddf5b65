package plan

// ResolveScoring makes only that part of a plan ready that scores answers
// which are there already: scorers with their judges, budget and comparison.
// Neither dataset nor models are looked at, except for a model that a judge
// names. The error is as that of [Plan.Resolve].
func (p *Plan) ResolveScoring(getenv func(string) string) (*Resolved, error) {
	r := newResolver(p, getenv)
	r.batch("batch", p.Batch)
	r.mode("judges.mode", p.Judges.Mode)
	r.batch("judges.batch", p.Judges.Batch)
	r.budget()
	r.checker.scorers()
	r.checker.deadline()
	r.checker.notify()
	r.gates()
	r.settings()
	r.prices()
	r.resolveScorers()
	r.cappedJudges()
	r.affordable()
	return r.result()
}

// cappedJudges sees that judges have max_tokens where their format requires it.
func (r *resolver) cappedJudges() {
	for i, s := range r.out.Scorers {
		if s.Judge == nil {
			continue
		}
		if format, lacks := s.Judge.LacksMaxTokens(); lacks {
			r.at(r.plan.placedScorers()[i].path+".params", "add params: {max_tokens: 1024}",
				"judge %s speaks %s, where every request needs max_tokens", s.Judge.Name, format)
		}
	}
}

// Source is the path of the plan's file; empty when it has none.
func (p *Plan) Source() string {
	if p.source == nil {
		return ""
	}
	return p.source.name
}

// Dir is the directory that the plan's paths are relative to.
func (p *Plan) Dir() string { return p.path(".") }
