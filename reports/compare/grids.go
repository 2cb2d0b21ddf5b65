package compare

import (
	"io"
	"math"
	"slices"
	"strings"

	"nightshift/internal/words"
	"nightshift/reports/render"
	"nightshift/reports/scoring"
)

// JSON writes the comparison as indented JSON.
func (c *Comparison) JSON(w io.Writer) error { return render.JSON(w, c) }

// shownCategories bounds the breakdown in text; JSON has all of it.
const shownCategories = 30

func newGrid(title string, head ...string) render.Grid { return render.Grid{Title: title, Head: head} }

// grids are all tables of the comparison, in the order of reading.
func (c *Comparison) grids() []render.Grid {
	all := c.sectionGrids()
	for i := range c.Scorers {
		all = append(all, c.scoreGrid(&c.Scorers[i]))
		all = append(all, c.partGrids(&c.Scorers[i])...)
		all = append(all, c.variantGrids(&c.Scorers[i])...)
		all = append(all, c.effectGrids(&c.Scorers[i])...)
		all = append(all, c.deltaGrids(&c.Scorers[i])...)
	}
	all = append(all, c.stoppingGrids()...)
	all = append(all, c.preferenceGrids()...)
	all = append(all, c.moneyGrid(), c.tokenGrid(), c.latencyGrid(), c.stopGrid())
	for i := range c.Scorers {
		all = append(all, c.categoryGrids(&c.Scorers[i])...)
		all = append(all, c.repeatGrids(&c.Scorers[i])...)
	}
	return c.split(all)
}

func (c *Comparison) scoreGrid(r *scorerResult) render.Grid {
	s := newGrid("Scores: "+r.Name, r.Name, "score", c.intervalHead(0.05), "scored/total", "no answer", "unscored",
		"error")
	for _, m := range r.Models {
		s.Add(m.Label, shownAs(m.Mean, asScore), m.Interval.String(),
			render.Count(m.Scored+m.NoAnswer)+"/"+render.Count(m.Total), render.Count(m.NoAnswer),
			render.Count(m.Unscored), render.Count(m.Errors))
		if m.Words != "" {
			s.Notes = append(s.Notes, m.Label+": "+m.Words)
		}
		if m.Corpus != nil {
			s.Notes = append(s.Notes, sprintf("%s: %s over all answers together; the score is the mean over answers",
				m.Label, asScore(*m.Corpus)))
		}
	}
	return s
}

func (c *Comparison) deltaGrids(r *scorerResult) []render.Grid {
	if len(r.Deltas) == 0 {
		return nil
	}
	s := newGrid("Differences: "+r.Name, r.Name+" vs "+c.against(), "", "points", c.intervalHead(c.Alpha), "win/tie/loss",
		c.pHead(), "adj. p")
	s.Texts = 2
	for _, d := range r.Deltas {
		name := d.Label
		if c.Baseline == "" && c.Along == "" {
			name += " − " + d.Against
		}
		s.Add(append([]string{name}, d.cells()...)...)
		if d.Verdict != better && d.Verdict != worse || d.LeftOut > 0 { // else the row says it all
			s.Notes = append(s.Notes, d.sentence())
		}
		if len(d.Differs) > 0 {
			s.Notes = append(s.Notes, d.Label+" differs from "+d.Against+" in "+join(d.Differs, ", "))
		}
		if d.Note != "" {
			s.Notes = append(s.Notes, d.Label+": "+d.Note)
		}
	}
	if !slices.ContainsFunc(r.Deltas, delta.corrected) { // of one comparison p says it
		s.Head = s.Head[:len(s.Head)-1]
		for i := range s.Rows {
			s.Rows[i] = s.Rows[i][:len(s.Head)]
		}
	}
	return []render.Grid{s}
}

// corrected reports whether the adjusted p is another than p.
func (d delta) corrected() bool { return d.P != nil && d.Adjusted != nil && *d.P != *d.Adjusted }

// cells are the figures of a difference in a table, its sign first.
func (d delta) cells() []string {
	return []string{d.Verdict.sign(), shownAs(d.Delta, func(v float64) string { return withSign(100 * v) }),
		d.Interval.signedPoints(),
		sprintf("%s/%s/%s", render.Count(int64(d.Win)), render.Count(int64(d.Tie)), render.Count(int64(d.Loss))),
		shownAs(d.P, pValue), shownAs(d.Adjusted, pValue)}
}

// sign is the verdict in a narrow column.
func (v verdict) sign() string {
	switch v {
	case better, worse:
		return string(v)
	case withheld:
		return "?"
	}
	return "~"
}

// against names the baseline, along models or variants the one of each group; …
// when there is no single one.
func (c *Comparison) against() string {
	switch {
	case c.group != "":
		return c.group
	case c.Baseline == "":
		return "…"
	}
	return c.Baseline
}

// sentence is the verdict as a person would say it.
func (d delta) sentence() string {
	s := d.Label + ": " + d.Why
	if d.Verdict == better || d.Verdict == worse {
		s += " by " + asPoints(math.Abs(*d.Delta)) + " points"
		if d.Interval != nil {
			s += " (" + d.Interval.signedPoints() + ")"
		}
	}
	if d.Verdict == notShown && d.Needed != nil && *d.Needed > d.N {
		s += sprintf("; a gap of %s points would take about %s", asPoints(math.Abs(*d.Delta)),
			render.Counted(int64(*d.Needed), "item"))
	}
	if d.LeftOut > 0 {
		s += sprintf("; %s left out", render.Counted(int64(d.LeftOut), "item"))
	}
	return s
}

// brief is a difference in figures.
func (d delta) brief() string {
	words := "%s points, 95 %% %s, p %s"
	if d.rule != nil {
		words = "%s points, confidence sequence %s, always-valid p %s"
	}
	text := sprintf(words, shownAs(d.Delta, func(v float64) string { return withSign(100 * v) }),
		d.Interval.signedPoints(), shownAs(d.P, pValue))
	if d.corrected() {
		text += ", adjusted " + pValue(*d.Adjusted)
	}
	return text
}

func (c *Comparison) preferenceGrids() []render.Grid {
	var all []render.Grid
	for _, p := range c.Preferences {
		s := newGrid("Preferences: "+p.Name, p.Name, "against", "", "win rate", c.intervalHead(0.05), c.pHead(),
			"win/tie/loss", "unread")
		s.Texts = 3
		for _, pair := range p.Pairs {
			s.Add(pair.Label, pair.Against, pair.Verdict.sign(), shownAs(pair.WinRate, asPercent),
				pair.Interval.String(),
				shownAs(pair.Adjusted, pValue),
				sprintf("%d/%d/%d", pair.Win, pair.Tie, pair.Loss), render.Count(int64(pair.Unscored)))
			s.Notes = append(s.Notes, pair.Label+": "+pair.Why)
			if pair.Note != "" {
				s.Notes = append(s.Notes, pair.Label+": "+pair.Note)
			}
		}
		all = append(all, s)
		if len(p.Ratings) > 0 {
			r := newGrid("Ratings: "+p.Name, "Bradley-Terry", "rating", "95 % interval")
			for _, one := range p.Ratings {
				interval := "-"
				if one.Interval != nil {
					interval = sprintf("%.0f – %.0f", one.Interval.Lower, one.Interval.Upper)
				}
				r.Add(one.Label, sprintf("%.0f", one.Rating), interval)
			}
			if p.Note != "" {
				r.Notes = append(r.Notes, p.Note)
			}
			all = append(all, r)
		}
	}
	return append(all, c.judgeGrids()...)
}

func (c *Comparison) judgeGrids() []render.Grid {
	if len(c.Judges) == 0 {
		return nil
	}
	s := newGrid("Judges", "judge", "model", "requests", "re-asked", "failed", "unread", "cost")
	for _, j := range c.Judges {
		s.Add(j.Scorer, j.Model, render.Count(j.Requests), render.Count(j.Reasked), render.Count(j.Failed),
			render.Count(j.Unreadable), render.Money(j.CostNanoUSD, j.CostUnknown > 0))
		if j.Consistency != nil {
			s.Notes = append(s.Notes, sprintf("%s: same winner in both orders %s of %d pairs", j.Scorer,
				asPercent(j.Consistency.Value), j.Consistency.N))
		}
		if j.FirstPosition != nil {
			s.Notes = append(s.Notes, sprintf("%s: the first position wins %s of %d replies", j.Scorer,
				asPercent(j.FirstPosition.Value), j.FirstPosition.N))
		}
		if j.Longer != nil {
			s.Notes = append(s.Notes, sprintf("%s: the longer answer wins %s of %d pairs", j.Scorer,
				asPercent(j.Longer.Value), j.Longer.N))
		}
		if h := j.Human; h != nil {
			s.Notes = append(s.Notes, j.Scorer+": "+agreementText(h))
		}
	}
	return []render.Grid{s}
}

// agreementText says how far a judge agrees with people, and people among
// themselves.
func agreementText(h *scoring.Agreement) string {
	text := sprintf("agrees with people on %s of %d rows, kappa %s", asPercent(h.Share), h.N, shownAs(h.Kappa, asScore))
	for _, one := range []struct {
		name  string
		value *float64
	}{{"weighted kappa", h.Weighted}, {"Krippendorff's alpha", h.Alpha}, {"of people alone", h.People}} {
		if one.value != nil {
			text += sprintf(", %s %s", one.name, asScore(*one.value))
		}
	}
	return text
}

func (c *Comparison) moneyGrid() render.Grid {
	s := newGrid("Cost", "cost", "", "total", "per 1,000", "per correct")
	s.Texts = 2
	headline := c.result("")
	for _, m := range c.Models {
		each, mark := "n/a", ""
		if headline != nil {
			if one := headline.scoreOf(m.Label); one != nil {
				each = shownAs(one.PerCorrectUSD, words.Money)
				if one.PerCorrectUSD == nil {
					each = "n/a"
				}
				if one.Frontier && len(c.Models) > 1 {
					mark = "frontier"
				}
			}
		}
		per := shownAs(m.Per1000, words.Money)
		if m.Cost.String() == render.Unknown {
			per, each = render.Unknown, render.Unknown
		}
		s.Add(m.Label, mark, m.Cost.String(), per, each)
	}
	if c.JudgeCost != nil {
		s.Add("judges", "", c.JudgeCost.String(), "", "")
	}
	return s
}

func (c *Comparison) tokenGrid() render.Grid {
	s := newGrid("Tokens", "tokens", "input", "cache read", "cache write", "output", "of which reasoning")
	for _, m := range c.Models {
		t := m.Tokens
		row := []string{m.Label}
		for _, n := range []*int64{t.Input, t.CacheRead, t.CacheWrite, t.Output, t.Reasoning} {
			row = append(row, render.Known(n))
		}
		s.Add(row...)
	}
	return s
}

func (c *Comparison) latencyGrid() render.Grid {
	s := newGrid("Latency", "latency", "p50", "p90", "p95", "p99", "max", "per correct")
	headline := c.result("")
	for _, m := range c.Models {
		each := "-"
		if headline != nil {
			if one := headline.scoreOf(m.Label); one != nil && one.SecondsPerCorrect != nil {
				ms := *one.SecondsPerCorrect * 1000
				each = render.Seconds(&ms)
			}
		}
		l := m.LatencyMS
		s.Add(m.Label, render.Seconds(l.P50), render.Seconds(l.P90), render.Seconds(l.P95), render.Seconds(l.P99),
			render.Seconds(l.Max), each)
	}
	return s
}

// stopGrid leaves out the ways in which no answer ended.
func (c *Comparison) stopGrid() render.Grid {
	s := newGrid("How answers ended", "ended")
	for _, way := range []struct {
		name string
		of   func(stopMix) int64
	}{
		{"completed", func(m stopMix) int64 { return m.Completed }},
		{"truncated", func(m stopMix) int64 { return m.Truncated }},
		{"refused", func(m stopMix) int64 { return m.Refused }}, {"empty", func(m stopMix) int64 { return m.Empty }},
		{"error", func(m stopMix) int64 { return m.Errors }}, {"not run", func(m stopMix) int64 { return m.NotRun }},
	} {
		total := int64(0)
		for _, m := range c.Models {
			total += way.of(m.Stops)
		}
		if total > 0 || way.name == "completed" || way.name == "truncated" {
			s.Column(way.name, len(c.Models), func(i int) string { return render.Count(way.of(c.Models[i].Stops)) })
		}
	}
	if headline := c.result(""); headline != nil {
		s.Column("score if whole", len(c.Models), func(i int) string {
			return shownAs(headline.Models[i].Completed.Mean,
				asScore)
		})
		s.Column("if cut off", len(c.Models), func(i int) string {
			return shownAs(headline.Models[i].Truncated.Mean,
				asScore)
		})
	}
	for i := range s.Rows {
		s.Rows[i] = append([]string{c.Models[i].Label}, s.Rows[i]...)
	}
	return s
}

func (c *Comparison) categoryGrids(r *scorerResult) []render.Grid {
	if len(r.Categories) == 0 {
		return nil
	}
	s := newGrid("Categories: "+r.Name, r.Name+" by category", "n")
	for _, m := range r.Models {
		s.Head = append(s.Head, m.Label)
	}
	for _, d := range r.Deltas {
		s.Head = append(s.Head, "Δ "+d.Label)
	}
	for i, row := range r.Categories {
		if i == shownCategories {
			s.Notes = append(s.Notes, sprintf("and %d more categories: --json has all", len(r.Categories)-i))
			break
		}
		cells := []string{row.Category, render.Count(int64(row.Items))}
		for _, m := range row.Models {
			cells = append(cells, shownAs(m.Mean, asScore)+m.Interval.half(1))
		}
		for _, d := range row.Deltas {
			cells = append(cells, shownAs(d.Mean,
				func(v float64) string { return withSign(100 * v) })+d.Interval.half(100))
		}
		s.Add(cells...)
	}
	micro, macro := []string{"all items (micro)", ""}, []string{"mean of categories (macro)", ""}
	for i, m := range r.Models {
		micro = append(micro, shownAs(m.Mean, asScore))
		macro = append(macro, shownAs(r.Macro[i].Mean, asScore))
	}
	for _, d := range r.Deltas {
		micro = append(micro, shownAs(d.Delta, func(v float64) string { return withSign(100 * v) }))
		macro = append(macro, "")
	}
	s.Add(micro...)
	s.Add(macro...)
	if len(r.Deltas) > 0 {
		s.Notes = append(s.Notes, "n: items; Δ: in points, hundredths of the score")
	}
	return []render.Grid{s}
}

func (c *Comparison) repeatGrids(r *scorerResult) []render.Grid {
	if len(r.Repeats) == 0 {
		return nil
	}
	s := newGrid("Repeats: "+r.Name, r.Name+", repeats", "unstable", "within", "between", "removable", "majority",
		"best")
	first := r.Repeats[0]
	for _, k := range first.PassAtK[1:] {
		s.Head = append(s.Head, sprintf("pass@%d", k.K), sprintf("pass^%d", k.K))
	}
	for _, rep := range r.Repeats {
		cells := []string{rep.Label, render.Count(int64(rep.Unstable)), shownAs(rep.Within, asScore),
			shownAs(rep.Between, asScore), shownAs(rep.Removable, asPercent), shownAs(rep.Majority.Mean,
				asScore), shownAs(rep.Best.Mean, asScore)}
		for i := 1; i < min(len(rep.PassAtK), len(first.PassAtK)); i++ {
			cells = append(cells, shownAs(rep.PassAtK[i].Mean, asScore), shownAs(rep.PassHatK[i].Mean, asScore))
		}
		s.Add(cells...)
	}
	s.Notes = append(s.Notes, "within, between: variance of the scores of an item, and between items; best: the best "+
		"of an item's answers; pass@k: one of k answers is right, pass^k: all are")
	if slices.ContainsFunc(r.Repeats, func(rep repeatScore) bool { return rep.Unstable > 0 }) {
		s.Notes = append(s.Notes, "unstable: items neither always right nor always wrong; removable: share of the mean's "+
			"variance that more epochs would remove")
	}
	return []render.Grid{s}
}

// shownAs writes a figure, or a dash where there is none.
func shownAs(v *float64, words func(float64) string) string {
	if v == nil {
		return "-"
	}
	return words(*v)
}

// asScore writes a mean of scores.
func asScore(v float64) string { return sprintf("%.3f", v) }

// withSign writes a difference with its sign.
func withSign(v float64) string {
	if s := sprintf("%+.1f", v); s != "-0.0" {
		return strings.Replace(s, "-", "−", 1)
	}
	return "+0.0"
}

// pValue writes a p as far as it can be believed.
func pValue(p float64) string {
	switch {
	case p < 0.0001:
		return "<0.0001"
	case p < 0.1:
		return sprintf("%.4f", p)
	}
	return sprintf("%.2f", p)
}

func (r *interval) String() string {
	if r == nil {
		return "-"
	}
	return sprintf("%.3f – %.3f", r.Lower, r.Upper)
}

func (r *interval) signedPoints() string {
	if r == nil {
		return "-"
	}
	return withSign(100*r.Lower) + " … " + withSign(100*r.Upper)
}

func (r *interval) percents() string { return asPercent(r.Lower) + " – " + asPercent(r.Upper) }

// half is the half width of an interval, for a narrow column.
func (r *interval) half(scale float64) string {
	if r == nil {
		return ""
	}
	if scale == 1 {
		return sprintf(" ±%.2f", (r.Upper-r.Lower)/2)
	}
	return sprintf(" ±%.1f", scale*(r.Upper-r.Lower)/2)
}
