package compare

import (
	"encoding/json"
	"math"

	"nightshift/reports/render"
	"nightshift/reports/scorers"
	"nightshift/reports/stats"
)

// A partScore is one of the parts of a scorer's values, such as a criterion: its
// mean for every model, in the order of the scorer's Models.
type partScore struct {
	Name   string     `json:"name"`
	Models []partCell `json:"models"`
}

type partCell struct {
	cellScore
	SE *float64 `json:"se"`
}

// A partColumn sums one part of one model's scores by item, over its epochs.
type partColumn struct{ sums, weights []float64 }

// partColumns are the parts of one scorer, in the order in which they were met.
type partColumns struct {
	names  []string
	byName map[string]*partColumn
}

// take adds the parts of one score.
func (p *partColumns) take(raw string, item, items int) {
	var parts []scorers.Part
	if json.Unmarshal([]byte(raw), &parts) != nil {
		return
	}
	for _, part := range parts {
		c := p.byName[part.Name]
		if c == nil {
			c = &partColumn{make([]float64, items), make([]float64, items)}
			if p.byName == nil {
				p.byName = map[string]*partColumn{}
			}
			p.byName[part.Name], p.names = c, append(p.names, part.Name)
		}
		weight := part.Weight
		if weight == 0 {
			weight = 1
		}
		c.sums[item] += weight * part.Value
		c.weights[item] += weight
	}
}

// shownParts bounds the parts of one scorer: each is a row of a table, and names
// may come from answers of programs.
const shownParts = 200

// parts adds the means of what the scores are made of.
func (m *matrix) parts(r *scorerResult, scorer int) error {
	at := map[string]int{}
	for j, col := range m.columns {
		for _, name := range col.parts[scorer].names {
			i, known := at[name]
			if !known {
				if i = len(r.Parts); i == shownParts {
					continue
				}
				at[name] = i
				r.Parts = append(r.Parts, partScore{name, make([]partCell, len(m.columns))})
			}
			e, err := stats.Score(pick(m, col.parts[scorer].byName[name].linear()), m.statsOptions(col.epochs))
			if err != nil {
				return err
			}
			r.Parts[i].Models[j] = partCell{cellOf(e.N, e.Mean, inUnit(e.Interval)), stats.Defined(e.SE)}
		}
	}
	return nil
}

// linear are values whose mean is Σwv/Σw, and whose standard error is that of this
// ratio by the delta method: where all items weigh the same, the means of the items
// themselves. Items without the part are NaN.
func (p *partColumn) linear() []float64 {
	n := 0.0
	for _, w := range p.weights {
		if w > 0 {
			n++
		}
	}
	total := stats.Sum(p.weights)
	weight, ratio := total/n, stats.Sum(p.sums)/total
	values := make([]float64, len(p.weights))
	for i, w := range p.weights {
		switch {
		case w == 0:
			values[i] = math.NaN()
		case math.Abs(w-weight) <= 1e-9*weight:
			values[i] = p.sums[i] / w
		default:
			values[i] = ratio + w/weight*(p.sums[i]/w-ratio)
		}
	}
	return values
}

// inUnit clips an interval of values in 0..1: those of [partColumn.linear] may lie
// outside, their mean does not.
func inUnit(i stats.Interval) stats.Interval {
	i.Lower, i.Upper = max(i.Lower, 0), min(i.Upper, 1)
	return i
}

func (c *Comparison) partGrids(r *scorerResult) []render.Grid {
	if len(r.Parts) == 0 {
		return nil
	}
	s := newGrid("Parts: "+r.Name, r.Name+", parts")
	for _, m := range r.Models {
		s.Head = append(s.Head, m.Label)
	}
	for _, p := range r.Parts {
		cells := []string{p.Name}
		for _, m := range p.Models {
			cells = append(cells, shownAs(m.Mean, asScore)+m.Interval.half(1))
		}
		s.Add(cells...)
	}
	return []render.Grid{s}
}
