package plan

import (
	"nightshift/datasets"
	"nightshift/providers/formats"
	"nightshift/reports/scorers"
)

// choicesField is where rows have their choices unless the plan says otherwise.
const choicesField = "choices"

// likelihoods settles which log-probabilities the scorers need, and sees that the
// models can be asked for them.
func (r *resolver) likelihoods() {
	var built []scorers.Scorer
	for _, s := range r.out.Scorers {
		if s.Scorer != nil {
			built = append(built, s.Scorer)
		}
	}
	l, err := scorers.LikelihoodsFor(built)
	if err != nil {
		r.at("scorers", "", "%v", err)
	}
	if r.out.Likelihoods = l; !l.Asks() {
		return
	}
	r.allAsked()
	r.eachSpec(func(_ string, s *datasets.Spec) {
		if l.Choices && s.Fields[choicesField] == "" {
			s.Fields = with(s.Fields, choicesField, choicesField)
		}
	})
	for i, m := range r.out.Models {
		r.out.Models[i].Likelihoods = l
		f, ok := formats.Of(m.Endpoint.Protocol)
		if _, scores := f.(formats.Scoring); ok && !scores {
			r.at(m.path+".endpoint", "base models are scored over an endpoint with protocol: completions",
				"%s speaks the %s format, in which log-probabilities of a given text cannot be asked for", m.nameInPlan(), f.Name())
		}
		if m.Mode == ModeBatch {
			r.at(r.modePath(m.path), "leave it live",
				"%s is in mode batch, and its scorers need log-probabilities, which batches do not carry", m.Name)
		}
	}
	if r.out.Epochs > 1 {
		r.note("log-probabilities are the same in every epoch: leave epochs out")
	}
}
