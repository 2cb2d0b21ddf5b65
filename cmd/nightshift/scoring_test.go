package main

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nightshift/runner/store/view"
)

// TestScoringExamples runs each plan of examples/scoring as its first lines say, and
// finds in the report what the planted answers are worth.
func TestScoringExamples(t *testing.T) {
	for _, tc := range []struct {
		plan string
		want []string // lines of the report, with single spaces
	}{
		{"checks", []string{"large checks 1.000", "small checks 0.250", "small share 0.375"}},
		{"ifeval", []string{"ifeval, parts large small", "prompt_strict 1.000 0.000", "prompt_loose 1.000 0.250",
			"instruction_strict 1.000 0.375", "instruction_loose 1.000 0.500"}},
		{"math", []string{"large math_equal 1.000", "small math_equal 0.000"}},
		{"calibration", []string{"large brier 0.930", "small brier 0.369", "right 0.667 0.333",
			"ece vs large", "small ~ −38.0"}},
		{"turns", []string{"turn 1 1.000 1.000", "turn 2 1.000 0.000", "small turns 0.500"}},
		{"rubric", []string{"rubric, parts large small", "accuracy 0.", "style 0."}},
	} {
		t.Run(tc.plan, func(t *testing.T) {
			t.Parallel()
			plan := filepath.Join(repository(t), "examples", "scoring", tc.plan+".yaml")
			c := start(t, "run", plan, "-q", "--out", filepath.Join(t.TempDir(), "out"))
			if code := c.wait(t); code != exitOK {
				t.Fatalf("exit code %d\n%s", code, c.errs.String())
			}
			report := spaced(c.out.String())
			for _, want := range tc.want {
				if !strings.Contains(report, want) {
					t.Errorf("the report lacks %q:\n%s", want, c.out.String())
				}
			}
		})
	}
}

// spaced is a text with single spaces.
func spaced(s string) string { return strings.Join(strings.Fields(s), " ") }

// TestCodeExample runs the tests of generated programs. Without bubblewrap answers
// stay unscored and say why; told to do without, the same tests are run.
func TestCodeExample(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: the sandbox is for Linux")
	}
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("skipped: no python3 on this machine")
	}
	plan := filepath.Join(repository(t), "examples", "scoring", "code.yaml")
	out := filepath.Join(t.TempDir(), "out")
	free := "{type: command, name: tests, argv: [python3, run_tests.py, --without-sandbox], memory_mb: 0}"
	c := start(t, "run", plan, "-q", "--allow-commands", "--out", out, "--scorer", free)
	if code := c.wait(t); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, c.errs.String())
	}
	for _, want := range []string{"large tests 1.000", "small tests 0.000"} {
		if !strings.Contains(spaced(c.out.String()), want) {
			t.Errorf("the report lacks %q:\n%s", want, c.out.String())
		}
	}
	if _, err := exec.LookPath("bwrap"); err == nil {
		return // whether it starts here depends on the machine
	}
	c = start(t, "score", out, "--plan", plan, "--allow-commands")
	c.wait(t)
	n := 0
	for s, err := range view.Scores(out, "tests") {
		if err != nil || s.Value != nil || !strings.Contains(view.Value(s.Explanation), "bubblewrap") {
			t.Errorf("without a sandbox: %+v, %v", s, err)
		}
		n++
	}
	if n != 8 {
		t.Errorf("%d scores, want 8", n)
	}
}
