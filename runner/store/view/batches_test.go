package view

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
)

// planned makes a batch of some rows of a shard.
func planned(t *testing.T, r *store.Run, model string, shard int, rows ...int64) store.Batch {
	t.Helper()
	u, err := r.OpenShard(model, shard)
	storetest.Must(t, err)
	in, err := r.NewBatch(model, shard, 1)
	storetest.Must(t, err)
	for _, row := range rows {
		item, _ := u.Item(row, 0)
		storetest.Must(t, in.Add(item, fmt.Appendf(nil, "{\"row\":%d}\n", row)))
	}
	b, err := in.Finish(store.Batch{WorstTokens: 10, WorstCost: 100, Retention: 30 * 24 * time.Hour})
	storetest.Must(t, err)
	return b
}

// batchedRun has one batch of m1 in each state that a stop can leave, of rows 0
// to 9 in two shards.
func batchedRun(t *testing.T, now time.Time) string {
	t.Helper()
	dir := t.TempDir()
	r, err := store.Open(dir, identity(2, 2, 10, 1), store.Options{ReserveFile: -1})
	storetest.Must(t, err)
	must := func(err error) { t.Helper(); storetest.Must(t, err) }
	remote := nightshift.Batch{ID: "b", Phase: nightshift.BatchRunning, ExpiresAt: now.Add(5 * time.Hour)}
	remote.Counts.Completed, remote.Counts.Failed = nightshift.Tokens(1), nightshift.Tokens(1)

	planned(t, r, "m1", 0, 0, 1)
	lost := planned(t, r, "m1", 0, 2)
	must(r.BatchCreating(lost.N, now))
	away := planned(t, r, "m1", 0, 3, 4, 5)
	must(r.BatchCreating(away.N, now))
	must(r.BatchCreated(away.N, remote, false))
	ended := planned(t, r, "m1", 0, 6)
	must(r.BatchCreating(ended.N, now))
	must(r.BatchCreated(ended.N, remote, false))
	remote.EndedAt, remote.Phase = now.Add(-25*24*time.Hour), nightshift.BatchCompleted
	must(r.BatchEnded(ended.N, remote))
	fetched := planned(t, r, "m1", 1, 10)
	must(r.BatchCreating(fetched.N, now))
	w, err := r.NewBatchResult(fetched.N, 0)
	must(err)
	_, err = io.WriteString(w, "result\n")
	must(err)
	f, err := w.Finish()
	must(err)
	must(r.BatchFetched(fetched.N, []store.LocalFile{f}))
	done := planned(t, r, "m1", 1, 11, 12)
	must(r.BatchCreating(done.N, now))
	must(r.BatchCollected(done.N, store.BatchSums{Answers: 1, Again: 1, Cost: 7, Extras: 1, ExtraCost: 3}))
	dropped := planned(t, r, "m1", 1, 13)
	must(r.CloseBatch(dropped.N, "not wanted"))
	must(r.Close("stopped: test"))
	return dir
}

func TestStatusOfBatches(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	dir := batchedRun(t, now)
	st, err := Status(dir)
	storetest.Must(t, err)
	if len(st.Batches) != 1 || len(st.Unknown) != 0 || len(st.Damage) != 0 {
		t.Fatalf("%+v, unknown %+v, damage %v", st.Batches, st.Unknown, st.Damage)
	}
	got := st.Batches[0]
	vanish, expiry := now.Add(5*24*time.Hour), now.Add(5*time.Hour)
	if got.FirstExpiry == nil || !got.FirstExpiry.Equal(expiry) || got.ResultsVanish == nil ||
		!got.ResultsVanish.Equal(vanish) {
		t.Errorf("expires %v, vanishes %v", got.FirstExpiry, got.ResultsVanish)
	}
	got.FirstExpiry, got.ResultsVanish = nil, nil
	want := ModelBatches{
		Model: "m1", Batches: 6, Waiting: 1, Lost: 1, Away: 1, Ended: 2, Collected: 1,
		RowsWaiting: 2, RowsAway: 6, RowsDone: 3, RowsRecorded: 1, RowsAgain: 1,
		ReservedTokens: 40, Reserved: 400, Spent: 10, Extras: 1, ExtraCost: 3, Vanishing: 1,
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if st.Spent != 3 || st.AtMost != 403 {
		t.Errorf("spent %d, at most %d", st.Spent, st.AtMost)
	}
	if b, err := json.Marshal(st); err != nil || !strings.Contains(string(b), `"batches":[{"model":"m1","batches":6,`) {
		t.Errorf("as JSON: %s, %v", b, err)
	}
	list, err := Batches(dir)
	if err != nil || len(list) != 7 || list[5].Sums.Cost != 7 || list[6].Left != "not wanted" {
		t.Errorf("%+v, %v", list, err)
	}
}

// Verify says what is wrong with the log of batches and with their files.
func TestVerifyBatches(t *testing.T) {
	change := func(t *testing.T, name string, to func([]byte) []byte) {
		t.Helper()
		b, err := os.ReadFile(name)
		storetest.Must(t, err)
		storetest.Must(t, os.WriteFile(name, to(b), 0o600))
	}
	for _, c := range []struct {
		name, want string
		harmless   bool
		damage     func(t *testing.T, log, files string)
	}{
		{"nothing", "", true, func(*testing.T, string, string) {}},
		{"a torn end", "checksum (3 bytes)", true, func(t *testing.T, log, _ string) {
			change(t, log, func(b []byte) []byte { return append(b, "abc"...) })
		}},
		{"a flipped bit", "checksum", false, func(t *testing.T, log, _ string) {
			change(t, log, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}},
		{"result cut", "has 6 bytes", false, func(t *testing.T, _, files string) {
			change(t, filepath.Join(files, rundir.BatchResultName(5, 0)), func(b []byte) []byte { return b[1:] })
		}},
		{"result changed", "SHA-256", false, func(t *testing.T, _, files string) {
			change(t, filepath.Join(files, rundir.BatchResultName(5, 0)), func(b []byte) []byte { b[0] ^= 1; return b })
		}},
		{"input gone", "no such file", false, func(t *testing.T, _, files string) {
			storetest.Must(t, os.Remove(filepath.Join(files, rundir.BatchInputName(1))))
		}},
		{"input of a created batch gone", "", true, func(t *testing.T, _, files string) {
			storetest.Must(t, os.Remove(filepath.Join(files, rundir.BatchInputName(3))))
		}},
		{"stray file", "belongs to no open batch", true, func(t *testing.T, _, files string) {
			storetest.Must(t, os.WriteFile(filepath.Join(files, rundir.BatchInputName(99)), nil, 0o600))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := batchedRun(t, time.Now())
			c.damage(t, filepath.Join(dir, rundir.BatchLogFile), filepath.Join(dir, rundir.BatchesDir))
			rep, err := Verify(dir, false)
			storetest.Must(t, err)
			if c.want == "" && len(rep.Problems) > 0 {
				t.Fatalf("found %v", rep.Problems)
			}
			if c.want != "" && (len(rep.Problems) == 0 || !strings.Contains(rep.Problems[0].What, c.want)) {
				t.Fatalf("found %v, want %q", rep.Problems, c.want)
			}
			if rep.OK() != c.harmless || rep.Batches < 6 {
				t.Fatalf("ok %v with %v, %d batches", rep.OK(), rep.Problems, rep.Batches)
			}
		})
	}
}

// A watcher sees what is added to the log, and has no batches where there is none.
func TestWatcherSeesBatches(t *testing.T) {
	dir := t.TempDir()
	r, err := store.Open(dir, identity(1, 1, 10, 1), store.Options{ReserveFile: -1})
	storetest.Must(t, err)
	w := NewWatcher(dir)
	for n, want := range [][]ModelBatches{nil, {{Model: "m0", Batches: 1, Waiting: 1, RowsWaiting: 2}},
		{{Model: "m0", Batches: 1, Lost: 1, RowsAway: 2, ReservedTokens: 10, Reserved: 100}}} {
		switch n {
		case 1:
			planned(t, r, "m0", 0, 0, 1)
		case 2:
			storetest.Must(t, r.BatchCreating(1, time.Now()))
		}
		for range 2 {
			st, err := w.Status(nil)
			if err != nil || !reflect.DeepEqual(st.Batches, want) {
				t.Fatalf("step %d: %+v, %v, want %+v", n, st.Batches, err, want)
			}
		}
	}
	storetest.Must(t, r.Close("stopped"))
}
