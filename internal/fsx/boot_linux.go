package fsx

import (
	"time"

	"golang.org/x/sys/unix"
)

// SinceBoot is the time since the machine was started, time asleep included,
// which the clock of package time leaves out.
func SinceBoot() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return awake()
	}
	return time.Duration(t.Nano())
}
