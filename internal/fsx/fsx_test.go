package fsx_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"nightshift/internal/fsx"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestPublishTakesNoName(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	write(t, from, "new")
	if err := fsx.Publish(from, to); err != nil {
		t.Fatal(err)
	}
	write(t, from, "newer")
	if err := fsx.Publish(from, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a taken name gives %v", err)
	}
	if b, _ := os.ReadFile(to); string(b) != "new" {
		t.Errorf("the file that was there now says %q", b)
	}
}

func TestLockExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := fsx.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	first, second := open(), open()
	if err := fsx.Lock(first, true); err != nil {
		t.Fatal(err)
	}
	for _, exclusive := range []bool{true, false} {
		if err := fsx.Lock(second, exclusive); !errors.Is(err, fsx.ErrLocked) {
			t.Errorf("a second lock (exclusive %v) gives %v", exclusive, err)
		}
	}
	first.Close()
	if err := fsx.Lock(second, true); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}

func TestOpenFileFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "x")
	if err := os.Symlink("file", filepath.Join(dir, "link")); err != nil {
		t.Skip("no symbolic links here: ", err)
	}
	if f, err := fsx.OpenFile(filepath.Join(dir, "link"), os.O_RDWR|os.O_TRUNC, 0); err == nil {
		f.Close()
		t.Error("a link was opened")
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "file")); string(b) != "x" {
		t.Errorf("the file behind the link now says %q", b)
	}
}

func TestIdentify(t *testing.T) {
	dir := t.TempDir()
	identify := func(name string) fsx.ID {
		t.Helper()
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		id, err := fsx.Identify(path, info)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	write(t, filepath.Join(dir, "a"), "x")
	write(t, filepath.Join(dir, "b"), "x")
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	a, b, c := identify("a"), identify("b"), identify("c")
	if a != c || a.Inode == b.Inode || a.Inode == 0 {
		t.Errorf("a %+v, its second name %+v, another file %+v", a, c, b)
	}
}

// TestTempFileLeavesNothing: a temporary file is gone when it is closed.
func TestTempFileLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	f, err := fsx.TempFile(dir, "x-*")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("abc"), 5); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

func TestWriteFileAndLinked(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"one", "two"} {
		if err := fsx.WriteFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); string(b) != text {
			t.Errorf("it says %q, want %q", b, text)
		}
	}
	f, err := fsx.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if there, err := fsx.Linked(f); !there || err != nil {
		t.Errorf("Linked = %v, %v", there, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if there, err := fsx.Linked(f); there || err != nil {
		t.Errorf("after its removal Linked = %v, %v", there, err)
	}
	if err := fsx.SyncDir(dir); err != nil {
		t.Error(err)
	}
	if free, err := fsx.FreeSpace(dir); free <= 0 || err != nil {
		t.Errorf("FreeSpace = %d, %v", free, err)
	}
}
