package scorers

import (
	"regexp"
	"sync"
)

// lazyRegexp returns the regular expression of a source, compiled when it is
// first asked for: compiling all of them would be a tenth of the time that the
// program takes to start.
func lazyRegexp(source string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(source) })
}
