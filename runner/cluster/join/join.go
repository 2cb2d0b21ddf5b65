// Package join makes the files by which hub and workers know each other, and the
// connections between them. Both sides have a key and know the certificate of the
// other: nobody else gets as far as the first byte of a message, and no authority
// is asked.
package join

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"nightshift/internal/fsx"
	"nightshift/runner/cluster/protocol"
)

// Names of the files that [Make] writes.
const (
	HubFile    = "hub.key"
	WorkerFile = "worker.join"
)

// A File is what one side is given.
type File struct {
	Kind        string `json:"kind"`           // hub or worker
	Address     string `json:"address"`        // of the hub, host:port
	Key         []byte `json:"key"`            // our private key, PKCS #8
	Certificate []byte `json:"certificate"`    // ours, DER
	Peer        []byte `json:"peer"`           // the other side's, DER: nobody else is talked to
	Note        string `json:"note,omitempty"` // for people
}

const (
	kindHub    = "hub"
	kindWorker = "worker"
)

// Make writes the files of a new hub at an address into a directory. Files that
// are there already are left alone, and that is an error.
func Make(dir, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%q is no host:port: %w", address, err)
	}
	for _, name := range []string{HubFile, WorkerFile} {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s: %w: use it, with the other of the same call, or name another directory", path, os.ErrExist)
		}
	}
	hub, worker := File{Kind: kindHub, Address: address}, File{Kind: kindWorker, Address: address}
	if err := errors.Join(hub.generate(), worker.generate()); err != nil {
		return err
	}
	hub.Peer, worker.Peer = worker.Certificate, hub.Certificate
	hub.Note = "for the hub alone; keep it secret"
	worker.Note = "for workers; whoever has it gets prompts of the run and can answer them: keep it secret"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(hub.write(filepath.Join(dir, HubFile)), worker.write(filepath.Join(dir, WorkerFile)))
}

// generate makes a key and a certificate of it. Its names and times do not matter:
// it is compared byte by byte.
func (f *File) generate() error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "nightshift " + f.Kind},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}
	f.Certificate, err = x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return err
	}
	f.Key, err = x509.MarshalPKCS8PrivateKey(private)
	return err
}

func (f *File) write(path string) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return errors.Join(err, out.Sync(), out.Close(), fsx.SyncDir(filepath.Dir(path)))
}

// maxFile is far above any file of ours.
const maxFile = 64 << 10

// ReadHub reads the file of a hub, ReadWorker that of a worker. Only their owner
// may be able to read them.
func ReadHub(path string) (*File, error) { return read(path, kindHub, WorkerFile+" is for workers") }

// ReadWorker reads the file of a worker.
func ReadWorker(path string) (*File, error) { return read(path, kindWorker, HubFile+" is for the hub") }

func read(path, kind, hint string) (*File, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if err := private(in); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	text, err := io.ReadAll(io.LimitReader(in, maxFile))
	if err != nil {
		return nil, err
	}
	var f File
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("%s is no join file (%w): nightshift join-key makes them", path, err)
	}
	if f.Kind != kind {
		return nil, fmt.Errorf("%s is for a %s, not for a %s: %s", path, f.Kind, kind, hint)
	}
	if _, err := f.config(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &f, nil
}

func private(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if fsx.OthersRead(info) {
		return fmt.Errorf("others may read it (mode %04o): chmod 600 it, and make new files with nightshift join-key "+
			"if somebody may have", info.Mode().Perm())
	}
	return nil
}

// config makes both sides show their certificates and compare the other's byte by
// byte.
func (f *File) config() (*tls.Config, error) {
	key, err := x509.ParsePKCS8PrivateKey(f.Key)
	if err != nil {
		return nil, err
	}
	if _, err := x509.ParseCertificate(f.Certificate); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{{Certificate: [][]byte{f.Certificate}, PrivateKey: key}},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // names and authorities do not matter: VerifyConnection pins the certificate
		SessionTicketsDisabled: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) != 1 || !bytes.Equal(s.PeerCertificates[0].Raw, f.Peer) {
				return errStranger
			}
			return nil
		},
	}, nil
}

var errStranger = errors.New("the other side has another certificate than the join file says")

// accepted is the first byte of a listener: both sides know each other then.
const accepted = 1

// dialWithin is how long a connection may take to stand, handshake included.
const dialWithin = 10 * time.Second

// Dial connects a worker to its hub. address is used in place of the file's where
// it is not empty. Where hub and worker do not know each other the error is a
// [*protocol.Refusal].
func (f *File) Dial(ctx context.Context, address string) (net.Conn, error) {
	config, err := f.config()
	if err != nil {
		return nil, err
	}
	if address == "" {
		address = f.Address
	}
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	d := tls.Dialer{Config: config}
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, refusal(err)
	}
	// A server judges the other's certificate after the client's handshake is over.
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	var first [1]byte
	if _, err := io.ReadFull(c, first[:]); err != nil || first[0] != accepted {
		return nil, errors.Join(refusal(err), c.Close())
	}
	return c, nil
}

// refusal makes one of an error that another try does not heal.
func refusal(err error) error {
	var alert tls.AlertError
	var remote *net.OpError
	if errors.Is(err, errStranger) || errors.As(err, &alert) || errors.As(err, &remote) && remote.Op == "remote error" {
		return &protocol.Refusal{Reason: protocol.RefusedKey, Text: fmt.Sprintf(
			"hub and worker do not know each other (%v): use the %s that was made together with the hub's %s",
			err, WorkerFile, HubFile)}
	}
	return err
}

// handshakes is how many connections may be in the handshake at once: what
// strangers can occupy.
const handshakes = 64

// A Listener yields connections of workers, after the handshake.
type Listener struct {
	net.Listener
	config  *tls.Config
	ready   chan net.Conn
	free    chan struct{}
	closed  chan struct{}
	failure error
}

// Listen waits for workers at an address.
func (f *File) Listen(address string) (*Listener, error) {
	config, err := f.config()
	if err != nil {
		return nil, err
	}
	under, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	l := &Listener{Listener: under, config: config, ready: make(chan net.Conn), free: make(chan struct{}, handshakes),
		closed: make(chan struct{})}
	go l.accept()
	return l, nil
}

func (l *Listener) accept() {
	defer close(l.closed)
	for {
		l.free <- struct{}{}
		c, err := l.Listener.Accept()
		if err != nil {
			l.failure = err
			return
		}
		go func() {
			defer func() { <-l.free }()
			l.greet(c)
		}()
	}
}

// greet makes the handshake. Who is no worker of ours is cut off.
func (l *Listener) greet(c net.Conn) {
	secure := tls.Server(c, l.config)
	ctx, cancel := context.WithTimeout(context.Background(), dialWithin)
	defer cancel()
	err := secure.HandshakeContext(ctx)
	if err == nil {
		_, err = secure.Write([]byte{accepted})
	}
	if err != nil {
		_ = c.Close()
		return
	}
	select {
	case l.ready <- secure:
	case <-l.closed:
		_ = c.Close()
	}
}

// Accept returns the next connection of a worker.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.closed:
		return nil, l.failure
	}
}
