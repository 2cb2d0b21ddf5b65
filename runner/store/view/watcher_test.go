package view

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"nightshift"
	"nightshift/runner/store"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/records"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
)

// A countingFS counts what is read of journals.
type countingFS struct {
	disk.FS
	opened, bytes atomic.Int64
}

type countingFile struct {
	disk.File
	fs *countingFS
}

func (c *countingFS) Open(name string, flag int) (disk.File, error) {
	f, err := c.FS.Open(name, flag)
	if err != nil || !strings.Contains(name, "/"+rundir.JournalDir+"/") {
		return f, err
	}
	c.opened.Add(1)
	return &countingFile{f, c}, nil
}

func (f *countingFile) Read(b []byte) (int, error) {
	n, err := f.File.Read(b)
	f.fs.bytes.Add(int64(n))
	return n, err
}

func (f *countingFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	f.fs.bytes.Add(int64(n))
	return n, err
}

// sameStatus compares what the figures of two looks are made of.
func sameStatus(t *testing.T, when string, got, want StatusInfo) {
	t.Helper()
	for _, st := range []*StatusInfo{&got, &want} {
		st.PerHour, st.TimeLeft, st.Pace = 0, 0, nil
	}
	got.LastWrite = want.LastWrite // the one is when a line was made, the other when it was durable
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", when, got, want)
	}
}

// TestWatcher looks at a run all along: it always sees what a new look sees, and
// reads what was added only.
func TestWatcher(t *testing.T) {
	dir := t.TempDir()
	id := identity(2, 2, 100, 1)
	files := &countingFS{FS: disk.OS{}}
	w := &Watcher{dir: dir, fs: files}
	check := func(when string) {
		t.Helper()
		got, err := w.Status(nil)
		storetest.Must(t, err)
		want, err := Status(dir)
		storetest.Must(t, err)
		sameStatus(t, when, got, want)
	}
	r := mustOpen(t, dir, id, store.Options{})
	check("empty")
	for n := range 2 {
		for _, model := range id.Models {
			u, err := r.OpenShard(model, n)
			storetest.Must(t, err)
			first := int64(n) * 100
			for row := first; row < first+100; row++ {
				storetest.Must(t, u.AttemptLog(row, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5}))
				if row == first+20 {
					check("one in flight")
				}
				rec := storetest.Record(model, row, 0)
				rec.Text = storetest.Ptr(strings.Repeat("long ", 400))
				if row == first+30 {
					rec.Outcome = nightshift.OutcomeFailed
				}
				storetest.Must(t, u.Put(rec))
				if row == first+50 || row == first+51 {
					storetest.Must(t, r.Sync())
					before := files.bytes.Load()
					check(fmt.Sprint("row ", row))
					if read := files.bytes.Load() - before; row == first+51 && read > 10_000 {
						t.Errorf("%d bytes were read for one more record", read)
					}
				}
			}
			storetest.Must(t, r.Sync())
			check("complete")
			storetest.Must(t, u.Commit())
			check("committed")
		}
	}
	storetest.Must(t, r.Close("finished"))

	// Failed rows are run again, in another generation, and the process is killed.
	r = mustOpen(t, dir, id, store.Options{RetryFailed: true})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.AttemptLog(30, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5}))
	storetest.Must(t, r.Sync())
	check("again")
	kill(t, dir, r)
	check("killed")
	r = mustOpen(t, dir, id, store.Options{RetryFailed: true})
	defer r.Close("")
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.Put(storetest.Record("m0", 30, 0)))
	storetest.Must(t, r.Sync())
	check("answered")
}

// TestStatusOfAProcess: where the process says where it stands, the journals
// are not opened, and the figures are the same; what is old, or of another run
// or process, is not believed.
func TestStatusOfAProcess(t *testing.T) {
	dir := t.TempDir()
	id := identity(2, 2, 10, 1)
	r := mustOpen(t, dir, id, store.Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.AttemptLog(0, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5, WorstTokens: 7}))
	storetest.Must(t, u.AttemptLog(1, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5, WorstTokens: 7}))
	kill(t, dir, r)
	r = mustOpen(t, dir, id, store.Options{})
	defer r.Close("")
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.AttemptLog(2, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5}))
	storetest.Must(t, u.Put(storetest.Record("m0", 2, 0)))
	again := storetest.Record("m0", 1, 0)
	again.Attempts = 2
	storetest.Must(t, u.Put(again))
	storetest.Must(t, r.Sync())

	want, err := Status(dir)
	storetest.Must(t, err)
	files := &countingFS{FS: disk.OS{}}
	w := &Watcher{dir: dir, fs: files}
	p := r.Progress()
	got, err := w.Status(&p)
	storetest.Must(t, err)
	sameStatus(t, "by the process", got, want)
	if n := files.opened.Load(); n != 0 {
		t.Errorf("%d journals were opened", n)
	}
	storetest.Must(t, u.AttemptLog(3, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5}))
	if p := r.Progress(); p.InFlight != 1 {
		t.Errorf("%d in flight", p.InFlight)
	}
	want, err = Status(dir)
	storetest.Must(t, err)
	for name, change := range map[string]func(*rundir.Progress){
		"old":             func(p *rundir.Progress) { p.At = p.At.Add(-2 * progressAge) },
		"another run":     func(p *rundir.Progress) { p.RunID = "other" },
		"another process": func(p *rundir.Progress) { p.PID++ },
	} {
		wrong := r.Progress()
		change(&wrong)
		wrong.Totals = records.Totals{}
		got, err := StatusWith(dir, &wrong)
		storetest.Must(t, err)
		sameStatus(t, name, got, want)
	}
}
