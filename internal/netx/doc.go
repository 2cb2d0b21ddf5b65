// Package netx has the errors of sockets: on Windows they are not those of
// package syscall that have the usual names.
package netx
