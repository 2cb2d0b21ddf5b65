package web

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"nightshift"
	"nightshift/reports"
	"nightshift/reports/scoring"
	"nightshift/runner/store/view"
)

// A run is one run directory and what is kept of it. It is safe for concurrent
// use.
//
// What rows are chosen and sorted by is kept in columns: a value for each item
// (a row of the dataset and its repetition) of one lane (a model of the run).
// A column remembers which files each of its chunks was read from, so that only
// chunks that have changed are read again. Columns do not change: a changed
// chunk makes a new one.
type run struct {
	name, dir string
	cache     *cache
	watch     *view.Watcher

	load sync.Mutex // held while columns are read

	mu         sync.Mutex
	last       *stand
	warmed     string // version of the columns that were read ahead
	looked     time.Time
	categories codes[uint16]
	classes    codes[uint8]
	datasets   codes[uint8] // of runs with several
	searches   map[string]*search
}

// codes number the words of a column that has few. Number 0 is no word, the
// last one all words for which there is no room.
type codes[N uint8 | uint16] struct {
	mu     sync.Mutex
	number map[string]N
	words  []string
}

func (c *codes[N]) of(word *string) N {
	if word == nil || *word == "" {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n, known := c.number[*word]
	switch {
	case known:
		return n
	case c.number == nil:
		c.number, c.words = map[string]N{}, []string{""}
	case len(c.words) >= int(^N(0)):
		return ^N(0)
	}
	w := strings.Clone(*word)
	n = N(len(c.words))
	c.number[w], c.words = n, append(c.words, w)
	return n
}

func (c *codes[N]) list() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.words)
}

// A stand is what a run directory held when it was looked at.
type stand struct {
	view.Info
	epochs   int
	files    [][]string // by lane and chunk: what the rows are in
	variants []string   // by lane; empty without
	tables   []string   // of scores
	tableOf  map[string]string
	version  string // equal for equal files
}

// items is how many places a column has.
func (s *stand) items() int { return int(s.DatasetRows) * s.epochs }

func (s *stand) item(row int64, epoch int32) int {
	i := int(row)*s.epochs + int(epoch)
	if row < 0 || epoch < 0 || int(epoch) >= s.epochs || i >= s.items() {
		return -1
	}
	return i
}

func (s *stand) rowOf(item int) (row int64, epoch int32) {
	return int64(item / s.epochs), int32(item % s.epochs)
}

// standFor is for how long what a run directory held is taken to hold still.
const standFor = time.Second

// look reads what the run directory holds.
func (r *run) look() (*stand, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last != nil && time.Since(r.looked) < standFor {
		return r.last, nil
	}
	info, err := view.ReadInfo(r.dir)
	if err != nil {
		return nil, err
	}
	s := &stand{Info: info, epochs: max(info.Epochs, 1), tableOf: map[string]string{}}
	for _, way := range scoring.Ways(info) {
		s.variants = append(s.variants, way.Variant)
	}
	slot := map[string]int{}
	for i, m := range info.Models {
		slot[m] = i
		s.files = append(s.files, make([]string, len(info.Chunks)))
	}
	for _, p := range info.ParquetFiles {
		if i, ok := slot[p.Model]; ok && p.Shard < len(info.Chunks) {
			s.files[i][p.Shard] = info.RunID + "/" + p.Name
		}
	}
	r.addJournals(s)
	if s.tables, err = view.ScoreTables(r.dir); err != nil {
		return nil, err
	}
	for _, t := range s.tables {
		s.tableOf[t] = fileMark(filepath.Join(r.dir, "scores", t+".parquet"))
	}
	h := fnv.New64a()
	fmt.Fprint(h, info.RunID, s.files, s.tables, s.tableOf)
	s.version = fmt.Sprintf("%x", h.Sum64())
	r.last, r.looked = s, time.Now()
	return s, nil
}

// addJournals marks the chunks of which rows may be in a journal.
func (r *run) addJournals(s *stand) {
	found, err := os.ReadDir(filepath.Join(r.dir, "journal"))
	if err != nil {
		return // a run without journals
	}
	for _, f := range found {
		mark := fileMark(filepath.Join(r.dir, "journal", f.Name()))
		for chunk := range s.Chunks {
			if !strings.Contains(f.Name(), fmt.Sprintf("-%06d.", chunk)) {
				continue
			}
			for lane := range s.files { // the name has the model in other letters
				s.files[lane][chunk] += "+" + f.Name() + mark
			}
		}
	}
}

// fileMark changes when a file does.
func fileMark(path string) string {
	i, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf(":%d@%d", i.Size(), i.ModTime().UnixNano())
}

// A head is what every item is chosen by.
type head struct {
	outcome  uint8 // place in reports.Outcomes, from 1; 0 where there is no record
	flagged  bool
	retried  bool
	class    uint8
	dataset  uint8
	category uint16
}

type headRow struct {
	Row        int64   `parquet:"row"`
	Epoch      int32   `parquet:"epoch"`
	Outcome    string  `parquet:"outcome,dict"`
	Flags      *string `parquet:"flags,optional,dict"`
	Attempts   int32   `parquet:"attempts"`
	Category   *string `parquet:"category,optional,dict"`
	ErrorClass *string `parquet:"error_class,optional,dict"`
	Dataset    *string `parquet:"dataset,optional,dict"` // missing from older runs
}

func (h *headRow) at() (int64, int32) { return h.Row, h.Epoch }

// heads are those of all lanes.
func (r *run) heads(s *stand) ([][]head, error) {
	places := map[string]uint8{}
	for i, o := range reports.Outcomes {
		places[string(o)] = uint8(i + 1)
	}
	return eachLane(r, s, "", func(h *headRow) head {
		return head{outcome: places[h.Outcome], flagged: h.Flags != nil, retried: reports.WasRetried(h.Attempts, h.Flags),
			class: r.classes.of(h.ErrorClass), category: r.categories.of(h.Category),
			dataset: r.datasets.of(h.Dataset)}
	}, head{})
}

// A column is a value for each item of a lane.
type column[T any] struct {
	files []string // by chunk
	data  []T
}

type columnKey struct {
	run  *run
	lane int
	name string
}

// eachLane brings a column of all lanes up to date, several at a time.
func eachLane[R any, T any, P interface {
	*R
	at() (int64, int32)
}](r *run, s *stand, name string, value func(*R) T, none T) ([][]T, error) {
	all := make([][]T, len(s.Models))
	missing := false
	for lane := range s.Models {
		c, _ := r.cache.get(columnKey{r, lane, name}).(*column[T])
		if c.of(s, lane) {
			all[lane] = c.data
		} else {
			missing = true
		}
	}
	if !missing {
		return all, nil
	}
	errs := make([]error, len(s.Models))
	turns := make(chan struct{}, max(1, runtime.GOMAXPROCS(0)))
	var wait sync.WaitGroup
	r.load.Lock()
	defer r.load.Unlock()
	for lane := range s.Models {
		turns <- struct{}{}
		wait.Go(func() {
			defer func() { <-turns }()
			all[lane], errs[lane] = laneColumn[R, T, P](r, s, lane, name, value, none)
		})
	}
	wait.Wait()
	return all, errors.Join(errs...)
}

// laneColumn brings a column of one lane up to date.
func laneColumn[R any, T any, P interface {
	*R
	at() (int64, int32)
}](r *run, s *stand, lane int, name string, value func(*R) T, none T) ([]T, error) {
	key := columnKey{r, lane, name}
	old, _ := r.cache.get(key).(*column[T])
	if old.of(s, lane) {
		return old.data, nil
	}
	c := &column[T]{s.files[lane], make([]T, s.items())}
	for i := range c.data {
		c.data[i] = none
	}
	if old != nil {
		copy(c.data, old.data)
	}
	for chunk := 0; chunk < len(s.Chunks); chunk++ {
		if c.sameAs(old, chunk) {
			continue
		}
		first := chunk
		for chunk+1 < len(s.Chunks) && !c.sameAs(old, chunk+1) {
			chunk++
		}
		from, to := s.Chunks[first].First, s.Chunks[chunk].First+s.Chunks[chunk].Rows
		for i := from * int64(s.epochs); i < min(to*int64(s.epochs), int64(len(c.data))); i++ {
			c.data[i] = none
		}
		o := view.ReadOptions{Models: s.Models[lane : lane+1], From: from, To: to}
		for row, err := range view.Rows[R](r.dir, o) {
			var damage *view.DamageError
			if errors.As(err, &damage) {
				continue // the status says so
			}
			if err != nil {
				return nil, err
			}
			if i := s.item(P(&row).at()); i >= 0 {
				c.data[i] = value(&row)
			}
		}
	}
	var one T
	r.cache.put(key, c, int64(len(c.data))*int64(unsafe.Sizeof(one)))
	return c.data, nil
}

// of reports whether the column holds what the files of a lane do.
func (c *column[T]) of(s *stand, lane int) bool {
	return c != nil && len(c.data) == s.items() && slices.Equal(c.files, s.files[lane])
}

// sameAs reports whether a chunk of the column is in old.
func (c *column[T]) sameAs(old *column[T], chunk int) bool {
	return old != nil && chunk < len(old.files) && old.files[chunk] == c.files[chunk] || c.files[chunk] == ""
}

// none is the figure of what is not known.
var none = math.NaN()

type place struct {
	Row   int64 `parquet:"row"`
	Epoch int32 `parquet:"epoch"`
}

func (p *place) at() (int64, int32) { return p.Row, p.Epoch }

type (
	costRow struct {
		place
		V *int64 `parquet:"cost_nano_usd,optional"`
	}
	inputRow struct {
		place
		V *int64 `parquet:"input_tokens,optional"`
	}
	outputRow struct {
		place
		V *int64 `parquet:"output_tokens,optional"`
	}
	latencyRow struct {
		place
		V *float64 `parquet:"latency_ms,optional"`
	}
	finishedRow struct {
		place
		V *time.Time `parquet:"finished_at,optional,timestamp(microsecond)"`
	}
	idRow struct {
		place
		V string `parquet:"id"`
	}
	textRow struct {
		place
		V *string `parquet:"text,optional"`
	}
)

func number[N int64 | float64](p *N) float64 {
	if p == nil {
		return none
	}
	return float64(*p)
}

// numbers is a column of figures, by the word that addresses have for it.
func (r *run) numbers(s *stand, word string) ([][]float64, error) {
	switch word {
	case "cost":
		return eachLane(r, s, word, func(c *costRow) float64 { return number(c.V) }, none)
	case "input":
		return eachLane(r, s, word, func(c *inputRow) float64 { return number(c.V) }, none)
	case "output":
		return eachLane(r, s, word, func(c *outputRow) float64 { return number(c.V) }, none)
	case "latency":
		return eachLane(r, s, word, func(c *latencyRow) float64 { return number(c.V) }, none)
	case "finished":
		return eachLane(r, s, word, func(c *finishedRow) float64 {
			if c.V == nil {
				return none
			}
			return float64(c.V.UnixMicro())
		}, none)
	case "same": // equal for equal answers
		return eachLane(r, s, word, func(c *textRow) float64 {
			h := fnv.New64a()
			h.Write([]byte(strings.TrimSpace(view.Value(c.V))))
			return float64(h.Sum64() >> 12) // a float64 holds 52 bits exactly
		}, none)
	}
	return nil, badQuestion("no order %q", word)
}

// textHead is how much of an answer it is sorted by, in bytes.
const textHead = 32

// ranks is the order of the items by a text: ids, or the beginnings of answers.
func (r *run) ranks(s *stand, word string) ([][]float64, error) {
	if kept, ok := r.cache.get(columnKey{r, -1, word + s.version}).([][]float64); ok {
		return kept, nil
	}
	var all [][]float64
	for lane := range s.Models {
		texts := make([]string, s.items())
		var err error
		if word == "id" {
			err = readTexts(r, s, lane, texts, func(c *idRow) string { return c.V })
		} else {
			err = readTexts(r, s, lane, texts, func(c *textRow) string {
				t := strings.TrimSpace(view.Value(c.V))
				return strings.Clone(t[:min(len(t), textHead)])
			})
		}
		if err != nil {
			return nil, err
		}
		all = append(all, rankOf(texts))
	}
	r.cache.put(columnKey{r, -1, word + s.version}, all, int64(8*len(all)*s.items()))
	return all, nil
}

func readTexts[R any, P interface {
	*R
	at() (int64, int32)
}](r *run, s *stand, lane int, texts []string, value func(*R) string) error {
	for row, err := range view.Rows[R](r.dir, view.ReadOptions{Models: s.Models[lane : lane+1]}) {
		var damage *view.DamageError
		if errors.As(err, &damage) {
			continue
		}
		if err != nil {
			return err
		}
		if i := s.item(P(&row).at()); i >= 0 {
			texts[i] = value(&row)
		}
	}
	return nil
}

// rankOf numbers texts by their order; empty ones are not known.
func rankOf(texts []string) []float64 {
	order := make([]int32, len(texts))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Or(strings.Compare(texts[a], texts[b]), int(a-b)) })
	ranks := make([]float64, len(texts))
	for n, i := range order {
		ranks[i] = float64(n)
		if n > 0 && texts[order[n-1]] == texts[i] {
			ranks[i] = ranks[order[n-1]]
		}
		if texts[i] == "" {
			ranks[i] = none
		}
	}
	return ranks
}

// A score is what one scorer said of an item.
type score struct {
	value  float32
	status uint8  // place in scoreStatuses, from 1; 0 where there is no score
	place  uint32 // in the table
}

var scoreStatuses = []nightshift.ScoreStatus{nightshift.Scored, nightshift.NoAnswer, nightshift.Unscored,
	nightshift.NotRun}

const (
	isScored   = 1
	isNoAnswer = 2
)

// A scoreTable is one file of scores.
type scoreTable struct {
	name        string    // in addresses
	label       string    // the scorer's own name
	lanes       [][]score // by lane
	least, most float64   // of the values
	values      []float64 // the different ones, sorted; nil where there are many
}

// right reports whether the scores say right and wrong: 1 is best, 0 worst.
func (t *scoreTable) right() bool { return t.least >= 0 && t.most <= 1 }

// few is how many different values of a score are listed.
const few = 12

type scoreRow struct {
	Row    int64    `parquet:"row"`
	Epoch  int32    `parquet:"epoch"`
	Model  string   `parquet:"model,dict"`
	Scorer string   `parquet:"scorer,dict"`
	Value  *float64 `parquet:"value,optional"`
	Status string   `parquet:"status,dict"`
}

// scores are the tables of a run.
func (r *run) scores(s *stand) (tables []*scoreTable, err error) {
	for _, name := range s.tables {
		key := columnKey{r, -2, name + s.tableOf[name] + fmt.Sprint(s.items())}
		t, ok := r.cache.get(key).(*scoreTable)
		if !ok {
			if t, err = r.table(s, name, key); err != nil {
				return nil, err
			}
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// table reads a table of scores, unless somebody else just has.
func (r *run) table(s *stand, name string, key columnKey) (*scoreTable, error) {
	r.load.Lock()
	defer r.load.Unlock()
	if t, ok := r.cache.get(key).(*scoreTable); ok {
		return t, nil
	}
	t, err := r.readScores(s, name)
	if err == nil {
		r.cache.put(key, t, int64(len(s.Models)*s.items())*int64(unsafe.Sizeof(score{})))
	}
	return t, err
}

// large is how many items of a lane make a column worth reading ahead.
const large = 50_000

// warm reads ahead what people sort by, so that the first page in that order
// comes at once. Runs that go on change too often for that.
func (r *run) warm(s *stand) {
	r.mu.Lock()
	done := r.warmed == s.version
	r.warmed = s.version
	r.mu.Unlock()
	if done || s.items() < large {
		return
	}
	go func() {
		for _, word := range []string{"cost", "latency", "output", "input"} {
			if _, err := r.numbers(s, word); err != nil {
				return // whoever sorts by it is told
			}
		}
	}()
}

func (r *run) readScores(s *stand, name string) (*scoreTable, error) {
	t := &scoreTable{name: name, label: name, least: math.Inf(1), most: math.Inf(-1)}
	lanes := map[string]int{}
	for i, m := range s.Models {
		lanes[m] = i
		t.lanes = append(t.lanes, make([]score, s.items()))
	}
	statuses := map[string]uint8{}
	for i, status := range scoreStatuses {
		statuses[string(status)] = uint8(i + 1)
	}
	values := map[float64]bool{}
	place := uint32(0)
	for row, err := range view.ScoreRows[scoreRow](r.dir, name) {
		if err != nil {
			return t, nil // a damaged table: the status and verify say so
		}
		lane, known := lanes[row.Model]
		if i := s.item(row.Row, row.Epoch); known && i >= 0 {
			v := number(row.Value)
			t.lanes[lane][i] = score{float32(v), statuses[row.Status], place}
			t.label = row.Scorer
			if !math.IsNaN(v) {
				t.least, t.most = min(t.least, v), max(t.most, v)
				if len(values) <= few {
					values[v] = true
				}
			}
		}
		place++
	}
	if len(values) <= few {
		for v := range values {
			t.values = append(t.values, v)
		}
		slices.Sort(t.values)
	}
	return t, nil
}
