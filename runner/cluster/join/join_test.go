package join_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"nightshift/runner/cluster/join"
	"nightshift/runner/cluster/protocol"
)

func files(t *testing.T) (hub, worker *join.File, dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := join.Make(dir, "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	hub, err := join.ReadHub(filepath.Join(dir, join.HubFile))
	if err != nil {
		t.Fatal(err)
	}
	worker, err = join.ReadWorker(filepath.Join(dir, join.WorkerFile))
	if err != nil {
		t.Fatal(err)
	}
	return hub, worker, dir
}

func listen(t *testing.T, hub *join.File) net.Listener {
	t.Helper()
	l, err := hub.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// Hub and worker of one pair talk in TLS 1.3.
func TestPair(t *testing.T) {
	hub, worker, _ := files(t)
	l := listen(t, hub)
	came := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			came <- c
		}
	}()
	c, err := worker.Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if v := c.(*tls.Conn).ConnectionState().Version; v != tls.VersionTLS13 {
		t.Errorf("version %x", v)
	}
	go c.Write([]byte("x"))
	server := <-came
	defer server.Close()
	var b [1]byte
	if _, err := server.Read(b[:]); err != nil || b[0] != 'x' {
		t.Error(err, b)
	}
}

// Strangers get no further than the handshake, and say why they do not.
func TestStrangers(t *testing.T) {
	hub, worker, _ := files(t)
	otherHub, otherWorker, _ := files(t)
	l, other := listen(t, hub), listen(t, otherHub)
	for name, dial := range map[string]func() (net.Conn, error){
		"a worker of another hub": func() (net.Conn, error) {
			return otherWorker.Dial(context.Background(), l.Addr().String())
		},
		"a hub of other workers": func() (net.Conn, error) {
			return worker.Dial(context.Background(), other.Addr().String())
		},
	} {
		c, err := dial()
		var refused *protocol.Refusal
		if c != nil || !errors.As(err, &refused) || refused.Reason != protocol.RefusedKey {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err == nil { // the server speaks after the client's handshake
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if err == nil {
		t.Error("a client without a certificate was let in")
	}
}

func TestHalfAPairIsLeftAlone(t *testing.T) {
	_, _, dir := files(t)
	worker := filepath.Join(dir, join.WorkerFile)
	if err := os.Remove(worker); err != nil {
		t.Fatal(err)
	}
	if err := join.Make(dir, "127.0.0.1:1"); !errors.Is(err, os.ErrExist) {
		t.Errorf("beside half of a pair: %v", err)
	}
	if _, err := os.Stat(worker); err == nil {
		t.Error("a worker's file was made for the hub of another pair")
	}
}

func TestFilesAreLookedAt(t *testing.T) {
	_, _, dir := files(t)
	hub, worker := filepath.Join(dir, join.HubFile), filepath.Join(dir, join.WorkerFile)
	if err := join.Make(dir, "127.0.0.1:1"); !errors.Is(err, os.ErrExist) {
		t.Errorf("files were replaced: %v", err)
	}
	if err := join.Make(t.TempDir(), "nowhere"); err == nil {
		t.Error("an address without a port was taken")
	}
	if _, err := join.ReadHub(worker); err == nil || !strings.Contains(err.Error(), "is for a worker") {
		t.Errorf("the worker's file as the hub's: %v", err)
	}
	if err := os.WriteFile(worker, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := join.ReadWorker(worker); err == nil || !strings.Contains(err.Error(), "join-key") {
		t.Errorf("a broken file: %v", err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := os.Chmod(hub, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := join.ReadHub(hub); err == nil || !strings.Contains(err.Error(), "mode 0640") {
		t.Errorf("a file that others may read: %v", err)
	}
}
