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
// real to guessed tokens where there are answers. A few answers of one model
// never make the interval narrower than 2 %.
func (c *calibration) input(m *measured) span {
	prior := priorInput(m)
	if c == nil || len(c.inputs) == 0 {
		return prior
	}
	ratio := stats.Sum(c.inputs) / max(stats.Sum(c.guesses), 1)
	doubt := 1.3 // of a single answer
	if len(c.inputs) > 1 {
		doubt = max(1.02, c.ratioDoubt(ratio))
	}
	likely := prior.Likely * ratio
	return span{likely / doubt, likely, likely * doubt}
}

// ratioDoubt is the factor that the ratio may be wrong by: Student's t times its
// jackknife standard error (the ratio without each answer in turn), which also
// holds when one long prompt outweighs the others.
func (c *calibration) ratioDoubt(ratio float64) float64 {
	n := float64(len(c.inputs))
	inputs, guesses := stats.Sum(c.inputs), stats.Sum(c.guesses)
	var squares float64
	for i := range c.inputs {
		d := math.Log((inputs-c.inputs[i])/max(guesses-c.guesses[i], 1)) - math.Log(ratio)
		squares += d * d
	}
	se := math.Sqrt(squares * (n - 1) / n)
	return math.Exp(fewMore(n) * stats.TQuantile(0.95, n-1) * se)
}

// fewMore widens intervals that rest on few answers: standard errors are then
// underestimated where lengths are skewed. Found by simulation.
func fewMore(n float64) float64 { return 1 + 4/n }

// answer is the estimate of an average answer, which is at most most tokens long
// where that is above 0. Lengths of answers are about log-normal, so the
// interval is Cox's for the mean of such: from the mean and the variance of
// their logarithms.
func (c *calibration) answer(prior span, most float64) span {
	if c == nil || len(c.outputs) == 0 {
		return prior
	}
	mean := stats.Mean(c.outputs)
	doubt := 2.0 // of a single answer: half to double
	if len(c.outputs) > 1 {
		n := float64(len(c.outputs))
		logs := make([]float64, len(c.outputs))
		for i, x := range c.outputs {
			logs[i] = math.Log(max(x, 1))
		}
		v := stats.Variance(logs)
		se := math.Sqrt(v/n + v*v/(2*(n-1)))
		doubt = max(1.05, math.Exp(stats.TQuantile(0.95, n-1)*se))
	}
	s := span{mean / doubt, mean, mean * doubt}
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
