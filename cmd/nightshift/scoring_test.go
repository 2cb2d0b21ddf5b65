package main

import (
	"path/filepath"
	"strings"
	"testing"
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
