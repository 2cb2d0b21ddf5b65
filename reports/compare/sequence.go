package compare

import (
	"cmp"
	"math"
	"slices"

	"nightshift/internal/words"
	"nightshift/reports/render"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
)

// A run that may stop early has as many rows as its answers made it have. Intervals and
// tests for a fixed number of rows do not hold then. Everywhere in a comparison that
// such a run is part of, confidence sequences stand in their place, of the rows in the
// order in which they were sent, up to the first that a model has not answered.

const bySequence = "confidence sequence"

// An arrival is the order in which the items of such a run were sent.
type arrival struct {
	rule  scoring.StopRule
	rows  int
	items []int32 // up to the first that no model was asked
	place []int32 // of each item of the matrix; -1 for those that are not among items
	unit  []int32 // of dependent items, by item
}

// arrive finds the order, where some run has one, and leaves out of each column what is
// not counted yet.
func (m *matrix) arrive() error {
	for _, r := range m.runs {
		order, err := scoring.ReadOrder(r.dir)
		if err != nil {
			return err
		}
		if order != nil {
			m.arrival = newArrival(r, *order, m.items)
			break
		}
	}
	if m.arrival == nil {
		return nil
	}
	for _, c := range m.columns {
		c.arrived = m.arrival.complete(c)
		c.place = m.arrival.place
		for scorer := range c.scores {
			for i := range c.scores[scorer] {
				if c.outside(i / c.epochs) {
					c.scores[scorer][i], c.status[scorer][i] = math.NaN(), stateNone
				}
			}
		}
	}
	return nil
}

func newArrival(r *comparedRun, order scoring.Order, items int) *arrival {
	a := &arrival{rows: len(order.Rows), place: make([]int32, items), unit: make([]int32, items)}
	if r.evaluation.Stop != nil {
		a.rule = *r.evaluation.Stop
	}
	for i := range a.place {
		a.place[i] = -1
	}
	units := order.Units()
	for place, row := range order.Rows {
		at, ok := r.table.find(row, -1)
		if !ok {
			break
		}
		item := r.items[at]
		a.items = append(a.items, item)
		a.place[item], a.unit[item] = int32(place), units[place]
	}
	return a
}

// complete is how many of the items, from the first, a column has answered, as far as
// their units are whole.
func (a *arrival) complete(c *column) int {
	n := slices.IndexFunc(a.items, func(item int32) bool {
		return slices.Contains(c.kind[int(item)*c.epochs:(int(item)+1)*c.epochs], notRun)
	})
	if n < 0 {
		n = len(a.items)
	}
	if n == a.rows {
		return n
	}
	for n > 0 && n < len(a.items) && a.unit[a.items[n-1]] == a.unit[a.items[n]] {
		n--
	}
	return n
}

// outside reports whether an item is not counted, because an earlier one of the order has no
// answer yet.
func (c *column) outside(item int) bool {
	return c.place != nil && (c.place[item] < 0 || int(c.place[item]) >= c.arrived)
}

// among are those of the items, in the order in which they were sent.
func (a *arrival) among(items []int32) []int32 {
	sent := slices.DeleteFunc(slices.Clone(items), func(item int32) bool { return a.place[item] < 0 })
	slices.SortFunc(sent, func(x, y int32) int { return cmp.Compare(a.place[x], a.place[y]) })
	return sent
}

// sequence is the confidence sequence of the mean of values by item; ok is false where they lie
// outside their range. items are in the order in which they were sent.
func (a *arrival) sequence(values []float64, items []int32, low float64) (s stats.Sequence, ok bool) {
	s, err := stats.NewSequence(scoring.UnitMeans(chosenOf(values, items), chosenOf(a.unit, items)), low, 1)
	return s, err == nil
}

// score is the estimate of a mean in 0..1 of some items.
func (a *arrival) score(values []float64, items []int32) stats.Estimate {
	e := stats.Estimate{Mean: math.NaN(), SE: math.NaN(), DF: math.NaN(), Method: bySequence,
		Interval: stats.Interval{Lower: math.NaN(), Upper: math.NaN()}}
	for _, item := range items {
		if !math.IsNaN(values[item]) {
			e.N++
		}
	}
	if s, ok := a.sequence(values, items, 0); ok && e.N > 0 {
		e.Mean, e.Interval = s.Mean(), s.Interval(0.05)
	}
	return e
}

// p is the always-valid p of a mean in 0..1 of all items.
func (a *arrival) p(values []float64, mean float64) float64 {
	s, ok := a.sequence(values, a.items, 0)
	if !ok || s.N() == 0 {
		return math.NaN()
	}
	return s.P(mean)
}

// withoutErrors takes out the standard errors, which are for a fixed number of items.
func (r *repeatScore) withoutErrors() {
	r.SEInfinite = nil
	for _, list := range [][]scoreAtK{r.PassAtK, r.PassHatK} {
		for i := range list {
			list[i].SE = nil
		}
	}
}

// differences are by item, NaN where one of the two has no score.
func differences(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	return d
}

// difference is the interval of the mean difference of some items.
func (a *arrival) difference(x, y []float64, items []int32) stats.Interval {
	s, ok := a.sequence(differences(x, y), items, -1)
	if !ok {
		return stats.Interval{Lower: math.NaN(), Upper: math.NaN()}
	}
	return s.Interval(0.05)
}

// sequentialDelta compares two columns. Its interval and verdict are for decideTogether, which
// knows how many there are.
func (m *matrix) sequentialDelta(a, b scoredColumn) (delta, error) {
	items := m.arrival.items[:min(a.arrived, b.arrived)]
	if m.members != nil { // of one of several datasets
		items = slices.DeleteFunc(slices.Clone(items), func(item int32) bool {
			_, inside := slices.BinarySearch(m.members, item)
			return !inside
		})
	}
	p, err := stats.Compare(chosenOf(a.values, items), chosenOf(b.values, items),
		stats.Options{Clusters: chosenOf(m.arrival.unit, items), Epochs: max(a.epochs, b.epochs), Resamples: 1})
	if err != nil {
		return delta{}, err
	}
	d := delta{Label: a.Label, Against: b.Label, N: p.N, LeftOut: p.LeftOut, Method: bySequence, Test: bySequence,
		Win: p.Win, Tie: p.Tie, Loss: p.Loss, Differing: p.Differing, paired: p, rule: &m.arrival.rule}
	d.readings = m.sequentialReading(a.values, b.values)
	if len(d.readings) > 0 {
		s := d.readings[0].sequence
		d.Delta, d.P = stats.Defined(s.Mean()), stats.Defined(s.P(0))
	}
	return d, nil
}

// sequentialReading is what the values of two columns say; nothing where they cannot be
// compared.
func (m *matrix) sequentialReading(a, b []float64) []reading {
	s, ok := m.arrival.sequence(differences(a, b), m.arrival.items, -1)
	if !ok || s.N() == 0 {
		return nil
	}
	return []reading{{sequence: &s, lower: s.Lower(0.05)}}
}

// decideBySequence decides a difference with the probability of error alpha. The verdict goes by the
// interval.
func (d *delta) decideBySequence(alpha float64, family int) {
	if d.P != nil {
		d.Adjusted = stats.Defined(math.Min(1, *d.P*float64(family)))
	}
	for i := range d.readings {
		d.readings[i].verdict = sequentialVerdict(*d.readings[i].sequence, d.rule.Smallest, alpha)
	}
	d.Interval = nil
	if len(d.readings) > 0 {
		v := d.readings[0].sequence.Interval(alpha)
		d.Interval = rangeOf(v)
		d.clip(d.readings[0].verdict)
		if fixed := d.paired.At(1 - alpha); fixed.Upper > fixed.Lower {
			d.Peeking = stats.Defined((v.Upper - v.Lower) / (fixed.Upper - fixed.Lower))
		}
	}
	d.decide()
}

// clip takes from the interval what an earlier one has excluded, as far as the verdict
// goes by it.
func (d *delta) clip(v verdict) {
	switch {
	case d.Interval == nil:
	case v == better:
		d.Interval.Lower = math.Max(0, d.Interval.Lower)
	case v == worse:
		d.Interval.Upper = math.Min(0, d.Interval.Upper)
	case v == tooSmall:
		d.Interval.Lower = math.Max(-d.rule.Smallest, d.Interval.Lower)
		d.Interval.Upper = math.Min(d.rule.Smallest, d.Interval.Upper)
	}
}

// sequentialVerdict is that of the intervals up to now: of the first that excluded no
// difference, or lay within ± smallest.
func sequentialVerdict(s stats.Sequence, smallest, alpha float64) verdict {
	above, below := s.Above(0, alpha), s.Below(0, alpha)
	switch {
	case above && !below:
		return better
	case below && !above:
		return worse
	case smallest > 0 && s.Above(-smallest, alpha) && s.Below(smallest, alpha):
		return tooSmall
	}
	return notShown
}

// undecided says what is known where no difference is shown.
func (d *delta) undecided() string {
	switch {
	case d.Verdict == tooSmall:
		return sprintf("no difference of %s points or more from %s", asPoints(d.rule.Smallest), d.Against)
	case d.Interval == nil:
		return "no difference shown"
	}
	return sprintf("no difference shown after %s items: it is known to ± %s points", render.Count(int64(d.N)),
		asPoints((d.Interval.Upper-d.Interval.Lower)/2))
}

// peeking says how wide the price of looking at any time is.
func (d *delta) peeking() string {
	if d.Peeking == nil {
		return ""
	}
	return sprintf("the interval may be looked at any time; for that it is %.2f times as wide as one for a fixed number "+
		"of items", *d.Peeking)
}

// intervalHead heads a column of intervals with so much error.
func (c *Comparison) intervalHead(alpha float64) string {
	if c.Stopping == nil {
		return "95 % interval"
	}
	return sprintf("%.3g %% confidence sequence", 100*(1-alpha))
}

// pHead heads a column of p values.
func (c *Comparison) pHead() string {
	if c.Stopping == nil {
		return "p"
	}
	return "always-valid p"
}

// A stopping says how a run that may stop early was reported, and what it saved.
type stopping struct {
	Rule   scoring.StopRule `json:"rule"`
	Rows   int              `json:"rows"` // of the whole run
	Models []stoppedModel   `json:"models"`
	// SavedUSD is what the rows that were not sent would have cost at the mean cost of
	// those that were; null where that is not known.
	SavedUSD *float64 `json:"saved_usd"`
}

// A stoppedModel is how far one model got.
type stoppedModel struct {
	Label    string   `json:"label"`
	Counted  int      `json:"rows_counted"` // in the order of sending, up to the first without an answer
	NotSent  int64    `json:"answers_not_sent"`
	SavedUSD *float64 `json:"saved_usd"`
}

// stopping says what stopping early has saved.
func (m *matrix) stopping(c *Comparison) *stopping {
	if m.arrival == nil {
		return nil
	}
	s := &stopping{Rule: m.arrival.rule, Rows: m.arrival.rows}
	total := 0.0
	for _, col := range m.columns {
		ran := col.Samples - col.Stops.NotRun
		one := stoppedModel{Label: col.Label, Counted: col.arrived,
			NotSent: max(0, int64(m.arrival.rows*col.epochs)-ran)}
		if ran > 0 && !col.Cost.AtLeast {
			one.SavedUSD = stats.Defined(col.Cost.USD / float64(ran) * float64(one.NotSent))
		}
		s.Models = append(s.Models, one)
		if one.SavedUSD == nil {
			total = math.NaN()
			continue
		}
		total += *one.SavedUSD
	}
	s.SavedUSD = stats.Defined(total)
	return s
}

// stoppingGrids show it.
func (c *Comparison) stoppingGrids() []render.Grid {
	if c.Stopping == nil {
		return nil
	}
	s := newGrid("Rows sent in random order", "random order", "rows counted", "of", "answers not sent", "saved")
	for _, one := range c.Stopping.Models {
		s.Add(one.Label, render.Count(int64(one.Counted)), render.Count(int64(c.Stopping.Rows)),
			render.Count(one.NotSent), shownAs(one.SavedUSD, words.Money))
	}
	s.Notes = append(s.Notes, "Saved is by the mean cost of the answers on record. Intervals and p are those of "+
		"confidence sequences, which hold at any time; the intervals of all differences hold together")
	return []render.Grid{s}
}
