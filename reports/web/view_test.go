package web_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
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

// viewer makes a viewer of some paths below the secret "s".
func viewer(t testing.TB, paths ...string) *web.Viewer {
	t.Helper()
	v, err := web.New(paths, "s", web.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// get asks a viewer for a path below the secret.
func get(t testing.TB, v http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", "/s/"+path, nil)
	r.Host = "127.0.0.1"
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	return w
}

// body asks for a page that must be there.
func body(t testing.TB, v http.Handler, path string) string {
	t.Helper()
	w := get(t, v, path)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

var (
	rowPattern  = regexp.MustCompile(`<tr data-row id="(r\d+-\d+)"`)
	hitsPattern = regexp.MustCompile(`id="found" role="status"><b>(\d+)</b>`)
	nextPattern = regexp.MustCompile(`id="next" rel="next" href="([^"]*)"`)
)

// rows are the rows of all pages of a question, and how many hits the page says.
func rows(t *testing.T, v http.Handler, run string, q url.Values) (ids []string, hits string) {
	t.Helper()
	path := "run/" + run + "?" + q.Encode()
	for range 100 {
		page := body(t, v, path)
		for strings.Contains(page, `data-partial="true"`) {
			page = body(t, v, path)
		}
		hits = hitsPattern.FindStringSubmatch(page)[1]
		for _, m := range rowPattern.FindAllStringSubmatch(page, -1) {
			ids = append(ids, m[1])
		}
		next := nextPattern.FindStringSubmatch(page)
		if next == nil {
			return ids, hits
		}
		path = strings.TrimPrefix(strings.Split(html.UnescapeString(next[1]), "#")[0], "/s/")
	}
	t.Fatal("no end")
	return nil, ""
}

// runName is what a run given by itself is called.
func runName(dir string) string { return url.PathEscape(filepath.Base(dir)) }

// TestViewGuards: other hosts, other sites, other methods and unknown runs get
// nothing, and every answer carries the policy.
func TestViewGuards(t *testing.T) {
	dir := demo.Run{Rows: 10, Models: []string{"m"}}.Write(t)
	v := viewer(t, dir)
	run := "/s/run/" + runName(dir)
	for _, c := range []struct {
		method, path, host string
		header             map[string]string
		want               int
	}{
		{"GET", run, "127.0.0.1:8080", map[string]string{"Sec-Fetch-Site": "none"}, 200},
		{"GET", run, "localhost:8080", nil, 200},
		{"GET", run, "[::1]:8080", nil, 200},
		{"GET", run, "127.0.0.1", map[string]string{"Sec-Fetch-Site": "same-origin"}, 200},
		{"GET", run, "127.0.0.1:9", map[string]string{"Origin": "http://127.0.0.1:9"}, 200},
		{"GET", "/s/view.js", "127.0.0.1", nil, 200},
		{"GET", "/s/view.css", "127.0.0.1", nil, 200},
		{"GET", "/s/", "127.0.0.1", nil, 302}, // one run alone
		{"GET", run, "evil.invalid", nil, 403},
		{"GET", run, "127.0.0.1.evil.invalid:80", nil, 403},
		{"GET", run, "localhost:80@evil.invalid", nil, 403},
		{"GET", run, "127.0.0.1", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"GET", run, "127.0.0.1", map[string]string{"Sec-Fetch-Site": "same-site"}, 403},
		{"GET", run, "127.0.0.1", map[string]string{"Origin": "http://evil.invalid"}, 403},
		{"GET", "/", "127.0.0.1", nil, 404},
		{"GET", "/other/run/x", "127.0.0.1", nil, 404},
		{"GET", "/s/run/none", "127.0.0.1", nil, 404},
		{"GET", "/s/run/..%2f..%2fetc", "127.0.0.1", nil, 404},
		{"GET", "/s/report/..%2f" + runName(dir), "127.0.0.1", nil, 404},
		{"POST", run, "127.0.0.1", nil, 405},
		{"GET", run + "?show=nothing", "127.0.0.1", nil, 400},
		{"GET", run + "?model=x", "127.0.0.1", nil, 400},
		{"GET", run + "?model=7", "127.0.0.1", nil, 400},
		{"GET", run + "?sort=colour", "127.0.0.1", nil, 400},
		{"GET", run + "?sort=cost.9", "127.0.0.1", nil, 400},
		{"GET", run + "?scorer=none", "127.0.0.1", nil, 400},
		{"GET", run + "?value=high", "127.0.0.1", nil, 400},
		{"GET", run + "?page=0", "127.0.0.1", nil, 400},
		{"GET", run + "?with=none", "127.0.0.1", nil, 404},
		{"GET", run + "?page=99999", "127.0.0.1", nil, 200}, // the last one
		{"GET", "/s/row/" + runName(dir) + "?row=x", "127.0.0.1", nil, 400},
		{"GET", "/s/row/" + runName(dir) + "?row=99", "127.0.0.1", nil, 404},
		{"GET", "/s/row/" + runName(dir) + "?row=1&epoch=3", "127.0.0.1", nil, 404},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Host = c.host
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		v.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s of %s (%v): %d, want %d: %.200s", c.method, c.path, c.host, c.header, w.Code, c.want, w.Body)
		}
		policy := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", c.path, policy)
		}
	}
}

// TestViewEmptyRun: a run without rows has pages too.
func TestViewEmptyRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	id := store.Identity{Name: "empty", Plan: []byte(`{}`), PlanHash: "00ff", DatasetHash: "abcd", Models: []string{"m"}}
	writeRun(t, dir, id, nil)
	for _, question := range []string{"", "run/run", "run/run?sort=-cost", "run/run?q=x", "status/run"} {
		if w := get(t, viewer(t, dir), question); w.Code != 200 && w.Code != 302 {
			t.Errorf("%s: %d %s", question, w.Code, w.Body)
		}
	}
	if _, err := web.New([]string{t.TempDir()}, "s", web.Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder without runs: %v", err)
	}
}

// writeRun writes a run of one chunk with some records and closes it.
func writeRun(t testing.TB, dir string, id store.Identity, records []*nightshift.Record) {
	t.Helper()
	st, err := store.Open(dir, id, store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range id.Models {
		if len(id.Chunks) == 0 {
			continue
		}
		shard, err := st.OpenShard(m, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Model == m {
				err = errors.Join(err, shard.Put(r))
			}
		}
		if err := errors.Join(err, shard.Commit()); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close("finished"); err != nil {
		t.Fatal(err)
	}
}

// A fact is what the tests below know of one answer.
type fact struct {
	Row      int64      `parquet:"row"`
	Epoch    int32      `parquet:"epoch"`
	ID       string     `parquet:"id"`
	Model    string     `parquet:"model,dict"`
	Outcome  string     `parquet:"outcome,dict"`
	Flags    *string    `parquet:"flags,optional,dict"`
	Attempts int32      `parquet:"attempts"`
	Category *string    `parquet:"category,optional,dict"`
	Class    *string    `parquet:"error_class,optional,dict"`
	Text     *string    `parquet:"text,optional"`
	Cost     *int64     `parquet:"cost_nano_usd,optional"`
	Input    *int64     `parquet:"input_tokens,optional"`
	Output   *int64     `parquet:"output_tokens,optional"`
	Latency  *float64   `parquet:"latency_ms,optional"`
	Finished *time.Time `parquet:"finished_at,optional,timestamp(microsecond)"`
	score    *nightshift.Score
}

// A known is a run as its files have it, by row and then model.
type known map[int64]map[string]*fact

func read(t *testing.T, dir string) known {
	t.Helper()
	k := known{}
	for f, err := range stored.Rows[fact](dir, stored.ReadOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if k[f.Row] == nil {
			k[f.Row] = map[string]*fact{}
		}
		k[f.Row][f.Model] = &f
	}
	for s, err := range stored.Scores(dir) {
		if err != nil {
			t.Fatal(err)
		}
		if f := k[s.Row][s.Model]; f != nil {
			f.score = &s
		}
	}
	return k
}

// chosen are the rows that a test lets pass, in the order of the dataset.
func (k known) chosen(pass func(map[string]*fact) bool) (ids []string) {
	for _, row := range slices.Sorted(maps.Keys(k)) {
		if pass(k[row]) {
			ids = append(ids, fmt.Sprintf("r%d-0", row))
		}
	}
	return ids
}

// any lets a row pass that has one such answer.
func anyOf(pass func(*fact) bool) func(map[string]*fact) bool {
	return func(of map[string]*fact) bool {
		for _, f := range of {
			if pass(f) {
				return true
			}
		}
		return false
	}
}

func isOutcome(words ...string) func(map[string]*fact) bool {
	return anyOf(func(f *fact) bool { return slices.Contains(words, f.Outcome) })
}

// TestViewFilters asks for every filter and compares with the files.
func TestViewFilters(t *testing.T) {
	dir := demo.Run{Rows: 260, Models: []string{"m", "n"}, Chunk: 100, Open: true}.Write(t)
	v, k := viewer(t, dir), read(t, dir)
	scored := func(f *fact) bool { return f.score != nil && f.score.Value != nil }
	for _, c := range []struct {
		query string
		pass  func(map[string]*fact) bool
	}{
		{"", func(map[string]*fact) bool { return true }},
		{"show=failed", isOutcome("failed", "input_error", "unknown")},
		{"show=truncated", isOutcome("truncated")},
		{"show=refused", isOutcome("refused", "empty")},
		{"show=flagged", anyOf(func(f *fact) bool { return f.Flags != nil })},
		{"show=retried", anyOf(func(f *fact) bool { return f.Attempts > 1 })},
		{"show=wrong", anyOf(func(f *fact) bool { return scored(f) && *f.score.Value == 0 })},
		{"show=wrong&model=2", func(of map[string]*fact) bool {
			return of["n"] != nil && scored(of["n"]) && *of["n"].score.Value == 0
		}},
		{"show=different", func(of map[string]*fact) bool {
			return of["n"] != nil && scored(of["m"]) && scored(of["n"]) && *of["m"].score.Value != *of["n"].score.Value
		}},
		{"show=truncated&category=law", func(of map[string]*fact) bool {
			return isOutcome("truncated")(of) && *of["m"].Category == "law"
		}},
		{"category=none", func(map[string]*fact) bool { return false }},
		{"class=cut", anyOf(func(f *fact) bool { return f.Class != nil && *f.Class == "cut" })},
		{"value=1", anyOf(func(f *fact) bool { return scored(f) && *f.score.Value == 1 })},
		{"value=%3C0.5&model=1", func(of map[string]*fact) bool { return scored(of["m"]) && *of["m"].score.Value < 0.5 }},
		{"value=0..0.4&scorer=answer", anyOf(func(f *fact) bool { return scored(f) && *f.score.Value <= 0.4 })},
		{"value=none", anyOf(func(f *fact) bool { return f.score != nil && f.score.Value == nil })},
		{"q=ANSWER:+2", anyOf(func(f *fact) bool { return f.Text != nil && strings.Contains(*f.Text, "Answer: 2") })},
		{"q=answer:+2&show=wrong&category=code", func(of map[string]*fact) bool {
			return *of["m"].Category == "code" && anyOf(func(f *fact) bool { return scored(f) && *f.score.Value == 0 })(of) &&
				anyOf(func(f *fact) bool { return f.Text != nil && strings.Contains(*f.Text, "Answer: 2") })(of)
		}},
		{"q=nowhere-to-be-found", func(map[string]*fact) bool { return false }},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		want := k.chosen(c.pass)
		got, hits := rows(t, v, runName(dir), q)
		if c.query[:min(2, len(c.query))] == "q=" && c.query != "q=nowhere-to-be-found" {
			// The words are looked for one by one, also in prompts and targets.
			if len(got) < len(want) || len(want) == 0 {
				t.Errorf("%s: %d rows, want at least %d of them", c.query, len(got), len(want))
			}
			continue
		}
		if !slices.Equal(got, want) || hits != fmt.Sprint(len(want)) {
			t.Errorf("%s: %s hits, %d rows, want %d", c.query, hits, len(got), len(want))
		}
	}
}

// asked lets a row pass by its answers in one variant alone.
func asked(variant string, pass func(map[string]*fact) bool) func(map[string]*fact) bool {
	return func(of map[string]*fact) bool {
		own := map[string]*fact{}
		for model, f := range of {
			if strings.HasSuffix(model, "/"+variant) {
				own[model] = f
			}
		}
		return pass(own)
	}
}

// One variant is shown alone: its columns, and what filters, words and orders find in them. What the
// filters say is how many rows each finds.
func TestViewFiltersVariants(t *testing.T) {
	dir := demo.Run{Rows: 200, Text: 200, Models: []string{"a/plain", "a/steps", "b/plain", "b/steps"},
		Datasets: []string{"sums", "words"}, Varied: true}.Write(t)
	v, k := viewer(t, dir), read(t, dir)
	wrong := anyOf(func(f *fact) bool { return f.score != nil && f.score.Value != nil && *f.score.Value == 0 })
	different := func(of map[string]*fact) bool {
		var values []float64
		for _, f := range of {
			if f.score.Value != nil {
				values = append(values, *f.score.Value)
			}
		}
		return len(values) > 0 && slices.Min(values) != slices.Max(values)
	}
	said := anyOf(func(f *fact) bool { return f.Text != nil && strings.Contains(*f.Text, "word12") })
	for _, c := range []struct {
		query   string
		columns int
		pass    func(map[string]*fact) bool
	}{
		{"variant=steps", 2, func(map[string]*fact) bool { return true }},
		{"variant=steps&show=wrong", 2, asked("steps", wrong)},
		{"variant=steps&show=different", 2, asked("steps", different)},
		{"show=different", 4, different},
		{"variant=steps&show=truncated", 2, asked("steps", isOutcome("truncated"))},
		{"variant=plain&show=wrong&dataset=words&sort=-cost", 2, func(of map[string]*fact) bool {
			return of["a/plain"].Row >= 100 && asked("plain", wrong)(of)
		}},
		{"variant=plain&show=wrong&model=3", 2, func(of map[string]*fact) bool {
			return wrong(map[string]*fact{"": of["b/plain"]})
		}},
		{"variant=plain&model=2", 2, func(map[string]*fact) bool { return false }}, // a/steps
		{"variant=steps&q=Word12", 2, asked("steps", said)},
		{"variant=none", 0, func(map[string]*fact) bool { return false }},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		want := k.chosen(c.pass)
		got, hits := rows(t, v, runName(dir), q)
		slices.SortFunc(got, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
		if !slices.Equal(got, want) || hits != fmt.Sprint(len(want)) {
			t.Errorf("%s: %s hits, %d rows, want %d", c.query, hits, len(got), len(want))
		}
		page := body(t, v, "run/"+runName(dir)+"?"+c.query)
		if n := strings.Count(page, `<th scope="col">a/`) + strings.Count(page, `<th scope="col">b/`); len(want) > 0 &&
			n != c.columns {
			t.Errorf("%s: %d columns, want %d", c.query, n, c.columns)
		}
		q.Set("show", "wrong")
		_, found := rows(t, v, runName(dir), q)
		if said := regexp.MustCompile(`data-filter="wrong"[^>]*>Wrong <span class="num">(\d+)<`).
			FindStringSubmatch(page); said == nil || said[1] != found {
			t.Errorf("%s: the filter of wrong rows says %v, and finds %s", c.query, said, found)
		}
	}
	page := body(t, v, "run/"+runName(dir)+"?variant=steps")
	if !strings.Contains(page, `<option value="steps" selected>steps</option>`) ||
		strings.Contains(page, ">a/plain</option>") {
		t.Error("the page does not offer the variants, or offers models of another")
	}
	if page := body(t, v, "row/"+runName(dir)+"?row=3&variant=steps"); !strings.Contains(page, "variant=steps") {
		t.Error("the page of a row leads back to all variants")
	}
	plain := viewer(t, demo.Run{Rows: 5, Models: []string{"m"}}.Write(t))
	if page := body(t, plain, "run/"+runName("a run")); strings.Contains(page, `name="variant"`) {
		t.Error("a run without variants has a choice of them")
	}
}

// The rows of one of several datasets are shown alone.
func TestViewFiltersDatasets(t *testing.T) {
	dir := demo.Run{Rows: 60, Models: []string{"m"}, Datasets: []string{"sums", "words"}}.Write(t)
	v := viewer(t, dir)
	for query, want := range map[string]string{"": "60", "dataset=words": "30", "dataset=words&category=law": "10",
		"dataset=none": "0"} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, hits := rows(t, v, runName(dir), q); hits != want {
			t.Errorf("%q: %s rows, want %s", query, hits, want)
		}
	}
	page := body(t, v, "run/"+runName(dir))
	if !strings.Contains(page, `<select name="dataset">`) || !strings.Contains(page, ">words</option>") {
		t.Error("the page does not offer the datasets")
	}
	if row := body(t, v, "row/"+runName(dir)+"?row=59"); !strings.Contains(row, "row 59 of words, ") {
		t.Error("the page of a row does not name its dataset")
	}
}

// TestViewOrders sorts by everything that is shown, up and down, and compares
// all pages with the files.
func TestViewOrders(t *testing.T) {
	dir := demo.Run{Rows: 130, Models: []string{"m", "n"}, Chunk: 50, Open: true}.Write(t)
	v, k := viewer(t, dir), read(t, dir)
	number := func(p *int64) float64 {
		if p == nil {
			return math.NaN()
		}
		return float64(*p)
	}
	outcomes := []string{"ok", "truncated", "refused", "empty", "failed", "input_error", "unknown"}
	for word, value := range map[string]func(*fact) float64{
		"cost": func(f *fact) float64 { return number(f.Cost) }, "input": func(f *fact) float64 { return number(f.Input) },
		"output": func(f *fact) float64 { return number(f.Output) }, "latency": func(f *fact) float64 { return *f.Latency },
		"outcome":  func(f *fact) float64 { return float64(slices.Index(outcomes, f.Outcome)) },
		"finished": func(f *fact) float64 { return float64(f.Finished.UnixMicro()) },
		"score": func(f *fact) float64 {
			if f.score == nil || f.score.Value == nil {
				return math.NaN()
			}
			return *f.score.Value
		},
		"id":       func(f *fact) float64 { return float64(f.Row) },
		"category": func(f *fact) float64 { return float64(slices.Index([]string{"code", "law", "maths"}, *f.Category)) },
	} {
		for _, sign := range []string{"", "-"} {
			for lane, model := range []string{"m", "n"} {
				if word == "category" && model == "n" {
					continue // of the row, not of a model
				}
				want := slices.Sorted(maps.Keys(k))
				slices.SortStableFunc(want, func(a, b int64) int {
					x, y := math.NaN(), math.NaN()
					if k[a][model] != nil {
						x = value(k[a][model])
					}
					if k[b][model] != nil {
						y = value(k[b][model])
					}
					switch {
					case math.IsNaN(x) || math.IsNaN(y):
						return cmp.Compare(boolInt(math.IsNaN(x)), boolInt(math.IsNaN(y)))
					case sign == "-":
						return cmp.Compare(y, x)
					}
					return cmp.Compare(x, y)
				})
				var ids []string
				for _, row := range want {
					ids = append(ids, fmt.Sprintf("r%d-0", row))
				}
				q := url.Values{"sort": {fmt.Sprintf("%s%s.%d", sign, word, lane+1)}}
				if got, _ := rows(t, v, runName(dir), q); !slices.Equal(got, ids) {
					t.Errorf("%v:\n got %v\nwant %v", q, got, ids)
				}
			}
		}
	}
	// Over all models: their sum.
	want := slices.Sorted(maps.Keys(k))
	sum := func(row int64) (n int64) {
		for _, f := range k[row] {
			if f.Cost != nil {
				n += *f.Cost
			}
		}
		return n
	}
	slices.SortStableFunc(want, func(a, b int64) int { return cmp.Compare(sum(b), sum(a)) })
	got, _ := rows(t, v, runName(dir), url.Values{"sort": {"-cost"}})
	for i, row := range want[:100] { // the last ones failed and have no cost
		if got[i] != fmt.Sprintf("r%d-0", row) {
			t.Fatalf("place %d: %s, want row %d", i, got[i], row)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestViewHarmless: nothing of what models and datasets say becomes markup, on
// any page.
func TestViewHarmless(t *testing.T) {
	dir := demo.Run{Rows: 60, Models: []string{"first-model", "second<i>model"}, Open: true}.Write(t)
	v := viewer(t, dir)
	paths := []string{"run/" + runName(dir),
		"run/" + runName(dir) + "?q=" + url.QueryEscape(`"><script>alert(1)</script>`),
		"run/" + runName(dir) + "?category=" + url.QueryEscape(`"><img src=x>`)}
	for row := range 12 {
		for _, more := range []string{"", "&markdown=1"} {
			paths = append(paths, fmt.Sprintf("row/%s?row=%d%s", runName(dir), row, more))
		}
	}
	for _, path := range paths {
		page := body(t, v, path)
		for _, bad := range []string{"<img", "<iframe", "<svg", "<script>", "<i>model", "javascript:alert\"", "\u202e",
			"\x1b", "\u200b", " onerror=\""} {
			if strings.Contains(page, bad) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
		if n := strings.Count(page, "<script"); n != 1 {
			t.Errorf("%s: %d scripts", path, n)
		}
	}
}

// TestViewBatches: the page tells where batches stand.
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
	if page := body(t, viewer(t, dir), "status/run"); !strings.Contains(page, "batches of m") ||
		!strings.Contains(page, "0 of 1 batches collected") {
		t.Error(page)
	}
}

// TestViewBeside puts runs of different datasets side by side: rows are put
// together by their ids.
func TestViewBeside(t *testing.T) {
	folder := t.TempDir()
	for name, d := range map[string]demo.Run{"a": {Rows: 40, Models: []string{"m"}},
		"b": {Rows: 70, Models: []string{"m"}}} {
		if err := os.Rename(d.Write(t), filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	v := viewer(t, folder)
	for _, c := range []struct{ run, with, note string }{{"a", "b", "40 are in both"}, {"b", "a", "40 are in both"}} {
		page := body(t, v, "run/"+c.run+"?with="+c.with)
		if !strings.Contains(page, c.note) || !strings.Contains(page, "m · a") || !strings.Contains(page, "m · b") {
			t.Errorf("%s beside %s: no note %q", c.run, c.with, c.note)
		}
		// The same answers and scores in both: none differ, in the rows that both have.
		if got, hits := rows(t, v, c.run, url.Values{"with": {c.with}, "show": {"different"}}); hits != "0" {
			t.Errorf("%s beside %s: %s rows differ: %v", c.run, c.with, hits, got)
		}
		if page := body(t, v, "row/"+c.run+"?row=7&with="+c.with); strings.Count(page, "the stream ended early") != 2 {
			t.Errorf("row 7 of %s beside %s is not that of both", c.run, c.with)
		}
	}
	if w := get(t, v, "run/a?with=a"); w.Code != http.StatusBadRequest {
		t.Errorf("a run beside itself: %d", w.Code)
	}
	r := httptest.NewRequest("GET", "/s/both?run=b&run=a", nil)
	r.Host = "127.0.0.1"
	w := httptest.NewRecorder()
	v.ServeHTTP(w, r)
	if w.Code != http.StatusFound || w.Header().Get("Location") != "/s/run/b?with=a" {
		t.Errorf("two ticked runs: %d %s", w.Code, w.Header().Get("Location"))
	}
}

// heads are the heads of the first table of a page.
func heads(page string) string {
	_, head, _ := strings.Cut(page, "<thead>")
	head, _, _ = strings.Cut(head, "</thead>")
	var all []string
	for _, m := range regexp.MustCompile(`(?s)<th[^>]*>(.*?)</th>`).FindAllStringSubmatch(head, -1) {
		all = append(all, strings.TrimSpace(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(m[1], " ")))
	}
	return strings.Join(all, "|")
}

// TestViewProblem: what cannot be shown is said on a page that leads back to the runs,
// and to the script as text.
func TestViewProblem(t *testing.T) {
	folder := t.TempDir()
	if err := os.Rename(demo.Run{Rows: 3, Models: []string{"m"}}.Write(t), filepath.Join(folder, "a")); err != nil {
		t.Fatal(err)
	}
	v := viewer(t, folder)
	for path, want := range map[string]string{"run/nope": "there is no run &#34;nope&#34; here",
		"run/a?value=abc": "&#34;abc&#34; is none of 1, &lt;0.5", "row/a?row=9": "there is no row 9 in a"} {
		r := httptest.NewRequest(http.MethodGet, "/s/"+path, nil)
		r.Host = "127.0.0.1"
		r.Header.Set("Accept", "text/html,*/*")
		w := httptest.NewRecorder()
		v.ServeHTTP(w, r)
		if page := w.Body.String(); w.Code < 400 || !strings.Contains(page, want) ||
			!strings.Contains(page, `<a href="/s/" id="up">All runs</a>`) {
			t.Errorf("%s: %d %s", path, w.Code, page)
		}
		if w := get(t, v, path); strings.Contains(w.Body.String(), "<html") {
			t.Errorf("%s: the script gets %s", path, w.Body)
		}
	}
}

// TestViewHeads: the list of runs has a column of failures where there are some, the
// scores of its first models, and says how many more there are; tables on the page of
// a run have their heads.
func TestViewHeads(t *testing.T) {
	folder := t.TempDir()
	add := func(name string, d demo.Run) {
		dir := filepath.Join(folder, name)
		if err := os.Rename(d.Write(t), dir); err != nil {
			t.Fatal(err)
		}
		s, err := reports.BuildSummary(dir)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(s)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, reports.SummaryFile), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("a", demo.Run{Rows: 5, Models: []string{"m"}})
	add("b", demo.Run{Rows: 6, Models: []string{"m", "n", "o", "p", "q", "r"}})
	page := body(t, viewer(t, folder), "")
	if got, want := heads(page), "Compare|run|state|rows|models|cost|score|started"; got != want {
		t.Errorf("heads %s, want %s", got, want)
	}
	if n := strings.Count(page, `class="pill"`); n != 1+4 || !strings.Contains(page, "and 2 more") {
		t.Errorf("%d scores are listed, or not how many more there are", n)
	}
	add("c", demo.Run{Rows: 40, Models: []string{"m"}}) // row 7 fails
	v := viewer(t, folder)
	if got, want := heads(body(t, v, "")), "Compare|run|state|rows|failed|models|cost|score|started"; got != want {
		t.Errorf("heads %s, want %s", got, want)
	}
	if got, want := heads(body(t, v, "run/a")), "model|scorer|mean|95 % interval|rows|scored"; got != want {
		t.Errorf("heads %s, want %s", got, want)
	}
}

// openShard opens a run of that name with one shard of so many rows.
func openShard(t *testing.T, name string, rows int64) (dir string, st *store.Run, shard *store.Shard) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), name)
	id := store.Identity{Name: name, Plan: []byte(`{}`), PlanHash: "00ff", DatasetHash: "abcd", DatasetRows: rows,
		Models: []string{"m"}, Epochs: 1, Chunks: []store.Chunk{{Rows: rows}}}
	st, err := store.Open(dir, id, store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	if shard, err = st.OpenShard("m", 0); err != nil {
		t.Fatal(err)
	}
	return dir, st, shard
}

// TestViewReused: the page of a row says where an answer was taken over from and what
// it cost there.
func TestViewReused(t *testing.T) {
	dir, st, shard := openShard(t, "run", 3)
	from, paid, nothing := "runs/<last>", int64(2_500_000), int64(0)
	for row := range int64(3) {
		rec := demo.Run{Rows: 3, Models: []string{"m"}}.Record(0, row)
		if row > 0 {
			rec.ReusedFrom, rec.CostNanoUSD = &from, &nothing
		}
		if row == 1 {
			rec.ReusedCostNanoUSD = &paid
		}
		if err := shard.Put(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(shard.Commit(), st.Close("finished")); err != nil {
		t.Fatal(err)
	}
	v := viewer(t, dir)
	for row, want := range map[int][]string{1: {"taken over from", "runs/&lt;last&gt;", "paid there", "$0.0025"},
		2: {"taken over from", "runs/&lt;last&gt;", "paid there", "unknown"}} {
		page := body(t, v, fmt.Sprintf("row/run?row=%d", row))
		for _, w := range want {
			if !strings.Contains(page, w) {
				t.Errorf("the page of row %d lacks %q", row, w)
			}
		}
	}
	if page := body(t, v, "row/run?row=0"); strings.Contains(page, "taken over") || strings.Contains(page, "paid there") {
		t.Error("an answer of the run itself is said to be taken over")
	}
}
