package main

import (
	"runtime"
	"runtime/debug"

	"nightshift/runner/plan"
	"nightshift/runner/session"
)

// A run allocates much and keeps little, a few megabytes while its rows are
// under way: left to itself the collector would run at every few megabytes
// more, for a fifth of the whole processor time. The ballast is never touched,
// so it takes no memory; it counts as live, so that the collector waits for
// some forty megabytes of garbage. Requests in flight are live themselves and
// take its place; the lower percentage keeps the heap smaller than usual where
// there are thousands of them.
const (
	ballastSize = 100 << 20
	requestSize = 40 << 10 // of one in flight: heap and stacks
	gcPercent   = 40
)

// steadyHeap holds the ballast until end is called.
func steadyHeap(p *plan.Resolved) (end func()) {
	ballast := make([]byte, max(0, ballastSize-session.InFlight(p)*requestSize))
	debug.SetGCPercent(gcPercent)
	return func() { runtime.KeepAlive(ballast) }
}
