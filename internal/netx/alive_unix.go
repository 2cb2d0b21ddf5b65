//go:build unix

package netx

import (
	"net"
	"syscall"
)

// CanTell reports whether [Watch] can tell a closed connection on this system.
const CanTell = true

// Watch returns a function that reports whether a connection that is idle is still
// open and silent: the other side has neither closed it nor sent anything. It
// does not block, says false of connections that have no descriptor, and is for
// one goroutine at a time.
func Watch(c net.Conn) (alive func() bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return func() bool { return false }
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return func() bool { return false }
	}
	var b [1]byte
	silent := false
	look := func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	}
	return func() bool { return raw.Read(look) == nil && silent }
}
