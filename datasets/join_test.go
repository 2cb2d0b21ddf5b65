package datasets_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nightshift/datasets"
)

// joined is a spec of two datasets of different shapes: sums as JSON lines, and
// words as CSV with a template.
func joined(t testing.TB, dir string) datasets.Spec {
	t.Helper()
	sums := put(t, dir, "sums.jsonl", `{"prompt":"1+1","target":"2","id":"a"}`+"\n"+`{"prompt":"1+2","target":"3"}`+"\n"+
		`{"prompt":"1+3","target":"4"}`+"\n")
	terms := put(t, dir, "words.csv", "id,term,means\na,dog,Hund\nb,cat,Katze\n")
	return datasets.Spec{ShardRows: 2, Spool: filepath.Join(dir, "run"), Parts: []datasets.Part{
		{Name: "sums", Spec: datasets.Spec{Paths: []string{sums}, ShardRows: 2}},
		{Name: "words", Spec: datasets.Spec{Paths: []string{terms}, Prompt: "German: {{ term }}", Target: "{{ means }}"}},
	}}
}

func TestJoinedDatasets(t *testing.T) {
	dir := t.TempDir()
	spec := joined(t, dir)
	d, err := datasets.Open(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T, d *datasets.Dataset, prompt string) {
		t.Helper()
		o := outcome{d: d}
		o.read()
		if want := []string{"sums/a", "sums/1", "sums/2", "words/a", "words/b"}; !slices.Equal(o.order, want) {
			t.Fatalf("ids are %q, want %q", o.order, want)
		}
		for i, s := range o.samples {
			if s.Index != int64(i) || s.Dataset != strings.Split(s.ID, "/")[0] {
				t.Errorf("%s is row %d of %q", s.ID, s.Index, s.Dataset)
			}
		}
		last := o.samples[4]
		if said(last) != prompt || last.Target != "Katze" || last.Line != 3 || filepath.Base(last.File) != "words.csv" {
			t.Errorf("%+v", last)
		}
	}
	check(t, d, "u:German: cat")
	if i := d.Info(); i.Rows != 5 || i.Selected != 5 || len(d.Chunks()) != 3 || d.Chunks()[2].First != 3 ||
		len(i.Files) != 2 || i.Shape != "2 datasets" {
		t.Errorf("%+v %+v", i, d.Chunks())
	}
	var raw []string
	for line, err := range d.Raw(context.Background(), []int64{1, 4}) {
		raw = append(raw, string(line))
		if err != nil {
			t.Error(err)
		}
	}
	want := []string{`{"prompt":"1+2","target":"3"}`, `{"id":"b","term":"cat","means":"Katze"}`}
	if !slices.Equal(raw, want) {
		t.Errorf("raw rows %q, want %q", raw, want)
	}
	v, err := d.Variant(context.Background(), "plain", []datasets.Templates{{}, {Prompt: "{{ term }}?"}})
	if err != nil {
		t.Fatal(err)
	}
	check(t, v, "u:cat?")
	var first []string
	for s := range d.First(context.Background(), 3) {
		first = append(first, s.ID)
	}
	if want := []string{"sums/a", "sums/1", "words/a"}; !slices.Equal(first, want) {
		t.Errorf("the first are %q, want some of each: %q", first, want)
	}
	one := outcome{d: d.Only(1)}
	if one.read(); !slices.Equal(one.order, []string{"words/a", "words/b"}) || one.samples[0].Index != 3 {
		t.Errorf("one section is %q", one.order)
	}

	index := filepath.Join(dir, "dataset.idx")
	if err := d.WriteIndex(index); err != nil {
		t.Fatal(err)
	}
	hash := d.Info().Hash
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for name, again := range map[string]func(context.Context, string, datasets.Spec) (*datasets.Dataset, error){
		"load": datasets.LoadIndex, "resume": datasets.Resume,
	} {
		d, err := again(context.Background(), index, spec)
		if err != nil {
			t.Fatal(name, err)
		}
		if check(t, d, "u:German: cat"); d.Info().Hash != hash {
			t.Errorf("%s: another hash", name)
		}
		d.Close()
	}
	swapped := spec
	swapped.Parts = []datasets.Part{spec.Parts[1], spec.Parts[0]}
	if d, err = datasets.Open(context.Background(), swapped); err != nil || d.Info().Hash == hash {
		t.Error("datasets in another order are another dataset", err)
	}
	d.Close()
}

// Chosen rows and versions are those of the whole.
func TestJoinedDatasetsGrow(t *testing.T) {
	dir := t.TempDir()
	spec := joined(t, dir)
	before, err := datasets.Open(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer before.Close()
	index := filepath.Join(dir, "dataset.idx")
	if err := before.WriteIndex(index); err != nil {
		t.Fatal(err)
	}
	chosen := spec
	chosen.SelectRows = func(row int64) bool { return row == 2 || row == 3 }
	d, err := datasets.Open(context.Background(), chosen)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	o := outcome{d: d}
	if o.read(); !slices.Equal(o.order, []string{"sums/2", "words/a"}) || d.Info().Selected != 2 {
		t.Errorf("chosen are %q", o.order)
	}

	put(t, dir, "words.csv", "id,term,means\na,dog,Hund\nb,cat,Katze\nc,cow,Kuh\n")
	spec.Versions = []datasets.Version{{Rows: before.Info().Rows, Length: before.Info().Bytes}}
	longer, err := datasets.Open(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer longer.Close()
	if err := longer.Extends(before.Chunks()); err != nil || longer.Info().Rows != 6 {
		t.Errorf("%v, %d rows", err, longer.Info().Rows)
	}
	spec.Versions = nil
	var changed *datasets.ChangedError
	if _, err = datasets.LoadIndex(context.Background(), index, spec); !errors.As(err, &changed) || !changed.Appended {
		t.Errorf("the last dataset has grown: %v", err)
	}
	put(t, dir, "sums.jsonl", strings.Repeat(`{"prompt":"1+1","target":"2"}`+"\n", 9))
	if _, err = datasets.LoadIndex(context.Background(), index, spec); !errors.As(err, &changed) || changed.Appended ||
		!strings.Contains(err.Error(), "only the last can be extended") {
		t.Errorf("a dataset that others follow has grown: %v", err)
	}
}

func TestJoinedDatasetsProblems(t *testing.T) {
	dir := t.TempDir()
	spec := joined(t, dir)
	put(t, dir, "sums.jsonl", `{"prompt":"1+1"}`+"\n"+`{"prompt":`+"\n")
	spec.Parts[1].Spec.Prompt = "{{ trem }}"
	_, err := datasets.Open(context.Background(), spec)
	for _, want := range []string{"sums.jsonl:2: ", `dataset words: the prompt template names "trem"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	spec.Parts[1].Spec.Prompt, spec.Parts[0].Spec.OnBadRow = "{{ term }}", "record"
	d, err := datasets.Open(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if o := (outcome{d: d}); d.Info().Bad != 1 {
		t.Error(d.Info())
	} else if o.read(); !slices.Equal(o.order, []string{"sums/0", "!", "words/a", "words/b"}) || o.bad[0].Index != 1 {
		t.Errorf("%q %v", o.order, o.bad)
	}
}
