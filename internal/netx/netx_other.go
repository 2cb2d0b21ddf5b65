//go:build !windows

package netx

import "syscall"

// What a system says of a connection that was refused or reset.
const (
	ErrRefused = syscall.ECONNREFUSED
	ErrReset   = syscall.ECONNRESET
)
