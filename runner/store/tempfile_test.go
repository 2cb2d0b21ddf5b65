package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/parquetfile"
	"nightshift/runner/store/view"
)

// A Parquet file that grew with its records is that which Commit makes of the journal
// alone, byte for byte up to the footer, whatever the order in which answers
// came and however few of them could be kept.
func TestParquetFilesGrow(t *testing.T) {
	rng := rand.New(rand.NewPCG(21, 21))
	id := identity(2, 2, 60, 2)
	id.Chunks[0].Skipped = 3
	skipped := map[int64]bool{5: true, 6: true, 50: true}
	recs := map[string][]*nightshift.Record{}
	for _, model := range id.Models {
		for n, s := range id.Chunks {
			var list []*nightshift.Record
			for row := s.First; row < s.First+s.Rows; row++ {
				for epoch := range id.Epochs {
					if n == 0 && skipped[row] {
						continue
					}
					list = append(list, storetest.HostileRecord(rng, model, row, epoch))
				}
			}
			recs[fmt.Sprint(model, n)] = list
		}
	}
	want := ""
	for name, o := range map[string]Options{
		"not at all":       {grow: 1 << 20, ReserveFile: -1},
		"with each record": {grow: 1, ReserveFile: -1},
		"as usual":         {ReserveFile: -1},
		"few kept":         {grow: 7, keep: 20 << 10, ReserveFile: -1},
		"none kept":        {grow: 1, keep: 1, ReserveFile: -1},
		"late":             {grow: 1, Late: true, ReserveFile: -1},
	} {
		mem := storetest.NewFS()
		o.fs = mem
		r, err := Open("/run", id, o)
		storetest.Must(t, err)
		var all sync.WaitGroup
		for _, model := range id.Models {
			for n := range id.Chunks {
				u, err := r.OpenShard(model, n)
				storetest.Must(t, err)
				list := nearlyInOrder(recs[fmt.Sprint(model, n)], rng)
				all.Go(func() {
					var some sync.WaitGroup
					for worker := range 4 {
						some.Go(func() {
							for i := worker; i < len(list); i += 4 {
								if err := u.Put(list[i]); err != nil {
									t.Errorf("%s: %v", name, err)
								}
							}
						})
					}
					some.Wait()
					if err := u.Commit(); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
		}
		all.Wait()
		if n := r.keeping.Load(); n != 0 {
			t.Errorf("%s: %d bytes are still kept", name, n)
		}
		if r.grows != nil {
			t.Errorf("%s: a shard still grows", name)
		}
		storetest.Must(t, r.Close("done"))
		left, err := mem.List("/run/tmp")
		storetest.Must(t, err)
		if len(left) > 0 {
			t.Errorf("%s: %v is left in tmp", name, left)
		}
		got := parquetFileSums(t, mem, id)
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%s: the parts are\n%s\nwant\n%s", name, got, want)
		}
	}
}

// nearlyInOrder mixes neighbours up, as answers of different lengths do, and
// lets one of the first come last.
func nearlyInOrder(list []*nightshift.Record, rng *rand.Rand) []*nightshift.Record {
	mixed := append([]*nightshift.Record{}, list...)
	for i := range mixed {
		k := min(i+rng.IntN(10), len(mixed)-1)
		mixed[i], mixed[k] = mixed[k], mixed[i]
	}
	late := mixed[2]
	return append(append(mixed[:2:2], mixed[3:]...), late)
}

func parquetFileSums(t *testing.T, mem disk.FS, id Identity) string {
	t.Helper()
	var b strings.Builder
	names, err := mem.List("/run/" + rundir.ResultsDir)
	storetest.Must(t, err)
	if len(names) != len(id.Models)*len(id.Chunks) {
		t.Errorf("parts are %v", names)
	}
	for _, name := range names {
		pf, err := parquetfile.Open(mem, path.Join("/run", rundir.ResultsDir, name))
		storetest.Must(t, err)
		rows, _ := pf.Lookup("rows_crc32c")
		data, _ := pf.Lookup("data_crc32c")
		fmt.Fprintln(&b, name, pf.NumRows(), rows, data)
		pf.Close()
	}
	return b.String()
}

// A temporary file that cannot be written is given up without a word: the journal has
// everything, and Commit begins again.
func TestTempFileThatFails(t *testing.T) {
	noise := make([]byte, 1<<21) // what does not pack makes a row group that is written before the end
	rng := rand.New(rand.NewPCG(22, 22))
	for i := range noise {
		noise[i] = ' ' + byte(rng.IntN(95))
	}
	for op, text := range map[string]string{"create": "short", "write": string(noise)} {
		mem := storetest.NewFS()
		id := identity(1, 1, 40, 1)
		r, err := Open("/run", id, Options{fs: mem, grow: 1, ReserveFile: -1, Notice: func(s string) { t.Error(s) }})
		storetest.Must(t, err)
		failures := 0
		mem.Before = func(did, name string) (int, error) {
			if did == op && strings.Contains(name, "/tmp/m0") && failures == 0 {
				failures++
				return 0, syscall.ENOSPC
			}
			return 0, nil
		}
		u, err := r.OpenShard("m0", 0)
		storetest.Must(t, err)
		for row := range int64(40) {
			rec := storetest.Record("m0", row, 0)
			rec.Text = storetest.Ptr(fmt.Sprint(row) + text)
			storetest.Must(t, u.Put(rec))
		}
		if failures != 1 {
			t.Errorf("%s failed %d times", op, failures)
		}
		storetest.Must(t, u.Commit())
		storetest.Must(t, r.Close("done"))
		report, err := view.VerifyOn(mem, "/run", true, nil)
		storetest.Must(t, err)
		if report.Recorded != 40 || len(report.Problems) > 0 {
			t.Errorf("%s: %d rows, problems %v", op, report.Recorded, report.Problems)
		}
	}
}

// A shard that is closed before its end leaves no temporary file behind.
func TestTempFileOfAStoppedRun(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 100, 1)
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	for row := range int64(50) {
		storetest.Must(t, u.Put(storetest.Record("m0", row, 0)))
	}
	if names, err := os.ReadDir(path.Join(dir, rundir.TmpDir)); err != nil || len(names) != 1 {
		t.Fatalf("tmp holds %v while the part grows, %v", names, err)
	}
	storetest.Must(t, r.Close("stopped: test"))
	if names, err := os.ReadDir(path.Join(dir, rundir.TmpDir)); err != nil || len(names) != 0 {
		t.Errorf("tmp holds %v after the end, %v", names, err)
	}

	r = mustOpen(t, dir, id, Options{})
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	for row := range int64(100) {
		if !u.Done(row, 0) {
			storetest.Must(t, u.Put(storetest.Record("m0", row, 0)))
		}
	}
	storetest.Must(t, u.Commit())
	if err := u.Commit(); err == nil || errors.As(err, new(*disk.StorageError)) {
		t.Errorf("a second commit says %v", err)
	}
	storetest.Must(t, r.Close("done"))
	if got := collect(t, dir, view.ReadOptions{}); len(got) != 100 {
		t.Errorf("%d rows", len(got))
	}
}

// A publishHook calls published when a Parquet file has got its final name.
type publishHook struct {
	disk.FS
	published func()
}

func (h *publishHook) Publish(from, to string) error {
	err := h.FS.Publish(from, to)
	h.published()
	return err
}

// A Put that comes to its end only while the shard is committed must not begin
// another temporary file: that one would stay, and keep all other shards from growing.
func TestPutEndsBesideCommit(t *testing.T) {
	mem := &publishHook{FS: storetest.NewFS()}
	id := identity(1, 2, 8, 1)
	r, err := Open("/run", id, Options{fs: mem, grow: 1, ReserveFile: -1})
	storetest.Must(t, err)
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	for row := range int64(8) {
		storetest.Must(t, u.Put(storetest.Record("m0", row, 0)))
	}
	late := 0
	mem.published = func() {
		late++
		u.growing.Lock() // as keep does, after its look at the state
		u.grow()
		u.growing.Unlock()
	}
	storetest.Must(t, u.Commit())
	if late != 1 {
		t.Fatalf("%d late records", late)
	}
	if u.tempFile != nil || r.grows != nil {
		t.Errorf("the committed shard holds a draft (%v) and the right to grow (%v)", u.tempFile != nil, r.grows != nil)
	}
	storetest.Must(t, r.Close("done"))
	if left, err := mem.List("/run/tmp"); err != nil || len(left) > 0 {
		t.Errorf("%v is left in tmp, %v", left, err)
	}
}

// Puts of all rows and a Commit that is tried all the time, from as many
// goroutines: one Commit succeeds, and it has every record.
func TestCommitBesidePuts(t *testing.T) {
	mem := storetest.NewFS()
	id := identity(1, 1, 200, 1)
	r, err := Open("/run", id, Options{fs: mem, grow: 1, ReserveFile: -1})
	storetest.Must(t, err)
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	var all sync.WaitGroup
	for worker := range int64(4) {
		all.Go(func() {
			for row := worker; row < 200; row += 4 {
				if err := u.Put(storetest.Record("m0", row, 0)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for u.Commit() != nil {
			if err := r.Err(); err != nil {
				t.Error(err)
				return
			}
			runtime.Gosched()
		}
	})
	all.Wait()
	if !r.Committed("m0", 0) || r.grows != nil || r.keeping.Load() != 0 {
		t.Errorf("committed %v, grows %v, %d bytes kept", r.Committed("m0", 0), r.grows != nil, r.keeping.Load())
	}
	storetest.Must(t, r.Close("done"))
	report, err := view.VerifyOn(mem, "/run", true, nil)
	storetest.Must(t, err)
	if report.Recorded != 200 || len(report.Problems) > 0 {
		t.Errorf("%d rows, problems %v", report.Recorded, report.Problems)
	}
}
