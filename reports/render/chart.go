package render

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Charts are drawn here, not in the page, so that they are there without
// scripts, in print and for screen readers; a template writes them as SVG.

const (
	chartHeight                   = 240
	plotLeft, plotRight           = 46, 410
	plotTop, plotBottom           = 12, 204
	plotWidth, plotHeight float64 = plotRight - plotLeft, plotBottom - plotTop
	colours                       = 8
)

// A Chart is a drawing with the numbers behind it.
type Chart struct {
	ID, Title, Summary string
	XLabel, YLabel     string
	XTicks, YTicks     []tick
	Rects              []rect
	Lines              []line
	Dots               []dot
	Legend             []legend
	Table              Grid
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
	Again  bool // hollow: another dot has the colour
	Label  string
	LabelX float64
	LabelY float64
	Anchor string
	Tip    string
}

type legend struct {
	Colour int
	Label  string
	Again  bool // hollow: another entry has the colour
}

// named is the entry of a legend for what is drawn as number i.
func named(i int, label string) legend { return legend{i % colours, label, i >= colours} }

// stroke is the class of lines of what is drawn as number i. Where there are more of
// them than colours, those of the second round are dashed.
func stroke(i int) string {
	class := "l" + strconv.Itoa(i%colours)
	if i >= colours {
		class += " again"
	}
	return class
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
		ticks = append(ticks, tick{s.at(v), ShortNumber(v)})
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

// ShortNumber writes a number for an axis.
func ShortNumber(v float64) string {
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

// AxisY is where the labels of the horizontal axis stand.
func (c Chart) AxisY() int { return c.Height - 22 }

// Frame is the height of the picture: the chart, and the name of its vertical
// axis above it.
func (c Chart) Frame() int { return c.Height + 12 }

// LabelY is where its name stands.
func (c Chart) LabelY() int { return c.Height - 6 }

// Empty reports whether nothing is drawn.
func (c Chart) Empty() bool { return len(c.Rects)+len(c.Lines)+len(c.Dots) == 0 }

// A Stack is one bar of a chart over time: a count of each kind.
type Stack struct {
	At     time.Time
	Counts []int64
}

// StackedOverTime draws bars of so many seconds each. names are the kinds; the
// bars are in order.
func StackedOverTime(c Chart, names []string, bars []Stack, seconds int64) Chart {
	var most, sum int64
	for _, b := range bars {
		n := total(b.Counts)
		most, sum = max(most, n), sum+n
	}
	if sum == 0 {
		return Chart{}
	}
	c.Height = chartHeight
	var y scale
	y, c.YTicks = rising(float64(most))
	first, last := bars[0].At, bars[len(bars)-1].At.Add(time.Duration(seconds)*time.Second)
	x := scale{0, last.Sub(first).Seconds(), plotLeft, plotRight, false}
	c.XTicks = timeTicks(x, first, last)
	c.Table = Grid{Title: c.Title, Head: append([]string{"from (UTC)"}, names...)}
	width := math.Max(plotWidth*float64(seconds)/last.Sub(first).Seconds()-1, 1)
	for _, b := range bars {
		c.stack(b, names, x.at(b.At.Sub(first).Seconds()), round(width), y)
	}
	for i, name := range names {
		if slices.ContainsFunc(bars, func(b Stack) bool { return b.Counts[i] > 0 }) {
			c.Legend = append(c.Legend, named(i, name))
		}
	}
	c.XLabel = "per " + stretch(seconds)
	c.Summary = fmt.Sprintf("%s in all, at most %s per %s", Count(sum), Count(most), stretch(seconds))
	return c
}

// stack draws one bar, from its foot up.
func (c *Chart) stack(b Stack, names []string, left, width float64, y scale) {
	row := []string{b.At.Format(time.DateTime)}
	var below int64
	for i, n := range b.Counts {
		row = append(row, Count(n))
		if n > 0 {
			top := y.at(float64(below + n))
			height := math.Max(round(y.at(float64(below))-top), 0.5)
			tip := fmt.Sprintf("%s: %s %s", b.At.Format("15:04:05"), Count(n), names[i])
			c.Rects = append(c.Rects, rect{left, top, width, height, i, tip})
		}
		below += n
	}
	c.Table.Rows = append(c.Table.Rows, row)
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
		label := first.Add(part).UTC().Format(layout)
		if len(ticks) == 0 || ticks[len(ticks)-1].Label != label {
			ticks = append(ticks, tick{x.at(part.Seconds()), label})
		}
	}
	return ticks
}

// A Distribution counts values of one model in buckets, in order.
type Distribution struct {
	Name    string
	N       int64 // values in all
	Buckets []Bucket
}

// A Bucket counts the values in [From, To).
type Bucket struct {
	From, To float64
	N        int64
}

// Distributions draws one line for each distribution over a logarithmic axis,
// whose values label writes.
func Distributions(c Chart, all []Distribution, label func(float64) string) Chart {
	low, high, most := math.Inf(1), 0.0, 0.0
	for _, d := range all {
		for _, b := range d.Buckets {
			low, high = math.Min(low, b.From), math.Max(high, b.To)
			most = math.Max(most, d.share(b))
		}
	}
	if most == 0 {
		return Chart{}
	}
	c.Height = chartHeight
	var y scale
	y, c.YTicks = rising(most)
	x := scale{low, high, plotLeft, plotRight, true}
	c.XTicks = logTicks(x, label)
	c.Table = Grid{Title: c.Title, Head: []string{"model", "from", "to", "answers", "share"}}
	for i, d := range all {
		if len(d.Buckets) == 0 {
			continue
		}
		c.Lines = append(c.Lines, line{d.outline(x, y), "line " + stroke(i), d.Name})
		c.Legend = append(c.Legend, named(i, d.Name))
		for _, b := range d.Buckets {
			c.Table.Add(d.Name, label(b.From), label(b.To), Count(b.N), fmt.Sprintf("%.1f %%", d.share(b)))
		}
	}
	c.YLabel = "% of answers"
	return c
}

// share is a bucket's part of all values, in percent.
func (d Distribution) share(b Bucket) float64 { return 100 * float64(b.N) / float64(d.N) }

// outline is the line over a distribution's buckets: down to 0 between those
// that are apart, and at both ends.
func (d Distribution) outline(x, y scale) string {
	var points []string
	to := func(v, share float64) {
		points = append(points, fmt.Sprintf("%g,%g", x.at(v), y.at(share)))
	}
	last := d.Buckets[0].From
	to(last, 0)
	for _, b := range d.Buckets {
		if b.From > last*1.0001 {
			to(last, 0)
			to(b.From, 0)
		}
		to(b.From, d.share(b))
		to(b.To, d.share(b))
		last = b.To
	}
	to(last, 0)
	return strings.Join(points, " ")
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

// A Point is one dot of a scatter chart.
type Point struct {
	Name, Tip string
	X, Y      float64
	Low, High *float64 // interval of Y; nil where there is none
	Frontier  bool     // it is on the dashed line
}

// Scatter draws points with their intervals, and a dashed line through the
// frontier, of which frontier says what it means. X is in dollars.
func Scatter(c Chart, points []Point, frontier string) Chart {
	c.Height = chartHeight
	most, low, high := 0.0, math.Inf(1), math.Inf(-1)
	for _, p := range points {
		most = math.Max(most, p.X)
		low = math.Min(low, orElse(p.Low, p.Y))
		high = math.Max(high, orElse(p.High, p.Y))
	}
	var y scale
	y, c.YTicks = around(low, high)
	xStep := niceStep(math.Max(most, 1e-9) / 4)
	xTop := xStep * math.Ceil(math.Max(most, 1e-9)*1.02/xStep)
	x := scale{0, xTop, plotLeft, plotRight, false}
	for v := 0.0; v <= xTop*1.001; v += xTop / 4 {
		c.XTicks = append(c.XTicks, tick{x.at(v), dollarTick(v, xTop/4)})
	}
	for i, p := range points {
		c.point(p, i, x, y)
	}
	if c.crowded() {
		for i, p := range points {
			c.Dots[i].Label = ""
			c.Legend = append(c.Legend, named(i, p.Name))
		}
	}
	c.front(points, frontier, x, y)
	return c
}

// around is a scale that holds the values from low to high, and not much more.
func around(low, high float64) (s scale, ticks []tick) {
	pad := math.Max((high-low)*0.08, 0.005)
	s = scale{low - pad, high + pad, plotBottom, plotTop, false}
	step := niceStep((s.to - s.from) / 4)
	for v := math.Ceil(s.from/step) * step; v <= s.to; v += step {
		ticks = append(ticks, tick{s.at(v), ShortNumber(v)})
	}
	return s, ticks
}

// A Series is one line of a chart over time, its moments in order.
type Series struct {
	Name    string
	Moments []Moment
}

// A Moment is one value of a Series.
type Moment struct {
	At        time.Time
	Y         float64
	Low, High *float64 // its interval; nil where there is none
	Tip       string
}

// Trend draws a line for each series, with a dot and an interval for each of its
// values.
func Trend(c Chart, all []Series) Chart {
	low, high := math.Inf(1), math.Inf(-1)
	var first, last time.Time
	for _, s := range all {
		for _, m := range s.Moments {
			low, high = math.Min(low, orElse(m.Low, m.Y)), math.Max(high, orElse(m.High, m.Y))
			if first.IsZero() || m.At.Before(first) {
				first = m.At
			}
			if m.At.After(last) {
				last = m.At
			}
		}
	}
	if last.IsZero() {
		return Chart{}
	}
	c.Height = chartHeight
	var y scale
	y, c.YTicks = around(low, high)
	x := scale{0, last.Sub(first).Seconds(), plotLeft + 8, plotRight - 8, false}
	if c.XTicks = timeTicks(x, first, last); last.Equal(first) {
		c.XTicks = c.XTicks[:1]
	}
	for i, s := range all {
		c.series(s, i, first, x, y)
	}
	return c
}

// series draws one line; the series of a chart stand a little apart, so that
// intervals of one time do not hide each other.
func (c *Chart) series(s Series, i int, first time.Time, x, y scale) {
	const apart = 3
	var path []string
	colour := i % colours
	for _, m := range s.Moments {
		at, value := x.at(m.At.Sub(first).Seconds())+apart*float64(colour), y.at(m.Y)
		path = append(path, fmt.Sprintf("%g,%g", at, value))
		c.Dots = append(c.Dots, dot{X: at, Y: value, Colour: colour, Again: i >= colours, Anchor: "start", Tip: m.Tip})
		if m.Low != nil && m.High != nil {
			whisker := fmt.Sprintf("%g,%g %g,%g", at, y.at(*m.Low), at, y.at(*m.High))
			c.Lines = append(c.Lines, line{whisker, "whisker l" + strconv.Itoa(colour), m.Tip})
		}
	}
	if len(path) > 1 {
		c.Lines = append(c.Lines, line{strings.Join(path, " "), "line " + stroke(i), s.Name})
	}
	c.Legend = append(c.Legend, named(i, s.Name))
}

// A Curve is one line of a chart whose axes are both logarithmic.
type Curve struct {
	Name   string
	Points []Point // in the order of X
}

// Curves draws lines over axes that are both logarithmic, so that what grows in
// proportion rises evenly and what does not grow is level. Values must be above 0.
func Curves(c Chart, all []Curve) Chart {
	x := scale{math.Inf(1), 0, plotLeft + 8, plotRight - 8, true}
	y := scale{math.Inf(1), 0, plotBottom, plotTop, true}
	for _, curve := range all {
		for _, p := range curve.Points {
			x.from, x.to = math.Min(x.from, p.X), math.Max(x.to, p.X)
			y.from, y.to = math.Min(y.from, p.Y), math.Max(y.to, p.Y)
		}
	}
	if x.to == 0 {
		return Chart{}
	}
	c.Height = chartHeight
	y.from, y.to = math.Pow(10, math.Floor(math.Log10(y.from))), math.Pow(10, math.Ceil(math.Log10(y.to)))
	c.XTicks, c.YTicks = powers(x), powers(y)
	for i, curve := range all {
		var path []string
		for _, p := range curve.Points {
			at := dot{X: x.at(p.X), Y: y.at(p.Y), Colour: i % colours, Again: i >= colours, Anchor: "start",
				Tip: p.Tip}
			path = append(path, fmt.Sprintf("%g,%g", at.X, at.Y))
			c.Dots = append(c.Dots, at)
		}
		c.Lines = append(c.Lines, line{strings.Join(path, " "), "line " + stroke(i), curve.Name})
		c.Legend = append(c.Legend, named(i, curve.Name))
	}
	return c
}

// powers are the powers of ten on a logarithmic axis.
func powers(s scale) (ticks []tick) {
	for v := math.Pow(10, math.Ceil(math.Log10(s.from*0.999))); v <= s.to*1.001; v *= 10 {
		ticks = append(ticks, tick{s.at(v), ShortNumber(v)})
	}
	return ticks
}

// dollarTick writes dollars on an axis with as many places as its steps have, two
// or more where they have any.
func dollarTick(v, step float64) string {
	places := 0
	for scaled := step; places < 9 && math.Abs(scaled-math.Round(scaled)) > 1e-6; scaled *= 10 {
		places++
	}
	if places > 0 {
		places = max(places, 2)
	}
	return "$" + strconv.FormatFloat(v, 'f', places, 64)
}

// point draws one point and its interval.
func (c *Chart) point(p Point, i int, x, y scale) {
	d := dot{X: x.at(p.X), Y: y.at(p.Y), Colour: i % colours, Again: i >= colours, Label: Shorten(Plain(p.Name), 24),
		Anchor: "start", Tip: p.Tip}
	d.LabelX, d.LabelY = d.X+7, d.Y-6
	if d.X > (plotLeft+plotRight)/2 {
		d.LabelX, d.Anchor = d.X-7, "end"
	}
	c.Dots = append(c.Dots, d)
	if p.Low != nil && p.High != nil {
		whisker := fmt.Sprintf("%g,%g %g,%g", x.at(p.X), y.at(*p.Low), x.at(p.X), y.at(*p.High))
		c.Lines = append(c.Lines, line{whisker, "whisker l" + strconv.Itoa(i%colours), p.Name})
	}
}

// crowded reports whether names beside dots would cover each other: a legend has
// them then.
func (c *Chart) crowded() bool {
	const letter, line = 6.0, 11.0 // pixels
	left := func(d dot) float64 {
		if d.Anchor == "end" {
			return d.LabelX - letter*float64(Columns(d.Label))
		}
		return d.LabelX
	}
	for i, a := range c.Dots {
		for _, b := range c.Dots[:i] {
			apart := left(a) > left(b)+letter*float64(Columns(b.Label)) || left(b) > left(a)+letter*float64(Columns(a.Label))
			if !apart && math.Abs(a.LabelY-b.LabelY) < line {
				return true
			}
		}
	}
	return false
}

// front draws the line through the points of the frontier, where there are two.
func (c *Chart) front(points []Point, tip string, x, y scale) {
	front := slices.DeleteFunc(slices.Clone(points), func(p Point) bool { return !p.Frontier })
	slices.SortFunc(front, func(a, b Point) int { return cmp.Compare(a.X, b.X) })
	var path []string
	for _, p := range front {
		path = append(path, fmt.Sprintf("%g,%g", x.at(p.X), y.at(p.Y)))
	}
	if len(path) > 1 {
		c.Lines = append(c.Lines, line{strings.Join(path, " "), "frontier", tip})
	}
}

func orElse(p *float64, v float64) float64 {
	if p == nil {
		return v
	}
	return *p
}

// A ShareBar is one bar of a chart of shares.
type ShareBar struct {
	Name   string
	Counts []int64
	Of     int64 // what a whole bar is
}

// Shares draws one bar for each model, divided by the named kinds. A bar of
// nothing keeps its place.
func Shares(c Chart, names []string, bars []ShareBar) Chart {
	const step = 30.0
	c.Table = Grid{Title: c.Title, Head: append([]string{"model"}, names...)}
	x := scale{0, 100, plotLeft + 60, plotRight, false}
	for v := 0.0; v <= 100; v += 25 {
		c.XTicks = append(c.XTicks, tick{x.at(v), ShortNumber(v)})
	}
	for i, b := range bars {
		if b.Of > 0 {
			c.shareBar(b, names, plotTop+step*float64(i), x)
		}
	}
	for j, name := range names {
		if slices.ContainsFunc(c.Table.Rows, func(r []string) bool { return r[j+1] != "0" }) {
			c.Legend = append(c.Legend, named(j, strings.ReplaceAll(name, "_", " ")))
		}
	}
	c.Height = int(plotTop + step*float64(max(len(bars), 2)) + 40)
	return c
}

// shareBar draws one bar below top.
func (c *Chart) shareBar(b ShareBar, names []string, top float64, x scale) {
	c.YTicks = append(c.YTicks, tick{top + 11, Shorten(Plain(b.Name), 15)})
	row, left := []string{b.Name}, 0.0
	for j, n := range b.Counts {
		row = append(row, Count(n))
		share := 100 * float64(n) / float64(b.Of)
		if n > 0 {
			width := math.Max(round(x.at(left+share)-x.at(left)), 0.8)
			tip := fmt.Sprintf("%s: %s %s (%.1f %%)", b.Name, Count(n), names[j], share)
			c.Rects = append(c.Rects, rect{x.at(left), top, width, 20, j % colours, tip})
		}
		left += share
	}
	c.Table.Rows = append(c.Table.Rows, row)
}
