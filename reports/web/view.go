package web

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nightshift"
	"nightshift/reports"
	"nightshift/reports/compare"
	"nightshift/reports/render"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

const (
	pageRows   = 50               // rows of one answer
	scanTime   = 2 * time.Second  // after which a search says how far it is
	scanLimit  = 20 * time.Second // after which sorting gives up
	tailLength = 15
)

// A Viewer shows a run of any size in a browser, live while the run goes on.
// It reads the files for each question; a page of rows costs the shards that it
// comes from, a sorted page a look at the figures of all rows. It is an
// http.Handler for requests below a secret path.
//
// Whoever serves it listens on loopback only. The handler itself refuses names
// other than those of this machine (which stops pages of other sites that
// rebind their name to it), other methods than GET, and other origins.
type Viewer struct {
	dir    string
	prefix string // "/SECRET/"
	mux    *http.ServeMux
	policy string
	watch  *view.Watcher
	lasts  lastCache
}

// New makes a viewer of a run directory. secret becomes the first part
// of every path.
func New(dir, secret string) (*Viewer, error) {
	if _, err := view.ReadInfo(dir); err != nil {
		return nil, err
	}
	t, err := viewPage()
	if err != nil {
		return nil, err
	}
	v := &Viewer{dir: dir, prefix: "/" + secret + "/", mux: http.NewServeMux(), policy: t.Policy,
		watch: view.NewWatcher(dir)}
	v.mux.HandleFunc("GET "+v.prefix+"{$}", v.page)
	v.mux.HandleFunc("GET "+v.prefix+"status", answering(v.status))
	v.mux.HandleFunc("GET "+v.prefix+"rows", answering(v.rows))
	v.mux.HandleFunc("GET "+v.prefix+"item", answering(v.item))
	v.mux.HandleFunc("GET "+v.prefix+"tail", answering(v.tail))
	return v, nil
}

func (v *Viewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", v.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	site := r.Header.Get("Sec-Fetch-Site")
	if !ownName(r.Host) || site != "" && site != "same-origin" && site != "none" {
		http.Error(w, "this page is for this machine only", http.StatusForbidden)
		return
	}
	v.mux.ServeHTTP(w, r)
}

// ownName reports whether a Host header names this machine by an address that
// no one else can hand out.
func ownName(host string) bool {
	u, err := url.Parse("http://" + host)
	if err != nil {
		return false
	}
	switch u.Hostname() {
	case "127.0.0.1", "::1", "localhost":
		return true
	}
	return false
}

// A viewError is a question that cannot be answered.
type viewError struct{ text string }

func (e *viewError) Error() string { return e.text }

// answering turns a function into a handler that writes JSON.
func answering(f func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := f(r)
		var wrong *viewError
		switch {
		case errors.As(err, &wrong):
			http.Error(w, wrong.text, http.StatusBadRequest)
			return
		case r.Context().Err() != nil:
			return
		case err != nil:
			http.Error(w, render.Plain(err.Error()), http.StatusInternalServerError)
			return
		}
		b, err := json.Marshal(v)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(b) // a browser that has gone away
	}
}

//go:embed assets
var assets embed.FS

var viewPage = sync.OnceValues(func() (*render.Page, error) {
	return render.NewPage(assets, "view",
		"default-src 'none'; style-src %s; script-src %s; connect-src 'self'; img-src data:; "+
			"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", &viewData{})
})

type viewData struct {
	Name, Dir string
	Models    []string
	Outcomes  []nightshift.Outcome
}

func (v *Viewer) page(w http.ResponseWriter, _ *http.Request) {
	info, err := view.ReadInfo(v.dir)
	if err != nil {
		http.Error(w, render.Plain(err.Error()), http.StatusInternalServerError)
		return
	}
	t, err := viewPage()
	if err == nil {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		err = t.Execute(w, &viewData{info.Name, v.dir, info.Models, reports.Outcomes})
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// A viewStatus is where the run stands.
type viewStatus struct {
	State     string                      `json:"state"`
	Live      bool                        `json:"live"`
	Items     int64                       `json:"items"`
	Done      int64                       `json:"done"`
	Failed    int64                       `json:"failed"`
	InFlight  int64                       `json:"in_flight"`
	Spent     int64                       `json:"spent_nano_usd"`
	AtMost    int64                       `json:"at_most_nano_usd"`
	PerHour   float64                     `json:"per_hour"`
	SecsLeft  float64                     `json:"seconds_left"`
	LastWrite time.Time                   `json:"last_write"`
	Outcomes  map[string]map[string]int64 `json:"outcomes"` // by model and outcome
	Batches   []view.ModelBatches         `json:"batches,omitempty"`
	Damage    []string                    `json:"damage"`
	Stops     []string                    `json:"stops,omitempty"` // why it stopped, or what gives no answers
}

func (v *Viewer) status(*http.Request) (any, error) {
	st, err := v.watch.Status(liveProgress(v.dir))
	if err != nil {
		return nil, err
	}
	s := viewStatus{
		State: st.State, Live: st.Live, Items: st.Items, Done: st.Done, Failed: st.Failed, InFlight: st.InFlight,
		Spent: int64(st.Spent), AtMost: int64(st.AtMost), PerHour: st.PerHour, SecsLeft: st.TimeLeft.Seconds(),
		LastWrite: st.LastWrite,
		Outcomes:  map[string]map[string]int64{}, Batches: st.Batches, Damage: st.Damage,
	}
	s.Stops = reports.StopLines(v.dir)
	for m, t := range st.All.Models {
		s.Outcomes[m] = map[string]int64{}
		for o, n := range t.Outcomes {
			s.Outcomes[m][string(o)] = n
		}
	}
	return s, nil
}

// A viewQuery is what the page asks for.
type viewQuery struct {
	models   []string
	outcomes []string
	words    []string // lower case; all of them must be in a row
	flagged  bool
	retried  bool
	sort     string
	cursor   viewCursor
}

// A viewCursor is a place in a run: rows before it have been looked at.
type viewCursor struct{ model, unit, row int }

func readQuery(info view.Info, q url.Values) (viewQuery, error) {
	v := viewQuery{models: info.Models, sort: q.Get("sort"), flagged: q.Get("flagged") != "",
		retried: q.Get("retried") != ""}
	if m := q.Get("model"); m != "" {
		i, err := strconv.Atoi(m) // its place in the plan
		if err != nil || i < 0 || i >= len(info.Models) {
			return v, &viewError{"no such model"}
		}
		v.models = info.Models[i : i+1]
	}
	if o := q.Get("outcome"); o != "" {
		v.outcomes = strings.Split(o, ",")
	}
	v.words = strings.Fields(strings.ToLower(q.Get("q")))
	if c := q.Get("cursor"); c != "" {
		if n, err := parseCursor(c); err != nil || n.model >= len(v.models) || n.unit > len(info.Chunks) {
			return v, &viewError{"bad cursor"}
		} else {
			v.cursor = n
		}
	}
	if v.sort != "" && !slices.Contains(viewOrders, v.sort) {
		return v, &viewError{"bad order"}
	}
	return v, nil
}

func parseCursor(s string) (c viewCursor, err error) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return c, errors.New("three numbers")
	}
	for i, p := range []*int{&c.model, &c.unit, &c.row} {
		if *p, err = strconv.Atoi(parts[i]); err != nil || *p < 0 {
			return c, errors.New("bad number")
		}
	}
	return c, nil
}

func (c viewCursor) String() string { return fmt.Sprintf("%d.%d.%d", c.model, c.unit, c.row) }

// A viewRows is a page of rows.
type viewRows struct {
	Items   []*reports.Item `json:"items"`
	Next    string          `json:"next,omitempty"` // cursor of the next page; empty at the end
	Partial bool            `json:"partial"`        // the time was up: go on with next
	Looked  int64           `json:"looked_at"`      // rows that were looked at
	Notes   []string        `json:"notes,omitempty"`
}

// keyRow is what rows are chosen by; listRow what is shown of them.
type keyRow struct {
	Row         int64    `parquet:"row"`
	Epoch       int32    `parquet:"epoch"`
	Outcome     string   `parquet:"outcome,dict"`
	Flags       *string  `parquet:"flags,optional,dict"`
	Attempts    int32    `parquet:"attempts"`
	CostNanoUSD *int64   `parquet:"cost_nano_usd,optional"`
	Output      *int64   `parquet:"output_tokens,optional"`
	LatencyMS   *float64 `parquet:"latency_ms,optional"`
}

type textRow struct {
	Row          int64   `parquet:"row"`
	Epoch        int32   `parquet:"epoch"`
	ID           string  `parquet:"id"`
	Outcome      string  `parquet:"outcome,dict"`
	Flags        *string `parquet:"flags,optional,dict"`
	Attempts     int32   `parquet:"attempts"`
	Text         *string `parquet:"text,optional"`
	Input        *string `parquet:"input,optional"`
	Target       *string `parquet:"target,optional"`
	ErrorMessage *string `parquet:"error_message,optional"`
	Category     *string `parquet:"category,optional,dict"`
}

type listRow struct {
	Row          int64      `parquet:"row"`
	Epoch        int32      `parquet:"epoch"`
	ID           string     `parquet:"id"`
	Model        string     `parquet:"model,dict"`
	Outcome      string     `parquet:"outcome,dict"`
	Category     *string    `parquet:"category,optional,dict"`
	Text         *string    `parquet:"text,optional"`
	ErrorMessage *string    `parquet:"error_message,optional"`
	ErrorClass   *string    `parquet:"error_class,optional,dict"`
	CostNanoUSD  *int64     `parquet:"cost_nano_usd,optional"`
	Output       *int64     `parquet:"output_tokens,optional"`
	LatencyMS    *float64   `parquet:"latency_ms,optional"`
	FinishedAt   *time.Time `parquet:"finished_at,optional,timestamp(microsecond)"`
}

const preview = 400 // bytes of an answer in a list

func (r *listRow) item() *reports.Item {
	i := &reports.Item{Row: r.Row, Epoch: r.Epoch, ID: r.ID, Category: view.Value(r.Category), Answers: []reports.Answer{{
		Model: r.Model, Outcome: r.Outcome, Text: view.Value(r.Text), Error: view.Value(r.ErrorMessage),
		ErrorClass:  view.Value(r.ErrorClass),
		CostNanoUSD: r.CostNanoUSD, Output: r.Output, LatencyMS: r.LatencyMS,
	}}}
	i.Shorten(preview)
	return i
}

func (v *Viewer) rows(r *http.Request) (any, error) {
	info, err := view.ReadInfo(v.dir)
	if err != nil {
		return nil, err
	}
	q, err := readQuery(info, r.URL.Query())
	if err != nil {
		return nil, err
	}
	s := &scan{viewer: v, info: info, viewQuery: q, began: time.Now(), ctx: r.Context(),
		page: viewRows{Items: []*reports.Item{}}}
	if q.sort != "" {
		err = s.sorted()
	} else {
		err = s.inOrder()
	}
	return s.page, err
}

// A scan answers one question for rows.
type scan struct {
	viewQuery
	viewer *Viewer
	info   view.Info
	ctx    context.Context
	began  time.Time
	page   viewRows

	journals []os.DirEntry // read when first needed
}

// inOrder fills a page from the cursor on, unit by unit. Shards of which the
// manifest says that nothing in them is wanted are not opened.
func (s *scan) inOrder() error {
	for at := s.cursor; at.model < len(s.models); at = (viewCursor{at.model + 1, 0, 0}) {
		for ; at.unit < len(s.info.Chunks); at = (viewCursor{at.model, at.unit + 1, 0}) {
			if s.idle(s.models[at.model], at.unit) {
				continue
			}
			if s.full() || s.late(scanTime) {
				s.page.Next = at.String()
				return s.ctx.Err()
			}
			next, err := s.unit(at)
			if err != nil {
				return err
			}
			if next >= 0 {
				s.page.Next = viewCursor{at.model, at.unit, next}.String()
				return nil
			}
		}
	}
	return nil
}

func (s *scan) full() bool { return len(s.page.Items) >= pageRows }

func (s *scan) late(most time.Duration) bool {
	if s.ctx.Err() != nil || time.Since(s.began) > most {
		s.page.Partial = true
	}
	return s.page.Partial
}

// idle reports whether the manifest rules out that a unit holds any row with a
// wanted outcome.
func (s *scan) idle(model string, unit int) bool {
	if s.outcomes == nil {
		return false
	}
	i := slices.IndexFunc(s.info.ParquetFiles, func(p view.ParquetFile) bool {
		return p.Shard == unit && p.Model == model
	})
	if i < 0 || s.reopened(i) {
		return false
	}
	for _, o := range s.outcomes {
		if s.info.ParquetFiles[i].Totals.Outcomes[nightshift.Outcome(o)] > 0 {
			return false
		}
	}
	return true
}

// reopened reports whether rows of a Parquet file may have newer records in a journal.
func (s *scan) reopened(part int) bool {
	if s.journals == nil {
		s.journals = []os.DirEntry{}
		if found, err := os.ReadDir(filepath.Join(s.viewer.dir, "journal")); err == nil {
			s.journals = found
		}
	}
	unit := fmt.Sprintf("-%06d", s.info.ParquetFiles[part].Shard)
	return slices.ContainsFunc(s.journals, func(f os.DirEntry) bool { return strings.Contains(f.Name(), unit) })
}

// unit takes the wanted rows of a unit from the cursor on. next is where to go
// on in it, -1 at its end.
func (s *scan) unit(at viewCursor) (next int, err error) {
	slice := s.info.Chunks[at.unit]
	want := map[compare.ItemKey]int{}
	var order []compare.ItemKey
	n := 0
	next = -1
	err = s.keys(
		view.ReadOptions{Models: s.models[at.model : at.model+1], From: slice.First, To: slice.First + slice.Rows},
		func(k compare.ItemKey, wanted bool) bool {
			n++
			if n <= at.row {
				return true
			}
			if len(s.page.Items)+len(order) >= pageRows || n%256 == 0 && s.late(scanTime) {
				next = n - 1
				return false
			}
			s.page.Looked++
			if wanted {
				want[k] = len(order)
				order = append(order, k)
			}
			return true
		})
	if err != nil {
		return -1, err
	}
	return next, s.show(s.models[at.model], order, want)
}

// keys tells of every row whether it is wanted. Texts are read only for
// questions about them.
func (s *scan) keys(o view.ReadOptions, yield func(k compare.ItemKey, wanted bool) bool) error {
	if len(s.words) > 0 {
		return each(s, view.Rows[textRow](s.viewer.dir, o), func(r *textRow) bool {
			return yield(compare.ItemKey{Row: r.Row, Epoch: r.Epoch}, s.wanted(r.Outcome, r.Flags, r.Attempts) && s.said(r))
		})
	}
	return each(s, view.Rows[keyRow](s.viewer.dir, o), func(r *keyRow) bool {
		return yield(compare.ItemKey{Row: r.Row, Epoch: r.Epoch}, s.wanted(r.Outcome, r.Flags, r.Attempts))
	})
}

func (s *scan) wanted(outcome string, flags *string, attempts int32) bool {
	return (s.outcomes == nil || slices.Contains(s.outcomes, outcome)) && (!s.flagged || flags != nil) &&
		(!s.retried || reports.WasRetried(attempts, flags))
}

func (s *scan) said(r *textRow) bool {
	for _, w := range s.words {
		if !strings.Contains(strings.ToLower(r.ID), w) && !contains(r.Category, w) && !contains(r.Text, w) &&
			!contains(r.Input, w) && !contains(r.Target, w) && !contains(r.ErrorMessage, w) && !contains(r.Flags, w) {
			return false
		}
	}
	return true
}

func contains(text *string, word string) bool {
	return text != nil && strings.Contains(strings.ToLower(*text), word)
}

// each goes through rows until one is enough. Damaged Parquet files are noted.
func each[T any](s *scan, rows func(func(T, error) bool), yield func(*T) bool) error {
	for r, err := range rows {
		var damage *view.DamageError
		if errors.As(err, &damage) {
			s.page.Notes = append(s.page.Notes, damage.Error())
			continue
		}
		if err != nil {
			return err
		}
		if !yield(&r) {
			return nil
		}
	}
	return nil
}

// show reads what the list shows of some rows of one model, which lie close to
// each other.
func (s *scan) show(model string, order []compare.ItemKey, place map[compare.ItemKey]int) error {
	if len(order) == 0 {
		return nil
	}
	items := make([]*reports.Item, len(order))
	from, to := order[0].Row, order[0].Row
	for _, k := range order {
		from, to = min(from, k.Row), max(to, k.Row)
	}
	err := each(s, view.Rows[listRow](s.viewer.dir, view.ReadOptions{Models: []string{model}, From: from, To: to + 1}),
		func(r *listRow) bool {
			if i, ok := place[compare.ItemKey{Row: r.Row, Epoch: r.Epoch}]; ok {
				items[i] = r.item()
			}
			return true
		})
	for _, i := range items {
		if i != nil {
			s.page.Items = append(s.page.Items, i)
		}
	}
	return err
}

func (r *keyRow) value(word string) float64 {
	switch word {
	case "cost":
		return float64(view.Value(r.CostNanoUSD))
	case "latency":
		return view.Value(r.LatencyMS)
	}
	return float64(view.Value(r.Output))
}

// item is one prompt with the answers of all models.
func (v *Viewer) item(r *http.Request) (any, error) {
	row, err := strconv.ParseInt(r.URL.Query().Get("row"), 10, 64)
	epoch, err2 := strconv.ParseInt(r.URL.Query().Get("epoch"), 10, 32)
	if err != nil || err2 != nil || row < 0 {
		return nil, &viewError{"row and epoch are numbers"}
	}
	key := compare.ItemKey{Row: row, Epoch: int32(epoch)}
	items, err := reports.ReadItems(v.dir, []compare.ItemKey{key}, []store.Chunk{{First: row, Rows: 1}})
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, &viewError{"no such row"}
	}
	items[0].Shorten(1 << 20)
	return items[0], nil
}

// tail is what was finished last: of open shards, and of the last Parquet file of each
// model.
func (v *Viewer) tail(r *http.Request) (any, error) {
	info, err := view.ReadInfo(v.dir)
	if err != nil {
		return nil, err
	}
	if len(info.Chunks) == 0 {
		return []struct{}{}, nil // a run without rows
	}
	var last []listRow
	for _, model := range info.Models {
		rows, err := v.latest(info, model)
		if err != nil {
			return nil, err
		}
		last = append(last, rows...)
	}
	slices.SortFunc(last, func(a, b listRow) int { return b.FinishedAt.Compare(*a.FinishedAt) })
	last = last[:min(len(last), tailLength)]
	type finished struct {
		*reports.Item
		At time.Time `json:"at"`
	}
	page := []finished{}
	for _, r := range last {
		page = append(page, finished{r.item(), *r.FinishedAt})
	}
	return page, nil
}

// latest are the rows of a model that were finished last: those in the journal
// of the shard where answers come in, or else of its last Parquet file.
func (v *Viewer) latest(info view.Info, model string) ([]listRow, error) {
	u := lastUnit(info, model)
	rows, err := view.LatestRows[listRow](v.watch, model, u, tailLength)
	if err != nil || len(rows) > 0 {
		return finishedRows(rows), err
	}
	i := slices.IndexFunc(info.ParquetFiles, func(p view.ParquetFile) bool { return p.Model == model && p.Shard == u })
	if i < 0 {
		return nil, nil
	}
	return v.lasts.of(v.dir, &info.ParquetFiles[i])
}

func finishedRows(rows []listRow) []listRow {
	return slices.DeleteFunc(rows, func(r listRow) bool { return r.FinishedAt == nil })
}

// A lastCache keeps what was finished last in the last Parquet file of each model: a
// file never changes. It is safe for concurrent use.
type lastCache struct {
	mu   sync.Mutex
	rows map[string]partLast // by model
}

type partLast struct {
	name string // of the Parquet file
	rows []listRow
}

func (c *lastCache) of(dir string, p *view.ParquetFile) ([]listRow, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept := c.rows[p.Model]; kept.name == p.Name {
		return kept.rows, nil
	}
	rows, err := lastOfPart(dir, p)
	if err != nil {
		return nil, err
	}
	if c.rows == nil {
		c.rows = map[string]partLast{}
	}
	c.rows[p.Model] = partLast{p.Name, rows}
	return rows, nil
}

// lastOfPart finds the rows by their times, and then reads what is shown.
func lastOfPart(dir string, p *view.ParquetFile) ([]listRow, error) {
	type when struct {
		Row        int64      `parquet:"row"`
		FinishedAt *time.Time `parquet:"finished_at,optional,timestamp(microsecond)"`
	}
	var all []when
	var damage *view.DamageError // told of by the status
	for r, err := range view.Rows[when](
		dir, view.ReadOptions{Models: []string{p.Model}, From: p.First, To: p.First + p.Rows}) {
		if errors.As(err, &damage) {
			break
		}
		if err != nil {
			return nil, err
		}
		if r.FinishedAt != nil {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b when) int { return b.FinishedAt.Compare(*a.FinishedAt) })
	var numbers []int64
	for _, r := range all[:min(len(all), tailLength)] {
		numbers = append(numbers, r.Row)
	}
	var rows []listRow
	for r, err := range view.At[listRow](dir, p.Model, numbers) {
		if errors.As(err, &damage) {
			break
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return finishedRows(rows), nil
}

// liveProgress is where the process of a run says that it stands; nil when it
// says nothing.
func liveProgress(dir string) *view.Progress {
	var l struct {
		Run *view.Progress `json:"run"`
	}
	b, err := os.ReadFile(filepath.Join(dir, reports.LiveFile))
	if err != nil || json.Unmarshal(b, &l) != nil {
		return nil
	}
	return l.Run
}

// lastUnit is the first unit of a model that is not committed, where answers
// come in, or its last one.
func lastUnit(info view.Info, model string) int {
	done := map[int]bool{}
	for _, p := range info.ParquetFiles {
		if p.Model == model {
			done[p.Shard] = true
		}
	}
	for u := range info.Chunks {
		if !done[u] {
			return u
		}
	}
	return max(len(info.Chunks)-1, 0)
}
