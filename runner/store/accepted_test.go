package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift"
	"nightshift/runner/store/internal/testdata/storetest"
)

// The id of an answer that is made in the background survives the process and
// the power, as part of the attempt that it is of; programs that do not know of
// ids read its line as an intent.
func TestAcceptedIsOnRecord(t *testing.T) {
	dir := t.TempDir()
	r := mustOpen(t, dir, identity(1, 1, 3, 1), Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	log := u.AttemptLog(1, 0)
	in := nightshift.Intent{Attempt: 1, WorstTokens: 40, WorstCost: 7}
	storetest.Must(t, log.Sending(in))
	in.Job, in.Route = "resp_\"1\"", "b"
	storetest.Must(t, log.Accepted(in))
	if u.waiting() {
		t.Error("the id is not on the disk")
	}
	lines := journalLines(t, dir)
	if strings.Count(lines, `{"k":"intent"`) != 2 || strings.Count(lines, `"k":`) != 3 {
		t.Errorf("%s", lines)
	}
	storetest.Must(t, r.Close("stopped"))

	r = mustOpen(t, dir, identity(1, 1, 3, 1), Options{})
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	h := u.History(1, 0)
	want := nightshift.Attempt{N: 1, Class: nightshift.ClassUnknownOutcome, Job: "resp_\"1\"", Route: "b",
		WorstTokens: 40, WorstCost: 7, MaybeBilled: true}
	if len(h) != 1 || h[0].StartedAt.IsZero() {
		t.Fatalf("%+v", h)
	}
	want.StartedAt, want.Message = h[0].StartedAt, h[0].Message
	if h[0] != want {
		t.Errorf("%+v, want %+v", h[0], want)
	}
	if list := r.Unknown(); len(list) != 1 || list[0].Job != want.Job {
		t.Errorf("%+v", list)
	}
	storetest.Must(t, u.AttemptLog(1, 0).Failed(nightshift.Attempt{N: 1, Class: nightshift.ClassCut}))
	storetest.Must(t, r.Close("stopped"))

	r = mustOpen(t, dir, identity(1, 1, 3, 1), Options{})
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	if h := u.History(1, 0); len(h) != 1 || h[0].Class != nightshift.ClassCut {
		t.Errorf("%+v", h)
	}
	storetest.Must(t, r.Close("stopped"))
}

// journalLines is all that the journals of a run hold.
func journalLines(t *testing.T, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "journal", "*"))
	var all strings.Builder
	for _, name := range names {
		b, e := os.ReadFile(name)
		err = errors.Join(err, e)
		all.Write(b)
	}
	storetest.Must(t, err)
	return strings.TrimRight(all.String(), "\x00")
}
