package store

import (
	"path/filepath"
	"testing"

	"nightshift/runner/store/internal/disk"
)

// syncCounter counts how often the disk is waited for.
type syncCounter struct {
	disk.OS
	syncs *int
}

type syncCounterFile struct {
	disk.File
	syncs *int
}

func (c syncCounter) SyncDir(dir string) error {
	*c.syncs++
	return c.OS.SyncDir(dir)
}

func (c syncCounter) Open(name string, flag int) (disk.File, error) {
	f, err := c.OS.Open(name, flag)
	return syncCounterFile{f, c.syncs}, err
}

func (f syncCounterFile) Sync() error {
	*f.syncs++
	return f.File.Sync()
}

// TestSyncsOfNewRun: before its first request a new run waits for the disk five times:
// for its own name, the list of shards and its name with those of the directories,
// run.json and its name. The manifest waits for its first Parquet file.
func TestSyncsOfNewRun(t *testing.T) {
	syncs := 0
	r := mustOpen(t, filepath.Join(t.TempDir(), "run"), identity(1, 1, 5, 1), Options{fs: syncCounter{syncs: &syncs}})
	if syncs != 5 {
		t.Errorf("%d syncs, want 5", syncs)
	}
	if err := r.Close("finished"); err != nil {
		t.Fatal(err)
	}
}
