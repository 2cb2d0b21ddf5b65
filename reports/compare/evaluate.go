package compare

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"nightshift/reports/render"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
	"nightshift/runner/store/view"
)

// Pairwise is the type of scorer that says which of two answers is better. Its
// tables hold preferences and no scores.
const Pairwise = "judge_pairwise"

// coverageGap is how far the shares of missing scores, or of truncated
// answers, may lie apart.
const coverageGap = 0.01

// What models with variants are compared along, where it is not one baseline for
// all.
const (
	alongModels   = "models"
	alongVariants = "variants"
)

// comparison begins a Comparison with everything but scores.
func (m *matrix) comparison() *Comparison {
	first := m.runs[0].evaluation
	c := &Comparison{
		Created: time.Now().UTC().Truncate(time.Second), Items: m.items, Clusters: m.clusters,
		Alpha: cmp.Or(m.options.Alpha, first.Alpha, 0.05), ErrorsAsZero: m.options.ErrorsAsZero,
	}
	for _, r := range m.runs {
		c.Runs = append(c.Runs, m.describeRun(r))
	}
	for _, col := range m.columns {
		col.finishFacts()
		c.Epochs = max(c.Epochs, col.epochs)
		c.Models = append(c.Models, col.comparedModel)
		c.Cost.add(col.Cost.NanoUSD, col.Cost.AtLeast)
	}
	if m.options.BaselineRun == "" && !m.options.AllPairs {
		c.Baseline = m.baseline(c, first.Baseline)
		c.Along = cmp.Or(m.options.Along, first.Along)
	}
	m.oppose(c)
	return c
}

// oppose decides which models are compared: each with one of its own where that is
// along models or variants, else all with the baseline.
func (m *matrix) oppose(c *Comparison) {
	c.baselines = map[string]bool{c.Baseline: true}
	if c.Along != alongModels && c.Along != alongVariants || len(m.runs) > 1 && m.options.Along == "" {
		c.Along = ""
		return
	}
	var ways []scoring.Way
	for _, col := range m.columns {
		of := strings.TrimSuffix(col.Label, "/"+col.Variant) // with the run's name, where labels have it
		ways = append(ways, scoring.Way{Name: col.Label, Variant: col.Variant, VariantOf: of})
	}
	at := slices.IndexFunc(ways, func(w scoring.Way) bool { return w.Name == c.Baseline })
	m.opponents = scoring.Opponents(ways, at, c.Along)
	if c.group = ways[at].Variant; c.Along == alongModels {
		c.group = ways[at].VariantOf
	}
	c.Baseline, c.baselines = "", map[string]bool{}
	for i, other := range m.opponents {
		if other < 0 {
			c.baselines[m.columns[i].Label] = true
		}
	}
}

func (m *matrix) describeRun(r *comparedRun) runFacts {
	out := runFacts{
		Name: r.info.Name, Dir: r.called, Baseline: r.baseline, State: r.info.State, Tool: r.info.Tool,
		Dataset: r.info.DatasetHash, Rows: r.info.DatasetRows, PriceTable: r.info.PriceTable,
	}
	for _, c := range m.columns {
		if c.run == r {
			out.Started, out.Finished = view.Earlier(out.Started, c.started), view.Later(out.Finished, c.finished)
		}
	}
	return out
}

// baseline is the label of the model that others are compared with.
func (m *matrix) baseline(c *Comparison, planned string) string {
	for _, name := range []string{m.options.Baseline, planned} {
		if name == "" {
			continue
		}
		for _, fits := range []func(comparedModel) bool{
			func(m comparedModel) bool { return m.Label == name || m.Model == name },
			func(m comparedModel) bool { return m.VariantOf == name },
			func(m comparedModel) bool { return m.Variant == name },
		} {
			if i := slices.IndexFunc(c.Models, fits); i >= 0 {
				return c.Models[i].Label
			}
		}
	}
	return c.Models[0].Label
}

func (c *column) finishFacts() {
	for i, k := range c.kind {
		if k == notRun && c.outside(i/c.epochs) {
			continue
		}
		c.Samples++
		switch k {
		case completed:
			c.Stops.Completed++
		case truncated:
			c.Stops.Truncated++
		case refused:
			c.Stops.Refused++
		case empty:
			c.Stops.Empty++
		case failed:
			c.Stops.Errors++
		default:
			c.Stops.NotRun++
		}
	}
	c.LatencyMS = c.latencies.Percentiles()
	if n := c.Samples - c.Stops.NotRun; n > 0 {
		c.Per1000 = stats.Defined(c.Cost.USD / float64(n) * 1000)
	}
}

// evaluate adds what every scorer says.
func (m *matrix) evaluate(c *Comparison) error {
	if m.sections != nil {
		return m.evaluateSections(c)
	}
	for i, d := range m.scorers {
		if d.Type == Pairwise {
			continue
		}
		r, _, err := m.scorer(c, i, d)
		if err != nil {
			return err
		}
		c.Scorers = append(c.Scorers, *r)
	}
	return nil
}

// A scoredColumn is one model's item scores by one scorer.
type scoredColumn struct {
	*column
	values []float64 // by item: means over epochs; NaN without one
}

func (m *matrix) scorer(c *Comparison, i int, d scoring.Described) (*scorerResult, []scoredColumn, error) {
	r := &scorerResult{Described: d, scored: d}
	if d.Kind == scorers.OfCorpus {
		return r, nil, m.corpus(c, r, i)
	}
	whole := asCorpus(d)
	cols := make([]scoredColumn, len(m.columns))
	for j, col := range m.columns {
		cols[j] = scoredColumn{col, m.itemScores(col, i)}
		score, err := m.modelScore(cols[j], i)
		if err != nil {
			return nil, nil, err
		}
		if whole != nil {
			score.Corpus = stats.Defined(whole.Statistic(columnSums(col.corpusCounts(i))))
		}
		r.Models = append(r.Models, score)
	}
	r.frontier(c)
	if err := m.parts(r, i); err != nil {
		return nil, nil, err
	}
	if err := m.deltas(c, r, i, cols); err != nil {
		return nil, nil, err
	}
	if err := m.effects(c, r, i, cols); err != nil {
		return nil, nil, err
	}
	m.breakdown(c, r, cols)
	for _, col := range cols {
		if col.epochs > 1 {
			r.Repeats = append(r.Repeats, repeats(col, i, whole == nil))
			if m.arrival != nil {
				r.Repeats[len(r.Repeats)-1].withoutErrors()
			}
		}
	}
	m.disagreements(r, cols)
	return r, cols, nil
}

// itemScores are the means over epochs.
func (m *matrix) itemScores(c *column, scorer int) []float64 {
	return m.filledScores(c, scorer, math.NaN())
}

// filledScores are the means over epochs, with fill for each score that is
// missing; NaN leaves them out.
func (m *matrix) filledScores(c *column, scorer int, fill float64) []float64 {
	scores := slices.Clone(c.scores[scorer])
	for i, v := range scores {
		if !math.IsNaN(v) || c.outside(i/c.epochs) {
			continue
		}
		if scores[i] = fill; m.options.ErrorsAsZero && c.kind[i] == failed {
			scores[i] = 0
		}
	}
	if c.epochs == 1 {
		return scores
	}
	means := make([]float64, m.items)
	for i := range means {
		sum, n := 0.0, 0
		for _, v := range scores[i*c.epochs : (i+1)*c.epochs] {
			if !math.IsNaN(v) {
				sum, n = sum+v, n+1
			}
		}
		means[i] = sum / float64(n) // 0/0 is NaN: no score
	}
	return means
}

func (m *matrix) statsOptions(epochs int) stats.Options {
	return stats.Options{Clusters: pick(m, m.labels), Epochs: epochs}
}

// estimate estimates the mean of item scores.
func (m *matrix) estimate(values []float64, epochs int) (stats.Estimate, error) {
	if m.arrival != nil {
		return m.arrival.score(values, m.arrival.items), nil
	}
	return stats.Score(pick(m, values), m.statsOptions(epochs))
}

func (m *matrix) modelScore(c scoredColumn, scorer int) (modelScore, error) {
	e, err := m.estimate(c.values, c.epochs)
	if err != nil {
		return modelScore{}, err
	}
	s := c.coverage(scorer, m.members, m.options.ErrorsAsZero)
	s.N, s.Mean, s.SE = e.N, stats.Defined(e.Mean), stats.Defined(e.SE)
	s.Interval, s.Method = rangeOf(e.Interval), e.Method
	if s.perCorrect(c); m.arrival != nil {
		s.PerCorrectSE = nil
	}
	return s, nil
}

// coverage counts a model's scores by status, and takes the means over
// completed and truncated answers. members are the items that count; nil is all.
func (c *column) coverage(scorer int, members []int32, errorsAsZero bool) modelScore {
	s := modelScore{Label: c.Label, Total: int64(len(c.kind)), ErrorsAsZero: errorsAsZero}
	if members != nil {
		s.Total = int64(len(members) * c.epochs)
	}
	var whole, cut running
	sum := 0.0
	for i, state := range c.status[scorer] {
		if members != nil {
			if _, inside := slices.BinarySearch(members, int32(i/c.epochs)); !inside {
				continue
			}
		}
		if c.outside(i / c.epochs) {
			s.Total--
			continue
		}
		switch {
		case c.kind[i] == notRun:
			s.NotRun++
		case state == stateScored:
			s.Scored++
		case state == stateNoAnswer:
			s.NoAnswer++
		case state == stateError || c.kind[i] == failed:
			s.Errors++
		default:
			s.Unscored++
		}
		v := c.scores[scorer][i]
		if math.IsNaN(v) {
			continue
		}
		sum += v
		switch c.kind[i] {
		case completed:
			whole.add(v)
		case truncated:
			cut.add(v)
		}
	}
	s.Completed, s.Truncated = whole.part(), cut.part()
	if s.Missing() > 0 && s.Total > 0 {
		known := s.Scored + s.NoAnswer
		if errorsAsZero {
			known += s.Errors
		}
		b := stats.MissingBounds(sum, int(known), int(s.Total))
		s.Bounds = rangeOf(b)
	}
	return s
}

type running struct {
	n   int64
	sum float64
}

func (m *running) add(v float64) { m.n, m.sum = m.n+1, m.sum+v }

func (m *running) part() part {
	if m.n == 0 {
		return part{}
	}
	return part{m.n, stats.Defined(m.sum / float64(m.n))}
}

// perCorrect is the price of a right answer. What failed rows cost counts.
func (s *modelScore) perCorrect(c scoredColumn) {
	right := make([]float64, len(c.values))
	for i, v := range c.values {
		right[i] = v * float64(c.epochs)
		if math.IsNaN(v) && s.Errors > 0 && !c.outside(i) && c.failedItem(i) {
			right[i] = 0
		}
	}
	each, se := stats.CostPerCorrect(c.cost, right)
	if c.Cost.NanoUSD > 0 {
		s.PerCorrectUSD, s.PerCorrectSE = stats.Defined(each), stats.Defined(se)
	}
	each, _ = stats.CostPerCorrect(c.latency, right)
	if c.LatencyMS.N > 0 && !math.IsNaN(each) {
		s.SecondsPerCorrect = stats.Defined(each / 1000)
	}
}

// failedItem reports whether every epoch of an item failed.
func (c *column) failedItem(item int) bool {
	for _, k := range c.kind[item*c.epochs : (item+1)*c.epochs] {
		if k != failed {
			return false
		}
	}
	return true
}

// frontier marks the models that no other beats in both cost and score.
func (r *scorerResult) frontier(c *Comparison) {
	cost, score := make([]float64, len(r.Models)), make([]float64, len(r.Models))
	for i, s := range r.Models {
		cost[i], score[i] = math.NaN(), math.NaN()
		if m := c.Models[i]; m.Per1000 != nil && !m.Cost.AtLeast {
			cost[i] = *m.Per1000
		}
		if s.Mean != nil {
			score[i] = *s.Mean
		}
	}
	for i, on := range stats.Pareto(cost, score) {
		r.Models[i].Frontier = on
	}
}

// pairs are the columns that are compared: each with the one it is against.
func (m *matrix) pairs(c *Comparison) [][2]int {
	var pairs [][2]int
	for i, col := range m.columns {
		for j, other := range m.columns {
			switch {
			case m.options.BaselineRun != "":
				if col.run.baseline || !other.run.baseline || col.Model != other.Model {
					continue
				}
			case m.options.AllPairs:
				if i <= j {
					continue
				}
			case m.opponents != nil:
				if m.opponents[i] != j {
					continue
				}
			case i == j || other.Label != c.Baseline:
				continue
			}
			pairs = append(pairs, [2]int{i, j})
		}
	}
	return pairs
}

// A reading is what a difference says, as it is or with what is missing filled
// in for or against the model.
type reading struct {
	sequence *stats.Sequence // in place of paired, where a run may stop early
	paired   stats.Paired
	verdict  verdict
	lower    float64 // one-sided 95 % bound of the difference
}

// deltas compares pairs of models on the items that both have a score for.
func (m *matrix) deltas(c *Comparison, r *scorerResult, scorer int, cols []scoredColumn) error {
	for _, pair := range m.pairs(c) {
		a, b := cols[pair[0]], cols[pair[1]]
		d, err := m.delta(a, b, c.Alpha)
		if err != nil {
			return err
		}
		d.Differs = a.differsFrom(b.column)
		if d.missing = missingApart(r.Models[pair[0]], r.Models[pair[1]]); d.missing != "" {
			if err := m.fillIn(&d, scorer, a, b); err != nil {
				return err
			}
		}
		r.Deltas = append(r.Deltas, d)
	}
	decideTogether(r.family(), c.Alpha)
	return nil
}

func (m *matrix) delta(a, b scoredColumn, alpha float64) (delta, error) {
	if m.arrival != nil {
		return m.sequentialDelta(a, b)
	}
	p, err := stats.Compare(pick(m, a.values), pick(m, b.values), m.statsOptions(max(a.epochs, b.epochs)))
	if err != nil {
		return delta{}, err
	}
	return deltaOf(a.Label, b.Label, p, alpha), nil
}

func (r *scorerResult) family() []*delta {
	all := make([]*delta, len(r.Deltas))
	for i := range r.Deltas {
		all[i] = &r.Deltas[i]
	}
	return all
}

// decideTogether adjusts the p of the differences that are shown together, and
// decides each of them. It may be called again with a larger family.
func decideTogether(family []*delta, alpha float64) {
	ps := make([]float64, len(family))
	for i, d := range family {
		ps[i] = math.NaN()
		if d.P != nil {
			ps[i] = *d.P
		}
	}
	for i, adjusted := range stats.Holm(ps) {
		d := family[i]
		if d.rule != nil { // Bonferroni: the verdicts go by intervals that hold together
			d.decideBySequence(alpha/float64(len(family)), len(family))
			continue
		}
		d.Adjusted = stats.Defined(adjusted)
		if d.corpus {
			d.decideCorpus(adjusted, alpha)
			continue
		}
		for k := range d.readings {
			one := &d.readings[k]
			others := slices.Clone(ps)
			others[i] = one.paired.P
			one.verdict = verdictOf(one.paired.Delta, stats.Holm(others)[i], alpha)
		}
		d.decide()
	}
}

// fillIn adds how the difference would read if all that is missing went
// against the model, and if all went for it.
func (m *matrix) fillIn(d *delta, scorer int, a, b scoredColumn) error {
	for _, fill := range [2][2]float64{{0, 1}, {1, 0}} {
		x, y := m.filledScores(a.column, scorer, fill[0]), m.filledScores(b.column, scorer, fill[1])
		if m.arrival != nil {
			d.readings = append(d.readings, m.sequentialReading(x, y)...)
			continue
		}
		p, err := stats.Compare(pick(m, x), pick(m, y), m.statsOptions(max(a.epochs, b.epochs)))
		if err != nil {
			return err
		}
		d.readings = append(d.readings, readingOf(p))
	}
	return nil
}

func readingOf(p stats.Paired) reading {
	lower, _ := p.NonInferior(0, 0.05)
	return reading{paired: p, lower: lower}
}

func deltaOf(label, against string, p stats.Paired, alpha float64) delta {
	d := delta{
		Label: label, Against: against, N: p.N, LeftOut: p.LeftOut, Delta: stats.Defined(p.Delta),
		SE:       stats.Defined(p.SE),
		Interval: rangeOf(p.Interval), Method: p.Method, P: stats.Defined(p.P), Test: p.Test,
		Win: p.Win, Tie: p.Tie, Loss: p.Loss, Differing: p.Differing, paired: p,
	}
	if p.N > 0 {
		d.Detectable = stats.Defined(p.Detectable(0.8, alpha))
		d.readings = []reading{readingOf(p)}
	}
	if d.Delta != nil && d.SE != nil && *d.Delta != 0 {
		if n := stats.ItemsNeeded(math.Abs(p.Delta), p.SE*p.SE*float64(p.N), 0.8, 0.05); n > 0 {
			d.Needed = &n
		}
	}
	return d
}

// missingApart says that one model lacks more scores than the other: what is
// missing may well be what it would have got wrong. It is empty where they
// lack about as many.
func missingApart(a, b modelScore) string {
	if math.Abs(a.Missing()-b.Missing()) <= coverageGap {
		return ""
	}
	return sprintf("%s of %s's scores are missing and %s of %s's", asPercent(a.Missing()), a.Label,
		asPercent(b.Missing()), b.Label)
}

func verdictOf(delta, adjusted, alpha float64) verdict {
	switch {
	case adjusted < alpha && delta > 0:
		return better
	case adjusted < alpha && delta < 0:
		return worse
	}
	return notShown
}

// decide puts the result into words. Where what is missing could turn the
// verdict, there is none.
func (d *delta) decide() {
	d.Note = ""
	if len(d.readings) == 0 {
		d.Verdict, d.Why = withheld, "cannot tell: no item has a score for both"
		return
	}
	d.Verdict = d.readings[0].verdict
	if i := slices.IndexFunc(d.readings, func(r reading) bool { return r.verdict != d.Verdict }); i > 0 {
		d.Why = sprintf("cannot tell: %s, which could turn “%s” into “%s”", d.missing, d.Verdict, d.readings[i].verdict)
		d.Verdict = withheld
		return
	}
	switch d.Verdict {
	case better, worse:
		d.Why = sprintf("%s than %s", d.Verdict, d.Against)
		d.Note = d.asymmetry()
	default:
		d.Why = d.notShown()
	}
	d.Note = joinNotes(d.Note, d.disagreement())
}

// notShown says what could not have been seen either.
func (d *delta) notShown() string {
	if d.rule != nil {
		return d.undecided()
	}
	units := "items"
	if d.paired.Clusters > 0 {
		units = "clusters"
	}
	switch {
	case d.Win+d.Loss == 0:
		return sprintf("no difference: all %s items score alike", render.Count(int64(d.N)))
	case d.Detectable != nil:
		text := sprintf("no difference shown (gaps under %s points cannot be seen with %s items",
			asPoints(*d.Detectable), render.Count(int64(d.N)))
		if d.paired.Clusters > 0 {
			text += sprintf(" in %s clusters", render.Count(int64(d.paired.Clusters)))
		}
		return text + ")"
	}
	if d.Differing == d.paired.Units() {
		return sprintf("no difference shown (%s: too few for any gap to be shown)",
			render.Counted(int64(d.Differing), strings.TrimSuffix(units, "s")))
	}
	return sprintf("no difference shown (only %s of %s %s differ: too few for any gap to be shown)",
		render.Count(int64(d.Differing)), render.Count(int64(d.paired.Units())), units)
}

// fewGraded is how many units it takes for sign flips to be trusted with
// differences that are not symmetric.
const fewGraded = 50

// asymmetry warns of a claim that rests on few graded differences, of which a
// rare large one may not have been seen.
func (d *delta) asymmetry() string {
	oneSided := d.Win == 0 || d.Loss == 0
	if d.rule != nil || !d.paired.Graded() || d.paired.Units() >= fewGraded ||
		!oneSided && !(math.Abs(d.paired.Skewness) > 1) {
		return ""
	}
	return sprintf("the differences are graded, skewed and of fewer than %d items: the test takes them for "+
		"symmetric, and a rare large one would change the verdict", fewGraded)
}

// disagreement explains an interval that does not go with the verdict.
func (d *delta) disagreement() string {
	if d.rule != nil {
		return d.peeking()
	}
	if d.Interval == nil || d.Adjusted == nil {
		return ""
	}
	apart := d.Interval.Lower > 0 || d.Interval.Upper < 0
	switch {
	case apart && d.Verdict == notShown && *d.P < *d.Adjusted:
		return "the interval excludes 0 but no difference is shown: p is adjusted for several comparisons and the " +
			"interval is not"
	case apart && d.Verdict == notShown:
		return sprintf("the interval excludes 0 but no difference is shown: the interval is approximate, the test "+
			"(%s) is not, and the verdict goes by the test", d.Test)
	case !apart && (d.Verdict == better || d.Verdict == worse):
		return sprintf("the interval includes 0 though a difference is shown: it is wider than the test (%s) "+
			"requires, and the verdict goes by the test", d.Test)
	}
	return ""
}

func joinNotes(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// asPoints writes a difference of scores in percentage points.
func asPoints(v float64) string { return sprintf("%.1f", 100*v) }

// asPercent writes a share.
func asPercent(v float64) string {
	if v > 0 && v < 0.001 {
		return sprintf("%.2f %%", 100*v)
	}
	return sprintf("%.1f %%", 100*v)
}
