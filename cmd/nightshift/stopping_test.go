package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"nightshift"
	"nightshift/providers/simulator/testdata/simtest"
	"nightshift/runner/store/view"
)

// What each model of stoppingPlan answers is planted by row: old and same have eight of
// ten rows right, worse has five of the same ten. The dataset is sorted: what only old
// has right stands at its end, and in its order nothing would be seen for long.
const stoppingPlan = `version: 1
dataset: {path: rows.jsonl, prompt: "{{ q }}", target: "{{ t }}", seed: 5}
models:
  - {name: old, endpoint: sim, model: old, params: {max_tokens: 60}, price: {input: 1, output: 5}}
  - {name: same, endpoint: sim, model: same, params: {max_tokens: 60}, price: {input: 1, output: 5}}
  - {name: worse, endpoint: sim, model: worse, params: {max_tokens: 60}, price: {input: 1, output: 5}}
endpoints:
  sim: {preset: simulator, protocol: chat, limits: {concurrency: 8}, simulator: {answers: answers.jsonl}}
scorers: [exact]
compare: {baseline: old, COMPARE}
gates: [no_regression(same), score(old) >= 0.5]
out: out
`

func writeStopping(t *testing.T, compare string) *workspace {
	t.Helper()
	const rows = 1000
	w := &workspace{dir: t.TempDir()}
	var list, known bytes.Buffer
	for i := range rows {
		q, target := fmt.Sprintf("What is %d plus %d?", i, 1000+i), fmt.Sprint(1000+2*i)
		fmt.Fprintf(&list, `{"q": %q, "t": %q}`+"\n", q, target)
		answer := map[string]string{"prompt": q}
		for model, right := range map[string]int{"old": 800, "same": 800, "worse": 500} {
			if answer[model] = "no idea"; i >= rows-right {
				answer[model] = target
			}
		}
		line, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&known, "%s\n", line)
	}
	w.write(t, "rows.jsonl", list.String())
	w.write(t, "answers.jsonl", known.String())
	w.write(t, "plan.yaml", strings.Replace(stoppingPlan, "COMPARE", compare, 1))
	return w
}

// stopped is what the test looks at of comparison.json.
type stopped struct {
	Stopping *struct {
		Rows   int
		Models []struct {
			Label   string
			Counted int   `json:"rows_counted"`
			NotSent int64 `json:"answers_not_sent"`
		}
		Saved *float64 `json:"saved_usd"`
	}
	Scorers []struct {
		Models []struct {
			SE     *float64
			Method string
		}
		Deltas []struct {
			Label, Verdict, Method, Test string
			SE                           *float64
			Detectable                   *float64 `json:"smallest_detectable"`
			Interval                     struct{ Lower, Upper float64 }
			Peeking                      float64 `json:"width_over_fixed"`
		}
	}
}

func readStopped(t *testing.T, out string) (c stopped) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(out, "comparison.json"))
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil || c.Stopping == nil || len(c.Scorers) != 1 {
		t.Fatalf("%v: no comparison of a run that may stop early: %s", err, text)
	}
	return c
}

// checkVerdicts sees that nothing but confidence sequences stands in a comparison.
func checkVerdicts(t *testing.T, c stopped, want map[string]string) {
	t.Helper()
	for _, d := range c.Scorers[0].Deltas {
		if d.Verdict != want[d.Label] {
			t.Errorf("%s is %q, want %q (%+v)", d.Label, d.Verdict, want[d.Label], d.Interval)
		}
		if d.SE != nil || d.Detectable != nil || d.Method != "confidence sequence" || d.Test != d.Method {
			t.Errorf("%s has figures for a fixed number of rows: %+v", d.Label, d)
		}
		if !(d.Peeking > 1) {
			t.Errorf("%s: an interval for any time is %v times as wide as one for a fixed number", d.Label, d.Peeking)
		}
	}
	for _, m := range c.Scorers[0].Models {
		if m.SE != nil || m.Method != "confidence sequence" {
			t.Errorf("a score has figures for a fixed number of rows: %+v", m)
		}
	}
}

// A run stops when its comparison is decided, is complete then, sends nothing when it is
// started again, and goes on to the last row when that is asked for.
func TestRunStopsWhenDecided(t *testing.T) {
	w := writeStopping(t, "stop_when: decided, smallest_difference: 8 points")
	plan, out := filepath.Join(w.dir, "plan.yaml"), filepath.Join(w.dir, "out")
	succeeds(t, "run", "-q", plan)
	first := readStopped(t, out)
	want := map[string]string{"same": "difference too small", "worse": "worse"}
	checkVerdicts(t, first, want)
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil || !strings.Contains(string(page), "their 95 % confidence sequences.") ||
		strings.Contains(string(page), "95 % interval") {
		t.Errorf("the page calls confidence sequences intervals, or is none: %v", err)
	}
	if first.Stopping.Rows != 1000 || first.Stopping.Saved == nil || !(*first.Stopping.Saved > 0) {
		t.Errorf("saved: %+v", first.Stopping)
	}
	for _, m := range first.Stopping.Models {
		// What is sent ends at once, so that no model is further than the others by more
		// than it may be ahead: see session.ahead.
		if m.Counted < 20 || m.Counted > 500 || m.NotSent < 400 {
			t.Errorf("%s: %d of 1000 rows counted, %d not sent", m.Label, m.Counted, m.NotSent)
		}
	}
	status := string(succeeds(t, "status", out))
	if !strings.Contains(status, "stopped: decided") {
		t.Errorf("status: %s", status)
	}
	report := string(succeeds(t, "report", out))
	for _, fixed := range []string{"95 % interval", " 95 % −", "not finished", "Invalid"} {
		if strings.Contains(report, fixed) {
			t.Errorf("the report says %q:\n%s", fixed, report)
		}
	}
	if compared := string(succeeds(t, "compare", out)); !strings.Contains(compared, "always-valid p") {
		t.Errorf("compare: %s", compared)
	}

	exportsStopped(t, w.dir, first)

	succeeds(t, "run", "-q", plan)
	if again := readStopped(t, out); fmt.Sprint(again.Stopping.Models) != fmt.Sprint(first.Stopping.Models) {
		t.Errorf("a second start went on: %v, before %v", again.Stopping.Models, first.Stopping.Models)
	}

	succeeds(t, "run", "-q", plan, "--all-rows")
	all := readStopped(t, out)
	checkVerdicts(t, all, want)
	for _, m := range all.Stopping.Models {
		if m.Counted != 1000 || m.NotSent != 0 {
			t.Errorf("with --all-rows %s has %d of 1000 rows, %d not sent", m.Label, m.Counted, m.NotSent)
		}
	}
	var errs bytes.Buffer
	code := run(context.Background(), []string{"extend", out}, nil, io.Discard, &errs, os.LookupEnv)
	if code != exitUsage || !strings.Contains(errs.String(), "random order") {
		t.Errorf("extend ends with %d: %s", code, &errs)
	}
}

// exportsStopped sees that all answers of a stopped run are taken out, whose shards are not complete, and
// that it counts as done.
func exportsStopped(t *testing.T, dir string, c stopped) {
	t.Helper()
	out, answers := filepath.Join(dir, "out"), int64(0)
	for _, m := range c.Stopping.Models {
		answers += int64(c.Stopping.Rows) - m.NotSent
	}
	succeeds(t, "export", out, "-o", filepath.Join(dir, "answers.parquet"))
	file, err := os.Open(filepath.Join(dir, "answers.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if p, err := parquet.OpenFile(file, info.Size()); err != nil || p.NumRows() != answers {
		t.Errorf("the Parquet file has %d rows of %d answers: %v", p.NumRows(), answers, err)
	}
	if said := succeeds(t, "sql", out); !bytes.Contains(said, []byte("duckdb -init")) {
		t.Errorf("sql: %s", said)
	}
	open, err := os.Open(filepath.Join(out, "views.journal.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if info, err = open.Stat(); err != nil {
		t.Fatal(err)
	}
	if p, err := parquet.OpenFile(open, info.Size()); err != nil || p.NumRows() != answers {
		t.Errorf("the views have %d rows of %d answers: %v", p.NumRows(), answers, err)
	}
	wide := succeeds(t, "export", out, "--wide", "--format", "jsonl")
	cells := bytes.Count(wide, []byte(`_outcome":"ok"`)) // null for a model that was not asked
	if int64(cells) != answers {
		t.Errorf("side by side there are %d answers of %d: %.300s", cells, answers, wide)
	}
	if log := succeeds(t, "export", out, "--format", "inspect", "--model", "old"); !bytes.Contains(log,
		[]byte(`"status":"success"`)) {
		t.Errorf("Inspect's log is of no success: %.300s", log)
	}
	if verified := succeeds(t, "verify", out); !bytes.Contains(verified, []byte("ok")) {
		t.Errorf("verify: %s", verified)
	}
}

// A run stops when its differences are known well enough.
func TestRunStopsWhenPrecise(t *testing.T) {
	w := writeStopping(t, "precision: 12 points")
	succeeds(t, "run", "-q", filepath.Join(w.dir, "plan.yaml"))
	c := readStopped(t, filepath.Join(w.dir, "out"))
	for _, d := range c.Scorers[0].Deltas {
		if width := d.Interval.Upper - d.Interval.Lower; width > 0.24 {
			t.Errorf("%s is known to ± %.1f points, want 12", d.Label, 50*width)
		}
	}
	for _, m := range c.Stopping.Models {
		if m.NotSent == 0 {
			t.Errorf("%s was asked all rows", m.Label)
		}
	}
}

// servedBy makes the plan's models be asked at a server outside the program.
func (w *workspace) servedBy(t *testing.T, s *server) (plan string) {
	t.Helper()
	plan = filepath.Join(w.dir, "plan.yaml")
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	before, after, _ := strings.Cut(string(text), "{preset: simulator, protocol: chat, ")
	_, after, _ = strings.Cut(after, "simulator: {answers: answers.jsonl}}")
	endpoint := fmt.Sprintf(`{protocol: chat, base_url: "%s/v1", auth: none, limits: {concurrency: 24}}`, s.url)
	w.write(t, "plan.yaml", before+endpoint+after)
	return plan
}

// TestKillWithStopping kills a run that may stop early, again and again: no row on record is sent
// again, it decides what an undisturbed run decides, nothing is sent once that is so, and of all
// rows both say the same.
func TestKillWithStopping(t *testing.T) {
	t.Parallel()
	random := seeded(t)
	w := writeStopping(t, "stop_when: decided, smallest_difference: 8 points")
	s := serve(t, "--answers", filepath.Join(w.dir, "answers.jsonl"), "--latency", "base=8ms,jitter=0.8")
	plan, out, calm := w.servedBy(t, s), filepath.Join(w.dir, "out"), filepath.Join(w.dir, "calm")
	known := map[string]int{}
	for range kills(t) / 2 {
		c := start(t, "run", plan, "--progress", "none", "-q")
		asleep(time.Duration(20+random.IntN(150)) * time.Millisecond)
		c.cmd.Process.Kill()
		if c.wait(t) != -1 {
			break // it was done before
		}
		checkResent(t, s, known)
		known = onRecord(t, s, out)
	}
	for _, dir := range []string{out, calm} {
		if c := start(t, "run", plan, "-q", "--out", dir); c.wait(t) != exitOK {
			t.Fatalf("the last start: %s", &c.errs)
		}
		if dir == out {
			checkResent(t, s, known)
		}
		checkVerdicts(t, readStopped(t, dir), map[string]string{"same": "difference too small", "worse": "worse"})
		succeeds(t, "verify", dir)
	}

	sent := s.totals(t).Received
	if c := start(t, "run", plan, "-q"); c.wait(t) != exitOK || s.totals(t).Received != sent {
		t.Errorf("a run that was decided sent %d requests more: %s", s.totals(t).Received-sent, &c.errs)
	}
	var said []string
	for _, dir := range []string{out, calm} {
		if c := start(t, "run", plan, "-q", "--all-rows", "--out", dir); c.wait(t) != exitOK {
			t.Fatalf("--all-rows: %s", &c.errs)
		}
		said = append(said, comparedScores(t, dir))
	}
	if said[0] != said[1] {
		t.Errorf("after kills the comparison of all rows is\n%s\nundisturbed\n%s", said[0], said[1])
	}
}

// onRecord counts the requests that the server received for rows that are on record.
func onRecord(t *testing.T, s *server, out string) map[string]int {
	t.Helper()
	known := map[string]int{}
	if _, err := os.Stat(filepath.Join(out, "run.json")); err != nil {
		return known // killed before the run existed
	}
	received := s.received(t)
	for r, err := range view.Rows[nightshift.Record](out, view.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		key := simtest.Key(r.Model, "", fmt.Sprintf("What is %d plus %d?", r.Row, 1000+r.Row))
		if received[key] == 0 {
			t.Errorf("row %d of %s is on record, and the server knows nothing of it", r.Row, r.Model)
		}
		known[key] = received[key]
	}
	return known
}

// comparedScores are the scores and differences of a run's comparison, without what costs and
// takes time.
func comparedScores(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "comparison.json"))
	var c struct {
		Scorers []map[string]any `json:"scorers"`
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil || len(c.Scorers) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	for _, m := range c.Scorers[0]["models"].([]any) {
		for _, name := range []string{"usd_per_correct", "usd_per_correct_se", "seconds_per_correct", "frontier"} {
			delete(m.(map[string]any), name)
		}
	}
	b, err := json.MarshalIndent(c.Scorers, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
