//go:build nightshift_crash

package store

import (
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
	files, err := filepath.Glob("*.go")
	must(t, err)
	var called []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		must(t, err)
		for _, m := range regexp.MustCompile(`crashPoint\("([^"]+)"\)`).FindAllSubmatch(b, -1) {
			called = append(called, string(m[1]))
		}
	}
	listed := slices.Clone(CrashPoints)
	slices.Sort(listed)
	slices.Sort(called)
	if !slices.Equal(listed, called) {
		t.Errorf("listed %q\ncalled %q", listed, called)
	}
}
