//go:build unix

package fsx

import (
	"os"
	"runtime"
	"syscall"
	"time"
)

// ProcessorTime returns what this process has used so far, user and system
// together.
func ProcessorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for no caller of this kind
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// MostMemory returns the most resident memory in bytes that an ended process
// had; 0 is unknown.
func MostMemory(p *os.ProcessState) int64 {
	u, ok := p.SysUsage().(*syscall.Rusage)
	switch {
	case !ok:
		return 0
	case runtime.GOOS == "darwin": // says bytes, the others KiB
		return int64(u.Maxrss)
	}
	return int64(u.Maxrss) << 10
}
