package main

import (
	"nightshift/internal/heap"
	"nightshift/runner/plan"
	"nightshift/runner/session"
)

// A run allocates much and keeps little, a few megabytes while its rows are
// under way: left to itself the collector would run at every few megabytes
// more, for a fifth of the whole processor time. With some sixteen megabytes of
// garbage it costs little. Requests in flight are live themselves and take
// its place; the lower percentage keeps the heap smaller than usual where
// there are thousands of them.
const (
	garbageSize = 16 << 20
	requestSize = 16 << 10 // of one in flight
	gcPercent   = 40
)

// steadyHeap bounds the garbage of a run until end is called. Where the user
// has said how the collector works, by GOGC, it stays at that.
func (a *app) steadyHeap(p *plan.Resolved) (end func()) {
	if a.getenv("GOGC") != "" {
		return func() {}
	}
	return heap.Keep(max(0, int64(garbageSize-session.InFlight(p)*requestSize)), gcPercent)
}
