//go:build nightshift_crash

package store

import (
	"io/fs"
	"nightshift/runner/store/internal/batchlog"
	"nightshift/runner/store/internal/testdata/storetest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// At every named point the process is killed, the first time it gets there
// and the third, and the run goes on from what it left.
func TestCrashPoints(t *testing.T) {
	for _, name := range CrashPoints {
		for _, times := range []string{"1", "3"} {
			dir := t.TempDir()
			killed := child("run", dir, "NIGHTSHIFT_CRASH_AT="+name+":"+times).Run() != nil
			if !killed && times == "1" {
				t.Errorf("no process passed %s", name)
			}
			checkBook(t, dir, readBook(t, dir), !killed)
			if out, err := child("run", dir).CombinedOutput(); err != nil {
				t.Fatalf("%s: the run does not go on: %v\n%s", name, err, out)
			}
			checkBook(t, dir, readBook(t, dir), true)
		}
	}
	t.Logf("%d points", len(CrashPoints))
}

// CrashPoints lists what the source calls, and nothing else.
func TestCrashPointsAreListed(t *testing.T) {
	var called []string
	storetest.Must(t, filepath.WalkDir(".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".go" {
			return err
		}
		b, err := os.ReadFile(name)
		for _, m := range regexp.MustCompile(`rashPoint\("([^"]+)"\)`).FindAllSubmatch(b, -1) {
			called = append(called, string(m[1]))
		}
		return err
	}))
	called = append(called, batchlog.CrashPoints()...)
	listed := slices.Clone(CrashPoints)
	slices.Sort(listed)
	slices.Sort(called)
	if !slices.Equal(listed, called) {
		t.Errorf("listed %q\ncalled %q", listed, called)
	}
}
