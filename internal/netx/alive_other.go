//go:build !unix

package netx

import "net"

// CanTell reports whether [Watch] can tell a closed connection on this system.
const CanTell = false

// Watch cannot tell on this system.
func Watch(net.Conn) (alive func() bool) { return func() bool { return false } }
