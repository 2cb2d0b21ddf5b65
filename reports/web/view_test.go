package web_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/reports"
	"nightshift/reports/internal/testdata/demo"
	"nightshift/reports/web"
	"nightshift/runner/store"
	stored "nightshift/runner/store/view"
)

// ask puts one question to a viewer.
func ask(t *testing.T, dir, question string) *httptest.ResponseRecorder {
	t.Helper()
	v, err := web.New(dir, "s")
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
	if err := u.Put(
		&nightshift.Record{ID: "InId", Model: "m", Outcome: nightshift.OutcomeOK, Category: text("InCategory"),
			Text:  text("InText"),
			Input: text("InInput"), Target: text("InTarget"), ErrorMessage: text("InError"),
			Flags: text("InFlags")}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close("interrupted"); err != nil {
		t.Fatal(err)
	}
	v, err := web.New(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"InId", "incategory", "InCategory", "INTEXT", "ininput", "InTarget", "inerror",
		"InFlags"} {
		for _, sorted := range []string{"", "cost"} {
			if found := walk(t, v, url.Values{"q": {word}, "sort": {sorted}}); len(found) != 1 {
				t.Errorf("%q, sorted by %q: found %q", word, sorted, found)
			}
		}
	}
}

// TestViewRefuses asks as others would.
func TestViewRefuses(t *testing.T) {
	dir := demo.Run{Rows: 20, Models: []string{"m"}}.Write(t)
	v, err := web.New(dir, "secret")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path, host, site string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		r.Host = host
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		w := httptest.NewRecorder()
		v.ServeHTTP(w, r)
		return w
	}
	for _, c := range []struct {
		method, path, host, site string
		want                     int
	}{
		{"GET", "/secret/", "127.0.0.1:8080", "none", http.StatusOK},
		{"GET", "/secret/", "localhost:8080", "", http.StatusOK},
		{"GET", "/secret/", "[::1]:8080", "", http.StatusOK},
		{"GET", "/secret/rows", "127.0.0.1", "same-origin", http.StatusOK},
		{"GET", "/secret/", "evil.invalid", "", http.StatusForbidden},
		{"GET", "/secret/", "127.0.0.1.evil.invalid:80", "", http.StatusForbidden},
		{"GET", "/secret/", "localhost:80@evil.invalid", "", http.StatusForbidden},
		{"GET", "/secret/rows", "127.0.0.1", "cross-site", http.StatusForbidden},
		{"GET", "/secret/rows", "127.0.0.1", "same-site", http.StatusForbidden},
		{"GET", "/", "127.0.0.1", "", http.StatusNotFound},
		{"GET", "/other/rows", "127.0.0.1", "", http.StatusNotFound},
		{"POST", "/secret/rows", "127.0.0.1", "", http.StatusMethodNotAllowed},
		{"GET", "/secret/rows?cursor=9.9.9", "127.0.0.1", "", http.StatusBadRequest},
		{"GET", "/secret/rows?cursor=-1.0.0", "127.0.0.1", "", http.StatusBadRequest},
		{"GET", "/secret/rows?model=none", "127.0.0.1", "", http.StatusBadRequest},
		{"GET", "/secret/rows?sort=text", "127.0.0.1", "", http.StatusBadRequest},
		{"GET", "/secret/item?row=x&epoch=0", "127.0.0.1", "", http.StatusBadRequest},
		{"GET", "/secret/item?row=99&epoch=0", "127.0.0.1", "", http.StatusBadRequest},
	} {
		w := ask(c.method, c.path, c.host, c.site)
		if w.Code != c.want {
			t.Errorf("%s %s of %s (%s): %d, want %d: %s", c.method, c.path, c.host, c.site, w.Code, c.want, w.Body)
		}
		if !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: no policy", c.path)
		}
	}
}

// TestViewPages walks a run page by page, by every filter, and compares with
// the rows of the store.
func TestViewPages(t *testing.T) {
	d := demo.Run{Rows: 260, Models: []string{"m", "n"}, Chunk: 100, Open: true}
	dir := d.Write(t)
	v, err := web.New(dir, "s")
	if err != nil {
		t.Fatal(err)
	}
	type key struct {
		ID      string `parquet:"id"`
		Model   string `parquet:"model,dict"`
		Outcome string `parquet:"outcome,dict"`
	}
	for _, outcome := range []string{"", "failed", "truncated", "ok", "empty"} {
		var want, got []string
		for r, err := range stored.Rows[key](dir, stored.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if outcome == "" || r.Outcome == outcome {
				want = append(want, r.Model+"/"+r.ID)
			}
		}
		for cursor, pages := "", 0; pages < 30; pages++ {
			r := httptest.NewRequest("GET", "/s/rows?outcome="+outcome+"&cursor="+cursor, nil)
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
				got = append(got, i.Answers[0].Model+"/"+i.ID)
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("outcome %q: %d rows, want %d", outcome, len(got), len(want))
		}
	}
}

// TestViewBatches: the page is told where batches stand.
func TestViewBatches(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	id := store.Identity{Name: "run", Plan: []byte(`{}`), PlanHash: "00ff", DatasetHash: "abcd", DatasetRows: 1,
		Models: []string{"m"}, Chunks: []store.Chunk{{Rows: 1}}}
	st, err := store.Open(dir, id, store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	in, err := st.NewBatch("m", 0, 1)
	if err == nil {
		err = in.Add(0, []byte("{}\n"))
	}
	if err == nil {
		_, err = in.Finish(store.Batch{})
	}
	if err == nil {
		err = st.BatchCreating(in.N, time.Now())
	}
	if err := errors.Join(err, st.Close("submitted")); err != nil {
		t.Fatal(err)
	}
	want := `"batches":[{"model":"m","batches":1,"waiting":0,"lost":1,`
	if w := ask(t, dir, "status"); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
