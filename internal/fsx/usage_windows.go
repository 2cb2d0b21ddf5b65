package fsx

import (
	"os"
	"time"

	"golang.org/x/sys/windows"
)

// ProcessorTime returns what this process has used so far, user and system
// together.
func ProcessorTime() time.Duration {
	var created, ended, system, user windows.Filetime
	if windows.GetProcessTimes(windows.CurrentProcess(), &created, &ended, &system, &user) != nil {
		return 0
	}
	return ticks(system) + ticks(user)
}

// ticks turns a length of time, not a date, into a duration.
func ticks(t windows.Filetime) time.Duration {
	return time.Duration(int64(t.HighDateTime)<<32|int64(t.LowDateTime)) * 100
}

// MostMemory is unknown here, which is 0.
func MostMemory(*os.ProcessState) int64 { return 0 }
