package compare_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/reports"
	"nightshift/reports/compare"
	"nightshift/reports/scorers"
	"nightshift/reports/scoring"
	"nightshift/runner/store"
)

// A trial is a run made up for a comparison: rows in the dataset's order, and
// what each model made of them.
type trial struct {
	name   string
	ids    []string
	models []string
	epochs int
	unit   int64 // rows of a unit; 0 is all
	open   bool  // leave the last unit of each model in its journal
	state  string
	plan   string // of run.json; default an empty one

	value  func(model int, id string, epoch int) float64 // NaN: unscored
	tweak  func(r *nightshift.Record)
	prompt func(id string) string // default the id
}

// right is a score that hangs on nothing but its arguments.
func right(seed uint64, share ...float64) func(model int, id string, epoch int) float64 {
	return func(model int, id string, epoch int) float64 {
		h := rand.New(rand.NewPCG(seed, uint64(model)<<32|uint64(epoch)))
		for _, c := range []byte(id) {
			h = rand.New(rand.NewPCG(h.Uint64(), uint64(c)))
		}
		if h.Float64() < share[model] {
			return 1
		}
		return 0
	}
}

func rowIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("q%04d", i)
	}
	return ids
}

// write makes the run directory, records and scores, and returns it.
func (tr trial) write(t testing.TB) string {
	t.Helper()
	dir := t.TempDir() + "/run"
	tr.epochs = max(tr.epochs, 1)
	if tr.unit == 0 {
		tr.unit = int64(len(tr.ids))
	}
	run, err := store.Open(dir, tr.identity(), store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	for m, model := range tr.models {
		for n := range run.Shards() {
			u, err := run.OpenShard(model, n)
			if err != nil {
				t.Fatal(err)
			}
			s := u.Chunk()
			for row := s.First; row < s.First+s.Rows; row++ {
				for e := range tr.epochs {
					if rec := tr.record(m, row, e); rec != nil {
						if err := u.Put(rec); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if u.Remaining() == 0 && !(tr.open && n == run.Shards()-1) {
				if err := u.Commit(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	state := tr.state
	if state == "" {
		state = "finished"
	}
	if err := run.Close(state); err != nil {
		t.Fatal(err)
	}
	tr.score(t, dir)
	return dir
}

func (tr trial) identity() store.Identity {
	id := store.Identity{
		Name: tr.name, Tool: "test", Plan: json.RawMessage(cmp.Or(tr.plan, `{}`)), PlanHash: "plan",
		DatasetHash: fmt.Sprintf("%x", len(tr.ids)) + strings.Join(tr.ids[:min(3, len(tr.ids))], ""),
		DatasetRows: int64(len(tr.ids)),
		Models:      tr.models, Epochs: tr.epochs,
	}
	for first := int64(0); first < id.DatasetRows; first += tr.unit {
		id.Chunks = append(id.Chunks, store.Chunk{First: first, Rows: min(tr.unit, id.DatasetRows-first)})
	}
	return id
}

func (tr trial) record(m int, row int64, epoch int) *nightshift.Record {
	id := tr.ids[row]
	answer, stop := "no", "end"
	if v := tr.value(m, id, epoch); v >= 1 {
		answer = "yes"
	}
	cost, latency, output := int64(1000*(m+1)), float64(100*(m+1)), int64(10)
	prompt := id
	if tr.prompt != nil {
		prompt = tr.prompt(id)
	}
	target, category, now := "yes", "cat-"+id[len(id)-1:], time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := &nightshift.Record{
		Run: tr.name, Row: row, ID: id, Epoch: int32(epoch), Model: tr.models[m], Endpoint: "e", Protocol: "chat",
		RequestedModel: "id-" + tr.models[m], Outcome: nightshift.OutcomeOK, Text: &answer, StopReason: &stop,
		OutputTokens: &output, CostNanoUSD: &cost, LatencyMS: &latency, Attempts: 1, StartedAt: &now, FinishedAt: &now,
		Target: &target, Category: &category, RowHash: id, PromptHash: prompt,
	}
	if tr.tweak != nil {
		tr.tweak(r)
		if r.Model == "" {
			return nil // left out
		}
	}
	return r
}

// score writes what tr.value says as the table of a scorer called mark.
func (tr trial) score(t testing.TB, dir string) {
	t.Helper()
	d := scoring.Described{Name: "mark", Type: "exact", Kind: scorers.Pure, Version: "1", Params: json.RawMessage(`{}`)}
	_, err := scoring.Write(t.Context(), dir, d, func(_ context.Context, r *nightshift.Record) (scorers.Result, error) {
		if !r.Outcome.Answered() {
			return scorers.NotRun("failed"), nil
		}
		v := tr.value(slices.Index(tr.models, r.Model), r.ID, int(r.Epoch))
		if math.IsNaN(v) {
			return scorers.Result{Status: nightshift.Unscored}, nil
		}
		return scorers.Result{Value: &v, Status: nightshift.Scored, Answer: r.Text}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := (scoring.Evaluation{Scorers: []scoring.Described{d}}).WriteFile(dir); err != nil {
		t.Fatal(err)
	}
}

func compared(t testing.TB, o compare.Options) *compare.Comparison {
	t.Helper()
	c, err := compare.Runs(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// figures are the numbers of a comparison without what names files and times.
func figures(t testing.TB, c *compare.Comparison) string {
	t.Helper()
	s := *c
	s.Created, s.Runs = time.Time{}, nil
	for i := range s.Scorers {
		s.Scorers[i].Disagreements = nil // lists name dataset rows
		for k := range s.Scorers[i].Deltas {
			d := &s.Scorers[i].Deltas[k]
			slices.Sort(d.NewlyFailing)
			slices.Sort(d.NewlyPassing)
		}
	}
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestCompareWithItself(t *testing.T) {
	dir := trial{name: "one", ids: rowIDs(300), models: []string{"a"}, value: right(1, 0.6)}.write(t)
	c := compared(t, compare.Options{Runs: []string{dir}, BaselineRun: dir, Gates: []string{"regression"}})
	d := c.Scorers[0].Deltas[0]
	if *d.Delta != 0 || *d.P != 1 || *d.Adjusted != 1 || d.Win+d.Loss != 0 || d.Tie != 300 ||
		d.Verdict != compare.NotShown {
		t.Errorf("a run against itself: %+v", d)
	}
	if c.Scorers[0].Differing != 0 || len(c.Scorers[0].Disagreements) != 0 || c.Missed() || len(c.Warnings) != 0 {
		t.Errorf("differing %d, missed %v, warnings %q", c.Scorers[0].Differing, c.Missed(), c.Warnings)
	}
}

func TestCompareSwapFlipsSigns(t *testing.T) {
	value := func(model int, id string, epoch int) float64 {
		return math.Round(8*(right(1, 0.5, 0.5)(model, id, 0)+right(2, 0.6, 0.3)(model, id, epoch)))/16 +
			0.01*float64(model)
	}
	for _, epochs := range []int{1, 3} {
		dir := trial{name: "one", ids: rowIDs(120), models: []string{"a", "b"}, epochs: epochs, value: value}.write(t)
		ab := compared(t, compare.Options{Runs: []string{dir}, Baseline: "b"}).Scorers[0].Deltas[0]
		ba := compared(t, compare.Options{Runs: []string{dir}, Baseline: "a"}).Scorers[0].Deltas[0]
		if *ab.Delta != -*ba.Delta || *ab.SE != *ba.SE || *ab.P != *ba.P || ab.Win != ba.Loss || ab.Loss != ba.Win ||
			ab.Tie != ba.Tie {
			t.Errorf("epochs %d:\n%+v\n%+v", epochs, ab, ba)
		}
		if math.Abs(ab.Interval.Lower+ba.Interval.Upper) > 1e-12 ||
			math.Abs(ab.Interval.Upper+ba.Interval.Lower) > 1e-12 {
			t.Errorf("epochs %d: intervals %v, %v", epochs, ab.Interval, ba.Interval)
		}
	}
}

// TestCompareKnowsNoOrder: neither the number of parts, nor rows that still
// are in a journal, nor the order of the dataset changes a figure.
func TestCompareKnowsNoOrder(t *testing.T) {
	value := func(model int, id string, epoch int) float64 {
		return (right(1, 0.5, 0.6)(model, id, epoch) + right(2, 0.4, 0.3)(0, id, epoch)) / 3
	}
	base := trial{name: "one", ids: rowIDs(400), models: []string{"a", "b"}, epochs: 2, value: value}
	want := figures(t, compared(t, compare.Options{Runs: []string{base.write(t)}}))
	parts, journal, shuffled := base, base, base
	parts.unit = 37
	journal.unit, journal.open = 150, true
	shuffled.ids = slices.Clone(base.ids)
	rand.New(rand.NewPCG(7, 7)).Shuffle(len(shuffled.ids), func(i, j int) {
		shuffled.ids[i], shuffled.ids[j] = shuffled.ids[j], shuffled.ids[i]
	})
	for name, tr := range map[string]trial{"parts": parts, "journal": journal, "shuffled": shuffled} {
		if got := figures(t, compared(t, compare.Options{Runs: []string{tr.write(t)}})); got != want {
			t.Errorf("%s changes figures:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// TestCompareAcrossOrders matches rows by id where datasets differ in order.
func TestCompareAcrossOrders(t *testing.T) {
	one := trial{name: "one", ids: rowIDs(100), models: []string{"m"}, value: right(1, 0.5)}
	other := one
	other.name, other.ids = "other", slices.Clone(one.ids)
	slices.Reverse(other.ids)
	c := compared(t, compare.Options{Runs: []string{one.write(t), other.write(t)}})
	if d := c.Scorers[0].Deltas[0]; d.N != 100 || d.Win+d.Loss != 0 {
		t.Errorf("rows are not matched by id: %+v", d)
	}
	if c.Models[0].Label != "one/m" || c.Models[1].Label != "other/m" {
		t.Errorf("labels %q, %q", c.Models[0].Label, c.Models[1].Label)
	}
}

// TestCompareDuplicates: every row twice tells no more than every row once.
func TestCompareDuplicates(t *testing.T) {
	once := trial{name: "one", ids: rowIDs(150), models: []string{"a", "b"}, value: right(3, 0.7, 0.5)}
	twice := once
	twice.ids = nil
	for _, id := range once.ids {
		twice.ids = append(twice.ids, id+"-1", id+"-2")
	}
	twice.prompt = func(id string) string { return id[:5] }
	twice.value = func(m int, id string, e int) float64 { return once.value(m, id[:5], e) }
	a := compared(t, compare.Options{Runs: []string{once.write(t)}})
	b := compared(t, compare.Options{Runs: []string{twice.write(t)}})
	if b.Clusters == nil || b.Clusters.Clusters != 150 || b.Clusters.Duplicates != 150 {
		t.Fatalf("clusters %+v", b.Clusters)
	}
	if x, y := *a.Scorers[0].Models[0].SE, *b.Scorers[0].Models[0].SE; math.Abs(x-y) > 1e-12 {
		t.Errorf("standard error %v of rows once, %v of rows twice", x, y)
	}
	if x, y := *a.Scorers[0].Deltas[0].SE, *b.Scorers[0].Deltas[0].SE; math.Abs(x-y) > 1e-12 {
		t.Errorf("standard error of the difference %v, %v", x, y)
	}
}

func TestCompareTruncationBanner(t *testing.T) {
	cut := trial{name: "one", ids: rowIDs(200), models: []string{"a", "b"}, value: right(1, 0.6, 0.6)}
	plain := compared(t, compare.Options{Runs: []string{cut.write(t)}})
	cut.tweak = func(r *nightshift.Record) {
		if r.Model == "b" && r.Row%20 == 0 {
			stop := "max_tokens"
			r.Outcome, r.StopReason = nightshift.OutcomeTruncated, &stop
		}
	}
	c := compared(t, compare.Options{Runs: []string{cut.write(t)}})
	banner := func(c *compare.Comparison) bool {
		return len(c.Warnings) > 0 && strings.HasPrefix(c.Warnings[0], "TRUNCATED")
	}
	if banner(plain) || !banner(c) {
		t.Errorf("banner without truncation %v, with %v: %q", banner(plain), banner(c), c.Warnings)
	}
	if m := c.Models[1].Stops; m.Truncated != 10 || m.Completed != 190 || c.Scorers[0].Models[1].Truncated.N != 10 {
		t.Errorf("stops %+v", m)
	}
}

// TestCompareUnequalCoverage: where one model lacks more scores than the other,
// a verdict stands only if what is missing could not turn it.
func TestCompareUnequalCoverage(t *testing.T) {
	tr := trial{name: "one", ids: rowIDs(200), models: []string{"a", "near", "far", "whole"},
		value: right(1, 0.9, 0.88, 0.3, 0.3)}
	tr.tweak = func(r *nightshift.Record) {
		if (r.Model == "near" || r.Model == "far") && r.Row%10 == 0 { // a tenth failed
			class := "server"
			r.Outcome, r.Text, r.StopReason, r.ErrorClass = nightshift.OutcomeFailed, nil, nil, &class
		}
	}
	dir := tr.write(t)
	gates := []string{"no_regression(near)", "no_regression(far)", "no_regression(whole)", "noninferior(near, 1%)",
		"noninferior(near, 90%)"}
	c := compared(t, compare.Options{Runs: []string{dir}, Gates: gates, MaxErrors: 0.2})
	near, far, whole := c.Scorers[0].Deltas[0], c.Scorers[0].Deltas[1], c.Scorers[0].Deltas[2]
	if near.Verdict != compare.Withheld || near.N != 180 || near.LeftOut != 20 ||
		!strings.HasPrefix(near.Why, "cannot tell: 10.0 % of near's") {
		t.Errorf("near: %s, %s", near.Verdict, near.Why)
	}
	if far.Verdict != compare.Worse || whole.Verdict != compare.Worse {
		t.Errorf("far: %s; whole: %s", far.Why, whole.Why)
	}
	var words []string
	for _, g := range c.Gates {
		words = append(words, g.Word())
	}
	if want := []string{"CANNOT TELL", "MISSED", "MISSED", "MISSED", "passed"}; !slices.Equal(words, want) ||
		!c.CannotTell() || !c.Missed() {
		t.Errorf("gates %v, want %v: %+v", words, want, c.Gates)
	}
	m := c.Scorers[0].Models[2]
	if m.Errors != 20 || m.Scored != 180 || m.Bounds == nil || math.Abs(m.Bounds.Upper-m.Bounds.Lower-0.1) > 1e-12 {
		t.Errorf("coverage %+v", m)
	}
	if strict := compared(t, compare.Options{Runs: []string{dir}, Gates: gates}); strict.Invalid == "" {
		t.Error("a tenth of the rows without an answer is taken for a valid run")
	}
	zero := compared(t, compare.Options{Runs: []string{dir}, Gates: []string{"no_regression(near)"},
		ErrorsAsZero: true})
	if got, want := *zero.Scorers[0].Models[2].Mean, *m.Mean*0.9; math.Abs(got-want) > 1e-12 {
		t.Errorf("errors as zero: mean %v, want %v", got, want)
	}
	if d := zero.Scorers[0].Deltas[0]; zero.Invalid != "" || d.Verdict != compare.Worse ||
		zero.Gates[0].Word() != "MISSED" || zero.Scorers[0].Models[2].Missing() != 0 {
		t.Errorf("errors as zero: invalid %q, %s, gates %+v", zero.Invalid, d.Why, zero.Gates)
	}
}

// TestNoSmallestGap: where the exact test cannot reach its level, no gap is
// named: null in JSON, and words that say why.
func TestNoSmallestGap(t *testing.T) {
	tr := trial{name: "one", ids: rowIDs(5), models: []string{"a", "b"},
		value: func(m int, _ string, _ int) float64 { return float64(m) }}
	c := compared(t, compare.Options{Runs: []string{tr.write(t)}})
	d := c.Scorers[0].Deltas[0]
	if d.Detectable != nil || math.Abs(*d.P-0.0625) > 1e-12 ||
		d.Why != "no difference shown (5 items: too few for any gap to be shown)" {
		t.Errorf("five wins of five: p %v, gap %v, %s", *d.P, d.Detectable, d.Why)
	}
	if !strings.Contains(d.Note, "the verdict goes by the test") {
		t.Errorf("the interval %v goes without 0, and nothing explains it: %q", d.Interval, d.Note)
	}
	var b bytes.Buffer
	if err := c.JSON(&b); err != nil || !strings.Contains(b.String(), `"smallest_detectable": null`) {
		t.Errorf("JSON: %v\n%s", err, b.String())
	}
}

// TestSkewedDifferencesAreWarnedAbout: sign flips take graded differences for
// symmetric.
func TestSkewedDifferencesAreWarnedAbout(t *testing.T) {
	for n, warned := range map[int]bool{30: true, 60: false} {
		tr := trial{name: "one", ids: rowIDs(n), models: []string{"a", "b"},
			value: func(m int, id string, _ int) float64 {
				return 0.5 + 0.1*float64(m)*(1-float64(id[4]-'0')/20)
			}}
		d := compared(t, compare.Options{Runs: []string{tr.write(t)}}).Scorers[0].Deltas[0]
		if d.Verdict != compare.Better || strings.Contains(d.Note, "skewed") != warned {
			t.Errorf("%d items: %s, note %q", n, d.Verdict, d.Note)
		}
	}
}

// TestOneScoreHasOneInterval: the summary of a run knows of repeated prompts
// and clusters as the comparison does.
func TestOneScoreHasOneInterval(t *testing.T) {
	for name, tr := range map[string]trial{
		"repeated prompts": {prompt: func(id string) string { return id[4:] }},
		"epochs":           {epochs: 3},
		"clusters":         {tweak: func(r *nightshift.Record) { c := r.ID[3:4]; r.Cluster = &c }},
		"independent":      {},
	} {
		tr.name, tr.ids, tr.models, tr.value = "one", rowIDs(60), []string{"a", "b"}, right(1, 0.9, 0.5)
		dir := tr.write(t)
		s, err := reports.BuildPage(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := compared(t, compare.Options{Runs: []string{dir}})
		for i, m := range c.Scorers[0].Models {
			if got := s.Scores[i]; *got.Mean != *m.Mean || *got.Lower != m.Interval.Lower ||
				*got.Upper != m.Interval.Upper {
				t.Errorf("%s, %s: the summary says %v (%v to %v), the comparison %v (%v)", name, m.Label, *got.Mean,
					*got.Lower, *got.Upper, *m.Mean, m.Interval)
			}
		}
	}
}

func TestCompareUnknownPrice(t *testing.T) {
	tr := trial{name: "one", ids: rowIDs(50), models: []string{"a", "b"}, value: right(1, 0.6, 0.6)}
	tr.tweak = func(r *nightshift.Record) {
		if r.Model == "b" && r.Row == 7 {
			r.CostNanoUSD = nil
		}
	}
	c := compared(t, compare.Options{Runs: []string{tr.write(t)}})
	if c.Models[0].Cost.AtLeast || !c.Models[1].Cost.AtLeast || !c.Cost.AtLeast || c.Models[1].NoCost != 1 {
		t.Errorf("costs %+v, %+v, total %+v", c.Models[0].Cost, c.Models[1].Cost, c.Cost)
	}
	var b bytes.Buffer
	if err := c.Text(&b); err != nil || !strings.Contains(b.String(), "≥ $") {
		t.Errorf("the text does not say at least: %v\n%s", err, b.String())
	}
}

func TestCompareRefusesOtherPrompts(t *testing.T) {
	one := trial{name: "one", ids: rowIDs(30), models: []string{"m"}, value: right(1, 0.5)}
	other := one
	other.name = "other"
	other.prompt = func(id string) string { return "please: " + id }
	a, b := one.write(t), other.write(t)
	_, err := compare.Runs(compare.Options{Runs: []string{a, b}})
	var unfit *compare.IncomparableError
	if !errors.As(err, &unfit) || !strings.Contains(err.Error(), "the prompt of q0000") {
		t.Errorf("Compare = %v, want a refusal that names the row", err)
	}
	if c := compared(t, compare.Options{Runs: []string{a, b}, AnyPrompts: true}); c.Scorers[0].Deltas[0].N != 30 {
		t.Error("--any-prompts does not compare")
	}
}

func TestCompareRepeats(t *testing.T) {
	// Item by item: 3 of 4, 4 of 4, 0 of 4, 2 of 4.
	table := map[string]int{"q0000": 3, "q0001": 4, "q0002": 0, "q0003": 2}
	tr := trial{name: "one", ids: rowIDs(4), models: []string{"a"}, epochs: 4,
		value: func(_ int, id string, epoch int) float64 {
			if epoch < table[id] {
				return 1
			}
			return 0
		}}
	r := compared(t, compare.Options{Runs: []string{tr.write(t)}}).Scorers[0].Repeats[0]
	if r.Unstable != 2 || *r.Best.Mean != 0.75 || *r.Majority.Mean != (1+1+0+0.5)/4 {
		t.Errorf("unstable %d, best %v, majority %v", r.Unstable, *r.Best.Mean, *r.Majority.Mean)
	}
	// pass@2 = 1 - C(n-c,2)/C(4,2); pass^2 = C(c,2)/C(4,2)
	if want := (1 + 1 + 0 + 5.0/6) / 4; math.Abs(*r.PassAtK[1].Mean-want) > 1e-12 || r.PassAtK[1].K != 2 {
		t.Errorf("pass@2 = %v, want %v", *r.PassAtK[1].Mean, want)
	}
	if want := (3.0/6 + 1 + 0 + 1.0/6) / 4; math.Abs(*r.PassHatK[1].Mean-want) > 1e-12 {
		t.Errorf("pass^2 = %v, want %v", *r.PassHatK[1].Mean, want)
	}
	if want := (0.25 + 0 + 0 + 1.0/3) / 4; math.Abs(*r.Within-want) > 1e-12 {
		t.Errorf("within = %v, want %v", *r.Within, want)
	}
}

func TestBaselineRunListsChanges(t *testing.T) {
	old := trial{name: "old", ids: rowIDs(40), models: []string{"a", "b"},
		value: func(_ int, id string, _ int) float64 {
			return map[bool]float64{true: 1, false: 0}[id < "q0020"]
		}}
	now := old
	now.name = "now"
	now.value = func(m int, id string, e int) float64 {
		switch {
		case m == 0 && id == "q0003":
			return 0
		case m == 0 && id == "q0030":
			return 1
		}
		return old.value(m, id, e)
	}
	c := compared(t, compare.Options{Runs: []string{now.write(t)}, BaselineRun: old.write(t),
		Gates: []string{"regressions(a) <= 0", "regressions(now/b) <= 0"}})
	d := c.Scorers[0].Deltas
	if len(d) != 2 || !slices.Equal(d[0].NewlyFailing, []string{"q0003"}) ||
		!slices.Equal(d[0].NewlyPassing, []string{"q0030"}) || d[1].NewlyFailingCount != 0 {
		t.Errorf("changes %+v", d)
	}
	if c.Gates[0].Passed || !c.Gates[1].Passed {
		t.Errorf("gates %+v", c.Gates)
	}
}

func TestDisagreementsAreMostLopsidedFirst(t *testing.T) {
	tr := trial{name: "one", ids: rowIDs(20), models: []string{"a", "b"}, value: func(m int, id string, _ int) float64 {
		if m == 1 {
			return 0.5
		}
		return map[string]float64{"q0004": 1, "q0009": 0.8, "q0011": 0.1}[id[:5]] +
			map[bool]float64{true: 0.5}[!slices.Contains([]string{"q0004", "q0009", "q0011"}, id)]
	}}
	r := compared(t, compare.Options{Runs: []string{tr.write(t)}}).Scorers[0]
	var ids []string
	for _, d := range r.Disagreements {
		ids = append(ids, d.ID)
	}
	if !slices.Equal(ids, []string{"q0004", "q0011", "q0009"}) || r.Differing != 3 {
		t.Errorf("disagreements %v of %d", ids, r.Differing)
	}
	if d := r.Disagreements[0]; d.Models[0].Output != "yes" || d.Target != "yes" || *d.Models[1].Mean != 0.5 {
		t.Errorf("details %+v", d)
	}
}

func TestGates(t *testing.T) {
	tr := trial{name: "one", ids: rowIDs(400), models: []string{"good", "bad"}, value: right(1, 0.9, 0.6)}
	dir := tr.write(t)
	for gate, want := range map[string]bool{
		"error_rate < 1%":              true,
		"score(good) >= 0.85":          true,
		"score(good) >= 0.899":         false, // the mean may be above it, the interval's end is not
		"point(good) >= 0.87":          true,
		"min(bad) >= 0.9":              false,
		"score >= 0.5":                 true,
		"score >= 0.7":                 false,
		"score(bad, mark) <= 0.7":      true,
		"no_regression(bad)":           false,
		"regression":                   false,
		"noninferior(bad, 40%)":        true,
		"noninferior(bad, 0.02)":       false,
		"noninferior:0.5":              true,
		"better(bad)":                  false,
		"cost <= 1":                    true,
		"cost(bad) < 0.0000001":        false,
		"cost_per_correct(good) < 1":   true,
		"latency_p95(good) < 150ms":    true,
		"latency_p95(bad) < 0.15":      false,
		"truncated_rate == 0%":         true,
		"regressions(bad) <= 5":        false,
		"win_rate(bad) > 50%":          false,
		"missing_rate < 1%":            true,
		"no_answer_rate(good) <= 0.1%": true,
	} {
		c := compared(t, compare.Options{Runs: []string{dir}, Gates: []string{gate}})
		if g := c.Gates[0]; g.Passed != want || g.Detail == "" {
			t.Errorf("%s: passed %v, want %v (%s)", gate, g.Passed, want, g.Detail)
		}
	}
	for _, gate := range []string{"", "score", "scores(good) > 1", "no_regression(bad) < 3", "noninferior(bad)",
		"score(good) => 3", "error_rate < x"} {
		if err := compare.CheckGates([]string{gate}); err == nil {
			t.Errorf("CheckGates(%q) has no objection", gate)
		}
	}
}

// TestGateOfUnknownModel: what names nothing here is a mistake, not a missed
// gate.
func TestGateOfUnknownModel(t *testing.T) {
	dir := trial{name: "one", ids: rowIDs(10), models: []string{"a"}, value: right(1, 1)}.write(t)
	_, err := compare.Runs(compare.Options{Runs: []string{dir},
		Gates: []string{"score(nobody) > 0.1", "score(noone) > 0.1"}})
	if err == nil || !strings.Contains(err.Error(), "nobody") || !strings.Contains(err.Error(), "noone") {
		t.Errorf("Compare = %v, want both names", err)
	}
}

// TestGatesThatCannotWork: a condition that can never be missed, or never be
// met, is refused with what to write.
func TestGatesThatCannotWork(t *testing.T) {
	for gate, want := range map[string]string{
		"error_rate < 1":       "could never be missed: error_rate lies in 0..1; write error_rate < 1% for",
		"error_rate <= 5":      "write error_rate <= 5%",
		"missing_rate <= 100%": "could never be missed",
		"score >= 90":          "could never be met: score lies in 0..1; write score >= 90%",
		"score >= 1":           "never 0 or 1 itself; point tests the mean",
		"score(m) >= 0":        "could never be missed",
		"point > 1":            "could never be met",
		"min >= 100%":          "could never be met",
		"win_rate >= 1":        "point_win_rate tests the mean",
		"truncated_rate < 0":   "could never be met",
		"cost >= 0":            "could never be missed: cost is 0 or more",
		"cost < 0":             "could never be met",
		"latency_p95 < 0s":     "could never be met",
		"cost < 5%":            "cost is no share",
		"error_rate < 1s":      "error_rate is no time",
		"noninferior:2":        "write 2% where 2 points are meant",
		"noninferior(m, 150%)": "could never be missed",
	} {
		if err := compare.CheckGates([]string{gate}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", gate, err, want)
		}
	}
	good := []string{"error_rate < 1%", "error_rate < 0.01", "error_rate < 100%", "truncated_rate == 0", "score >= 90%",
		"score < 0.5", "point >= 1", "point == 1",
		"score > 0", "regressions <= 0", "cost <= 1", "noninferior:0.02", "win_rate > 50%", "point_win_rate >= 0.5",
		"latency_p50 < 2", "no_answer_rate <= 0"}
	if err := compare.CheckGates(good); err != nil {
		t.Error(err)
	}
	if err := compare.CheckGates([]string{"scor > 0.3", "score >= 90", "error_rate"}); err == nil ||
		strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not all mistakes at once: %v", err)
	}
}

func TestCheckGatesOf(t *testing.T) {
	models, types := []string{"small", "large"}, map[string]string{"answer": "exact", "liked": "judge_pairwise"}
	good := []string{"score(small) > 0.5", "score(answer, large) > 0.5", "win_rate(small, liked) > 50%",
		"win_rate > 50%", "noninferior(small, 0.02)", "error_rate < 1%", "latency_p95(large) < 2s", "no_regression"}
	if err := compare.CheckGatesOf(good, models, types); err != nil {
		t.Error(err)
	}
	err := compare.CheckGatesOf([]string{"score(nomodel) > 0.5", "win_rate(small, answer) > 50%", "score(liked) > 0.3",
		"scor > 1"}, models, types)
	for _, want := range []string{`"nomodel" is neither a model nor a scorer; there are small, large, answer, liked`,
		"it needs a pairwise judge, which answer is not", "it needs a scorer, which liked is not",
		"there is no figure called scor"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckGatesOf = %v, want %q", err, want)
		}
	}
	if err := compare.CheckGatesOf([]string{"score > 0.5"}, models, nil); err == nil ||
		!strings.Contains(err.Error(), "it needs a scorer, and there is none") {
		t.Errorf("no scorer at all: %v", err)
	}
}

func TestIncompleteRunPassesNoGate(t *testing.T) {
	tr := trial{name: "one", ids: rowIDs(30), models: []string{"a", "b"}, value: right(1, 1, 1),
		state: "stopped: budget"}
	tr.tweak = func(r *nightshift.Record) {
		if r.Model == "b" && r.Row > 25 {
			r.Model = "" // not run
		}
	}
	c := compared(t, compare.Options{Runs: []string{tr.write(t)}, Gates: []string{"score(a) > 0"}})
	if !c.Incomplete || c.Models[1].Stops.NotRun != 4 {
		t.Errorf("incomplete %v, not run %d, invalid %q", c.Incomplete, c.Models[1].Stops.NotRun, c.Invalid)
	}
}

func TestJUnit(t *testing.T) {
	dir := trial{name: "a <b> & c", ids: rowIDs(50), models: []string{"a", "b"}, value: right(1, 1, 0.2)}.write(t)
	c := compared(t, compare.Options{Runs: []string{dir}, Gates: []string{"error_rate < 1%", "no_regression(b)"}})
	var b bytes.Buffer
	if err := c.JUnit(&b); err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &parsed); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	cases := parsed.Suites[0].Cases
	if parsed.Tests != 2 || parsed.Failures != 1 || cases[0].Failure != nil || cases[1].Failure == nil ||
		cases[0].Name != "error_rate < 1%" {
		t.Errorf("JUnit:\n%s", b.String())
	}
}

// TestCompareRenderings: text fits a terminal, hostile names stay harmless,
// and JSON reads back.
func TestCompareRenderings(t *testing.T) {
	tr := trial{name: "n|ame\x1b[31m", ids: rowIDs(60), models: []string{"a|<b>", "b`c"}, epochs: 2,
		value: right(1, 0.9, 0.5)}
	c := compared(t, compare.Options{Runs: []string{tr.write(t)}, Gates: []string{"error_rate < 1%"}})
	var text, markdown, raw bytes.Buffer
	if err := errors.Join(c.Text(&text), c.Markdown(&markdown), c.JSON(&raw)); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	outside, _, _ := strings.Cut(markdown.String(), "```") // what follows is quoted to its end
	if strings.Contains(text.String()+markdown.String(), "\x1b") || strings.Contains(outside, "<b>") {
		t.Error("a name from outside gets through as it is")
	}
	var back compare.Comparison
	if err := json.Unmarshal(raw.Bytes(), &back); err != nil || back.Items != 60 || len(back.Scorers) != 1 {
		t.Errorf("JSON reads back as %d items, %v", back.Items, err)
	}
}
