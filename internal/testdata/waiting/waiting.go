// Package waiting is for tests that wait more than they compute.
package waiting

import (
	"flag"
	"runtime"
	"strconv"
)

// AtOnce lets three times as many parallel tests run at once as there are
// processors, unless -parallel says how many. TestMain calls it.
func AtOnce() {
	flag.Parse()
	if n := flag.Lookup("test.parallel"); n.Value.String() == n.DefValue {
		_ = n.Value.Set(strconv.Itoa(3 * runtime.GOMAXPROCS(0)))
	}
}
