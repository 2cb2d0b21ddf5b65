package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"nightshift/runner/store/view"
)

const (
	slow   = 2 * time.Second // latency of every answer
	rounds = 4               // requests after one another
)

// inFlightScaling runs against a server whose every answer takes 2 s.
func (b *bench) inFlightScaling(ctx context.Context) ([]figure, error) {
	url, end, err := b.server(ctx, "-latency", "base="+slow.String())
	if err != nil {
		return nil, err
	}
	defer end()
	var figures []figure
	var first, last point
	for i, word := range strings.Split(b.inFlight, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		p, err := b.inFlightAt(ctx, url, n)
		if err != nil {
			return nil, err
		}
		if last = p; i == 0 {
			first = p
		}
		figures = append(figures, p.figure())
	}
	if last.n > first.n {
		each := float64(last.rss-first.rss) / float64(last.n-first.n) / 1024
		figures = append(figures, figure{
			name:     "memory of a request in flight",
			measured: fmt.Sprintf("%.0f KiB (%d MiB in all with %d)", each, last.rss>>20, last.n),
			floor:    fmt.Sprintf("%d MiB with %d", first.rss>>20, first.n),
			reach:    "≤ 64 KiB", reached: each <= 64,
		})
	}
	return figures, nil
}

// A point is what came of one number of requests in flight.
type point struct {
	n     int
	rate  float64 // requests a second, once all are in flight
	floor float64 // that of the bare loop
	rss   int64
}

func (p point) figure() figure {
	ideal := float64(p.n) / slow.Seconds()
	ratio := p.rate / ideal
	return figure{
		name:     fmt.Sprintf("%d in flight, answers take %v", p.n, slow),
		measured: fmt.Sprintf("%.1f requests/s", p.rate),
		floor:    fmt.Sprintf("%.1f requests/s, of %.1f", p.floor, ideal), ratio: fmt.Sprintf("%.3f", ratio),
		reach: "within 3 %", reached: math.Abs(1-ratio) <= 0.03,
	}
}

func (b *bench) inFlightAt(ctx context.Context, url string, n int) (point, error) {
	rows, out := b.path(fmt.Sprintf("inflight-%d.jsonl", n)), b.path(fmt.Sprintf("inflight-%d", n))
	if err := writeRows(rows, rounds*n, 1000); err != nil {
		return point{}, err
	}
	floor, err := b.bareRate(ctx, url, rows, n)
	if err != nil {
		return point{}, err
	}
	u, err := b.nightshift(ctx, url, rows, out, n)
	if err != nil {
		return point{}, err
	}
	rate, err := steadyRate(out, n)
	return point{n, rate, floor, u.rss}, err
}

// bareRate is the steady rate of the bare loop.
func (b *bench) bareRate(ctx context.Context, url, rows string, n int) (float64, error) {
	out, err := output(ctx, b.self, "floor", "-url", url, "-rows", rows, "-out", b.path("floor.jsonl"),
		"-concurrency", strconv.Itoa(n), "-after", strconv.Itoa(n))
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(out), 64)
}

// steadyRate is the rate from the end of the first round of n requests to the
// end of the last: start-up, and opening n connections, come before that.
func steadyRate(dir string, n int) (float64, error) {
	type ended struct {
		At *time.Time `parquet:"finished_at,optional,timestamp(microsecond)"`
	}
	var ends []time.Time
	for row, err := range view.Rows[ended](dir, view.ReadOptions{}) {
		if err != nil {
			return 0, err
		}
		if row.At != nil {
			ends = append(ends, *row.At)
		}
	}
	if len(ends) != rounds*n {
		return 0, fmt.Errorf("%d of %d rows were answered", len(ends), rounds*n)
	}
	return rateAfter(ends, n), nil
}

// rateAfter is how many a second ended after the first n.
func rateAfter(ends []time.Time, n int) float64 {
	slices.SortFunc(ends, time.Time.Compare)
	span := ends[len(ends)-1].Sub(ends[n-1])
	return float64(len(ends)-n) / span.Seconds()
}
