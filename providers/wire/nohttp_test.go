package wire_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nightshift"
	"nightshift/providers"
)

// Plain HTTP to a port that speaks TLS is a mistake of the plan, in whatever
// way the server says so.
func TestPlainHTTPToTLS(t *testing.T) {
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	for _, tc := range []struct {
		name, url string
		class     nightshift.ErrorClass
		code      string
	}{
		{"in words", strings.Replace(tls.URL, "https:", "http:", 1), nightshift.ClassTLS, ""},
		{"with an alert", speaking(t, "\x15\x03\x01\x00\x02\x02\x46"), nightshift.ClassTLS, ""},
		{"by closing the connection", speaking(t, ""), nightshift.ClassConnection, providers.CodeNoHTTP},
	} {
		x := build(t, endpoint(tc.url), nil).Send(t.Context(), plain)
		if x.Err == nil || x.Err.Class != tc.class || x.Err.Code != tc.code || !strings.Contains(x.Err.Hint, "https://") {
			t.Errorf("%s: %+v, want class %s and a word on https", tc.name, x.Err, tc.class)
		}
	}
}

// speaking listens, reads a little, says the same to everybody, and closes.
func speaking(t *testing.T, words string) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<16))
			_, _ = conn.Write([]byte(words))
			conn.Close()
		}
	}()
	return "http://" + l.Addr().String()
}
