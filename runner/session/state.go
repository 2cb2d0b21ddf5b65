package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nightshift"
	"nightshift/providers/limits"
	"nightshift/reports"
	"nightshift/runner"
	"nightshift/runner/cluster/hub"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

const (
	lookEvery  = 250 * time.Millisecond
	writeEvery = 4 // looks
	staleAfter = 10 * time.Second
)

// A State is where a run stands and what its process is doing. It is written to
// live.json as the run goes on.
type State struct {
	At        time.Time      `json:"at"`
	Started   time.Time      `json:"started"`
	PID       int            `json:"pid"`
	Endpoints []Endpoint     `json:"endpoints"`
	Budget    Budget         `json:"budget"`
	Stops     []reports.Stop `json:"stops,omitempty"` // why models ended early, once the process has ended
	Workers   []hub.Worker   `json:"workers,omitempty"`
	// Run is what is on record, so that nobody has to count it in the journals.
	Run view.Progress `json:"run"`

	// Batches are those that are not collected. The files say the same to others.
	Batches Batches `json:"-"`

	Name  string `json:"-"` // of the run
	Items int64  `json:"-"` // answers that the run is to bring
}

// Batches is where the batches stand that are not collected.
type Batches struct {
	Waiting, Away, Ended int   // not created yet; at the provider, or looked for there; to be collected
	Rows, Done           int64 // of those away, and how many of them the provider has done
	ReservedUSD          float64
	Expires              time.Time // when the first of those away ends; zero when not known
}

// batchesOf sums up the batches of a run that are not collected.
func batchesOf(st *store.Run) (s Batches) {
	for _, b := range st.Batches() {
		switch b.Stage {
		case store.BatchPlanned, store.BatchUploaded:
			s.Waiting++
		case store.BatchCreating, store.BatchCreated:
			s.Away++
			s.Rows += b.Rows
			s.Done += min(b.Rows, max(0, b.Lead().Counts.Completed.N()+b.Lead().Counts.Failed.N()))
			if at := b.ExpiresAt(); !at.IsZero() && (s.Expires.IsZero() || at.Before(s.Expires)) {
				s.Expires = at
			}
		case store.BatchEnded, store.BatchFetched:
			s.Ended++
		}
		if b.Away() {
			s.ReservedUSD += b.WorstCost.Dollars()
		}
	}
	return s
}

// An Endpoint is one limiter: a server and key.
type Endpoint struct {
	Name     string     `json:"name"`
	Rates    []Rate     `json:"rates,omitempty"`   // dimensions in use or limited, a minute
	Inferred float64    `json:"learned,omitempty"` // requests a minute, learned from refusals
	InFlight int        `json:"in_flight"`
	Waiting  int        `json:"waiting"`
	Window   int        `json:"window"`              // most in flight at present
	Ceiling  bool       `json:"window_found"`        // the endpoint is known not to take more
	Limited  string     `json:"held_back_by"`        // the next request; "nothing" when none waits
	Paused   *time.Time `json:"paused_until"`        // null when not paused
	Why      string     `json:"paused_why,omitzero"` // in words
	Failing  float64    `json:"failing"`             // share of failures lately
	Down     bool       `json:"breaker_open"`
	Stopped  string     `json:"stopped,omitempty"` // why it is not asked any more
	// LastError is the last since an answer came, and FailingSince when the
	// first of these came; both are absent after an answer.
	LastError    string     `json:"last_error,omitempty"`
	FailingSince *time.Time `json:"failing_since,omitempty"`

	Sent      int64 `json:"sent"`
	Succeeded int64 `json:"succeeded"`
	Refused   int64 `json:"refused"`
	Failed    int64 `json:"failed"`

	Models []string `json:"models"` // that use it
	// Active is how long there have been requests in flight or waiting.
	Active float64 `json:"active_seconds"`
	// LimitedBy is what held requests back in that time, the most first.
	LimitedBy []share `json:"bound_by,omitempty"`

	Limiter limits.State `json:"-"` // everything that the limiter says
}

// A Rate is one dimension of a limit, a minute.
type Rate struct {
	Name  string  `json:"name"` // requests, tokens, input tokens, output tokens
	Used  float64 `json:"used"`
	Limit float64 `json:"limit"` // 0 when not known
}

// A share is how much of the time one thing held requests back.
type share struct {
	What  string  `json:"what"`
	Share float64 `json:"share"` // of the time, 0 to 1
}

type Budget struct {
	Tokens         int64   `json:"tokens,omitempty"` // 0 is no limit
	USD            float64 `json:"usd,omitempty"`    // 0 is no limit
	SpentTokens    int64   `json:"spent_tokens"`
	SpentUSD       float64 `json:"spent_usd"`
	ReservedTokens int64   `json:"reserved_tokens"` // worst case of what is in flight
	ReservedUSD    float64 `json:"reserved_usd"`
	Waiting        int     `json:"waiting"` // requests that wait for some of it
}

// A watch looks at the clients while a run goes on: for live.json, and to say in
// the end what limited the run.
type watch struct {
	*Session
	run     *store.Run
	pace    *pace
	path    string
	started time.Time

	mu     sync.Mutex
	looked time.Time
	active map[string]time.Duration // something in flight, or waiting
	full   map[string]time.Duration // as much in flight as was configured, nobody waiting at the limiter
	short  time.Duration            // requests waited for the budget
	ended  time.Time                // zero while it runs
	stops  []reports.Stop           // once it has ended

	stop chan struct{}
	done sync.WaitGroup
}

// watch tells where a run stands; once started, also in live.json.
func (s *Session) watch(st *store.Run) *watch {
	now := time.Now()
	return &watch{Session: s, run: st, pace: newPace(s, st.Totals()), path: filepath.Join(s.Plan.Out, reports.LiveFile),
		started: now, looked: now,
		active: map[string]time.Duration{}, full: map[string]time.Duration{}, stop: make(chan struct{})}
}

// start begins to look and to write live.json. Close ends it.
func (w *watch) start() { w.done.Go(w.keepLooking) }

func (w *watch) keepLooking() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%writeEvery == 0 {
			w.write()
		}
		select {
		case <-tick.C:
			w.look()
		case <-w.stop:
			return
		}
	}
}

// Close ends the watch and leaves the last state in the file, with why models
// ended early.
func (w *watch) Close(stops []runner.Stop) {
	close(w.stop)
	w.done.Wait()
	w.look()
	w.mu.Lock()
	w.ended = w.looked
	for _, s := range stops {
		if !asked(s.Err) && unsubmitted(s) {
			w.stops = append(w.stops, w.clients.stop(s))
		}
	}
	w.mu.Unlock()
	w.write()
}

// look adds up what a limiter cannot know by itself.
func (w *watch) look() {
	_, _, waiting := w.clients.budget.Reserved()
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	passed := now.Sub(w.looked)
	w.looked = now
	if waiting > 0 {
		w.short += passed
	}
	for _, l := range w.clients.named() {
		s := l.State()
		if s.InFlight+s.Waiting+waiting > 0 {
			w.active[l.name] += passed
		}
		if l.config.Concurrency > 0 && s.Waiting == 0 && s.InFlight >= l.config.Concurrency {
			w.full[l.name] += passed
		}
	}
}

// write replaces live.json. A state that cannot be written is no reason to stop
// a run: storage that fails is found out by the journal.
func (w *watch) write() {
	b, err := json.Marshal(w.state())
	if err != nil {
		return
	}
	tmp := w.path + ".tmp"
	if os.WriteFile(tmp, b, 0o600) == nil {
		_ = os.Rename(tmp, w.path)
	}
}

func (w *watch) state() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.ended
	if now.IsZero() {
		now = time.Now()
	}
	s := State{At: now, Started: w.started, PID: os.Getpid(), Budget: budgetState(w.clients.budget), Run: w.run.Progress(),
		Stops: w.stops, Workers: w.cluster.workers(), Batches: batchesOf(w.run),
		Name: w.Plan.Name, Items: w.items()}
	s.Run.Pace = w.pace.take(time.Now(), s.Run.Totals)
	for _, l := range w.clients.named() {
		state := l.State()
		e := endpointState(l, state)
		w.clients.addFailure(&e, state)
		e.Models, e.Active = l.models, w.active[l.name].Seconds()
		e.LimitedBy = limitedShares(state.LimitedFor, w.full[l.name], w.short, w.active[l.name])
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

func budgetState(b *limits.Budget) Budget {
	spent, cost := b.Spent()
	reserved, worst, waiting := b.Reserved()
	return Budget{
		Tokens: b.Tokens, USD: b.Cost.Dollars(), SpentTokens: spent, SpentUSD: cost.Dollars(),
		ReservedTokens: reserved, ReservedUSD: worst.Dollars(), Waiting: waiting,
	}
}

func endpointState(l namedLimiter, s limits.State) Endpoint {
	e := Endpoint{
		Name: l.name, InFlight: s.InFlight, Waiting: s.Waiting, Window: s.Window, Ceiling: s.Found, Inferred: s.Inferred,
		Limited: s.LimitedBy.String(), Failing: s.Failing, Down: s.BreakerOpen,
		Sent: s.Sent, Succeeded: s.Succeeded, Refused: s.Refused, Failed: s.Failed, Limiter: s,
	}
	for _, d := range Rates(s) {
		if d.Used > 0 || d.Limit > 0 {
			e.Rates = append(e.Rates, d)
		}
	}
	if time.Until(s.PausedUntil) > 0 {
		e.Paused, e.Why = &s.PausedUntil, pauseReason(s)
	}
	return e
}

// addFailure says why an endpoint is stopped or gives no answers.
func (f *clients) addFailure(e *Endpoint, s limits.State) {
	if s.Stopped != nil {
		e.Stopped = f.redact(s.Stopped.Error())
	}
	if t := s.Failure; t != nil {
		e.LastError, e.FailingSince = f.redact(t.Last.Error()), &t.Since
	}
}

// stop is a model's end before its rows were done, for reports.
func (f *clients) stop(s runner.Stop) reports.Stop {
	stop := reports.Stop{Model: s.Model, Reason: f.redact(s.Err.Error())}
	var why *nightshift.Error
	if errors.As(s.Err, &why) {
		stop.Class, stop.Status = string(why.Class), why.Status
	}
	return stop
}

func (f *clients) redact(text string) string { return f.redactor.Load().Redact(text) }

// Rates are the four rates of a limiter.
func Rates(s limits.State) []Rate {
	return []Rate{
		{"requests", s.Requests.Used, s.Requests.Limit}, {"tokens", s.Tokens.Used, s.Tokens.Limit},
		{"input tokens", s.Input.Used, s.Input.Limit}, {"output tokens", s.Output.Used, s.Output.Limit},
	}
}

func pauseReason(s limits.State) string {
	if s.BreakerOpen {
		return "the endpoint is failing and is tried now and then"
	}
	return "a request was refused for a rate limit"
}

// limitedShares turns times into shares of a time, the largest first. What is
// left over is time in which no request waited for anything that is ours.
func limitedShares(by map[limits.LimitedBy]time.Duration, full, short, elapsed time.Duration) []share {
	if elapsed <= 0 {
		return nil
	}
	var list []share
	rest := elapsed
	add := func(what string, d time.Duration) {
		if d = min(d, rest); d > 0 {
			list = append(list, share{what, float64(d) / float64(elapsed)})
			rest -= d
		}
	}
	for b := limits.LimitRequests; b <= limits.LimitBreaker; b++ {
		add(b.String(), by[b])
	}
	add("concurrency", full)
	add("budget", short)
	add(freeRunning, rest)
	return merged(list)
}

const freeRunning = reports.FreeRunning

// merged adds up shares of one name and sorts them.
func merged(list []share) (out []share) {
	for _, s := range list {
		if i := slices.IndexFunc(out, func(o share) bool { return o.What == s.What }); i >= 0 {
			out[i].Share += s.Share
			continue
		}
		out = append(out, s)
	}
	slices.SortStableFunc(out, func(a, b share) int {
		switch {
		case a.Share > b.Share:
			return -1
		case a.Share < b.Share:
			return 1
		}
		return 0
	})
	return out
}

// LimitedWords says what limited an endpoint's throughput: "throughput limited by
// request rate (92 % of the time), budget (8 %)". Shares under 5 % are left out.
// It is empty when nothing is known.
func (e Endpoint) LimitedWords() string {
	var by []string
	free := ""
	for _, b := range e.LimitedBy {
		switch share := fmt.Sprintf("%.0f %%", 100*b.Share); {
		case b.Share < 0.05:
		case b.What == freeRunning:
			free = share
		case len(by) == 0:
			by = append(by, fmt.Sprintf("%s (%s of the time)", reports.LimitName(b.What), share))
		default:
			by = append(by, fmt.Sprintf("%s (%s)", reports.LimitName(b.What), share))
		}
	}
	switch {
	case len(by) == 0 && free == "":
		return ""
	case len(by) == 0:
		return "throughput not limited (" + free + " of the time)"
	case free != "":
		by[len(by)-1] += ", not limited (" + free + ")"
	}
	return "throughput limited by " + strings.Join(by, ", ")
}

// Silent reports whether an endpoint gives no answers.
func (e Endpoint) Silent() bool {
	return e.FailingSince != nil && (e.Down || e.Succeeded == 0)
}

// ReadState reads the state that a run directory keeps; ok is false when there
// is none.
func ReadState(dir string) (s State, ok bool) {
	b, err := os.ReadFile(filepath.Join(dir, reports.LiveFile))
	return s, err == nil && json.Unmarshal(b, &s) == nil
}

// Fresh reports whether the state is of now.
func (s State) Fresh() bool { return time.Since(s.At) < staleAfter }

// keepLimits adds what held this start's requests back to that of the starts
// before it, durably.
func (w *watch) keepLimits(before reports.Bounds, keep func(name string, b []byte) error) error {
	now := reports.Bounds{Through: w.started}
	for _, e := range w.state().Endpoints {
		for _, model := range e.Models {
			for _, s := range e.LimitedBy {
				now.Add(model, s.What, s.Share*e.Active)
			}
		}
	}
	return writeLimits(before.With(now), keep)
}

func writeLimits(b reports.Bounds, keep func(name string, b []byte) error) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return keep(reports.BoundsFile, append(text, '\n'))
}

// earlierLimits are what held the requests of earlier starts back. What the
// last one said goes into the sum before this one takes its place: it may have
// been killed.
func (s *Session) earlierLimits(keep func(name string, b []byte) error) reports.Bounds {
	b, err := reports.ReadBounds(s.Plan.Out)
	if err == nil && len(b.Models) > 0 {
		err = writeLimits(b, keep)
	}
	if err != nil {
		s.Log.Warn("what limited earlier starts is not known: " + err.Error())
	}
	return b
}

// sayLimited says what limited the run. Of very short ones there is nothing to say.
func (s *Session) sayLimited(w *watch) {
	state := w.state()
	if state.At.Sub(state.Started) < 2*time.Second {
		return
	}
	for _, e := range state.Endpoints {
		if by := e.LimitedWords(); e.Sent > 0 && by != "" {
			s.Log.Info(e.Name + ": " + by)
		}
	}
}

// named are the limiters under names that differ: where an endpoint has several
// keys they are numbered.
func (f *clients) named() []namedLimiter {
	seen := map[string]int{}
	f.mu.Lock()
	list := slices.Clone(f.order)
	f.mu.Unlock()
	for i, l := range list {
		if seen[l.name]++; seen[l.name] > 1 {
			list[i].name = fmt.Sprintf("%s (%d)", l.name, seen[l.name])
		}
	}
	return list
}
