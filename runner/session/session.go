// Package session carries out what a plan says: it reads the dataset, reaches
// the models, keeps every answer in a run directory, scores and compares the
// answers, and writes the reports.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/fsx"
	"nightshift/internal/words"
	"nightshift/reports"
	"nightshift/reports/compare"
	"nightshift/runner"
	"nightshift/runner/plan"
	"nightshift/runner/reuse"
	"nightshift/runner/store"
	"nightshift/runner/store/bucket"
	"nightshift/runner/store/view"
)

// Options say how a plan is carried out. The zero value works.
type Options struct {
	// Sending ends when nothing more may be sent; what is in flight then is
	// finished, unless the context of the call ends too. nil is that context.
	Sending context.Context
	Log     *slog.Logger // nil discards
	Stdin   io.Reader    // the dataset where the plan says "-"
	Version string       // of the program, for run.json

	RowsFrom      string   // the earlier run that says which rows to use; "" is all
	WhichRows     string   // of it, with commas: failed, truncated, refused, empty, different
	RetryFailed   bool     // send rows whose request failed again
	MovedEndpoint bool     // go on although a model's base URL has changed
	AllowCommands bool     // scorers may run programs
	Start         *Start   // kept in the run directory; nil keeps nothing
	Detach        bool     // end once all batches that may be are submitted, without waiting for them
	Workers       *Workers // send the requests; nil sends from this process
	Reuse         []string // run directories whose answers are taken over; "none" forgets those of earlier starts
	Scorers       []string // given in place of the plan's, for the next start of Score
	Kept          *Kept    // for a run directory that is in a bucket
	AddScorers    bool     // Score: the scorers come beside those that are there
	AllRows       bool     // go on to the last row although the comparison needs no more

	// Serve is called before anything is sent; end is called when the run has
	// ended. An error stops the run before it begins.
	Serve func(state func() State) (end func(), err error)
	// Show is called whenever requests begin to be sent, for the run and for
	// each batch of a judge's requests; end is called after the last.
	Show func(state func() State) (end func())
}

// A Session is a plan and its dataset, checked and ready.
type Session struct {
	Options
	Plan    *plan.Resolved
	Dataset *datasets.Dataset // nil where stored answers are scored

	// Warnings come before all else: what is sent is probably not what was meant.
	Warnings []string

	rows    *chosenRows    // of an earlier run; nil is all
	clients *clients       // nil until something is to be sent
	latest  latency        // of the requests of clients
	decider *decider       // nil where rows go in the dataset's order
	cluster *cluster       // nil without workers
	recall  runner.Recall  // of batches that are away
	reused  *reuse.Answers // that may be taken over; nil for none
	// variants is the dataset with the templates of models that have others than the
	// first, by model.
	variants map[string]*datasets.Dataset
	copies   map[string]*bucket.Snapshot // of runs in buckets that are read, by URL
}

// A Result is what a run came to. Its reports are nil when they could not be
// made.
type Result struct {
	// State is as in run.json: finished, stopped: decided, interrupted, stopped,
	// stopped: budget, stopped: deadline or failed.
	State      string
	Page       *reports.Page
	Comparison *compare.Comparison
}

// Run runs every row of the plan's dataset through every model, scores the
// answers and writes the reports into the run directory. Rows that are on
// record there are not sent again. The error says why the run is not complete,
// or what is wrong with it; [ReasonOf] tells which. When ctx ends, everything in
// flight is given up.
func Run(ctx context.Context, p *plan.Resolved, o Options) (Result, error) {
	s, err := Open(ctx, p, o)
	if err != nil {
		return Result{}, err
	}
	r, err := s.Run(ctx)
	return r, errors.Join(err, s.Dataset.Close())
}

// Open reads the dataset and sees that the run can begin. Nothing is sent.
func Open(ctx context.Context, p *plan.Resolved, o Options) (*Session, error) {
	s := newSession(p, o)
	err := s.Kept.keep(ctx, s)
	if err != nil {
		return s, err
	}
	if err = s.chooseRows(ctx); err == nil {
		s.Dataset, err = s.openDataset(ctx)
	}
	if err == nil {
		err = s.openVariants(ctx)
	}
	if err != nil {
		err = errors.Join(err, s.Release())
	}
	return s, err
}

func newSession(p *plan.Resolved, o Options) *Session {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Session{Options: o, Plan: p, variants: map[string]*datasets.Dataset{}}
}

// identity is what the run directory belongs to.
func (s *Session) identity() store.Identity {
	canonical, hash := s.Plan.Identity()
	info := s.Dataset.Info()
	id := store.Identity{
		Name: s.Plan.Name, Tool: s.Version, PriceTable: s.Plan.Prices.ID(),
		Plan: s.planAsRun(canonical), PlanHash: s.rows.mark(hash), MayChange: []string{"source", "prices"},
		DatasetHash: info.Hash, DatasetRows: info.Rows, DatasetSize: info.Bytes, Epochs: s.Plan.Epochs,
		Chunks: storeChunks(s.Dataset),
	}
	for _, m := range s.Plan.Models {
		id.Models = append(id.Models, m.Name)
	}
	return id
}

// storeChunks are a dataset's chunks as the store has them.
func storeChunks(d *datasets.Dataset) []store.Chunk {
	list := make([]store.Chunk, 0, len(d.Chunks()))
	for _, s := range d.Chunks() {
		list = append(list, store.Chunk{First: s.First, Rows: s.Rows, Skipped: s.Rows - s.Selected, Hash: s.Hash})
	}
	return list
}

// items is how many answers the run is to bring.
func (s *Session) items() int64 {
	return s.Dataset.Info().Selected * int64(len(s.Plan.Models)) * int64(s.Plan.Epochs)
}

// manyInFlight is how many requests take so much memory that little else
// should.
const manyInFlight = 2560

// InFlight is how many requests a plan lets be in flight at once, where it says.
func InFlight(p *plan.Resolved) (n int) {
	for _, m := range p.Models {
		n += m.Endpoint.Limits.Concurrency
	}
	return n
}

// openStore opens the run directory for writing.
func (s *Session) openStore(id store.Identity) (*store.Run, error) {
	return store.Open(s.Plan.Out, id, store.Options{
		Strict: s.Plan.Strict, RetryFailed: s.RetryFailed, MovedEndpoint: s.MovedEndpoint,
		Late:     InFlight(s.Plan) >= manyInFlight,
		Durable:  s.Kept.durable(s.Plan.Out, s.cluster.durable(s.Plan.Out)),
		Remote:   s.Kept.remote(),
		Recorded: func(rec *nightshift.Record) { s.decider.Recorded(rec) },
		Notice:   func(text string) { s.Log.Warn(text) },
	})
}

// loop sends what is not on record yet. rows are those to be sent, nil for all.
func (s *Session) loop(calls context.Context, st *store.Run, pools []runner.Pool, rows []int64) ([]runner.Stop, error) {
	for i := range pools {
		pools[i].Dataset = s.variants[pools[i].Model]
	}
	r := &runner.Run{
		Name: s.Plan.Name, Store: st, Dataset: s.Dataset, Pools: pools, Rows: rows,
		Epochs: s.Plan.Epochs, Raw: runner.Raw(s.Plan.Raw), SkipUnknown: s.Plan.SkipUnknown, Log: s.Log,
		Detach: s.Detach, Recall: s.recall, Order: s.decider.ordered(),
	}
	return r.Do(calls, s.sending(calls))
}

func (s *Session) sending(calls context.Context) context.Context {
	if s.Sending == nil {
		return calls
	}
	return s.Sending
}

func (s *Session) show(state func() State) (end func()) {
	if s.Show == nil {
		return func() {}
	}
	return s.Show(state)
}

// Run is [Run] of a session.
func (s *Session) Run(ctx context.Context) (r Result, err error) {
	defer s.Kept.hurry(ctx)()
	r, err = s.run(ctx)
	if left := s.Release(); left != nil && !errors.Is(err, left) {
		err = errors.Join(err, left)
	}
	return r, err
}

func (s *Session) run(ctx context.Context) (r Result, err error) {
	if err := errors.Join(CheckScorers(s.Plan, s.AllowCommands), CheckGates(s.Plan)); err != nil {
		return Result{}, err
	}
	for _, note := range slices.Concat(s.Warnings, s.Plan.Notes) {
		s.Log.Warn(note)
	}
	deadline, err := s.deadline()
	if err != nil {
		return Result{}, err
	}
	if s.reused, err = s.openReuse(ctx); err != nil {
		return Result{}, err
	}
	s.cluster = newCluster(s.Workers)
	st, err := s.openStore(s.identity())
	if err != nil {
		return Result{}, err
	}
	if err := s.begin(ctx, st); err != nil {
		return Result{}, errors.Join(err, s.cluster.Close(""), st.Close("failed"))
	}
	defer s.clients.Close()
	defer func() { err = errors.Join(err, s.cluster.Close(r.State)) }()
	ctx, endDeadline := s.underDeadline(ctx, deadline)
	defer endDeadline()
	pools, err := s.batched(st, s.clients.pools)
	if err = errors.Join(err, s.withReuse(pools)); err != nil {
		return Result{}, errors.Join(err, st.Close("failed"))
	}
	before := s.earlierLimits(st.WriteFile)
	w := s.watch(st)
	endServing, err := s.serve(w)
	if err != nil {
		return Result{}, errors.Join(err, st.Close("failed"))
	}
	defer endServing()
	w.start()
	endShow := s.show(w.state)
	s.sayStart(st)
	s.sayReuse()
	s.sayOrder()
	stops, err := s.loop(ctx, st, pools, nil)
	endShow()
	s.sayAway(st)
	w.Close(stops)
	if err := w.keepLimits(before, st.WriteFile); err != nil {
		s.Log.Warn("what bound the run is not kept: " + err.Error())
	}
	s.sayLimited(w)
	return s.finish(ctx, st, stops, err)
}

// begin keeps what the run is found again by and opens the way to the models.
func (s *Session) begin(ctx context.Context, st *store.Run) (err error) {
	// Side by side: the system then makes one commit of what each waits for.
	keep := []func() error{s.keepIndex, s.keepRows, s.keepScorers, s.keepStart,
		func() error { return s.keepReuse(ctx) }}
	errs := make([]error, len(keep))
	var wg sync.WaitGroup
	for i, file := range keep {
		wg.Go(func() { errs[i] = file() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if s.decider, err = s.newDecider(ctx); err != nil {
		return err
	}
	if err := s.cluster.open(ctx, s, st); err != nil {
		return err
	}
	if s.clients, err = newClientsOver(s.Plan, s.Log, s.cluster, &s.latest); err != nil {
		return err
	}
	s.clients.spend(st.Totals().Add(st.Unsettled()).Sum())
	return errors.Join(s.clients.spendWithin(s.Plan.Out), s.Kept.shipAll())
}

func (s *Session) serve(w *watch) (end func(), err error) {
	if s.Serve == nil {
		return func() {}, nil
	}
	return s.Serve(w.state)
}

// keepIndex writes what reading the dataset has found.
func (s *Session) keepIndex() error {
	extensions, err := view.Extensions(s.Plan.Out)
	if err != nil {
		return err
	}
	folder := versionDir(s.Plan.Out, len(extensions))
	if err = os.MkdirAll(folder, 0o700); err == nil {
		err = s.Dataset.WriteIndex(filepath.Join(folder, indexFile))
	}
	if err != nil {
		return &store.StorageError{Op: "writing", Path: filepath.Join(folder, indexFile), Err: err}
	}
	return nil
}

// sayStart says in a line what is about to happen, so that a resumed run is
// told from a new one.
func (s *Session) sayStart(st *store.Run) {
	sum := st.Totals().Sum()
	if sum.Rows == 0 && len(st.Unknown()) == 0 {
		var bases []string
		for _, m := range s.Plan.Models {
			bases = append(bases, m.VariantOf)
		}
		s.Log.Info(fmt.Sprintf("%s: %s × %s into %s", s.Plan.Name, words.Counted(s.Dataset.Info().Selected, "row"),
			reports.Asked(bases), s.place()))
		return
	}
	s.Log.Info(fmt.Sprintf("%s: resuming %s, %d of %d answers are on record",
		s.Plan.Name, s.place(), sum.Rows, s.items()))
	s.sayUnknown(st)
}

// sayUnknown says what becomes of requests whose outcome nobody knows.
func (s *Session) sayUnknown(st *store.Run) {
	unknown, asked, given := st.Unknown(), int64(0), int64(0)
	for _, u := range unknown {
		switch {
		case strings.HasPrefix(u.Job, nightshift.WorkerJob):
			if s.Workers != nil { // else nobody can be asked
				given++
			}
		case u.Job != "":
			asked++
		}
	}
	if given > 0 {
		s.Log.Info(words.Counted(given, "request") + " had been given to workers: they are asked for the answers " +
			"before anything of these rows is sent again")
	}
	if asked > 0 {
		s.Log.Info(words.Counted(asked, "answer") + " that a server was making in the background will be asked for " +
			"by id, not sent again")
	}
	if n := int64(len(unknown)) - asked - given; n > 0 {
		what := "they will be sent again (--on-unknown skip leaves them)"
		if s.Plan.SkipUnknown {
			what = "they are recorded as unknown"
		}
		s.Log.Warn(fmt.Sprintf("%d requests may have been billed without an answer when the last process ended: %s", n, what))
	}
}

// finish closes the run, scores and compares its answers, writes its reports,
// and says how it ended.
func (s *Session) finish(ctx context.Context, st *store.Run, stops []runner.Stop, failure error) (Result, error) {
	interrupted := context.Cause(s.sending(ctx))
	e := s.ending(st.Totals(), stops, failure, interrupted)
	if err := st.Close(e.state); err != nil && failure == nil {
		e = s.ending(st.Totals(), stops, err, interrupted)
	}
	r := Result{State: e.state, Comparison: s.evaluate(ctx, &e)}
	r.Page = s.report(r.Comparison, &e)
	e.sort(r.Page)
	return r, e.err
}

// report writes the reports. What goes wrong is added to why the run ended,
// whatever that is.
func (s *Session) report(comparison *compare.Comparison, e *end) *reports.Page {
	page, err := reports.BuildPage(s.Plan.Out, func(summary *reports.Summary) error {
		if comparison != nil {
			summary.Comparison = comparison.Block()
		}
		return nil
	})
	if err != nil {
		e.also(fmt.Errorf("the report cannot be made: %w; nightshift report %s tries again", err, s.place()))
		return nil
	}
	path := filepath.Join(s.Plan.Out, "report.html")
	if err = errors.Join(WriteReports(s.Plan.Out, page.Summary), writeFile(path, page.HTML)); err != nil {
		e.also(&Error{Storage, err})
	} else {
		s.Log.Info("for a browser: " + words.FromHere(path))
	}
	return page
}

// WriteReports writes the summary into the run directory, as Markdown and as
// JSON.
func WriteReports(dir string, s *reports.Summary) error {
	if err := writeFile(filepath.Join(dir, "report.md"), s.Markdown); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "summary.json"), s.JSON)
}

// writeFile writes a file whole or not at all.
func writeFile(path string, render func(io.Writer) error) error {
	if err := fsx.WriteWith(path, render); err != nil {
		return &store.StorageError{Op: "writing", Path: path, Err: err}
	}
	return nil
}
