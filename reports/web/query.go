package web

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"nightshift"
	"nightshift/reports"
)

const pageRows = 50 // rows of one page

// A filter is one of the buttons above the matrix. Its word is the place of a
// bit in a mask.
type filter int

const (
	all filter = iota
	wrong
	different
	failed
	truncated
	refused
	flagged
	retried
	filters
)

// filterWords are what the filters are called in addresses, and filterNames on
// the page.
var (
	filterWords = [filters]string{"", "wrong", "different", "failed", "truncated", "refused", "flagged", "retried"}
	filterNames = [filters]string{"All", "Wrong", "Different between models", "Failed", "Truncated", "Refused",
		"Flagged", "Retried"}
)

// filterOf is which filter an outcome belongs to, by its place in
// reports.Outcomes.
var filterOf = func() (of [16]filter) {
	for i, o := range reports.Outcomes {
		switch o {
		case nightshift.OutcomeFailed, nightshift.OutcomeInputError, nightshift.OutcomeUnknown:
			of[i+1] = failed
		case nightshift.OutcomeTruncated:
			of[i+1] = truncated
		case nightshift.OutcomeRefused, nightshift.OutcomeEmpty:
			of[i+1] = refused
		}
	}
	return of
}()

// A query is what an address asks for. Everything on a page follows from it.
type query struct {
	values url.Values

	show     filter
	lane     int // that filters look at; -1 is any
	category string
	dataset  string // of several; empty for any
	variant  string // whose lanes are shown; empty for all
	class    string // of the error
	scorer   string // name of a table; empty is any
	value    valueRange
	words    []string // lower case; all of them must be in an answer or its prompt
	sort     string   // word
	by       int      // lane that is sorted by; -1 is all of them
	down     bool
	page     int // from 0
	with     string
}

// sorts are the orders, by their words in addresses.
var sorts = []struct{ Word, Name string }{
	{"", "dataset"}, {"id", "id"}, {"category", "category"}, {"outcome", "outcome"}, {"score", "score"},
	{"answer", "answer"}, {"cost", "cost"}, {"output", "output tokens"}, {"input", "input tokens"},
	{"latency", "latency"}, {"finished", "time of the answer"},
}

func readQuery(v url.Values) (q query, err error) {
	q = query{values: v, lane: -1, by: -1, category: v.Get("category"), dataset: v.Get("dataset"),
		variant: v.Get("variant"), class: v.Get("class"), scorer: v.Get("scorer"),
		words: strings.Fields(strings.ToLower(v.Get("q"))), with: v.Get("with")}
	q.show = filter(slices.Index(filterWords[:], v.Get("show")))
	if q.show < 0 {
		return q, badQuestion("show: no filter %q", v.Get("show"))
	}
	if q.lane, err = laneNumber("model", v.Get("model")); err != nil {
		return q, err
	}
	if q.value, err = readRange(v.Get("value")); err != nil {
		return q, err
	}
	word, lane, _ := strings.Cut(v.Get("sort"), ".")
	q.sort, q.down = strings.CutPrefix(word, "-")
	if q.by, err = laneNumber("sort", lane); err != nil {
		return q, err
	}
	known := false
	for _, s := range sorts {
		known = known || s.Word == q.sort
	}
	if !known {
		return q, badQuestion("sort: no order %q", v.Get("sort"))
	}
	if p := v.Get("page"); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > math.MaxInt32 {
			return q, badQuestion("page: %q is no page", p)
		}
		q.page = n - 1
	}
	return q, nil
}

// laneNumber reads the place of a model, from 1; -1 where there is none.
func laneNumber(field, s string) (int, error) {
	if s == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 10_000 {
		return -1, badQuestion("%s: no model %q; models have numbers from 1", field, s)
	}
	return n - 1, nil
}

// address is the query of this address with some fields changed, in pairs.
// Another page is only asked for by itself: what else changes begins anew.
func (q query) address(pairs ...string) string {
	v := url.Values{}
	for name, values := range q.values {
		if len(values) > 0 && values[0] != "" && slices.Contains(fields, name) {
			v.Set(name, values[0])
		}
	}
	v.Del("page")
	for i := 0; i < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v.Encode()
}

// fields are what an address of a matrix keeps.
var fields = []string{"show", "model", "variant", "dataset", "category", "class", "scorer", "value", "q", "sort",
	"page", "with"}

// filterKey is what the filtered rows follow from.
func (q query) filterKey() string {
	return strings.Join([]string{filterWords[q.show], strconv.Itoa(q.lane), q.variant, q.dataset, q.category,
		q.class, q.scorer, q.value.text,
		strings.Join(q.words, " "), q.with}, "\x00")
}

// A valueRange is which values of a score are wanted.
type valueRange struct {
	text        string // as written; empty is any
	least, most float64
	open        [2]bool // least and most themselves are not meant
	without     bool    // those that have no value
}

// readRange reads "1", "<0.5", ">= 0.8", "0.2..0.6" or "none".
func readRange(s string) (r valueRange, err error) {
	s = strings.TrimSpace(s)
	r = valueRange{text: s, least: math.Inf(-1), most: math.Inf(1)}
	number := func(s string) float64 {
		v, bad := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if bad != nil || math.IsNaN(v) {
			err = badQuestion("value: %q is none of 1, <0.5, >=0.8, 0.2..0.6 and none", r.text)
		}
		return v
	}
	cut := func(prefix string) (rest string, ok bool) { return strings.CutPrefix(s, prefix) }
	if from, to, ok := strings.Cut(s, ".."); ok {
		r.least, r.most = number(from), number(to)
	} else if rest, ok := cut("<="); ok {
		r.most = number(rest)
	} else if rest, ok := cut(">="); ok {
		r.least = number(rest)
	} else if rest, ok := cut("<"); ok {
		r.most, r.open[1] = number(rest), true
	} else if rest, ok := cut(">"); ok {
		r.least, r.open[0] = number(rest), true
	} else if s == "none" {
		r.without = true
	} else if s != "" {
		r.least = number(s)
		r.most = r.least
	}
	return r, err
}

func (r valueRange) holds(s score) bool {
	v := float64(s.value)
	if r.without || s.status == 0 {
		return r.without && s.status != 0 && math.IsNaN(v)
	}
	// Scores are kept as float32; what a person types is cut to the same.
	least, most := float64(float32(r.least)), float64(float32(r.most))
	return (v > least || v == least && !r.open[0]) && (v < most || v == most && !r.open[1])
}

// A lane is one column of the matrix: a model of a run.
type lane struct {
	Name    string
	variant string // how the model was asked; empty in runs without variants
	run     *run
	stand   *stand
	n       int // its place in the run
	head    []head
}

// A table is the rows and lanes of one run, or of two side by side. Items are
// those of the first.
type table struct {
	runs   []*run
	stands []*stand
	lanes  []lane
	scores []*scorerLanes
	other  []int32 // items of the second run by those of the first, -1 without; nil where they are the same
	notes  []string
}

// A scorerLanes is one scorer, over the lanes of all runs.
type scorerLanes struct {
	*scoreTable          // of the first run that has it
	lanes       []lookup // by lane
}

type lookup struct {
	table  *scoreTable // nil where the lane's run lacks it
	scores []score
}

// openTable brings runs up to date and puts them side by side.
func openTable(runs ...*run) (*table, error) {
	t := &table{runs: runs}
	for i, r := range runs {
		s, err := r.look()
		if err != nil {
			return nil, err
		}
		t.stands = append(t.stands, s)
		heads, err := r.heads(s)
		if err != nil {
			return nil, err
		}
		for n, model := range s.Models {
			name := model
			if len(runs) > 1 {
				name = model + " · " + r.name
			}
			t.lanes = append(t.lanes, lane{name, s.variants[n], r, s, n, heads[n]})
		}
		if i == 1 {
			if err := t.match(); err != nil {
				return nil, err
			}
		}
	}
	return t, t.addScores()
}

func (t *table) addScores() error {
	place := map[string]*scorerLanes{}
	first := 0
	for i, r := range t.runs {
		tables, err := r.scores(t.stands[i])
		if err != nil {
			return err
		}
		for _, one := range tables {
			s := place[one.name]
			if s == nil {
				s = &scorerLanes{one, make([]lookup, len(t.lanes))}
				place[one.name], t.scores = s, append(t.scores, s)
			}
			for n := range one.lanes {
				s.lanes[first+n] = lookup{one, one.lanes[n]}
			}
		}
		first += len(t.stands[i].Models)
	}
	return nil
}

// match finds the items of the second run that belong to those of the first:
// of the same dataset by their place, else by their id.
func (t *table) match() error {
	a, b := t.stands[0], t.stands[1]
	if a.DatasetHash == b.DatasetHash && a.epochs == b.epochs && a.items() == b.items() {
		return nil
	}
	key := columnKey{t.runs[0], -3, t.runs[1].dir + a.version + b.version}
	if kept, ok := t.runs[0].cache.get(key).([]int32); ok {
		t.other = kept
	} else {
		ids, err := t.runs[1].ids(b)
		if err != nil {
			return err
		}
		byID := map[string]int32{}
		for i, id := range ids {
			if _, epoch := b.rowOf(i); id != "" {
				byID[fmt.Sprint(epoch, id)] = int32(i)
			}
		}
		if ids, err = t.runs[0].ids(a); err != nil {
			return err
		}
		t.other = make([]int32, a.items())
		for i, id := range ids {
			_, epoch := a.rowOf(i)
			n, found := byID[fmt.Sprint(epoch, id)]
			if t.other[i] = n; !found {
				t.other[i] = -1
			}
		}
		t.runs[0].cache.put(key, t.other, int64(4*len(t.other)))
	}
	matched := 0
	for _, n := range t.other {
		if n >= 0 {
			matched++
		}
	}
	t.notes = append(t.notes, fmt.Sprintf("The datasets differ: rows are put together by their ids, and %d are in both. "+
		"Rows that only %s has are not listed.", matched, t.runs[1].name))
	return nil
}

// ids are those of the items, empty where nothing is on record.
func (r *run) ids(s *stand) ([]string, error) {
	texts := make([]string, s.items())
	for lane := range s.Models {
		if err := readTexts(r, s, lane, texts, func(c *idRow) string { return c.V }); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// shown are the lanes that a query shows: those of its variant.
func (t *table) shown(q query) (lanes []int) {
	for l, lane := range t.lanes {
		if q.variant == "" || q.variant == lane.variant {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// at is the place of an item in a lane's columns, -1 without one.
func (t *table) at(l, item int) int {
	if t.other == nil || t.lanes[l].run == t.runs[0] {
		return item
	}
	return int(t.other[item])
}

func (t *table) head(l, item int) head {
	if i := t.at(l, item); i >= 0 {
		return t.lanes[l].head[i]
	}
	return head{}
}

// score is what the scorer said of an answer on record.
func (s *scorerLanes) score(t *table, l, item int) score {
	if i := t.at(l, item); i >= 0 && s.lanes[l].scores != nil && t.lanes[l].head[i].outcome != 0 {
		return s.lanes[l].scores[i]
	}
	return score{}
}

// figures are a column for all lanes, those of the second run included.
func (t *table) figures(word string) (func(l, item int) float64, error) {
	var columns [][]float64
	for i, r := range t.runs {
		read := r.numbers
		if word == "id" || word == "answer" {
			read = r.ranks
		}
		of, err := read(t.stands[i], word)
		if err != nil {
			return nil, err
		}
		columns = append(columns, of...)
	}
	return func(l, item int) float64 {
		if i := t.at(l, item); i >= 0 {
			return columns[l][i]
		}
		return none
	}, nil
}

// scorers are those that a query looks at.
func (t *table) scorers(q query) ([]*scorerLanes, error) {
	if q.scorer == "" {
		return t.scores, nil
	}
	for _, s := range t.scores {
		if s.name == q.scorer {
			return []*scorerLanes{s}, nil
		}
	}
	return nil, badQuestion("scorer: the run has no scores %q", q.scorer)
}

// Hits are the rows that a query finds.
type hits struct {
	items  []int32
	counts [filters]int // by filter, everything else as asked
	known  [filters]bool
	rows   int  // on record
	done   bool // nothing is looked for any more
}

// find looks for the rows of a query, in its order.
func (t *table) find(q query, found *finding) (*hits, error) {
	if q.lane >= len(t.lanes) || q.by >= len(t.lanes) {
		return nil, badQuestion("model: the matrix has only %d", len(t.lanes))
	}
	var versions strings.Builder
	for _, s := range t.stands {
		versions.WriteString(s.version)
	}
	key := columnKey{t.runs[0], -4, q.filterKey() + versions.String()}
	h, _ := t.runs[0].cache.get(key).(*hits)
	if h == nil || found != nil {
		var err error
		if h, err = t.filtered(q, found); err != nil {
			return nil, err
		}
		if h.done = found == nil || found.done; h.done {
			t.runs[0].cache.put(key, h, int64(4*cap(h.items)))
		}
	}
	if q.sort == "" && !q.down {
		return h, nil
	}
	key.name = q.values.Get("sort") + "\x00" + key.name
	if sorted, ok := t.runs[0].cache.get(key).(*hits); ok && found == nil {
		return sorted, nil
	}
	value, err := t.order(q)
	if err != nil {
		return nil, err
	}
	sorted := *h
	sorted.items = sortBy(h.items, q.down, value)
	if found == nil {
		t.runs[0].cache.put(key, &sorted, int64(4*cap(sorted.items)))
	}
	return &sorted, nil
}

// looks are what the filters of a query need to know.
type looks struct {
	*table
	query
	scorers  []*scorerLanes
	same     func(l, item int) float64
	shown    []int  // lanes of the variant
	looked   []bool // at the answers of which lanes
	classes  []int
	cats     []int
	datasets []int
}

// filtered collects the rows of a query in the order of the dataset.
func (t *table) filtered(q query, found *finding) (*hits, error) {
	l := &looks{table: t, query: q, shown: t.shown(q), looked: make([]bool, len(t.lanes))}
	for _, n := range l.shown {
		l.looked[n] = q.lane < 0 || q.lane == n
	}
	var err error
	if l.scorers, err = t.scorers(q); err != nil {
		return nil, err
	}
	if len(t.scores) == 0 && q.show == different {
		if l.same, err = t.figures("same"); err != nil {
			return nil, err
		}
	}
	for _, lane := range t.lanes {
		l.classes = append(l.classes, codeOf(q.class, lane.run.classes.list()))
		l.cats = append(l.cats, codeOf(q.category, lane.run.categories.list()))
		l.datasets = append(l.datasets, codeOf(q.dataset, lane.run.datasets.list()))
	}
	h := &hits{}
	for f := range filters {
		h.known[f] = true
	}
	h.known[different] = len(l.shown) > 1 && (len(t.scores) > 0 || l.same != nil)
	h.known[wrong] = slices.ContainsFunc(l.scorers, func(s *scorerLanes) bool { return s.right() })
	for item := range t.stands[0].items() {
		mask, there := l.mask(item)
		if there {
			h.rows++
		}
		if mask == 0 || found != nil && !found.has(t, l.looked, item) {
			continue
		}
		for f := range filters {
			if mask&(1<<f) != 0 {
				h.counts[f]++
			}
		}
		if mask&(1<<q.show) != 0 {
			h.items = append(h.items, int32(item))
		}
	}
	return h, nil
}

// codeOf is the number of a word: -1 means any, -2 that no item has it.
func codeOf(word string, words []string) int {
	if word == "" {
		return -1
	}
	if i := slices.Index(words, word); i > 0 {
		return i
	}
	return -2
}

// mask says which filters an item passes, if it is wanted at all, and whether
// anything is on record for it.
func (l *looks) mask(item int) (mask uint16, there bool) {
	wanted := l.value.text == "" && l.class == ""
	category, dataset := l.query.category == "", l.query.dataset == ""
	for n := range l.lanes {
		h := l.head(n, item)
		if h.outcome == 0 {
			continue
		}
		there = true
		category = category || int(h.category) == l.cats[n]
		dataset = dataset || int(h.dataset) == l.datasets[n]
		if !l.looked[n] {
			continue
		}
		mask |= 1<<all | 1<<filterOf[h.outcome&15]
		if h.flagged {
			mask |= 1 << flagged
		}
		if h.retried {
			mask |= 1 << retried
		}
		wanted = wanted || l.class != "" && l.value.text == "" && int(h.class) == l.classes[n] ||
			l.value.text != "" && l.hasValue(n, item) && (l.class == "" || int(h.class) == l.classes[n])
		if l.isWrong(n, item) {
			mask |= 1 << wrong
		}
	}
	if !wanted || !category || !dataset {
		return 0, there
	}
	if mask != 0 && l.differs(item) {
		mask |= 1 << different
	}
	return mask, there
}

func (l *looks) hasValue(n, item int) bool {
	for _, s := range l.scorers {
		if l.value.holds(s.score(l.table, n, item)) {
			return true
		}
	}
	return false
}

// isWrong reports whether a scorer that knows right and wrong gave less than a
// half.
func (l *looks) isWrong(n, item int) bool {
	for _, s := range l.scorers {
		if s.right() {
			if v := s.score(l.table, n, item); v.status != 0 && v.value < 0.5 {
				return true
			}
		}
	}
	return false
}

// differs reports whether two lanes that are shown have other scores; where nothing is scored
// other outcomes or answers.
func (l *looks) differs(item int) bool {
	for _, s := range l.scorers {
		first, have := float32(0), false
		for _, n := range l.shown {
			v := s.score(l.table, n, item)
			if v.status == 0 || v.value != v.value {
				continue
			}
			if have && v.value != first {
				return true
			}
			first, have = v.value, true
		}
	}
	if l.same == nil {
		return false
	}
	first := -1
	for _, n := range l.shown {
		h := l.head(n, item)
		if h.outcome == 0 {
			continue
		}
		if first >= 0 && (h.outcome != l.head(first, item).outcome || l.same(n, item) != l.same(first, item)) {
			return true
		}
		first = n
	}
	return false
}

// order is what a query sorts its rows by.
func (t *table) order(q query) (func(item int) float64, error) {
	lanes := t.shown(q)
	if q.by >= 0 {
		lanes = []int{q.by}
	}
	switch q.sort {
	case "":
		return func(item int) float64 { return float64(item) }, nil
	case "category":
		return t.byCategory(), nil
	case "outcome":
		return most(lanes, func(l, item int) float64 {
			if o := t.head(l, item).outcome; o > 0 {
				return float64(o)
			}
			return none
		}), nil
	case "score":
		of, err := t.scorers(q)
		if err != nil {
			return nil, err
		}
		return sum(lanes, func(l, item int) float64 {
			total, n := 0.0, 0
			for _, s := range of {
				if v := s.score(t, l, item); v.status != 0 && v.value == v.value {
					total, n = total+float64(v.value), n+1
				}
			}
			if n == 0 {
				return none
			}
			return total / float64(n)
		}), nil
	}
	value, err := t.figures(q.sort)
	if err != nil {
		return nil, err
	}
	switch q.sort {
	case "id", "answer":
		return first(lanes, value), nil
	case "finished":
		return most(lanes, value), nil
	}
	return sum(lanes, value), nil
}

// byCategory orders items by the names of their categories.
func (t *table) byCategory() func(item int) float64 {
	ranks := map[*run][]float64{}
	for _, r := range t.runs {
		ranks[r] = rankOf(r.categories.list())
	}
	return func(item int) float64 {
		for l := range t.lanes {
			if h := t.head(l, item); h.outcome != 0 && int(h.category) < len(ranks[t.lanes[l].run]) {
				return ranks[t.lanes[l].run][h.category]
			}
		}
		return none
	}
}

// sum adds up what is known of some lanes.
func sum(lanes []int, value func(l, item int) float64) func(item int) float64 {
	return func(item int) float64 {
		total, any := 0.0, false
		for _, l := range lanes {
			if v := value(l, item); !math.IsNaN(v) {
				total, any = total+v, true
			}
		}
		if !any {
			return none
		}
		return total
	}
}

func most(lanes []int, value func(l, item int) float64) func(item int) float64 {
	return func(item int) float64 {
		best := none
		for _, l := range lanes {
			if v := value(l, item); !math.IsNaN(v) && !(v <= best) {
				best = v
			}
		}
		return best
	}
}

func first(lanes []int, value func(l, item int) float64) func(item int) float64 {
	return func(item int) float64 {
		for _, l := range lanes {
			if v := value(l, item); !math.IsNaN(v) {
				return v
			}
		}
		return none
	}
}

// sortBy sorts items by a value, those without one last, and equal ones in the
// order of the dataset. It is a radix sort: a page of a million rows has to
// come at once.
func sortBy(items []int32, down bool, value func(item int) float64) []int32 {
	type keyed struct {
		key  uint64
		item int32
	}
	from, to := make([]keyed, len(items)), make([]keyed, len(items))
	for i, item := range items {
		from[i] = keyed{orderedBits(value(int(item)), down), item}
	}
	const digit = 16
	for shift := 0; shift < 64; shift += digit {
		starts := make([]int, 1<<digit+1)
		for _, k := range from {
			starts[k.key>>shift&(1<<digit-1)+1]++
		}
		for i := range len(starts) - 1 {
			starts[i+1] += starts[i]
		}
		for _, k := range from {
			d := k.key >> shift & (1<<digit - 1)
			to[starts[d]] = k
			starts[d]++
		}
		from, to = to, from
	}
	sorted := make([]int32, len(items))
	for i, k := range from {
		sorted[i] = k.item
	}
	return sorted
}

// orderedBits are whole numbers in the order of the values; what is not known
// comes last.
func orderedBits(v float64, down bool) uint64 {
	if math.IsNaN(v) {
		return math.MaxUint64
	}
	if v == 0 {
		v = 0 // no negative zero
	}
	bits := math.Float64bits(v)
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	if down {
		bits = ^bits
	}
	return bits
}
