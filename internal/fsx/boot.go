package fsx

import "time"

var started = time.Now()

// awake is the time since the process was started: on the wall clock, which goes
// on while the machine sleeps, and not less than on the monotonic one, so that
// setting the clock back gives no time.
func awake() time.Duration {
	wall := time.Now().Round(0).Sub(started.Round(0))
	return max(wall, time.Since(started))
}
