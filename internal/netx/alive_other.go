//go:build !unix

package netx

import "net"

// CanTell reports whether [Alive] can tell a closed connection on this system.
const CanTell = false

// Alive cannot tell on this system.
func Alive(net.Conn) bool { return false }
