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
		debug.SetGCPercent(100)
		a := &app{lookupEnv: func(name string) (string, bool) { return gogc, name == "GOGC" }}
		end := a.steadyHeap(&plan.Resolved{})
		if got := debug.SetGCPercent(100); (got == 100) != (gogc != "") {
			t.Errorf("with GOGC=%q the collector works at %d %%", gogc, got)
		}
		end()
		if got := debug.SetGCPercent(100); got != 100 {
			t.Errorf("with GOGC=%q the collector works at %d %% when the run has ended, want 100", gogc, got)
		}
	}
}
