//go:build unix

package netx

import (
	"net"
	"syscall"
)

// CanTell reports whether [Alive] can tell a closed connection on this system.
const CanTell = true

// Alive reports whether an idle connection is still open and silent: the other
// side has neither closed it nor sent anything. It does not block, and says
// false of connections that have no descriptor.
func Alive(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	silent := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
		return true
	})
	return err == nil && silent
}
