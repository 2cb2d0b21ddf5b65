package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A run, a check and a plan that is refused leave no file of theirs open.
func TestFilesAreClosed(t *testing.T) {
	if _, err := os.ReadDir("/proc/self/fd"); err != nil {
		t.Skip("open files cannot be listed here")
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data.jsonl")
	rows := `{"q": "one", "images": ["a.png"]}` + "\n" + `{"q": "two", "images": ["a.png"]}` + "\n"
	if err := errors.Join(os.WriteFile(data, []byte(rows), 0o600),
		os.WriteFile(filepath.Join(dir, "a.png"), []byte("\x89PNG\r\n\x1a\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	with := func(args ...string) []string {
		return append(args, "--dataset", data, "--field", "images=images", "--prompt", "{{ q }}{{ epoch }}", "--epochs",
			"2", "--model", "simulator/a",
			"--max-tokens", "5", "--out", filepath.Join(dir, "out"))
	}
	for _, args := range [][]string{with("run", "-q"), with("check"), with("run", "-q", "--dry-run"),
		with("check", "--scorer", "exact")} {
		code := run(context.Background(), args, strings.NewReader(""), io.Discard, io.Discard, os.LookupEnv)
		for _, file := range openBelow(t, dir) {
			t.Errorf("%s (exit code %d) leaves %s open", strings.Join(args[:3], " "), code, file)
		}
	}
}

// openBelow lists the files of this process below a directory.
func openBelow(t *testing.T, dir string) (files []string) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range list {
		if name, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil &&
			strings.HasPrefix(name, dir) {
			files = append(files, name)
		}
	}
	return files
}
