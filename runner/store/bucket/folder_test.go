package bucket_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nightshift/internal/s3"
	"nightshift/internal/testdata/s3test"
	"nightshift/runner/store/bucket"
)

// below is a folder of the bucket; "" is all of it.
func below(t *testing.T, s *s3test.Server, folder string) *s3.Bucket {
	t.Helper()
	b, err := s3.OpenFolder("s3://runs/"+folder, s3.FromEnv(s.Getenv))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ended is a run of two shards, the first of which is a Parquet file, on which nobody
// works any more. It returns its files.
func ended(t *testing.T, s *s3test.Server, run string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	w := open(t, at(t, s, run), dir)
	aRun(t, w, dir, 2)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return files(t, dir)
}

// dirsOf are the directories of a folder that have a run.json.
func dirsOf(t *testing.T, f *bucket.Folder) (list []string) {
	t.Helper()
	err := filepath.WalkDir(f.Dir, func(path string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(f.Dir, filepath.Dir(path)); err == nil && d.Name() == "run.json" {
			list = append(list, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// A folder has the runs below it, wherever they are, and what they hold but for
// Parquet files. Those come for the run that is wanted as a whole.
func TestFolder(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	want := ended(t, s, "tonight")
	for _, run := range []string{"evals/a", "evals/b/c", "evals/1/2/3/4", "evals/a/judges/inner", "too/d/e/e/p/run",
		".hidden/run", "evals/b/..x"} {
		ended(t, s, run)
	}
	s.Set("evals/no-run/log/readme", nil)
	s.Set("evals/../escaped/log/000000000001", s.Object("tonight/log/000000000001"))
	s.Set("evals//nameless/log/000000000001", s.Object("tonight/log/000000000001"))
	for folder, runs := range map[string]string{
		"":         "evals/1/2/3/4 evals/a evals/b/c tonight",
		"evals":    "1/2/3/4 a b/c",
		"evals/b/": "c",
		"tonight":  ".",
		"too/d":    "e/e/p/run",
	} {
		f, err := bucket.ReadBelow(t.Context(), below(t, s, folder))
		if err != nil {
			t.Fatal(folder, err)
		}
		if got := strings.Join(dirsOf(t, f), " "); got != runs || f.Unread() != nil {
			t.Errorf("%q: %s (%v), want %s", folder, got, f.Unread(), runs)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	f, err := bucket.ReadBelow(t.Context(), below(t, s, ""))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(f.Dir, "tonight")
	const part = "results/m-000000.parquet"
	if got := files(t, dir); len(got) != len(want) || len(got[part]) != len(want[part]) || got[part] == want[part] {
		t.Errorf("before it is wanted, the Parquet file is %q of %d files", got[part], len(got))
	}
	for range 2 {
		if found, err := f.Whole(t.Context(), dir); err != nil || !found {
			t.Fatal(found, err)
		}
		same(t, files(t, dir), want)
	}
	if found, err := f.Whole(t.Context(), f.Dir); err != nil || found {
		t.Error("the folder is no run", found, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the copies are still there")
	}
	if _, err := bucket.ReadBelow(t.Context(), below(t, s, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no run: %v", err)
	}
}

// What is written into runs of a folder comes with a refresh: to those that somebody
// works on or that are there as a whole. New runs come with the next search.
func TestFolderRefresh(t *testing.T) {
	t.Parallel()
	s, here := s3test.New(t), t.TempDir()
	w := open(t, at(t, s, "a"), here)
	aRun(t, w, here, 3)
	ended(t, s, "b")
	f, err := bucket.ReadBelow(t.Context(), below(t, s, ""))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(f.Dir, "a")
	if _, err := os.Stat(filepath.Join(dir, "lock")); err != nil {
		t.Errorf("the run is live, its copy is not: %v", err)
	}
	if _, err := os.Stat(filepath.Join(f.Dir, "b", "lock")); err == nil {
		t.Error("nobody works on the other run")
	}
	add(t, here, "journal/m-000002.g1.e0001.jsonl", "more\n")
	ship(t, w, here)
	if err := f.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	const journal = "journal/m-000002.g1.e0001.jsonl"
	if got := files(t, dir)[journal]; !strings.HasSuffix(got, "more\n") {
		t.Errorf("the journal is %q", got)
	}
	if _, err := f.Whole(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	part := "results/m-000002.parquet"
	write(t, here, part, "PAR1 new")
	add(t, here, "manifest.jsonl", part+"\n")
	ship(t, w, here)
	ended(t, s, "c")
	f.SearchAgain()
	if err := f.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, files(t, dir), files(t, here))
	if got := strings.Join(dirsOf(t, f), " "); got != "a b c" {
		t.Errorf("%s, want a b c", got)
	}
	if err := errors.Join(f.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
}

// A run that cannot be read does not hide the others.
func TestFolderWithDamagedRun(t *testing.T) {
	t.Parallel()
	s := s3test.New(t)
	ended(t, s, "evals/good")
	ended(t, s, "evals/bad")
	s.Set(s.Keys("evals/bad/log/")[0], []byte("damaged"))
	f, err := bucket.ReadBelow(t.Context(), below(t, s, "evals"))
	if err != nil {
		t.Fatal(err)
	}
	if got := dirsOf(t, f); !slices.Equal(got, []string{"good"}) {
		t.Errorf("%v", got)
	}
	if err := f.Unread(); err == nil || !strings.HasPrefix(err.Error(), "s3://runs/evals/bad cannot be read: ") {
		t.Errorf("%v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bucket.ReadBelow(t.Context(), below(t, s, "evals/bad")); err == nil ||
		errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the damaged run alone: %v", err)
	}
}
