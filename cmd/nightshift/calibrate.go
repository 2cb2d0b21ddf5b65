package main

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"nightshift"
	"nightshift/datasets"
	"nightshift/providers"
	"nightshift/reports/stats"
	"nightshift/runner"
	"nightshift/runner/plan"
)

// A calibration is what a few real answers say of the others. nil says nothing,
// and the estimate is then a guess from the length of the prompts.
type calibration struct {
	Sent    int     `json:"sent"`
	Answers int     `json:"answers"`
	Tokens  int64   `json:"tokens"`    // that the answers used, as the server said
	CostUSD float64 `json:"cost_usd"`  // of them, as far as it is known
	Failed  string  `json:"failed_as"` // the first failure; empty without one

	guesses, inputs []float64 // input tokens guessed and real, by answer
	outputs         []float64
	latencies       []float64 // seconds
}

func (c *calibration) answers() int {
	if c == nil {
		return 0
	}
	return c.Answers
}

// priorInput is the guess at a row's input tokens, over all its requests.
func priorInput(m *measured) span {
	return plainTokens.times(m.plain).plus(foreignTokens.times(m.foreign)).plus(mediaTokens.times(m.media)).plus(framing.times(m.requests))
}

// input is the estimate of a row's input: the guess, put right by the ratio of
// real to guessed tokens where there are answers. The interval is that of a
// ratio estimator by Student's t; a few answers of one model never make it
// narrower than 2 %.
func (c *calibration) input(m *measured) span {
	prior := priorInput(m)
	if c == nil || len(c.inputs) == 0 {
		return prior
	}
	ratio := stats.Sum(c.inputs) / max(stats.Sum(c.guesses), 1)
	doubt := 0.3 // of a single answer
	if n := len(c.inputs); n > 1 {
		rest := make([]float64, n)
		for i := range rest {
			rest[i] = c.inputs[i] - ratio*c.guesses[i]
		}
		_, se := stats.MeanSE(rest)
		doubt = max(0.02, stats.TQuantile(0.95, float64(n-1))*se/max(stats.Mean(c.inputs), 1))
	}
	likely := prior.Likely * ratio
	return span{likely / (1 + doubt), likely, likely * (1 + doubt)}
}

// answer is the estimate of an average answer, which is at most tokens long
// where that is above 0: the mean of those seen, with an interval by Student's t
// that is wider upwards, because lengths are skewed.
func (c *calibration) answer(prior span, most float64) span {
	if c == nil || len(c.outputs) == 0 {
		return prior
	}
	mean := stats.Mean(c.outputs)
	doubt := 1.0 // of a single answer: half to double
	if n := len(c.outputs); n > 1 {
		_, se := stats.MeanSE(c.outputs)
		doubt = max(0.05, stats.TQuantile(0.95, float64(n-1))*se/max(mean, 1))
	}
	s := span{mean / (1 + doubt), mean, mean * (1 + doubt)}
	if most > 0 {
		s = s.atMost(most)
	}
	return s
}

// seconds is how long an answer takes.
func (c *calibration) seconds() span {
	if c == nil || len(c.latencies) == 0 {
		return span{}
	}
	mean, se := stats.MeanSE(c.latencies)
	if math.IsNaN(se) || len(c.latencies) < 2 {
		se = mean
	}
	return span{max(mean-2*se, mean/4), mean, mean + 2*se}
}

// calibrate sends n rows to every model through the real client, under the
// plan's limits and budget.
func (a *app) calibrate(ctx context.Context, j *job, n int, log *slog.Logger) (map[string]*calibration, error) {
	f, err := a.build(j.plan, nil, log)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := someRows(ctx, j.dataset, n)
	if err != nil {
		return nil, err
	}
	out := map[string]*calibration{}
	var wg sync.WaitGroup
	for i, lane := range f.lanes {
		e, err := newEncoder(j.plan.Models[i])
		if err != nil {
			return nil, err
		}
		c := &calibration{}
		out[lane.Model] = c
		wg.Go(func() { c.ask(ctx, lane, e, rows) })
	}
	wg.Wait()
	return out, context.Cause(ctx)
}

// someRows picks rows from the whole length of a dataset: those in the middle
// of n equal pieces of what is selected.
func someRows(ctx context.Context, d *datasets.Dataset, n int) (rows []nightshift.Sample, err error) {
	selected := d.Info().Selected
	n = int(min(int64(n), selected))
	wanted := func(i int) int64 { return (2*int64(i) + 1) * selected / int64(2*n) }
	at := int64(0) // selected rows before this slice
	for i, slice := range d.Slices() {
		if len(rows) == n {
			break
		}
		if wanted(len(rows)) >= at+slice.Selected {
			at += slice.Selected
			continue
		}
		ordinal := at
		for s, err := range d.Read(ctx, i) {
			var bad *datasets.RowError
			if err != nil && !errors.As(err, &bad) {
				return nil, err
			}
			if len(rows) < n && ordinal >= wanted(len(rows)) && err == nil {
				rows = append(rows, s)
			}
			ordinal++
		}
		at += slice.Selected
	}
	return rows, ctx.Err()
}

// ask sends rows to one model, a few at a time.
func (c *calibration) ask(ctx context.Context, lane runner.Lane, e *encoder, rows []nightshift.Sample) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	gate := make(chan struct{}, 4)
	for _, s := range rows {
		p, err := e.encode(s)
		if err != nil {
			continue // the look at the rows tells of it
		}
		gate <- struct{}{}
		wg.Go(func() {
			defer func() { <-gate }()
			req := lane.Request(s)
			req.Key = "calibration-" + lane.Model + "-" + s.ID
			began := time.Now()
			resp, err := lane.Provider.Complete(ctx, req)
			mu.Lock()
			defer mu.Unlock()
			c.note(p, resp, err, time.Since(began))
		})
	}
	wg.Wait()
}

// note takes in one answer.
func (c *calibration) note(p providers.Prepared, r nightshift.Response, err error, took time.Duration) {
	if len(r.Attempts) > 0 {
		c.Sent++
	}
	c.Tokens += r.Usage.Total().N()
	if r.Cost != nil {
		c.CostUSD += r.Cost.Dollars()
	}
	if err != nil {
		if c.Failed == "" {
			c.Failed = err.Error()
		}
		return
	}
	c.Answers++
	if r.Latency > 0 {
		took = r.Latency
	}
	c.latencies = append(c.latencies, took.Seconds())
	if in, ok := r.Usage.InputTotal().Get(); ok {
		c.inputs = append(c.inputs, float64(in))
		c.guesses = append(c.guesses, guessed(p))
	}
	if out, ok := r.Usage.Output.Get(); ok {
		c.outputs = append(c.outputs, float64(out))
	}
}

// guessed is the prior's most likely input of one request.
func guessed(p providers.Prepared) float64 {
	foreign := foreignShare(p.Body)
	m := measured{requests: 1, plain: float64(p.InputText) * (1 - foreign), foreign: float64(p.InputText) * foreign, media: float64(p.InputOther)}
	return priorInput(&m).Likely
}

// worstCalibration is the most that calibrating can cost, in dollars; ok is
// false when a price or a cap is not known.
func worstCalibration(models []modelForecast, n int) (dollars float64, ok bool) {
	for _, m := range models {
		if m.AtMostUSD == nil {
			return 0, false
		}
		dollars += m.largest.largestCost * float64(n)
	}
	return dollars, true
}

// judgesOf are the plan's scorers that ask models.
func judgesOf(p *plan.Resolved) (judges []plan.ResolvedScorer) {
	for _, s := range p.Scorers {
		if s.Judge != nil {
			judges = append(judges, s)
		}
	}
	return judges
}
