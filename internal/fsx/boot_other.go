//go:build !linux

package fsx

import "time"

// SinceBoot is the time since the process was started, time asleep included,
// which the clock of package time leaves out.
func SinceBoot() time.Duration { return awake() }
