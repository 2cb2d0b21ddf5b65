package reports_test

import (
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"

	"nightshift"
	"nightshift/reports"
	"nightshift/runner/store"
)

// ask puts one question to a viewer.
func ask(t *testing.T, dir, question string) *httptest.ResponseRecorder {
	t.Helper()
	v, err := reports.NewViewer(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/s/"+question, nil)
	r.Host = "127.0.0.1"
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	return w
}

// TestViewEmptyRun: a run without rows has nothing that was finished last.
func TestViewEmptyRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	id := store.Identity{Name: "empty", Plan: []byte(`{}`), PlanHash: "00ff", DatasetHash: "abcd", Models: []string{"m"}}
	st, err := store.Open(dir, id, store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close("finished"); err != nil {
		t.Fatal(err)
	}
	for _, question := range []string{"tail", "status", "rows", "rows?sort=cost"} {
		if w := ask(t, dir, question); w.Code != 200 {
			t.Errorf("%s: %d %s", question, w.Code, w.Body)
		}
	}
}

// TestViewSearchIgnoresCase: words are found in every column that is searched,
// however they are written.
func TestViewSearchIgnoresCase(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	id := store.Identity{Name: "run", Plan: []byte(`{}`), PlanHash: "00ff", DatasetHash: "abcd", DatasetRows: 1,
		Models: []string{"m"}, Chunks: []store.Chunk{{Rows: 1}}}
	st, err := store.Open(dir, id, store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	u, err := st.OpenShard("m", 0)
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) *string { return &s }
	if err := u.Put(&nightshift.Record{ID: "InId", Model: "m", Outcome: nightshift.OutcomeOK, Category: text("InCategory"), Text: text("InText"),
		Input: text("InInput"), Target: text("InTarget"), ErrorMessage: text("InError"), Flags: text("InFlags")}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close("interrupted"); err != nil {
		t.Fatal(err)
	}
	v, err := reports.NewViewer(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"InId", "incategory", "InCategory", "INTEXT", "ininput", "InTarget", "inerror", "InFlags"} {
		for _, sorted := range []string{"", "cost"} {
			if found := walk(t, v, url.Values{"q": {word}, "sort": {sorted}}); len(found) != 1 {
				t.Errorf("%q, sorted by %q: found %q", word, sorted, found)
			}
		}
	}
}
