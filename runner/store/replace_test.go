package store

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"nightshift"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/view"
)

// moved is an identity whose only difference is where its model is reached.
func moved(id Identity, url string) Identity {
	id.Plan = json.RawMessage(`{"models":[{"name":"m0","base_url":"` + url + `"}]}`)
	id.PlanHash = "plan of " + url
	return id
}

// A run that holds no answer and nothing that may have been billed takes any
// plan and dataset; what it held is set aside.
func TestRunWithoutAnswersTakesAnotherPlan(t *testing.T) {
	failed := storetest.Record("m0", 0, 0)
	failed.Outcome, failed.Text, failed.CostNanoUSD, failed.CostUSD = nightshift.OutcomeFailed, nil,
		storetest.Ptr(int64(0)), storetest.Ptr(0.0)
	failed.InputTokens, failed.OutputTokens = nil, nil
	free := nightshift.Attempt{N: 1}
	for name, before := range map[string]func(*Shard) error{
		"nothing": func(*Shard) error { return nil },
		"an attempt that was refused": func(u *Shard) error {
			w := u.AttemptLog(0, 0)
			return errors.Join(w.Sending(nightshift.Intent{Attempt: 1}), w.Failed(free))
		},
		"a failed row": func(u *Shard) error { return u.Put(failed) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := mustOpen(t, dir, moved(identity(1, 1, 3, 1), "http://127.0.0.1:1"), Options{})
			u, err := r.OpenShard("m0", 0)
			storetest.Must(t, err)
			storetest.Must(t, before(u))
			storetest.Must(t, r.Close("stopped"))
			other := moved(identity(2, 2, 4, 1), "http://127.0.0.1:2")
			r = mustOpen(t, dir, other, Options{})
			put(t, r, "m0", 0, 4)
			storetest.Must(t, r.Close("stopped"))
			info, err := view.ReadInfo(dir)
			storetest.Must(t, err)
			if info.PlanHash != other.PlanHash || info.DatasetRows != 8 || len(info.ParquetFiles) != 1 {
				t.Fatalf("ReadInfo = %+v, want the new plan with one Parquet file", info)
			}
			v, err := view.Verify(dir, true)
			storetest.Must(t, err)
			if !v.OK() {
				t.Errorf("Verify = %+v", v)
			}
		})
	}
}

// A run that may have been billed keeps its plan.
func TestRunThatMayHaveBeenBilledKeepsItsPlan(t *testing.T) {
	for name, before := range map[string]func(*Shard) error{
		"an answer":                func(u *Shard) error { return u.Put(storetest.Record("m0", 0, 0)) },
		"a request without a word": func(u *Shard) error { return u.AttemptLog(0, 0).Sending(nightshift.Intent{Attempt: 1}) },
		"a failed attempt that cost": func(u *Shard) error {
			w := u.AttemptLog(0, 0)
			return errors.Join(w.Sending(nightshift.Intent{Attempt: 1}), w.Failed(nightshift.Attempt{N: 1, MaybeBilled: true}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			id := moved(identity(1, 1, 3, 1), "http://127.0.0.1:1")
			r := mustOpen(t, dir, id, Options{})
			u, err := r.OpenShard("m0", 0)
			storetest.Must(t, err)
			storetest.Must(t, before(u))
			storetest.Must(t, r.Close("stopped"))
			_, err = Open(dir, moved(id, "http://127.0.0.1:2"), Options{ReserveFile: -1})
			var m *MismatchError
			if !errors.As(err, &m) || !m.OnlyEndpoint || !strings.Contains(err.Error(), "--moved-endpoint") {
				t.Fatalf("Open = %v, want a MismatchError that names --moved-endpoint", err)
			}
		})
	}
}

// MovedEndpoint accepts another address of the same models, once for all, and
// nothing else.
func TestMovedEndpoint(t *testing.T) {
	dir := t.TempDir()
	here, there := moved(identity(1, 1, 3, 1), "http://127.0.0.1:1"), moved(identity(1, 1, 3, 1), "http://127.0.0.1:2")
	r := mustOpen(t, dir, here, Options{})
	put(t, r, "m0", 0, 1)
	storetest.Must(t, r.Close("stopped"))
	storetest.Must(t, mustOpen(t, dir, there, Options{MovedEndpoint: true}).Close("stopped"))
	storetest.Must(t, mustOpen(t, dir, here, Options{}).Close("stopped"))
	r = mustOpen(t, dir, there, Options{})
	put(t, r, "m0", 0, 3)
	storetest.Must(t, r.Close("finished"))
	v, err := view.Verify(dir, true)
	storetest.Must(t, err)
	if !v.OK() {
		t.Errorf("Verify = %+v", v)
	}
	other := there
	other.Plan = json.RawMessage(`{"models":[{"name":"m0","base_url":"http://127.0.0.1:2","params":{"top_p":1}}]}`)
	other.PlanHash = "other"
	_, err = Open(dir, other, Options{ReserveFile: -1, MovedEndpoint: true})
	var m *MismatchError
	if !errors.As(err, &m) || m.OnlyEndpoint || !slices.ContainsFunc(m.Differences, func(s string) bool {
		return strings.Contains(s, "params")
	}) {
		t.Errorf("Open = %v, want a MismatchError about params", err)
	}
}

// However a replacement is cut short, by a failed operation or by a power
// loss, the next start completes it.
func TestReplacementIsCompleted(t *testing.T) {
	before, after := moved(identity(1, 1, 3, 1), "http://127.0.0.1:1"), moved(identity(2, 2, 4, 1), "http://127.0.0.1:2")
	mem := storetest.NewFS()
	mustMkdir(t, mem, "/runs")
	r := mustOpen(t, crashDir, before, Options{fs: mem})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	w := u.AttemptLog(0, 0)
	storetest.Must(t, errors.Join(w.Sending(nightshift.Intent{Attempt: 1}), w.Failed(nightshift.Attempt{N: 1})))
	storetest.Must(t, r.Close("stopped"))
	for n := 1; ; n++ {
		broken := mem.Clone()
		fired := fault{err: syscall.EIO, stays: true}.failAt(broken, n)
		if r, err := Open(crashDir, after, Options{fs: broken, ReserveFile: -1}); err == nil {
			_ = r.Close("stopped")
		}
		if *fired == "" {
			if n < 20 {
				t.Fatalf("the replacement took %d operations", n)
			}
			return
		}
		broken.Before = nil
		for seed := range uint64(4) {
			left := broken.Crash(rand.New(rand.NewPCG(seed, 0)))
			r, err := Open(crashDir, after, Options{fs: left, ReserveFile: -1})
			if err != nil {
				t.Fatalf("after %s failed: Open = %v", *fired, err)
			}
			storetest.Must(t, r.Close("stopped"))
		}
	}
}
