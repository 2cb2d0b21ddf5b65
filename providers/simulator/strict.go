package simulator

import "strings"

// strict refuses what particular vendor models refuse, by the prefix of their
// names.
func strict(a *ask) *requestError { return nil }

func prefixed(name string, prefixes ...string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
