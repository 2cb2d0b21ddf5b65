package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/view"
)

// kill ends a run as kill -9 does: nothing is closed but what the kernel
// closes.
func kill(r *Run) {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	close(r.stop)
	<-r.stopped
	for _, u := range r.shardList() {
		u.closeFiles()
	}
	r.manifest.Close()
	r.lock.Close()
}

// What may have been billed without an answer is known after a kill, with its
// worst case, and reaches the next process as history.
func TestUnknownOutcomes(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 4, 2)
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.AttemptLog(0, 0).Sending(nightshift.Intent{Attempt: 1, WorstTokens: 10, WorstCost: 100}))
	storetest.Must(t, u.Put(storetest.Record("m0", 0, 0)))
	w := u.AttemptLog(1, 1)
	storetest.Must(t, w.Sending(nightshift.Intent{Attempt: 1, WorstTokens: 20, WorstCost: 200}))
	storetest.Must(t,
		w.Failed(nightshift.Attempt{N: 1, Class: nightshift.ClassCut, Cost: storetest.Ptr(nightshift.NanoUSD(7)),
			Usage: nightshift.Usage{Input: nightshift.Tokens(3)}}))
	storetest.Must(t, w.Sending(nightshift.Intent{Attempt: 2, WorstTokens: 30, WorstCost: 300}))
	storetest.Must(t, u.AttemptLog(2, 0).Sending(nightshift.Intent{Attempt: 1, WorstTokens: 40, WorstCost: 400}))
	kill(r)

	st, err := view.Status(dir)
	storetest.Must(t, err)
	if st.Live || st.Done != 1 || len(st.Unknown) != 2 || st.Spent != 1007 || st.AtMost != 1707 {
		t.Fatalf("Status = live %v, done %d, unknown %v, spent %d, at most %d", st.Live, st.Done, st.Unknown, st.Spent,
			st.AtMost)
	}

	r = mustOpen(t, dir, id, Options{})
	unknown := r.Unknown()
	if len(unknown) != 2 || unknown[0].Row != 1 || unknown[0].Epoch != 1 || unknown[0].Attempt != 2 ||
		unknown[0].WorstCost != 300 || unknown[1].Row != 2 || unknown[1].WorstTokens != 40 {
		t.Fatalf("Unknown = %+v", unknown)
	}
	if s := r.Unsettled().Sum(); s.Cost != 7 || s.MaybeCost != 700 || s.MaybeTokens != 70 || s.Attempts != 3 ||
		s.BilledInputTokens.N() != 3 {
		t.Fatalf("Unsettled = %+v", s)
	}
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	if !u.Done(0, 0) || u.Done(1, 1) || u.Remaining() != 7 {
		t.Fatalf("done %v %v, %d remaining", u.Done(0, 0), u.Done(1, 1), u.Remaining())
	}
	log := u.History(1, 1)
	if len(log) != 2 || log[0].Class != nightshift.ClassCut || log[1].Class != nightshift.ClassUnknownOutcome ||
		log[1].N != 2 || !log[1].MaybeBilled || log[1].WorstCost != 300 || log[1].StartedAt.IsZero() {
		t.Fatalf("History = %+v", log)
	}
	if h := u.History(0, 0); h != nil {
		t.Fatalf("History of a settled row = %+v", h)
	}
	// The record takes the history over, and with that the sums move.
	storetest.Must(t, u.Put(storetest.FailedRecord("m0", 1, log)))
	rec := storetest.FailedRecord("m0", 1, log)
	rec.Epoch = 1
	storetest.Must(t, u.Put(rec))
	storetest.Must(t, r.Close("stopped"))
	r = mustOpen(t, dir, id, Options{})
	defer r.Close("")
	if s := r.Unsettled().Sum(); s.Cost != 0 || s.MaybeCost != 400 {
		t.Fatalf("Unsettled = %+v", s)
	}
	if s := r.Totals().Sum(); s.MaybeCost != 600 || s.Cost != 1014 || s.Outcomes[nightshift.OutcomeFailed] != 2 {
		t.Fatalf("Totals = %+v", s)
	}
}

func TestUnsettledMovesToTotals(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 2, 1)
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.AttemptLog(0, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 100}))
	kill(r)
	r = mustOpen(t, dir, id, Options{Strict: true})
	defer r.Close("")
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	if s := r.Unsettled().Sum(); s.MaybeCost != 100 {
		t.Fatalf("Unsettled = %+v", s)
	}
	storetest.Must(t, u.Put(storetest.FailedRecord("m0", 0, u.History(0, 0))))
	if s := r.Unsettled().Sum(); s.MaybeCost != 0 || s.Attempts != 0 {
		t.Fatalf("Unsettled after the record = %+v", s)
	}
	if s := r.Totals().Sum(); s.MaybeCost != 100 {
		t.Fatalf("Totals after the record = %+v", s)
	}
}

// Answers to earlier turns are not asked for again.
func TestTurns(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 2, 1)
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	w := u.AttemptLog(0, 0)
	storetest.Must(t, w.Sending(nightshift.Intent{Attempt: 1, WorstCost: 100}))
	storetest.Must(t, w.Failed(nightshift.Attempt{N: 1, Class: nightshift.ClassServer}))
	storetest.Must(t, w.Sending(nightshift.Intent{Attempt: 2, WorstCost: 100}))
	first := nightshift.Response{
		Text: storetest.Ptr("one\x00"), UsageRaw: json.RawMessage("{broken"), Raw: []byte{0xff, 0},
		StopReason: nightshift.StopEnd,
		Usage:      nightshift.Usage{Input: nightshift.Tokens(0), Output: nightshift.Tokens(4)}, Latency: time.Second,
		Cost: storetest.Ptr(nightshift.NanoUSD(5)),
		Attempts: []nightshift.Attempt{{N: 1, Class: nightshift.ClassServer},
			{N: 2, Cost: storetest.Ptr(nightshift.NanoUSD(5))}},
		Flags: []string{"x"},
	}
	storetest.Must(t, u.PutTurn(0, 0, first))
	storetest.Must(t, w.Sending(nightshift.Intent{Attempt: 3, WorstCost: 100}))
	kill(r)

	r = mustOpen(t, dir, id, Options{})
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	turns := u.Turns(0, 0)
	if len(turns) != 1 || !reflect.DeepEqual(turns[0], first) {
		t.Fatalf("Turns = %+v, want %+v", turns, first)
	}
	if log := u.History(0, 0); len(log) != 1 || log[0].N != 3 {
		t.Fatalf("History = %+v, want the third attempt only", log)
	}
	if s := r.Unsettled().Sum(); s.Cost != 5 || s.MaybeCost != 100 || s.Attempts != 3 {
		t.Fatalf("Unsettled = %+v", s)
	}
	storetest.Must(t, u.PutTurn(0, 0, nightshift.Response{Text: storetest.Ptr("two")}))
	storetest.Must(t, r.Close("stopped"))

	r = mustOpen(t, dir, id, Options{})
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	if turns := u.Turns(0, 0); len(turns) != 2 || *turns[1].Text != "two" || len(u.History(0, 0)) != 0 {
		t.Fatalf("Turns = %+v, History = %+v", turns, u.History(0, 0))
	}
	storetest.Must(t, u.Put(storetest.Record("m0", 0, 0)))
	if u.Turns(0, 0) != nil {
		t.Fatal("a settled row has turns")
	}
	storetest.Must(t, r.Close(""))
}

// Failed rows are run again as a new generation; the old Parquet file stays until all
// of them have a record.
func TestRetryFailed(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 4, 1)
	log := []nightshift.Attempt{{N: 1, Class: nightshift.ClassServer, Cost: storetest.Ptr(nightshift.NanoUSD(3))},
		{N: 2, Class: nightshift.ClassCut, MaybeBilled: true, WorstCost: 50}}
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	for row := range int64(4) {
		if row%2 == 0 {
			storetest.Must(t, u.Put(storetest.Record("m0", row, 0)))
		} else {
			storetest.Must(t, u.Put(storetest.FailedRecord("m0", row, log)))
		}
	}
	storetest.Must(t, u.Commit())
	storetest.Must(t, r.Close("finished"))

	// Without the option nothing is open.
	r = mustOpen(t, dir, id, Options{})
	if !r.Committed("m0", 0) {
		t.Fatal("a shard with failed rows is open without being asked for")
	}
	storetest.Must(t, r.Close("finished"))

	r = mustOpen(t, dir, id, Options{RetryFailed: true})
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	if r.Committed("m0", 0) || u.Remaining() != 2 || u.Done(1, 0) || !u.Done(2, 0) || u.Generation() != 2 {
		t.Fatalf("committed %v, %d remaining, generation %d", r.Committed("m0", 0), u.Remaining(), u.Generation())
	}
	if h := u.History(1, 0); len(h) != 2 || h[1].WorstCost != 50 {
		t.Fatalf("History = %+v, want the attempts of the failed record", h)
	}
	if n := u.Settled(1, 0); n != 2 || u.Settled(2, 0) != 0 {
		t.Fatalf("Settled = %d, want both attempts of the failed record", n)
	}
	if s := r.Unsettled().Sum(); s.Cost != 6 || s.MaybeCost != 100 {
		t.Fatalf("Unsettled = %+v", s)
	}
	if s := r.Totals().Sum(); s.Rows != 2 || s.Cost != 2000 || s.Failed() != 0 {
		t.Fatalf("Totals = %+v", s)
	}
	again := storetest.Record("m0", 1, 0)
	again.Text = storetest.Ptr("second try")
	storetest.Must(t, u.AttemptLog(1, 0).Sending(nightshift.Intent{Attempt: 3}))
	storetest.Must(t, u.Put(again))
	kill(r)

	// Readers see the new record in its old place, and the old one for the rest.
	if got := collect(t, dir, view.ReadOptions{}); len(got) != 4 || got["m0/1/0"] != "second try" ||
		got["m0/3/0"] != "failed" {
		t.Fatalf("rows = %v", got)
	}
	st, err := view.Status(dir)
	storetest.Must(t, err)
	if st.Done != 4 || st.Failed != 1 {
		t.Fatalf("Status: done %d, failed %d; want 4, 1", st.Done, st.Failed)
	}
	if rep, err := view.Verify(dir, true); err != nil || !rep.OK() || rep.Recorded != 4 {
		t.Fatalf("Verify = %+v, %v", rep, err)
	}

	// An old generation that was not set aside yet is no damage.
	left := filepath.Join(dir, rundir.ResultsDir, "m0-000000.parquet")

	// A retry that was interrupted goes on, with or without the option.
	r = mustOpen(t, dir, id, Options{})
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	if u.Remaining() != 1 || !u.Done(1, 0) || u.Done(3, 0) {
		t.Fatalf("%d remaining, done %v %v", u.Remaining(), u.Done(1, 0), u.Done(3, 0))
	}
	storetest.Must(t,
		u.Put(storetest.FailedRecord("m0", 3,
			append(slices.Clip(log), nightshift.Attempt{N: 3, Class: nightshift.ClassServer}))))
	old, err := os.ReadFile(left)
	storetest.Must(t, err)
	storetest.Must(t, u.Commit())
	storetest.Must(t, r.Close("finished"))
	storetest.Must(t, os.WriteFile(left, old, 0o600))
	if rep, err := view.Verify(dir, true); err != nil || !rep.OK() || len(rep.Problems) != 1 || rep.Recorded != 4 {
		t.Fatalf("Verify = %+v, %v", rep, err)
	}
	storetest.Must(t, os.Remove(left))
	if got := collect(t, dir, view.ReadOptions{}); len(got) != 4 || got["m0/1/0"] != "second try" ||
		got["m0/3/0"] != "failed" || got["m0/0/0"] != "answer to 0.0" {
		t.Fatalf("rows = %v", got)
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*", "m0-*"))
	if want := []string{"quarantine/m0-000000.parquet", "results/m0-000000.g2.parquet"}; !slices.Equal(
		trimAll(names, dir+"/"), want) {
		t.Fatalf("files %q, want %q", trimAll(names, dir+"/"), want)
	}
	info, err := view.ReadInfo(dir)
	storetest.Must(t, err)
	if got := info.Totals.Sum(); got.Rows != 4 || got.Failed() != 1 {
		t.Fatalf("Totals = %+v", got)
	}
}

func trimAll(names []string, prefix string) []string {
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], prefix)
	}
	return names
}

// In a shard that is not committed yet, failed rows are run again too, and
// their attempts stay on the bill.
func TestRetryFailedInOpenShard(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 3, 1)
	log := []nightshift.Attempt{{N: 1, Class: nightshift.ClassServer, Cost: storetest.Ptr(nightshift.NanoUSD(3))}}
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.Put(storetest.FailedRecord("m0", 0, log)))
	storetest.Must(t, u.Put(storetest.Record("m0", 1, 0)))
	storetest.Must(t, r.Close("stopped"))

	r = mustOpen(t, dir, id, Options{})
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	if !u.Done(0, 0) || u.Remaining() != 1 {
		t.Fatalf("a failed row is sent again without being asked for")
	}
	storetest.Must(t, r.Close("stopped"))

	r = mustOpen(t, dir, id, Options{RetryFailed: true})
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	if u.Done(0, 0) || u.Remaining() != 2 || len(u.History(0, 0)) != 1 {
		t.Fatalf("done %v, %d remaining, history %v", u.Done(0, 0), u.Remaining(), u.History(0, 0))
	}
	storetest.Must(t, u.AttemptLog(0, 0).Sending(nightshift.Intent{Attempt: 2, WorstCost: 9}))
	kill(r)

	// The retry had begun, so it is not settled, and its intent is unknown.
	r = mustOpen(t, dir, id, Options{})
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	if h := u.History(0, 0); u.Done(0, 0) || len(h) != 2 || h[1].Class != nightshift.ClassUnknownOutcome ||
		len(r.Unknown()) != 1 {
		t.Fatalf("done %v, history %+v, unknown %v", u.Done(0, 0), h, r.Unknown())
	}
	if n := u.Settled(0, 0); n != 1 {
		t.Fatalf("Settled = %d: the attempt of the retry counts, that of the record does not", n)
	}
	storetest.Must(t, u.Put(storetest.Record("m0", 0, 0)))
	storetest.Must(t, u.Put(storetest.Record("m0", 2, 0)))
	storetest.Must(t, u.Commit())
	storetest.Must(t, r.Close("finished"))
	if got := collect(t, dir, view.ReadOptions{}); got["m0/0/0"] != "answer to 0.0" || len(got) != 3 {
		t.Fatalf("rows = %v", got)
	}
}

func TestMismatch(t *testing.T) {
	dir := t.TempDir()
	id := identity(2, 2, 3, 1)
	id.Plan = json.RawMessage(`{"models":[{"name":"m0","params":{"max_tokens":512}}],"budget":{"usd":1},"out":"x"}`)
	id.MayChange = []string{"budget"}
	first := mustOpen(t, dir, id, Options{})
	put(t, first, "m0", 0, 1)
	storetest.Must(t, first.Close("stopped"))
	for _, tc := range []struct {
		name   string
		change func(*Identity)
		want   []string // a difference holds each
	}{
		{"plan", func(id *Identity) {
			id.PlanHash = "other"
			id.Plan = json.RawMessage(`{"models":[{"name":"m0","params":{"max_tokens":1024}}],"budget":{"usd":2},"seed":7}`)
		}, []string{"models[0].params.max_tokens: 512 → 1024", `out: "x" → (absent)`, "seed: (absent) → 7"}},
		{"plan hash alone", func(id *Identity) { id.PlanHash = "other" }, []string{"plan hash: p → other"}},
		{"slice", func(id *Identity) {
			id.Chunks = slices.Clone(id.Chunks)
			id.Chunks[1].Hash[0]++
		}, []string{"dataset rows 3–5 have changed"}},
		{"dataset", func(id *Identity) { id.DatasetHash = "e" }, []string{"dataset hash: d → e"}},
		{"models", func(id *Identity) { id.Models = []string{"m0", "mX"} }, []string{"models: m0, m1 → m0, mX"}},
		{"epochs", func(id *Identity) { id.Epochs = 3 }, []string{"epochs: 1 → 3"}},
		{"name", func(id *Identity) { id.Name = "other" }, []string{"name: test → other"}},
		{"rows", func(id *Identity) {
			id.Chunks = id.Chunks[:1]
			id.DatasetRows = 3
		}, []string{"dataset rows: 6 → 3", "shards: 2 → 1"}},
	} {
		other := id
		tc.change(&other)
		_, err := Open(dir, other, Options{ReserveFile: -1})
		var m *MismatchError
		if !errors.As(err, &m) {
			t.Errorf("%s: Open = %v, want a MismatchError", tc.name, err)
			continue
		}
		for _, w := range tc.want {
			if !slices.Contains(m.Differences, w) {
				t.Errorf("%s: differences %q lack %q", tc.name, m.Differences, w)
			}
		}
		if len(m.Differences) != len(tc.want) {
			t.Errorf("%s: differences %q, want %d", tc.name, m.Differences, len(tc.want))
		}
	}
	// What may change may change, and the new plan is noted.
	id.Plan = json.RawMessage(`{"models":[],"budget":{"usd":9}}`)
	id.Tool = "v9"
	storetest.Must(t, mustOpen(t, dir, id, Options{}).Close("stopped: budget"))
	info, err := view.ReadInfo(dir)
	storetest.Must(t, err)
	if info.Tool != "v9" || !strings.Contains(string(info.Plan), "9") || info.State != "stopped: budget" ||
		len(info.Starts) != 2 {
		t.Fatalf("ReadInfo = %+v", info)
	}
}

func TestIdentityIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Identity){
		"no model":       func(id *Identity) { id.Models = nil },
		"same model":     func(id *Identity) { id.Models = []string{"a", "a"} },
		"gap":            func(id *Identity) { id.Chunks[1].First = 7 },
		"empty slice":    func(id *Identity) { id.Chunks[1].Rows = 0 },
		"rows not cut":   func(id *Identity) { id.DatasetRows++ },
		"plan not JSON":  func(id *Identity) { id.Plan = json.RawMessage("{") },
		"epochs below 0": func(id *Identity) { id.Epochs = -1 },
	} {
		id := identity(1, 2, 3, 1)
		change(&id)
		dir := filepath.Join(t.TempDir(), "run")
		if _, err := Open(dir, id, Options{}); err == nil {
			t.Errorf("%s: Open is content", name)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the directory was made", name)
		}
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 3, 1)
	r := mustOpen(t, dir, id, Options{})
	_, err := Open(dir, id, Options{})
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Since.IsZero() {
		t.Fatalf("second Open = %v, want a LockedError with this process", err)
	}
	st, err := view.Status(dir)
	storetest.Must(t, err)
	if !st.Live || st.PID != os.Getpid() {
		t.Fatalf("Status: live %v, process %d", st.Live, st.PID)
	}
	storetest.Must(t, r.Close("stopped"))
	st, err = view.Status(dir)
	storetest.Must(t, err)
	if st.Live || st.State != "stopped" {
		t.Fatalf("Status after Close: live %v, %q", st.Live, st.State)
	}
	storetest.Must(t, mustOpen(t, dir, id, Options{}).Close(""))
}

// Parquet files that the manifest lacks are adopted when they are whole, and set aside
// when not; either way every row is there once.
func TestAdoption(t *testing.T) {
	prepare := func(t *testing.T) (string, Identity) {
		dir := t.TempDir()
		id := identity(1, 2, 3, 1)
		r := mustOpen(t, dir, id, Options{})
		for n := range 2 {
			fillShard(t, r, "m0", n)
		}
		storetest.Must(t, r.Close("finished"))
		return dir, id
	}
	parquetFile := func(dir string) string { return filepath.Join(dir, rundir.ResultsDir, "m0-000001.parquet") }
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   int64 // rows on record
		says   string
	}{
		{"manifest gone", func(t *testing.T, dir string) {
			storetest.Must(t, os.Remove(filepath.Join(dir, rundir.ManifestFile)))
		}, 6, ""},
		{"manifest cut in its last line", func(t *testing.T, dir string) {
			truncate(t, filepath.Join(dir, rundir.ManifestFile), -5)
		}, 6, "not finished"},
		{"manifest of zeros", func(t *testing.T, dir string) {
			storetest.Must(t, os.WriteFile(filepath.Join(dir, rundir.ManifestFile), make([]byte, 400), 0o600))
		}, 6, "not finished"},
		{"a bit of the manifest", func(t *testing.T, dir string) {
			flipBit(t, filepath.Join(dir, rundir.ManifestFile), 200)
		}, 6, "damaged"},
		{"manifest and part cut", func(t *testing.T, dir string) {
			storetest.Must(t, os.Remove(filepath.Join(dir, rundir.ManifestFile)))
			truncate(t, parquetFile(dir), -100)
		}, 3, "not whole"},
		{"manifest gone, page of a part damaged", func(t *testing.T, dir string) {
			storetest.Must(t, os.Remove(filepath.Join(dir, rundir.ManifestFile)))
			flipBit(t, parquetFile(dir), 60)
		}, 3, "not whole"},
		{"manifest gone, part of another shard under this name", func(t *testing.T, dir string) {
			storetest.Must(t, os.Remove(filepath.Join(dir, rundir.ManifestFile)))
			b, err := os.ReadFile(filepath.Join(dir, rundir.ResultsDir, "m0-000000.parquet"))
			storetest.Must(t, err)
			storetest.Must(t, os.WriteFile(parquetFile(dir), b, 0o600))
		}, 3, "not whole"},
		{"strange files", func(t *testing.T, dir string) {
			storetest.Must(t, os.WriteFile(filepath.Join(dir, rundir.ResultsDir, "notes.txt"), []byte("x"), 0o600))
			storetest.Must(t, os.WriteFile(filepath.Join(dir, rundir.JournalDir, "notes.txt"), []byte("x"), 0o600))
			storetest.Must(t, os.WriteFile(filepath.Join(dir, rundir.TmpDir, "m0-000001.parquet.1"), []byte("x"), 0o600))
		}, 6, "left alone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir, id := prepare(t)
			tc.damage(t, dir)
			if _, err := view.Status(dir); err != nil {
				t.Errorf("Status on the damaged run: %v", err)
			}
			var notices []string
			r := mustOpen(t, dir, id, Options{Notice: func(s string) { notices = append(notices, s) }})
			if got := r.Totals().Sum().Rows; got != tc.want {
				t.Errorf("%d rows on record, want %d", got, tc.want)
			}
			if said := strings.Join(notices, "\n"); (tc.says == "") != (said == "") || !strings.Contains(said, tc.says) {
				t.Errorf("notices %q, want %q", said, tc.says)
			}
			for n := range 2 {
				if !r.Committed("m0", n) {
					fillShard(t, r, "m0", n)
				}
			}
			storetest.Must(t, r.Close("finished"))
			if got := collect(t, dir, view.ReadOptions{}); len(got) != 6 {
				t.Errorf("rows = %v", got)
			}
			rep, err := view.Verify(dir, true)
			storetest.Must(t, err)
			for _, p := range rep.Problems {
				if !strings.Contains(p.Path, "notes.txt") {
					t.Errorf("Verify: %v", p)
				}
			}
		})
	}
}

// A Parquet file that the manifest lists and that is gone or cut is not paid for
// again behind the user's back.
func TestListedParquetFileMissing(t *testing.T) {
	for _, damage := range []func(t *testing.T, parquetFile string){
		func(t *testing.T, parquetFile string) { storetest.Must(t, os.Remove(parquetFile)) },
		func(t *testing.T, parquetFile string) { truncate(t, parquetFile, -1) },
	} {
		dir := t.TempDir()
		id := identity(1, 1, 3, 1)
		r := mustOpen(t, dir, id, Options{})
		fillShard(t, r, "m0", 0)
		storetest.Must(t, r.Close("finished"))
		damage(t, filepath.Join(dir, rundir.ResultsDir, "m0-000000.parquet"))
		_, err := Open(dir, id, Options{ReserveFile: -1})
		var se *disk.StorageError
		if !errors.As(err, &se) || !strings.Contains(se.Hint, "manifest.jsonl") {
			t.Errorf("Open = %v, want a StorageError that says what to do", err)
		}
		st, err := view.Status(dir)
		if err != nil || len(st.Damage) != 1 {
			t.Errorf("Status: damage %q, %v", st.Damage, err)
		}
		if rep, err := view.Verify(dir, false); err != nil || rep.OK() {
			t.Errorf("Verify = %+v, %v", rep, err)
		}
	}
}

// A journal of another run that was copied in is not taken for ours.
func TestForeignJournal(t *testing.T) {
	id := identity(1, 1, 3, 1)
	other := t.TempDir()
	r := mustOpen(t, other, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.Put(storetest.Record("m0", 0, 0)))
	storetest.Must(t, r.Close("stopped"))
	dir := t.TempDir()
	storetest.Must(t, mustOpen(t, dir, id, Options{}).Close("stopped"))
	b, err := os.ReadFile(filepath.Join(other, rundir.JournalDir, "m0-000000.g1.e0001.jsonl"))
	storetest.Must(t, err)
	storetest.Must(t, os.WriteFile(filepath.Join(dir, rundir.JournalDir, "m0-000000.g1.e0001.jsonl"), b, 0o600))
	if got := collect(t, dir, view.ReadOptions{}); len(got) != 0 {
		t.Fatalf("a reader takes rows of another run: %v", got)
	}
	var notices []string
	r = mustOpen(t, dir, id, Options{Notice: func(s string) { notices = append(notices, s) }})
	defer r.Close("")
	if r.Totals().Sum().Rows != 0 || len(notices) != 1 || !strings.Contains(notices[0], "belongs to run") {
		t.Fatalf("%d rows, notices %q", r.Totals().Sum().Rows, notices)
	}
}

// A directory that holds answers but no run.json is not started over.
func TestRunFileMissing(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 3, 1)
	r := mustOpen(t, dir, id, Options{})
	fillShard(t, r, "m0", 0)
	storetest.Must(t, r.Close("finished"))
	storetest.Must(t, os.Remove(filepath.Join(dir, rundir.RunFile)))
	_, err := Open(dir, id, Options{ReserveFile: -1})
	var se *disk.StorageError
	if !errors.As(err, &se) || !strings.Contains(se.Error(), "run.json") {
		t.Fatalf("Open = %v, want a StorageError about run.json", err)
	}
	if _, err := view.ReadInfo(dir); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("ReadInfo = %v, want fs.ErrNotExist", err)
	}
}

func TestPutRefusesWhatDoesNotBelong(t *testing.T) {
	r := mustOpen(t, t.TempDir(), identity(2, 2, 3, 1), Options{})
	defer r.Close("")
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.Put(storetest.Record("m0", 0, 0)))
	for name, rec := range map[string]*nightshift.Record{
		"row of another shard": storetest.Record("m0", 3, 0),
		"another model":        storetest.Record("m1", 1, 0),
		"another epoch":        storetest.Record("m0", 1, 1),
		"a second record":      storetest.Record("m0", 0, 0),
	} {
		if err := u.Put(rec); err == nil {
			t.Errorf("%s: Put is content", name)
		}
	}
	if err := u.Commit(); err == nil {
		t.Error("Commit is content with a shard that has items left")
	}
	if _, err := r.OpenShard("m9", 0); err == nil {
		t.Error("OpenShard is content with a model that is not there")
	}
	if _, err := r.OpenShard("m0", 2); err == nil {
		t.Error("OpenShard is content with a shard that is not there")
	}
	if same, err := r.OpenShard("m0", 0); err != nil || same != u {
		t.Errorf("OpenShard again = %p, %v, want the same shard", same, err)
	}
}

// Put may repair what it keeps, but not the caller's record.
func TestPutLeavesTheRecordAlone(t *testing.T) {
	r := mustOpen(t, t.TempDir(), identity(1, 1, 3, 1), Options{})
	defer r.Close("")
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	rec := storetest.Record("m0", 0, 0)
	rec.Text, rec.RawResponse = storetest.Ptr("caf\xe9"), storetest.Ptr("raw caf\xe9")
	storetest.Must(t, u.Put(rec))
	if *rec.Text != "caf\xe9" || rec.Flags != nil || rec.RawBytes != nil {
		t.Fatalf("the caller's record was changed: %+v", rec)
	}
}

// Many goroutines write to several shards while others are committed.
func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	id := identity(3, 3, 20, 2)
	r := mustOpen(t, dir, id, Options{})
	errs := make(chan error)
	n := 0
	for _, m := range id.Models {
		for shard := range id.Chunks {
			n++
			go func() { errs <- writeShard(r, m, shard, id.Epochs) }()
		}
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
		r.Totals()
		r.Unsettled()
	}
	storetest.Must(t, r.Close("finished"))
	if got := collect(t, dir, view.ReadOptions{}); len(got) != 360 {
		t.Fatalf("%d rows of 360", len(got))
	}
	rep, err := view.Verify(dir, true)
	if err != nil || !rep.OK() || rep.Decoded != 360 {
		t.Fatalf("Verify = %+v, %v", rep, err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, rundir.JournalDir, "*")); len(names) != 0 {
		t.Fatalf("journals are left: %q", names)
	}
}

func writeShard(r *Run, model string, shard, epochs int) error {
	u, err := r.OpenShard(model, shard)
	if err != nil {
		return err
	}
	errs := make(chan error)
	s := u.Chunk()
	for e := range epochs {
		go func() {
			for row := s.First; row < s.First+s.Rows; row++ {
				w := u.AttemptLog(row, e)
				if err := errors.Join(w.Sending(nightshift.Intent{Attempt: 1}),
					u.Put(storetest.Record(model, row, e))); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range epochs {
		if e := <-errs; e != nil {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("shard %d of %s: %w", shard, model, err)
	}
	return u.Commit()
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

func TestModelNamesBecomeFileNames(t *testing.T) {
	models := []string{"plain-1.5_x", "openai/gpt-5", "GPT", "gpt", "../../etc", "ünïcode", strings.Repeat("long", 50),
		".", "a b"}
	names := rundir.Slugs(models)
	seen := map[string]bool{}
	for i, n := range names {
		if seen[strings.ToLower(n)] || strings.Trim(n, nameLetters) != "" || len(n) > 70 {
			t.Errorf("%q becomes %q", models[i], n)
		}
		seen[strings.ToLower(n)] = true
	}
	if names[0] != models[0] {
		t.Errorf("%q becomes %q", models[0], names[0])
	}
	dir := t.TempDir()
	id := identity(1, 1, 2, 1)
	id.Models = models
	r := mustOpen(t, dir, id, Options{})
	for _, m := range models {
		fillShard(t, r, m, 0)
	}
	storetest.Must(t, r.Close("finished"))
	if got := collect(t, dir, view.ReadOptions{}); len(got) != 2*len(models) {
		t.Fatalf("rows = %v", got)
	}
	storetest.Must(t, os.Remove(filepath.Join(dir, rundir.ManifestFile)))
	r = mustOpen(t, dir, id, Options{})
	defer r.Close("")
	if got := r.Totals().Sum().Rows; got != int64(2*len(models)) {
		t.Fatalf("%d rows adopted", got)
	}
}

// A run may use only some rows of a shard: the others get no record, and are
// missed by nobody.
func TestSkippedRows(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 3, 4, 2)
	id.Chunks[0].Skipped, id.Chunks[1].Skipped = 2, 4 // rows 0 and 3; all
	r := mustOpen(t, dir, id, Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	for _, row := range []int64{2, 1} {
		for e := range 2 {
			storetest.Must(t, u.Put(storetest.Record("m0", row, e)))
		}
	}
	if err := u.Put(storetest.Record("m0", 3, 0)); err == nil {
		t.Fatal("Put takes a record more than the shard has")
	}
	storetest.Must(t, u.Commit())
	u, err = r.OpenShard("m0", 2)
	storetest.Must(t, err)
	storetest.Must(t, u.Put(storetest.Record("m0", 8, 0)))
	storetest.Must(t, r.Close("stopped"))
	storetest.Must(t, os.Remove(filepath.Join(dir, rundir.ManifestFile))) // the Parquet file is adopted
	r = mustOpen(t, dir, id, Options{})
	if !r.Committed("m0", 0) || r.Totals().Sum().Rows != 5 {
		t.Fatalf("committed %v, %d rows", r.Committed("m0", 0), r.Totals().Sum().Rows)
	}
	fillShard(t, r, "m0", 2)
	storetest.Must(t, r.Close("finished"))
	rep, err := view.Verify(dir, true)
	if err != nil || !rep.OK() || rep.Items != 12 || rep.Recorded != 12 {
		t.Fatalf("Verify = %+v, %v", rep, err)
	}
	other := id
	other.Chunks = slices.Clone(id.Chunks)
	other.Chunks[0].Skipped = 1
	var m *MismatchError
	if _, err := Open(dir, other, Options{ReserveFile: -1}); !errors.As(err, &m) {
		t.Fatalf("Open with another choice of rows = %v", err)
	}
}

// collect reads a run into item → text or outcome.
func collect(t testing.TB, dir string, o view.ReadOptions) map[string]string {
	t.Helper()
	type row struct {
		Model   string             `parquet:"model,dict"`
		Row     int64              `parquet:"row"`
		Epoch   int32              `parquet:"epoch"`
		Outcome nightshift.Outcome `parquet:"outcome,dict"`
		Text    *string            `parquet:"text,optional"`
	}
	got := map[string]string{}
	for r, err := range view.Rows[row](dir, o) {
		storetest.Must(t, err)
		name := itemName(r.Model, r.Row, int(r.Epoch))
		if _, twice := got[name]; twice {
			t.Fatalf("%s is there twice", name)
		}
		got[name] = string(r.Outcome)
		if r.Text != nil {
			got[name] = *r.Text
		}
	}
	return got
}

// fillShard puts a record of every open item on record and commits the shard.
func fillShard(t testing.TB, r *Run, model string, n int) {
	t.Helper()
	u, err := r.OpenShard(model, n)
	storetest.Must(t, err)
	s := u.Chunk()
	for row := s.First; row < s.First+s.Rows; row++ {
		for e := range r.id.Epochs {
			if !u.Done(row, e) {
				storetest.Must(t, u.Put(storetest.Record(model, row, e)))
			}
		}
	}
	storetest.Must(t, u.Commit())
}

func flipBit(t testing.TB, name string, at int) {
	t.Helper()
	b, err := os.ReadFile(name)
	storetest.Must(t, err)
	b[at] ^= 4
	storetest.Must(t, os.WriteFile(name, b, 0o600))
}

func truncate(t testing.TB, name string, by int64) {
	t.Helper()
	info, err := os.Stat(name)
	storetest.Must(t, err)
	storetest.Must(t, os.Truncate(name, info.Size()+by))
}
