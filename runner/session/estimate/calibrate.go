package estimate

import (
	"context"
	"errors"
	"math"
	"slices"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/attemptlog"
	"nightshift/providers"
	"nightshift/reports/stats"
	"nightshift/runner/plan"
	"nightshift/runner/store/view"
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
	return plainTokens.times(m.plain).plus(foreignTokens.times(m.foreign)).
		plus(mediaTokens.times(m.media)).plus(framing.times(m.requests))
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
	factor := 1.3 // of a single answer
	if len(c.inputs) > 1 {
		factor = max(1.02, c.ratioFactor(ratio))
	}
	likely := prior.Likely * ratio
	return span{likely / factor, likely, likely * factor}
}

// ratioFactor is the factor that the ratio may be wrong by: Student's t times its
// jackknife standard error (the ratio without each answer in turn), which also
// holds when one long prompt outweighs the others.
func (c *calibration) ratioFactor(ratio float64) float64 {
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
	factor := 2.0 // of a single answer: half to double
	if len(c.outputs) > 1 {
		n := float64(len(c.outputs))
		logs := make([]float64, len(c.outputs))
		for i, x := range c.outputs {
			logs[i] = math.Log(max(x, 1))
		}
		v := stats.Variance(logs)
		se := math.Sqrt(v/n + v*v/(2*(n-1)))
		factor = max(1.05, math.Exp(stats.TQuantile(0.95, n-1)*se))
	}
	s := span{mean / factor, mean, mean * factor}
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

// calibrate sends n rows to every model and takes in what comes back.
func (j *job) calibrate(ctx context.Context, n int) (map[string]*calibration, error) {
	rows, err := someRows(ctx, j.Dataset, n)
	if err != nil {
		return nil, err
	}
	var numbers []int64
	for _, s := range rows {
		numbers = append(numbers, s.Index)
	}
	dir, stops, err := j.Calibrate(ctx, numbers)
	if err != nil {
		return nil, err
	}
	out, err := j.readCalibration(ctx, dir, n)
	for _, s := range stops {
		if c := out[s.Model]; c != nil && c.Failed == "" {
			c.Failed = s.Err.Error()
		}
	}
	return out, errors.Join(err, context.Cause(ctx))
}

// A calibrationRow is what a calibration reads of an answer.
type calibrationRow struct {
	Row          int64              `parquet:"row"`
	Model        string             `parquet:"model,dict"`
	Outcome      nightshift.Outcome `parquet:"outcome,dict"`
	Attempts     int32              `parquet:"attempts"`
	AttemptLog   *string            `parquet:"attempt_log,optional"`
	BilledInput  *int64             `parquet:"billed_input_tokens,optional"`
	BilledOutput *int64             `parquet:"billed_output_tokens,optional"`
	CostNanoUSD  *int64             `parquet:"cost_nano_usd,optional"`
	ErrorClass   *string            `parquet:"error_class,optional,dict"`
	ErrorMessage *string            `parquet:"error_message,optional"`
}

// readCalibration takes in the answers that are on record.
func (j *job) readCalibration(ctx context.Context, dir string, n int) (map[string]*calibration, error) {
	samples := map[string]map[int64]nightshift.Sample{}
	out, encoders := map[string]*calibration{}, map[string]*encoder{}
	for _, m := range j.Plan.Models {
		e, err := newEncoder(m)
		if err != nil {
			return nil, err
		}
		rows, err := someRows(ctx, j.RowsOf(m.Name), n)
		if err != nil {
			return nil, err
		}
		out[m.Name], encoders[m.Name], samples[m.Name] = &calibration{}, e, map[int64]nightshift.Sample{}
		for _, s := range rows {
			samples[m.Name][s.Index] = s
		}
	}
	for r, err := range view.Rows[calibrationRow](dir, view.ReadOptions{}) {
		if err != nil {
			return nil, err
		}
		prepared, err := encoders[r.Model].all(samples[r.Model][r.Row])
		if err != nil {
			continue // the look at the rows tells of it
		}
		p := prepared[0]
		for _, more := range prepared[1:] { // the row's usage is that of all its requests
			p.InputText += more.InputText
		}
		out[r.Model].note(p, &r)
	}
	return out, nil
}

// someRows picks rows from the whole length of a dataset: those in the middle
// of n equal pieces of what is selected.
func someRows(ctx context.Context, d *datasets.Dataset, n int) (rows []nightshift.Sample, err error) {
	selected := d.Info().Selected
	n = int(min(int64(n), selected))
	wanted := func(i int) int64 { return (2*int64(i) + 1) * selected / int64(2*n) }
	at := int64(0) // selected rows before this slice
	for i, chunk := range d.Chunks() {
		if len(rows) == n {
			break
		}
		if wanted(len(rows)) >= at+chunk.Selected {
			at += chunk.Selected
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
		at += chunk.Selected
	}
	return rows, ctx.Err()
}

// note takes in one answer: of a row with several turns that of the first,
// which is what the row's prompt was sent for.
func (c *calibration) note(p providers.Prepared, r *calibrationRow) {
	c.Sent += int(r.Attempts)
	for _, n := range []*int64{r.BilledInput, r.BilledOutput} {
		if n != nil {
			c.Tokens += *n
		}
	}
	if r.CostNanoUSD != nil {
		c.CostUSD += nightshift.NanoUSD(*r.CostNanoUSD).Dollars()
	}
	if !r.Outcome.Answered() {
		if c.Failed == "" && r.ErrorClass != nil {
			c.Failed = *r.ErrorClass
			if r.ErrorMessage != nil {
				c.Failed += ": " + *r.ErrorMessage
			}
		}
		return
	}
	c.Answers++
	if r.AttemptLog == nil {
		return
	}
	log, err := attemptlog.Parse(*r.AttemptLog)
	if err != nil {
		return
	}
	if i := slices.IndexFunc(log, func(a nightshift.Attempt) bool { return a.Class == "" }); i >= 0 {
		c.measure(p, &log[i])
	}
}

// measure takes in what one request brought.
func (c *calibration) measure(p providers.Prepared, a *nightshift.Attempt) {
	c.latencies = append(c.latencies, a.DurationMS/1000)
	if in, ok := a.Usage.InputTotal().Get(); ok {
		c.inputs = append(c.inputs, float64(in))
		c.guesses = append(c.guesses, guessed(p))
	}
	if out, ok := a.Usage.Output.Get(); ok {
		c.outputs = append(c.outputs, float64(out))
	}
}

// guessed is the prior's most likely input of one request.
func guessed(p providers.Prepared) float64 {
	foreign := foreignShare(p.Body)
	m := measured{requests: 1, plain: float64(p.InputText) * (1 - foreign), foreign: float64(p.InputText) * foreign,
		media: float64(p.InputOther)}
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
