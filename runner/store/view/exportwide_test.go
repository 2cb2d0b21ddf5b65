package view

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"nightshift/runner/store"
	"nightshift/runner/store/internal/testdata/storetest"
)

// wideRun has two models of three rows and two epochs. The second model lacks
// the middle row, and its last answer is still in the journal.
func wideRun(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	r := mustOpen(t, dir, identity(2, 1, 3, 2), store.Options{})
	for _, model := range []string{"m0", "m1"} {
		u, err := r.OpenShard(model, 0)
		storetest.Must(t, err)
		for row := range int64(3) {
			for epoch := range int32(2) {
				if model == "m1" && row == 1 {
					continue
				}
				storetest.Must(t, u.Put(storetest.Record(model, row, int(epoch))))
			}
		}
		if model == "m0" {
			storetest.Must(t, u.Commit())
		}
	}
	storetest.Must(t, r.Close("stopped"))
	storetest.Must(t, store.WriteScores(dir, "number", scoresOf(
		score("m0", 0, "number", storetest.Ptr(1.0)), score("m1", 2, "number", storetest.Ptr(0.5)))))
	return dir
}

// TestExportWide puts the answers of all models to one row side by side; a
// model without an answer has nulls there.
func TestExportWide(t *testing.T) {
	dir := wideRun(t)
	for _, tc := range []struct {
		columns []string
		want    string
	}{
		{[]string{"outcome", "score_number"}, `row,id,epoch,m0_outcome,m0_score_number,m1_outcome,m1_score_number
0,0,0,ok,1,ok,
0,0,1,ok,,ok,
1,1,0,ok,,,
1,1,1,ok,,,
2,2,0,ok,,ok,0.5
2,2,1,ok,,ok,
`},
		{[]string{"id", "attempts", "run"}, `row,id,epoch,run,m0_attempts,m1_attempts
0,0,0,test,1,1
0,0,1,test,1,1
1,1,0,test,1,
1,1,1,test,1,
2,2,0,test,1,1
2,2,1,test,1,1
`},
	} {
		var out bytes.Buffer
		n, err := Export(dir, &out, FormatCSV, ExportOptions{Wide: true, Columns: tc.columns})
		storetest.Must(t, err)
		if got := idsAsRows(t, out.String()); got != tc.want || n != 6 {
			t.Errorf("%v: %d rows\n%s\nwant\n%s", tc.columns, n, got, tc.want)
		}
	}
}

// idsAsRows replaces the ids, which are the helper's, by the number of the row.
func idsAsRows(t *testing.T, text string) string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	storetest.Must(t, err)
	var out strings.Builder
	for i, cells := range rows {
		if i > 0 {
			cells[1] = cells[0]
		}
		out.WriteString(strings.Join(cells, ",") + "\n")
	}
	return out.String()
}

// TestExportWideParquet: columns that no answer lacks may be null in the wide
// form, and the usual columns are there.
func TestExportWideParquet(t *testing.T) {
	dir := wideRun(t)
	for _, format := range []string{FormatParquet, FormatJSONL, FormatXLSX} {
		var out bytes.Buffer
		if n, err := Export(dir, &out, format, ExportOptions{Wide: true}); n != 6 || err != nil {
			t.Errorf("%s: %d rows, %v", format, n, err)
		}
		missing := `"m1_outcome":null,"m1_text":null,"m1_score_number":null`
		if format == FormatJSONL && !strings.Contains(out.String(), missing) {
			t.Errorf("a missing answer is not null:\n%s", out.String())
		}
	}
}

// TestExportColumns writes the columns asked for, in that order, and names the
// nearest for one that there is not.
func TestExportColumns(t *testing.T) {
	dir := wideRun(t)
	var out bytes.Buffer
	n, err := Export(dir, &out, FormatCSV,
		ExportOptions{ReadOptions: ReadOptions{Models: []string{"m1"}}, Columns: []string{"score_number", "model", "row"}})
	storetest.Must(t, err)
	if want := "score_number,model,row\n,m1,0\n,m1,0\n0.5,m1,2\n,m1,2\n"; out.String() != want || n != 4 {
		t.Errorf("%d rows\n%s", n, out.String())
	}
	_, err = Export(dir, &out, FormatParquet, ExportOptions{Columns: []string{"txt"}})
	var unknown *UnknownColumnError
	if !errors.As(err, &unknown) || !strings.Contains(err.Error(), `"txt"; did you mean text?`) {
		t.Error(err)
	}
}

// TestExportWideVariants: where the models of a plan are asked in different
// ways, each has its own prompt.
func TestExportWideVariants(t *testing.T) {
	dir := t.TempDir()
	id := identity(2, 1, 1, 1)
	id.Plan = json.RawMessage(`{"plan":{"models":[{"name":"m0","variant":"short"},{"name":"m1","variant":"long"}]}}`)
	r := mustOpen(t, dir, id, store.Options{})
	for _, model := range id.Models {
		u, err := r.OpenShard(model, 0)
		storetest.Must(t, err)
		rec := storetest.Record(model, 0, 0)
		rec.Input = storetest.Ptr("asked of " + model)
		storetest.Must(t, u.Put(rec))
	}
	storetest.Must(t, r.Close("stopped"))
	var out bytes.Buffer
	_, err := Export(dir, &out, FormatCSV, ExportOptions{Wide: true, Columns: []string{"run", "input"}})
	storetest.Must(t, err)
	want := "row,id,epoch,run,m0_input,m1_input\n0,0,0,test,asked of m0,asked of m1\n"
	if idsAsRows(t, out.String()) != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
}

// TestExportParts: what a score is made of has a column for each part, beside the name
// of the dataset where there are several.
func TestExportParts(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 2, 1)
	id.Plan = json.RawMessage(`{"plan":{"datasets":[{"name":"a"},{"name":"b"}]}}`)
	r := mustOpen(t, dir, id, store.Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	for row, dataset := range []string{"a", "b"} {
		rec := storetest.Record("m0", int64(row), 0)
		rec.Dataset = &dataset
		storetest.Must(t, u.Put(rec))
	}
	storetest.Must(t, r.Close("stopped"))
	made := score("m0", 0, "rubric", storetest.Ptr(0.75))
	made.Parts = storetest.Ptr(`[{"name":"Tone of voice","value":0.5},{"name":"status","value":1,"weight":3},` +
		`{"name":"status","value":0}]`)
	storetest.Must(t, store.WriteScores(dir, "rubric", scoresOf(made,
		score("m0", 1, "rubric", storetest.Ptr(1.0)))))
	wide := ExportOptions{Wide: true, Columns: []string{"dataset", "score_rubric", "score_rubric_tone_of_voice",
		"score_rubric_status_2"}}
	for _, tc := range []struct {
		format string
		o      ExportOptions
		want   []string
	}{
		{FormatCSV, wide, []string{
			"row,id,epoch,dataset,m0_score_rubric,m0_score_rubric_tone_of_voice,m0_score_rubric_status_2\n",
			"0,a,0.75,0.5,0.75\n", "0,b,1,,\n"}},
		{FormatCSV, ExportOptions{Wide: true}, []string{"row,id,epoch,dataset,category,",
			"m0_score_rubric,m0_score_rubric_tone_of_voice,m0_score_rubric_status_2,m0_cost_usd,"}},
		{FormatCSV, ExportOptions{}, []string{
			",score_rubric,score_rubric_status,score_rubric_tone_of_voice,score_rubric_status_2\n",
			",0.75,scored,0.5,0.75\n", ",1,scored,,\n"}},
		{FormatJSONL, ExportOptions{}, []string{`"parts":[{"name":"Tone of voice","value":0.5},`}},
	} {
		var out bytes.Buffer
		_, err := Export(dir, &out, tc.format, tc.o)
		storetest.Must(t, err)
		for _, want := range tc.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s %+v: no %q in\n%s", tc.format, tc.o, want, out.String())
			}
		}
	}
	var out bytes.Buffer
	if _, err := Export(dir, &out, FormatParquet, ExportOptions{Wide: true}); err != nil {
		t.Error(err)
	}
}
