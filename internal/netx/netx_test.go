package netx_test

import (
	"errors"
	"net"
	"testing"

	"nightshift/internal/netx"
)

func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // nobody listens there any more
	if _, err := net.Dial("tcp", l.Addr().String()); !errors.Is(err, netx.ErrRefused) {
		t.Errorf("Dial = %v, want a refusal", err)
	}
}
