package store

import (
	"nightshift/runner/store/internal/testdata/storetest"
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	r := mustOpen(t, dir, identity(1, 1, 1, 1), Options{})
	storetest.Must(t, r.WriteFile("report.md", []byte("one")))
	storetest.Must(t, r.WriteFile("report.md", []byte("two")))
	storetest.Must(t, r.Close(""))
	b, err := os.ReadFile(filepath.Join(dir, "report.md"))
	if err != nil || string(b) != "two" {
		t.Fatalf("report.md = %q, %v", b, err)
	}
	info, err := os.Stat(filepath.Join(dir, "report.md"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}
