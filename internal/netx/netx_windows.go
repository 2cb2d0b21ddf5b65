package netx

import "syscall"

// What a system says of a connection that was refused or reset.
const (
	ErrRefused = syscall.Errno(10061) // WSAECONNREFUSED
	ErrReset   = syscall.Errno(10054) // WSAECONNRESET
)
