package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

func read(name string) int64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// The percentage follows what is live: with little it is high, with much low, so
// that about as much garbage is let grow.
func TestKeep(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	end := Keep(16<<20, 40)
	for _, size := range []int{1 << 20, 64 << 20, 4 << 20} {
		block := make([]byte, size)
		garbage := int64(0)
		for range 1000 { // the percentage is set behind a collection, by another goroutine
			runtime.GC()
			runtime.Gosched()
			alive := live()
			garbage = alive*read("/gc/gogc:percent")/100 - alive*40/100
			if garbage > 12<<20 && garbage < 20<<20 {
				break
			}
		}
		// It is not set again where it would change by less than a tenth.
		if garbage <= 12<<20 || garbage >= 20<<20 {
			t.Errorf("with %d MiB alive %d MiB of garbage are let grow, want about 16", size>>20, garbage>>20)
		}
		runtime.KeepAlive(block)
	}
	end()
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("afterwards the percentage is %d, want that of before", got)
	}
}

// The first collection, or a Keep before it, ends what the start has set.
func TestStart(t *testing.T) {
	endStart() // that of this process
	before := debug.SetGCPercent(123)
	defer debug.SetGCPercent(before)
	for name, end := range map[string]func(){
		"collection": runtime.GC,
		"keep":       func() { Keep(1<<20, 50)() },
	} {
		spareStart()
		percent := startPercent
		for i := 0; i < 1000 && percent != 123; i++ { // the percentage is set behind a collection, by another goroutine
			end()
			percent = debug.SetGCPercent(-1)
			debug.SetGCPercent(percent)
		}
		if percent != 123 {
			t.Errorf("after a %s: %d %%, want 123", name, percent)
		}
	}
}
