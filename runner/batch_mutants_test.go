package runner_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"nightshift/internal/testdata/mutanttest"
)

// Mistakes that would lose answers or money, each made in a copy of a file, and
// the tests that have to fail then.
var mutants = []struct {
	name, file, old, new, pkg, run string
	kills                          string // of processes, where that is what finds it
}{
	{"a batch is created before that is on record", "batch_submit.go",
		`	if err := b.changed(a, b.Store.BatchCreating(a.N, b.API.ServerTime())); err != nil {
		return err
	}
	crashPoint("batch.create-sent")
	made, err := b.API.Create(b.calls, b.order(a))
	crashPoint("batch.create-answered")
`, `	made, err := b.API.Create(b.calls, b.order(a))
	crashPoint("batch.create-answered")
	if err := b.changed(a, b.Store.BatchCreating(a.N, b.API.ServerTime())); err != nil {
		return err
	}
	crashPoint("batch.create-sent")
`, ".", "BatchKill", "60"},
	{"the provider's id is not synced", "store/internal/batchlog/line.go", "	case kindUploaded, kindSuspect,",
		"	case kindCreated, kindUploaded, kindSuspect,", "./store", "TestPowerLoss", ""},
	{"the error file is not read", "batch_fetch.go",
		"range r.Results {", "range r.Results[:1] {", ".", "TestBatchRowErrors", ""},
	{"a batch that is not found is sent again", "batch_poll.go", `	return b.giveUp(a, r, "the provider does not know`,
		`	if b != nil {
		return b.collected(a, store.BatchSums{}, amount{})
	}
	return b.giveUp(a, r, "the provider does not know`, ".", "TestBatchGone", ""},
	{"rows go live before their batch has ended", "batch_poll.go", "	case !r.Phase.Ended():\n",
		"	case r.Phase == nightshift.BatchCancelling:\n		return true\n	case !r.Phase.Ended():\n",
		".", "TestBatchDeadline", ""},
	{"files are deleted before the shard is committed", "batch_collect.go", "	crashPoint(\"batch.collected\")\n",
		"	if b.Delete {\n		b.deleted(b.calls, a)\n	}\n", ".", "TestBatchDelete", ""},
	{"a create call that was lost is repeated", "batch_submit.go", `	crashPoint("batch.create-answered")
`, `	if err != nil {
		made, err = b.API.Create(b.calls, b.order(a))
	}
`, ".", "TestBatchCreateLost", ""},
	{"counts decide which files are read", "batch_fetch.go", "			i++\n",
		"			if i++; i > 0 && r.Counts.Failed.Known() && r.Counts.Failed.N() == 0 {\n				continue\n			}\n",
		".", "TestBatchRowErrors", ""},
}

// TestBatchMutants makes each mistake, and fails when no test finds it.
func TestBatchMutants(t *testing.T) {
	if os.Getenv("NIGHTSHIFT_LONG") == "" {
		t.Skip("builds the tests anew for every mistake: set NIGHTSHIFT_LONG=1")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			overlay := mutanttest.Overlay(t, m.file, m.old, m.new)
			cmd := exec.Command("go", "test", "-count=1", "-overlay", overlay, "-run", m.run, m.pkg)
			cmd.Env = append(os.Environ(), "NIGHTSHIFT_LONG=", "NIGHTSHIFT_KILLS="+m.kills)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL") {
				t.Errorf("no test of %s finds it: %v\n%s", m.run, err, out)
			}
		})
	}
}
