package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
)

// fault is one way for an operation to go wrong.
type fault struct {
	name  string
	err   error
	short int // bytes of a write that get through
	stays bool
}

var faults = []fault{
	{name: "EIO once", err: syscall.EIO},
	{name: "ENOSPC once", err: syscall.ENOSPC},
	{name: "cut write, ENOSPC", err: syscall.ENOSPC, short: 7},
	{name: "short write without a word", short: 7},
	{name: "EIO from then on", err: syscall.EIO, stays: true},
	{name: "read-only from then on", err: syscall.EROFS, stays: true},
}

// reads are operations that change nothing.
func reads(op string) bool {
	return op == "read" || op == "readat" || op == "stat" || op == "list" || op == "open" || op == "free"
}

// failAt makes the n-th operation in the run directory fail.
func (f fault) failAt(mem *storetest.MemFS, n int) (fired *string) {
	fired = new(string)
	count := 0
	mem.Before = func(op, name string) (int, error) {
		if !strings.HasPrefix(name, crashDir) && name != "" {
			return 0, nil
		}
		count++
		if count < n || count > n && (!f.stays || reads(op)) {
			return 0, nil
		}
		if f.err == nil && op != "write" {
			return 0, nil
		}
		if *fired == "" {
			*fired = op + " " + name
		}
		return f.short, f.err
	}
	return fired
}

// bringBack does what the hint of the error says: it moves what was saved
// outside into the journal folder.
func bringBack(t *testing.T, mem *storetest.MemFS) {
	t.Helper()
	dirs, err := mem.List("/tmp")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		names, _ := mem.List(path.Join("/tmp", d))
		for _, n := range names {
			if err := mem.Replace(path.Join("/tmp", d, n), path.Join(crashDir, rundir.JournalDir, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Every operation of a run fails once, in every way. The run must end with a
// StorageError or get over it, and every answer that had been read must be
// there when the disk works again, also after a power failure.
func TestEveryOperationFailsOnce(t *testing.T) {
	// Every operation comes up, though not with every fault.
	t.Run("live", func(t *testing.T) {
		everyOperationFails(t, identity(1, 2, 3, 1), 6, func() *batched { return nil })
	})
	t.Run("batches", func(t *testing.T) { everyOperationFails(t, identity(1, 1, 2, 1), 6, newBatched) })
}

func everyOperationFails(t *testing.T, id Identity, step int, batches func() *batched) {
	count := 0
	probe := storetest.NewFS()
	mustMkdir(t, probe, "/tmp")
	probe.Before = func(op, name string) (int, error) { count++; return 0, nil }
	first := newClient(id, Options{})
	first.batched = batches()
	if err := first.run(probe); err != nil {
		t.Fatal(err)
	}
	if long() {
		step = 1
	}
	tried := 0
	for i, f := range faults {
		for n := 1 + i%step; n <= count+10; n += step {
			mem := storetest.NewFS()
			mustMkdir(t, mem, "/tmp")
			c := newClient(id, Options{Strict: n%2 == 0})
			c.batched = batches()
			fired := f.failAt(mem, n)
			err := c.run(mem)
			mem.Before = nil
			if *fired == "" {
				continue
			}
			tried++
			if problem := f.aftermath(t, c, mem, err, *fired); problem != nil {
				t.Fatalf("%s at operation %d (%s), run said %v: %v", f.name, n, *fired, err, problem)
			}
		}
	}
	t.Logf("%d failed operations of %d in %d ways", tried, count, len(faults))
}

func mustMkdir(t *testing.T, mem *storetest.MemFS, name string) {
	t.Helper()
	if err := mem.Mkdir(name); err != nil {
		t.Fatal(err)
	}
	if err := mem.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
}

// aftermath checks what a run with a failed operation left.
func (f fault) aftermath(t *testing.T, c *client, mem *storetest.MemFS, runErr error, fired string) error {
	var se *disk.StorageError
	if runErr != nil && !errors.As(runErr, &se) {
		return fmt.Errorf("not a StorageError: %T", runErr)
	}
	if runErr != nil && se.Hint == "" {
		return errors.New("no hint")
	}
	// What cannot be removed is removed at the next start.
	if f.stays && runErr == nil && !strings.HasPrefix(fired, "remove ") {
		return errors.New("the run did not notice")
	}
	// Whatever was read is on the disk, whether or not Put could say so.
	rng := rand.New(rand.NewPCG(1, 1))
	for _, after := range []*storetest.MemFS{mem.Clone(), mem.Crash(rng)} {
		if len(c.read) == 0 {
			break
		}
		if f.stays || strings.Contains(fmt.Sprint(runErr), "/tmp/") {
			bringBack(t, after)
		}
		book := c.fork()
		book.acked = maps.Clone(c.read)
		if err := book.check(after); err != nil {
			return fmt.Errorf("before the next start: %w", err)
		}
		if err := book.finish(after, nil); err != nil {
			return fmt.Errorf("at the next start: %w", err)
		}
	}
	return nil
}

// A full disk stops the run while what is in flight is still kept: the
// reserveFile makes the room.
func TestFullDisk(t *testing.T) {
	mem := storetest.NewFS()
	mustMkdir(t, mem, "/tmp")
	id := identity(1, 1, 40, 1)
	r, err := Open(crashDir, id, Options{fs: mem, ReserveFile: 64 << 10, pace: 100 * time.Microsecond})
	if err != nil {
		t.Fatal(err)
	}
	mem.Mu.Lock()
	mem.Capacity = mem.Used() + 3000 // a few records more
	mem.Mu.Unlock()
	u, err := r.OpenShard("m0", 0)
	if err != nil {
		t.Fatal(err)
	}
	// All are in flight already when the disk fills up.
	for row := range int64(40) {
		if err := u.Put(storetest.Record("m0", row, 0)); err != nil {
			t.Fatalf("row %d was read and not kept: %v", row, err)
		}
	}
	select {
	case <-r.Failed():
	default:
		t.Fatal("the disk is full and the run was not stopped")
	}
	if err := u.AttemptLog(0, 0).Sending(nightshift.Intent{Attempt: 1}); err == nil {
		t.Fatal("sending goes on although the disk is full")
	}
	err = r.Close("stopped: storage")
	var se *disk.StorageError
	if !errors.As(err, &se) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(se.Hint, "make room") {
		t.Fatalf("Close = %v, want a StorageError that says to make room", err)
	}
	after := mem.Crash(rand.New(rand.NewPCG(1, 1)))
	r, err = Open(crashDir, id, Options{fs: after, ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close("")
	if got := r.Totals().Sum().Rows; got != 40 {
		t.Fatalf("%d rows of 40 are on record", got)
	}
}

// Too little room at the start is said before anything is sent.
func TestNoRoomAtStart(t *testing.T) {
	mem := storetest.NewFS()
	mem.Space = 100
	_, err := Open(crashDir, identity(1, 1, 1, 1), Options{fs: mem, ReserveFile: 64})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Open = %v, want ENOSPC", err)
	}
	if size, err := mem.Size(crashDir + "/" + rundir.ReserveFileName); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused start leaves a reserve file of %d bytes on the full disk (%v)", size, err)
	}
}

// A journal that was deleted under a running process is noticed, and what it
// held is written again.
func TestJournalDeletedWhileInUse(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 2, 1)
	var notices []string
	r := mustOpen(t, dir, id, Options{Strict: true, Notice: func(s string) { notices = append(notices, s) }})
	u, err := r.OpenShard("m0", 0)
	if err != nil {
		t.Fatal(err)
	}
	w := u.AttemptLog(0, 0)
	if err := w.Sending(nightshift.Intent{Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	names, _ := filepath.Glob(filepath.Join(dir, rundir.JournalDir, "*"))
	for _, n := range names {
		if err := os.Remove(n); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Put(storetest.Record("m0", 0, 0)); err != nil {
		t.Fatal(err)
	}
	r.Close("stopped")
	r = mustOpen(t, dir, id, Options{})
	defer r.Close("")
	if got := r.Totals().Sum().Rows; got != 1 || len(notices) == 0 {
		t.Fatalf("%d rows on record, notices %q", got, notices)
	}
}

// When the whole run directory vanishes, what was read is saved elsewhere and
// the error says where.
func TestDirectoryVanishes(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	base := t.TempDir()
	dir := filepath.Join(base, "run")
	id := identity(1, 1, 2, 1)
	r := mustOpen(t, dir, id, Options{Strict: true})
	u, err := r.OpenShard("m0", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := u.AttemptLog(0, 0).Sending(nightshift.Intent{Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	err = u.Put(storetest.Record("m0", 0, 0))
	var se *disk.StorageError
	if !errors.As(err, &se) || !strings.Contains(se.Hint, os.TempDir()) {
		t.Fatalf("Put = %v, want a StorageError that says where the answer is", err)
	}
	if err := r.Close("stopped: storage"); !errors.As(err, &se) {
		t.Fatalf("Close = %v, want a StorageError", err)
	}
	saved, _ := filepath.Glob(filepath.Join(os.TempDir(), "nightshift-rescue-*", "*.jsonl"))
	if len(saved) != 1 {
		t.Fatalf("saved files: %q", saved)
	}
	b, err := os.ReadFile(saved[0])
	if err != nil || !strings.Contains(string(b), "answer to 0.0") {
		t.Fatalf("the saved file does not hold the answer: %v", err)
	}
}
