package estimate

import (
	"fmt"
	"strings"

	"nightshift/internal/words"
	"nightshift/providers/limits"
	"nightshift/runner/plan"
	"nightshift/runner/session"
	"nightshift/runner/store/view"
)

// An endpointForecast is how long one server and key will be busy.
type endpointForecast struct {
	Name     string   `json:"name"`
	Models   []string `json:"models"`
	Requests float64  `json:"requests"`
	Hours    *span    `json:"hours"`           // null when no limit is configured and nothing was measured
	Limited  string   `json:"bound,omitempty"` // what decides the hours
	// Machines says whether further machines would make it end sooner.
	Machines machinesForecast `json:"more_machines"`

	why          string
	baseURL      string
	simulated    bool // in this process
	limits       limits.Config
	in, out, cap span
	latency      float64 // seconds of all answers, one after the other
}

// hours groups the models by server and key, and works out how long the
// configured limits let each take.
func (f *Forecast) hours() {
	var order []*endpointForecast
	byRateLimitKey := map[session.RateLimitKey]*endpointForecast{}
	for _, m := range f.Models {
		if m.model.Mode == plan.ModeBatch {
			continue // no limit per minute counts there
		}
		key := session.RateLimitKeyOf(m.model, m.model.Endpoint)
		e, ok := byRateLimitKey[key]
		if !ok {
			e = &endpointForecast{Name: m.Endpoint, limits: m.model.Endpoint.Limits, baseURL: m.model.Endpoint.BaseURL,
				simulated: m.model.Simulated}
			byRateLimitKey[key] = e
			order = append(order, e)
		}
		e.take(m)
	}
	known := len(order) > 0
	var slowest span
	for _, e := range order {
		e.work()
		e.machines()
		f.Endpoints = append(f.Endpoints, *e)
		if e.Hours == nil {
			known = false
			continue
		}
		slowest = span{max(slowest.Low, e.Hours.Low), max(slowest.Likely, e.Hours.Likely), max(slowest.High, e.Hours.High)}
	}
	if known {
		f.Hours = &slowest
	}
}

func (e *endpointForecast) take(m modelForecast) {
	e.Models = append(e.Models, m.Model)
	e.Requests += m.Requests
	e.in, e.out = e.in.plus(m.Input), e.out.plus(m.Output)
	charged := m.Output
	if m.model.Endpoint.Limits.Charge == limits.ChargeMaxTokens && m.largest.cap > 0 {
		most := m.largest.cap * m.Requests
		charged = span{most, most, most}
	}
	e.cap = e.cap.plus(charged)
	e.latency += m.latency.Likely * m.Requests
}

// byConcurrency is what decides where answers take long.
const byConcurrency = "concurrency and the time of an answer"

// work finds the limit that takes longest.
func (e *endpointForecast) work() {
	l := e.limits
	requests := span{e.Requests, e.Requests, e.Requests}
	for _, d := range []struct {
		name  string
		need  span
		limit float64
	}{
		{"requests a minute", requests, l.Requests}, {"tokens a minute", e.in.plus(e.cap), l.Tokens},
		{"input tokens a minute", e.in, l.InputTokens}, {"output tokens a minute", e.cap, l.OutputTokens},
		{byConcurrency, span{e.latency / 120, e.latency / 60, e.latency / 30},
			float64(l.Concurrency)},
	} {
		if d.limit <= 0 || d.need.High == 0 {
			continue
		}
		hours := d.need.times(1 / d.limit / 60)
		if e.Hours == nil || hours.Likely > e.Hours.Likely {
			e.Hours, e.Limited = &hours, d.name
		}
	}
	e.why = "no limits are configured; they are learnt while it runs"
	if e.Hours == nil && l.Concurrency > 0 {
		e.why = "only its concurrency is configured, and how long an answer takes is not known before there is one"
	}
}

func (f *Forecast) printHours(p *printer) {
	if len(f.Endpoints) == 0 {
		return
	}
	p.line("\ntime")
	for _, e := range f.Endpoints {
		if e.Hours == nil {
			text := "not known"
			if e.latency > 0 {
				text = fmt.Sprintf("not known; at the measured pace of an answer, %s with one request at a time, %s with 64",
					hoursWords(e.latency/3600), hoursWords(e.latency/3600/64))
			}
			p.line("  %s: %s", words.Visible(e.Name), text)
			continue
		}
		p.line("  %s: %s (%s–%s) at its limit on %s",
			words.Visible(e.Name), hoursWords(e.Hours.Likely), hoursWords(e.Hours.Low), hoursWords(e.Hours.High), e.Limited)
	}
}

func hoursWords(h float64) string {
	switch s := h * 3600; {
	case s < 90:
		return fmt.Sprintf("%.0f s", s)
	case s < 5400:
		return fmt.Sprintf("%.0f min", s/60)
	}
	return fmt.Sprintf("%.1f h", h)
}

// A budgetForecast says whether the budget suffices.
type budgetForecast struct {
	USD    *float64 `json:"usd"`    // null without one
	Tokens *int64   `json:"tokens"` // null without one
	// Verdict is none (no budget), enough (whatever happens), likely, maybe,
	// short, or never (not one request fits).
	Verdict string `json:"verdict"`
	Words   string `json:"words"`
}

// verdicts from the best to the worst.
var verdicts = []string{"none", "enough", "likely", "maybe", "short", "never"}

// checkBudget compares the estimate with the budget; the worse of dollars and tokens
// counts.
func (f *Forecast) checkBudget(p *plan.Resolved) {
	b := &f.Budget
	b.Verdict, b.Words = "none", "there is no budget: the run may spend what it takes (--budget-usd, --budget-tokens)"
	var texts []string
	if p.BudgetTokens != nil {
		b.Tokens = p.BudgetTokens
		largest := 0.0
		for _, m := range f.Models {
			largest = max(largest, float64(m.largest.largestToken))
		}
		texts = append(texts, b.judge(float64(*b.Tokens), f.Total.Input.plus(f.Total.Output), f.Total.AtMostTokens, largest,
			func(x float64) string { return words.Short(int64(x+0.5)) + " tokens" }))
	}
	if p.BudgetUSD != nil {
		b.USD = new(p.BudgetUSD.Dollars())
		largest := 0.0
		for _, m := range f.Models {
			largest = max(largest, m.largest.largestCost)
		}
		texts = append(texts, b.judge(*b.USD, view.Value(f.Total.CostUSD), f.Total.AtMostUSD, largest,
			func(x float64) string { return words.Dollars(x, false) }))
	}
	if len(texts) > 0 {
		b.Words = strings.Join(texts, "; ")
	}
}

// judge says whether one budget suffices. largest is the worst case of one
// request, which must fit before it is sent.
func (b *budgetForecast) judge(budget float64, need span, most *float64, largest float64,
	write func(float64) string) string {
	verdict, text := "maybe", fmt.Sprintf("a budget of %s may not suffice: the run takes %s to %s",
		write(budget), write(need.Low), write(need.High))
	switch {
	case largest > budget:
		verdict, text = "never", fmt.Sprintf("a budget of %s is too little: a single request may use %s and is not sent "+
			"unless that fits",
			write(budget), write(largest))
	case most != nil && *most <= budget:
		verdict, text = "enough", fmt.Sprintf("a budget of %s suffices, even if every answer is as long as it may be",
			write(budget))
	case need.High+largest <= budget:
		verdict, text = "likely", fmt.Sprintf("a budget of %s very likely suffices", write(budget))
	case need.Low > budget:
		verdict, text = "short", fmt.Sprintf("a budget of %s does not suffice: about %.0f %% of the rows; the run stops "+
			"there, resumable",
			write(budget), 100*budget/need.Likely)
	}
	if worse(verdict, b.Verdict) {
		b.Verdict = verdict
	}
	return text
}

func worse(a, b string) bool {
	for _, v := range verdicts {
		if v == a || v == b {
			return v == b && a != b
		}
	}
	return false
}

func (b budgetForecast) print(p *printer) {
	p.line("\nbudget\n  %s", b.Words)
}
