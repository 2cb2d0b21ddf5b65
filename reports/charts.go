package reports

import (
	"slices"
	"strings"

	"nightshift/reports/compare"
	"nightshift/reports/render"
)

// charts are the drawings of a report; those without data are left out.
func (s *Summary) charts() []render.Chart {
	all := []render.Chart{
		s.costChart(), s.latencyChart(), s.tokensChart(), s.refusalsChart(), s.stopsChart(), s.outputChart(),
	}
	return slices.DeleteFunc(all, render.Chart.Empty)
}

// overTime draws stacked bars of a timeline.
func (s *Summary) overTime(c render.Chart, names []string, counts func(bin) []int64) render.Chart {
	var bars []render.Stack
	for _, b := range s.Timeline.Bins {
		bars = append(bars, render.Stack{At: b.At, Counts: counts(b)})
	}
	return render.StackedOverTime(c, names, bars, s.Timeline.Seconds)
}

func (s *Summary) tokensChart() render.Chart {
	return s.overTime(render.Chart{ID: "tokens", Title: "Tokens over time", YLabel: "tokens"}, []string{"input", "output"},
		func(b bin) []int64 { return []int64{b.Input, b.Output} })
}

func (s *Summary) refusalsChart() render.Chart {
	return s.overTime(render.Chart{ID: "refusals", Title: "Requests without an answer, over time", YLabel: "requests"},
		[]string{"refused for rate limits", "failed", "declined by the model"},
		func(b bin) []int64 { return []int64{b.Refused, b.Failed, b.Declined} })
}

// distribution draws one line a model over buckets.
func (s *Summary) distribution(c render.Chart, of func(modelSummary) histogram,
	label func(float64) string) render.Chart {
	var all []render.Distribution
	for _, m := range s.Models {
		h := of(m)
		d := render.Distribution{Name: m.Model, N: h.N}
		for _, b := range h.Buckets {
			d.Buckets = append(d.Buckets, render.Bucket(b))
		}
		all = append(all, d)
	}
	return render.Distributions(c, all, label)
}

func (s *Summary) latencyChart() render.Chart {
	c := s.distribution(render.Chart{ID: "latency", Title: "Latency of answers", XLabel: "latency"},
		func(m modelSummary) histogram { return m.LatencyHist }, func(v float64) string { return render.Seconds(&v) })
	c.Summary = "the table of latencies below has the figures of each model"
	if len(s.Models) > 4 {
		return c
	}
	var parts []string
	for _, m := range s.Models {
		parts = append(
			parts, m.Model+": half of the answers within "+render.Seconds(m.LatencyMS.P50)+", 95 % within "+
				render.Seconds(m.LatencyMS.P95))
	}
	c.Summary = strings.Join(parts, "; ")
	return c
}

func (s *Summary) outputChart() render.Chart {
	c := s.distribution(render.Chart{ID: "output", Title: "Output tokens of answers", XLabel: "output tokens"},
		func(m modelSummary) histogram { return m.OutputHist }, render.ShortNumber)
	c.Summary = "how many tokens the answers of each model have"
	return c
}

// costPoints are the comparison's, or what the plain scores say.
func (s *Summary) costPoints() []compare.CostPoint {
	if s.Comparison != nil && len(s.Comparison.Points) > 0 {
		return s.Comparison.Points
	}
	var points []compare.CostPoint
	for _, c := range s.Scores {
		if c.Scorer != s.Scores[0].Scorer || c.Mean == nil {
			continue
		}
		for _, m := range s.Models {
			if m.Model == c.Model && m.Rows > 0 && m.Bill.money() != "unknown" {
				points = append(points, compare.CostPoint{Model: m.Model, USD: dollars(m.Bill.CostNanoUSD) * 1000 / float64(m.Rows),
					AtLeast: m.Bill.AtLeast(), Score: *c.Mean, Lower: c.Lower, Upper: c.Upper})
			}
		}
	}
	markFrontier(points)
	return points
}

func markFrontier(points []compare.CostPoint) {
	for i := range points {
		p := &points[i]
		p.Frontier = !slices.ContainsFunc(points, func(q compare.CostPoint) bool {
			return q.USD <= p.USD && q.Score >= p.Score && (q.USD < p.USD || q.Score > p.Score)
		})
	}
}

func (s *Summary) costChart() render.Chart {
	costs := s.costPoints()
	if !slices.ContainsFunc(costs, func(p compare.CostPoint) bool { return p.USD > 0 }) {
		return render.Chart{}
	}
	c := render.Chart{ID: "cost", Title: "Cost against score", XLabel: "dollars per 1,000 rows", YLabel: "score"}
	c.Summary = "bars are " + s.interval() + "s"
	c.Table = render.Grid{Title: c.Title, Head: []string{"model", "per 1,000 rows", "score", "low", "high"}}
	var points []render.Point
	for _, p := range costs {
		money := render.Money(int64(p.USD*1e9), p.AtLeast)
		points = append(points, render.Point{
			Name: p.Model, X: p.USD, Y: p.Score, Low: p.Lower, High: p.Upper, Frontier: p.Frontier,
			Tip: sprintf("%s: %s per 1,000 rows, score %s", p.Model, money, score(&p.Score)),
		})
		c.Table.Add(p.Model, money, score(&p.Score), score(p.Lower), score(p.Upper))
	}
	const frontier = "no model is both cheaper and better than these"
	drawn := 0
	for _, p := range points {
		if p.Frontier {
			drawn++
		}
	}
	switch {
	case drawn > 1:
		c.Summary = "dashed: " + frontier + "; " + c.Summary
	case slices.ContainsFunc(costs, func(p compare.CostPoint) bool { return p.AtLeast }):
		c.Summary += "; costs with ≥ are lower bounds"
	}
	return render.Scatter(c, points, frontier)
}

// stopsChart draws one bar a model, of the shares of its stop reasons and of
// rows without an answer.
func (s *Summary) stopsChart() render.Chart {
	stops := s.stops()
	if len(stops.Rows) == 0 && !s.any(func(m modelSummary) bool { return m.Answered() < m.Rows }) {
		return render.Chart{}
	}
	names := append(slices.Clone(stops.Head[1:]), "no answer")
	var bars []render.ShareBar
	for _, m := range s.Models {
		b := render.ShareBar{Name: m.Model, Of: m.Rows}
		for _, name := range names[:len(names)-1] {
			b.Counts = append(b.Counts, m.StopReasons[name])
		}
		b.Counts = append(b.Counts, m.Rows-m.Answered())
		bars = append(bars, b)
	}
	c := render.Chart{ID: "stops", Title: "How answers ended", XLabel: "% of rows"}
	c.Summary = "shares of the rows of each model"
	return render.Shares(c, names, bars)
}
