package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestReportedCases runs the program on situations that people have met with
// other tools: each folder has a server, an input, what is right, and a script
// that compares. It needs the folder beside the checkout, and Python.
func TestReportedCases(t *testing.T) {
	scripts, err := filepath.Glob(filepath.Join(repository(t), "..", "shared", "cases-2", "*", "run.py"))
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) == 0 {
		t.Skip("skipped: no ../shared/cases-2 beside the checkout")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("skipped: no python3 on this machine")
	}
	binary := mustBinary(t)
	for _, script := range scripts {
		t.Run(filepath.Base(filepath.Dir(script)), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(python, script, binary)
			cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), "PYTHONDONTWRITEBYTECODE=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
