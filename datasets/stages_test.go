package datasets_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nightshift/datasets"
)

func jsonRows(from, to int) []string {
	var rows []string
	for i := from; i < to; i++ {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"prompt":"Hi %d"}`, i, i))
	}
	return rows
}

func csvRows(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "%d,\"Hi,\n%d\"\n", i, i)
	}
	return b.String()
}

type parquetPrompt struct {
	ID     int64  `parquet:"id"`
	Prompt string `parquet:"prompt"`
}

func parquetRows(t testing.TB, dir, name string, from, to int) {
	var rows []parquetPrompt
	for i := from; i < to; i++ {
		rows = append(rows, parquetPrompt{int64(i), fmt.Sprintf("Hi %d", i)})
	}
	writeParquet(t, filepath.Join(dir, name), rows)
}

// A dataset that only grew keeps its chunks and its rows; the new rows are in
// chunks of their own, and every row has the place it would have without.
func TestVersions(t *testing.T) {
	write := func(name, content string) func(testing.TB, string) {
		return func(t testing.TB, dir string) { put(t, dir, name, content) }
	}
	long := lines(jsonRows(0, 7)...)
	more := lines(jsonRows(7, 12)...)
	for _, tc := range []struct {
		name          string
		paths         []string
		before, after func(testing.TB, string)
		prompt        string
	}{
		{name: "lines", paths: []string{"a.jsonl"}, before: write("a.jsonl", long), after: write("a.jsonl", long+more)},
		{name: "no final newline", paths: []string{"a.jsonl"}, before: write("a.jsonl", strings.TrimSpace(long)),
			after: write("a.jsonl", long+more)},
		{name: "no final newline, then CRLF", paths: []string{"a.jsonl"},
			before: write("a.jsonl", strings.TrimSpace(long)),
			after:  write("a.jsonl", strings.TrimSpace(long)+"\r\n\r\n"+more)},
		{name: "blank lines on both sides", paths: []string{"a.jsonl"}, before: write("a.jsonl", long+"\n\n"),
			after: write("a.jsonl", long+"\n\n\n  \n"+more+"\n")},
		{name: "BOM", paths: []string{"a.jsonl"}, before: write("a.jsonl", "\ufeff"+long),
			after: write("a.jsonl", "\ufeff"+long+more)},
		{name: "CSV", paths: []string{"a.csv"}, before: write("a.csv", "id,prompt\n"+csvRows(0, 7)),
			after: write("a.csv", "id,prompt\n"+csvRows(0, 12))},
		{name: "CSV, no final newline", paths: []string{"a.csv"},
			before: write("a.csv", "id,prompt\n"+strings.TrimSpace(csvRows(0, 7))),
			after:  write("a.csv", "id,prompt\n"+csvRows(0, 12))},
		{name: "gzip written again", paths: []string{"a.gz"}, before: write("a.gz", gz(long)),
			after: write("a.gz", gz(long+more))},
		{name: "gzip member added", paths: []string{"a.gz"}, before: write("a.gz", gz(long)),
			after: write("a.gz", gz(long)+gz(more))},
		{name: "zstd frame added", paths: []string{"a.zst"}, before: write("a.zst", zst(long)),
			after: write("a.zst", zst(long)+zst(more))},
		{name: "Parquet written again", paths: []string{"a.parquet"},
			before: func(t testing.TB, dir string) { parquetRows(t, dir, "a.parquet", 0, 7) },
			after:  func(t testing.TB, dir string) { parquetRows(t, dir, "a.parquet", 0, 12) }},
		{name: "Parquet file added", paths: []string{"*.parquet"},
			before: func(t testing.TB, dir string) { parquetRows(t, dir, "a.parquet", 0, 7) },
			after:  func(t testing.TB, dir string) { parquetRows(t, dir, "b.parquet", 7, 12) }},
		{name: "file added", paths: []string{"*.jsonl"}, before: write("a.jsonl", long), after: write("b.jsonl", more)},
		{name: "file added behind one without a newline", paths: []string{"*.jsonl"},
			before: write("a.jsonl", strings.TrimSpace(long)), after: write("b.jsonl", more)},
		{name: "JSON list added", paths: []string{"*.json"},
			before: write("a.json", "["+strings.Join(jsonRows(0, 7), ",\n")+"]\n"),
			after:  write("b.json", "["+strings.Join(jsonRows(7, 12), ",")+"]")},
		{name: "CSV file added", paths: []string{"*.csv"}, before: write("a.csv", "id,prompt\n"+csvRows(0, 7)),
			after: write("b.csv", "id,prompt\n"+csvRows(7, 12))},
		{name: "other fields in the new rows", paths: []string{"a.jsonl"}, before: write("a.jsonl", long),
			after: write("a.jsonl", long+lines(`{"id":7,"prompt":"Hi 7","messages":[{"role":"user","content":"no"}]}`,
				`{"id":8,"prompt":"Hi 8","target":"x"}`)+lines(jsonRows(9, 12)...))},
	} {
		for _, shard := range []int64{100, 7, 3} {
			t.Run(fmt.Sprintf("%s, %d", tc.name, shard), func(t *testing.T) {
				dir := t.TempDir()
				tc.before(t, dir)
				spec := datasets.Spec{Dir: dir, Paths: tc.paths, ShardRows: shard, Prompt: tc.prompt,
					OnBadRow: "record"}
				was := run(t, spec)
				if was.err != nil {
					t.Fatal(was.err)
				}
				tc.after(t, dir)
				plain := run(t, spec)
				spec.Versions = []datasets.Version{{Rows: 7, Length: was.d.Info().Bytes}}
				now := run(t, spec)
				if now.err != nil || now.d.Info().Rows != 12 {
					t.Fatalf("%v, %+v", now.err, now.d)
				}
				if err := now.d.Extends(was.d.Chunks()); err != nil {
					t.Errorf("Extends = %v", err)
				}
				first := now.d.Chunks()[len(was.d.Chunks())]
				if first.First != 7 || first.Offset != was.d.Info().Bytes {
					t.Errorf("the new slices begin at row %d, %d; want 7, %d", first.First, first.Offset,
						was.d.Info().Bytes)
				}
				if len(now.samples) != 12 || !reflect.DeepEqual(now.samples[:7], was.samples) ||
					!reflect.DeepEqual(now.samples, plain.samples) {
					t.Errorf("samples are not those of before:\n%+v\n%+v", now.samples, plain.samples)
				}
				// The same again by the index, and by a second reading.
				index := filepath.Join(t.TempDir(), "dataset.idx")
				if err := now.d.WriteIndex(index); err != nil {
					t.Fatal(err)
				}
				loaded, err := datasets.LoadIndex(context.Background(), index, spec)
				if err != nil {
					t.Fatal(err)
				}
				defer loaded.Close()
				if again := run(t, spec); !reflect.DeepEqual(again.d.Chunks(), loaded.Chunks()) ||
					again.d.Info().Hash != loaded.Info().Hash {
					t.Errorf("read again: %+v, by the index: %+v", again.d.Chunks(), loaded.Chunks())
				}
			})
		}
	}
}

// Whatever is not an append is told, with the rows it is about.
func TestVersionsRefuse(t *testing.T) {
	rows := jsonRows(0, 12)
	base := lines(rows[:7]...)
	edited := func(i int) []string {
		out := append([]string{}, rows...)
		out[i] = strings.Replace(out[i], "Hi", "Ho", 1)
		return out
	}
	for _, tc := range []struct {
		name, before, after, want string
		spec                      datasets.Spec
	}{
		{"edited", base, lines(edited(4)...), "rows 3 to 5 are not", datasets.Spec{}},
		{"edited, nothing added", base, lines(edited(0)[:7]...), "rows 0 to 2 are not", datasets.Spec{}},
		{"row put in", base, lines(append([]string{`{"id":"new","prompt":"x"}`}, rows...)...), "rows 0 to 2 are not",
			datasets.Spec{}},
		{"row put in at the end of the old ones", base,
			lines(rows[:6]...) + lines(`{"id":"n","prompt":"x"}`) + lines(rows[6:]...), "rows 6 to 6 are not",
			datasets.Spec{}},
		{"cut", base, lines(rows[:4]...), "rows 3 to 5 are not all there: the dataset has 4 rows", datasets.Spec{}},
		{"last line goes on", strings.TrimSpace(base), strings.TrimSpace(base) + " \n" + lines(rows[7:]...),
			"rows 6 to 6 are not", datasets.Spec{}},
		{"last line goes on with another row", strings.TrimSpace(base), strings.TrimSpace(base) + lines(rows[7:]...),
			"rows 6 to 6 are not", datasets.Spec{OnBadRow: "record"}},
		{"sample", base, lines(rows...), "of rows 0 to 2 others would be chosen", datasets.Spec{Sample: 3, Seed: 7}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			tc.spec.Paths, tc.spec.ShardRows = []string{put(t, dir, "a.jsonl", tc.before)}, 3
			was := run(t, tc.spec)
			put(t, dir, "a.jsonl", tc.after)
			tc.spec.Versions = []datasets.Version{{Rows: 7, Length: was.d.Info().Bytes}}
			now := run(t, tc.spec)
			if now.err != nil {
				t.Fatal(now.err)
			}
			var changed *datasets.ChangedError
			if err := now.d.Extends(was.d.Chunks()); !errors.As(err, &changed) ||
				!strings.Contains(err.Error(), tc.want) || changed.Appended {
				t.Errorf("Extends = %v, want %q", err, tc.want)
			}
		})
	}
}

// Blank lines alone are no rows: the chunks are those of before.
func TestVersionsBlankLines(t *testing.T) {
	dir := t.TempDir()
	spec := datasets.Spec{Paths: []string{put(t, dir, "a.jsonl", lines(jsonRows(0, 7)...))}, ShardRows: 3}
	was := run(t, spec)
	put(t, dir, "a.jsonl", lines(jsonRows(0, 7)...)+"\n\n")
	spec.Versions = []datasets.Version{{Rows: 7, Length: was.d.Info().Bytes}}
	now := run(t, spec)
	if now.d.Info().Rows != 7 || len(now.d.Chunks()) != len(was.d.Chunks()) || now.d.Info().Hash != was.d.Info().Hash ||
		now.d.Extends(was.d.Chunks()) != nil {
		t.Errorf("%+v, was %+v", now.d.Chunks(), was.d.Chunks())
	}
}

// Several versions, one behind the other, and rows of more than one batch.
func TestManyVersions(t *testing.T) {
	dir := t.TempDir()
	content := ""
	spec := datasets.Spec{Dir: dir, Paths: []string{"a.jsonl"}, ShardRows: 1000}
	var before []datasets.Chunk
	for version := range 4 {
		var b strings.Builder
		for i := range 1500 {
			fmt.Fprintf(&b, "{\"prompt\":\"%d/%d %s\"}\n\n", version, i, strings.Repeat("x", 700))
		}
		content += strings.TrimSuffix(b.String(), strings.Repeat("\n", version%3))
		if err := os.WriteFile(filepath.Join(dir, "a.jsonl"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		o := run(t, spec)
		if o.err != nil {
			t.Fatal(o.err)
		}
		if err := o.d.Extends(before); err != nil {
			t.Fatalf("stage %d: %v", version, err)
		}
		if got := len(o.d.Chunks()); got != 2*(version+1) || len(o.samples) != 1500*(version+1) || o.failure != nil {
			t.Fatalf("stage %d: %d slices, %d samples, %v", version, got, len(o.samples), o.failure)
		}
		before = o.d.Chunks()
		spec.Versions = append(spec.Versions, datasets.Version{Rows: o.d.Info().Rows, Length: o.d.Info().Bytes})
		if !strings.HasSuffix(content, "\n") {
			content += "\n"
		}
	}
}
