package compare

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"nightshift/reports/render"
	"nightshift/reports/stats"
)

// An effect is what one value of a factor does on average over the rest of the grid of
// models, variants and parameters (a main effect): Label is the value, Against the one
// that it replaces.
type effect struct {
	Factor string `json:"factor"` // model, variant or the name of a parameter
	// Cells is how many pairs of columns it is averaged over: those that are alike in
	// everything else.
	Cells int `json:"averaged_over"`
	delta
}

// Factors that are no parameters.
const (
	byModel   = "model"
	byVariant = "variant"
)

// A level is the value of a factor.
type level struct{ factor, value string }

// levels are what a column was asked with: its model, its variant without the values
// of parameters in its name, and those.
func (c *column) levels() []level {
	name, params := c.Variant, paramsOf(c.Params)
	var values []level
	for cut := true; cut; {
		cut = false
		for param, value := range params {
			suffix := param + "=" + unquoted(value)
			rest, is := strings.CutSuffix(name, suffix)
			if !is || rest != "" && !strings.HasSuffix(rest, "/") {
				continue
			}
			name, cut = strings.TrimSuffix(rest, "/"), true
			values = append(values, level{param, unquoted(value)})
		}
	}
	slices.Reverse(values) // the order of the name
	return append([]level{{byModel, c.VariantOf}, {byVariant, name}}, values...)
}

func unquoted(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// A contrast are two values of a factor with the pairs of columns that differ in it
// alone.
type contrast struct {
	factor, value, against string
	pairs                  [][2]int
}

// contrasts are those of every factor's values with that of the baseline which are
// averaged over more than one pair; with one they are a difference like any other.
func (m *matrix) contrasts(c *Comparison) (list []contrast) {
	if len(m.runs) > 1 {
		return nil
	}
	var all [][]level
	var factors []string
	base := 0
	for i, col := range m.columns {
		if col.Variant == "" {
			return nil
		}
		if col.Label == m.baseline(c, m.runs[0].evaluation.Baseline) {
			base = i
		}
		all = append(all, col.levels())
		for _, l := range all[i] {
			if !slices.Contains(factors, l.factor) {
				factors = append(factors, l.factor)
			}
		}
	}
	for _, factor := range factors {
		list = append(list, contrastsOf(factor, all, base)...)
	}
	return list
}

func contrastsOf(factor string, columns [][]level, base int) (list []contrast) {
	value := func(column int) string {
		for _, l := range columns[column] {
			if l.factor == factor {
				return l.value
			}
		}
		return ""
	}
	var values []string
	for i := range columns {
		if v := value(i); v != "" && !slices.Contains(values, v) {
			values = append(values, v)
		}
	}
	if len(values) < 2 {
		return nil
	}
	against := cmp.Or(value(base), values[0])
	for _, v := range values {
		one := contrast{factor: factor, value: v, against: against}
		for i := range columns {
			for j := range columns {
				if value(i) == v && value(j) == against && alike(columns[i], columns[j], factor) {
					one.pairs = append(one.pairs, [2]int{i, j})
				}
			}
		}
		if v != against && len(one.pairs) > 1 {
			list = append(list, one)
		}
	}
	return list
}

// alike reports whether two columns have the same value of every other factor.
func alike(a, b []level, but string) bool {
	others := func(levels []level) []level {
		return slices.DeleteFunc(slices.Clone(levels), func(l level) bool { return l.factor == but })
	}
	return slices.Equal(others(a), others(b))
}

// effects adds the main effects, which are a family of their own. An item's value is
// its mean over the pairs, so that its answers in all of them are one piece of
// evidence; items that lack one are left out.
func (m *matrix) effects(c *Comparison, r *scorerResult, scorer int, cols []scoredColumn) error {
	if m.arrival != nil {
		return nil // figures for a fixed number of rows
	}
	for _, one := range m.contrasts(c) {
		epochs := m.epochsOf(one)
		p, err := m.contrasted(one, epochs, func(col, _ int) []float64 { return cols[col].values })
		if err != nil {
			return err
		}
		e := effect{one.factor, len(one.pairs), deltaOf(one.value, one.against, p, c.Alpha)}
		for _, fill := range e.fills(r, one) {
			p, err := m.contrasted(one, epochs, func(col, side int) []float64 {
				return m.filledScores(cols[col].column, scorer, fill[side])
			})
			if err != nil {
				return err
			}
			e.readings = append(e.readings, readingOf(p))
		}
		r.Effects = append(r.Effects, e)
	}
	r.decideEffects(c.Alpha)
	return nil
}

func (m *matrix) epochsOf(one contrast) (most int) {
	for _, pair := range one.pairs {
		most = max(most, m.columns[pair[0]].epochs, m.columns[pair[1]].epochs)
	}
	return most
}

func (m *matrix) contrasted(one contrast, epochs int, values func(col, side int) []float64) (stats.Paired, error) {
	return stats.Compare(pick(m, meanOver(one.pairs, 0, values)), pick(m, meanOver(one.pairs, 1, values)),
		m.statsOptions(epochs))
}

// meanOver is each item's mean over the columns of one side; NaN where one has none.
func meanOver(pairs [][2]int, side int, values func(col, side int) []float64) []float64 {
	var sum []float64
	for _, pair := range pairs {
		of := values(pair[side], side)
		if sum == nil {
			sum = make([]float64, len(of))
		}
		for i, v := range of {
			sum[i] += v / float64(len(pairs))
		}
	}
	return sum
}

// fills are what missing scores are replaced by where one side lacks more of them
// than the other: against the value, then for it.
func (e *effect) fills(r *scorerResult, one contrast) [][2]float64 {
	if len(e.readings) == 0 {
		return nil
	}
	var sides [2]modelScore
	for side, name := range []string{one.value, one.against} {
		sides[side].Label = name
		for _, pair := range one.pairs {
			s := r.Models[pair[side]]
			sides[side].Unscored += s.Unscored + s.NotRun
			sides[side].Errors += s.Errors
			sides[side].Total += s.Total
			sides[side].ErrorsAsZero = s.ErrorsAsZero
		}
	}
	if e.missing = missingApart(sides[0], sides[1]); e.missing == "" {
		return nil
	}
	return [][2]float64{{0, 1}, {1, 0}}
}

func (r *scorerResult) decideEffects(alpha float64) {
	var family []*delta
	for i := range r.Effects {
		family = append(family, &r.Effects[i].delta)
	}
	decideTogether(family, alpha)
}

// averageEffects are those of the average over datasets.
func (m *matrix) averageEffects(c *Comparison, r *scorerResult, heads []sectionHead, rows bool) error {
	if m.arrival != nil {
		return nil // figures for a fixed number of rows
	}
	for _, one := range m.contrasts(c) {
		read := func(values func(h sectionHead, col, side int) []float64) (reading, error) {
			return m.averageReading(heads, rows, m.epochsOf(one), func(h sectionHead, side int) []float64 {
				return meanOver(one.pairs, side, func(col, side int) []float64 { return values(h, col, side) })
			})
		}
		first, err := read(func(h sectionHead, col, _ int) []float64 { return h.cols[col].values })
		if err != nil {
			return err
		}
		e := effect{one.factor, len(one.pairs), deltaOf(one.value, one.against, first.paired, c.Alpha)}
		fills := e.fills(r, one)
		if len(e.readings) > 0 {
			e.readings[0] = first
		}
		for _, fill := range fills {
			filled, err := read(func(h sectionHead, col, side int) []float64 {
				return h.filledScores(h.cols[col].column, h.scorer, fill[side])
			})
			if err != nil {
				return err
			}
			e.readings = append(e.readings, filled)
		}
		r.Effects = append(r.Effects, e)
	}
	r.decideEffects(c.Alpha)
	return nil
}

// effectGrids show what a model, a variant and each value of a parameter do on
// average.
func (c *Comparison) effectGrids(r *scorerResult) []render.Grid {
	if len(r.Effects) == 0 {
		return nil
	}
	g := newGrid("Main effects: "+r.Name, r.Name+", main effects", "value", "against", "", "points",
		c.intervalHead(c.Alpha), "win/tie/loss", "p", "adj. p", "pairs")
	g.Texts, g.Of = 4, "factor"
	for _, e := range r.Effects {
		cells := append([]string{e.Factor, e.Label, e.Against}, e.cells()...)
		g.Add(append(cells, render.Count(int64(e.Cells)))...)
		if e.Note != "" {
			g.Notes = append(g.Notes, e.name()+": "+e.Note)
		}
	}
	g.Notes = append(g.Notes, "each is averaged over the pairs of model, variant and parameters that differ in nothing "+
		"else; p is adjusted for all of them")
	return []render.Grid{g}
}

// name is what the effect is of: variant brief.
func (e effect) name() string { return e.Factor + " " + e.Label }

func (e effect) finding() render.Finding {
	return render.Finding{Level: levelOf(e.Verdict), Title: e.name(),
		Text: e.Why + sprintf(" on average over %s", render.Counted(int64(e.Cells), "pair")), Detail: e.brief()}
}
