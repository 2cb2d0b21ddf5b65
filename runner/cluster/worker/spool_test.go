package worker

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/runner/cluster/protocol"
)

func answer(t testing.TB, id string) protocol.Frame {
	t.Helper()
	text := "answer to " + id
	f, err := protocol.PackDone(id, providers.Exchange{Sent: true, Response: nightshift.Response{Text: &text}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A disk that was full holds a worker back as long as it is, and no longer: also
// when every answer that was kept in memory meanwhile is on record.
func TestSpoolAfterAFullDisk(t *testing.T) {
	s, _, err := openSpool(t.TempDir(), "run")
	if err != nil {
		t.Fatal(err)
	}
	good := s.file
	full, err := os.Open(s.path) // a file that takes nothing
	if err != nil {
		t.Fatal(err)
	}
	s.file = full
	if err := s.keep("a", answer(t, "a")); err == nil {
		t.Fatal("the disk was not full")
	}
	if _, held := s.frame("a"); !held || s.failing() == nil {
		t.Error("an answer that the disk does not take is kept in memory, and nothing new is begun")
	}
	s.forget([]string{"a"})
	if s.failing() == nil {
		t.Error("the disk is full still")
	}
	s.file = good
	if err := s.failing(); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	if err := s.keep("b", answer(t, "b")); err != nil {
		t.Error(err)
	}
	if err := s.close(false); err != nil {
		t.Error(err)
	}
	if err := full.Close(); err != nil {
		t.Error(err)
	}
	again, damaged, err := openSpool(filepath.Dir(s.path), "run")
	if err != nil || damaged > 0 || !slices.Equal(again.ids(), []string{"b"}) {
		t.Errorf("after a start: %v, %d damaged, %v", again.ids(), damaged, err)
	}
	if err := again.close(true); err != nil {
		t.Error(err)
	}
}

// FuzzSpool reads files that strangers, or a disk, have written: what can be read
// is held, an answer behind any damage is found, and a second start finds the same.
func FuzzSpool(f *testing.F) {
	line := func(f protocol.Frame) []byte {
		b, _ := f.Append(bytes.Clone(mark)) // it is small
		return b
	}
	one := line(answer(f, "one"))
	kept, _ := protocol.Pack(protocol.KindKept, protocol.IDs{IDs: []string{"one"}})
	f.Add([]byte{})
	f.Add(one)
	f.Add(append(bytes.Clone(one), line(kept)...))
	f.Add(one[:len(one)-3])
	f.Add(append(bytes.Clone(mark), one...))
	last := line(answer(f, "last"))
	f.Fuzz(func(t *testing.T, found []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "spool-run.dat"), append(found, last...), 0o600); err != nil {
			t.Fatal(err)
		}
		s, _, err := openSpool(dir, "run")
		if err != nil {
			t.Fatal(err)
		}
		if _, held := s.frame("last"); !held {
			t.Error("the answer behind what was found is lost")
		}
		ids := s.ids()
		if err := s.close(false); err != nil {
			t.Fatal(err)
		}
		again, damaged, err := openSpool(dir, "run")
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(ids)
		if more := again.ids(); damaged > 0 || !slices.Equal(slices.Sorted(slices.Values(more)), ids) {
			t.Errorf("a second start finds %d damaged, %q; the first had %q", damaged, more, ids)
		}
		if err := again.close(true); err != nil {
			t.Fatal(err)
		}
	})
}
