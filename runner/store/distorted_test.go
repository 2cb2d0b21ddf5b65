package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/view"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A Parquet file that does not read back as it was written is never published.
func TestCommitComparesWhatItWrote(t *testing.T) {
	under := storetest.NewFS()
	id := identity(1, 1, 5, 1)
	liar := distortingAt(under, 40)
	r := mustOpen(t, crashDir, id, Options{fs: liar})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	for row := range int64(5) {
		storetest.Must(t, u.Put(storetest.Record("m0", row, 0)))
	}
	err = u.Commit()
	var se *disk.StorageError
	if !errors.As(err, &se) {
		t.Fatalf("Commit = %v, want a StorageError", err)
	}
	if !errors.As(r.Close("stopped: storage"), &se) {
		t.Fatal("Close does not say that storage failed")
	}
	r = mustOpen(t, crashDir, id, Options{fs: under})
	defer r.Close("")
	if r.Committed("m0", 0) || r.Totals().Sum().Rows != 5 {
		t.Fatalf("committed %v, %d rows", r.Committed("m0", 0), r.Totals().Sum().Rows)
	}
}

// Whichever byte of a Parquet file comes out wrong, either the Parquet file is refused or every
// value in it is right all the same.
func TestCommitNoticesEveryByte(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	want := make([]*nightshift.Record, 4)
	for i := range want {
		want[i] = storetest.LargeRecord(rng, "m0", int64(i))
	}
	refused := 0
	for at := 4; at < 12_000; at += 1 + rng.IntN(60) {
		under := storetest.NewFS()
		r := mustOpen(t, crashDir, identity(1, 1, 4, 1), Options{fs: distortingAt(under, at)})
		u, err := r.OpenShard("m0", 0)
		storetest.Must(t, err)
		for _, rec := range want {
			storetest.Must(t, u.Put(rec))
		}
		if u.Commit() != nil {
			refused++
			continue
		}
		for rec, err := range view.Rows[nightshift.Record](crashDir, view.ReadOptions{FS: under}) {
			storetest.Must(t, err)
			kept := records.Repaired(want[rec.Row])
			if !reflect.DeepEqual(rec, kept) {
				t.Fatalf("byte %d was written wrong and the part was taken: %s", at, storetest.FirstDifference(rec, kept))
			}
		}
		r.Close("")
	}
	if refused < 100 {
		t.Errorf("only %d parts were refused", refused)
	}
}

// distortingAt lies about one byte of every Parquet file.
func distortingAt(under disk.FS, at int) disk.FS {
	return wrecked{FS: under, openHook: func(name string, flag int) (disk.File, error) {
		f, err := under.Open(name, flag)
		if err == nil && strings.Contains(name, "/tmp/m0") {
			f = &distorting{File: f, at: at}
		}
		return f, err
	}}
}

// distorting is a file that keeps something else than was written.
type distorting struct {
	disk.File
	at int // bytes from here on
}

func (d *distorting) Write(b []byte) (int, error) {
	if 0 <= d.at && d.at < len(b) {
		b = bytes.Clone(b)
		b[d.at] ^= 1
	}
	d.at -= len(b)
	return d.File.Write(b)
}

// A disk that cannot keep up makes Put wait instead of filling memory.
func TestSlowDiskHoldsWritersBack(t *testing.T) {
	under := storetest.NewFS()
	release := make(chan struct{})
	slow := wrecked{FS: under, openHook: func(name string, flag int) (disk.File, error) {
		f, err := under.Open(name, flag)
		if err == nil && strings.Contains(name, "/journal/") {
			f = &slowFile{f, release}
		}
		return f, err
	}}
	r := mustOpen(t, crashDir, identity(1, 1, 20, 1), Options{fs: slow})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	written := make(chan int64, 20)
	go func() {
		defer close(written)
		for row := range int64(20) {
			rec := storetest.Record("m0", row, 0)
			rec.Text = storetest.Ptr(strings.Repeat("x", 1<<20))
			if err := u.Put(rec); err != nil {
				t.Error(err)
			}
			written <- row
		}
	}()
	for row := range int64(maxWaiting>>20 - 1) {
		if got := <-written; got != row {
			t.Fatalf("row %d was taken after row %d", got, row-1)
		}
	}
	select {
	case row := <-written:
		t.Fatalf("row %d was taken although %d MiB are waiting for the disk", row, row)
	case <-time.After(50 * time.Millisecond):
	}
	if n := r.Totals().Sum().Rows; n != 0 {
		t.Fatalf("%d rows are called durable", n)
	}
	close(release)
	for range written {
	}
	storetest.Must(t, u.Commit())
	if n := r.Totals().Sum().Rows; n != 20 {
		t.Errorf("%d rows are durable, want 20", n)
	}
	storetest.Must(t, r.Close("finished"))
}

// slowFile does not sync before it is released.
type slowFile struct {
	disk.File
	release chan struct{}
}

func (f *slowFile) Sync() error {
	<-f.release
	return f.File.Sync()
}

// NaN and infinity have no JSON; they are null in both forms.
func TestFloatsThatAreNoNumbers(t *testing.T) {
	rec := storetest.Record("m0", 0, 0)
	inf := 1.0
	for range 2000 {
		inf *= 10
	}
	rec.LatencyMS, rec.QueuedMS = &inf, storetest.Ptr(inf-inf)
	kept := records.Repaired(rec)
	if kept.LatencyMS != nil || kept.QueuedMS != nil {
		t.Fatalf("kept %v, %v", *kept.LatencyMS, *kept.QueuedMS)
	}
	line, _ := journal.EncodeRecord(&kept, time.Now())
	if object, _, ok := journal.CheckLine(line[:len(line)-1]); !ok || !json.Valid(object) {
		t.Fatalf("no JSON: %s", line)
	}
}
