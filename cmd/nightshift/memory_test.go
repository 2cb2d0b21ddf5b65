package main

import (
	"runtime/debug"
	"testing"

	"nightshift/runner/plan"
)

// What the user says by GOGC is how the collector works.
func TestGOGCIsRespected(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	for _, tc := range []struct {
		gogc string
		want int
	}{{"250", 100}, {"", gcPercent}} {
		debug.SetGCPercent(100)
		a := &app{lookupEnv: func(name string) (string, bool) { return tc.gogc, name == "GOGC" }}
		a.steadyHeap(&plan.Resolved{})()
		if got := debug.SetGCPercent(100); got != tc.want {
			t.Errorf("with GOGC=%q the collector works at %d %%, want %d", tc.gogc, got, tc.want)
		}
	}
}
