package datasets_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/datasets"
)

// numbered writes n rows with ids 0…n-1, every fifth of level 2.
func numbered(t testing.TB, n int) string {
	var rows []string
	for i := range n {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"prompt":"Hi %d","level":%d,"topic":"%s"}`, i, i, i%5,
			[]string{"a", "b"}[i%2]))
	}
	return put(t, t.TempDir(), "data.jsonl", lines(rows...))
}

func TestSelection(t *testing.T) {
	path := numbered(t, 100)
	for _, tc := range []struct {
		spec datasets.Spec
		want string // ids, or their number
	}{
		{datasets.Spec{Limit: 3}, "0 1 2"},
		{datasets.Spec{Offset: 97}, "97 98 99"},
		{datasets.Spec{Offset: 10, Limit: 3}, "10 11 12"},
		{datasets.Spec{Offset: 100}, ""},
		{datasets.Spec{Offset: 99, Limit: 10}, "99"},
		{datasets.Spec{Filter: "level == 2", Limit: 3}, "2 7 12"},
		{datasets.Spec{Filter: "level > 3 and topic == 'a'", Limit: 2}, "4 14"},
		{datasets.Spec{Filter: "topic in ['b', 'c'] and id | int < 6"}, "1 3 5"},
		{datasets.Spec{Filter: "not (level != 4)", Offset: 18}, "94 99"},
		{datasets.Spec{Filter: "prompt == 'Hi 77'"}, "77"},
		{datasets.Spec{SelectRows: func(i int64) bool { return i%40 == 3 }}, "3 43 83"},
		{datasets.Spec{SelectRows: func(i int64) bool { return i%40 == 3 }, Filter: "topic == 'b'", Limit: 2}, "3 43"},
		{datasets.Spec{Sample: 100}, "n=100"},
		{datasets.Spec{Sample: 1000}, "n=100"},
		{datasets.Spec{Sample: 17, Seed: 1}, "n=17"},
		{datasets.Spec{Sample: 17, Seed: 1, Limit: 5}, "n=5"},
		{datasets.Spec{Sample: 7, Filter: "level == 1"}, "n=7"},
	} {
		for _, shard := range []int64{100, 7, 1} {
			s := tc.spec
			s.Paths, s.ShardRows = []string{path}, shard
			o := run(t, s)
			if o.err != nil {
				t.Fatal(o.err)
			}
			got := strings.Join(o.order, " ")
			if strings.HasPrefix(tc.want, "n=") {
				got = fmt.Sprintf("n=%d", len(o.order))
			}
			if got != tc.want {
				t.Errorf("%+v in units of %d: %s, want %s", tc.spec, shard, got, tc.want)
			}
			var selected int64
			for i, sl := range o.d.Chunks() {
				n := int64(0)
				for range o.d.Read(context.Background(), i) {
					n++
				}
				if n != sl.Selected {
					t.Fatalf("%+v: slice %d yields %d rows, not %d", tc.spec, i, n, sl.Selected)
				}
				selected += n
			}
			if selected != o.d.Info().Selected {
				t.Errorf("%+v: Info says %d rows, %d came", tc.spec, o.d.Info().Selected, selected)
			}
			for _, smp := range o.samples {
				if fmt.Sprint(smp.Index) != smp.ID {
					t.Errorf("row %s has index %d", smp.ID, smp.Index)
				}
			}
		}
	}
}

// A sample is the same for the same seed, another for another, and fair.
func TestSample(t *testing.T) {
	path := numbered(t, 50)
	drawn := func(seed uint64) string {
		return strings.Join(run(t, datasets.Spec{Paths: []string{path}, Sample: 5, Seed: seed}).order, " ")
	}
	if a, b := drawn(1), drawn(1); a != b {
		t.Errorf("seed 1 gives %s and %s", a, b)
	}
	hits := map[string]int{}
	const seeds = 150
	for seed := range uint64(seeds) {
		for _, id := range strings.Fields(drawn(seed)) {
			hits[id]++
		}
	}
	// 15 hits a row are expected, with a standard deviation of 3.7.
	for i := range 50 {
		if n := hits[fmt.Sprint(i)]; n < 1 || n > 35 {
			t.Errorf("row %d was drawn %d times of %d", i, n, seeds)
		}
	}
}

// Bad rows outside the selection are no reason to refuse.
func TestBadRowsOutsideTheSelection(t *testing.T) {
	path := put(t, t.TempDir(), "data.jsonl", lines(good, `{"id":"b","prompt":"Hi"}`, `{"id":"c"}`,
		`{"id":"d","prompt":"Hi","n":1}`))
	for _, tc := range []struct {
		spec datasets.Spec
		ok   bool
	}{
		{datasets.Spec{Limit: 2}, true},
		{datasets.Spec{Limit: 3}, false},
		{datasets.Spec{Offset: 3}, true},
		{datasets.Spec{Offset: 2}, false},
		{datasets.Spec{SelectRows: func(i int64) bool { return i != 2 }}, true},
		{datasets.Spec{Filter: "id == 'a' or id == 'd'"}, true},
		{datasets.Spec{Filter: "id != 'a'"}, false},
	} {
		s := tc.spec
		s.Paths, s.OnBadRow = []string{path}, "refuse"
		if o := run(t, s); (o.err == nil) != tc.ok {
			t.Errorf("%+v: %v", tc.spec, o.err)
		}
	}
}

func TestEpochs(t *testing.T) {
	ctx := context.Background()
	path := numbered(t, 4)
	all := func(d *datasets.Dataset, epochs int) (out []nightshift.Sample) {
		for s, err := range d.ReadEpochs(ctx, 0, epochs) {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
		return out
	}
	plain := run(t, datasets.Spec{Paths: []string{path}, Prompt: "{{ prompt }}"})
	varied := run(t, datasets.Spec{Paths: []string{path}, Prompt: "{{ prompt }} ({{ epoch }})"})
	if plain.d.Info().Epochs || !varied.d.Info().Epochs {
		t.Error("whether prompts differ between epochs is wrong")
	}
	for _, tc := range []struct {
		d    *datasets.Dataset
		form string
	}{{plain.d, "Hi %d"}, {varied.d, "Hi %d (%d)"}} {
		for i, s := range all(tc.d, 3) {
			want := fmt.Sprintf(tc.form, i/3)
			if strings.Contains(tc.form, "(") {
				want = fmt.Sprintf(tc.form, i/3, i%3)
			}
			if s.Epoch != i%3 || s.Messages[0].Text != want || s.Index != int64(i/3) {
				t.Errorf("sample %d: epoch %d of row %d says %q, want %q", i, s.Epoch, s.Index, s.Messages[0].Text,
					want)
			}
		}
	}
}

// TestEpochThatFails: a template that fails for one epoch of a row says so of
// that epoch only.
func TestEpochThatFails(t *testing.T) {
	o := run(t, datasets.Spec{Paths: []string{numbered(t, 2)}, OnBadRow: "record",
		Prompt: "Hi {% if epoch == 1 %}{{ absent }}{% endif %}"})
	var got []string
	for s, err := range o.d.ReadEpochs(context.Background(), 0, 3) {
		got = append(got, fmt.Sprint(s.Index, s.Epoch, err != nil))
	}
	want := []string{"0 0 false", "0 1 true", "0 2 false", "1 0 false", "1 1 true", "1 2 false"}
	if !slices.Equal(got, want) {
		t.Errorf("row, epoch and failure are %q, want %q", got, want)
	}
}

// A second start reads no rows, and notices what has changed.
func TestResume(t *testing.T) {
	ctx := context.Background()
	path := numbered(t, 100)
	index := filepath.Join(t.TempDir(), "dataset.idx")
	s := datasets.Spec{Paths: []string{path}, ShardRows: 30, Filter: "level != 1", Sample: 40, Seed: 3,
		OnBadRow: "record", Prompt: "{{ prompt }}"}
	first := run(t, s)
	if err := first.d.WriteIndex(index); err != nil {
		t.Fatal(err)
	}
	load := func(s datasets.Spec) (outcome, error) {
		d, err := datasets.LoadIndex(ctx, index, s)
		o := outcome{d: d}
		if err == nil {
			t.Cleanup(func() { d.Close() })
			o.read()
		}
		return o, err
	}
	second, err := load(s)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := strings.Join(first.order, " "), strings.Join(second.order, " "); a != b || len(first.order) != 40 {
		t.Errorf("after loading the rows are\n%s, before they were\n%s", b, a)
	}
	if a, b := fmt.Sprint(first.d.Info(), first.d.Chunks()), fmt.Sprint(second.d.Info(), second.d.Chunks()); a != b {
		t.Errorf("after loading:\n%s\nbefore:\n%s", b, a)
	}

	other := s
	other.Prompt = "{{ topic }}"
	if _, err := load(other); !errors.Is(err, datasets.ErrStale) {
		t.Errorf("another prompt: %v", err)
	}
	chosen := s
	chosen.SelectRows = func(i int64) bool { return i < 50 }
	if _, err := load(chosen); !errors.Is(err, datasets.ErrStale) {
		t.Errorf("a filter and a choice: %v", err)
	}

	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	if _, err := load(s); !errors.Is(err, datasets.ErrStale) {
		t.Errorf("a touched file: %v", err)
	}
	d, err := datasets.Resume(ctx, index, s)
	if err != nil {
		t.Fatalf("Resume with a touched file: %v", err)
	}
	d.Close()
	if _, err := load(s); err != nil {
		t.Errorf("after Resume the index is still stale: %v", err)
	}

	var changed *datasets.ChangedError
	edited := strings.Replace(string(content), "Hi 70", "Ho 70", 1)
	put(t, filepath.Dir(path), "data.jsonl", edited)
	if err := os.Chtimes(path, later.Add(time.Hour), later.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := datasets.Resume(ctx, index, s); !errors.As(err, &changed) || changed.Chunk != 2 {
		t.Errorf("Resume with an edited file: %v", err)
	}
	put(t, filepath.Dir(path), "data.jsonl", string(content)+`{"id":100,"prompt":"more","level":0,"topic":"a"}`+"\n")
	if _, err := datasets.Resume(ctx, index, s); !errors.As(err, &changed) || !changed.Appended {
		t.Errorf("Resume with an appended file: %v", err)
	}
	grown := run(t, s)
	if err := grown.d.Continues(first.d.Chunks()); err != nil {
		t.Errorf("a file that only grew: %v", err)
	}
	put(t, filepath.Dir(path), "data.jsonl", edited+`{"id":100,"prompt":"more","level":0,"topic":"a"}`+"\n")
	changedToo := run(t, s)
	if err := changedToo.d.Continues(first.d.Chunks()); !errors.As(err, &changed) || changed.Chunk != 2 {
		t.Errorf("a file that grew and was edited: %v", err)
	}
}

// An index that is damaged anywhere is not used.
func TestDamagedIndex(t *testing.T) {
	index := filepath.Join(t.TempDir(), "dataset.idx")
	s := datasets.Spec{Paths: []string{numbered(t, 3)}, OnBadRow: "record"}
	if err := run(t, s).d.WriteIndex(index); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(whole); i += 7 {
		for _, b := range [][]byte{whole[:i], append(append([]byte{}, whole[:i]...),
			append([]byte{whole[i] ^ 4}, whole[i+1:]...)...)} {
			if err := os.WriteFile(index, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := datasets.LoadIndex(context.Background(), index, s); !errors.Is(err, datasets.ErrStale) {
				t.Fatalf("cut or damaged at byte %d: %v", i, err)
			}
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s := datasets.Spec{Paths: []string{numbered(t, 3)}}
	if _, err := datasets.Open(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v", err)
	}
	d := open(t, s)
	for _, err := range d.Read(ctx, 0) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Read = %v", err)
		}
	}
}
