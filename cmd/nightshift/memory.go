package main

import "runtime/debug"

// A run allocates much and keeps little, a few megabytes while its rows are
// under way: left to itself the collector would run at every few megabytes
// more, for a fifth of the whole processor time. The ballast is never touched,
// so it takes no memory; it counts as live, so that the collector waits for
// some fifty megabytes of garbage. The lower percentage keeps the heap smaller
// than usual where much really is live, with thousands of requests in flight.
const (
	ballastSize = 100 << 20
	gcPercent   = 50
)

var ballast []byte

func steadyHeap() {
	ballast = make([]byte, ballastSize)
	debug.SetGCPercent(gcPercent)
}
