package compare

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift"
	"nightshift/reports/scoring"
	"nightshift/reports/stats"
	"nightshift/runner/store/view"
)

// A matrix is what a comparison computes on: items down, models across, one
// plain column for each figure. Items are in the order of their ids' hashes,
// so that no figure depends on the order of the dataset.
type matrix struct {
	options Options
	runs    []*comparedRun
	columns []*column
	scorers []scoring.Described

	items      int       // how many
	prompts    []uint64  // hash of the rendered prompt
	categories []int32   // index into names, -1 for none
	names      []string  // of the categories
	opponents  []int     // of each column, where models are compared along models or variants; else nil
	sections   []section // of several datasets; nil for one
	members    []int32   // items of the dataset that is looked at; nil is all
	head       string    // name of the scorer whose disagreements are kept; default the first
	notices    []string  // what weakens the comparison of these runs
	arrival    *arrival  // the order of sending, where a run may stop early; else nil
	labels     []int32   // clusters; nil when all items are independent
	clusters   *clusterFacts
}

// A comparedRun is one run on its way into the matrix.
type comparedRun struct {
	dir        string
	called     string // by people
	info       view.Info
	evaluation scoring.Evaluation
	plan       runPlan
	baseline   bool
	own        map[string]scoring.Described // the run's scorers, by the names of the matrix's
	table      itemTable
	order      []placed // of the table; while items are aligned
	items      []int32  // of the matrix, for each of the table
}

// A runPlan is what run.json says of the models.
type runPlan struct {
	Imported string `json:"imported"` // the tool whose file the run was read from; else empty
	Plan     struct {
		Dataset  asked                   `json:"dataset"`
		Datasets []struct{ Name string } `json:"datasets"` // of a run of several
		Models   []struct {
			asked
			Name     string          `json:"name"`
			Endpoint string          `json:"endpoint"`
			Model    string          `json:"model"`
			Params   json.RawMessage `json:"params"`
		} `json:"models"`
	} `json:"plan"`
}

// asked are the templates that rows are asked with.
type asked struct {
	System string `json:"system"`
	Prompt string `json:"prompt"`
}

// A column is one model of one run.
type column struct {
	comparedModel
	run    *comparedRun
	index  int // among the matrix's columns
	asked  asked
	epochs int
	cap    int64 // on output tokens; 0 when there is none

	// By item and epoch.
	kind    []answerKind
	scores  [][]float64    // by scorer; NaN without one
	status  [][]scoreState // by scorer
	answers [][]string     // by scorer; only with several epochs
	parts   []partColumns  // by scorer
	// By item, over its epochs; NaN when unknown.
	cost, latency []float64
	latencies     stats.Quantiles
	place         []int32 // of each item in the order of sending; nil where no run may stop early
	arrived       int     // items that are counted in that order
	started       *time.Time
	finished      *time.Time
}

type answerKind uint8

const (
	notRun answerKind = iota
	completed
	truncated
	refused
	empty
	failed
)

type scoreState uint8

const (
	stateNone scoreState = iota // not on record, or not scored yet
	stateScored
	stateNoAnswer
	stateUnscored
	stateError
)

// An itemTable lists the items of one run in dataset order.
type itemTable struct {
	items      []item  // until they are aligned
	rows       []int64 // of the items, from then on
	categories []string
	byName     map[string]int32
	datasets   []string // several
}

// An item is one dataset row of a run. Texts are hashed.
type item struct {
	row            int64
	key            [16]byte // of its id
	prompt, target uint64
	cluster        uint64 // 0 for none
	category       int32  // index into categories, -1 for none
	dataset        int32  // index into datasets, -1 where there is one
}

type itemRow struct {
	Row        int64              `parquet:"row"`
	ID         string             `parquet:"id" texts:"passing"`
	Epoch      int32              `parquet:"epoch"`
	Outcome    nightshift.Outcome `parquet:"outcome,dict"`
	Target     *string            `parquet:"target,optional" texts:"passing"`
	Category   *string            `parquet:"category,optional,dict"`
	Cluster    *string            `parquet:"cluster,optional" texts:"passing"`
	PromptHash string             `parquet:"prompt_hash" texts:"passing"`
	Dataset    *string            `parquet:"dataset,optional,dict"` // missing from older runs
}

type factRow struct {
	Row          int64      `parquet:"row"`
	Epoch        int32      `parquet:"epoch"`
	ServedModel  *string    `parquet:"served_model,optional,dict"`
	Outcome      string     `parquet:"outcome,dict"`
	StopReason   *string    `parquet:"stop_reason,optional,dict"`
	Input        *int64     `parquet:"input_tokens,optional"`
	CacheRead    *int64     `parquet:"cache_read_tokens,optional"`
	CacheWrite5m *int64     `parquet:"cache_write_5m_tokens,optional"`
	CacheWrite1h *int64     `parquet:"cache_write_1h_tokens,optional"`
	Output       *int64     `parquet:"output_tokens,optional"`
	Reasoning    *int64     `parquet:"reasoning_tokens,optional"`
	Cost         *int64     `parquet:"cost_nano_usd,optional"`
	ReusedCost   *int64     `parquet:"reused_cost_nano_usd,optional"` // of an answer that another run paid for
	ReusedFrom   *string    `parquet:"reused_from,optional,dict"`
	Latency      *float64   `parquet:"latency_ms,optional"`
	MaybeBilled  bool       `parquet:"maybe_billed"`
	Started      *time.Time `parquet:"started_at,optional,timestamp(microsecond)"`
	Finished     *time.Time `parquet:"finished_at,optional,timestamp(microsecond)"`
}

type scoreRow struct {
	Row    int64                  `parquet:"row"`
	Epoch  int32                  `parquet:"epoch"`
	Model  string                 `parquet:"model,dict"`
	Value  *float64               `parquet:"value,optional"`
	Status nightshift.ScoreStatus `parquet:"status,dict"`
	// Parts is missing from tables that are older than the column.
	Parts *string `parquet:"parts,optional"`
}

// answeredRow is a scoreRow with what was extracted, for votes and for
// statistics of whole sets.
type answeredRow struct {
	Row    int64                  `parquet:"row"`
	Epoch  int32                  `parquet:"epoch"`
	Model  string                 `parquet:"model,dict"`
	Value  *float64               `parquet:"value,optional"`
	Status nightshift.ScoreStatus `parquet:"status,dict"`
	Answer *string                `parquet:"answer,optional"`
	// Canonical is missing from tables that are older than the column.
	Canonical *string `parquet:"canonical,optional"`
	Counts    *string `parquet:"counts,optional"`
	Parts     *string `parquet:"parts,optional"`
}

// vote is what the answer counts as among the epochs of an item, or its counts
// for a statistic of all answers; nil where the scorer gives neither.
func (s answeredRow) vote() *string {
	if s.Counts != nil {
		return s.Counts
	}
	if s.Canonical != nil {
		return s.Canonical
	}
	return s.Answer
}

// loadMatrix reads all runs: first which items there are, then every column.
func loadMatrix(o Options) (*matrix, error) {
	m := &matrix{options: o}
	dirs := slices.Clone(o.Runs)
	if o.BaselineRun != "" {
		dirs = append(dirs, o.BaselineRun)
	}
	for i, dir := range dirs {
		r, err := openCompared(dir, o.Names)
		if err != nil {
			return nil, err
		}
		r.baseline = i >= len(o.Runs)
		m.runs = append(m.runs, r)
	}
	if err := m.chooseColumns(); err != nil {
		return nil, err
	}
	if err := m.chooseScorers(); err != nil {
		return nil, err
	}
	var tasks []func() error
	for _, r := range m.runs {
		tasks = append(tasks, r.loadItems)
	}
	if err := parallel(tasks); err != nil {
		return nil, err
	}
	if err := m.align(); err != nil {
		return nil, err
	}
	if err := m.loadColumns(); err != nil {
		return nil, err
	}
	return m, m.arrive()
}

func openCompared(dir string, names map[string]string) (*comparedRun, error) {
	r := &comparedRun{dir: dir, called: cmp.Or(names[dir], dir)}
	var err error
	if r.info, err = view.ReadInfo(dir); err != nil {
		return nil, err
	}
	if r.evaluation, err = scoring.ReadEvaluation(dir); err != nil {
		return nil, err
	}
	// Runs by other tools of ours may have another plan; names then do.
	_ = json.Unmarshal(r.info.Plan, &r.plan)
	return r, nil
}

// parallel runs tasks on all cores and returns the errors of all.
func parallel(tasks []func() error) error {
	errs := make([]error, len(tasks))
	places := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, task := range tasks {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			errs[i] = task()
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// chooseColumns makes a column of every model asked for.
func (m *matrix) chooseColumns() error {
	for _, r := range m.runs {
		for _, name := range r.info.Models {
			m.choose(newColumn(r, name))
		}
	}
	if len(m.columns) == 0 {
		return incomparable("none of the runs has a model called %s", join(m.options.Models, " or "))
	}
	for i, c := range m.columns {
		c.index = i
	}
	m.label()
	return nil
}

// choose takes a column when it is asked for: by its name, or by that of its model
// or variant.
func (m *matrix) choose(c *column) {
	named := func(name string) bool { return name != "" && slices.Contains(m.options.Models, name) }
	if m.options.Models == nil || named(c.Model) || named(c.Variant) || named(c.VariantOf) {
		m.columns = append(m.columns, c)
	}
}

func newColumn(r *comparedRun, name string) *column {
	c := &column{run: r, epochs: max(r.info.Epochs, 1)}
	c.Model, c.Run, c.Label, c.ModelID, c.Earlier = name, r.info.Name, name, name, r.baseline
	c.Served, c.Stops.Reasons = map[string]int64{}, map[string]int64{}
	for _, p := range r.plan.Plan.Models {
		if p.Name == name {
			c.ModelID, c.Endpoint, c.Params = p.Model, p.Endpoint, p.Params
			c.asked = r.plan.Plan.Dataset
		}
		if p.Name == name && p.asked != (asked{}) {
			c.asked = p.asked
		}
	}
	for _, way := range scoring.Ways(r.info) {
		if way.Name == name && way.Variant != "" {
			c.Variant, c.VariantOf = way.Variant, way.VariantOf
		}
	}
	var caps struct {
		MaxTokens           int64 `json:"max_tokens"`
		MaxCompletionTokens int64 `json:"max_completion_tokens"`
		MaxOutputTokens     int64 `json:"max_output_tokens"`
		GenerationConfig    struct {
			MaxOutputTokens int64 `json:"maxOutputTokens"`
		} `json:"generationConfig"`
	}
	if json.Unmarshal(c.Params, &caps) == nil {
		c.cap = cmp.Or(caps.MaxCompletionTokens, caps.MaxTokens, caps.MaxOutputTokens,
			caps.GenerationConfig.MaxOutputTokens)
	}
	return c
}

// label makes labels unique: by the run's name, else by its directory.
func (m *matrix) label() {
	ways := []func(*column) string{
		func(c *column) string { return c.run.info.Name + "/" + c.Model },
		func(c *column) string { return c.run.called + "/" + c.Model },
	}
	for _, way := range ways {
		seen := map[string]int{}
		for _, c := range m.columns {
			seen[c.Label]++
		}
		for _, c := range m.columns {
			if seen[c.Label] > 1 {
				c.Label = way(c)
			}
		}
	}
	seen := map[string]int{}
	for _, c := range m.columns { // one directory given twice
		if seen[c.Label]++; seen[c.Label] > 1 {
			c.Label += fmt.Sprintf("#%d", seen[c.Label])
		}
	}
}

// chooseScorers takes the scorers that every run has a table of. In runs that were
// imported they may go by another name.
func (m *matrix) chooseScorers() error {
	without := 0
	for _, r := range m.runs {
		r.own = map[string]scoring.Described{}
		if len(r.evaluation.Scorers) == 0 {
			without++
		}
	}
	if without == len(m.runs) && m.options.Scorers == nil {
		return nil // cost, latency and the ways of ending can be compared all the same
	}
	if m.options.Scorers != nil {
		for _, name := range m.options.Scorers {
			if err := m.choosePair(strings.Cut(name, "=")); err != nil {
				return err
			}
		}
		return m.sameScorers()
	}
	for _, s := range m.runs[0].evaluation.Scorers {
		m.chooseScorer(s.Name, func(r *comparedRun) *scoring.Described { return r.scorer(s.Name) })
	}
	if len(m.scorers) == 0 && m.imported() {
		if first := headlineOf(m.runs[0].evaluation); first != nil {
			m.chooseScorer(first.Name, func(r *comparedRun) *scoring.Described { return headlineOf(r.evaluation) })
		}
	}
	if len(m.scorers) == 0 {
		return incomparable("no scorer has scored all of these runs; nightshift score RUN --scorer … does")
	}
	return m.sameScorers()
}

// chooseScorer takes a scorer that every run has, each by its own name.
func (m *matrix) chooseScorer(name string, of func(*comparedRun) *scoring.Described) bool {
	for _, r := range m.runs {
		if of(r) == nil {
			return false
		}
	}
	for _, r := range m.runs {
		r.own[name] = *of(r)
	}
	m.scorers = append(m.scorers, m.runs[0].own[name])
	m.scorers[len(m.scorers)-1].Name = name
	return true
}

// choosePair takes a scorer by its name or, in runs that have none of that name, by
// the other one.
func (m *matrix) choosePair(name, other string, paired bool) error {
	found := m.chooseScorer(name, func(r *comparedRun) *scoring.Described {
		if d := r.scorer(name); d != nil || !paired {
			return d
		}
		return r.scorer(other)
	})
	switch {
	case found:
		return nil
	case paired:
		return incomparable("not every run was scored by %s or %s; there are %s", name, other, m.scorerNames())
	case m.imported():
		return incomparable("scorer %s has not scored every run; there are %s. --scorer %[1]s=NAME sets it beside one of "+
			"another name", name, m.scorerNames())
	}
	return incomparable("scorer %s has not scored every run; nightshift score RUN --scorer … does", name)
}

// scorerNames lists the scorers of every run.
func (m *matrix) scorerNames() string {
	var all []string
	for _, r := range m.runs {
		for _, s := range r.evaluation.Scorers {
			if !slices.Contains(all, s.Name) {
				all = append(all, s.Name)
			}
		}
	}
	return join(all, ", ")
}

// imported reports whether some run was read from another tool's file.
func (m *matrix) imported() bool {
	return slices.ContainsFunc(m.runs, func(r *comparedRun) bool { return r.plan.Imported != "" })
}

// scorer is the run's scorer of a name; nil where it has none.
func (r *comparedRun) scorer(name string) *scoring.Described {
	i := slices.IndexFunc(r.evaluation.Scorers, func(d scoring.Described) bool { return d.Name == name })
	if i < 0 {
		return nil
	}
	return &r.evaluation.Scorers[i]
}

// sameScorers refuses tables of one name that were made in different ways. Those of
// other tools are set beside each other, with a warning.
func (m *matrix) sameScorers() error {
	for _, s := range m.scorers {
		first := m.runs[0].own[s.Name]
		for _, r := range m.runs[1:] {
			d := r.own[s.Name]
			switch {
			case d.Type == first.Type && d.Version == first.Version && string(d.Params) == string(first.Params) &&
				d.Name == first.Name:
			case d.Type == scoring.Imported || first.Type == scoring.Imported:
				m.notices = append(m.notices, sprintf("%s of %s is set beside %s of %s: where their rules differ, a part of the "+
					"difference is theirs; nightshift import and nightshift score give both the same scorer",
					told(first), m.runs[0].called, told(d), r.called))
			default:
				return incomparable("%s and %s were scored by different scorers called %s; nightshift score both "+
					"again with one plan", m.runs[0].called, r.called, s.Name)
			}
		}
	}
	return nil
}

// told names a scorer in a sentence.
func told(d scoring.Described) string {
	if d.Type == scoring.Imported {
		return d.Version + "'s " + d.Name
	}
	return d.Name
}

// loadItems reads which items a run has. All models are asked the same rows,
// so one complete model tells.
func (r *comparedRun) loadItems() error {
	t := &r.table
	t.byName = map[string]int32{}
	for _, model := range r.info.Models {
		more := itemTable{byName: t.byName, categories: t.categories, datasets: t.datasets,
			items: make([]item, 0, min(r.info.DatasetRows, 1<<20))}
		for row, err := range view.Rows[itemRow](r.dir, view.ReadOptions{Models: []string{model}}) {
			if err != nil {
				return err
			}
			more.add(&row)
		}
		t.categories, t.datasets = more.categories, more.datasets
		t.merge(&more)
		if int64(len(t.items)) >= r.info.DatasetRows {
			break
		}
	}
	return nil
}

func (t *itemTable) add(row *itemRow) {
	if n := len(t.items); n > 0 && t.items[n-1].row == row.Row {
		return // another epoch
	}
	one := item{row: row.Row, key: hash16(row.ID), prompt: hash64(row.PromptHash), category: -1, dataset: -1}
	if row.Target != nil {
		one.target = hash64(*row.Target)
	}
	if row.Category != nil {
		one.category = t.categoryOf(*row.Category)
	}
	if row.Cluster != nil {
		one.cluster = hash64(*row.Cluster)
	}
	if row.Dataset != nil && *row.Dataset != "" {
		one.dataset = int32(slices.Index(t.datasets, *row.Dataset))
		if one.dataset < 0 {
			one.dataset = int32(len(t.datasets))
			t.datasets = append(t.datasets, *row.Dataset)
		}
	}
	t.items = append(t.items, one)
}

func (t *itemTable) categoryOf(name string) int32 {
	i, ok := t.byName[name]
	if !ok {
		i = int32(len(t.categories))
		t.byName[name] = i
		t.categories = append(t.categories, name)
	}
	return i
}

// merge adds the items of another model that are not there yet.
func (t *itemTable) merge(more *itemTable) {
	if len(t.items) == 0 {
		t.items = more.items
		return
	}
	known := t.items // sorted; what is added goes behind it
	for i, one := range more.items {
		if i < len(known) && known[i].row == one.row {
			continue
		}
		if _, ok := slices.BinarySearchFunc(known, one.row, byRow); !ok {
			t.items = append(t.items, one)
		}
	}
	if len(t.items) > len(known) {
		slices.SortFunc(t.items, func(a, b item) int { return byRow(a, b.row) })
	}
}

func byRow(one item, row int64) int { return cmp.Compare(one.row, row) }

// forget leaves of the items what is needed once they are aligned.
func (t *itemTable) forget() {
	t.rows = make([]int64, len(t.items))
	for i := range t.items {
		t.rows[i] = t.items[i].row
	}
	t.items = nil
}

// find returns the place of a dataset row, once items are aligned. hint is where it is
// likely to be.
func (t *itemTable) find(row int64, hint int) (int, bool) {
	if hint >= 0 && hint < len(t.rows) && t.rows[hint] == row {
		return hint, true
	}
	return slices.BinarySearch(t.rows, row)
}

func hash16(s string) (h [16]byte) {
	sum := sha256.Sum256([]byte(s))
	copy(h[:], sum[:])
	return h
}

func hash64(s string) uint64 {
	sum := sha256.Sum256([]byte(s))
	return binary.BigEndian.Uint64(sum[:])
}

// loadColumns reads answers and scores into the columns.
func (m *matrix) loadColumns() error {
	var tasks []func() error
	for _, c := range m.columns {
		c.allocate(m.items, len(m.scorers))
		tasks = append(tasks, c.loadFacts)
	}
	for _, r := range m.runs {
		for i, s := range m.scorers {
			if s.Type == Pairwise {
				continue
			}
			tasks = append(tasks, func() error { return m.loadScores(r, i, s) })
		}
	}
	return parallel(tasks)
}

func (c *column) allocate(items, scorers int) {
	c.kind = make([]answerKind, items*c.epochs)
	c.cost, c.latency = make([]float64, items), make([]float64, items)
	for i := range scorers {
		c.scores = append(c.scores, make([]float64, items*c.epochs))
		c.status = append(c.status, make([]scoreState, items*c.epochs))
		c.answers = append(c.answers, nil)
		c.parts = append(c.parts, partColumns{})
		for j := range c.scores[i] {
			c.scores[i][j] = math.NaN()
		}
	}
}

func (c *column) loadFacts() error {
	hint := 0
	for row, err := range view.Rows[factRow](c.run.dir, view.ReadOptions{Models: []string{c.Model}}) {
		if err != nil {
			return err
		}
		at, ok := c.run.table.find(row.Row, hint)
		if !ok {
			continue // written since the items were read
		}
		hint = at
		if int(row.Epoch) == c.epochs-1 {
			hint++
		}
		if int(row.Epoch) < c.epochs {
			c.take(&row, int(c.run.items[at]))
		}
	}
	return nil
}

// take adds one record to the column.
func (c *column) take(row *factRow, item int) {
	outcome := nightshift.Outcome(row.Outcome)
	kind := kindOf(outcome)
	c.kind[item*c.epochs+int(row.Epoch)] = kind
	if row.ServedModel != nil {
		c.Served[*row.ServedModel]++
	}
	switch reason := view.Value(row.StopReason); {
	case kind == failed:
		c.Stops.Reasons["error"]++
	case reason == "":
		c.Stops.Reasons["unknown"]++
	default:
		c.Stops.Reasons[reason]++
	}
	atCap := c.cap > 0 && view.Value(row.Output) >= c.cap
	silent := kind == empty && view.Value(row.Reasoning) > 0
	if kind != truncated && kind != failed && (atCap || silent) {
		c.Stops.Suspect++
	}
	c.takeCost(row, item, outcome)
	if row.Latency != nil && outcome.Answered() {
		c.latency[item] += *row.Latency
		c.latencies.Add(*row.Latency)
	}
	addKnown(&c.Tokens.Input, row.Input)
	addKnown(&c.Tokens.CacheRead, row.CacheRead)
	addKnown(&c.Tokens.CacheWrite, row.CacheWrite5m)
	addKnown(&c.Tokens.CacheWrite, row.CacheWrite1h)
	addKnown(&c.Tokens.Output, row.Output)
	addKnown(&c.Tokens.Reasoning, row.Reasoning)
	c.started, c.finished = view.Earlier(c.started, row.Started), view.Later(c.finished, row.Finished)
}

func (c *column) takeCost(row *factRow, item int, outcome nightshift.Outcome) {
	unknown := outcome.Answered() && (row.Cost == nil || row.ReusedFrom != nil && row.ReusedCost == nil)
	if unknown {
		c.NoCost++
		c.cost[item] = math.NaN()
	}
	cost := view.Value(row.Cost) + view.Value(row.ReusedCost)
	c.Cost.add(cost, unknown || row.MaybeBilled)
	c.cost[item] += float64(cost) / 1e9
}

func kindOf(o nightshift.Outcome) answerKind {
	switch o {
	case nightshift.OutcomeOK:
		return completed
	case nightshift.OutcomeTruncated:
		return truncated
	case nightshift.OutcomeRefused:
		return refused
	case nightshift.OutcomeEmpty:
		return empty
	}
	return failed
}

// loadScores reads one score table into the columns of its run.
func (m *matrix) loadScores(r *comparedRun, scorer int, d scoring.Described) error {
	d = r.own[d.Name]
	in := scoreReader{run: r, columns: map[string]*column{}, scorer: scorer}
	for _, c := range m.columns {
		if c.run == r {
			in.columns[c.Model] = c
		}
	}
	var err error
	if wantsAnswers(r, d) {
		err = in.answered(view.ScoreRows[answeredRow](r.dir, d.Table()))
	} else {
		err = in.plain(view.ScoreRows[scoreRow](r.dir, d.Table()))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return incomparable("%s has no score table of %s; nightshift score %[1]s writes it", r.called, d.Name)
	}
	return err
}
