package compare

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"

	"nightshift/reports/render"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
)

// ADataset is what [CheckGatesOf] is told for the type of a dataset's name, which
// stands for the first scorer of that dataset.
const ADataset = "dataset"

// What an average over several datasets weighs each by: its rows, or all alike.
const (
	byRows     = "rows"
	byDatasets = "datasets"
)

// A section is one of several datasets of the runs.
type section struct {
	name    string
	members []int32 // items
}

// A sectionHead is the scorer that a dataset's score in the average comes from: its
// first that scores single answers.
type sectionHead struct {
	*matrix // with the dataset's items as members
	name    string
	scorer  int
	cols    []scoredColumn
	at      int // of its result in the comparison
}

// divide finds the datasets of the items, in the order of the rows.
func (m *matrix) divide() {
	at, seen := map[string]int{}, make([]bool, m.items)
	for _, r := range m.runs {
		for i, item := range r.items {
			dataset := r.table.items[i].dataset
			if dataset < 0 || seen[item] {
				continue
			}
			name := r.table.datasets[dataset]
			seen[item] = true
			k, known := at[name]
			if !known {
				k = len(m.sections)
				at[name] = k
				m.sections = append(m.sections, section{name: name})
			}
			m.sections[k].members = append(m.sections[k].members, item)
		}
	}
	for _, s := range m.sections { // no figure depends on the order of the rows
		slices.Sort(s.members)
	}
}

// within is the matrix with the items of one dataset, as one scorer sees them.
func (m *matrix) within(s section, scorer int) *matrix {
	inside := make([]bool, m.items)
	for _, item := range s.members {
		inside[item] = true
	}
	sub := *m
	sub.members, sub.head, sub.columns = s.members, m.scorers[scorer].Name, nil
	for _, col := range m.columns {
		sub.columns = append(sub.columns, col.within(inside, scorer))
	}
	return &sub
}

// within is a copy of the column where one scorer has scored items inside only.
func (c *column) within(inside []bool, scorer int) *column {
	own := *c
	own.scores, own.status, own.answers = slices.Clone(c.scores), slices.Clone(c.status), slices.Clone(c.answers)
	own.scores[scorer], own.status[scorer] = slices.Clone(c.scores[scorer]), slices.Clone(c.status[scorer])
	own.answers[scorer] = slices.Clone(c.answers[scorer])
	for i := range own.scores[scorer] {
		if inside[i/c.epochs] {
			continue
		}
		own.scores[scorer][i], own.status[scorer][i] = math.NaN(), stateNone
		if own.answers[scorer] != nil {
			own.answers[scorer][i] = ""
		}
	}
	return &own
}

// pick are the values of the items that are looked at.
func pick[T any](m *matrix, all []T) []T {
	if m.members == nil {
		return all
	}
	return chosenOf(all, m.members)
}

// evaluateSections adds what every scorer says of every dataset, and in front of all
// the average over the datasets. All first differences of the datasets are decided
// together, as are those of each further scorer; those of the average are a family
// of their own, the first that is looked at.
func (m *matrix) evaluateSections(c *Comparison) error {
	var heads []sectionHead
	c.Scorers = []scorerResult{{}}
	for _, s := range m.sections {
		first := true
		for i, d := range m.scorers {
			if d.Type == Pairwise || d.Datasets != nil && !slices.Contains(d.Datasets, s.name) {
				continue
			}
			sub := m.within(s, i)
			r, cols, err := sub.scorer(c, i, d)
			if err != nil {
				return err
			}
			if r.Dataset, r.Name = s.name, s.name+"/"+d.Name; first && d.Kind != scorers.OfCorpus {
				first = false
				heads = append(heads, sectionHead{sub, s.name, i, cols, len(c.Scorers)})
			}
			c.Scorers = append(c.Scorers, *r)
		}
	}
	for _, h := range heads {
		c.Scorers[h.at].head = true
	}
	c.decideSections(heads)
	if len(heads) < 2 {
		c.Scorers = c.Scorers[1:]
		return nil
	}
	r, err := m.average(c, heads)
	if err != nil {
		return err
	}
	c.Scorers[0] = *r
	return nil
}

// decideSections decides the differences of all datasets by families.
func (c *Comparison) decideSections(heads []sectionHead) {
	families := map[string][]*delta{}
	for i := range c.Scorers[1:] {
		r := &c.Scorers[i+1]
		family := r.scored.Name
		if slices.ContainsFunc(heads, func(h sectionHead) bool { return h.at == i+1 }) {
			family = ""
		}
		families[family] = append(families[family], r.family()...)
	}
	for _, family := range families {
		decideTogether(family, c.Alpha)
	}
}

// average is the mean over the datasets of each one's first score.
func (m *matrix) average(c *Comparison, heads []sectionHead) (*scorerResult, error) {
	rows := cmp.Or(m.options.Average, m.runs[0].evaluation.Average) == byRows
	if m.arrival != nil && !rows {
		return nil, incomparable("a run that may stop early sends a sample of all rows: of several datasets it has the " +
			"average by rows alone (--average rows)")
	}
	r := &scorerResult{Described: scoring.Described{Name: scorers.Average, Type: scorers.Average, Version: "1",
		Params: json.RawMessage(`{"weights":"datasets"}`)}}
	if rows {
		r.Params = json.RawMessage(`{"weights":"rows"}`)
	}
	for j, col := range m.columns {
		r.Models = append(r.Models, m.averageScore(c, heads, col, j, rows))
	}
	r.frontier(c)
	for k, pair := range m.pairs(c) {
		d, err := m.averageDelta(c, r, heads, pair, rows)
		if err != nil {
			return nil, err
		}
		for _, h := range heads {
			one := c.Scorers[h.at].Deltas[k]
			d.failing, d.passing = append(d.failing, one.failing...), append(d.passing, one.passing...)
			d.NewlyFailingCount += one.NewlyFailingCount
			d.NewlyPassingCount += one.NewlyPassingCount
		}
		r.Deltas = append(r.Deltas, d)
	}
	decideTogether(r.family(), c.Alpha)
	if err := m.averageEffects(c, r, heads, rows); err != nil {
		return nil, err
	}
	for _, h := range heads {
		r.Differing += c.Scorers[h.at].Differing
	}
	return r, nil
}

// averageScore is one model's.
func (m *matrix) averageScore(c *Comparison, heads []sectionHead, col *column, model int, rows bool) modelScore {
	s := modelScore{Label: col.Label, Method: "average of datasets"}
	var parts []weighed
	for _, h := range heads {
		one := c.Scorers[h.at].Models[model]
		s.N, s.ErrorsAsZero = s.N+one.N, one.ErrorsAsZero
		s.Scored, s.NoAnswer, s.Unscored = s.Scored+one.Scored, s.NoAnswer+one.NoAnswer, s.Unscored+one.Unscored
		s.Errors, s.NotRun, s.Total = s.Errors+one.Errors, s.NotRun+one.NotRun, s.Total+one.Total
		parts = append(parts, weighedOf(one.N, one.Mean, one.SE, one.Interval))
	}
	values := m.together(heads, func(h sectionHead) []float64 { return h.cols[model].values })
	mean := average(parts, rows)
	s.Mean, s.SE, s.Interval = stats.Defined(mean.value), stats.Defined(mean.se), mean.interval()
	if m.arrival != nil {
		e := m.arrival.score(values, m.arrival.items)
		s.N, s.Mean, s.SE, s.Interval, s.Method = e.N, stats.Defined(e.Mean), nil, rangeOf(e.Interval), e.Method
	}
	s.perCorrect(scoredColumn{col, values})
	return s
}

// together are the values that each dataset's items have there; NaN for items of none.
func (m *matrix) together(heads []sectionHead, values func(h sectionHead) []float64) []float64 {
	all := make([]float64, m.items)
	for i := range all {
		all[i] = math.NaN()
	}
	for _, h := range heads {
		of := values(h)
		for _, item := range h.members {
			all[item] = of[item]
		}
	}
	return all
}

// sequentialAverage is averageDelta where a run may stop early: rows come in random order, so that those
// up to any time are a sample of all rows, and their differences a sequence of the average by rows.
func (m *matrix) sequentialAverage(r *scorerResult, heads []sectionHead, pair [2]int) (delta, error) {
	a, b := m.columns[pair[0]], m.columns[pair[1]]
	scored := func(k int) scoredColumn {
		return scoredColumn{m.columns[pair[k]], m.together(heads, func(h sectionHead) []float64 {
			return h.cols[pair[k]].values
		})}
	}
	d, err := m.sequentialDelta(scored(0), scored(1))
	if err != nil {
		return delta{}, err
	}
	d.Differs = a.differsFrom(b)
	if d.missing = missingApart(r.Models[pair[0]], r.Models[pair[1]]); d.missing == "" {
		return d, nil
	}
	for _, fill := range [][2]float64{{0, 1}, {1, 0}} {
		filled := func(k int) []float64 {
			return m.together(heads, func(h sectionHead) []float64 {
				return h.filledScores(h.cols[pair[k]].column, h.scorer, fill[k])
			})
		}
		d.readings = append(d.readings, m.sequentialReading(filled(0), filled(1))...)
	}
	return d, nil
}

// averageDelta is one model against another.
func (m *matrix) averageDelta(c *Comparison, r *scorerResult, heads []sectionHead, pair [2]int,
	rows bool) (delta, error) {
	if m.arrival != nil {
		return m.sequentialAverage(r, heads, pair)
	}
	a, b := m.columns[pair[0]], m.columns[pair[1]]
	epochs := max(a.epochs, b.epochs)
	first, err := m.averageReading(heads, rows, epochs, func(h sectionHead, side int) []float64 {
		return h.cols[pair[side]].values
	})
	if err != nil {
		return delta{}, err
	}
	d := deltaOf(a.Label, b.Label, first.paired, c.Alpha)
	d.Differs = a.differsFrom(b)
	if len(d.readings) == 0 {
		return d, nil
	}
	d.readings[0] = first
	d.missing = missingApart(r.Models[pair[0]], r.Models[pair[1]])
	for _, fill := range [][2]float64{{0, 1}, {1, 0}} {
		if d.missing == "" {
			break
		}
		one, err := m.averageReading(heads, rows, epochs, func(h sectionHead, side int) []float64 {
			return h.filledScores(h.cols[pair[side]].column, h.scorer, fill[side])
		})
		if err != nil {
			return delta{}, err
		}
		d.readings = append(d.readings, one)
	}
	return d, nil
}

// averageReading compares two sides by the average. Its test flips the signs of all
// item differences, each with the weight that it has in the average; the standard
// error adds the variances of the datasets, and the interval their intervals.
func (m *matrix) averageReading(heads []sectionHead, rows bool, epochs int,
	values func(h sectionHead, side int) []float64) (reading, error) {
	var at95, at90 []weighed
	var x, y []float64
	var labels []int32
	total := 0
	for _, h := range heads {
		a, b := pick(h.matrix, values(h, 0)), pick(h.matrix, values(h, 1))
		p, err := stats.Compare(a, b, h.statsOptions(epochs))
		if err != nil {
			return reading{}, err
		}
		at95 = append(at95, weighed{p.N, p.Delta, p.SE, p.Lower, p.Upper})
		lower := p.At(0.9)
		at90 = append(at90, weighed{p.N, p.Delta, p.SE, lower.Lower, lower.Upper})
		total += p.N
		x, y, labels = append(x, a...), append(y, b...), append(labels, pick(h.matrix, m.labels)...)
	}
	i := 0
	for k, h := range heads {
		weight := weightOf(at95, k, rows) * float64(total) / float64(at95[k].n)
		for range h.members {
			x[i], y[i] = weight*x[i], weight*y[i]
			i++
		}
	}
	p, err := stats.Compare(x, y, stats.Options{Clusters: labels, Epochs: epochs})
	if err != nil {
		return reading{}, err
	}
	mean, oneSided := average(at95, rows), average(at90, rows)
	p.Delta, p.SE, p.Method = mean.value, mean.se, "average of datasets"
	p.Interval = stats.Interval{Lower: mean.lower, Upper: mean.upper}
	return reading{paired: p, lower: oneSided.lower}, nil
}

// A weighed figure goes into an average, or is one.
type weighed struct {
	n                       int
	value, se, lower, upper float64
}

func weighedOf(n int, mean, se *float64, i *interval) weighed {
	w := weighed{n, math.NaN(), math.NaN(), math.NaN(), math.NaN()}
	if mean != nil {
		w.value = *mean
	}
	if se != nil {
		w.se = *se
	}
	if i != nil {
		w.lower, w.upper = i.Lower, i.Upper
	}
	return w
}

func (w weighed) interval() *interval { return rangeOf(stats.Interval{Lower: w.lower, Upper: w.upper}) }

// weightOf is the share of one figure in the average: that of its rows, or the same
// for all.
func weightOf(all []weighed, k int, rows bool) float64 {
	if !rows {
		return 1 / float64(len(all))
	}
	sum := 0
	for _, one := range all {
		sum += one.n
	}
	return float64(all[k].n) / float64(sum)
}

// average is Σwv, its standard error √Σ(w·se)², since the rows of different datasets
// are independent. Its interval reaches at each end as far as the ends of the
// figures' own intervals do together, √Σ(w·distance)² (G. Y. Zou and A. Donner,
// 2008): it stays honest where all scores of a dataset are alike.
func average(all []weighed, rows bool) weighed {
	var out weighed
	for k, one := range all {
		w := weightOf(all, k, rows)
		out.n += one.n
		out.value += w * one.value
		out.se += (w * one.se) * (w * one.se)
		out.lower += (w * (one.value - one.lower)) * (w * (one.value - one.lower))
		out.upper += (w * (one.upper - one.value)) * (w * (one.upper - one.value))
	}
	out.se = math.Sqrt(out.se)
	out.lower, out.upper = out.value-math.Sqrt(out.lower), out.value+math.Sqrt(out.upper)
	return out
}

// sectionGrids show the scores once more: a dataset a line, and their average.
func (c *Comparison) sectionGrids() []render.Grid {
	average := c.average()
	if average == nil {
		return nil
	}
	g := newGrid("Datasets", "score by dataset", "n")
	for _, m := range average.Models {
		g.Head = append(g.Head, m.Label)
	}
	for _, d := range average.Deltas {
		g.Head = append(g.Head, "Δ "+d.Label)
	}
	line := func(r *scorerResult, name string) {
		n := 0
		var cells []string
		for _, m := range r.Models {
			n = max(n, m.N)
			cells = append(cells, shownAs(m.Mean, asScore)+m.Interval.half(1))
		}
		for _, d := range r.Deltas {
			cells = append(cells, d.cell())
		}
		g.Add(append([]string{name, render.Count(int64(n))}, cells...)...)
	}
	shown := ""
	for i := range c.Scorers[1:] {
		if r := &c.Scorers[i+1]; r.Dataset != shown && len(r.Deltas) == len(average.Deltas) {
			line(r, r.Name)
			shown = r.Dataset
		}
	}
	line(average, averageName(average.Described))
	var ses []string
	for _, m := range average.Models {
		if m.SE != nil {
			ses = append(ses, sprintf("%s %.3f", m.Label, *m.SE))
		}
	}
	if ses != nil {
		g.Notes = append(g.Notes, "Standard errors of the average: "+join(ses, ", "))
	}
	return []render.Grid{g}
}

// cell is the difference in points with half of its interval.
func (d delta) cell() string {
	return shownAs(d.Delta, func(v float64) string { return withSign(100 * v) }) + d.Interval.half(100)
}

// averageName says of an average what it weighs datasets by.
func averageName(d scoring.Described) string {
	if string(d.Params) == `{"weights":"rows"}` {
		return "average (by rows)"
	}
	return "average (datasets alike)"
}

// averaged are the results that the average is made of, one a dataset; none without one.
func (c *Comparison) averaged() (list []*scorerResult) {
	for i := range c.Scorers {
		if c.average() != nil && c.Scorers[i].head {
			list = append(list, &c.Scorers[i])
		}
	}
	return list
}

// averagedBy are the names of the scorers of a run's average over its datasets: of each the first that
// scores single answers. There are none where the run has no average.
func (r *comparedRun) averagedBy() (names []string) {
	datasets := 0
	for _, set := range r.plan.Plan.Datasets {
		for _, d := range r.evaluation.Scorers {
			if d.Type == Pairwise || d.Kind == scorers.OfCorpus ||
				d.Datasets != nil && !slices.Contains(d.Datasets, set.Name) {
				continue
			}
			if datasets++; !slices.Contains(names, d.Name) {
				names = append(names, d.Name)
			}
			break
		}
	}
	if datasets < 2 {
		return nil
	}
	place := func(name string) int {
		return slices.IndexFunc(r.evaluation.Scorers, func(d scoring.Described) bool { return d.Name == name })
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(place(a), place(b)) })
	return names
}

// average is the result that averages over datasets; nil without one.
func (c *Comparison) average() *scorerResult {
	if len(c.Scorers) == 0 || c.Scorers[0].Type != scorers.Average {
		return nil
	}
	return &c.Scorers[0]
}

// averageDisagreements are the largest of all datasets' first scorers.
func (m *matrix) averageDisagreements(c *Comparison) {
	average := c.average()
	if average == nil {
		return
	}
	for _, r := range c.Scorers[1:] {
		average.Disagreements = append(average.Disagreements, r.Disagreements...)
	}
	slices.SortStableFunc(average.Disagreements, func(a, b disagreement) int { return cmp.Compare(b.Spread, a.Spread) })
	most := cmp.Or(m.options.Disagreements, shownDisagreements)
	average.Disagreements = average.Disagreements[:min(max(most, 0), len(average.Disagreements))]
}

// sectionResult finds the result that a gate means by the names of a dataset and a
// scorer, either of which may be empty: a dataset alone stands for its first scorer.
func (c *Comparison) sectionResult(dataset, scorer string) (name string, several bool) {
	for _, r := range c.Scorers {
		if r.Dataset == "" || dataset != "" && r.Dataset != dataset || scorer != "" && r.scored.Name != scorer {
			continue
		}
		if name != "" {
			return name, dataset == ""
		}
		name = r.Name
	}
	return name, false
}

func (c *Comparison) hasDataset(name string) bool {
	return slices.ContainsFunc(c.Scorers, func(r scorerResult) bool { return name != "" && r.Dataset == name })
}
