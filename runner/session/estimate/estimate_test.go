package estimate

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"nightshift/providers/limits"
	"nightshift/runner/plan"
	"nightshift/runner/store/view"
)

// TestCalibratedIntervals draws datasets whose tokens and answers vary as real
// ones do, measures 5 or 20 rows, and counts how often the interval holds the
// true total: nine times in ten is promised.
func TestCalibratedIntervals(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{5, 20} {
		const trials, rows = 600, 2000
		inputHeld, outputHeld := 0, 0
		for range trials {
			perByte := 0.2 + 0.2*r.Float64()
			var c calibration
			var whole measured
			var input, output float64
			for i := range rows {
				bytes := 200 * math.Exp(r.NormFloat64())
				tokens := perByte*bytes*math.Exp(0.1*r.NormFloat64()) + 8
				answer := 150 * math.Exp(0.8*r.NormFloat64())
				whole.plain += bytes
				input, output = input+tokens, output+answer
				if i < n {
					one := measured{requests: 1, plain: bytes}
					c.guesses = append(c.guesses, priorInput(&one).Likely)
					c.inputs, c.outputs = append(c.inputs, tokens), append(c.outputs, answer)
				}
			}
			whole.plain /= rows
			whole.requests = 1
			if s := c.input(&whole).times(rows); s.Low <= input && input <= s.High {
				inputHeld++
			}
			if s := c.answer(answerTokens, 0).times(rows); s.Low <= output && output <= s.High {
				outputHeld++
			}
		}
		t.Logf("%d rows measured: input held %d, output %d of %d", n, inputHeld, outputHeld, trials)
		if inputHeld < trials*88/100 || outputHeld < trials*88/100 {
			t.Errorf("%d rows measured: the interval of input held %d times, that of output %d times, of %d",
				n, inputHeld, outputHeld, trials)
		}
	}
}

// TestPriorIntervals holds the guess without answers against rates that are
// usual for texts of different kinds.
func TestPriorIntervals(t *testing.T) {
	for _, tc := range []struct {
		name           string
		plain, foreign float64
		tokens         float64
	}{
		{"English prose, 4.6 bytes a token", 4600, 0, 1000},
		{"code, 3.2 bytes a token", 3200, 0, 1000},
		{"short questions, 3.6 bytes a token", 3600, 0, 1000},
		{"German, 3.4 bytes a token", 3300, 100, 1000},
		{"Chinese, 1.1 tokens a character", 0, 3000, 1100},
		{"Chinese, 0.75 tokens a character", 0, 3000, 750},
		{"Russian, 2.2 tokens a word of 13 bytes", 1000, 12000, 3200},
	} {
		s := priorInput(&measured{requests: 1, plain: tc.plain, foreign: tc.foreign})
		if tc.tokens < s.Low || tc.tokens > s.High {
			t.Errorf("%s: %v tokens are not within %+v", tc.name, tc.tokens, s)
		}
	}
}

func TestCalibrationOfOne(t *testing.T) {
	c := calibration{guesses: []float64{100}, inputs: []float64{120}, outputs: []float64{50}}
	in := c.input(&measured{requests: 1, plain: 1000})
	if in.Low >= in.Likely/1.2 || in.High <= in.Likely*1.2 {
		t.Errorf("one answer claims to know the input within %+v", in)
	}
	if out := c.answer(answerTokens, 60); out.High != 60 || out.Likely != 50 || out.Low != 25 {
		t.Errorf("one answer of at most 60 tokens: %+v", out)
	}
}

func TestBudgetVerdict(t *testing.T) {
	write := func(float64) string { return "x" }
	for _, tc := range []struct {
		budget  float64
		need    span
		most    *float64
		largest float64
		want    string
	}{
		{10, span{1, 2, 3}, new(9.0), 1, "enough"},
		{10, span{1, 2, 3}, nil, 1, "likely"},
		{10, span{1, 2, 9.5}, new(20.0), 1, "maybe"}, // the last requests may not fit
		{10, span{5, 8, 20}, new(50.0), 1, "maybe"},
		{10, span{11, 12, 20}, new(50.0), 1, "short"},
		{10, span{1, 2, 3}, new(9.0), 11, "never"},
	} {
		b := budgetForecast{Verdict: "none"}
		if b.judge(tc.budget, tc.need, tc.most, tc.largest, write); b.Verdict != tc.want {
			t.Errorf("%v of %+v: %s, want %s", tc.budget, tc.need, b.Verdict, tc.want)
		}
	}
	b := budgetForecast{Verdict: "none"}
	b.judge(1, span{5, 6, 7}, nil, 0, write)
	b.judge(100, span{5, 6, 7}, new(8.0), 0, write)
	if b.Verdict != "short" {
		t.Errorf("of two budgets the verdict is %s, not that of the worse", b.Verdict)
	}
}

func TestHours(t *testing.T) {
	in, out := span{50_000, 60_000, 90_000}, span{6_000, 12_000, 24_000}
	for _, tc := range []struct {
		limits  limits.Config
		limited string
		likely  float64 // hours
	}{
		{limits.Config{Requests: 10}, "requests a minute", 600.0 / 10 / 60},
		{limits.Config{Requests: 1000, InputTokens: 1000}, "input tokens a minute", 1},
		{limits.Config{OutputTokens: 100, InputTokens: 1e6}, "output tokens a minute", 2},
		{limits.Config{Tokens: 1200}, "tokens a minute", 1},
		{limits.Config{}, "", 0},
		{limits.Config{Concurrency: 8}, "", 0}, // no answer has been timed
	} {
		e := endpointForecast{Requests: 600, in: in, out: out, cap: out, limits: tc.limits}
		e.work()
		if e.Limited != tc.limited || math.Abs(view.Value(e.Hours).Likely-tc.likely) > 1e-9 {
			t.Errorf("%+v: %s, %+v; want %s, %v h", tc.limits, e.Limited, view.Value(e.Hours), tc.limited, tc.likely)
		}
	}
	timed := endpointForecast{Requests: 600, latency: 7200, limits: limits.Config{Concurrency: 2}}
	if timed.work(); math.Abs(view.Value(timed.Hours).Likely-1) > 1e-9 {
		t.Errorf("two hours of answers, two at a time: %+v", timed.Hours)
	}
}

// More machines help where each reaches a server of its own, or where the limits
// let through more than one machine sends; never where all share one limit.
func TestMoreMachines(t *testing.T) {
	const remote = "https://llm.example.com/v1"
	for _, tc := range []struct {
		limits    limits.Config
		url       string
		simulated bool
		help, why string
	}{
		{limits.Config{Requests: 600}, remote, false, "no", "limit on requests a minute decides (10 requests a second)"},
		{limits.Config{InputTokens: 60_000}, remote, false, "no", "input tokens a minute decides (10 requests a second)"},
		{limits.Config{Requests: 600_000}, remote, false, "yes", "lets 10.0k requests a second through"},
		{limits.Config{Concurrency: 64}, remote, false, "no", "its concurrency of 64 decides"},
		{limits.Config{Concurrency: 50_000}, remote, false, "yes", "one machine has ports for about 28.0k"},
		{limits.Config{}, remote, false, "not known", "no limits are configured"},
		{limits.Config{Requests: 600}, "http://127.0.0.1:8000/v1", false, "yes", "--endpoint e=http://127.0.0.1:8000/v1"},
		{limits.Config{}, "http://[::1]:8000/v1", false, "yes", "a model server of its own"},
		{limits.Config{}, "http://localhost/v1", true, "no", "the simulator is in this process"},
	} {
		same := span{60_000, 60_000, 60_000}
		e := endpointForecast{Name: "e", Requests: 600, in: same, out: same, cap: same, limits: tc.limits, baseURL: tc.url,
			simulated: tc.simulated}
		e.work()
		e.machines()
		if e.Machines.Help != tc.help || !strings.Contains(e.Machines.Why, tc.why) {
			t.Errorf("%+v at %s: %+v; want %s: %s", tc.limits, tc.url, e.Machines, tc.help, tc.why)
		}
	}
}

// TestGuessedSpread: what is taken without a pilot. The figures were worked out by hand.
func TestGuessedSpread(t *testing.T) {
	for _, tc := range []struct {
		epochs         int
		size, variance float64
		exact          bool
	}{
		{1, 1, 0.2, true},
		{4, 1, 0.2 * (0.5 + 0.125), false},
		{1, 5, 0.2 * 1.4, false},
		{4, 5, 0.125 * 1.4, false},
	} {
		g := guess{0.2, tc.epochs, 0.5, 0.1, map[string]float64{"": tc.size}}
		p := g.pilot("")
		if math.Abs(p.Variance-tc.variance) > 1e-12 || !math.IsNaN(p.Share) != tc.exact {
			t.Errorf("%d epochs, clusters of %v: %+v, want %v", tc.epochs, tc.size, p, tc.variance)
		}
	}
}

// TestGuessedAverage: of datasets with 80 and 20 rows, where the rows of the second are in clusters of 11, so
// that their variance is twice as large: alike, 100·(0.2/80 + 0.4/20)/4; by rows, (80·0.2 + 20·0.4)/100.
func TestGuessedAverage(t *testing.T) {
	f := &Forecast{}
	for name, rows := range map[string]int64{"a": 80, "b": 20} {
		f.Datasets = append(f.Datasets, sectionForecast{Name: name, datasetForecast: datasetForecast{Selected: rows}})
	}
	g := guess{0.2, 1, 0.5, 0.1, map[string]float64{"a": 1, "b": 11}}
	p := &plan.Resolved{Scorers: []plan.ResolvedScorer{{}}}
	for weights, want := range map[string]float64{plan.AverageDatasets: 0.5625, plan.AverageRows: 0.24} {
		p.Average = weights
		if got := f.guesses(p, g)[0]; math.Abs(got.Variance-want) > 1e-12 || got.Scorer != "average" {
			t.Errorf("%s: %+v, want %v", weights, got, want)
		}
	}
}
