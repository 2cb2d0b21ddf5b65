package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// batchPlanFile writes a plan of one model in batches at a server, with a judge.
func batchPlanFile(t *testing.T, url, more string) (plan string) {
	t.Helper()
	dir := t.TempDir()
	var rows strings.Builder
	for i := range 30 {
		fmt.Fprintf(&rows, "{\"prompt\":\"What is %d + 1?\"}\n", i)
	}
	text := fmt.Sprintf(`dataset: {path: data.jsonl}
models:
  - {name: mini, endpoint: e, model: sim-large, mode: batch, params: {max_tokens: 200}, price: &price
      {input: 1, output: 2, services: {batch: 0.5}}}
batch: {max_requests: 10, poll: 50ms..100ms, min_requests: 5}
endpoints: {e: {protocol: chat, base_url: "%s/v1", auth: none}}
budget: {usd: 1}
out: out
%s`, url, more)
	for name, text := range map[string]string{"data.jsonl": rows.String(), "plan.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "plan.yaml")
}

// batchJudge is a judge whose requests go in batches.
const batchJudge = `judges: {mode: batch}
scorers:
  - {type: judge_grade, name: grade, endpoint: e, model: sim-large, params: {max_tokens: 50},
     price: {input: 1, output: 2, services: {batch: 0.5}},
     template: "Is {answer} right? Reply with GRADE: C or GRADE: I."}
`

// ends runs a command and checks its exit code.
func ends(t *testing.T, code int, args ...string) (out, errs string) {
	t.Helper()
	c := start(t, args...)
	if got := c.wait(t); got != code {
		t.Fatalf("nightshift %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, c.out.String(),
			c.errs.String())
	}
	return c.out.String(), c.errs.String()
}

// A run is submitted by one process and collected by another, its judge's
// requests too.
func TestDetach(t *testing.T) {
	t.Parallel()
	s := serve(t, "--batches", "scale=8640,validate=1m,run=2h,window=24h")
	plan := batchPlanFile(t, s.url, batchJudge)
	run := filepath.Join(filepath.Dir(plan), "out")
	_, errs := ends(t, exitSubmitted, "run", plan, "--detach", "-q")
	if !strings.Contains(errs, "batches are submitted") {
		t.Errorf("it says %s", errs)
	}
	if out, _ := ends(t, exitOK, "status", run); !strings.Contains(out, "3 in progress") ||
		!strings.Contains(out, "at most $0.0") {
		t.Errorf("status: %s", out)
	}
	if out, _ := ends(t, exitOK, "status", run, "--ask"); strings.Count(out, "  asked      mini: batch ") != 3 ||
		!strings.Contains(out, "of 10 rows done") {
		t.Errorf("status --ask: %s", out)
	}
	time.Sleep(1200 * time.Millisecond) // two hours there
	_, errs = ends(t, exitSubmitted, "run", plan, "--detach")
	if !strings.Contains(errs, "judge grade: ") || !strings.Contains(errs, "answers=10") {
		t.Errorf("the second start collects the rows and submits the judge's: %s", errs)
	}
	out, _ := ends(t, exitOK, "run", plan, "-q")
	for _, want := range []string{"finished", "by batch", "judge grade"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	l := s.totals(t)
	if l.Received != 0 {
		t.Errorf("%d requests were sent live", l.Received)
	}
	ends(t, exitOK, "verify", run)
}

// Batches are called back by the run directory alone; their rows can then go
// live, and nothing is paid for twice.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := serve(t, "--batches", "scale=864,validate=1m,run=23h,cancel=5m,window=24h")
	plan := batchPlanFile(t, s.url, "")
	run := filepath.Join(filepath.Dir(plan), "out")
	ends(t, exitSubmitted, "run", plan, "--detach", "-q")
	if _, errs := ends(t, exitUsage, "cancel", run, "--model", "mimi"); !strings.Contains(errs, "did you mean mini?") {
		t.Errorf("an unknown model: %s", errs)
	}
	out, _ := ends(t, exitOK, "cancel", run, "--no-wait")
	if !strings.Contains(out, "30 rows are still at the provider") && !strings.Contains(out, "called back") {
		t.Errorf("--no-wait says %s", out)
	}
	ends(t, exitOK, "cancel", run)
	if out, _ := ends(t, exitOK, "cancel", run); !strings.Contains(out, "no batches are at a provider") {
		t.Errorf("cancelled again: %s", out)
	}
	if out, _ := ends(t, exitOK, "status", run); strings.Contains(out, "in progress") ||
		strings.Contains(out, "reserved") {
		t.Errorf("status: %s", out)
	}
	if out, _ := ends(t, exitOK, "run", plan, "--batch=false", "-q"); !strings.Contains(out, "finished") {
		t.Errorf("live: %s", out)
	}
	ends(t, exitOK, "verify", run)
}

// What a judge was asked in batches is called back with the run's own; the next
// start asks it anew.
func TestCancelJudge(t *testing.T) {
	t.Parallel()
	s := serve(t, "--batches", "scale=864,validate=1m,run=23h,cancel=5m,window=24h")
	plan := batchPlanFile(t, s.url, batchJudge)
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	live := strings.Replace(string(text), "mode: batch", "mode: live", 1)
	if err := os.WriteFile(plan, []byte(live), 0o600); err != nil {
		t.Fatal(err)
	}
	run := filepath.Join(filepath.Dir(plan), "out")
	ends(t, exitSubmitted, "run", plan, "--detach", "-q")
	ends(t, exitOK, "cancel", run, "--model", "mini") // the judge is none of the run's models
	if out, _ := ends(t, exitOK, "cancel", run); !strings.Contains(out, "called back 30 rows") {
		t.Errorf("cancel says %s", out)
	}
	if out, _ := ends(t, exitOK, "cancel", run); !strings.Contains(out, "no batches are at a provider") {
		t.Errorf("cancelled again: %s", out)
	}
	out, _ := ends(t, exitOK, "run", plan, "--batch=false", "-q")
	if !strings.Contains(out, "finished") || strings.Contains(out, "not run") {
		t.Errorf("live: %s", out)
	}
	ends(t, exitOK, "verify", run)
}
