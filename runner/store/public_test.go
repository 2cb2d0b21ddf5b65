package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift"
	"nightshift/runner/store"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/view"
)

// The tests of this file use the exported names only, as the rest of the
// program does.

func p[T any](v T) *T { return &v }

// twoModels is a run of two models, two shards of three rows, and two epochs.
func twoModels() store.Identity {
	id := store.Identity{
		Name: "public", Tool: "v1", Plan: json.RawMessage(`{"models":[{"name":"a"}]}`), PlanHash: "h",
		DatasetHash: "d", DatasetRows: 6, Models: []string{"a", "b/c"}, Epochs: 2,
	}
	for n := range int64(2) {
		id.Chunks = append(id.Chunks, rundir.Chunk{First: 3 * n, Rows: 3, Hash: sha256.Sum256([]byte{byte(n)})})
	}
	return id
}

func answer(model string, row int64, epoch int) *nightshift.Record {
	return &nightshift.Record{
		Run: "public", Row: row, ID: fmt.Sprintf("id-%d", row), Epoch: int32(epoch), Model: model, Endpoint: "e",
		Protocol:       "chat",
		RequestedModel: model, Outcome: nightshift.OutcomeOK, Text: p(fmt.Sprintf("=%s %d.%d", model, row, epoch)),
		InputTokens: p(int64(7)), OutputTokens: p(int64(3)), CostNanoUSD: p(int64(500)), Attempts: 1,
	}
}

func openRun(t *testing.T, dir string, id store.Identity, o store.Options) *store.Run {
	t.Helper()
	o.ReserveFile = -1
	run, err := store.Open(dir, id, o)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func fails(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// fill puts a record of every item of a shard that has none, and commits it.
func fill(t *testing.T, run *store.Run, model string, shard int) {
	t.Helper()
	s, err := run.OpenShard(model, shard)
	fails(t, err)
	for row := s.Chunk().First; row < s.Chunk().First+s.Chunk().Rows; row++ {
		for epoch := range 2 {
			if s.Done(row, epoch) {
				continue
			}
			fails(t, s.AttemptLog(row, epoch).Sending(nightshift.Intent{Attempt: 1, WorstCost: 900}),
				s.Put(answer(model, row, epoch)))
		}
	}
	fails(t, s.Commit())
}

func rowsOf(t *testing.T, dir string, o view.ReadOptions) string {
	t.Helper()
	type columns struct {
		Model string `parquet:"model,dict"`
		Row   int64  `parquet:"row"`
		Epoch int32  `parquet:"epoch"`
		Text  string `parquet:"text,optional"`
	}
	var got []string
	for r, err := range view.Rows[columns](dir, o) {
		fails(t, err)
		if r.Text != fmt.Sprintf("=%s %d.%d", r.Model, r.Row, r.Epoch) {
			t.Errorf("row %d epoch %d of %s says %q", r.Row, r.Epoch, r.Model, r.Text)
		}
		got = append(got, fmt.Sprintf("%s%d.%d", r.Model[:1], r.Row, r.Epoch))
	}
	return strings.Join(got, " ")
}

// stopped is a run with one shard committed, one open with an attempt whose
// outcome is unknown, and two that were not begun.
func stopped(t *testing.T) (dir string, id store.Identity) {
	t.Helper()
	dir, id = filepath.Join(t.TempDir(), "run"), twoModels()
	run := openRun(t, dir, id, store.Options{Strict: true})
	fill(t, run, "a", 0)
	s, err := run.OpenShard("b/c", 1)
	fails(t, err,
		s.Put(answer("b/c", 4, 1)),
		s.AttemptLog(3, 0).Sending(nightshift.Intent{Attempt: 1, WorstTokens: 40, WorstCost: 900}),
		s.AttemptLog(5, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 900}),
		s.AttemptLog(5, 0).Failed(nightshift.Attempt{N: 1, Class: nightshift.ClassServer}),
		run.Close("stopped: budget"))
	return dir, id
}

func TestPublicRows(t *testing.T) {
	dir, _ := stopped(t)
	for _, tc := range []struct {
		o    view.ReadOptions
		want string
	}{
		{view.ReadOptions{}, "a0.0 a0.1 a1.0 a1.1 a2.0 a2.1 b4.1"},
		{view.ReadOptions{Models: []string{"a"}, From: 1, To: 2}, "a1.0 a1.1"},
		{view.ReadOptions{From: 2}, "a2.0 a2.1 b4.1"},
	} {
		if got := rowsOf(t, dir, tc.o); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.o, got, tc.want)
		}
	}
	var at []int64
	for r, err := range view.At[nightshift.Record](dir, "a", []int64{2, 0, 5}) {
		fails(t, err)
		at = append(at, r.Row)
	}
	if fmt.Sprint(at) != "[0 0 2 2]" {
		t.Errorf("At: rows %v", at)
	}
}

func TestPublicStatus(t *testing.T) {
	dir, id := stopped(t)
	st, err := view.Status(dir)
	fails(t, err)
	if st.State != "stopped: budget" || st.Live || st.Items != 24 || st.Done != 7 || st.Committed != 1 ||
		st.OpenShards != 1 {
		t.Errorf("stopped: %+v", st)
	}
	if len(st.Unknown) != 1 || st.Unknown[0].Row != 3 || st.Spent != 3500 || st.AtMost != 4400 || len(st.Damage) != 0 {
		t.Errorf("unknown %+v, spent %d, at most %d, damage %q", st.Unknown, st.Spent, st.AtMost, st.Damage)
	}
	run := openRun(t, dir, id, store.Options{})
	defer run.Close("")
	progress := run.Progress()
	watcher := view.NewWatcher(dir)
	for name, look := range map[string]func() (view.StatusInfo, error){
		"Status":     func() (view.StatusInfo, error) { return view.Status(dir) },
		"StatusWith": func() (view.StatusInfo, error) { return view.StatusWith(dir, &progress) },
		"Watcher":    func() (view.StatusInfo, error) { return watcher.Status(nil) },
	} {
		st, err := look()
		fails(t, err)
		if !st.Live || st.PID != os.Getpid() || st.Done != 7 || st.OpenShards != 1 || len(st.Unknown) != 1 {
			t.Errorf("%s of a live run: %+v", name, st)
		}
	}
}

func TestPublicResume(t *testing.T) {
	dir, id := stopped(t)
	run := openRun(t, dir, id, store.Options{})
	if !run.Committed("a", 0) || run.Committed("b/c", 1) || run.Totals().Sum().Rows != 7 ||
		run.Totals().Sum().Cost != 3500 {
		t.Errorf("totals %+v", run.Totals().Sum())
	}
	if u := run.Unknown(); len(u) != 1 || u[0].Model != "b/c" || u[0].WorstCost != 900 ||
		run.Unsettled().Sum().MaybeCost != 900 {
		t.Errorf("unknown %+v, unsettled %+v", u, run.Unsettled().Sum())
	}
	s, err := run.OpenShard("b/c", 1)
	fails(t, err)
	if s.Remaining() != 5 || !s.Done(4, 1) || s.Done(3, 0) {
		t.Errorf("%d items remain", s.Remaining())
	}
	if h := s.History(3, 0); len(h) != 1 || h[0].Class != nightshift.ClassUnknownOutcome {
		t.Errorf("history of the unknown attempt: %+v", h)
	}
	if h := s.History(5, 0); len(h) != 1 || h[0].Class != nightshift.ClassServer {
		t.Errorf("history of the failed attempt: %+v", h)
	}
	if err := s.Put(answer("b/c", 4, 1)); err == nil {
		t.Error("a second record of an item was taken")
	}
	if err := s.Put(answer("a", 4, 1)); err == nil {
		t.Error("a record of another model was taken")
	}
	if err := s.Commit(); err == nil {
		t.Error("a shard without all its records was committed")
	}
	for _, model := range id.Models {
		for shard := range 2 {
			if !run.Committed(model, shard) {
				fill(t, run, model, shard)
			}
		}
	}
	fails(t, run.Close("finished"))
	info, err := view.ReadInfo(dir)
	if err != nil || info.State != "finished" || len(info.ParquetFiles) != 4 || info.Totals.Sum().Rows != 24 {
		t.Errorf("info %+v, %v", info, err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "journal")); err != nil || len(left) != 0 {
		t.Errorf("journal folder: %v, %v", left, err)
	}
}

func TestPublicRefusals(t *testing.T) {
	dir, id := stopped(t)
	other := id
	other.DatasetHash = "another"
	_, err := store.Open(dir, other, store.Options{})
	var mismatch *store.MismatchError
	if !errors.As(err, &mismatch) || len(mismatch.Differences) != 1 {
		t.Errorf("another dataset: %v", err)
	}
	run := openRun(t, dir, id, store.Options{})
	_, err = store.Open(dir, id, store.Options{})
	var locked *store.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("open twice: %v", err)
	}
	fails(t, run.Close(""))
}

func TestPublicExtend(t *testing.T) {
	dir, id := stopped(t)
	more := store.NewRows{Tool: "v2", DatasetHash: "d2", DatasetRows: 8,
		Chunks: append(id.Chunks, rundir.Chunk{First: 6, Rows: 2})}
	fails(t, store.Extend(dir, store.Options{}, func(info rundir.Info) (store.NewRows, error) {
		if info.DatasetRows != 6 {
			t.Errorf("before: %d rows", info.DatasetRows)
		}
		return more, nil
	}))
	extensions, err := view.Extensions(dir)
	if err != nil || len(extensions) != 1 || extensions[0].Rows != 6 || extensions[0].DatasetHash != "d" {
		t.Errorf("extensions %+v, %v", extensions, err)
	}
	id.DatasetHash, id.DatasetRows, id.Chunks = more.DatasetHash, more.DatasetRows, more.Chunks
	run := openRun(t, dir, id, store.Options{})
	fill(t, run, "a", 2)
	fails(t, run.Close(""))
	if got := rowsOf(t, dir, view.ReadOptions{From: 6}); got != "a6.0 a6.1 a7.0 a7.1" {
		t.Errorf("new rows: %s", got)
	}
}

func TestPublicVerify(t *testing.T) {
	dir, _ := stopped(t)
	looked := 0
	report, err := view.Verify(dir, true, func(*nightshift.Record) error { looked++; return nil })
	if err != nil || !report.OK() || report.Recorded != 7 || looked != 7 || report.ParquetFiles != 1 ||
		report.Journals != 1 {
		t.Errorf("verify: %+v, %v, %d records checked", report, err, looked)
	}
	name := filepath.Join(dir, "results", "a-000000.parquet")
	b, err := os.ReadFile(name)
	fails(t, err)
	b[len(b)/2] ^= 1
	fails(t, os.WriteFile(name, b, 0o600))
	report, err = view.Verify(dir, false)
	if err != nil || report.OK() || len(report.Problems) == 0 || report.Problems[0].Path != name {
		t.Errorf("verify after a flipped bit: %+v, %v", report, err)
	}
}

func TestPublicExport(t *testing.T) {
	dir, _ := stopped(t)
	fails(t, store.WriteScores(dir, "exact", func(yield func(nightshift.Score, error) bool) {
		yield(nightshift.Score{Run: "public", Row: 1, ID: "id-1", Epoch: 1, Model: "a", Scorer: "exact",
			Status: "scored", Value: p(1.0)}, nil)
	}))
	if tables, err := view.ScoreTables(dir); err != nil || fmt.Sprint(tables) != "[exact]" {
		t.Errorf("score tables %v, %v", tables, err)
	}
	scores := 0
	for s, err := range view.Scores(dir) {
		fails(t, err)
		if scores++; *s.Value != 1 || s.Row != 1 {
			t.Errorf("score %+v", s)
		}
	}
	if scores != 1 {
		t.Errorf("%d scores", scores)
	}
	for _, tc := range []struct {
		format string
		lines  int
		has    string
	}{{view.FormatCSV, 8, "'=a 0.0"}, {view.FormatJSONL, 7, `"scores":{"exact":`},
		{view.FormatParquet, 0, "score_exact"}, {view.FormatXLSX, 0, ""}} {
		var out bytes.Buffer
		rows, err := view.Export(dir, &out, tc.format, view.ExportOptions{})
		fails(t, err)
		if rows != 7 || !strings.Contains(out.String(), tc.has) ||
			tc.lines > 0 && bytes.Count(out.Bytes(), []byte("\n")) != tc.lines {
			t.Errorf("%s: %d rows, %d bytes", tc.format, rows, out.Len())
		}
	}
	out := filepath.Join(t.TempDir(), "all.parquet")
	f, err := os.Create(out)
	fails(t, err)
	_, err = view.Export(dir, f, view.FormatParquet, view.ExportOptions{Scores: []string{}})
	fails(t, err, f.Close())
	rows := 0
	for read, err := range view.FileBatches[nightshift.Record](out) {
		fails(t, err)
		rows += len(read)
	}
	if rows != 7 {
		t.Errorf("%d rows read back", rows)
	}
}
