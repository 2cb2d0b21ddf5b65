package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"nightshift/internal/words"
	"nightshift/reports/render"
)

// mostGrowth is by how much a figure for each row, or memory, may be above that of
// the smaller run before.
const mostGrowth = 1.25

// grown is what a run of so many rows took.
type grown struct {
	rows        int
	run, report usage
	disk        int64
}

// growth runs ever more rows against a server that costs little, and makes their
// reports: times and disk should grow with the rows, memory not at all.
func (b *bench) growth(ctx context.Context) ([]figure, error) {
	url, end, err := b.serverAs(ctx, "canned")
	if err != nil {
		return nil, err
	}
	defer end()
	var all []grown
	var figures []figure
	for _, text := range strings.Split(b.growthRows, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("-growth: %w", err)
		}
		g, err := b.grow(ctx, url, n)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
		f := g.figure(all[max(len(all)-2, 0)])
		figures = append(figures, f)
		fmt.Fprintf(os.Stderr, "%s: %s\n", f.name, f.measured) // large runs take long
		if err := b.drawGrowth(all); err != nil {
			return nil, err
		}
	}
	return figures, nil
}

// drawGrowth writes the chart of what was measured so far.
func (b *bench) drawGrowth(all []grown) error {
	if b.chart == "" {
		return nil
	}
	drawn, err := growthChart(all).SVG()
	if err != nil {
		return err
	}
	return os.WriteFile(b.chart, drawn, 0o644)
}

func (b *bench) grow(ctx context.Context, url string, n int) (g grown, err error) {
	g.rows = n
	rows, out := b.path("growth.jsonl"), b.path("growth")
	defer os.RemoveAll(out)
	defer os.Remove(rows)
	if err := writeRows(rows, n, 60); err != nil {
		return g, err
	}
	if g.run, err = b.nightshift(ctx, url, rows, out, concurrency); err != nil {
		return g, err
	}
	if g.disk, err = sizeOf(out); err != nil {
		return g, err
	}
	g.report, err = run(ctx, b.program, "report", out)
	return g, err
}

// sizeOf is how many bytes the files below a directory have.
func sizeOf(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}

// figure sets a run beside the smaller one before.
func (g grown) figure(before grown) figure {
	each := func(total float64) float64 { return total / float64(g.rows) }
	each2 := func(total float64) float64 { return total / float64(before.rows) }
	worst := max(
		each(g.run.cpu.Seconds())/each2(before.run.cpu.Seconds()),
		each(g.report.cpu.Seconds())/each2(before.report.cpu.Seconds()),
		each(float64(g.disk))/each2(float64(before.disk)),
		float64(g.run.rss)/float64(before.run.rss),
		float64(g.report.rss)/float64(before.report.rss))
	f := figure{
		name: "growth: " + words.Thousands(int64(g.rows)) + " short rows, a server that costs little",
		measured: fmt.Sprintf("%.1f s, %.0f µs of processor time a row, %d MiB, %.0f bytes a row on disk; "+
			"report %.1f s, %.1f µs a row, %d MiB",
			g.run.wall.Seconds(), 1e6*each(g.run.cpu.Seconds()), g.run.rss>>20, each(float64(g.disk)),
			g.report.wall.Seconds(), 1e6*each(g.report.cpu.Seconds()), g.report.rss>>20),
		reached: true,
	}
	if before.rows != g.rows {
		f.floor = words.Thousands(int64(before.rows)) + " rows"
		f.ratio = fmt.Sprintf("%.2f, the worst of them", worst)
		f.reach, f.reached = fmt.Sprintf("≤ %v", mostGrowth), worst <= mostGrowth
	}
	return f
}

// growthChart draws how much more than the smallest run the others took.
func growthChart(all []grown) render.Chart {
	var curves []render.Curve
	for _, c := range []struct {
		name string
		of   func(grown) float64
	}{
		{"processor time of the run", func(g grown) float64 { return g.run.cpu.Seconds() }},
		{"processor time of the report", func(g grown) float64 { return g.report.cpu.Seconds() }},
		{"bytes on disk", func(g grown) float64 { return float64(g.disk) }},
		{"memory of the run", func(g grown) float64 { return float64(g.run.rss) }},
		{"memory of the report", func(g grown) float64 { return float64(g.report.rss) }},
	} {
		curve := render.Curve{Name: c.name}
		for _, g := range all {
			times := c.of(g) / c.of(all[0])
			curve.Points = append(curve.Points, render.Point{X: float64(g.rows), Y: times,
				Tip: fmt.Sprintf("%s, %s rows: %.2f times", c.name, words.Thousands(int64(g.rows)), times)})
		}
		curves = append(curves, curve)
	}
	return render.Curves(render.Chart{ID: "growth", Title: "Growth", XLabel: "rows",
		YLabel:  "times what the smallest run took",
		Summary: "times and disk grow with the rows, memory does not"}, curves)
}
