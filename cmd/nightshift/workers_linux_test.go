package main

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of so many bytes.
func smallDisk(t *testing.T, dir string, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no small disk can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// full keeps a disk full, also when others give room back, until it is told to end.
func full(t *testing.T, dir string) (end func()) {
	t.Helper()
	name := filepath.Join(dir, "other-"+rand.Text())
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for page := make([]byte, 4096); ; {
			if _, err := f.Write(page); err == nil {
				continue
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return func() {
		close(stop)
		<-done
		f.Close()
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// TestFullDisks fills the disk of a worker, and then that of the hub: with room
// again the run goes on, and no row was sent twice.
func TestFullDisks(t *testing.T) {
	t.Parallel()
	if os.Getenv("NIGHTSHIFT_CLUSTERS") == "" {
		t.Skip("takes a while, and needs root: NIGHTSHIFT_CLUSTERS=1 runs it")
	}
	s := serve(t, "--latency", "base=1s,jitter=0.5") // ten seconds at least, of which three are needed
	d := newTable(t, rowsToKill, s.url, "")
	spool := filepath.Join(d.dir, "spool0")
	smallDisk(t, spool, "256k")
	smallDisk(t, d.out, "256m") // a run wants 128 MiB to begin with
	c := newSite(t, s, d, time.Second, 2)
	s.awaits(t, 8) // both work: an attempt goes to who has the most free slots
	room := full(t, spool)
	asleep(2 * time.Second)
	room()

	room = full(t, d.out)
	code := c.hub.wait(t)
	room()
	if code != exitStorage {
		t.Fatalf("with a full disk the hub ended with %d: %s", code, c.hub.errs.String())
	}
	if said := c.hub.errs.String(); !strings.Contains(said, "no space left") {
		t.Errorf("the hub said %s", said)
	}
	c.startHub()
	c.finish(true)
	if said := c.workers[0].errs.String(); !strings.Contains(said, "the spool cannot be written") {
		t.Errorf("the worker with the full disk said %s", said)
	}
}
