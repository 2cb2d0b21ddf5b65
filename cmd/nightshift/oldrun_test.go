package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// testdata/oldrun holds a finished run with a judge, and one that was killed
// with answers in its journal, both written by an earlier version; the JSONL
// files beside them are that version's export of some columns.

// oldRun copies one of the runs, with its plan and dataset, and returns where
// the copy lies.
func oldRun(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/oldrun")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// exported reads JSON lines by model, row and epoch.
func exported(t *testing.T, text []byte) map[string]map[string]any {
	t.Helper()
	rows := map[string]map[string]any{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row map[string]any
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		key, err := json.Marshal([]any{row["model"], row["row"], row["epoch"]})
		if err != nil {
			t.Fatal(err)
		}
		rows[string(key)] = row
	}
	return rows
}

// sameColumns compares the columns that an earlier version exported with what
// this one does.
func sameColumns(t *testing.T, file string, now []byte) (rows int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := exported(t, now)
	for key, want := range exported(t, text) {
		for column, value := range want {
			if !reflect.DeepEqual(got[key][column], value) {
				t.Errorf("%s of %s = %v, want %v", column, key, got[key][column], value)
			}
		}
	}
	return len(got)
}

func TestFinishedRunOfAnEarlierVersion(t *testing.T) {
	run := oldRun(t, "finished")
	for _, tc := range []struct {
		args string
		want string
	}{
		{"verify --deep", "ok"},
		{"status", "on record  48 of 48"},
		{"report", "small   grade"},
		{"cost", "grade"},
		{"compare", "small"},
	} {
		args := strings.Fields(tc.args)
		code, out, errs := call(t, context.Background(), append(args, run)...)
		if code != exitOK || !strings.Contains(out, tc.want) {
			t.Errorf("%s: exit code %d, output lacks %q: %s%s", tc.args, code, tc.want, out, errs)
		}
	}
	code, out, errs := call(t, context.Background(), "export", run, "--format", "jsonl")
	if code != exitOK {
		t.Fatalf("export: exit code %d: %s", code, errs)
	}
	if n := sameColumns(t, "testdata/oldrun/finished.jsonl", []byte(out)); n != 48 {
		t.Errorf("%d rows, want 48", n)
	}
}

func TestKilledRunOfAnEarlierVersionResumes(t *testing.T) {
	t.Parallel()
	run := oldRun(t, "stopped")
	plan := filepath.Join(filepath.Dir(run), "plan.yaml")
	code, out, errs := call(t, context.Background(), "status", run)
	if code != exitOK || !strings.Contains(out, "on record  32 of 48") || strings.Count(out, "unknown  ") != 4 {
		t.Errorf("status: exit code %d: %s%s", code, out, errs)
	}
	if code, _, errs := call(t, context.Background(), "run", plan, "-q", "--out", run); code != exitOK {
		t.Fatalf("run: exit code %d: %s", code, errs)
	}
	code, out, errs = call(t, context.Background(), "export", run, "--format", "jsonl")
	if code != exitOK {
		t.Fatalf("export: exit code %d: %s", code, errs)
	}
	expected, err := os.ReadFile("testdata/oldrun/stopped.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(t.TempDir(), "stopped.jsonl")
	if err := os.WriteFile(bare, withoutColumn(t, expected, "scores"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := sameColumns(t, bare, []byte(out)); n != 48 {
		t.Errorf("%d rows, want 48", n)
	}
	if code, out, errs := call(t, context.Background(), "verify", "--deep", run); code != exitOK {
		t.Errorf("verify: exit code %d: %s%s", code, out, errs)
	}
}

// withoutColumn drops a column that the rest of the run adds.
func withoutColumn(t *testing.T, lines []byte, column string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, row := range exported(t, lines) {
		delete(row, column)
		if err := json.NewEncoder(&b).Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}
