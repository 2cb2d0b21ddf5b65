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

// steadyHeap bounds the garbage of a run until end is called.
func (a *app) steadyHeap(p *plan.Resolved) (end func()) {
	return a.keepHeap(max(0, int64(garbageSize-session.InFlight(p)*requestSize)), gcPercent)
}

// readPercent is the garbage of commands that read large runs. What is live then are
// hundreds of megabytes in few pieces: to look at them more often than usual costs
// little, and to wait until the garbage comes to as much doubles the memory.
const readPercent = 50

// readingHeap bounds the garbage of such a command until end is called.
func (a *app) readingHeap() (end func()) { return a.keepHeap(0, readPercent) }

// keepHeap is heap.Keep, unless the user has said how the collector works, by GOGC.
func (a *app) keepHeap(garbage int64, percent int) (end func()) {
	if a.getenv("GOGC") != "" {
		return func() {}
	}
	return heap.Keep(garbage, percent)
}
