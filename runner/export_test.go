package runner

import "time"

// CrashAt makes the batches' crash points known to a test.
func CrashAt(f func(name string)) { crashPoint = f }

// Hasten makes waits that no plan sets so many times shorter.
func Hasten(times time.Duration) { speedup = times }
