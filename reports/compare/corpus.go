package compare

import (
	"cmp"
	"encoding/json"
	"math"

	"nightshift/reports/render"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
)

// corpusWork bounds what the bootstrap of a corpus statistic adds up: items
// times counts times resamples.
const corpusWork = 2e9

// asCorpus is a scorer that has a statistic of all answers together; nil for
// any other.
func asCorpus(d scoring.Described) scorers.Corpus {
	spec, err := d.Spec()
	if err != nil {
		return nil
	}
	built, err := scorers.New(spec)
	if err != nil {
		return nil // a judge or a command
	}
	c, _ := built.(scorers.Corpus)
	return c
}

// corpus scores each model by a statistic of all its answers, with intervals
// and differences by bootstrap over items (or clusters).
func (m *matrix) corpus(c *Comparison, r *scorerResult, scorer int) error {
	whole := asCorpus(r.Described)
	statistic := whole.Statistic
	counts := make([][][]float64, len(m.columns))
	for i, col := range m.columns {
		counts[i] = col.corpusCounts(scorer)
		s := col.coverage(scorer, m.members, false)
		s.Method, s.Bounds = "bootstrap", nil
		s.Completed.Mean, s.Truncated.Mean = nil, nil
		if n := len(counts[i]); n > 0 {
			s.N = int(s.Scored)
			sums := columnSums(counts[i])
			s.Mean = stats.Defined(statistic(sums))
			if w, ok := whole.(interface{ Words(sums []float64) string }); ok {
				s.Words = w.Words(sums)
			}
			v, _, err := stats.Bootstrap(counts[i], statistic, m.bootstrap(n))
			if err != nil {
				return err
			}
			if s.Interval = rangeOf(v); m.arrival != nil { // its ends are for a fixed number of items
				s.Interval, s.Method = nil, ""
			}
		}
		r.Models = append(r.Models, s)
	}
	r.frontier(c)
	return m.corpusDeltas(c, r, counts, statistic)
}

// corpusCounts are the columns of counts, one value an item, its epochs added
// up. Items without counts add nothing.
func (c *column) corpusCounts(scorer int) [][]float64 {
	var columns [][]float64
	items := len(c.cost)
	for i, text := range c.answers[scorer] {
		if text == "" || c.status[scorer][i] == stateUnscored || c.outside(i/c.epochs) {
			continue
		}
		var counts []float64
		if json.Unmarshal([]byte(text), &counts) != nil {
			continue
		}
		for len(columns) < len(counts) {
			columns = append(columns, make([]float64, items))
		}
		for j, n := range counts {
			columns[j][i/c.epochs] += n
		}
	}
	return columns
}

func columnSums(columns [][]float64) []float64 {
	sums := make([]float64, len(columns))
	for j, col := range columns {
		sums[j] = stats.Sum(col)
	}
	return sums
}

func (m *matrix) bootstrap(columns int) stats.Options {
	resamples := int(corpusWork) / max(m.items*columns, 1)
	return stats.Options{Clusters: m.labels, Resamples: min(max(resamples, 200), 10_000)}
}

func (m *matrix) corpusDeltas(c *Comparison, r *scorerResult, counts [][][]float64,
	statistic func([]float64) float64) error {
	for _, pair := range m.pairs(c) {
		a, b := counts[pair[0]], counts[pair[1]]
		d := delta{Label: m.columns[pair[0]].Label, Against: m.columns[pair[1]].Label, N: m.items,
			Method: "bootstrap", Test: "bootstrap z", corpus: true}
		both := append(a[:len(a):len(a)], b...)
		gap := func(sums []float64) float64 { return statistic(sums[:len(a)]) - statistic(sums[len(a):]) }
		if len(a) > 0 && len(b) > 0 {
			v, se, err := stats.Bootstrap(both, gap, m.bootstrap(len(both)))
			if err != nil {
				return err
			}
			delta := gap(columnSums(both))
			d.Delta, d.SE, d.Interval = stats.Defined(delta), stats.Defined(se), rangeOf(v)
			d.Detectable = stats.Defined(stats.DetectableGap(se, 0.8, 0.05))
			d.P = stats.Defined(normalP(delta, se))
		}
		d.missing = missingApart(r.Models[pair[0]], r.Models[pair[1]])
		if m.arrival != nil {
			d.SE, d.Interval, d.Detectable, d.P, d.Method, d.Test = nil, nil, nil, nil, "", ""
			d.missing = "the run may stop early, and for a statistic of all answers together there is no " +
				bySequence
		}
		r.Deltas = append(r.Deltas, d)
	}
	decideTogether(r.family(), c.Alpha)
	return nil
}

// decideCorpus puts the result into words. A statistic of the whole set has no
// items to fill in: where one model lacks more than the other, there is no
// verdict.
func (d *delta) decideCorpus(adjusted, alpha float64) {
	if d.Delta == nil || d.missing != "" {
		d.Verdict, d.Why = withheld, "cannot tell: "+cmp.Or(d.missing, "there is nothing to compare")
		return
	}
	d.Verdict = verdictOf(*d.Delta, adjusted, alpha)
	d.readings = []reading{{verdict: d.Verdict, lower: *d.Delta - stats.NormalQuantile(0.95)**d.SE}}
	d.Why = sprintf("no difference shown (gaps under %s points cannot be seen with %s items)", asPoints(*d.Detectable),
		render.Count(int64(d.N)))
	if d.Verdict != notShown {
		d.Why = sprintf("%s than %s", d.Verdict, d.Against)
	}
}

// normalP is the two-sided p of a difference under a normal approximation; 1
// when nothing varies and nothing differs.
func normalP(delta, se float64) float64 {
	if se == 0 && delta == 0 {
		return 1
	}
	return math.Erfc(math.Abs(delta/se) / math.Sqrt2)
}
