package wire_test

import (
	"context"
	"crypto/tls"
	"net"
	"os"
	"testing"

	"nightshift/internal/testdata/waiting"
	"nightshift/providers"
	"nightshift/providers/internal/testdata/providertest"
	"nightshift/providers/secrets"
	"nightshift/providers/wire"
)

// newWire makes the wire under test as the suites want it.
func newWire(tb testing.TB, s providertest.Setup) providers.Wire {
	tb.Helper()
	transport := wire.NewTransport(4)
	if s.Roots != nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.Roots}
	}
	if s.Dial != nil {
		transport.DialContext = func(_ context.Context, network, addr string) (net.Conn, error) {
			return s.Dial(network, addr)
		}
	}
	tb.Cleanup(transport.CloseIdleConnections)
	w, err := wire.New(
		wire.Config{Endpoint: s.Endpoint, Key: secrets.New(s.Key), Transport: transport, MaxBody: s.MaxBody,
			MaxLine: s.MaxLine})
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func TestMain(m *testing.M) {
	waiting.AtOnce()
	os.Exit(m.Run())
}

func TestFaults(t *testing.T) { providertest.RunFaults(t, newWire) }
