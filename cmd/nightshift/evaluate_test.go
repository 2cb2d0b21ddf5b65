package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshift/reports/compare"
	"nightshift/reports/scoring"
	"nightshift/runner/store/view"
)

// gsm8kPlan asks four models of one server the test questions of GSM8K.
const gsm8kPlan = `version: 1
name: gsm8k
dataset: {path: %q}
models:
  - {name: 6b_finetuning, endpoint: sim, model: 6b_finetuning, price: {input: 1, output: 2}}
  - {name: 6b_verification, endpoint: sim, model: 6b_verification, price: {input: 1, output: 2}}
  - {name: 175b_finetuning, endpoint: sim, model: 175b_finetuning, price: {input: 10, output: 20}}
  - {name: 175b_verification, endpoint: sim, model: 175b_verification, price: {input: 10, output: 20}}
endpoints:
  sim: {protocol: chat, base_url: "%s/v1", auth: none}
scorers:
  - {type: number, style: gsm8k_flexible}
out: out
`

// TestPublishedScores serves the answers that the authors of GSM8K published
// for four models, and runs, scores and compares them with the real program:
// the scores are those of the authors, and every figure is what numpy and scipy
// make of the same files.
func TestPublishedScores(t *testing.T) {
	t.Parallel()
	shared := filepath.Join(repository(t), "../shared/data/datasets")
	answers, questions := filepath.Join(shared, "gsm8k_example_model_solutions.jsonl"),
		filepath.Join(shared, "gsm8k_test.jsonl")
	if _, err := os.Stat(answers); err != nil {
		t.Skip("needs ../shared/data/datasets beside the checkout")
	}
	s := serve(t, "--answers", answers)
	dir := t.TempDir()
	plan := filepath.Join(dir, "plan.yaml")
	if err := os.WriteFile(plan, fmt.Appendf(nil, gsm8kPlan, absolute(t, questions), s.url), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, "run", plan, "-q")
	if code := c.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, c.errs.String())
	}
	run := filepath.Join(dir, "out")
	compared := comparisonOf(t, run)
	right := map[string]float64{"6b_finetuning": 286, "6b_verification": 515, "175b_finetuning": 458,
		"175b_verification": 742}
	for _, m := range compared.Scorers[0].Models {
		if got := *m.Mean * float64(m.N); m.N != 1319 || math.Abs(got-right[m.Label]) > 1e-9 {
			t.Errorf("%s: %v of %d right, want %v of 1319", m.Label, got, m.N, right[m.Label])
		}
	}
	checkAgainstScipy(t, run, compared)
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// comparisonOf runs compare and reads its JSON.
func comparisonOf(t testing.TB, args ...string) *compare.Comparison {
	t.Helper()
	c := start(t, append([]string{"compare", "--json"}, args...)...)
	if code := c.wait(t); code != exitOK {
		t.Fatalf("compare: exit code %d\n%s", code, c.errs.String())
	}
	var out compare.Comparison
	if err := json.Unmarshal(c.out.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return &out
}

func checkAgainstScipy(t *testing.T, run string, c *compare.Comparison) {
	t.Helper()
	if exec.Command("python3", "-c", "import numpy, scipy, pandas, pyarrow").Run() != nil {
		t.Skip("needs python3 with numpy, scipy, pandas and pyarrow for an independent calculation")
	}
	out, err := exec.Command("python3", "testdata/compare_check.py", run).Output()
	if err != nil {
		t.Fatalf("compare_check.py: %v", err)
	}
	var want struct {
		Models []struct {
			Mean, SE, Lower, Upper float64
			PerCorrect             float64 `json:"per_correct"`
			PerCorrectSE           float64 `json:"per_correct_se"`
			Cost                   int64   `json:"cost_nano_usd"`
		}
		Deltas []struct {
			Label                                            string
			Delta, SE, P, Adjusted, Lower, Upper, Detectable float64
			Win, Tie, Loss                                   int
		}
	}
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	near := func(what string, got *float64, want, tolerance float64) {
		t.Helper()
		if got == nil || math.Abs(*got-want) > tolerance*math.Max(1e-300, math.Abs(want)) {
			t.Errorf("%s = %v, scipy says %v", what, show(got), want)
		}
	}
	r := c.Scorers[0]
	for i, w := range want.Models {
		m := r.Models[i]
		near(m.Label+" mean", m.Mean, w.Mean, 1e-12)
		near(m.Label+" se", m.SE, w.SE, 1e-12)
		near(m.Label+" lower", &m.Interval.Lower, w.Lower, 1e-9)
		near(m.Label+" upper", &m.Interval.Upper, w.Upper, 1e-9)
		near(m.Label+" cost per correct", m.PerCorrectUSD, w.PerCorrect, 1e-9)
		near(m.Label+" its se", m.PerCorrectSE, w.PerCorrectSE, 1e-9)
		if c.Models[i].Cost.NanoUSD != w.Cost {
			t.Errorf("%s cost %d nano-dollars, the files say %d", m.Label, c.Models[i].Cost.NanoUSD, w.Cost)
		}
	}
	if len(want.Deltas) != 3 || len(r.Deltas) != 3 {
		t.Fatalf("%d deltas, scipy has %d", len(r.Deltas), len(want.Deltas))
	}
	for i, w := range want.Deltas {
		d := r.Deltas[i]
		near(d.Label+" delta", d.Delta, w.Delta, 1e-12)
		near(d.Label+" se", d.SE, w.SE, 1e-12)
		near(d.Label+" lower", &d.Interval.Lower, w.Lower, 1e-9)
		near(d.Label+" upper", &d.Interval.Upper, w.Upper, 1e-9)
		near(d.Label+" p", d.P, w.P, 1e-9)
		near(d.Label+" adjusted p", d.Adjusted, w.Adjusted, 1e-9)
		near(d.Label+" detectable gap", d.Detectable, w.Detectable, 5e-3)
		if d.Label != w.Label || d.Win != w.Win || d.Tie != w.Tie || d.Loss != w.Loss {
			t.Errorf("%s %d/%d/%d, scipy says %s %d/%d/%d", d.Label, d.Win, d.Tie, d.Loss, w.Label, w.Win, w.Tie,
				w.Loss)
		}
	}
}

func show(p *float64) any {
	if p == nil {
		return "nothing"
	}
	return *p
}

const judgedPlan = `
scorers:
  - {type: includes}
  - {type: judge_grade, name: helpful, endpoint: judge, model: sim-judge, params: {max_tokens: 60},
     price: {input: 1, output: 2}}
  - {type: judge_pairwise, name: pref, endpoint: judge, model: sim-judge, params: {max_tokens: 60}}
gates: ["error_rate < 1%"]
`

// judged is a table whose answers are judged by a slow judge at a server of
// its own.
func judged(t testing.TB, rows int, s, judge *server) *table {
	t.Helper()
	d := newTable(t, rows, s.url, judgedPlan)
	b, err := os.ReadFile(d.plan)
	if err != nil {
		t.Fatal(err)
	}
	entry := fmt.Sprintf("endpoints:\n  judge: {protocol: chat, base_url: \"%s/v1\", auth: none, limits: "+
		"{concurrency: 8}}\n", judge.url)
	if err := os.WriteFile(d.plan, []byte(strings.Replace(string(b), "endpoints:\n", entry, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestKilledJudge kills the program with -9 while judges are being asked, some
// times over: the same command goes on, what a judge has said is not asked
// again, and what was spent is all there.
func TestKilledJudge(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("kills real processes")
	}
	s, judge := serve(t), serve(t, "--latency", "base=25ms,jitter=0.3")
	d := judged(t, 40, s, judge)
	killed := 0
	for range 4 {
		c := start(t, "run", d.plan, "-q")
		for range 200 {
			if judge.totals(t).Received > int64(40+60*killed) {
				break
			}
			asleep(10 * time.Millisecond)
		}
		c.cmd.Process.Kill()
		if c.wait(t) != -1 {
			break
		}
		killed++
	}
	if killed == 0 {
		t.Fatal("the program was never killed")
	}
	c := start(t, "run", d.plan, "-q")
	if code := c.wait(t); code != exitOK {
		t.Fatalf("after %d kills: exit code %d\n%s", killed, code, c.errs.String())
	}
	compared := comparisonOf(t, d.out)
	if len(compared.Scorers) != 2 || compared.Scorers[1].Models[0].Scored != 40 || len(compared.Preferences) != 1 ||
		compared.Preferences[0].Pairs[0].N != 40 {
		t.Errorf("not everything was judged: %+v", compared.Preferences)
	}
	requests, tokens := int64(0), int64(0)
	for _, j := range compared.Judges {
		requests += j.Requests
		tokens += j.InputTokens + j.OutputTokens
	}
	if requests != 2*40+2*40 {
		t.Errorf("%d verdicts on record, want 160", requests)
	}
	l := judge.totals(t)
	if most := int64(160 + 8*killed); l.Received > most {
		t.Errorf("the judge was asked %d times; 160 verdicts and %d kills allow %d", l.Received, killed, most)
	}
	if l.Billed.Total() < tokens {
		t.Errorf("the reports count %d tokens, the judge billed %d", tokens, l.Billed.Total())
	}
	before := judge.totals(t).Received
	again := start(t, "score", d.out, "-q")
	if code := again.wait(t); code != exitOK {
		t.Fatalf("score: exit code %d\n%s", code, again.errs.String())
	}
	if after := judge.totals(t).Received; after != before {
		t.Errorf("scoring again asked the judge %d times", after-before)
	}
	for _, name := range []string{"helpful", "pref"} {
		if rep, err := view.Verify(filepath.Join(d.out, "judges", name), true); err != nil || !rep.OK() {
			t.Errorf("the run of judge %s: %+v, %v", name, rep.Problems, err)
		}
	}
}

// TestJudgesShareTheBudget: what models and judges cost together stays under
// the plan's budget, and a larger one finishes the rest.
func TestJudgesShareTheBudget(t *testing.T) {
	t.Parallel()
	s, judge := serve(t), serve(t)
	d := judged(t, 30, s, judge)
	c := start(t, "run", d.plan, "-q", "--budget-tokens", "9000")
	if code := c.wait(t); code != exitStopped {
		t.Fatalf("exit code %d, want %d\n%s", code, exitStopped, c.errs.String())
	}
	if total := s.totals(t).Billed.Total() + judge.totals(t).Billed.Total(); total > 9000 {
		t.Errorf("%d tokens were billed, the budget is 9000", total)
	}
	if judge.totals(t).Received == 0 {
		t.Fatal("the budget ended before the judges began: the test shows nothing")
	}
	asked := judge.totals(t).Received
	if code := start(t, "score", d.out, "-q", "--plan", d.plan, "--budget-tokens",
		"9000").wait(t); code != exitStopped {
		t.Errorf("the same budget again: exit code %d, want %d", code, exitStopped)
	}
	if total := s.totals(t).Billed.Total() + judge.totals(t).Billed.Total(); total > 9000 {
		t.Errorf("after another start %d tokens were billed, the budget is 9000", total)
	}
	if code := start(t, "score", d.out, "-q", "--plan", d.plan, "--budget-tokens", "1000000").wait(t); code != exitOK {
		t.Fatalf("a larger budget: exit code %d", code)
	}
	if got := judge.totals(t).Received; got != 120 || asked >= got {
		t.Errorf("the judge was asked %d times in the end, %d at first, want 120", got, asked)
	}
	judges, err := scoring.ReadJudges(d.out)
	if err != nil || len(judges) != 2 || judges[0].Judged != 60 || judges[0].CostNanoUSD == 0 {
		t.Errorf("judges %+v, %v", judges, err)
	}
}
