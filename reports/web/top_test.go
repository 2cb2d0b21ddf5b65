package web_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"nightshift/reports"
	"nightshift/reports/internal/testdata/demo"
	"nightshift/reports/web"
	stored "nightshift/runner/store/view"
)

// sortableRow is what a sorted page is made of.
type sortableRow struct {
	Row      int64    `parquet:"row"`
	Epoch    int32    `parquet:"epoch"`
	ID       string   `parquet:"id"`
	Model    string   `parquet:"model,dict"`
	Outcome  string   `parquet:"outcome,dict"`
	Flags    *string  `parquet:"flags,optional,dict"`
	Attempts int32    `parquet:"attempts"`
	Text     *string  `parquet:"text,optional"`
	Cost     *int64   `parquet:"cost_nano_usd,optional"`
	Output   *int64   `parquet:"output_tokens,optional"`
	Latency  *float64 `parquet:"latency_ms,optional"`
}

func (r sortableRow) by(order string) float64 {
	switch {
	case order == "cost" && r.Cost != nil:
		return float64(*r.Cost)
	case order == "output" && r.Output != nil:
		return float64(*r.Output)
	case order == "latency" && r.Latency != nil:
		return *r.Latency
	}
	return 0
}

// TestViewSorted compares sorted pages, asked for twice, with the rows of the
// store sorted here.
func TestViewSorted(t *testing.T) {
	dir := demo.Run{Rows: 320, Models: []string{"m", "n"}, Chunk: 130, Open: true}.Write(t)
	var all []sortableRow
	for r, err := range stored.Rows[sortableRow](dir, stored.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	v, err := web.New(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	page := func(q url.Values) (got []string) {
		r := httptest.NewRequest("GET", "/s/rows?"+q.Encode(), nil)
		r.Host = "127.0.0.1"
		w := httptest.NewRecorder()
		v.ServeHTTP(w, r)
		var page struct{ Items []*reports.Item }
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err, w.Body)
		}
		for _, i := range page.Items {
			got = append(got, fmt.Sprint(i.Answers[0].Model, "/", i.ID))
		}
		return got
	}
	filled := 0
	for _, order := range []string{"cost", "latency", "output"} {
		for _, outcome := range []string{"", "ok", "failed,input_error,unknown"} {
			for _, more := range []string{"", "flagged", "retried"} {
				for _, model := range []string{"", "1"} {
					for _, word := range []string{"", "7"} {
						if (word != "" || model != "") && (more != "" || order == "output") || word != "" && model != "" {
							continue
						}
						q := url.Values{"sort": {order}, "outcome": {outcome}, "model": {model}, "q": {word}, more: {"1"}}
						var want []sortableRow
						for _, r := range all {
							if (outcome == "" || slices.Contains(strings.Split(outcome, ","), r.Outcome)) &&
								(model == "" || r.Model == "n") &&
								(more != "flagged" || r.Flags != nil) && (more != "retried" || r.Attempts > 1) {
								want = append(want, r)
							}
						}
						if word != "" { // texts are searched in order by another test: here, that the same rows come sorted
							found := map[string]bool{}
							unsorted := url.Values{"outcome": {outcome}, "model": {model}, "q": {word}, more: {"1"}}
							for _, name := range walk(t, v, unsorted) {
								found[name] = true
							}
							want = slices.DeleteFunc(want, func(r sortableRow) bool { return !found[r.Model+"/"+r.ID] })
						}
						slices.SortStableFunc(want, func(a, b sortableRow) int {
							return cmp.Or(cmp.Compare(b.by(order), a.by(order)), cmp.Compare(a.Row, b.Row),
								cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Model, b.Model))
						})
						var names []string
						for _, r := range want[:min(50, len(want))] {
							names = append(names, r.Model+"/"+r.ID)
						}
						for range 2 {
							if got := page(q); !slices.Equal(got, names) {
								t.Fatalf("%v:\n got %q\nwant %q", q, got, names)
							}
						}
						if len(names) > 0 {
							filled++
						}
					}
				}
			}
		}
	}
	if filled < 20 {
		t.Errorf("only %d questions have an answer", filled)
	}
}

// walk reads all pages of a question.
func walk(t *testing.T, v *web.Viewer, q url.Values) (names []string) {
	t.Helper()
	for range 100 {
		r := httptest.NewRequest("GET", "/s/rows?"+q.Encode(), nil)
		r.Host = "127.0.0.1"
		w := httptest.NewRecorder()
		v.ServeHTTP(w, r)
		var page struct {
			Items []*reports.Item
			Next  string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
			t.Fatal(err, w.Body)
		}
		for _, i := range page.Items {
			names = append(names, i.Answers[0].Model+"/"+i.ID)
		}
		if page.Next == "" {
			return names
		}
		q.Set("cursor", page.Next)
	}
	t.Fatal("no end")
	return nil
}
