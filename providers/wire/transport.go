package wire

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"nightshift/providers/wire/plainhttp"
)

// maxHeader caps the bytes of an answer's headers. Go's own limit is 10 MB.
const maxHeader = 64 << 10

// Buffers of a connection. They are most of what a request in flight holds in
// memory, and the garbage collector lets live memory double. Answers whose
// length is known are read past them.
const (
	writeBuffer = 6 << 10
	readBuffer  = 2 << 10
	headerRoom  = 2 << 10 // what headers are expected to take of a write buffer
)

// idleTimeout is below what servers allow: a connection that they close first
// costs a request.
const idleTimeout = 30 * time.Second

// NewTransport makes the hardened transport: TLS 1.2 or later and always
// verified, HTTP/2 where it is offered, headers capped at 64 KiB, no automatic
// decompression, a proxy from the environment. It keeps as many idle
// connections as there can be requests in flight (0 means 1,024), since Go's
// own two would make a new one for nearly every request.
func NewTransport(concurrency int) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            newDialer().DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		MaxIdleConnsPerHost:    idleConns(concurrency),
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		WriteBufferSize:        writeBuffer,
		ReadBufferSize:         readBuffer,
	}
}

// newPlain makes the transport of short requests without TLS.
func newPlain(concurrency int) *plainhttp.Transport {
	return &plainhttp.Transport{
		Dial: newDialer().DialContext, MaxIdle: idleConns(concurrency), IdleTimeout: idleTimeout,
		MaxHeader: maxHeader, ReadBuffer: readBuffer,
	}
}

func newDialer() *net.Dialer { return &net.Dialer{KeepAlive: 30 * time.Second} }

func idleConns(concurrency int) int {
	if concurrency <= 0 {
		return 1024
	}
	return concurrency
}
