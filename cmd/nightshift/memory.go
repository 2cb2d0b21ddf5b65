package main

import (
	"runtime"
	"runtime/debug"

	"nightshift/runner/plan"
	"nightshift/runner/session"
)

// A run allocates much and keeps little, a few megabytes while its rows are
// under way: left to itself the collector would run at every few megabytes
// more, for a fifth of the whole processor time. A block that is never touched
// takes no memory and counts as live, so that the collector waits for some
// thirty megabytes of garbage; twice as much saves hardly more. Requests in flight are live themselves and take
// its place; the lower percentage keeps the heap smaller than usual where
// there are thousands of them.
const (
	blockSize   = 40 << 20
	requestSize = 40 << 10 // of one in flight: heap and stacks
	gcPercent   = 40
)

// steadyHeap holds the block until end is called. Where the user has said how
// the collector works, by GOGC, it stays at that.
func (a *app) steadyHeap(p *plan.Resolved) (end func()) {
	if a.getenv("GOGC") != "" {
		return func() {}
	}
	block := make([]byte, max(0, blockSize-session.InFlight(p)*requestSize))
	debug.SetGCPercent(gcPercent)
	return func() { runtime.KeepAlive(block) }
}
