package main

import (
	"runtime"
	"runtime/debug"

	"nightshift/runner/plan"
)

// A run allocates much and keeps little, a few megabytes while its rows are
// under way: left to itself the collector would run at every few megabytes
// more, for a fifth of the whole processor time. The reserveFile is never touched,
// so it takes no memory; it counts as live, so that the collector waits for
// some forty megabytes of garbage. Requests in flight are live themselves and
// take its place; the lower percentage keeps the heap smaller than usual where
// there are thousands of them.
const (
	ballastSize = 100 << 20
	requestSize = 40 << 10 // of one in flight: heap and stacks
	gcPercent   = 40
)

// ballastOf is the size of the reserveFile beside the requests that can be in
// flight.
func ballastOf(p *plan.Resolved) int {
	inFlight := 0
	for _, m := range p.Models {
		inFlight += m.Endpoint.Limits.Concurrency
	}
	return max(0, ballastSize-inFlight*requestSize)
}

// crowded reports whether requests in flight take so much memory that little
// else should.
func crowded(p *plan.Resolved) bool { return ballastOf(p) == 0 }

// steadyHeap holds the reserveFile until end is called.
func steadyHeap(p *plan.Resolved) (end func()) {
	ballast := make([]byte, ballastOf(p))
	debug.SetGCPercent(gcPercent)
	return func() { runtime.KeepAlive(ballast) }
}
