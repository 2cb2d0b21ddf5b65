package web

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nightshift/internal/words"
	"nightshift/reports/render"
	"nightshift/runner/store/view"
)

// A matrix is a page of rows × lanes, with what one can ask of it next.
type matrix struct {
	query
	Base    string // address of the run page, without the query
	RowBase string // of single rows
	Lanes   []laneHead
	Rows    []matrixRow
	Filters []choice
	Models  []choice
	Classes []choice
	Cats    []choice
	Sets    []choice // datasets of runs with several
	Asked   []choice // variants of runs with some
	Scorers []choice
	Values  []string // examples
	Sorts   []choice
	Hits    int
	Total   int
	From    int // of the first row shown, from 1
	Pages   int
	Partial bool
	Share   string // of the search
	Notes   []string
}

// A choice is one of several things to ask for.
type choice struct {
	Word, Name string
	Count      int
	Known      bool // Count is
	Chosen     bool
	Query      string // of the address that asks for it
}

// A laneHead is the head of a lane's column.
type laneHead struct {
	Name  string
	Sorts []choice
}

// A matrixRow is one item.
type matrixRow struct {
	Row      int64
	Epoch    int32
	ID       string
	Category string
	Cells    []cell
	Query    string // of the address of the row
}

// A cell is one answer in the matrix.
type cell struct {
	Lane    string
	There   bool
	Outcome string
	Head    string // of the answer, or of the error
	Error   string // class
	Scores  []mark
	Facts   string
	Flags   string
}

// A mark is a score as a list shows it.
type mark struct {
	Scorer string
	Level  string // good, bad or plain
	Sign   string // ✓, ✗ or the value
	Word   string // for those who cannot see the sign
}

// listRow is what the matrix shows of a record.
type listRow struct {
	place
	ID           string   `parquet:"id"`
	Outcome      string   `parquet:"outcome,dict"`
	Category     *string  `parquet:"category,optional,dict"`
	Text         *string  `parquet:"text,optional"`
	ToolCalls    *string  `parquet:"tool_calls,optional"`
	ErrorMessage *string  `parquet:"error_message,optional"`
	ErrorClass   *string  `parquet:"error_class,optional,dict"`
	CostNanoUSD  *int64   `parquet:"cost_nano_usd,optional"`
	Input        *int64   `parquet:"input_tokens,optional"`
	Output       *int64   `parquet:"output_tokens,optional"`
	LatencyMS    *float64 `parquet:"latency_ms,optional"`
	Flags        *string  `parquet:"flags,optional,dict"`
}

const preview = 220 // characters of an answer in the matrix

// matrixOf makes the page that a query asks for.
func (v *Viewer) matrixOf(t *table, q query, base, rowBase string) (*matrix, error) {
	found := t.search(q.words)
	h, err := t.find(q, found)
	if err != nil {
		return nil, err
	}
	m := &matrix{query: q, Base: base, RowBase: rowBase, Hits: len(h.items), Total: h.rows, Notes: t.notes}
	if found != nil && !found.done {
		m.Partial, m.Share = true, fmt.Sprintf("%.0f %%", 100*found.share)
	}
	m.Pages = max(1, (len(h.items)+pageRows-1)/pageRows)
	m.query.page = min(q.page, m.Pages-1)
	shown := h.items[m.query.page*pageRows : min(len(h.items), (m.query.page+1)*pageRows)]
	m.From = m.query.page*pageRows + 1
	if m.Rows, err = t.rows(q, shown); err != nil {
		return nil, err
	}
	m.choices(t, h)
	return m, nil
}

// rows reads what is shown of some items, lane by lane.
func (t *table) rows(q query, items []int32) ([]matrixRow, error) {
	rows, lanes := make([]matrixRow, len(items)), t.shown(q)
	for i, item := range items {
		row, epoch := t.stands[0].rowOf(int(item))
		rows[i] = matrixRow{Row: row, Epoch: epoch, Cells: make([]cell, len(lanes)),
			Query: q.address("page", q.values.Get("page"), "row", strconv.FormatInt(row, 10),
				"epoch", strconv.Itoa(int(epoch)))}
	}
	answers := make([][]*listRow, len(lanes))
	errs := make([]error, len(lanes))
	var wait sync.WaitGroup
	for n, l := range lanes {
		wait.Go(func() { answers[n], errs[n] = t.answers(l, items) })
	}
	wait.Wait()
	for n, l := range lanes {
		for i, a := range answers[n] {
			c := &rows[i].Cells[n]
			if c.Lane = t.lanes[l].Name; a == nil {
				continue
			}
			rows[i].ID, rows[i].Category = a.ID, cmp.Or(rows[i].Category, view.Value(a.Category))
			c.fill(a)
			for _, s := range t.scores {
				if m, ok := s.mark(s.score(t, l, int(items[i]))); ok {
					c.Scores = append(c.Scores, m)
				}
			}
		}
	}
	return rows, errors.Join(errs...)
}

// answers are the records of one lane for some items, nil where there is none.
func (t *table) answers(l int, items []int32) ([]*listRow, error) {
	lane, all := t.lanes[l], make([]*listRow, len(items))
	places := map[int][]int{}
	var numbers []int64
	for i, item := range items {
		if at := t.at(l, int(item)); at >= 0 && lane.head[at].outcome != 0 {
			row, _ := lane.stand.rowOf(at)
			places[at], numbers = append(places[at], i), append(numbers, row)
		}
	}
	if len(numbers) == 0 {
		return all, nil
	}
	for row, err := range view.At[listRow](lane.run.dir, lane.stand.Models[lane.n], numbers) {
		var damage *view.DamageError
		if errors.As(err, &damage) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, i := range places[lane.stand.item(row.place.at())] {
			all[i] = &row
		}
	}
	return all, nil
}

func (c *cell) fill(a *listRow) {
	c.There, c.Outcome, c.Error = true, a.Outcome, view.Value(a.ErrorClass)
	c.Flags = view.Value(a.Flags)
	text := cmp.Or(view.Value(a.Text), view.Value(a.ToolCalls), view.Value(a.ErrorMessage))
	c.Head = words.Shorten(strings.Join(strings.Fields(text[:min(len(text), 4*preview)]), " "), preview)
	var facts []string
	if a.Input != nil && a.Output != nil {
		facts = append(facts, render.Count(*a.Input)+" in, "+render.Count(*a.Output)+" out")
	}
	if a.CostNanoUSD != nil {
		facts = append(facts, render.Money(*a.CostNanoUSD, false))
	}
	if a.LatencyMS != nil {
		facts = append(facts, render.Seconds(a.LatencyMS))
	}
	c.Facts = strings.Join(facts, " · ")
}

// mark is how a score is shown; ok is false where there is none.
func (s *scorerLanes) mark(v score) (m mark, ok bool) {
	m.Scorer = s.label
	switch {
	case v.status == 0:
		return m, false
	case v.value != v.value:
		m.Level, m.Sign, m.Word = "plain", "–", "not scored"
	case v.status == isNoAnswer:
		m.Level, m.Sign, m.Word = "bad", "✗", "no answer found"
	case s.right() && v.value == 1:
		m.Level, m.Sign, m.Word = "good", "✓", "right"
	case s.right() && v.value == 0:
		m.Level, m.Sign, m.Word = "bad", "✗", "wrong"
	default:
		m.Level, m.Sign, m.Word = "plain", value(float64(v.value)), "score"
		if s.right() && v.value < 0.5 {
			m.Level = "bad"
		}
	}
	return m, true
}

// value writes a score in up to three digits.
func value(v float64) string {
	if math.Abs(v) >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// highFirst are the orders that begin with the highest when nothing else is
// said.
var highFirst = []string{"cost", "output", "input", "latency", "finished"}

// mostChoices is how many words a list offers; more can be typed into the
// address.
const mostChoices = 200

// choices are what can be asked for next.
func (m *matrix) choices(t *table, h *hits) {
	q := m.query
	for f := range filters {
		if f == different && len(t.lanes) < 2 || f == wrong && len(t.scores) == 0 {
			continue
		}
		m.Filters = append(m.Filters, choice{Word: filterWords[f], Name: filterNames[f], Count: h.counts[f],
			Known: h.known[f], Chosen: q.show == f, Query: q.address("show", filterWords[f])})
	}
	for _, l := range t.shown(q) {
		lane := t.lanes[l]
		m.Models = append(m.Models, choice{Word: strconv.Itoa(l + 1), Name: lane.Name, Chosen: q.lane == l})
		head := laneHead{Name: lane.Name}
		for _, s := range []string{"score", "cost", "output", "latency"} {
			if s != "score" || len(t.scores) > 0 {
				head.Sorts = append(head.Sorts, m.order(s, l, s))
			}
		}
		m.Lanes = append(m.Lanes, head)
	}
	var asked []string
	for _, lane := range t.lanes {
		if lane.variant != "" && !slices.Contains(asked, lane.variant) {
			asked = append(asked, lane.variant)
		}
	}
	m.Asked = listed(asked, q.variant)
	m.Sets = listed(t.words(func(r *run) []string { return r.datasets.list() }), q.dataset)
	m.Cats = listed(t.words(func(r *run) []string { return r.categories.list() }), q.category)
	m.Classes = listed(t.words(func(r *run) []string { return r.classes.list() }), q.class)
	for _, s := range t.scores {
		m.Scorers = append(m.Scorers, choice{Word: s.name, Name: s.label, Chosen: q.scorer == s.name})
		for _, v := range s.values {
			if text := strconv.FormatFloat(v, 'g', -1, 64); !slices.Contains(m.Values, text) {
				m.Values = append(m.Values, text)
			}
		}
	}
	m.Values = append(m.Values, "<0.5", ">=0.5", "none")
	for _, s := range sorts {
		if s.Word == "score" && len(t.scores) == 0 {
			continue
		}
		c := choice{Word: s.Word, Name: s.Name, Chosen: s.Word == q.sort}
		if slices.Contains(highFirst, s.Word) {
			c.Word = "-" + s.Word
		}
		if c.Chosen {
			c.Word = q.values.Get("sort")
		}
		m.Sorts = append(m.Sorts, c)
	}
}

// words are those of all runs, sorted.
func (t *table) words(of func(*run) []string) (all []string) {
	for _, r := range t.runs {
		all = append(all, of(r)...)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(w string) bool { return w == "" })
}

// listed are words to choose from, the chosen one always among them.
func listed(names []string, chosen string) (list []choice) {
	for i, w := range names {
		if i < mostChoices || w == chosen {
			list = append(list, choice{Word: w, Name: w, Chosen: w == chosen})
		}
	}
	return list
}

// order is the link that sorts by a lane: the highest first, or the lowest
// where they are that already.
func (m *matrix) order(word string, lane int, name string) choice {
	c := choice{Name: name, Chosen: m.sort == word && m.by == lane}
	sign := "-"
	if c.Chosen && m.down {
		sign = ""
	}
	c.Query = m.address("sort", fmt.Sprintf("%s%s.%d", sign, word, lane+1))
	return c
}

// What templates ask of a matrix.

// Down reports whether the highest comes first.
func (m *matrix) Down() bool { return m.down }

// Search are the words that are looked for, as they were typed.
func (m *matrix) Search() string { return m.values.Get("q") }

// Range is the wanted value of a score, as it was typed.
func (m *matrix) Range() string { return m.value.text }

// Turned is the query that sorts the other way round.
func (m *matrix) Turned() string {
	word := strings.TrimPrefix(m.values.Get("sort"), "-")
	if !m.down {
		word = "-" + word
	}
	return m.address("sort", word)
}

// Page is the number of this page, from 1.
func (m *matrix) Page() int { return m.page + 1 }

// Leaf is the query of another page; empty where there is none.
func (m *matrix) Leaf(by int) string {
	if n := m.page + by; n >= 0 && n < m.Pages {
		return cmp.Or(m.address("page", strconv.Itoa(n+1)), "page=1")
	}
	return ""
}

// Last is the query of the last page.
func (m *matrix) Last() string { return m.address("page", strconv.Itoa(m.Pages)) }

// To is the number of the last row shown.
func (m *matrix) To() int { return m.From + len(m.Rows) - 1 }

// Hidden are the fields of the form that have no control of their own.
func (m *matrix) Hidden() (list []choice) {
	for _, f := range []string{"show", "with"} {
		if v := m.values.Get(f); v != "" {
			list = append(list, choice{Name: f, Word: v})
		}
	}
	return list
}

// Filtered reports whether some rows are left out by what was asked for.
func (m *matrix) Filtered() bool { return m.filterKey() != (query{lane: -1, with: m.with}).filterKey() }

// Cleared is the query without any filter.
func (m *matrix) Cleared() string {
	return m.address("show", "", "model", "", "variant", "", "dataset", "", "category", "",
		"class", "", "scorer", "", "value", "", "q", "")
}

// pathOf is the address of a run's page of one kind.
func (v *Viewer) pathOf(kind string, r *run) string {
	return (&url.URL{Path: v.prefix + kind + "/" + r.name}).EscapedPath()
}

// when is a time as a list shows it.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04")
}
