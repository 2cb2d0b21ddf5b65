package main

import (
	"runtime/debug"
	"testing"

	"nightshift/runner/plan"
)

// What the user says by GOGC is how the collector works.
func TestGOGCIsRespected(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	for _, gogc := range []string{"250", ""} {
		a := &app{lookupEnv: func(name string) (string, bool) { return gogc, name == "GOGC" }}
		for name, bound := range map[string]func() (end func()){
			"a run": func() func() { return a.steadyHeap(&plan.Resolved{}) }, "a report": a.readingHeap,
		} {
			debug.SetGCPercent(100)
			end := bound()
			if got := debug.SetGCPercent(100); (got == 100) != (gogc != "") {
				t.Errorf("%s: with GOGC=%q the collector works at %d %%", name, gogc, got)
			}
			end()
			if got := debug.SetGCPercent(100); got != 100 {
				t.Errorf("%s: with GOGC=%q the collector works at %d %% at the end, want 100", name, gogc, got)
			}
		}
	}
}
