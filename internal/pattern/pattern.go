// Package pattern has regular expressions that are compiled when they are first
// used.
package pattern

import (
	"regexp"
	"sync"
)

// Late returns the regular expression of a source, compiled when it is first
// asked for: compiling all of them would be a tenth of the time that the program
// takes to start. It panics then if the source is wrong.
func Late(source string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(source) })
}
