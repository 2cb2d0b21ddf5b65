package session

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"sync"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/words"
	"nightshift/reports/scoring"
	"nightshift/runner"
	"nightshift/runner/plan"
	"nightshift/runner/store/view"
)

// A decider says in which order rows are sent, and when a model need send no more. What it
// decides by is the answers on record, taken in that order up to the first row
// that a model has none of, so that neither the pace of answers nor an interruption changes it.
// A nil decider lets all rows be sent in the dataset's order.
type decider struct {
	order  scoring.Order
	units  []int32 // by place
	places map[int64]int
	rule   scoring.StopRule
	alpha  float64 // of each comparison
	epochs int
	score  func(*nightshift.Record) nightshift.Score

	mu      sync.Mutex
	changed chan struct{} // closed when a model has got further, or ended
	models  map[string]*answers
	pairs   []*comparison
}

// answers are what a model has answered of an order.
type answers struct {
	sums     []float64 // by place, of the scores that have a value
	scored   []int
	recorded []int
	complete int           // rows from the first with all their answers
	ended    bool          // the pool has
	enough   chan struct{} // closed when no comparison needs more
	needed   bool
}

func (a *answers) value(place int) float64 {
	return a.sums[place] / float64(a.scored[place]) // 0/0 is NaN: no score
}

// gone reports whether the model's pool has ended before its rows.
func (a *answers) gone() bool { return a.ended && a.complete < len(a.recorded) }

// A comparison is of a model with another, as long as it needs more rows.
type comparison struct {
	model, other *answers
	open         bool
	next         int // rows after which it is looked at again, whatever the pace of answers
}

// newDecider finds the order of a run that may stop early; nil where it is no such run.
func (s *Session) newDecider(ctx context.Context) (*decider, error) {
	order, err := s.readOrder(ctx)
	if order == nil || err != nil {
		return nil, err
	}
	d := &decider{order: *order, units: order.Units(), places: make(map[int64]int, len(order.Rows)),
		rule: s.stopRule(), epochs: s.Plan.Epochs, changed: make(chan struct{}), models: map[string]*answers{}}
	for place, row := range order.Rows {
		d.places[row] = place
	}
	d.compare(s.Plan)
	if d.rule == (scoring.StopRule{}) {
		return d, nil
	}
	deciding := firstScorers(s.Plan)
	d.score = func(rec *nightshift.Record) nightshift.Score {
		by := deciding[view.Value(rec.Dataset)]
		one, _ := by.One(ctx, rec, by.score) // scorers of this kind have no errors
		return one
	}
	for _, by := range deciding {
		for one, err := range scoring.Scores(ctx, s.Plan.Out, by.Described, by.score) {
			if err != nil {
				return nil, err
			}
			if one.Status != nightshift.NotRun || !s.RetryFailed {
				d.take(&one)
			}
		}
	}
	d.look()
	return d, nil
}

// A firstScorer decides by the rows of one dataset.
type firstScorer struct {
	scoring.Described
	score scoring.Func
}

// firstScorers are those of each dataset, by its name; "" where there is one alone.
func firstScorers(p *plan.Resolved) map[string]firstScorer {
	first := map[string]firstScorer{}
	for _, name := range p.DatasetNames() {
		at := slices.IndexFunc(p.Scorers, func(s plan.ResolvedScorer) bool { return s.Scores(name) })
		one := firstScorer{scoring.Describe(p.Scorers[at].Scorer), scoring.Pure(p.Scorers[at].Scorer)}
		one.Datasets = []string{name}
		first[name] = one
	}
	if len(first) == 0 {
		first[""] = firstScorer{scoring.Describe(p.Scorers[0].Scorer), scoring.Pure(p.Scorers[0].Scorer)}
	}
	return first
}

// stopRule is what the run is to stop by in this start.
func (s *Session) stopRule() scoring.StopRule {
	if s.AllRows {
		return scoring.StopRule{}
	}
	return scoring.StopRule(s.Plan.Stopping)
}

// mostChunks is how many chunks may be open at once: rows of all of them come up
// everywhere in a random order.
const mostChunks = 200

// readOrder is the order that the run directory has, else a new one where the plan
// wants to stop early.
func (s *Session) readOrder(ctx context.Context) (*scoring.Order, error) {
	order, err := scoring.ReadOrder(s.Plan.Out)
	if err != nil || order != nil || s.Plan.Stopping == (plan.Stopping{}) {
		return order, err
	}
	chunks := 0
	for _, c := range s.Dataset.Chunks() {
		if c.Selected > 0 {
			chunks++
		}
	}
	if chunks > mostChunks {
		return nil, Usagef("a run that may stop early sends its rows in random order, and these %s rows are too many for "+
			"that; take a sample of them with --sample", words.Thousands(s.Dataset.Info().Selected))
	}
	drawn, err := s.drawOrder(ctx)
	if err != nil {
		return nil, err
	}
	return &drawn, drawn.WriteFile(s.Plan.Out)
}

// drawOrder draws a new order of the dataset's rows.
func (s *Session) drawOrder(ctx context.Context) (scoring.Order, error) {
	var rows []int64
	var prompts, clusters []uint64
	seed := maphash.MakeSeed()
	for i := range s.Dataset.Chunks() {
		for one, err := range s.RowsOf(s.Plan.Models[0].Name).Read(ctx, i) {
			var bad *datasets.RowError
			if err != nil && !errors.As(err, &bad) {
				return scoring.Order{}, err
			}
			prompt, cluster := uint64(0), uint64(0)
			if err == nil {
				prompt = maphash.String(seed, one.PromptHash())
			}
			if one.Cluster != "" {
				cluster = maphash.String(seed, one.Cluster)
			}
			rows, prompts, clusters = append(rows, one.Index), append(prompts, prompt), append(clusters, cluster)
		}
	}
	drawn := s.Plan.Dataset.Seed
	if parts := s.Plan.Dataset.Parts; parts != nil {
		drawn = parts[0].Spec.Seed
	}
	return scoring.NewOrder(drawn, rows, prompts, clusters)
}

// compare sets up which models are compared, as the report does it.
func (d *decider) compare(p *plan.Resolved) {
	var ways []scoring.Way
	baseline := 0
	for i, m := range p.Models {
		way := scoring.Way{Name: m.Name, Variant: m.Variant, VariantOf: m.VariantOf}
		if m.VariantOf == "" {
			way.VariantOf = m.Name
		}
		if m.Name == p.Baseline {
			baseline = i
		}
		n := len(d.order.Rows)
		ways = append(ways, way)
		d.models[m.Name] = &answers{sums: make([]float64, n), scored: make([]int, n), recorded: make([]int, n),
			enough: make(chan struct{}), needed: true}
	}
	for i, other := range scoring.Opponents(ways, baseline, p.Along) {
		if other >= 0 {
			d.pairs = append(d.pairs, &comparison{d.models[ways[i].Name], d.models[ways[other].Name], true, 1})
		}
	}
	// Bonferroni: all intervals hold together with probability 1-alpha, whenever each is
	// looked at, and so do the verdicts, which go by them.
	d.alpha = p.Alpha / float64(max(1, len(d.pairs)))
}

// Recorded takes a record that was put.
func (d *decider) Recorded(rec *nightshift.Record) {
	if d == nil || d.score == nil {
		return
	}
	one := d.score(rec)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.take(&one) {
		d.look()
	}
}

// take adds a score and reports whether its model has got further for it.
func (d *decider) take(s *nightshift.Score) bool {
	a, place := d.models[s.Model], d.places[s.Row]
	if a == nil || d.order.Rows[place] != s.Row {
		return false
	}
	a.recorded[place]++
	if s.Value != nil {
		a.sums[place] += *s.Value
		a.scored[place]++
	}
	before := a.complete
	for a.complete < len(a.recorded) && a.recorded[a.complete] >= d.epochs {
		a.complete++
	}
	return a.complete > before
}

// look closes comparisons that need no more rows, and says to all that wait that
// something has changed.
func (d *decider) look() {
	for _, c := range d.pairs {
		for n := min(c.model.complete, c.other.complete); c.open && c.next <= n; {
			c.open = !d.closed(c, d.whole(c.next))
			c.next += max(5, c.next/50)
		}
	}
	d.needed()
	close(d.changed)
	d.changed = make(chan struct{})
}

// whole is how many of the first n places belong to whole units.
func (d *decider) whole(n int) int {
	if n == 0 || n == len(d.units) {
		return n
	}
	for n > 0 && d.units[n-1] == d.units[n] {
		n--
	}
	return n
}

// closed reports whether a comparison needs no more than its first n rows.
func (d *decider) closed(c *comparison, n int) bool {
	differences := make([]float64, n)
	for i := range differences {
		differences[i] = c.model.value(i) - c.other.value(i)
	}
	return d.rule.Closed(differences, d.units[:n], d.alpha)
}

// needed tells models that no open comparison needs them. One whose other model has
// ended waits for that one's return.
func (d *decider) needed() {
	need := map[*answers]bool{}
	for _, c := range d.pairs {
		if c.open && !c.model.gone() && !c.other.gone() {
			need[c.model], need[c.other] = true, true
		}
	}
	for _, a := range d.models {
		if a.needed && !need[a] {
			a.needed = false
			close(a.enough)
		}
	}
}

// Rows are those of the order.
func (d *decider) Rows() []int64 { return d.order.Rows }

// Enough is closed when no comparison needs more of a model.
func (d *decider) Enough(model string) <-chan struct{} { return d.models[model].enough }

// ahead is how many rows a model may be ahead of the slowest that it is compared with:
// what it has answered beyond that is paid for and, if the run stops, of no use.
func ahead(complete int) int { return max(50, complete/8) }

// Next waits while a model is far ahead of the others.
func (d *decider) Next(ctx context.Context, model string, place int) bool {
	for d.score != nil {
		d.mu.Lock()
		slowest := math.MaxInt
		for _, a := range d.models {
			if a.needed && !a.ended {
				slowest = min(slowest, a.complete)
			}
		}
		needed, changed := d.models[model].needed, d.changed
		d.mu.Unlock()
		if !needed {
			return false
		}
		if place < slowest+ahead(slowest) {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// Ended is told that a model's pool has ended.
func (d *decider) Ended(model string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.models[model].ended = true
	if d.score != nil {
		d.look()
	}
}

// decided reports whether no comparison needs more rows.
func (d *decider) decided() bool {
	if d == nil || d.score == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.ContainsFunc(d.pairs, func(c *comparison) bool { return c.open })
}

// ordered is the decider as the runner has it: nil where there is none.
func (d *decider) ordered() runner.Order {
	if d == nil {
		return nil
	}
	return d
}

// sayOrder says that the run may stop early, or has done so.
func (s *Session) sayOrder() {
	d := s.decider
	switch {
	case d == nil:
	case d.score == nil:
		s.Log.Info("rows go in the random order of the first start, to the last one")
	case d.decided():
		s.Log.Info("every comparison is decided: nothing more is sent; --all-rows goes on to the last row")
	default:
		s.Log.Info(fmt.Sprintf("rows go in random order (seed %d), and only as many as it takes to decide %s", d.order.Seed,
			words.Counted(int64(len(d.pairs)), "comparison")))
	}
}
