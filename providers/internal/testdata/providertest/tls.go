package providertest

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// certificateKind is what is wrong with a certificate.
type certificateKind int

const (
	valid certificateKind = iota
	expired
	otherHost
)

// authority issues the certificates of the tests; made once.
var authority = sync.OnceValue(func() *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "providertest"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &issuer{cert, key}
})

type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func testRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(authority().cert)
	return pool
}

func (i *issuer) issue(kind certificateKind) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	switch kind {
	case expired:
		template.NotAfter = time.Now().Add(-time.Minute)
	case otherHost:
		template.IPAddresses, template.DNSNames = nil, []string{"other.test"}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, i.cert, &key.PublicKey, i.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func secure(tb testing.TB, kind certificateKind, protocols ...string) net.Listener {
	cert, err := authority().issue(kind)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.NewListener(listen(tb), &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols})
}

// withCertificate is a good server behind a certificate that is not.
func withCertificate(kind certificateKind) func(testing.TB, Case) *Server {
	return func(tb testing.TB, c Case) *Server {
		return serve(tb, secure(tb, kind), "https", talk(c, func(x *Exchange) { x.Good() }))
	}
}

// An h2Stream is one HTTP/2 request, answered frame by frame. Header blocks
// are not read: what was asked does not matter here.
type h2Stream struct {
	Case
	conn net.Conn
	id   uint32
}

// HTTP/2 frame types and error codes.
const (
	frameData      = 0
	frameHeaders   = 1
	frameReset     = 3
	frameSettings  = 4
	framePing      = 6
	frameGoAway    = 7
	flagEnd        = 1
	flagHeadersEnd = 4
	codeInternal   = 2
	codeRefused    = 7
)

func (s *h2Stream) frame(kind, flags byte, id uint32, payload []byte) {
	writeFrame(s.conn, kind, flags, id, payload)
}

func writeFrame(w io.Writer, kind, flags byte, id uint32, payload []byte) {
	head := make([]byte, 9, 9+len(payload))
	binary.BigEndian.PutUint32(head, uint32(len(payload))<<8|uint32(kind))
	head[4] = flags
	binary.BigEndian.PutUint32(head[5:], id)
	_, _ = w.Write(append(head, payload...))
}

func word(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// h2 serves HTTP/2 by hand over TLS, and lets answer deal with each request
// once its body has come.
func h2(answer func(*h2Stream)) func(testing.TB, Case) *Server {
	return func(tb testing.TB, c Case) *Server {
		return serve(tb, secure(tb, valid, "h2"), "https", func(s *Server, conn net.Conn) {
			in := bufio.NewReader(conn)
			preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
			if _, err := io.ReadFull(in, preface); err != nil {
				return
			}
			writeFrame(conn, frameSettings, 0, 0, nil)
			for {
				kind, flags, id, payload, err := readFrame(in)
				if err != nil {
					return
				}
				switch {
				case kind == frameSettings && flags&flagEnd == 0:
					writeFrame(conn, frameSettings, flagEnd, 0, nil)
				case kind == framePing && flags&flagEnd == 0:
					writeFrame(conn, framePing, flagEnd, 0, payload)
				case (kind == frameData || kind == frameHeaders) && flags&flagEnd != 0:
					s.requests.Add(1)
					answer(&h2Stream{c, conn, id})
				}
			}
		})
	}
}

func readFrame(r io.Reader) (kind, flags byte, id uint32, payload []byte, err error) {
	var head [9]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return
	}
	payload = make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
	_, err = io.ReadFull(r, payload)
	return head[3], head[4], binary.BigEndian.Uint32(head[5:]) & (1<<31 - 1), payload, err
}

// begin sends ":status 200", which HPACK has as a single byte, and the
// beginning of the answer.
func (s *h2Stream) begin() {
	s.frame(frameHeaders, flagHeadersEnd, s.id, []byte{0x88})
	s.frame(frameData, 0, s.id, []byte(strings.Join(s.cut(), "")))
}

func resetInBody(s *h2Stream) {
	s.begin()
	time.Sleep(50 * time.Millisecond) // a reset drops what has not been read
	s.frame(frameReset, 0, s.id, word(codeInternal))
}

func resetBefore(s *h2Stream)  { s.frame(frameReset, 0, s.id, word(codeInternal)) }
func refuseStream(s *h2Stream) { s.frame(frameReset, 0, s.id, word(codeRefused)) }

// goAwayBelow names stream 0 as the last that was served.
func goAwayBelow(s *h2Stream) {
	s.frame(frameGoAway, 0, 0, bytes.Join([][]byte{word(0), word(0)}, nil))
}

// goAwayClose says that this stream was served, and closes without an answer.
func goAwayClose(s *h2Stream) {
	s.frame(frameGoAway, 0, 0, bytes.Join([][]byte{word(s.id), word(codeInternal)}, nil))
	_ = s.conn.Close()
}
