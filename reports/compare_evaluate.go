package reports

import (
	"cmp"
	"math"
	"slices"
	"time"

	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
)

// pairwise is the type of scorer that says which of two answers is better. Its
// tables hold preferences and no scores.
const pairwise = "judge_pairwise"

// coverageGap is how far the shares of missing scores, or of truncated
// answers, may lie apart.
const coverageGap = 0.01

// comparison begins a Comparison with everything but scores.
func (m *matrix) comparison() *Comparison {
	first := m.runs[0].evaluation
	c := &Comparison{
		Created: time.Now().UTC().Truncate(time.Second), Items: len(m.keys), Clusters: m.clusters,
		Alpha: cmp.Or(m.options.Alpha, first.Alpha, 0.05),
	}
	for _, r := range m.runs {
		c.Runs = append(c.Runs, m.describeRun(r))
	}
	for _, col := range m.columns {
		col.finishFacts()
		c.Epochs = max(c.Epochs, col.epochs)
		c.Models = append(c.Models, col.ComparedModel)
		c.Cost.add(col.Cost.NanoUSD, col.Cost.AtLeast)
	}
	if m.options.BaselineRun == "" && !m.options.AllPairs {
		c.Baseline = m.baseline(c, first.Baseline)
	}
	return c
}

func (m *matrix) describeRun(r *comparedRun) ComparedRun {
	out := ComparedRun{
		Name: r.info.Name, Dir: r.dir, Baseline: r.baseline, State: r.info.State, Tool: r.info.Tool,
		Dataset: r.info.DatasetHash, Rows: r.info.DatasetRows, PriceTable: r.info.PriceTable,
	}
	for _, c := range m.columns {
		if c.run == r {
			out.Started, out.Finished = earlier(out.Started, c.started), later(out.Finished, c.finished)
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
		for _, col := range c.Models {
			if col.Label == name || col.Model == name {
				return col.Label
			}
		}
	}
	return c.Models[0].Label
}

func (c *column) finishFacts() {
	c.Samples = int64(len(c.kind))
	for _, k := range c.kind {
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
	c.LatencyMS = c.latencies.percentiles()
	if n := c.Samples - c.Stops.NotRun; n > 0 {
		c.Per1000 = defined(c.Cost.USD / float64(n) * 1000)
	}
}

// evaluate adds what every scorer says.
func (m *matrix) evaluate(c *Comparison) error {
	for i, d := range m.scorers {
		if d.Type == pairwise {
			continue
		}
		r, err := m.scorer(c, i, d)
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

func (m *matrix) scorer(c *Comparison, i int, d scoring.Described) (*ScorerResult, error) {
	r := &ScorerResult{Described: d}
	if d.Kind == scorers.OfCorpus {
		return r, m.corpus(c, r, i)
	}
	cols := make([]scoredColumn, len(m.columns))
	for j, col := range m.columns {
		cols[j] = scoredColumn{col, m.itemScores(col, i)}
		score, err := m.modelScore(cols[j], i)
		if err != nil {
			return nil, err
		}
		r.Models = append(r.Models, score)
	}
	r.frontier(c)
	if err := m.deltas(c, r, cols); err != nil {
		return nil, err
	}
	m.breakdown(c, r, cols)
	for _, col := range cols {
		if col.epochs > 1 {
			r.Repeats = append(r.Repeats, repeats(col, i))
		}
	}
	m.disagreements(r, cols)
	return r, nil
}

// itemScores are the means over epochs.
func (m *matrix) itemScores(c *column, scorer int) []float64 {
	scores := c.scores[scorer]
	if m.options.ErrorsAsZero {
		scores = slices.Clone(scores)
		for i, k := range c.kind {
			if k == failed && math.IsNaN(scores[i]) {
				scores[i] = 0
			}
		}
	}
	if c.epochs == 1 {
		return scores
	}
	means := make([]float64, len(m.keys))
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
	return stats.Options{Clusters: m.labels, Epochs: epochs}
}

func (m *matrix) modelScore(c scoredColumn, scorer int) (ModelScore, error) {
	e, err := stats.Score(c.values, m.statsOptions(c.epochs))
	if err != nil {
		return ModelScore{}, err
	}
	s := c.coverage(scorer)
	s.N, s.Mean, s.SE, s.Interval, s.Method = e.N, defined(e.Mean), defined(e.SE), rangeOf(e.Interval), e.Method
	s.perCorrect(c)
	return s, nil
}

// coverage counts a model's scores by status, and takes the means over
// completed and truncated answers.
func (c *column) coverage(scorer int) ModelScore {
	s := ModelScore{Label: c.Label, Total: int64(len(c.kind))}
	var whole, cut running
	sum := 0.0
	for i, state := range c.status[scorer] {
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
		b := stats.MissingBounds(sum, int(s.Scored+s.NoAnswer), int(s.Total))
		s.Bounds = rangeOf(b)
	}
	return s
}

type running struct {
	n   int64
	sum float64
}

func (m *running) add(v float64) { m.n, m.sum = m.n+1, m.sum+v }

func (m *running) part() Part {
	if m.n == 0 {
		return Part{}
	}
	return Part{m.n, defined(m.sum / float64(m.n))}
}

// perCorrect is the price of a right answer. What failed rows cost counts.
func (s *ModelScore) perCorrect(c scoredColumn) {
	right := make([]float64, len(c.values))
	for i, v := range c.values {
		right[i] = v * float64(c.epochs)
		if math.IsNaN(v) && s.Errors > 0 && c.failedItem(i) {
			right[i] = 0
		}
	}
	each, se := stats.CostPerCorrect(c.cost, right)
	if c.Cost.NanoUSD > 0 {
		s.PerCorrectUSD, s.PerCorrectSE = defined(each), defined(se)
	}
	each, _ = stats.CostPerCorrect(c.latency, right)
	if c.latencies.n > 0 && !math.IsNaN(each) {
		s.SecondsPerCorrect = defined(each / 1000)
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
func (r *ScorerResult) frontier(c *Comparison) {
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
			case i == j || other.Label != c.Baseline:
				continue
			}
			pairs = append(pairs, [2]int{i, j})
		}
	}
	return pairs
}

// deltas compares pairs of models on the items that both have a score for.
func (m *matrix) deltas(c *Comparison, r *ScorerResult, cols []scoredColumn) error {
	var ps []float64
	for _, pair := range m.pairs(c) {
		a, b := cols[pair[0]], cols[pair[1]]
		p, err := stats.Compare(a.values, b.values, m.statsOptions(max(a.epochs, b.epochs)))
		if err != nil {
			return err
		}
		d := deltaOf(a.Label, b.Label, p)
		d.withhold(r.Models[pair[0]], r.Models[pair[1]])
		r.Deltas = append(r.Deltas, d)
		ps = append(ps, p.P)
	}
	for i, adjusted := range stats.Holm(ps) {
		r.Deltas[i].Adjusted = defined(adjusted)
		r.Deltas[i].decide(c.Alpha)
	}
	return nil
}

func deltaOf(label, against string, p stats.Paired) Delta {
	d := Delta{
		Label: label, Against: against, N: p.N, LeftOut: p.LeftOut, Delta: defined(p.Delta), SE: defined(p.SE),
		Interval: rangeOf(p.Interval), Method: p.Method, P: defined(p.P), Test: p.Test,
		Win: p.Win, Tie: p.Tie, Loss: p.Loss, Detectable: defined(p.Detectable), paired: p,
	}
	if d.Delta != nil && d.SE != nil && *d.Delta != 0 {
		if n := stats.ItemsNeeded(math.Abs(p.Delta), p.SE*p.SE*float64(p.N), 0.8, 0.05); n > 0 {
			d.Needed = &n
		}
	}
	return d
}

// withhold takes back the verdict where one model lacks more scores than the
// other: what is missing may well be what it would have got wrong.
func (d *Delta) withhold(a, b ModelScore) {
	gap := a.Missing() - b.Missing()
	if math.Abs(gap) <= coverageGap {
		return
	}
	d.Verdict = Withheld
	d.Why = sprintf("no verdict: %s of %s's scores are missing and %s of %s's", asPercent(a.Missing()), d.Label, asPercent(b.Missing()), d.Against)
}

// decide puts the result into words.
func (d *Delta) decide(alpha float64) {
	switch {
	case d.Verdict == Withheld:
	case d.N == 0 || d.Delta == nil:
		d.Verdict, d.Why = Withheld, "no verdict: no item has a score for both"
	case d.Adjusted != nil && *d.Adjusted < alpha && *d.Delta > 0:
		d.Verdict, d.Why = Better, sprintf("better than %s", d.Against)
	case d.Adjusted != nil && *d.Adjusted < alpha && *d.Delta < 0:
		d.Verdict, d.Why = Worse, sprintf("worse than %s", d.Against)
	default:
		d.Verdict = NotShown
		d.Why = sprintf("no difference shown (%d items are too few to tell)", d.N)
		if d.Win+d.Loss == 0 {
			d.Why = sprintf("no difference: all %s items score alike", count(int64(d.N)))
		} else if d.Detectable != nil {
			d.Why = sprintf("no difference shown (gaps under %s points cannot be seen with %s items)", asPoints(*d.Detectable), count(int64(d.N)))
		}
	}
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
