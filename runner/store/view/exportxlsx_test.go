package view

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/xuri/excelize/v2"

	"nightshift"
	"nightshift/runner/store"
	"nightshift/runner/store/internal/testdata/storetest"
)

// TestExportXLSX reads a workbook back: texts are texts whatever they look
// like, numbers are numbers, what a cell cannot hold is cut and says so, and
// rows go into as many sheets as they need.
func TestExportXLSX(t *testing.T) {
	dir := t.TempDir()
	id := identity(1, 1, 7, 1)
	r := mustOpen(t, dir, id, store.Options{})
	u, err := r.OpenShard("m0", 0)
	storetest.Must(t, err)
	texts := []string{`=HYPERLINK("http://evil.invalid","x")`, "+1", "007", "a\x00b\x1b\nc",
		strings.Repeat("x", xlsxText), strings.Repeat("ä😀", 20_000), "_x0041_ <b>&"}
	for row, text := range texts {
		rec := storetest.Record("m0", int64(row), 0)
		rec.Text, rec.InputTokens, rec.OutputTokens = &text, storetest.Ptr(int64(1234)), storetest.Ptr(int64(1<<60+1))
		storetest.Must(t, u.Put(rec))
	}
	storetest.Must(t, u.Commit())
	storetest.Must(t, r.Close("finished"))
	storetest.Must(t, store.WriteScores(dir, "number", scoresOf(score("m0", 1, "number", storetest.Ptr(0.25)))))
	var out bytes.Buffer
	n, err := Export(dir, &out, FormatXLSX, ExportOptions{sheetRows: 4})
	storetest.Must(t, err)
	if n != 7 {
		t.Errorf("%d rows", n)
	}
	noFormulas(t, out.Bytes())

	book, err := excelize.OpenReader(bytes.NewReader(out.Bytes()))
	storetest.Must(t, err)
	defer book.Close()
	var got []string
	for _, sheet := range book.GetSheetList() {
		rows, err := book.GetRows(sheet, excelize.Options{RawCellValue: true})
		storetest.Must(t, err)
		at := map[string]int{}
		for i, name := range rows[0] {
			at[name] = i
		}
		for i, cells := range rows[1:] {
			got = append(got, cells[at["text"]])
			if cells[at["input_tokens"]] != "1234" || cells[at["output_tokens"]] != fmt.Sprint(1<<60+1) ||
				cells[at["attempts"]] != "1" {
				t.Errorf("%s row %d: %q", sheet, i, cells)
			}
			name, err := excelize.CoordinatesToCellName(at["score_number"]+1, i+2)
			storetest.Must(t, err)
			if value, _ := book.GetCellValue(sheet, name); (value == "0.25") != (len(got) == 2) {
				t.Errorf("%s row %d: score %q", sheet, i, value)
			}
		}
	}
	if sheets := book.GetSheetList(); strings.Join(sheets, ",") != "answers,answers 2,answers 3" || len(got) != 7 {
		t.Fatalf("sheets %q, %d rows", sheets, len(got))
	}
	for i, want := range texts {
		switch i {
		case 3:
			want = "a\uFFFDb\uFFFD\nc"
		case 5:
			if len(utf16.Encode([]rune(got[i]))) > xlsxText || !strings.HasPrefix(got[i], "ä😀ä") ||
				!strings.HasSuffix(got[i], "ä… [cut: the text has 40000 characters]") &&
					!strings.HasSuffix(got[i], "😀… [cut: the text has 40000 characters]") {
				t.Errorf("the long text is %d bytes and ends in %q", len(got[i]), got[i][len(got[i])-60:])
			}
			continue
		}
		if got[i] != want {
			t.Errorf("text %d is %.80q, want %.80q", i, got[i], want)
		}
	}
}

// noFormulas looks into the sheets themselves.
func noFormulas(t *testing.T, b []byte) {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	storetest.Must(t, err)
	for _, f := range z.File {
		r, err := f.Open()
		storetest.Must(t, err)
		text, err := io.ReadAll(r)
		storetest.Must(t, err)
		if strings.Contains(f.Name, "sheet") && (bytes.Contains(text, []byte("<f>")) || bytes.Contains(text, []byte("<f "))) {
			t.Errorf("%s has a formula", f.Name)
		}
	}
}

// A run without rows is a workbook with a header.
func TestExportXLSXEmpty(t *testing.T) {
	dir := t.TempDir()
	r := mustOpen(t, dir, identity(1, 1, 3, 1), store.Options{})
	storetest.Must(t, r.Close("stopped"))
	var out bytes.Buffer
	n, err := Export(dir, &out, FormatXLSX, ExportOptions{Where: func(*nightshift.Record) bool { return true }})
	storetest.Must(t, err)
	book, err := excelize.OpenReader(bytes.NewReader(out.Bytes()))
	storetest.Must(t, err)
	defer book.Close()
	if rows, err := book.GetRows("answers"); n != 0 || err != nil || len(rows) != 1 || rows[0][0] != "run" {
		t.Errorf("%d rows, %v, %q", n, err, rows)
	}
}
