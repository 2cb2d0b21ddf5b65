package reports

import (
	"cmp"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/providers/pricing"
	"nightshift/runner/store/view"
)

// A Bill is what runs used and cost, from their files alone. Every attempt
// that used tokens is in it once; money is in whole billionths of a dollar.
// What is not known is counted, never taken for 0.
type Bill struct {
	Sources []string   `json:"sources"` // as given: run directories and files
	By      []string   `json:"by"`      // what the lines are grouped by
	Prices  string     `json:"prices"`  // "as recorded", or the id of the table it was priced again with
	Lines   []billLine `json:"lines"`
	Models  entry      `json:"models"` // the sum of the lines
	// Judges are the requests that scorers sent, a line for each judge's run.
	Judges []billLine `json:"judges,omitempty"`
	// Unsettled is what was spent on rows that have no record yet.
	Unsettled *entry `json:"unsettled,omitempty"`
	// Extras are answers of batches for rows that had one already. They are in
	// Unsettled.
	Extras       int64 `json:"extras,omitempty"`
	ExtraNanoUSD int64 `json:"extra_cost_nano_usd,omitempty"`

	Total      entry        `json:"total"`
	Projection []projection `json:"projection,omitempty"`
	Damage     []string     `json:"damage,omitempty"` // Parquet files that could not be read: their rows are not in it
}

// A billLine is one group of a Bill.
type billLine struct {
	Key []string `json:"key"` // one value for each word of Bill.By
	entry
}

// An entry is tokens and money. The token classes are disjoint; reasoning
// lies inside output.
type entry struct {
	Rows       int64 `json:"rows"`
	Attempts   int64 `json:"attempts"`
	Input      int64 `json:"input_tokens"` // neither read from nor written to a cache
	CacheRead  int64 `json:"cache_read_tokens"`
	CacheWrite int64 `json:"cache_write_tokens"`
	Output     int64 `json:"output_tokens"`
	Reasoning  int64 `json:"reasoning_tokens"`
	Searches   int64 `json:"searches,omitempty"`

	CostNanoUSD int64   `json:"cost_nano_usd"`
	CostUSD     float64 `json:"cost_usd"`
	// NoUsage counts attempts that were, or may have been, billed and reported
	// no usage or only a part of it; NoPrice those with usage and no price.
	// With either, the cost is a lower bound.
	NoUsage int64 `json:"attempts_without_usage"`
	NoPrice int64 `json:"attempts_without_price"`
	// AtMostNanoUSD bounds the cost from above; null where nothing does.
	AtMostNanoUSD *int64 `json:"at_most_nano_usd"`

	// What providers themselves stated, and for how many attempts.
	ReportedNanoUSD  int64 `json:"reported_nano_usd"`
	ReportedAttempts int64 `json:"reported_attempts"`
	// SavedNanoUSD is what caching saved against the same tokens without a
	// cache, where the price is known; negative where writing cost more than
	// reading saved.
	SavedNanoUSD int64 `json:"saved_nano_usd"`
	// MissedNanoUSD is what was paid beyond the price of cache reads for tokens that
	// should have been in the cache, CacheMisses for how many attempts.
	MissedNanoUSD int64 `json:"missed_nano_usd,omitempty"`
	CacheMisses   int64 `json:"cache_misses,omitempty"`
	// BatchAttempts travelled in batches. BatchSavedNanoUSD is what that saved
	// against the live price, where both prices are known.
	BatchAttempts     int64 `json:"batch_attempts,omitempty"`
	BatchSavedNanoUSD int64 `json:"batch_saved_nano_usd,omitempty"`
	// Reused rows have the answer of another run, which paid ReusedNanoUSD for
	// them as far as that is known: CostNanoUSD does not hold it.
	Reused        int64 `json:"reused,omitempty"`
	ReusedNanoUSD int64 `json:"reused_cost_nano_usd,omitempty"`
}

// AtLeast reports whether the cost is a lower bound.
func (e entry) AtLeast() bool { return e.NoUsage+e.NoPrice > 0 }

// Cost is the known cost.
func (e entry) Cost() nightshift.NanoUSD { return nightshift.NanoUSD(e.CostNanoUSD) }

func (e *entry) add(o *entry) {
	e.Rows += o.Rows
	e.Attempts += o.Attempts
	e.Input += o.Input
	e.CacheRead += o.CacheRead
	e.CacheWrite += o.CacheWrite
	e.Output += o.Output
	e.Reasoning += o.Reasoning
	e.Searches += o.Searches
	e.CostNanoUSD += o.CostNanoUSD
	e.NoUsage += o.NoUsage
	e.NoPrice += o.NoPrice
	e.ReportedNanoUSD += o.ReportedNanoUSD
	e.ReportedAttempts += o.ReportedAttempts
	e.SavedNanoUSD += o.SavedNanoUSD
	e.MissedNanoUSD += o.MissedNanoUSD
	e.CacheMisses += o.CacheMisses
	e.BatchAttempts += o.BatchAttempts
	e.BatchSavedNanoUSD += o.BatchSavedNanoUSD
	e.Reused += o.Reused
	e.ReusedNanoUSD += o.ReusedNanoUSD
	e.addMost(o.AtMostNanoUSD)
}

// addMost adds upper bounds; no bound stays none.
func (e *entry) addMost(most *int64) {
	if e.AtMostNanoUSD == nil || most == nil {
		e.AtMostNanoUSD = nil
		return
	}
	*e.AtMostNanoUSD += *most
}

func newEntry() *entry { return &entry{AtMostNanoUSD: new(int64)} }

// closed returns the entry as it goes into a bill.
func (e *entry) closed() entry {
	c := *e
	c.CostUSD = c.Cost().Dollars()
	if e.AtMostNanoUSD != nil {
		most := *e.AtMostNanoUSD
		c.AtMostNanoUSD = &most
	}
	return c
}

// A projection is what the rows of one model that are not on record yet will
// cost if they are like those that are.
type projection struct {
	Run     string  `json:"run"`
	Model   string  `json:"model"`
	Rows    int64   `json:"rows_left"`
	CostUSD float64 `json:"cost_usd"`
	LowUSD  float64 `json:"low_usd"` // 95 % of the time between these two
	HighUSD float64 `json:"high_usd"`
	AtLeast bool    `json:"at_least"` // the rows on record have unknown costs
}

// Dimensions are the words that a bill can be grouped by.
var Dimensions = []string{"model", "endpoint", "category", "outcome", "stop_reason", "hour", "attempt", "mode",
	"served_model", "worker", "prefix", "dataset", "variant", "variant_of", "run"}

// Modes of attempts, the values of the dimension "mode".
const (
	modeLive  = "live"
	modeBatch = "batch"
)

// Kinds of attempts, the values of the dimension "attempt".
const (
	kindAnswer = "answer" // brought the answer on record
	kindRetry  = "retry"  // brought none, for a row that was answered in the end
	kindWasted = "wasted" // for a row without an answer
	kindJudge  = "judge"  // sent by a scorer
	kindReused = "reused" // nothing was sent: the answer is another run's
)

// billedRow is what both a bill and a summary read of a Record.
type billedRow struct {
	Model              string   `parquet:"model,dict"`
	Endpoint           string   `parquet:"endpoint,dict"`
	RequestedModel     string   `parquet:"requested_model,dict"`
	ServedModel        *string  `parquet:"served_model,optional,dict"`
	Outcome            string   `parquet:"outcome,dict"`
	StopReason         *string  `parquet:"stop_reason,optional,dict"`
	InputTokens        *int64   `parquet:"input_tokens,optional"`
	CacheReadTokens    *int64   `parquet:"cache_read_tokens,optional"`
	CacheWrite5mTokens *int64   `parquet:"cache_write_5m_tokens,optional"`
	CacheWrite1hTokens *int64   `parquet:"cache_write_1h_tokens,optional"`
	OutputTokens       *int64   `parquet:"output_tokens,optional"`
	ReasoningTokens    *int64   `parquet:"reasoning_tokens,optional"`
	CostNanoUSD        *int64   `parquet:"cost_nano_usd,optional"`
	ReportedCostUSD    *float64 `parquet:"reported_cost_usd,optional"`
	MaybeBilled        bool     `parquet:"maybe_billed"`
	Attempts           int32    `parquet:"attempts"`
	AttemptLog         *string  `parquet:"attempt_log,optional" texts:"passing"`
	ReusedFrom         *string  `parquet:"reused_from,optional,dict"`
	ReusedCostNanoUSD  *int64   `parquet:"reused_cost_nano_usd,optional"`

	looked bool // the log was looked through
	names  logNames
}

// logNames are what the log of a row names somewhere. Most logs name nothing of it
// and need not be parsed.
type logNames struct {
	batch, class, searches, worker bool
	expected                       int64  // tokens that should have been in the prompt cache; of several the most
	prefix                         string // that the first of its attempts shared with other rows
}

// says is what the row's log names. The log is looked through once.
func (r *billedRow) says() logNames {
	if !r.looked && r.AttemptLog != nil {
		r.names = namesIn(*r.AttemptLog)
	}
	r.looked = true
	return r.names
}

// namesIn finds the names by letters of theirs that logs have few of: a search for
// each name takes ten times as long, and was an eighth of the time of a report.
func namesIn(log string) (names logNames) {
	for at := range occurrences(log, 'c') {
		names.batch = names.batch || stands(log, at-4, `"batch":"`)
		names.class = names.class || stands(log, at-1, `"class"`)
		if stands(log, at-5, `"expected_read":`) {
			names.expected = max(names.expected, leadingNumber(log[at-5+len(`"expected_read":`):]))
		}
		names.searches = names.searches || stands(log, at-5, `"searches"`)
	}
	for at := range occurrences(log, 'w') {
		names.worker = names.worker || stands(log, at-1, `"worker":"`)
	}
	for at := range occurrences(log, 'x') {
		if stands(log, at-6, `"prefix":"`) && names.prefix == "" {
			names.prefix, _, _ = strings.Cut(log[at-6+len(`"prefix":"`):], `"`)
		}
	}
	return names
}

// occurrences yields where a letter is.
func occurrences(s string, letter byte) iter.Seq[int] {
	return func(yield func(int) bool) {
		for at := 0; ; at++ {
			n := strings.IndexByte(s[at:], letter)
			if n < 0 {
				return
			}
			if at += n; !yield(at) {
				return
			}
		}
	}
}

// stands reports whether a name is at a place of s, which may be before its first.
func stands(s string, at int, name string) bool {
	return at >= 0 && strings.HasPrefix(s[at:], name)
}

// inBatches reports whether an attempt of the row travelled in a batch.
func (r *billedRow) inBatches() bool { return r.says().batch }

// missed reports whether the row may have missed what should have been in the
// prompt cache; the log says it.
func (r *billedRow) missed() bool { return fellShort(view.Value(r.CacheReadTokens), r.says().expected) }

func leadingNumber(s string) (n int64) {
	for i := 0; i < len(s) && '0' <= s[i] && s[i] <= '9' && n < 1<<50; i++ {
		n = n*10 + int64(s[i]-'0')
	}
	return n
}

// fellShort reports whether so little was read from the cache that the prefix was
// not in it: at most a shorter one within it. Half leaves room for estimates.
func fellShort(read, expected int64) bool { return read*2 < expected }

// billRow is what a bill reads of a Record.
type billRow struct {
	billedRow
	Category *string `parquet:"category,optional,dict"`
	// These are missing from older runs.
	Variant   *string `parquet:"variant,optional,dict"`
	VariantOf *string `parquet:"variant_of,optional,dict"`
	Dataset   *string `parquet:"dataset,optional,dict"`
}

func (r *billRow) answered() bool { return nightshift.Outcome(r.Outcome).Answered() }

// simple reports whether the columns say all that the one attempt's log does,
// but for what a cache saved, and what it may be priced with.
func (r *billRow) simple() bool {
	known := r.CostNanoUSD != nil || r.InputTokens != nil && r.OutputTokens != nil
	return r.Attempts == 1 && known && r.ReusedFrom == nil && !r.MaybeBilled && r.ReportedCostUSD == nil &&
		!r.inBatches() && !r.missed()
}

func (r *billRow) cached() bool {
	return !zero(r.CacheReadTokens) || !zero(r.CacheWrite5mTokens) || !zero(r.CacheWrite1hTokens)
}

// plain reports whether a row can be billed without its log. What a cache
// saved follows from the columns when they lead to the recorded cost, so that
// no service tier or region can have changed the price.
func (b *biller) plain(r *billRow) bool {
	switch {
	case !r.simple():
		return false
	case r.CostNanoUSD == nil:
		return b.price(r, "") == nil && !r.says().searches
	case !r.cached():
		return true
	}
	price := b.price(r, "")
	if price == nil {
		return true
	}
	cost, ok := pricing.Cost(*price, r.asAttempt().Usage)
	return ok && int64(cost) == *r.CostNanoUSD
}

func zero(n *int64) bool { return n == nil || *n == 0 }

// simpleEntry is the bill of a simple row.
func (r *billRow) simpleEntry() entry {
	e := entry{
		Rows: 1, Attempts: 1, Input: view.Value(r.InputTokens), Output: view.Value(r.OutputTokens),
		Reasoning:   view.Value(r.ReasoningTokens),
		CacheRead:   view.Value(r.CacheReadTokens),
		CacheWrite:  view.Value(r.CacheWrite5mTokens) + view.Value(r.CacheWrite1hTokens),
		CostNanoUSD: view.Value(r.CostNanoUSD), AtMostNanoUSD: r.CostNanoUSD,
	}
	if r.CostNanoUSD == nil {
		e.NoPrice = 1
	}
	return e
}

// saved is what a cache saved on a plain row.
func (b *biller) saved(r *billRow) int64 {
	price := b.price(r, "")
	if price == nil {
		return 0
	}
	saved, _ := pricing.Saved(*price, r.asAttempt().Usage)
	return int64(saved)
}

// tokens is a count from a nullable number.
func tokens(n *int64) nightshift.Count {
	if n == nil {
		return nightshift.Count{}
	}
	return nightshift.Tokens(*n)
}

// log reads the attempts. ok is false when there should be some and they
// cannot be read.
func (r *billRow) log() (attempts []nightshift.Attempt, ok bool) {
	if r.AttemptLog == nil {
		return nil, r.Attempts == 0
	}
	attempts, err := attemptlog.Parse(*r.AttemptLog)
	return attempts, err == nil
}

// A RunPrice is the price of a model as run.json keeps it, so that a bill can
// be explained from the run's own files.
type RunPrice struct {
	List  string         `json:"list,omitempty"` // whose price list the model is looked up in
	ID    string         `json:"id,omitempty"`
	Price *pricing.Price `json:"price,omitempty"`
}

// A biller makes a bill of rows.
type biller struct {
	by     []string
	table  *pricing.Table // nil: as recorded
	recall map[string]RunPrice
	run    string
	judge  bool
	found  map[priceKey]*pricing.Price // nil where none is known
	lines  map[string]*billLine
	models map[string]*costSpread // of the run in hand
	simple map[lineKey]*billLine
	// What was found last is often asked for again.
	priced     bool
	priceKey   priceKey
	lastPrice  *pricing.Price
	last       *billLine // of the simple row before
	lastKey    lineKey
	lastModel  string
	lastSpread *costSpread
	logOnly    bool // the log must be read of every row
	late       view.LateAnswers
}

type priceKey struct{ model, endpoint, requested, served string }

// lineKey finds the line of a simple row without building its key.
type lineKey struct{ model, endpoint, outcome, stop, category, served string }

// A costSpread is what a projection needs of one model's rows.
type costSpread struct {
	rows    int64
	reused  int64 // of rows; those that remain are sent, so these say nothing of their cost
	sum     int64 // nano-dollars, of the others
	squares squares
	atLeast bool
}

// squares is a sum of squares of whole numbers, of 128 bits: floats would add up to
// something else in another order.
type squares struct{ high, low uint64 }

func (s *squares) add(o squares) {
	low, carry := bits.Add64(s.low, o.low, 0)
	s.high, s.low = s.high+o.high+carry, low
}

// square is the square of n, which is not negative.
func square(n int64) (s squares) {
	s.high, s.low = bits.Mul64(uint64(n), uint64(n))
	return s
}

// over is the sum in squares of a larger unit.
func (s squares) over(unit float64) float64 {
	return (float64(s.high)*(1<<64) + float64(s.low)) / unit / unit
}

func newBiller(by []string, table *pricing.Table) *biller {
	return &biller{
		by: by, table: table, found: map[priceKey]*pricing.Price{}, lines: map[string]*billLine{},
		models: map[string]*costSpread{}, simple: map[lineKey]*billLine{},
		logOnly: table != nil || slices.Contains(by, "hour") || slices.Contains(by, "worker") ||
			slices.Contains(by, "prefix"),
	}
}

// begin starts another run.
func (b *biller) begin(run string, prices map[string]RunPrice, judge bool) {
	b.run, b.recall, b.judge = run, prices, judge
	b.found = map[priceKey]*pricing.Price{}
	b.simple, b.last, b.priced = map[lineKey]*billLine{}, nil, false
	b.models, b.lastSpread = map[string]*costSpread{}, nil
	b.late = view.LateAnswers{}
}

// settleLate reads what late answers say of the attempts of the run in hand.
func (b *biller) settleLate(dir string) (err error) {
	b.late, err = view.Late(dir)
	return err
}

// likewise returns an empty biller for rows of the same run.
func (b *biller) likewise() *biller {
	own := newBiller(b.by, b.table)
	own.begin(b.run, b.recall, b.judge)
	own.late = b.late
	return own
}

// add bills one row and returns its part of the bill.
func (b *biller) add(r *billRow) (sum entry) {
	if !b.logOnly && b.plain(r) {
		sum = r.simpleEntry()
		if r.cached() {
			sum.Input = max(sum.Input-sum.CacheRead-sum.CacheWrite, 0)
			sum.SavedNanoUSD = b.saved(r)
		}
		b.simpleLine(r).add(&sum)
	} else {
		sum.AtMostNanoUSD = new(int64)
		b.addLog(r, &sum)
	}
	b.spread(r.Model, &sum)
	return sum
}

func (b *biller) spread(model string, e *entry) {
	if b.lastSpread == nil || model != b.lastModel {
		if b.models[model] == nil {
			b.models[model] = &costSpread{}
		}
		b.lastModel, b.lastSpread = model, b.models[model]
	}
	s := b.lastSpread
	s.rows++
	s.reused += e.Reused
	if e.Reused > 0 {
		return
	}
	s.sum += e.CostNanoUSD
	s.squares.add(square(e.CostNanoUSD))
	s.atLeast = s.atLeast || e.AtLeast()
}

func (b *biller) simpleLine(r *billRow) *entry {
	key := lineKey{r.Model, r.Endpoint, r.Outcome, view.Value(r.StopReason), view.Value(r.Category),
		view.Value(r.ServedModel)}
	if b.last != nil && key == b.lastKey {
		return &b.last.entry
	}
	l, ok := b.simple[key]
	defer func() { b.last, b.lastKey = l, key }()
	if !ok {
		kind := kindWasted
		if r.answered() {
			kind = kindAnswer
		}
		l = b.line(r, sending{kind: b.kind(kind), served: view.Value(r.ServedModel)})
		b.simple[key] = l
	}
	return &l.entry
}

func (b *biller) kind(kind string) string {
	if b.judge {
		return kindJudge
	}
	return kind
}

// addLog bills the attempts of a row one by one.
func (b *biller) addLog(r *billRow, sum *entry) {
	attempts, ok := r.log()
	if !ok {
		attempts = []nightshift.Attempt{r.asAttempt()}
	}
	attempts = b.late.Settle(attempts)
	first := true
	if r.ReusedFrom != nil {
		e := entry{Rows: 1, Reused: 1, ReusedNanoUSD: view.Value(r.ReusedCostNanoUSD), AtMostNanoUSD: new(int64)}
		b.line(r, sending{kind: b.kind(kindReused), served: view.Value(r.ServedModel)}).add(&e)
		sum.add(&e)
		first = false
	}
	for i := range attempts {
		a := &attempts[i]
		e := b.attempt(r, a)
		l := b.line(r, sending{b.kind(attemptKind(r, a)), a.Batch != "", a.StartedAt,
			cmp.Or(a.ServedModel, view.Value(r.ServedModel)), workerOf(a), prefixOf(a)})
		if first {
			e.Rows = 1
			first = false
		}
		l.add(&e)
		sum.add(&e)
	}
	if first { // nothing was sent
		e := entry{Rows: 1, AtMostNanoUSD: new(int64)}
		b.line(r, sending{kind: b.kind(kindWasted)}).add(&e)
		sum.add(&e)
	}
}

// asAttempt stands for a log that cannot be read: the row's own sums.
func (r *billRow) asAttempt() nightshift.Attempt {
	a := nightshift.Attempt{N: 1, MaybeBilled: r.MaybeBilled}
	if r.CostNanoUSD != nil {
		cost := nightshift.NanoUSD(*r.CostNanoUSD)
		a.Cost = &cost
	}
	u := nightshift.Usage{
		CacheRead: tokens(r.CacheReadTokens), CacheWrite5m: tokens(r.CacheWrite5mTokens),
		CacheWrite1h: tokens(r.CacheWrite1hTokens),
		Output:       tokens(r.OutputTokens), Reasoning: tokens(r.ReasoningTokens),
	}
	if r.InputTokens != nil {
		u.Input = nightshift.Tokens(max(*r.InputTokens-u.CacheRead.N()-u.CacheWrite5m.N()-u.CacheWrite1h.N(), 0))
	}
	a.Usage = u
	return a
}

func attemptKind(r *billRow, a *nightshift.Attempt) string {
	switch {
	case !r.answered():
		return kindWasted
	case a.Class == "":
		return kindAnswer
	}
	return kindRetry
}

// attempt bills one attempt.
func (b *biller) attempt(r *billRow, a *nightshift.Attempt) entry {
	u := a.Usage
	e := entry{
		Attempts: 1, Input: u.Input.N(), CacheRead: u.CacheRead.N(), CacheWrite: u.CacheWrite5m.N() + u.CacheWrite1h.N(),
		Output: u.Output.N(), Reasoning: u.Reasoning.N(), Searches: u.Searches.N(),
	}
	if a.Batch != "" {
		e.BatchAttempts = 1
	}
	if u.Reported != nil {
		e.ReportedNanoUSD, e.ReportedAttempts = int64(*u.Reported), 1
	}
	whole := u.InputTotal().Known() && u.Output.Known()
	billed := a.Class == "" || a.MaybeBilled || u.Known()
	if !billed {
		e.AtMostNanoUSD = new(int64)
		return e
	}
	cost, priced := b.cost(r, a, &e)
	if a.Batch != "" && priced {
		e.BatchSavedNanoUSD = b.savedInBatch(r, a, cost)
	}
	if a.MaybeBilled || !whole {
		e.NoUsage = 1
	} else if !priced {
		e.NoPrice = 1
	}
	e.CostNanoUSD = int64(cost)
	e.AtMostNanoUSD = bound(e, a, cost, priced)
	return e
}

// savedInBatch is what an attempt that cost so much would have cost more live,
// and 0 where that is not known.
func (b *biller) savedInBatch(r *billRow, a *nightshift.Attempt, cost nightshift.NanoUSD) int64 {
	price := b.price(r, a.ServedModel)
	if price == nil {
		return 0
	}
	live := a.Usage
	live.ServiceTier = ""
	whole, ok := pricing.Cost(*price, live)
	if !ok {
		return 0
	}
	return int64(whole - cost)
}

// bound is the most that an attempt can have cost, nil when nothing says.
func bound(e entry, a *nightshift.Attempt, cost nightshift.NanoUSD, priced bool) *int64 {
	most := int64(cost)
	switch {
	case e.NoUsage > 0 && a.WorstCost > 0:
		most = max(most, int64(a.WorstCost))
	case e.NoUsage > 0, !priced:
		return nil
	}
	return &most
}

// cost prices an attempt: with the table when there is one, else as recorded.
// Usage of an attempt that was cut is priced for what it says: a lower bound.
func (b *biller) cost(r *billRow, a *nightshift.Attempt, e *entry) (cost nightshift.NanoUSD, priced bool) {
	price := b.price(r, a.ServedModel)
	if price != nil {
		if saved, ok := pricing.Saved(*price, a.Usage); ok {
			e.SavedNanoUSD = int64(saved)
		}
		b.countMiss(price, a, e)
	}
	if b.table == nil && a.Cost != nil && (*a.Cost > 0 || !a.Usage.Known()) {
		return *a.Cost, true
	}
	if price == nil {
		if b.table == nil && a.Cost != nil {
			return *a.Cost, true
		}
		return 0, false
	}
	u := a.Usage
	if !u.Output.Known() && u.InputTotal().Known() {
		u.Output = nightshift.Tokens(0)
	}
	if !u.InputTotal().Known() && u.Output.Known() {
		u.Input = nightshift.Tokens(0)
	}
	cost, priced = pricing.Cost(*price, u)
	return cost, priced
}

// countMiss adds what an attempt cost more because the cache did not have its
// prefix.
func (b *biller) countMiss(price *pricing.Price, a *nightshift.Attempt, e *entry) {
	hit, missed := missed(a)
	if !missed {
		return
	}
	e.CacheMisses = 1
	real, ok := pricing.Cost(*price, a.Usage)
	if could, ok2 := pricing.Cost(*price, hit); ok && ok2 {
		e.MissedNanoUSD = int64(real - could)
	}
}

// price finds the price of an attempt that a model answered, by default the one of
// the row; nil when it is not known.
func (b *biller) price(r *billRow, served string) *pricing.Price {
	served = cmp.Or(served, view.Value(r.ServedModel))
	key := priceKey{r.Model, r.Endpoint, r.RequestedModel, served}
	if b.priced && key == b.priceKey {
		return b.lastPrice
	}
	p, ok := b.found[key]
	if !ok {
		p = b.lookup(r, served)
		b.found[key] = p
	}
	b.priced, b.priceKey, b.lastPrice = true, key, p
	return p
}

func (b *biller) lookup(r *billRow, served string) *pricing.Price {
	own := b.recall[r.Model]
	if b.table == nil {
		if own.Price != nil {
			return own.Price
		}
		return find(pricing.Embedded(), own.List, r, served)
	}
	return find(b.table, own.List, r, served)
}

// find looks a model up in the list of its run, else of its endpoint, else in
// all.
func find(t *pricing.Table, list string, r *billRow, served string) *pricing.Price {
	if list == "" && t.Has(r.Endpoint) {
		list = r.Endpoint
	}
	p, _, ok := t.Lookup(list, r.RequestedModel, served)
	if !ok && list != "" && !t.Has(list) {
		p, _, ok = t.Lookup("", r.RequestedModel, served)
	}
	if !ok {
		return nil
	}
	return &p
}

// A sending is what the line of an attempt depends on, beside its row.
type sending struct {
	kind   string
	batch  bool
	at     time.Time
	served string
	worker string
	prefix string
}

// line finds or makes the line of an attempt.
func (b *biller) line(r *billRow, s sending) *billLine {
	key := make([]string, len(b.by))
	for i, word := range b.by {
		key[i] = b.value(word, r, s)
	}
	name := strings.Join(key, "\x00")
	l, ok := b.lines[name]
	if !ok {
		l = &billLine{Key: key, entry: entry{AtMostNanoUSD: new(int64)}}
		b.lines[name] = l
	}
	return l
}

const unknownValue = "unknown"

func (b *biller) value(word string, r *billRow, s sending) string {
	switch word {
	case "model":
		return r.Model
	case "endpoint":
		return r.Endpoint
	case "category":
		return cmp.Or(view.Value(r.Category), "none")
	case "dataset":
		return cmp.Or(view.Value(r.Dataset), "none")
	case "variant":
		return cmp.Or(view.Value(r.Variant), "none")
	case "variant_of":
		return cmp.Or(view.Value(r.VariantOf), r.Model)
	case "outcome":
		return r.Outcome
	case "stop_reason":
		return cmp.Or(view.Value(r.StopReason), "none")
	case "hour":
		if s.at.IsZero() {
			return unknownValue
		}
		return s.at.UTC().Format("2006-01-02 15:00")
	case "attempt":
		return s.kind
	case "mode":
		if s.batch {
			return modeBatch
		}
		return modeLive
	case "served_model":
		return cmp.Or(s.served, unknownValue)
	case "worker":
		return cmp.Or(s.worker, "none")
	case "prefix":
		return cmp.Or(s.prefix, "none")
	case "run":
		return b.run
	}
	return ""
}

// prefixOf names what an attempt shared with others; empty for nothing.
func prefixOf(a *nightshift.Attempt) string {
	if a.Cache == nil {
		return ""
	}
	return a.Cache.Prefix
}

// missed is the usage of an attempt as it would have been, had the cache had what
// it should have had; ok is false where it had, or where that is not told.
func missed(a *nightshift.Attempt) (u nightshift.Usage, ok bool) {
	u = a.Usage
	if a.Cache == nil || !fellShort(u.CacheRead.N(), a.Cache.Expected) || !u.InputTotal().Known() {
		return u, false
	}
	left := a.Cache.Expected - u.CacheRead.N()
	for _, class := range []*nightshift.Count{&u.CacheWrite5m, &u.CacheWrite1h, &u.Input} {
		n := min(left, class.N())
		if n > 0 {
			*class = nightshift.Tokens(class.N() - n)
			u.CacheRead = u.CacheRead.Add(nightshift.Tokens(n))
		}
		left -= n
	}
	return u, true
}

// workerOf names the worker that made an attempt: empty where the run's own
// process did, and unknown where it was lost before its worker was known.
func workerOf(a *nightshift.Attempt) string {
	if a.Worker == "" && strings.HasPrefix(a.Job, nightshift.WorkerJob) {
		return unknownValue
	}
	return a.Worker
}

// sorted returns the lines: hours and kinds in their own order, the others by
// cost.
func (b *biller) sorted() []billLine {
	lines := make([]billLine, 0, len(b.lines))
	for _, l := range b.lines {
		lines = append(lines, billLine{l.Key, l.closed()})
	}
	slices.SortFunc(lines, func(x, y billLine) int {
		if slices.Contains(b.by, "hour") || slices.Contains(b.by, "attempt") {
			return slices.Compare(x.Key, y.Key)
		}
		return cmp.Or(cmp.Compare(y.CostNanoUSD, x.CostNanoUSD), slices.Compare(x.Key, y.Key))
	})
	return lines
}

// project says what the rows of each model that are not on record will cost.
func (b *biller) project(models []string, items int64) []projection {
	var all []projection
	for _, m := range models {
		s := b.models[m]
		if s == nil || s.rows == s.reused || s.rows >= items {
			continue
		}
		left, n := float64(items-s.rows), float64(s.rows-s.reused)
		mean := float64(s.sum) / 1e9 / n
		variance := math.Max(s.squares.over(1e9)/n-mean*mean, 0) * n / math.Max(n-1, 1)
		// The costSpread of the rows to come, and of the mean they are judged by.
		half := 1.96 * math.Sqrt(variance*(left+left*left/n))
		all = append(all, projection{
			Run: b.run, Model: m, Rows: items - s.rows, CostUSD: left * mean,
			LowUSD: math.Max(left*mean-half, 0), HighUSD: left*mean + half, AtLeast: s.atLeast,
		})
	}
	return all
}

// CheckDimensions reports the first word that no bill can be grouped by.
func CheckDimensions(by []string) error {
	for _, word := range by {
		if !slices.Contains(Dimensions, word) {
			return fmt.Errorf("%q is none of %s", word, strings.Join(Dimensions, ", "))
		}
	}
	return nil
}

// merge adds what another biller of the same run found.
func (b *biller) merge(o *biller) {
	for name, l := range o.lines {
		if mine, ok := b.lines[name]; ok {
			mine.add(&l.entry)
		} else {
			b.lines[name] = l
		}
	}
	for name, s := range o.models {
		mine := b.models[name]
		if mine == nil {
			b.models[name] = s
			continue
		}
		mine.rows += s.rows
		mine.reused += s.reused
		mine.sum += s.sum
		mine.squares.add(s.squares)
		mine.atLeast = mine.atLeast || s.atLeast
	}
}
