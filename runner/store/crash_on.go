//go:build nightshift_crash

package store

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// crashAt and crashCount come from NIGHTSHIFT_CRASH_AT, "name" or "name:n":
// the process ends without a word when it passes the point name for the n-th
// time.
var (
	crashAt    string
	crashCount atomic.Int64
)

func init() {
	name, n, _ := strings.Cut(os.Getenv("NIGHTSHIFT_CRASH_AT"), ":")
	crashAt = name
	count, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		count = 1
	}
	crashCount.Store(count)
}

func crashPoint(name string) {
	if name != crashAt || crashCount.Add(-1) != 0 {
		return
	}
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		p.Kill()
	}
	select {} // the signal is on its way
}
