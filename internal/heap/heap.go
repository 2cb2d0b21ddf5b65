// Package heap says how far the heap grows before it is collected.
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// startPercent lets the heap grow to 16 MB before its first collection.
const startPercent = 400

// What packages leave behind when they are initialised is a few megabytes of
// garbage. To collect it would take a tenth of the time of the shortest commands.
func init() {
	if os.Getenv("GOGC") == "" {
		spareStart()
	}
}

// endStart ends what spareStart has begun.
var endStart = func() {}

// spareStart puts off the first collection. After it, or when Keep is called, the
// percentage is as before.
func spareStart() {
	before := debug.SetGCPercent(startPercent)
	endStart = sync.OnceFunc(func() { debug.SetGCPercent(before) })
	end := endStart
	runtime.SetFinalizer(new(marker), func(*marker) { end() })
}

// Keep lets garbage grow to so many bytes, and to that percentage of what is
// live beyond them, until end is called. The runtime knows a percentage alone,
// with which a small heap is collected every few megabytes: a percentage that
// comes to the same is set after each collection.
func Keep(garbage int64, percent int) (end func()) {
	endStart()
	k := &keeper{garbage: garbage, percent: int64(percent)}
	before := debug.SetGCPercent(percent)
	k.set()
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.ended = true
		debug.SetGCPercent(before)
	}
}

type keeper struct {
	garbage, percent int64

	mu    sync.Mutex
	now   int64 // the percentage that is set
	ended bool
}

// set takes the percentage that suits what the last collection has found alive,
// and comes back after the next one.
func (k *keeper) set() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended {
		return
	}
	if want := k.garbage*100/max(live(), 1<<20) + k.percent; want*10 > k.now*11 || want*11 < k.now*10 {
		k.now = want
		debug.SetGCPercent(int(want)) // stops the world for a moment
	}
	collected := new(marker)
	runtime.SetFinalizer(collected, func(*marker) { k.set() })
}

// A marker is garbage from the beginning: it is found by the next collection.
type marker struct{ _ [16]byte }

// live is what the last collection has found alive, in bytes.
func live() int64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
