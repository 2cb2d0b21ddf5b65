package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/providers/simulator"
	"nightshift/reports/compare"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
	"nightshift/runner"
	"nightshift/runner/plan"
	"nightshift/runner/store/view"
)

// A stoppingTrial is a run of two models that may stop early, whose scores are planted:
// by row, whether each is right. Answers take from a tenth of a
// millisecond to ten, so that they come in another order than that of sending.
type stoppingTrial struct {
	old, new []bool
	seed     uint64
	scorers  string // that come after the one that decides
	more     string // of the plan
	// served is told of the requests to a server outside of the run; nil asks the built-in
	// simulator.
	served func()
	// second is from which row on the rows are of a second dataset, with a scorer of its own; 0 is one
	// dataset.
	second int
}

// plant draws rows of which the share is answered right by one model only, and by the new one
// more often by the gap.
func plant(r *rand.Rand, rows int, share, gap float64) stoppingTrial {
	t := stoppingTrial{seed: r.Uint64() >> 1}
	for range rows {
		u, both := r.Float64(), r.IntN(2) == 0
		t.new = append(t.new, u < (share+gap)/2 || u >= share && both)
		t.old = append(t.old, u >= (share+gap)/2 && u < share || u >= share && both)
	}
	return t
}

// write puts plan, rows and answers into dir.
func (s stoppingTrial) write(t *testing.T, dir string) *plan.Resolved {
	var rows, more, answers bytes.Buffer
	for i := range s.old {
		into := &rows
		if s.second > 0 && i >= s.second {
			into = &more
		}
		fmt.Fprintf(into, `{"q": "Question %d?", "t": "yes"}`+"\n", i)
		word := map[bool]string{true: "yes", false: "no"}
		fmt.Fprintf(&answers, `{"prompt": "Question %d?", "old": %q, "new": %q}`+"\n", i, word[s.old[i]], word[s.new[i]])
	}
	for name, b := range map[string]*bytes.Buffer{"rows.jsonl": &rows, "more.jsonl": &more, "answers.jsonl": &answers} {
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, average := fmt.Sprintf(`dataset: {path: rows.jsonl, prompt: "{{ q }}", target: "{{ t }}", seed: %d}`, s.seed), ""
	if s.second > 0 {
		data, average = fmt.Sprintf(`datasets:
  - {name: x, path: rows.jsonl, prompt: "{{ q }}", target: "{{ t }}", seed: %d}
  - {name: y, path: more.jsonl, prompt: "{{ q }}", target: "{{ t }}", scorers: [{type: includes, name: says}]}`,
			s.seed), ", average: rows"
	}
	return planIn(t, dir, fmt.Sprintf(`version: 1
%s
models:
  - {name: old, endpoint: sim, model: old, params: {max_tokens: 60}}
  - {name: new, endpoint: sim, model: new, params: {max_tokens: 60}}
endpoints:
  sim: {protocol: chat, limits: {concurrency: 16}, %s}
scorers: [exact%s]
compare: {baseline: old, stop_when: decided%s}
out: out
%s`, data, s.endpoint(t, dir), s.scorers, average, s.more))
}

// endpoint is where the answers in dir come from.
func (s stoppingTrial) endpoint(t *testing.T, dir string) string {
	const latency = "base=1ms,jitter=1.5"
	if s.served == nil {
		return fmt.Sprintf(`preset: simulator, simulator: {answers: answers.jsonl, seed: %d, latency: %q}`, s.seed, latency)
	}
	c := simulator.Config{Seed: s.seed, AnswersFile: "answers.jsonl"}
	var err error
	if c.Latency, err = simulator.ParseLatency(latency); err == nil {
		err = c.LoadAnswers(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	answers := simulator.New(c)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.served()
		answers.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return fmt.Sprintf("base_url: %q, auth: none", server.URL+"/v1")
}

// A stoppedTrial is what a run has come to.
type stoppedTrial struct {
	verdict string
	counted int   // rows of the order with all answers
	sent    int64 // answers of both models
	state   string
}

// run makes the whole run, with its store, reports and comparison.
func (s stoppingTrial) run(t *testing.T) stoppedTrial {
	p := s.write(t, t.TempDir())
	r, err := Run(t.Context(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s.check(t, p, r)
}

// check reads the planted scores in the order of sending, and sees that the run decided
// what they say as soon as they say it, whatever the order in which answers came.
func (s stoppingTrial) check(t *testing.T, p *plan.Resolved, r Result) stoppedTrial {
	t.Helper()
	delta := r.Comparison.Scorers[0].Deltas[0]
	got := stoppedTrial{verdict: string(delta.Verdict), counted: delta.N, state: r.State}
	for _, m := range r.Comparison.Stopping.Models {
		got.sent += int64(r.Comparison.Stopping.Rows) - m.NotSent
	}
	order, err := scoring.ReadOrder(p.Out)
	if err != nil || order == nil {
		t.Fatalf("no order: %v", err)
	}
	differences := make([]float64, len(order.Rows))
	for place, row := range order.Rows {
		differences[place] = asNumber(s.new[row]) - asNumber(s.old[row])
	}
	verdict, after := decision(t, differences)
	if got.verdict != verdict {
		t.Errorf("seed %d: the run says %q, its scores %q", s.seed, got.verdict, verdict)
	}
	// A comparison is looked at after every 5 rows or 2 %, and no model is sent more than ahead says
	// beyond the rows that all have answered by then.
	most := min(len(differences), after+max(5, after/50)+ahead(after+after/50))
	if got.counted < min(after, len(differences)) || got.counted > most {
		t.Errorf("seed %d: decided after %d rows, and %d are counted", s.seed, after, got.counted)
	}
	want := scoring.Decided
	if got.sent == 2*int64(len(differences)) {
		want = "finished"
	}
	if got.state != want {
		t.Errorf("seed %d: %s after %d answers", s.seed, got.state, got.sent)
	}
	return got
}

func asNumber(right bool) float64 {
	if right {
		return 1
	}
	return 0
}

// decision is what differences say, and after how many: one more than there are when
// nothing is ever decided.
func decision(t *testing.T, differences []float64) (verdict string, after int) {
	decided := func(n int) string {
		s, err := stats.NewSequence(differences[:n], -1, 1)
		switch {
		case err != nil:
			t.Fatal(err)
		case s.Above(0, 0.05):
			return "better"
		case s.Below(0, 0.05):
			return "worse"
		}
		return "no difference shown"
	}
	low, high := 0, len(differences)+1
	for low+1 < high {
		if mid := (low + high) / 2; decided(mid) != "no difference shown" {
			high = mid
		} else {
			low = mid
		}
	}
	return decided(min(high, len(differences))), high
}

// trials runs n of them, and several at a time.
func trials(t *testing.T, n int, planted func(*rand.Rand) stoppingTrial) []stoppedTrial {
	r := rand.New(rand.NewPCG(1, 2))
	got := make([]stoppedTrial, n)
	t.Run("runs", func(t *testing.T) {
		for i := range n {
			s := planted(r)
			t.Run("", func(t *testing.T) {
				t.Parallel()
				got[i] = s.run(t)
			})
		}
	})
	return got
}

// longStopping makes the tests of this file take their long form: as many runs as the figures of
// docs/measured/stopping.md are made of.
var longStopping = os.Getenv("NIGHTSHIFT_LONG") != ""

// Runs without a difference claim one in no more than alpha of all cases. All seeds are fixed, and
// what a run decides hangs on nothing else.
func TestStoppedRunsFalseDecisions(t *testing.T) {
	runs, rows := 3, 80
	if longStopping {
		runs, rows = 2000, 300
	}
	nullRuns(t, runs, rows, func(r *rand.Rand) stoppingTrial { return plant(r, rows, 0.5, 0) })
}

// nullRuns sees that no more than alpha of runs without a difference claim one.
func nullRuns(t *testing.T, runs, rows int, plant func(*rand.Rand) stoppingTrial) {
	t.Helper()
	wrong := 0
	for _, one := range trials(t, runs, plant) {
		if one.verdict != "no difference shown" {
			wrong++
		}
	}
	t.Logf("%d of %d runs of %d rows claim a difference that there is not (%.1f %%)", wrong, runs, rows,
		100*float64(wrong)/float64(runs))
	// Five standard deviations above alpha: a true rate of alpha is there one time in a million.
	if alpha, n := 0.05, float64(runs); float64(wrong) > n*alpha+5*math.Sqrt(n*alpha*(1-alpha)) {
		t.Errorf("%d of %d", wrong, runs)
	}
}

// Of several datasets the average by rows decides, with each one's own first scorer: what is planted in all
// rows is what the run says, as early as its rows say it, and no more than alpha of the runs without
// a difference claim one, also where one dataset is better and the other worse.
func TestStoppedRunsOfSeveralDatasets(t *testing.T) {
	runs, rows := 3, 80
	if longStopping {
		runs, rows = 400, 300
	}
	nullRuns(t, runs, rows, func(r *rand.Rand) stoppingTrial {
		s := plant(r, rows*2/3, 0.5, 0.2)
		other := plant(r, rows/3, 0.5, -0.4) // the other way round, so that nothing is left on average
		s.old, s.new, s.second = append(s.old, other.old...), append(s.new, other.new...), rows*2/3
		return s
	})
	s := plantFixed()
	s.second = 100
	if got := s.run(t); got.state != scoring.Decided || got.verdict != "better" {
		t.Errorf("%+v", got)
	}
}

// A run of several datasets that was broken off decides as one that nobody disturbed, and its comparison has
// each dataset by confidence sequences, too.
func TestStoppedDatasetsGoOn(t *testing.T) {
	s := plantFixed()
	s.second = 250
	p := s.write(t, t.TempDir())
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(30*time.Millisecond, func() { cancel(ErrInterrupted) })
	_, _ = Run(ctx, p, Options{}) // may be done before
	cancel(nil)
	r, err := Run(t.Context(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.check(t, p, r)
	var names []string
	for _, one := range r.Comparison.Scorers {
		names = append(names, one.Name)
		for _, m := range one.Models {
			if m.Method != "confidence sequence" || m.SE != nil {
				t.Errorf("%s of %s has figures for a fixed number of rows: %+v", one.Name, m.Label, m)
			}
		}
		if d := one.Deltas[0]; d.Method != "confidence sequence" || d.SE != nil {
			t.Errorf("%s: %+v", one.Name, d)
		}
	}
	if got := strings.Join(names, " "); got != "average x/exact y/says" {
		t.Errorf("results of %s", got)
	}
	n := r.Comparison.Scorers
	if n[0].Models[0].N != n[1].Models[0].N+n[2].Models[0].N || n[2].Models[0].N == 0 {
		t.Errorf("the average is of %d rows, the datasets have %d and %d", n[0].Models[0].N, n[1].Models[0].N,
			n[2].Models[0].N)
	}
	for i, one := range n[1:] { // in the tables of the report as in the comparison
		for k, m := range one.Models {
			for _, s := range r.Page.Scores {
				if s.Scorer == []string{"exact", "says"}[i] && s.Model == m.Label &&
					(s.Items != int64(m.N) || *s.Mean != *m.Mean || one.Deltas[0].LeftOut != 0) {
					t.Errorf("%s %d: the report says %+v, the comparison %+v", one.Name, k, s, m)
				}
			}
		}
	}
	if len(r.Page.Scores) != 4 {
		t.Errorf("the report has %d scores", len(r.Page.Scores))
	}
	if _, err := compare.Runs(compare.Options{Runs: []string{p.Out}, Average: "datasets"}); err == nil ||
		!strings.Contains(err.Error(), "the average by rows alone") {
		t.Errorf("all alike: %v", err)
	}
}

// Runs with a difference stop when they have seen it, and leave the rest of their rows.
func TestStoppedRunsRowsSaved(t *testing.T) {
	cases := []struct {
		rows, runs int
		gap        float64
		most       int // answers of a model that half of the runs send at most
	}{{400, 3, 0.2, 300}}
	if longStopping {
		cases = append(cases[:0], cases[0], cases[0], cases[0])
		for i, gap := range []float64{0.03, 0.05, 0.1} {
			cases[i].rows, cases[i].runs, cases[i].gap, cases[i].most = 5000, 100, gap, []int{2300, 900, 300}[i]
		}
	}
	for _, c := range cases {
		var sent []int64
		for _, one := range trials(t, c.runs, func(r *rand.Rand) stoppingTrial { return plant(r, c.rows, 0.2, c.gap) }) {
			sent = append(sent, one.sent/2)
		}
		slices.Sort(sent)
		median, late := sent[c.runs/2], sent[c.runs*9/10]
		t.Logf("%.0f points: half of %d runs of %d rows send %d rows (%.0f %% saved), nine of ten %d", 100*c.gap, c.runs,
			c.rows, median, 100-100*float64(median)/float64(c.rows), late)
		if median > int64(c.most) {
			t.Errorf("%.0f points: half of the runs send more than %d rows: %d", 100*c.gap, c.most, median)
		}
	}
}

// plantFixed draws rows with a fixed seed: enough of them to be stopped before the last.
func plantFixed() stoppingTrial { return plant(rand.New(rand.NewPCG(5, 6)), 400, 0.3, 0.2) }

// A run that is broken off at any time, and given up with what is in flight, decides in the
// end as one that nobody disturbed.
func TestStoppedRunGoesOn(t *testing.T) {
	s := plantFixed()
	p := s.write(t, t.TempDir())
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for range 4 {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Duration(random.IntN(60))*time.Millisecond, func() { cancel(ErrInterrupted) })
		r, err := Run(ctx, p, Options{})
		cancel(nil)
		if err == nil {
			s.check(t, p, r)
			break
		}
	}
	r, err := Run(t.Context(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.check(t, p, r); got.state != scoring.Decided {
		t.Errorf("%+v", got)
	}
}

// A budget that is spent before the decision stops the run; with a larger one it goes on to the
// decision, and what it costs then is what has been spent in both.
func TestStoppedRunBudget(t *testing.T) {
	s := plantFixed()
	dir := t.TempDir()
	s.more = "budget: {tokens: 700}\n"
	_, err := Run(t.Context(), s.write(t, dir), Options{})
	if ReasonOf(err) != Stopped || !errors.Is(err, nightshift.ErrBudget) && !strings.Contains(err.Error(), "budget") {
		t.Fatalf("with 700 tokens: %v", err)
	}
	s.more = "budget: {tokens: 3000000}\n"
	p := s.write(t, dir)
	r, err := Run(t.Context(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.check(t, p, r); got.state != scoring.Decided {
		t.Errorf("%+v", got)
	}
	answers := 0
	for one, err := range view.Rows[nightshift.Record](p.Out, view.ReadOptions{}) {
		if err != nil || one.Attempts != 1 {
			t.Errorf("%d attempts, %v", one.Attempts, err)
		}
		answers++
	}
	var said int64
	for _, m := range r.Comparison.Stopping.Models {
		said += int64(len(s.old)) - m.NotSent
	}
	if int64(answers) != said {
		t.Errorf("%d answers are on record, the comparison says %d", answers, said)
	}
}

// A judge that comes after the scorer that decides judges the answers that there are, and its
// intervals are confidence sequences as well.
func TestStoppedRunJudged(t *testing.T) {
	s := plantFixed()
	s.scorers = ", {type: judge_grade, name: grade, endpoint: sim, model: sim-medium, params: {max_tokens: 200}}"
	p := s.write(t, t.TempDir())
	r, err := Run(t.Context(), p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := s.check(t, p, r)
	judged := r.Comparison.Scorers[1]
	var scores int64
	for _, m := range judged.Models {
		scores += m.Scored + m.NoAnswer + m.Unscored
		if m.Method != "confidence sequence" || m.SE != nil {
			t.Errorf("%s has figures for a fixed number of rows: %+v", m.Label, m)
		}
	}
	if judged.Name != "grade" || scores == 0 || scores > got.sent {
		t.Errorf("%s: %d scores of %d answers", judged.Name, scores, got.sent)
	}
}

// A run that is decided is complete, also when the budget or Ctrl-C ended its last requests; one
// with a comparison that is open is not.
func TestDecidedIsComplete(t *testing.T) {
	s, err := Open(t.Context(), plantFixed().write(t, t.TempDir()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Dataset.Close()
	stops := []runner.Stop{{Model: "old", Err: nightshift.ErrBudget}}
	s.decider = &decider{score: func(*nightshift.Record) nightshift.Score { return nightshift.Score{} }}
	if e := s.ending(view.Totals{}, stops, nil, ErrInterrupted); e.state != scoring.Decided || e.err != nil {
		t.Errorf("decided: %s, %v", e.state, e.err)
	}
	s.decider.pairs = []*comparison{{open: true}}
	if e := s.ending(view.Totals{}, stops, nil, nil); e.state != "stopped: budget" || ReasonOf(e.err) != Stopped {
		t.Errorf("undecided: %s, %v", e.state, e.err)
	}
}
