package view

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"nightshift"
	"nightshift/runner/store"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
	"nightshift/runner/store/internal/testdata/storetest"
	"nightshift/runner/store/journal"
	"nightshift/runner/store/parquetfile"
)

// mixedRun is a run with committed shards, an open one, one not begun, and
// failed rows: 2 models × 3 shards × 4 rows.
func mixedRun(t testing.TB) (string, store.Identity) {
	t.Helper()
	dir := t.TempDir()
	id := identity(2, 3, 4, 1)
	r := mustOpen(t, dir, id, store.Options{})
	fillShard(t, r, "m0", 0)
	fillShard(t, r, "m0", 1)
	fillShard(t, r, "m1", 0)
	u, err := r.OpenShard("m1", 1)
	storetest.Must(t, err)
	for _, row := range []int64{6, 4} {
		storetest.Must(t, u.Put(storetest.Record("m1", row, 0)))
	}
	storetest.Must(t, u.Put(storetest.FailedRecord("m1", 5, []nightshift.Attempt{{N: 1, Class: nightshift.ClassServer}})))
	storetest.Must(t, r.Close("stopped: budget"))
	return dir, id
}

func TestRowsOrderAndChoice(t *testing.T) {
	dir, _ := mixedRun(t)
	type row struct {
		Model   string `parquet:"model,dict"`
		Row     int64  `parquet:"row"`
		Tokens  int64  `parquet:"input_tokens"` // null reads as 0
		Outcome string `parquet:"outcome"`
	}
	read := func(o ReadOptions) string {
		var got []string
		for r, err := range Rows[row](dir, o) {
			storetest.Must(t, err)
			got = append(got, fmt.Sprintf("%s.%d", r.Model, r.Row))
		}
		return strings.Join(got, " ")
	}
	for _, tc := range []struct {
		o    ReadOptions
		want string
	}{
		{ReadOptions{}, "m0.0 m0.1 m0.2 m0.3 m0.4 m0.5 m0.6 m0.7 m1.0 m1.1 m1.2 m1.3 m1.4 m1.5 m1.6"},
		{ReadOptions{Models: []string{"m1"}}, "m1.0 m1.1 m1.2 m1.3 m1.4 m1.5 m1.6"},
		{ReadOptions{From: 2, To: 6}, "m0.2 m0.3 m0.4 m0.5 m1.2 m1.3 m1.4 m1.5"},
		{ReadOptions{From: 6}, "m0.6 m0.7 m1.6"},
		{ReadOptions{Models: []string{"nobody"}}, ""},
	} {
		if got := read(tc.o); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.o, got, tc.want)
		}
	}
	for r, err := range Rows[row](dir, ReadOptions{Models: []string{"m1"}, From: 5, To: 6}) {
		storetest.Must(t, err)
		if r.Tokens != 0 || r.Outcome != "failed" {
			t.Errorf("failed row = %+v", r)
		}
	}
	n := 0
	for range Rows[row](dir, ReadOptions{}) {
		if n++; n == 2 {
			break
		}
	}
}

// A projection reads the same from Parquet files and from journals, the fields
// of embedded structs among them.
func TestProjection(t *testing.T) {
	type numbered struct {
		Row int64 `parquet:"row"`
	}
	type row struct {
		numbered
		Text  *string  `parquet:"text,optional"`
		Cost  *float64 `parquet:"cost_usd,optional"`
		Flags *string  `parquet:"flags,optional,dict"`
	}
	dir := t.TempDir()
	id := identity(1, 1, 3, 1)
	r := mustOpen(t, dir, id, store.Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	for i := range int64(3) {
		rec := storetest.Record("m0", i, 0)
		if i == 1 {
			rec.Text, rec.CostUSD, rec.Flags = nil, nil, storetest.Ptr("")
		}
		storetest.Must(t, u.Put(rec))
	}
	read := func() []row {
		var rows []row
		for r, err := range Rows[row](dir, ReadOptions{}) {
			storetest.Must(t, err)
			rows = append(rows, r)
		}
		return rows
	}
	before := read()
	storetest.Must(t, u.Commit())
	if after := read(); !reflect.DeepEqual(before, after) || len(before) != 3 || before[1].Text != nil ||
		*before[1].Flags != "" || before[2].Row != 2 {
		t.Fatalf("from the journal %+v, from the part %+v", before, after)
	}
	storetest.Must(t, r.Close(""))

	type unknown struct {
		X string `parquet:"no_such_column"`
	}
	type wrong struct {
		Row string `parquet:"row"`
	}
	for _, err := range Rows[unknown](dir, ReadOptions{}) {
		if err == nil || !strings.Contains(err.Error(), "no_such_column") {
			t.Errorf("unknown column: %v", err)
		}
	}
	for _, err := range Rows[wrong](dir, ReadOptions{}) {
		if err == nil || !strings.Contains(err.Error(), "int64") {
			t.Errorf("column of another type: %v", err)
		}
	}
	for _, err := range Rows[row](t.TempDir(), ReadOptions{}) {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("no run there: %v", err)
		}
	}
}

// A reader that runs while shards are committed under it sees every row once.
func TestRowsOfALiveRun(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 30, 4, 1)
	r := mustOpen(t, dir, id, store.Options{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 30 {
			u, err := r.OpenShard("m0", n)
			if err != nil {
				t.Error(err)
				return
			}
			s := u.Chunk()
			for row := s.First; row < s.First+s.Rows; row++ {
				if err := u.Put(storetest.Record("m0", row, 0)); err != nil {
					t.Error(err)
				}
			}
			if err := u.Commit(); err != nil {
				t.Error(err)
			}
		}
	}()
	for looks := 0; ; looks++ {
		got := collect(t, dir, ReadOptions{})
		st, err := Status(dir)
		storetest.Must(t, err)
		if len(got) > 120 || st.Done > 120 || len(st.Damage) > 0 {
			t.Fatalf("%d rows, done %d, damage %q", len(got), st.Done, st.Damage)
		}
		for n := range len(got) {
			if _, there := got[itemName("m0", int64(n), 0)]; !there {
				t.Fatalf("row %d is missing of %d", n, len(got))
			}
		}
		select {
		case <-done:
			if len(collect(t, dir, ReadOptions{})) != 120 {
				t.Fatal("rows are missing at the end")
			}
			storetest.Must(t, r.Close("finished"))
			return
		default:
		}
	}
}

func TestStatus(t *testing.T) {
	dir, _ := mixedRun(t)
	st, err := Status(dir)
	storetest.Must(t, err)
	if st.Items != 24 || st.Done != 15 || st.Failed != 1 || st.Committed != 3 || st.OpenShards != 1 || st.Live ||
		st.State != "stopped: budget" || st.LastWrite.IsZero() {
		t.Fatalf("Status = %+v", st)
	}
	if st.Spent != 14_000 || st.AtMost != 14_000 {
		t.Fatalf("spent %d, at most %d", st.Spent, st.AtMost)
	}
	if _, err := Status(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Status of an empty directory: %v", err)
	}
}

func TestStatusOfALiveRun(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 4, 1)
	r := mustOpen(t, dir, id, store.Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.AttemptLog(0, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5}))
	kill(t, dir, r)
	r = mustOpen(t, dir, id, store.Options{})
	defer r.Close("")
	u, err = r.OpenShard("m0", 0)
	storetest.Must(t, err)
	storetest.Must(t, u.AttemptLog(1, 0).Sending(nightshift.Intent{Attempt: 1, WorstCost: 5}))
	storetest.Must(t, u.Put(storetest.Record("m0", 2, 0)))
	st, err := Status(dir)
	storetest.Must(t, err)
	if !st.Live || st.InFlight != 1 || len(st.Unknown) != 1 || st.Unknown[0].Row != 0 || st.Done != 1 ||
		st.PerHour == 0 || st.TimeLeft == 0 {
		t.Fatalf("live %v, in flight %d, unknown %v, done %d, per hour %v, left %v", st.Live, st.InFlight, st.Unknown,
			st.Done, st.PerHour, st.TimeLeft)
	}
}

func TestVerify(t *testing.T) {
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   string // a problem contains it; "" for none
	}{
		{"whole", func(*testing.T, string) {}, ""},
		{"part changed", func(t *testing.T, dir string) {
			flipBit(t, filepath.Join(dir, rundir.ResultsDir, "m0-000001.parquet"), 999)
		}, "SHA-256"},
		{"part swapped", func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, rundir.ResultsDir, "m0-000000.parquet"))
			storetest.Must(t, err)
			storetest.Must(t, os.WriteFile(filepath.Join(dir, rundir.ResultsDir, "m0-000001.parquet"), b, 0o600))
		}, "its footer says first_row"},
		{"part gone", func(t *testing.T, dir string) {
			storetest.Must(t, os.Remove(filepath.Join(dir, rundir.ResultsDir, "m1-000000.parquet")))
		}, "no such file"},
		{"manifest line changed", func(t *testing.T, dir string) {
			flipBit(t, filepath.Join(dir, rundir.ManifestFile), 300)
		}, "checksum"},
		{"strange part", func(t *testing.T, dir string) {
			storetest.Must(t, os.WriteFile(filepath.Join(dir, rundir.ResultsDir, "x.parquet"), nil, 0o600))
		}, "not a part"},
		{"journal changed", func(t *testing.T, dir string) {
			flipBit(t, filepath.Join(dir, rundir.JournalDir, "m1-000001.g1.e0001.jsonl"), 500)
		}, "checksum"},
		{"manifest says other sums", func(t *testing.T, dir string) {
			name := filepath.Join(dir, rundir.ManifestFile)
			b, err := os.ReadFile(name)
			storetest.Must(t, err)
			var out []byte
			storetest.Must(t, journal.ScanLines(bytes.NewReader(b), func(s journal.Span) error {
				object := bytes.Replace(s.Object, []byte(`"attempts":4`), []byte(`"attempts":5`), 1)
				line, _, err := journal.EncodeLine(json.RawMessage(object))
				storetest.Must(t, err)
				out = append(out, line...)
				return nil
			}))
			storetest.Must(t, os.WriteFile(name, out, 0o600))
		}, "its sums are"},
	} {
		for _, deep := range []bool{false, true} {
			dir, _ := mixedRun(t)
			tc.damage(t, dir)
			before := snapshot(t, dir)
			rep, err := Verify(dir, deep)
			storetest.Must(t, err)
			var said []string
			for _, p := range rep.Problems {
				said = append(said, p.String())
			}
			if rep.OK() != (tc.want == "") || !strings.Contains(strings.Join(said, "\n"), tc.want) {
				t.Errorf("%s, deep %v: problems %q, want %q", tc.name, deep, said, tc.want)
			}
			if tc.want == "" && (rep.Recorded != 15 || rep.Items != 24 || deep != (rep.Decoded == 15)) {
				t.Errorf("%s: %+v", tc.name, rep)
			}
			if !reflect.DeepEqual(before, snapshot(t, dir)) {
				t.Errorf("%s: verify has changed something", tc.name)
			}
		}
	}
	dir, _ := mixedRun(t)
	rep, err := Verify(dir, true, func(r *nightshift.Record) error {
		if r.Row == 6 {
			return errors.New("text does not follow from the raw response")
		}
		return nil
	})
	storetest.Must(t, err)
	if len(rep.Problems) != 2 || rep.OK() {
		t.Errorf("a check found rows 6 of m0 and m1; problems %v", rep.Problems)
	}
}

// snapshot is the content of all files of a directory.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	storetest.Must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = string(b)
		return err
	}))
	return files
}

func scoresOf(list ...nightshift.Score) iter.Seq2[nightshift.Score, error] {
	return func(yield func(nightshift.Score, error) bool) {
		for _, s := range list {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func score(model string, row int64, scorer string, value *float64) nightshift.Score {
	s := nightshift.Score{Run: "test", Row: row, ID: fmt.Sprint(row), Model: model, Scorer: scorer, Value: value,
		Status: nightshift.Scored, ScorerVersion: "1", Params: "{}"}
	if value == nil {
		s.Status = nightshift.NotRun
	}
	return s
}

// A scorer that had nothing to score leaves a table without rows.
func TestNoScores(t *testing.T) {
	dir, _ := mixedRun(t)
	storetest.Must(t, store.WriteScores(dir, "number", scoresOf()))
	for s, err := range Scores(dir) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestScores(t *testing.T) {
	dir, _ := mixedRun(t)
	var want []nightshift.Score
	for i := range int64(300) {
		s := score("m0", i, "number", storetest.Ptr(float64(i)))
		s.Answer, s.Explanation = storetest.Ptr(""), storetest.Ptr("because\x00")
		if i%7 == 0 {
			s = score("m0", i, "number", nil)
		}
		want = append(want, s)
	}
	storetest.Must(t, store.WriteScores(dir, "number", scoresOf(want...)))
	var got []nightshift.Score
	for s, err := range Scores(dir) {
		storetest.Must(t, err)
		got = append(got, s)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatal("scores have changed")
	}
	// An error on the way leaves the old table.
	broken := errors.New("scorer broke")
	err := store.WriteScores(dir, "number", func(yield func(nightshift.Score, error) bool) {
		if yield(want[0], nil) {
			yield(nightshift.Score{}, broken)
		}
	})
	if !errors.Is(err, broken) {
		t.Fatalf("WriteScores = %v", err)
	}
	names, _ := os.ReadDir(filepath.Join(dir, rundir.ScoresDir))
	if len(names) != 1 || names[0].Name() != "number.parquet" {
		t.Fatalf("files in scores: %v", names)
	}
	// A repaired score, a new table in place of the old.
	bad := score("m0", 0, "number", storetest.Ptr(math.NaN()))
	bad.Explanation = storetest.Ptr("caf\xe9")
	storetest.Must(t, store.WriteScores(dir, "number", scoresOf(bad)))
	for s, err := range Scores(dir, "number") {
		storetest.Must(t, err)
		if s.Value != nil || *s.Explanation != "caf\ufffd" {
			t.Fatalf("score = %+v", s)
		}
	}
	for _, name := range []string{"", "../x", "a/b", ".hidden"} {
		if err := store.WriteScores(dir, name, scoresOf()); err == nil {
			t.Errorf("WriteScores takes the name %q", name)
		}
	}
	if tables, err := ScoreTables(dir); err != nil || !slices.Equal(tables, []string{"number"}) {
		t.Fatalf("ScoreTables = %q, %v", tables, err)
	}
	for _, err := range Scores(dir, "absent") {
		if !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("a table that is not there: %v", err)
		}
	}
}

// Parquet row groups are copied as they are where nothing is joined, so that
// a committed shard's pages are found byte for byte in the export.
func TestExportParquet(t *testing.T) {
	dir, id := mixedRun(t)
	var out bytes.Buffer
	n, err := Export(dir, &out, FormatParquet, ExportOptions{})
	storetest.Must(t, err)
	var want []nightshift.Record
	for rec, err := range Rows[nightshift.Record](dir, ReadOptions{}) {
		storetest.Must(t, err)
		want = append(want, rec)
	}
	got, err := parquet.Read[nightshift.Record](bytes.NewReader(out.Bytes()), int64(out.Len()))
	storetest.Must(t, err)
	if n != 15 || !reflect.DeepEqual(got, want) {
		t.Fatalf("%d rows, equal %v", n, reflect.DeepEqual(got, want))
	}
	for _, name := range []string{"m0-000000", "m0-000001", "m1-000000"} {
		b, err := os.ReadFile(filepath.Join(dir, rundir.ResultsDir, name+".parquet"))
		storetest.Must(t, err)
		pf, err := parquetfile.Open(disk.OS{}, filepath.Join(dir, rundir.ResultsDir, name+".parquet"))
		storetest.Must(t, err)
		defer pf.Close()
		size, _ := pf.Lookup("data_bytes")
		var end int
		fmt.Sscan(size, &end)
		if !bytes.Contains(out.Bytes(), b[4:end]) {
			t.Errorf("the pages of %s were not copied as they are", name)
		}
	}
	// Chosen rows.
	out.Reset()
	n, err = Export(dir, &out, FormatParquet, ExportOptions{Where: func(r *nightshift.Record) bool {
		return r.Outcome == nightshift.OutcomeFailed
	}})
	storetest.Must(t, err)
	if n != 1 {
		t.Fatalf("%d failed rows", n)
	}
	out.Reset()
	n, err = Export(dir, &out, FormatParquet,
		ExportOptions{ReadOptions: ReadOptions{Models: []string{"m1"}, From: 1, To: 5}})
	if err != nil || n != 4 {
		t.Fatalf("%d rows of m1, %v", n, err)
	}
	_ = id
}

func TestExportJoined(t *testing.T) {
	dir, _ := mixedRun(t)
	// One table in the order of Rows with a gap, one in no order.
	storetest.Must(t, store.WriteScores(dir, "number", scoresOf(
		score("m0", 0, "number", storetest.Ptr(1.0)), score("m0", 5, "number", storetest.Ptr(0.5)),
		score("m1", 4, "number", storetest.Ptr(0.25)), score("m1", 5, "number", nil))))
	storetest.Must(t, store.WriteScores(dir, "judge", scoresOf(
		score("m1", 4, "Helpful!", storetest.Ptr(4.0)), score("m0", 5, "Helpful!", storetest.Ptr(3.0)),
		score("m0", 0, "other", storetest.Ptr(2.0)))))
	want := map[string]string{ // scores of helpful, number, other
		"m0.0": "- 1 2", "m0.5": "3 0.5 -", "m1.4": "4 0.25 -", "m1.5": "- - -",
	}
	show := func(vals ...*float64) string {
		var s []string
		for _, v := range vals {
			if v == nil {
				s = append(s, "-")
			} else {
				s = append(s, fmt.Sprint(*v))
			}
		}
		return strings.Join(s, " ")
	}
	check := func(format, key, got string) {
		t.Helper()
		w, ok := want[key]
		if !ok {
			w = "- - -"
		}
		if got != w {
			t.Errorf("%s: %s = %q, want %q", format, key, got, w)
		}
	}

	var out bytes.Buffer
	n, err := Export(dir, &out, FormatParquet, ExportOptions{})
	storetest.Must(t, err)
	type row struct {
		Row     int64    `parquet:"row"`
		Model   string   `parquet:"model"`
		Text    *string  `parquet:"text,optional"`
		Helpful *float64 `parquet:"score_helpful_,optional"`
		Number  *float64 `parquet:"score_number,optional"`
		Other   *float64 `parquet:"score_other,optional"`
		Status  *string  `parquet:"score_number_status,optional"`
	}
	rows, err := parquet.Read[row](bytes.NewReader(out.Bytes()), int64(out.Len()))
	storetest.Must(t, err)
	if n != 15 || len(rows) != 15 {
		t.Fatalf("%d rows, %d read", n, len(rows))
	}
	for _, r := range rows {
		key := fmt.Sprintf("%s.%d", r.Model, r.Row)
		check("parquet", key, show(r.Helpful, r.Number, r.Other))
		if key == "m1.5" && (r.Status == nil || *r.Status != "error" || r.Text != nil) {
			t.Errorf("m1.5 = %+v", r)
		}
	}

	out.Reset()
	_, err = Export(dir, &out, FormatJSONL, ExportOptions{})
	storetest.Must(t, err)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, l := range lines {
		var v struct {
			Model  string
			Row    int64
			Scores map[string]struct{ Value *float64 }
		}
		storetest.Must(t, json.Unmarshal([]byte(l), &v))
		check("jsonl", fmt.Sprintf("%s.%d", v.Model, v.Row),
			show(v.Scores["Helpful!"].Value, v.Scores["number"].Value, v.Scores["other"].Value))
	}

	out.Reset()
	_, err = Export(dir, &out, FormatCSV, ExportOptions{})
	storetest.Must(t, err)
	table, err := csv.NewReader(&out).ReadAll()
	storetest.Must(t, err)
	col := map[string]int{}
	for i, h := range table[0] {
		col[h] = i
	}
	if len(table) != 16 || len(lines) != 15 {
		t.Fatalf("%d CSV lines, %d JSON lines", len(table), len(lines))
	}
	for _, r := range table[1:] {
		var s []string
		for _, c := range []string{"score_helpful_", "score_number", "score_other"} {
			s = append(s, map[bool]string{true: "-", false: r[col[c]]}[r[col[c]] == ""])
		}
		check("csv", r[col["model"]]+"."+r[col["row"]], strings.Join(s, " "))
	}
	if _, err := Export(dir, &out, "xml", ExportOptions{}); err == nil {
		t.Error("Export knows xml")
	}
	// No scores wanted.
	out.Reset()
	_, err = Export(dir, &out, FormatCSV, ExportOptions{Scores: []string{}})
	storetest.Must(t, err)
	if strings.Contains(out.String(), "score_") {
		t.Error("scores are joined that were not wanted")
	}
}

func TestCSVCells(t *testing.T) {
	for _, tc := range []struct {
		in   string
		safe bool // stays as it is
	}{
		{"", true}, {"plain", true}, {"1-1", true}, {"a=b", true}, {"a\nb", true}, {"'quoted", true},
		{"{\"a\": -1}", true}, {"3\u00b2", true},
		{"=1+1", false}, {"+1", false}, {"-1", false}, {"@x", false}, {"\tx", false}, {"\rx", false},
		{"  =1", false}, {"\u200b=1", false}, {"\u00a0=1", false}, {"\ufeff=1", false}, {"\u3164=1", false},
		{"\x00=1", false}, {"\u2060\u202e@x", false},
		{"a\n=1", false}, {"a\r\n -1", false}, {"a\u2028=1", false}, {"a\v@x", false}, {"＝1", false},
	} {
		want := tc.in
		if !tc.safe {
			want = "'" + tc.in
		}
		if got := csvText(tc.in); got != want {
			t.Errorf("csvText(%q) = %q, want %q", tc.in, got, want)
		}
	}
}

// FuzzCSVText: no cell, and no line of one, begins with a formula once what
// cannot be seen is taken away.
func FuzzCSVText(f *testing.F) {
	f.Add("a\n\u200b=1")
	f.Add("-")
	f.Fuzz(func(t *testing.T, s string) {
		got := csvText(s)
		if got != s && got != "'"+s {
			t.Fatalf("csvText(%q) = %q", s, got)
		}
		if strings.HasPrefix(got, "'") {
			return
		}
		for line := range strings.SplitSeq(got, "\n") {
			line = strings.TrimLeftFunc(line, invisible)
			if line != "" && strings.ContainsRune("=+-@", []rune(line)[0]) {
				t.Fatalf("csvText(%q) has a line %q", s, line)
			}
		}
	})
}

func TestCSVBytesAndTimes(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 1, 1)
	r := mustOpen(t, dir, id, store.Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	rec := storetest.Record("m0", 0, 0)
	rec.Text = storetest.Ptr("=cmd")
	rec.RawResponse = storetest.Ptr("\xff")
	rec.LatencyMS = storetest.Ptr(-1.5)
	storetest.Must(t, u.Put(rec))
	storetest.Must(t, r.Close(""))
	var out bytes.Buffer
	_, err = Export(dir, &out, FormatCSV, ExportOptions{})
	storetest.Must(t, err)
	for _, want := range []string{"'=cmd", base64.StdEncoding.EncodeToString([]byte{0xff}), ",-1.5,"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the CSV lacks %q:\n%s", want, out.String())
		}
	}
}
