package compare

import (
	"slices"

	"nightshift/reports/render"
)

// Block is the comparison as a part of a run's report.
func (c *Comparison) Block() *Block {
	b := &Block{Warnings: c.Warnings, Data: c}
	headline := c.result("")
	if headline != nil {
		for _, e := range headline.Effects {
			b.Verdicts = append(b.Verdicts, e.finding())
		}
		for _, d := range headline.Deltas {
			s := d.finding()
			if len(c.Scorers)+len(c.Preferences) > 1 {
				s.Text += " by " + headline.Name
			}
			b.Verdicts = append(b.Verdicts, s)
		}
		b.Points = c.costPoints(headline)
		for _, d := range headline.Disagreements {
			b.Different = append(b.Different, ItemKey{Row: d.Row})
		}
	}
	for _, p := range c.Preferences {
		for _, pair := range p.Pairs {
			b.Verdicts = append(b.Verdicts, render.Finding{Level: levelOf(pair.Verdict), Title: pair.Label,
				Text: pair.Why, Detail: p.Name + ", win rate " + shownAs(pair.WinRate, asPercent)})
		}
	}
	for _, g := range c.Gates {
		b.Verdicts = append(b.Verdicts,
			render.Finding{Level: g.level(), Title: "Gate", Text: g.Gate + " " + g.Word(), Detail: g.Detail})
	}
	if c.Invalid != "" {
		b.Verdicts = append([]render.Finding{{Level: "bad", Title: "Invalid", Text: c.Invalid}}, b.Verdicts...)
	}
	b.Tables = c.blockTables()
	return b
}

// blockTables are those that a summary does not have of its own; gates are
// among the verdicts.
func (c *Comparison) blockTables() []render.Grid {
	var all []render.Grid
	for _, g := range c.sectionGrids() {
		all = append(all, noted(g))
	}
	for i := range c.Scorers {
		r := &c.Scorers[i]
		for _, g := range slices.Concat(c.partGrids(r), c.variantGrids(r), c.effectGrids(r), c.deltaGrids(r),
			c.categoryGrids(r), c.repeatGrids(r)) {
			all = append(all, noted(g))
		}
	}
	for _, g := range slices.Concat(c.stoppingGrids(), c.preferenceGrids()) {
		all = append(all, noted(g))
	}
	return c.split(all)
}

// noted is the table with what there is to say of it as its note.
func noted(g render.Grid) render.Grid {
	g.Note, g.Notes = join(g.Notes, ". "), nil
	return g
}

func (d delta) finding() render.Finding {
	return render.Finding{Level: levelOf(d.Verdict), Title: d.Label, Text: d.Why, Detail: d.brief()}
}

func levelOf(v verdict) string {
	switch v {
	case better:
		return "good"
	case worse:
		return "bad"
	}
	return "unsure"
}

func (c *Comparison) costPoints(r *scorerResult) []CostPoint {
	var points []CostPoint
	for i, m := range c.Models {
		s := r.Models[i]
		if m.Per1000 == nil || s.Mean == nil {
			continue
		}
		p := CostPoint{Model: m.Label, USD: *m.Per1000, AtLeast: m.Cost.AtLeast, Score: *s.Mean, Frontier: s.Frontier}
		if s.Interval != nil {
			p.Lower, p.Upper = &s.Interval.Lower, &s.Interval.Upper
		}
		points = append(points, p)
	}
	return points
}
