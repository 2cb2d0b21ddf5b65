package wire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"

	"nightshift"
	"nightshift/internal/netx"
	"nightshift/providers"
)

// noAnswer says why no answer began: everything between the dispatch and the
// last byte of the headers.
func (a *attempt) noAnswer(err error) *nightshift.Error {
	e := a.ended()
	if e == nil {
		e = a.transportError(err)
	}
	if e.Class == nightshift.ClassTimeoutConnect {
		e.MaybeBilled = false
	}
	e.Err = err
	return e
}

// ended is the error of an attempt that was ended from this side: a timeout,
// or the caller's context. nil when it was not.
func (a *attempt) ended() *nightshift.Error {
	cause := a.watch.ended()
	var late *timeout
	switch {
	case cause == nil:
		return nil
	case errors.As(cause, &late):
		return &nightshift.Error{Class: late.class, Message: late.Error(), MaybeBilled: a.sending.whole.Load()}
	}
	return &nightshift.Error{Class: nightshift.ClassCancelled, Message: "cancelled: " + cause.Error(),
		MaybeBilled: a.sending.whole.Load()}
}

// transportError classifies what the transport says.
func (a *attempt) transportError(err error) *nightshift.Error {
	if e := tlsError(err); e != nil {
		return e
	}
	e := &nightshift.Error{Class: nightshift.ClassConnection, Message: err.Error(), MaybeBilled: a.sending.whole.Load()}
	text := err.Error()
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &op) && (op.Op == "proxyconnect" || op.Op == "socks connect"):
		e.MaybeBilled = false
		e.Hint = dialHint(op)
	case errors.As(err, &dns):
		e.MaybeBilled = false
		e.Hint = "the host's name cannot be resolved: check base_url and the network"
	case strings.Contains(text, "Proxy Authentication Required"):
		e.Class, e.MaybeBilled = nightshift.ClassAuth, false
		e.Hint = "the proxy from HTTPS_PROXY wants a user name and password"
	case a.tlsFailed.Load(): // the handshake was cut
		e.MaybeBilled = false
	case errors.As(err, &op) && op.Op == "dial":
		e.MaybeBilled = false
		e.Hint = dialHint(op)
	case errors.As(err, &op) && op.Op == "write":
		e.MaybeBilled = false // not all of the request left
	case unsent(err), refusedStream(text):
		e.MaybeBilled = false
	case a.wire.withoutTLS() && strings.Contains(text, `malformed HTTP response "\x15\x03`): // an alert of TLS
		e.Class, e.MaybeBilled = nightshift.ClassTLS, false
		e.Message = "the server speaks TLS there and was asked in plain HTTP"
		e.Hint = "base_url has to begin with https:// there"
	case malformed(text):
		e.Class, e.MaybeBilled = nightshift.ClassBadResponse, false
		e.Message = "not an HTTP answer: " + text
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Message = "the server closed the connection without an answer"
	}
	if closed := errors.Is(err, io.EOF) ||
		errors.Is(err, netx.ErrReset); closed && a.wire.withoutTLS() && !a.wire.heard.Load() {
		e.Code, e.Hint = providers.CodeNoHTTP,
			"check the port; if the server speaks TLS there, base_url has to begin with https://"
	}
	return e
}

// withoutTLS reports whether requests go out without TLS.
func (w *Wire) withoutTLS() bool {
	return strings.HasPrefix(strings.ToLower(w.endpoint.BaseURL), "http://")
}

func dialHint(op *net.OpError) string {
	switch {
	case op.Op != "dial":
		return "the proxy cannot be reached: check HTTPS_PROXY (or HTTP_PROXY, ALL_PROXY), or except the " +
			"endpoint's host in NO_PROXY"
	case errors.Is(op, netx.ErrRefused):
		return "nothing listens there: check base_url, and that the server runs"
	}
	return ""
}

// refusedStream reports whether an HTTP/2 server said that it did not process
// the request: REFUSED_STREAM, or a GOAWAY that names an earlier one as last.
func refusedStream(text string) bool {
	return strings.Contains(text, "REFUSED_STREAM") ||
		strings.Contains(text, "cannot retry err") ||
		strings.Contains(text, "graceful shutdown GOAWAY")
}

// malformed reports whether what came was no HTTP, or more headers than are
// read.
func malformed(text string) bool {
	for _, part := range []string{
		"malformed HTTP", "malformed MIME header", "server response headers exceeded", "response header list larger",
		"too many 1xx",
		"invalid Content-Length", "bad Content-Length", "unsupported transfer encoding", "too many transfer encodings",
		"multiple Content-Length", "conflicting Content-Length", "invalid header", "malformed response",
		"frame_size_error", "FRAME_SIZE_ERROR", "unexpected ALPN protocol",
	} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// tlsError recognizes a certificate or a handshake that was not accepted. No
// way around it is offered.
func tlsError(err error) *nightshift.Error {
	var (
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		alert   tls.AlertError
	)
	e := &nightshift.Error{Class: nightshift.ClassTLS, Message: err.Error()}
	switch {
	case errors.As(err, &host):
		e.Hint = "the certificate is for another host: check base_url"
	case errors.As(err, &unknown):
		e.Hint = "the certificate's issuer is not known here: install it in the system, or set SSL_CERT_FILE"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.Hint = "the certificate has expired, or this machine's clock is wrong"
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.Hint = "the server does not speak TLS there: check the port, or whether base_url should begin with http://"
	case errors.As(err, &verify), errors.As(err, &invalid), errors.As(err, &alert),
		strings.Contains(err.Error(), "remote error: tls:"):
	default:
		return nil
	}
	return e
}
