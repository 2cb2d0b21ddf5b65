package datasets_test

import (
	"testing"

	"nightshift/datasets"
)

// TestTargetIsList: only what was a list in the row is one; a text that looks
// like a list stays a text.
func TestTargetIsList(t *testing.T) {
	rows := lines(
		`{"prompt":"a","target":["x","y"]}`,
		`{"prompt":"b","target":"[\"x\",\"y\"]"}`,
		`{"prompt":"c","target":"[0,3]"}`,
		`{"prompt":"d","target":[]}`,
		`{"prompt":"e","target":{"x":1}}`,
		`{"prompt":"f"}`,
	)
	dir := t.TempDir()
	o := run(t, datasets.Spec{Paths: []string{put(t, dir, "d.jsonl", rows)}})
	want := []bool{true, false, false, true, false, false}
	if len(o.samples) != len(want) {
		t.Fatalf("%d samples, %v", len(o.samples), o.err)
	}
	for i, s := range o.samples {
		if s.TargetIsList != want[i] {
			t.Errorf("row %d (target %s): TargetIsList = %v", i, s.Target, s.TargetIsList)
		}
	}
	o = run(t, datasets.Spec{Paths: []string{put(t, dir, "e.jsonl", rows)}, Target: "[1,2]"})
	if o.samples[0].TargetIsList || o.samples[0].Target != "[1,2]" {
		t.Errorf("a target template makes %+v", o.samples[0])
	}
}
