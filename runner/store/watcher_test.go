package store

import (
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"nightshift"
)

// A countingFS counts what is read of journals.
type countingFS struct {
	fileSystem
	opened, bytes atomic.Int64
}

type countingFile struct {
	file
	fs *countingFS
}

func (c *countingFS) open(name string, flag int) (file, error) {
	f, err := c.fileSystem.open(name, flag)
	if err != nil || !strings.Contains(name, "/"+journalDir+"/") {
		return f, err
	}
	c.opened.Add(1)
	return &countingFile{f, c}, nil
}

func (f *countingFile) Read(b []byte) (int, error) {
	n, err := f.file.Read(b)
	f.fs.bytes.Add(int64(n))
	return n, err
}

func (f *countingFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.file.ReadAt(b, off)
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
	files := &countingFS{fileSystem: osFS{}}
	w := &Watcher{dir: dir, fs: files}
	check := func(when string) {
		t.Helper()
		got, err := w.Status(nil)
		must(t, err)
		want, err := Status(dir)
		must(t, err)
		sameStatus(t, when, got, want)
	}
	r := mustOpen(t, dir, id, Options{})
	check("empty")
	for n := range 2 {
		for _, model := range id.Models {
			u, err := r.OpenShard(model, n)
			must(t, err)
			first := int64(n) * 100
			for row := first; row < first+100; row++ {
				must(t, u.AttemptLog(row, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5}))
				if row == first+20 {
					check("one in flight")
				}
				rec := record(model, row, 0)
				rec.Text = ptr(strings.Repeat("long ", 400))
				if row == first+30 {
					rec.Outcome = nightshift.OutcomeFailed
				}
				must(t, u.Put(rec))
				if row == first+50 || row == first+51 {
					must(t, r.Sync())
					before := files.bytes.Load()
					check(fmt.Sprint("row ", row))
					if read := files.bytes.Load() - before; row == first+51 && read > 10_000 {
						t.Errorf("%d bytes were read for one more record", read)
					}
				}
			}
			must(t, r.Sync())
			check("complete")
			latest, err := LatestRows[nightshift.Record](w, model, n, 3)
			must(t, err)
			if len(latest) != 3 || latest[0].Row != first+99 || latest[2].Row != first+97 {
				t.Errorf("%d latest rows, the first is %d", len(latest), latest[0].Row)
			}
			must(t, u.Commit())
			check("committed")
			if latest, err := LatestRows[nightshift.Record](w, model, n, 3); err != nil || len(latest) != 0 {
				t.Errorf("%d rows in the journal of a committed unit, %v", len(latest), err)
			}
		}
	}
	must(t, r.Close("finished"))

	// Failed rows are run again, in another generation, and the process is killed.
	r = mustOpen(t, dir, id, Options{RetryFailed: true})
	u, err := r.OpenShard("m0", 0)
	must(t, err)
	must(t, u.AttemptLog(30, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5}))
	must(t, r.Sync())
	check("again")
	kill(r)
	check("killed")
	r = mustOpen(t, dir, id, Options{RetryFailed: true})
	defer r.Close("")
	u, err = r.OpenShard("m0", 0)
	must(t, err)
	must(t, u.Put(record("m0", 30, 0)))
	must(t, r.Sync())
	check("answered")
}

// TestStatusOfAProcess: where the process says where it stands, the journals
// are not opened, and the figures are the same; what is old, or of another run
// or process, is not believed.
func TestStatusOfAProcess(t *testing.T) {
	dir := t.TempDir()
	id := identity(2, 2, 10, 1)
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	must(t, err)
	must(t, u.AttemptLog(0, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5, WorstTokens: 7}))
	must(t, u.AttemptLog(1, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5, WorstTokens: 7}))
	kill(r)
	r = mustOpen(t, dir, id, Options{})
	defer r.Close("")
	u, err = r.OpenShard("m0", 0)
	must(t, err)
	must(t, u.AttemptLog(2, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5}))
	must(t, u.Put(record("m0", 2, 0)))
	again := record("m0", 1, 0)
	again.Attempts = 2
	must(t, u.Put(again))
	must(t, r.Sync())

	want, err := Status(dir)
	must(t, err)
	files := &countingFS{fileSystem: osFS{}}
	w := &Watcher{dir: dir, fs: files}
	p := r.Progress()
	got, err := w.Status(&p)
	must(t, err)
	sameStatus(t, "by the process", got, want)
	if n := files.opened.Load(); n != 0 {
		t.Errorf("%d journals were opened", n)
	}
	must(t, u.AttemptLog(3, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5}))
	if p := r.Progress(); p.InFlight != 1 {
		t.Errorf("%d in flight", p.InFlight)
	}
	want, err = Status(dir)
	must(t, err)
	for name, change := range map[string]func(*Progress){
		"old":             func(p *Progress) { p.At = p.At.Add(-2 * progressAge) },
		"another run":     func(p *Progress) { p.RunID = "other" },
		"another process": func(p *Progress) { p.PID++ },
	} {
		wrong := r.Progress()
		change(&wrong)
		wrong.Totals = Totals{}
		got, err := StatusWith(dir, &wrong)
		must(t, err)
		sameStatus(t, name, got, want)
	}
}
