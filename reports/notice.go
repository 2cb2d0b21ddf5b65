package reports

import (
	"nightshift/reports/render"
)

// A Notice is a Summary in a few figures, without a text of dataset, model or
// endpoint.
type Notice struct {
	Expected int64         `json:"rows"` // dataset rows × models × epochs
	Answered int64         `json:"answered"`
	Failed   int64         `json:"failed"` // on record without an answer
	CostUSD  float64       `json:"cost_usd"`
	AtLeast  bool          `json:"cost_at_least"` // some cost is not known
	Judges   float64       `json:"judges_cost_usd"`
	Seconds  float64       `json:"worked_seconds"`
	Models   []noticeModel `json:"models"`
	money    string
}

type noticeModel struct {
	Model    string             `json:"model"`
	Answered int64              `json:"answered"`
	Failed   int64              `json:"failed"`
	CostUSD  float64            `json:"cost_usd"`
	AtLeast  bool               `json:"cost_at_least"`
	Scores   map[string]float64 `json:"scores,omitempty"` // means, by scorer
}

// Notice is the summary in a few figures.
func (s *Summary) Notice() *Notice {
	n := &Notice{CostUSD: dollars(s.Total.CostNanoUSD), AtLeast: s.Total.AtLeast(), Seconds: s.Worked,
		Models: []noticeModel{},
		money:  s.costWords()}
	for _, m := range s.Models {
		one := noticeModel{Model: m.Model, Answered: m.Answered(), Failed: m.Rows - m.Answered(),
			CostUSD: dollars(m.Bill.CostNanoUSD), AtLeast: m.Bill.AtLeast()}
		for _, c := range s.Scores {
			if c.Model == m.Model && c.Mean != nil {
				if one.Scores == nil {
					one.Scores = map[string]float64{}
				}
				one.Scores[c.Scorer] = *c.Mean
			}
		}
		n.Models = append(n.Models, one)
		n.Expected, n.Answered, n.Failed = n.Expected+m.Expected, n.Answered+one.Answered, n.Failed+one.Failed
	}
	for _, j := range s.Judges {
		n.Judges += dollars(j.CostNanoUSD)
	}
	return n
}

// Words is the notice in half a sentence.
func (n *Notice) Words() string {
	text := sprintf("%s of %s answered", render.Count(n.Answered), render.Counted(n.Expected, "row"))
	if n.Failed > 0 {
		text += sprintf(", %s without an answer", render.Count(n.Failed))
	}
	return text + ", " + n.money
}
