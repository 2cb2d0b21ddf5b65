package hub_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nightshift/internal/testdata/mutanttest"
)

// mutants are what the simulation must find: each breaks one rule of the
// protocol.
var mutants = []struct{ name, file, from, to string }{
	{"no lease", "runner/cluster/worker/attempt.go",
		"case w.Clock()-s.answered >= leaseBeats*w.Beat:", "case w.Clock() < 0:"},
	{"a lease from when the answer came", "runner/cluster/worker/session.go",
		"s.answered = max(s.answered, said)", "s.answered = max(said, w.Clock())"},
	{"kept before it is on record", "runner/cluster/hub/account.go",
		"k.result <- verdict{ex: an.ex}", "p.keep([]string{k.id}); k.result <- verdict{ex: an.ex}"},
	{"nothing in the spool's file", "runner/cluster/worker/spool.go",
		"n, err := s.file.WriteAt(line, s.size)", "n, err := len(line), error(nil)"},
	{"no table of attempts", "runner/cluster/worker/attempt.go",
		"if _, flying := w.flying[d.ID]; flying {", "if w.flying[d.ID] != nil && w.Slots < 0 {"},
	{"a worker is given up before its lease ends", "runner/cluster/hub/peer.go",
		"time.AfterFunc(h.Back, func() { h.gone(p) })", "h.Back = 0; go h.gone(p)"},
	{"a worker is given up long before --worker-silence", "runner/cluster/hub/peer.go",
		"left := h.Silence - conn.Silence()", "left := h.Silence/10 - conn.Silence()"},
	{"hubs of earlier starts are obeyed", "runner/cluster/worker/session.go",
		"if welcome.Epoch < w.epoch && welcome.Run == w.run {", "if welcome.Epoch < 0 {"},
	{"late answers are dropped", "runner/cluster/hub/account.go",
		"case k.state == lost:\n\t\tk.state, k.late, k.peer = held, &an, p", "case k.state == lost:\n\t\tk.peer = p"},
	{"late answers to recorded rows are dropped", "runner/cluster/hub/account.go",
		"case k.state == recorded && k.late == nil:", "case k.state == recorded && h.closed:"},
	{"no intent before the task", "runner/store/shard.go",
		"w.u.flying[w.item] = struct{}{}",
		"if w.u.flying[w.item] = struct{}{}; in.Job != \"\" {\n\t\tw.u.mu.Unlock()\n\t\treturn nil\n\t}"},
	{"a new start does not book what is unknown", "runner/store/view/status.go",
		"st.AtMost = st.Spent + all.MaybeCost + st.Unsettled.MaybeCost", "st.AtMost = st.Spent + all.MaybeCost"},
	{"a new start asks nobody", "runner/cluster/hub/account.go",
		"left := h.Back - time.Since(h.started)", "left := time.Duration(0)"},
}

// TestMutants breaks one rule after the other and sees a test fail.
func TestMutants(t *testing.T) {
	if os.Getenv("NIGHTSHIFT_LONG") == "" {
		t.Skip("compiles the packages for each mutant; set NIGHTSHIFT_LONG=1")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			overlay := mutanttest.Overlay(t, filepath.Join(root, m.file), m.from, m.to)
			cmd := exec.Command("go", "test", "-overlay", overlay, "./runner/cluster/hub", "-run",
				"^Test(Simulation|BudgetOfWorkers|Drain|EarlierHub|Accounts|Lease|FrozenWorker|WhatIsSaidOfWorkers)$",
				"-count=1", "-cluster.seeds", "400", "-timeout", "5m")
			cmd.Dir = root
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("the simulation has not noticed")
			}
			if strings.Contains(string(out), "[build failed]") || strings.Contains(string(out), "test timed out") {
				t.Fatalf("it was not tried to the end: %s", out)
			}
			t.Log(firstProblem(string(out)))
		})
	}
}

// firstProblem is the first line that says what went wrong.
func firstProblem(out string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "_test.go:") {
			return strings.TrimSpace(line)
		}
	}
	return strings.TrimSpace(out[:min(len(out), 200)])
}
