//go:build !nightshift_crash

package store

// crashPoint names a place where tests end the process. It does nothing in a
// normal build.
func crashPoint(string) {}
