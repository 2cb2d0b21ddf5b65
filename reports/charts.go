package reports

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/reports/compare"
	"nightshift/reports/render"
)

// Charts are drawn here, not in the page, so that they are there without
// scripts, in print and for screen readers; the template writes them as SVG.

const (
	chartWidth, chartHeight         = 420, 240
	plotLeft, plotRight             = 46, 410
	plotTop, plotBottom             = 12, 204
	plotWidth, plotHeight   float64 = plotRight - plotLeft, plotBottom - plotTop
	colours                         = 8
)

// A chart is a drawing with the numbers behind it.
type chart struct {
	ID, Title, Summary string
	XLabel, YLabel     string
	XTicks, YTicks     []tick
	Rects              []rect
	Lines              []line
	Dots               []dot
	Legend             []legend
	Table              render.Grid
	Height             int
}

type tick struct {
	At    float64
	Label string
}

// Anchor keeps the last label inside the drawing.
func (t tick) Anchor() string {
	if t.At > plotRight-18 {
		return "end"
	}
	return "middle"
}

type rect struct {
	X, Y, W, H float64
	Colour     int
	Tip        string
}

type line struct {
	Points string
	Class  string
	Tip    string
}

type dot struct {
	X, Y   float64
	Colour int
	Label  string
	LabelX float64
	LabelY float64
	Anchor string
	Tip    string
}

type legend struct {
	Colour int
	Label  string
}

// A scale maps values to a stretch of the drawing.
type scale struct {
	from, to float64 // values
	a, b     float64 // places
	log      bool
}

func (s scale) at(v float64) float64 {
	from, to := s.from, s.to
	if s.log {
		v, from, to = math.Log10(math.Max(v, 1e-9)), math.Log10(from), math.Log10(to)
	}
	if to == from {
		return (s.a + s.b) / 2
	}
	return round(s.a + (v-from)/(to-from)*(s.b-s.a))
}

func round(v float64) float64 { return math.Round(v*10) / 10 }

// rising is a scale from 0 to a round number that holds most.
func rising(most float64) (s scale, ticks []tick) {
	step := niceStep(most / 4)
	top := math.Max(math.Ceil(most/step)*step, step)
	s = scale{0, top, plotBottom, plotTop, false}
	for v := 0.0; v <= top*1.001; v += step {
		ticks = append(ticks, tick{s.at(v), short(v)})
	}
	return s, ticks
}

// niceStep is the next of 1, 2, 5 times a power of ten.
func niceStep(v float64) float64 {
	if !(v > 0) {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*power*1.0001 {
			return m * power
		}
	}
	return 10 * power
}

// short writes a number for an axis.
func short(v float64) string {
	text := func(v float64, unit string) string {
		return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) + unit
	}
	switch a := math.Abs(v); {
	case a >= 1e9:
		return text(v/1e9, "G")
	case a >= 1e6:
		return text(v/1e6, "M")
	case a >= 1e4:
		return text(v/1e3, "k")
	case a > 0 && a < 0.01:
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return text(v, "")
}

// charts are the drawings of a report; those without data are left out.
func (s *Summary) charts() []chart {
	all := []chart{s.tokensChart(), s.refusalsChart(), s.latencyChart(), s.costChart(), s.stopsChart(), s.outputChart()}
	for i := range all {
		if all[i].Height == 0 {
			all[i].Height = chartHeight
		}
	}
	return slices.DeleteFunc(all, func(c chart) bool { return len(c.Rects)+len(c.Lines)+len(c.Dots) == 0 })
}

// overTime draws stacked bars of a timeline.
func (s *Summary) overTime(c chart, names []string, values func(bin) []int64) chart {
	t := s.Timeline
	var most, sum int64
	for _, b := range t.Bins {
		n := total(values(b))
		most, sum = max(most, n), sum+n
	}
	if sum == 0 {
		return chart{}
	}
	var y scale
	y, c.YTicks = rising(float64(most))
	first, last := t.Bins[0].At, t.Bins[len(t.Bins)-1].At.Add(time.Duration(t.Seconds)*time.Second)
	x := scale{0, last.Sub(first).Seconds(), plotLeft, plotRight, false}
	c.XTicks = timeTicks(x, first, last)
	c.Table = render.Grid{Title: c.Title, Head: append([]string{"from (UTC)"}, names...)}
	width := math.Max(plotWidth*float64(t.Seconds)/last.Sub(first).Seconds()-1, 1)
	for _, b := range t.Bins {
		at := b.At.Format("15:04:05")
		row := []string{b.At.Format(time.DateTime)}
		var below int64
		for i, n := range values(b) {
			row = append(row, render.Count(n))
			if n > 0 {
				top := y.at(float64(below + n))
				c.Rects = append(c.Rects, rect{x.at(b.At.Sub(first).Seconds()), top, round(width), math.Max(round(y.at(float64(below))-top), 0.5), i,
					sprintf("%s: %s %s", at, render.Count(n), names[i])})
			}
			below += n
		}
		c.Table.Rows = append(c.Table.Rows, row)
	}
	for i, name := range names {
		c.Legend = append(c.Legend, legend{i, name})
	}
	c.XLabel = "per " + stretch(t.Seconds)
	c.Summary = sprintf("%s in all, at most %s per %s", render.Count(sum), render.Count(most), stretch(t.Seconds))
	return c
}

func total(values []int64) (sum int64) {
	for _, v := range values {
		sum += v
	}
	return sum
}

// stretch writes a number of seconds for people.
func stretch(n int64) string {
	if n == 1 {
		return "second"
	}
	d := (time.Duration(n) * time.Second).String()
	if strings.HasSuffix(d, "m0s") {
		d = strings.TrimSuffix(d, "0s")
	}
	return d
}

func timeTicks(x scale, first, last time.Time) []tick {
	layout := "15:04"
	switch span := last.Sub(first); {
	case span < 10*time.Minute:
		layout = "15:04:05"
	case span > 36*time.Hour:
		layout = "Jan 2 15h"
	}
	var ticks []tick
	for i := range 4 {
		part := time.Duration(float64(last.Sub(first)) * float64(i) / 3)
		ticks = append(ticks, tick{x.at(part.Seconds()), first.Add(part).UTC().Format(layout)})
	}
	return ticks
}

func (s *Summary) tokensChart() chart {
	return s.overTime(chart{ID: "tokens", Title: "Tokens over time", YLabel: "tokens"}, []string{"input", "output"},
		func(b bin) []int64 { return []int64{b.Input, b.Output} })
}

func (s *Summary) refusalsChart() chart {
	return s.overTime(chart{ID: "refusals", Title: "Requests without an answer, over time", YLabel: "requests"},
		[]string{"refused for rate limits", "failed", "declined by the model"},
		func(b bin) []int64 { return []int64{b.Refused, b.Failed, b.Declined} })
}

// distribution draws one line a model over buckets.
func (s *Summary) distribution(c chart, of func(modelSummary) histogram, label func(float64) string) chart {
	low, high, most := math.Inf(1), 0.0, 0.0
	for _, m := range s.Models {
		h := of(m)
		for _, b := range h.Buckets {
			low, high = math.Min(low, b.From), math.Max(high, b.To)
			most = math.Max(most, 100*float64(b.N)/float64(h.N))
		}
	}
	if most == 0 {
		return chart{}
	}
	var y scale
	y, c.YTicks = rising(most)
	x := scale{low, high, plotLeft, plotRight, true}
	c.XTicks = logTicks(x, label)
	c.Table = render.Grid{Title: c.Title, Head: []string{"model", "from", "to", "answers", "share"}}
	for i, m := range s.Models {
		h := of(m)
		if len(h.Buckets) == 0 {
			continue
		}
		var points []string
		to := func(v, share float64) {
			points = append(points, fmt.Sprintf("%g,%g", x.at(v), y.at(share)))
		}
		last := h.Buckets[0].From
		to(last, 0)
		for _, b := range h.Buckets {
			share := 100 * float64(b.N) / float64(h.N)
			if b.From > last*1.0001 {
				to(last, 0)
				to(b.From, 0)
			}
			to(b.From, share)
			to(b.To, share)
			last = b.To
			c.Table.Rows = append(c.Table.Rows, []string{m.Model, label(b.From), label(b.To), render.Count(b.N), sprintf("%.1f %%", share)})
		}
		to(last, 0)
		c.Lines = append(c.Lines, line{strings.Join(points, " "), "line l" + strconv.Itoa(i%colours), m.Model})
		c.Legend = append(c.Legend, legend{i % colours, m.Model})
	}
	c.YLabel = "% of answers"
	return c
}

func logTicks(x scale, label func(float64) string) []tick {
	var ticks []tick
	for e := math.Floor(math.Log10(x.from)); e <= math.Ceil(math.Log10(x.to)); e++ {
		for _, m := range []float64{1, 2, 5} {
			if v := m * math.Pow(10, e); v >= x.from*0.999 && v <= x.to*1.001 {
				ticks = append(ticks, tick{x.at(v), label(v)})
			}
		}
	}
	for len(ticks) > 6 {
		var fewer []tick
		for i := 0; i < len(ticks); i += 2 {
			fewer = append(fewer, ticks[i])
		}
		ticks = fewer
	}
	return ticks
}

func (s *Summary) latencyChart() chart {
	c := s.distribution(chart{ID: "latency", Title: "Latency of answers", XLabel: "latency"},
		func(m modelSummary) histogram { return m.LatencyHist }, func(v float64) string { return render.Seconds(&v) })
	var parts []string
	for _, m := range s.Models {
		parts = append(parts, m.Model+": half of the answers within "+render.Seconds(m.LatencyMS.P50)+", 95 % within "+render.Seconds(m.LatencyMS.P95))
	}
	c.Summary = strings.Join(parts, "; ")
	return c
}

func (s *Summary) outputChart() chart {
	c := s.distribution(chart{ID: "output", Title: "Output tokens of answers", XLabel: "output tokens"},
		func(m modelSummary) histogram { return m.OutputHist }, short)
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

func (s *Summary) costChart() chart {
	points := s.costPoints()
	if len(points) == 0 {
		return chart{}
	}
	c := chart{ID: "cost", Title: "Cost against score", XLabel: "dollars per 1,000 rows", YLabel: "score"}
	c.Table = render.Grid{Title: c.Title, Head: []string{"model", "per 1,000 rows", "score", "low", "high"}}
	most, low, high := 0.0, math.Inf(1), math.Inf(-1)
	for _, p := range points {
		most = math.Max(most, p.USD)
		low = math.Min(low, orElse(p.Lower, p.Score))
		high = math.Max(high, orElse(p.Upper, p.Score))
	}
	pad := math.Max((high-low)*0.08, 0.005)
	y := scale{low - pad, high + pad, plotBottom, plotTop, false}
	step := niceStep((y.to - y.from) / 4)
	for v := math.Ceil(y.from/step) * step; v <= y.to; v += step {
		c.YTicks = append(c.YTicks, tick{y.at(v), short(v)})
	}
	xTop := niceStep(math.Max(most, 1e-9)/4) * math.Ceil(math.Max(most, 1e-9)*1.02/niceStep(math.Max(most, 1e-9)/4))
	x := scale{0, xTop, plotLeft, plotRight, false}
	for v := 0.0; v <= xTop*1.001; v += xTop / 4 {
		c.XTicks = append(c.XTicks, tick{x.at(v), "$" + short(v)})
	}
	var front []compare.CostPoint
	for i, p := range points {
		c.Dots = append(c.Dots, s.costDot(p, i, x, y))
		if p.Lower != nil && p.Upper != nil {
			c.Lines = append(c.Lines, line{fmt.Sprintf("%g,%g %g,%g", x.at(p.USD), y.at(*p.Lower), x.at(p.USD), y.at(*p.Upper)),
				"whisker l" + strconv.Itoa(i%colours), p.Model})
		}
		if p.Frontier {
			front = append(front, p)
		}
		c.Table.Rows = append(c.Table.Rows, []string{p.Model, render.Money(int64(p.USD*1e9), p.AtLeast), score(&p.Score), score(p.Lower), score(p.Upper)})
	}
	slices.SortFunc(front, func(a, b compare.CostPoint) int { return int(math.Copysign(1, a.USD-b.USD)) })
	var path []string
	for _, p := range front {
		path = append(path, fmt.Sprintf("%g,%g", x.at(p.USD), y.at(p.Score)))
	}
	if len(path) > 1 {
		c.Lines = append(c.Lines, line{strings.Join(path, " "), "frontier", "no model is both cheaper and better than these"})
	}
	c.Summary = "dashed: no model is both cheaper and better than these; bars are 95 % intervals"
	return c
}

func (s *Summary) costDot(p compare.CostPoint, i int, x, y scale) dot {
	d := dot{X: x.at(p.USD), Y: y.at(p.Score), Colour: i % colours, Label: render.Shorten(render.Plain(p.Model), 24), Anchor: "start",
		Tip: sprintf("%s: %s per 1,000 rows, score %s", p.Model, render.Money(int64(p.USD*1e9), p.AtLeast), score(&p.Score))}
	d.LabelX, d.LabelY = d.X+7, d.Y-6
	if d.X > (plotLeft+plotRight)/2 {
		d.LabelX, d.Anchor = d.X-7, "end"
	}
	return d
}

func orElse(p *float64, v float64) float64 {
	if p == nil {
		return v
	}
	return *p
}

// stopsChart draws one bar a model, of the shares of its stop reasons and of
// rows without an answer.
func (s *Summary) stopsChart() chart {
	c := chart{ID: "stops", Title: "How answers ended", XLabel: "% of rows"}
	g := s.stops()
	names := append(slices.Clone(g.Head[1:]), "no answer")
	c.Table = render.Grid{Title: c.Title, Head: append([]string{"model"}, names...)}
	x := scale{0, 100, plotLeft + 60, plotRight, false}
	const bar = 30.0
	for v := 0.0; v <= 100; v += 25 {
		c.XTicks = append(c.XTicks, tick{x.at(v), short(v)})
	}
	for i, m := range s.Models {
		if m.Rows == 0 {
			continue
		}
		top := plotTop + bar*float64(i)
		c.YTicks = append(c.YTicks, tick{top + 11, render.Shorten(render.Plain(m.Model), 15)})
		row, left := []string{m.Model}, 0.0
		for j, name := range names {
			n := m.StopReasons[name]
			if j == len(names)-1 {
				n = m.Rows - m.Answered()
			}
			row = append(row, render.Count(n))
			share := 100 * float64(n) / float64(m.Rows)
			if n > 0 {
				c.Rects = append(c.Rects, rect{x.at(left), top, math.Max(round(x.at(left+share)-x.at(left)), 0.8), 20, j % colours,
					sprintf("%s: %s %s (%.1f %%)", m.Model, render.Count(n), name, share)})
			}
			left += share
		}
		c.Table.Rows = append(c.Table.Rows, row)
	}
	for j, name := range names {
		if slices.ContainsFunc(c.Table.Rows, func(r []string) bool { return r[j+1] != "0" }) {
			c.Legend = append(c.Legend, legend{j % colours, strings.ReplaceAll(name, "_", " ")})
		}
	}
	c.Height = int(plotTop + bar*float64(max(len(s.Models), 2)) + 40)
	c.Summary = "shares of the rows of each model"
	return c
}

// AxisY is where the labels of the horizontal axis stand.
func (c chart) AxisY() int { return c.Height - 22 }

// Frame is the height of the picture: the chart, and the name of its vertical
// axis above it.
func (c chart) Frame() int { return c.Height + 12 }

// LabelY is where its name stands.
func (c chart) LabelY() int { return c.Height - 6 }
