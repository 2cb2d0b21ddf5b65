package store

import (
	"errors"
	"fmt"
	"io/fs"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/parquetfile"
	"nightshift/runner/store/view"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newRows(id Identity) NewRows {
	return NewRows{Tool: "v1", DatasetHash: id.DatasetHash, DatasetRows: id.DatasetRows, DatasetSize: id.DatasetSize,
		Chunks: id.Chunks}
}

func grown(g NewRows) func(rundir.Info) (NewRows, error) {
	return func(rundir.Info) (NewRows, error) { return g, nil }
}

// put puts records of a shard's first n rows on record.
func put(t testing.TB, r *Run, model string, shard, n int) {
	t.Helper()
	u, err := r.OpenShard(model, shard)
	storetest.Must(t, err)
	for row := u.Chunk().First; row < u.Chunk().First+int64(n); row++ {
		if !u.Done(row, 0) {
			storetest.Must(t, u.Put(storetest.Record(model, row, 0)))
		}
	}
	if int64(n) == u.Chunk().Rows {
		storetest.Must(t, u.Commit())
	}
}

// A run with a committed, an open and an untouched shard is extended twice; it
// goes on with what is left, and each Parquet file keeps the dataset it was asked from.
func TestExtend(t *testing.T) {
	dir := t.TempDir()
	short := identity(1, 3, 4, 1)
	short.DatasetSize = 77
	r := mustOpen(t, dir, short, Options{})
	put(t, r, "m0", 0, 4)
	put(t, r, "m0", 1, 2)
	storetest.Must(t, r.Close("stopped: test"))

	longer := extended(short)
	storetest.Must(t, Extend(dir, Options{}, grown(newRows(longer))))
	info, err := view.ReadInfo(dir)
	storetest.Must(t, err)
	if len(info.Chunks) != 5 || info.DatasetRows != 16 || info.DatasetHash != "longer" || info.State != StateExtended ||
		info.Items() != 16 || len(info.Extensions) != 1 {
		t.Fatalf("%+v", info)
	}
	if e := info.Extensions[0]; e.Shards != 3 || e.Rows != 12 || e.DatasetHash != "d" || e.Tool != "v1" ||
		e.Size != 77 || e.At.IsZero() {
		t.Errorf("%+v", e)
	}
	if got, err := view.Extensions(dir); err != nil || len(got) != 1 || got[0] != info.Extensions[0] {
		t.Errorf("Extensions = %+v, %v", got, err)
	}
	var mismatch *MismatchError
	if _, err := Open(dir, short, Options{ReserveFile: -1}); !errors.As(err, &mismatch) {
		t.Errorf("Open with the shorter dataset: %v", err)
	}

	r = mustOpen(t, dir, longer, Options{})
	if s := r.Totals().Sum(); s.Rows != 6 || !r.Committed("m0", 0) || r.Committed("m0", 1) || r.Shards() != 5 {
		t.Fatalf("%d rows on record, %d shards", s.Rows, r.Shards())
	}
	put(t, r, "m0", 1, 4)
	put(t, r, "m0", 3, 2)
	put(t, r, "m0", 4, 1)
	storetest.Must(t, r.Close("stopped: test"))

	longest := extended(longer)
	longest.DatasetHash = "longest"
	storetest.Must(t, Extend(dir, Options{}, grown(newRows(longest))))
	// Without the manifest the Parquet files speak for themselves: their footers must fit.
	storetest.Must(t, os.Remove(filepath.Join(dir, rundir.ManifestFile)))
	r = mustOpen(t, dir, longest, Options{Notice: func(s string) { t.Error(s) }})
	for n := range longest.Chunks {
		if !r.Committed("m0", n) {
			put(t, r, "m0", n, int(longest.Chunks[n].Rows))
		}
	}
	storetest.Must(t, r.Close("finished"))
	for _, deep := range []bool{false, true} {
		rep, err := view.Verify(dir, deep)
		storetest.Must(t, err)
		if !rep.OK() || rep.Recorded != 20 || rep.Items != 20 || rep.ParquetFiles != 7 {
			t.Errorf("deep %v: %+v", deep, rep)
		}
	}
	if got := collect(t, dir, view.ReadOptions{}); len(got) != 20 {
		t.Errorf("%d rows of 20", len(got))
	}
	for shard, want := range []string{"d", "d", "d", "longer", "longer", "longest", "longest"} {
		pf, err := parquetfile.Open(disk.OS{}, filepath.Join(dir, rundir.ResultsDir, rundir.ParquetFileName("m0", shard, 1)))
		storetest.Must(t, err)
		if got, _ := pf.Lookup("dataset_hash"); got != want {
			t.Errorf("shard %d says dataset %q, want %q", shard, got, want)
		}
		pf.Close()
	}
}

func TestExtendRefuses(t *testing.T) {
	short := identity(1, 3, 4, 1)
	edit := func(change func(*Identity)) NewRows {
		id := extended(short)
		change(&id)
		return newRows(id)
	}
	for _, tc := range []struct {
		name string
		g    NewRows
		want string
	}{
		{"a row edited", edit(func(id *Identity) { id.Chunks[1].Hash[0]++ }), "dataset rows 4–7 have changed"},
		{"other rows chosen", edit(func(id *Identity) { id.Chunks[1].Skipped = 1 }), "shard 1: 4 rows used → 3 rows used"},
		{"the last shard grown", edit(func(id *Identity) {
			id.Chunks = id.Chunks[:3]
			id.Chunks[2].Rows, id.DatasetRows = 9, 17
		}), "shard 2: rows 8–11 → rows 8–16"},
		{"shorter", newRows(identity(1, 2, 4, 1)), "shards: 3 → 2"},
		{"nothing added", newRows(short), "no rows were added"},
		{"a gap", edit(func(id *Identity) { id.Chunks[3].First++ }), "want it to begin at 12"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			r := mustOpen(t, dir, short, Options{})
			storetest.Must(t, r.Close("finished"))
			before := identityFiles(t, dir)
			err := Extend(dir, Options{}, grown(tc.g))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Extend = %v, want %q", err, tc.want)
			}
			if after := identityFiles(t, dir); after != before {
				t.Errorf("the run was changed:\n%s\n%s", before, after)
			}
		})
	}

	dir := t.TempDir()
	if err := Extend(filepath.Join(dir, "none"), Options{}, grown(newRows(extended(short)))); !errors.Is(err,
		fs.ErrNotExist) {
		t.Errorf("no run: %v", err)
	}
	if names, _ := os.ReadDir(dir); len(names) > 0 {
		t.Errorf("a directory was made: %v", names)
	}
	r := mustOpen(t, dir, short, Options{})
	var locked *LockedError
	if err := Extend(dir, Options{}, grown(newRows(extended(short)))); !errors.As(err, &locked) {
		t.Errorf("a live run: %v", err)
	}
	storetest.Must(t, r.Close("finished"))
}

// identityFiles is what run.json and the shards say.
func identityFiles(t testing.TB, dir string) string {
	t.Helper()
	run, err := os.ReadFile(filepath.Join(dir, rundir.RunFile))
	storetest.Must(t, err)
	shards, err := os.ReadFile(filepath.Join(dir, rundir.ShardsFile))
	storetest.Must(t, err)
	return string(run) + string(shards)
}

// An extension that was cut short before run.json was written is none, and can
// be made again with other rows.
func TestExtensionCutShort(t *testing.T) {
	dir := t.TempDir()
	short := identity(2, 2, 4, 1)
	r := mustOpen(t, dir, short, Options{})
	runID := r.RunID()
	put(t, r, "m1", 0, 3)
	storetest.Must(t, r.Close("stopped: test"))
	shards, err := rundir.EncodeChunks(runID, extended(short).Chunks)
	storetest.Must(t, err)
	storetest.Must(t, os.WriteFile(filepath.Join(dir, rundir.ShardsFile), shards, 0o600))

	info, err := view.ReadInfo(dir)
	storetest.Must(t, err)
	if len(info.Chunks) != 2 || info.Items() != 16 {
		t.Fatalf("%d shards, %d items", len(info.Chunks), info.Items())
	}
	r = mustOpen(t, dir, short, Options{})
	if r.Shards() != 2 || r.Totals().Sum().Rows != 3 {
		t.Errorf("%d shards, %d rows", r.Shards(), r.Totals().Sum().Rows)
	}
	storetest.Must(t, r.Close("stopped: test"))
	other := extended(extended(short))
	storetest.Must(t, Extend(dir, Options{}, grown(newRows(other))))
	r = mustOpen(t, dir, other, Options{})
	if r.Shards() != 6 {
		t.Errorf("%d shards", r.Shards())
	}
	storetest.Must(t, r.Close("stopped: test"))

	// Fewer shards than run.json tells of are damage.
	shards, err = rundir.EncodeChunks(runID, short.Chunks)
	storetest.Must(t, err)
	storetest.Must(t, os.WriteFile(filepath.Join(dir, rundir.ShardsFile), shards, 0o600))
	if _, err := view.ReadInfo(dir); err == nil || !strings.Contains(err.Error(), "2 shards are listed, run.json has 6") {
		t.Errorf("ReadInfo = %v", err)
	}
}

// Every operation of an extension fails once: the run is what it was or
// extended, and the next try goes through.
func TestExtendFaults(t *testing.T) {
	short := identity(1, 2, 3, 1)
	more := extended(short)
	base := storetest.NewFS()
	r := mustOpen(t, crashDir, short, Options{fs: base})
	put(t, r, "m0", 0, 3)
	storetest.Must(t, r.Close("finished"))
	for n := 1; ; n++ {
		mem := base.Clone()
		ops, broken := 0, ""
		mem.Before = func(op, name string) (int, error) {
			if ops++; ops == n {
				broken = op + " " + name
				return 0, fmt.Errorf("injected")
			}
			return 0, nil
		}
		err := Extend(crashDir, Options{fs: mem}, grown(newRows(more)))
		mem.Before = nil
		if broken == "" {
			storetest.Must(t, err)
			t.Logf("%d operations", n-1)
			return
		}
		info, viewErr := rundir.Read(mem, crashDir)
		storetest.Must(t, viewErr)
		switch shards := len(info.Info.Chunks); {
		case shards == 4:
		case shards != 2 || err == nil:
			t.Fatalf("%s failed: %d shards, %v", broken, shards, err)
		default:
			storetest.Must(t, Extend(crashDir, Options{fs: mem}, grown(newRows(more))))
		}
		r, err := Open(crashDir, more, Options{fs: mem, ReserveFile: -1})
		if err != nil {
			t.Fatalf("%s failed: %v", broken, err)
		}
		if !r.Committed("m0", 0) || r.Totals().Sum().Rows != 3 {
			t.Fatalf("%s failed: rows are gone", broken)
		}
		storetest.Must(t, r.Close("stopped"))
	}
}
