package runner_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
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
			cmd := exec.Command("go", "test", "-count=1", "-overlay", overlay(t, m.file, m.old, m.new), "-run", m.run, m.pkg)
			cmd.Env = append(os.Environ(), "NIGHTSHIFT_LONG=", "NIGHTSHIFT_KILLS="+m.kills)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL") {
				t.Errorf("no test of %s finds it: %v\n%s", m.run, err, out)
			}
		})
	}
}

// overlay is a file for go's -overlay that puts a changed copy in place of a
// source file.
func overlay(t *testing.T, name, old, new string) string {
	t.Helper()
	path, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil || strings.Count(string(source), old) != 1 {
		t.Fatalf("%s has %d places like %q, want 1: %v", name, strings.Count(string(source), old), old, err)
	}
	dir := t.TempDir()
	changed, list := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string][]byte{changed: []byte(strings.Replace(string(source), old, new, 1)), list: text} {
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return list
}
