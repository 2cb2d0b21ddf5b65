package estimate

import (
	"math"

	"nightshift"
	"nightshift/providers/formats"
	"nightshift/reports/scorers"
	"nightshift/runner/plan"
)

// forecastJudge works out a judge's figures from those of the models it reads, of
// which the run compares so many pairs.
func forecastJudge(s plan.ResolvedScorer, models []modelForecast, pairs int, answers float64) (modelForecast, error) {
	e, err := newEncoder(*s.Judge)
	if err != nil {
		return modelForecast{}, err
	}
	f := modelForecast{
		Model: s.Judge.Name, ModelID: s.Judge.ModelID, Endpoint: s.Judge.Endpoint.Name, Protocol: e.dialect(),
		URL:   e.target(),
		Judge: true, PriceID: s.Judge.PriceID, model: *s.Judge,
	}
	if s.Embeds() {
		f.embeddings(s, models, answers)
		return f, nil
	}
	shown := 1.0 // answers in a request
	f.Requests = answers * float64(len(models))
	if pairwise(s.Spec) {
		met := float64(pairs)
		if s.Spec.Params["pairs"] == "all" {
			met = float64(len(models)*(len(models)-1)) / 2
		}
		f.Requests = answers * met * 2 // both orders
		shown = 2
	}
	f.perRow = f.Requests / max(answers, 1)
	var prompt, answer span // of the average request of the models
	for _, m := range models {
		n := max(m.Requests, 1) * float64(len(models))
		prompt, answer = prompt.plus(m.Input.times(1/n)), answer.plus(m.Output.times(1/n))
	}
	template, _ := s.Spec.Params["template"].(string)
	text := float64(len(template))
	if text == 0 {
		text = 900 // about as long as the built-in ones
	}
	f.Input = framing.plus(plainTokens.times(text)).plus(prompt).plus(answer.times(shown)).times(f.Requests)
	f.Output = priorAnswer(*s.Judge, float64(s.Judge.MaxOutput)).times(f.Requests)
	f.price(s.Judge.Price, 0, true)
	f.judgeAtMost(s, models, shown)
	return f, nil
}

// judgeAtMost bounds what a judge costs by the longest prompts and answers that it may have to read,
// shown of them in a request. A token of an answer is taken for as many bytes as the shortest estimate
// has, and the judge to make a token of each byte. It stays unknown where nothing caps an answer, and
// where a long prompt may cost more.
func (f *modelForecast) judgeAtMost(s plan.ResolvedScorer, models []modelForecast, shown float64) {
	text, requests := askedOf(s.Spec)
	requests *= f.Requests
	in, largest := 0.0, 0.0
	for _, m := range models {
		if m.largest.uncapped {
			return
		}
		one := m.largest.target + m.largest.worstIn + shown*m.largest.worstOut/plainTokens.Low
		if in += one / float64(len(models)); shown > 1 {
			in = max(in, one) // which answers meet is not looked at
		}
		largest = max(largest, float64(m.largest.largestIn)+shown*float64(m.largest.largestToken)/plainTokens.Low)
	}
	in, largest = in+text, largest+text
	most := s.Judge.MaxOutput
	if most == 0 && formats.Writes(s.Judge.Endpoint.Protocol) {
		return
	}
	f.AtMostTokens = new(requests * (in + float64(most)))
	if p := s.Judge.Price; p != nil && (len(p.Long) == 0 || largest < float64(p.Long[0].Above)) {
		f.AtMostUSD = new(requests * worstCost(*s.Judge, int64(math.Ceil(in)), most, nightshift.Media{}))
	}
}

// askedOf is how many bytes stand around the answers in a request to a judge, and how many requests
// each question takes at most.
func askedOf(spec scorers.Spec) (bytes, requests float64) {
	var judge interface {
		Template() *scorers.Template
		Reask() bool
	}
	var err error
	if judge, err = scorers.NewGrader(spec); pairwise(spec) {
		judge, err = scorers.NewPairJudge(spec)
	}
	if err != nil {
		return 0, 1 // vectors
	}
	if requests = 1; judge.Reask() {
		requests = 2
	}
	return float64(len(judge.Template().Render(scorers.Material{})) + 64), requests // 64 as in measured.worst
}

// embeddings works out the figures of an embedding scorer: the text of every
// answer, and once a target of about that length for each row.
func (f *modelForecast) embeddings(s plan.ResolvedScorer, models []modelForecast, answers float64) {
	var answer span
	for _, m := range models {
		answer = answer.plus(m.Output.times(1 / (max(m.Requests, 1) * float64(len(models)))))
	}
	f.Requests = answers * float64(len(models)+1)
	f.perRow = f.Requests / max(answers, 1)
	f.Input = answer.times(f.Requests)
	f.price(f.model.Price, 0, true)
	f.judgeAtMost(s, models, 1)
}

func pairwise(s scorers.Spec) bool { return s.Type == "judge_pairwise" }
