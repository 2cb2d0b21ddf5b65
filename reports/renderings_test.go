package reports_test

import (
	"bytes"
	"encoding/json"
	"html"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"nightshift/reports"
	"nightshift/reports/compare"
	"nightshift/reports/internal/testdata/demo"
	"nightshift/reports/render"
	"nightshift/runner/store/view"
)

// TestSameNumbersEverywhere renders one run four ways and reads the tables
// back from each: every cell of one is in all.
func TestSameNumbersEverywhere(t *testing.T) {
	dir := demo.Run{Rows: 120, Models: []string{"first", "second"}, Text: 50}.Write(t)
	page, err := reports.BuildPage(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	page.Comparison = &compare.Block{
		Verdicts: []render.Finding{{Level: "good", Title: "verdict", Text: "first is better", Detail: "by 0.15"}},
		Tables: []render.Grid{
			{Title: "Pairs", Head: []string{"pair", "delta"}, Rows: [][]string{{"first - second", "0.1534"}}}},
	}
	var md, text, js, page1 bytes.Buffer
	for _, err := range []error{page.Markdown(&md), page.Text(&text), page.JSON(&js), page.HTML(&page1)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := markdownTables(md.String())
	if len(want) < 40 {
		t.Fatalf("only %d cells in Markdown", len(want))
	}
	if got := htmlTables(page1.String()); !slices.Equal(got, want) {
		t.Errorf("HTML differs from Markdown:\n%q\n%q", got, want)
	}
	for _, head := range []string{"no answer", "unscored", "first token p50", "written", "misses"} {
		if slices.Contains(want, head) {
			t.Errorf("the column %q has nothing but zeros", head)
		}
	}
	// The terminal says at the top what the glance says.
	left := []string{"answered", "half within", "score: answer"}
	for _, cell := range want {
		if !slices.Contains(left, cell) && !strings.Contains(cell, " to ") &&
			!strings.Contains(cell, " of ") && !strings.Contains(text.String(), cell) {
			t.Errorf("the terminal lacks %q", cell)
		}
	}
	var again reports.Summary
	if err := json.Unmarshal(js.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	var md2 bytes.Buffer
	if err := again.Markdown(&md2); err != nil {
		t.Fatal(err)
	}
	if md2.String() != md.String() {
		t.Errorf("the JSON says something else:\n%s\n%s", md2.String(), md.String())
	}
	for _, s := range []string{text.String(), md.String(), html.UnescapeString(page1.String())} {
		if !strings.Contains(s, "first is better") {
			t.Error("the verdict is missing")
		}
	}
	bill, err := reports.Cost([]string{dir}, reports.CostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if bill.Total.CostNanoUSD != page.Total.CostNanoUSD || bill.Total.Input != page.Total.Input ||
		bill.Total.Attempts != page.Total.Attempts {
		t.Errorf("cost says %+v, report %+v", bill.Total, page.Total)
	}
}

var pipe = regexp.MustCompile(`\s+\|\s+`)

// markdownTables returns the cells of all tables but their rules.
func markdownTables(s string) (cells []string) {
	for _, line := range strings.Split(s, "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| ---") {
			continue
		}
		for _, c := range pipe.Split(strings.Trim(line, "| "), -1) {
			cells = append(cells, strings.Trim(strings.ReplaceAll(html.UnescapeString(c), `\`, ""), "*"))
		}
	}
	return cells
}

var (
	figure = regexp.MustCompile(`(?s)<figure.*?</figure>`)
	cell   = regexp.MustCompile(`(?s)<t[hd][^>]*>(.*?)</t[hd]>`)
	tag    = regexp.MustCompile(`<[^>]*>`)
)

// htmlTables returns the cells of all tables outside of charts.
func htmlTables(s string) (cells []string) {
	for _, m := range cell.FindAllStringSubmatch(figure.ReplaceAllString(s, ""), -1) {
		if c := html.UnescapeString(tag.ReplaceAllString(m[1], "")); c != "" {
			cells = append(cells, c)
		}
	}
	return cells
}

// TestHostileTexts looks for what a terminal, Markdown or a spreadsheet would
// obey.
func TestHostileTexts(t *testing.T) {
	dir := demo.Run{Rows: 60, Models: []string{"a\x1b[31m|b`*_<i>", "\u202edecoy"}}.Write(t)
	page, err := reports.BuildPage(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text, md, out, bill bytes.Buffer
	if err := page.Text(&text); err != nil {
		t.Fatal(err)
	}
	if err := page.Markdown(&md); err != nil {
		t.Fatal(err)
	}
	if err := page.HTML(&out); err != nil {
		t.Fatal(err)
	}
	b, err := reports.Cost([]string{dir}, reports.CostOptions{By: []string{"model", "category"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Text(&bill); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{"text": text.String(), "Markdown": md.String(), "cost": bill.String()} {
		for _, r := range s {
			if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				t.Errorf("%s holds %U", name, r)
				break
			}
		}
	}
	for _, line := range strings.Split(text.String()+bill.String(), "\n") {
		if n := len([]rune(line)); n > 80 && strings.Contains(line, " ") && !strings.Contains(line, "http") {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
	if regexp.MustCompile(`(^|[^\\])(<script|<img|\]\(javascript)`).MatchString(md.String()) {
		t.Errorf("markup in Markdown:\n%s", md.String())
	}
	if n := strings.Count(out.String(), "<script"); n != 2 {
		t.Errorf("%d scripts in the page, want 2", n)
	}
	for _, bad := range []string{"<img", "<iframe", "onerror=\"window", "\x1b", "\u202e"} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("%q is in the page", bad)
		}
	}
	var csv bytes.Buffer
	if _, err := view.Export(dir, &csv, view.FormatCSV, view.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)(^|,)"?[ \t]*=HYPERLINK`).MatchString(csv.String()) {
		t.Error("a formula is in the CSV export")
	}
}

// TestPageSize keeps the page within its bound and says what it lacks.
func TestPageSize(t *testing.T) {
	dir := demo.Run{Rows: 300, Models: []string{"first", "second"}, Text: 3000}.Write(t)
	page, err := reports.BuildPage(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	page.MaxSize = 700_000
	var b bytes.Buffer
	if err := page.HTML(&b); err != nil {
		t.Fatal(err)
	}
	if b.Len() > page.MaxSize || b.Len() < page.MaxSize*9/10 {
		t.Errorf("%d bytes, want just below %d", b.Len(), page.MaxSize)
	}
	if page.Left == 0 || page.Kept == 0 || !strings.Contains(b.String(), "read_parquet") {
		t.Errorf("%d rows kept, %d left out", page.Kept, page.Left)
	}
}

// TestPageOfStoppedRun: rows that have not run are no rows that the page leaves out.
func TestPageOfStoppedRun(t *testing.T) {
	page, err := reports.BuildPage(demo.Run{Rows: 30, Models: []string{"first"}}.Write(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	page.Dataset.Rows = 50
	var b bytes.Buffer
	if err := page.HTML(&b); err != nil || page.Left != 0 ||
		!strings.Contains(b.String(), "All rows on record are in this page (30). Not run: 20 rows.") {
		t.Errorf("%d rows are left out: %v", page.Left, err)
	}
}

func TestCostRefusesTwice(t *testing.T) {
	dir := demo.Run{Rows: 5, Models: []string{"m"}}.Write(t)
	part := dir + "/results/m-000000.parquet"
	if _, err := os.Stat(part); err != nil {
		t.Fatal(err)
	}
	for _, paths := range [][]string{{dir, dir}, {dir, part}, {part, dir}, {part, part}} {
		if _, err := reports.Cost(paths, reports.CostOptions{}); err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%v: %v", paths, err)
		}
	}
	whole, err := reports.Cost([]string{dir}, reports.CostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := reports.Cost([]string{part}, reports.CostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if whole.Total.CostNanoUSD != file.Total.CostNanoUSD || whole.Total.Input != file.Total.Input ||
		whole.Total.CostNanoUSD == 0 {
		t.Errorf("the run costs %+v, its file %+v", whole.Total, file.Total)
	}
}
