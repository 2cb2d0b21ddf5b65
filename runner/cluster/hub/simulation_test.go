package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/datasets"
	"nightshift/internal/attemptlog"
	"nightshift/providers"
	"nightshift/providers/limits"
	"nightshift/providers/secrets"
	"nightshift/runner"
	"nightshift/runner/cluster/hub"
	"nightshift/runner/cluster/worker"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

var (
	seeds = flag.Int("cluster.seeds", 0, "seeds of the simulation; 0 is the usual number")
	first = flag.Uint64("cluster.first", 1, "first seed of the simulation")
	tell  = flag.Bool("cluster.log", false, "log what hub and workers say")
)

// TestSimulation plays a run with workers on a network that delays, repeats and
// cuts, and kills hub and workers at random moments. Every row has one record in
// the end, every payment was announced, nothing is begun after it was given up,
// and the bill is what the provider charged.
func TestSimulation(t *testing.T) {
	eachSeed(t, 80, func(*world) {}, (*world).check)
}

// TestBudgetOfWorkers plays runs whose budgets end somewhere between the first row
// and the last. Whatever is killed, cut or late, the provider never charges more
// than the budget, and what is on record covers what it has charged.
func TestBudgetOfWorkers(t *testing.T) {
	stopped := 0
	eachSeed(t, 20, func(w *world) { w.budget = nightshift.NanoUSD(1000 + w.roll(dear)) }, func(w *world) {
		w.checkBudget()
		if w.hub.spent {
			stopped++
		}
	})
	if stopped == 0 {
		t.Error("no budget ended a run: they are too large for this test to see anything")
	}
}

// TestDrainAfterRestart drains the only worker when its hub has just been killed: the
// next start takes over what it holds, and what it has in flight, before anything
// else, though nothing new can be sent.
func TestDrainAfterRestart(t *testing.T) {
	base := memoryDir(t)
	bubbleOfRuns(t, func(t *testing.T) {
		for seed := *first; seed < *first+8; seed++ {
			cryptotest.SetGlobalRandom(t, seed)
			w := newWorld(t, base, seed)
			// What comes so late that it was given up, and what has failed, waits for another worker.
			w.net.quick, w.healthy = true, true
			w.startHub(filepath.Join(w.dir, "run1"))
			w.startWorker("w0", filepath.Join(w.dir, "spool0"))
			time.Sleep(3 * time.Second)
			first := w.workers["w0"]
			w.killHub()
			time.Sleep(time.Duration(w.roll(4000)) * time.Millisecond)
			first.drain()
			select { // a minute is how long a drain waits by default
			case err := <-first.ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Errorf("seed %d: the worker waits for rows that the hub does not ask for", seed)
			}
			w.startWorker("w1", filepath.Join(w.dir, "spool1"))
			w.finish()
			w.check()
		}
	})
}

// eachSeed plays a world for each of n seeds, 1,000 in the long form, and checks it.
func eachSeed(t *testing.T, n int, prepare, check func(*world)) {
	if os.Getenv("NIGHTSHIFT_LONG") != "" {
		n = 1000
	}
	if *seeds > 0 {
		n = *seeds
	}
	base := memoryDir(t)
	bubbleOfRuns(t, func(t *testing.T) {
		for seed := *first; seed < *first+uint64(n) && !t.Failed(); seed++ {
			cryptotest.SetGlobalRandom(t, seed)
			w := newWorld(t, base, seed)
			prepare(w)
			w.play()
			check(w)
			_ = os.RemoveAll(w.dir)
			if t.Failed() {
				t.Errorf("go test ./runner/cluster/hub -run %s -cluster.first %d -cluster.seeds 1 -cluster.log", t.Name(), seed)
			}
		}
	})
}

// bubbleOfRuns plays runs in simulated time. Decoders that packages share must stay
// within one bubble: two collections empty their pools.
func bubbleOfRuns(t *testing.T, play func(*testing.T)) {
	runtime.GC()
	runtime.GC()
	synctest.Test(t, play)
}

// memoryDir is a directory in memory where there is one: the simulation syncs
// thousands of small files.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "nightshift-simulation-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

const (
	rows  = 40
	price = 7                 // nano-dollars for each token of an answer
	dear  = rows * price * 60 // more than most runs cost: answers have 25 tokens on average, some are paid twice
)

// A world is everything in one simulation.
type world struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	net    *network
	dir    string
	data   string
	begun  time.Time

	mu        sync.Mutex
	ledger    []payment
	begunTold int // answers that have begun, as the hub heard
	hub       *hubProcess
	hubs      int
	workers   map[string]*workerProcess // by name
	boots     int
	forgot    bool                 // a worker's disk was lost
	lostMost  int                  // attempts that may be paid twice
	healthy   bool                 // the provider never fails
	onlyHubs  bool                 // nothing but hubs is killed
	budget    nightshift.NanoUSD   // of the run; 0 is none
	killed    map[string]time.Time // workers, by process
	all       sync.WaitGroup
	stop      context.CancelFunc
	ctx       context.Context
}

// A payment is one request that the provider has charged for.
type payment struct {
	attempt string // filled in by the worker's wire
	key     string
	at      time.Time
	tokens  int64
	process string
	// answered is when the worker had the answer; zero when it never did.
	answered time.Time
}

func newWorld(t *testing.T, base string, seed uint64) *world {
	w := &world{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 3)), net: newNetwork(seed),
		dir:     filepath.Join(base, fmt.Sprint(seed)),
		workers: map[string]*workerProcess{}, killed: map[string]time.Time{}, begun: time.Now(), onlyHubs: seed%4 == 0}
	w.ctx, w.stop = context.WithCancel(context.Background())
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for i := range rows {
		fmt.Fprintf(&b, `{"id":"r%d","prompt":"question %d"}`+"\n", i, i)
	}
	w.data = filepath.Join(w.dir, "data.jsonl")
	if err := os.WriteFile(w.data, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// roll is for the goroutine that plays; others have random numbers of their own,
// so that a seed plays the same whatever their order is.
func (w *world) roll(n int) int { return w.random.IntN(n) }

func (w *world) log(who string) *slog.Logger {
	if !*tell {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("who", who)
}

// A hubProcess is one start of the hub.
type hubProcess struct {
	name  string
	dir   string
	hub   *hub.Hub
	store *store.Run
	kill  context.CancelFunc
	done  chan struct{} // closed when every row has a record, the budget is spent, or it was killed
	spent bool          // the budget has ended the run
}

// startHub starts a hub on a run directory.
func (w *world) startHub(dir string) {
	w.hubs++
	p := &hubProcess{name: fmt.Sprint("hub", w.hubs), dir: dir, done: make(chan struct{})}
	data, err := datasets.Open(w.ctx, datasets.Spec{Paths: []string{w.data}})
	if err != nil {
		w.t.Fatal(err)
	}
	id := store.Identity{Name: "sim", PlanHash: "h", Plan: json.RawMessage(`{}`), DatasetHash: data.Info().Hash,
		DatasetRows: data.Info().Rows, Epochs: 1, Models: []string{"m"}}
	for _, s := range data.Chunks() {
		id.Chunks = append(id.Chunks, store.Chunk{First: s.First, Rows: s.Rows, Hash: s.Hash})
	}
	var mu sync.Mutex // until the hub is there
	mu.Lock()
	p.store, err = store.Open(dir, id, store.Options{ReserveFile: -1, Durable: func(model string, logs []string) {
		mu.Lock()
		h := p.hub
		mu.Unlock()
		h.Durable(dir, model, logs)
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	o := hub.Options{Run: "sim", Dir: dir, Version: "v", Epoch: int64(w.hubs), Silence: 20 * time.Second,
		Log: w.log(p.name)}
	late, err := view.Late(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range late.Open {
		if _, settled := late.Settled[l.Attempt.Job]; !settled {
			o.Unknown = append(o.Unknown, hub.Unknown{Dir: dir, Model: l.Model, Attempt: l.Attempt})
		}
	}
	o.Note = func(u hub.Unknown, ex *providers.Exchange) error {
		a := u.Attempt
		if ex != nil {
			a = providers.SettleLate(a, *ex, cost)
		}
		return p.store.PutLate(u.Model, a, ex != nil)
	}
	o.OnRecord = func(each func(string)) error { return onRecord(dir, each) }
	p.hub = hub.New(o)
	mu.Unlock()
	budget := &limits.Budget{Cost: w.budget}
	budget.Spend(0, w.booked(dir))
	ctx, kill := context.WithCancel(w.ctx)
	p.kill = kill
	client := &providers.Client{Endpoint: "e", Flow: "m", RoutesCome: true, MaxAttempts: 20, MaxOutput: 100,
		Budget: budget,
		Price:  func(_ string, u nightshift.Usage) (nightshift.NanoUSD, string, bool) { return cost(u) },
		WorstPrice: func(_ string, in, out int64, _ nightshift.Media) (nightshift.NanoUSD, bool) {
			return nightshift.NanoUSD(price * (in + out)), true
		}}
	end := providers.Endpoint{Name: "e", Protocol: nightshift.Chat, BaseURL: "http://127.0.0.1:1/v1",
		Auth: providers.Auth{Scheme: providers.AuthNone}}
	p.hub.Add("e", end, func(a *hub.Account) {
		l := limits.New(limits.Config{Concurrency: 16})
		a.OnPlaces(l.SetPlaces)
		client.AddRoute(providers.ClientRoute{Name: a.Name, Wire: listening{a, w}, Limiter: l})
	}, client.LookAgain)
	run := &runner.Run{Name: "sim", Store: p.store, Dataset: data, Epochs: 1, Log: w.log(p.name),
		Pools: []runner.Pool{{Model: "m", ModelID: "m", Endpoint: "e", Protocol: nightshift.Chat, Provider: client,
			Concurrency: 16, Workers: true}}}
	w.all.Go(func() {
		defer data.Close()
		defer close(p.done)
		stops, err := run.Do(ctx, ctx)
		if ctx.Err() == nil {
			p.spent = w.budget > 0 && len(stops) == 1 && errors.Is(stops[0].Err, nightshift.ErrBudget)
			if err != nil || len(stops) > 0 && !p.spent {
				w.t.Errorf("the run ended with %v, %v", stops, err)
			}
		}
	})
	w.mu.Lock()
	w.hub = p
	w.mu.Unlock()
}

// onRecord reads the attempt logs of the records in a directory.
func onRecord(dir string, each func(string)) error {
	for rec, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{}) {
		if err != nil {
			return err
		}
		each(*rec.AttemptLog)
	}
	return nil
}

// booked is what a run has cost at most, by its files, as a start books it.
func (w *world) booked(dir string) nightshift.NanoUSD {
	st, err := view.Status(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	return st.AtMost
}

func cost(u nightshift.Usage) (nightshift.NanoUSD, string, bool) {
	n, ok := u.Output.Get()
	return nightshift.NanoUSD(price * n), "p", ok
}

// killHub ends a hub as a kill does: nothing more leaves it, and what it had
// written is what the next finds.
func (w *world) killHub() {
	w.mu.Lock()
	p := w.hub
	w.hub = nil
	w.mu.Unlock()
	w.net.cut(p.name)
	synctest.Wait() // a copy is of one moment
	next := filepath.Join(w.dir, fmt.Sprint("run", w.hubs+1))
	if err := os.CopyFS(next, os.DirFS(p.dir)); err != nil {
		w.t.Fatal(err)
	}
	p.kill()
	w.all.Go(func() {
		<-p.done
		_ = p.store.Close("killed")
		p.hub.Close(false)
	})
	time.Sleep(time.Duration(w.roll(4000)) * time.Millisecond)
	w.startHub(next)
}

// A workerProcess is one start of a worker.
type workerProcess struct {
	name, process, spool string
	dead                 chan struct{}
	stop, drain          context.CancelFunc
	ended                chan error
}

func (w *world) startWorker(name, spool string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.boots++
	p := &workerProcess{name: name, process: fmt.Sprint(name, "-", w.boots), spool: spool, dead: make(chan struct{})}
	ctx, stop := context.WithCancel(w.ctx)
	waiting, drain := context.WithCancel(ctx)
	p.stop, p.drain, p.ended = stop, drain, make(chan error, 1)
	w.workers[name] = p
	start := w.begun
	o := worker.Options{Name: name, Slots: 8, Spool: spool, Version: "v", Log: w.log(p.process), Patience: 2 * time.Minute,
		Clock: func() time.Duration { return time.Since(start) },
		Open: func(providers.Endpoint) (providers.Wire, secrets.Secret, error) {
			return &chargingWire{w, p}, secrets.Secret{}, nil
		},
		Dial: func(context.Context) (net.Conn, error) {
			w.mu.Lock()
			to := w.hub
			w.mu.Unlock()
			select {
			case <-p.dead:
				return nil, errors.New("dead")
			default:
			}
			if to == nil {
				return nil, errors.New("connection refused")
			}
			client, server := w.net.dial(p.process, to.name)
			if !w.alive(p, to) { // it was killed meanwhile, and so is the connection
				client.Close()
				server.Close()
				return nil, errors.New("connection reset")
			}
			go to.hub.ServeConn(server)
			return client, nil
		}}
	w.all.Go(func() { p.ended <- worker.Run(ctx, waiting, o) })
}

// alive reports whether neither end of a connection has been killed.
func (w *world) alive(p *workerProcess, h *hubProcess) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, killed := w.killed[p.process]
	return w.hub == h && !killed
}

// killWorker ends a worker as a kill does, and starts it again, sometimes without
// its disk.
func (w *world) killWorker(name string, forget bool) {
	w.mu.Lock()
	p := w.workers[name]
	w.lostMost += 8
	w.forgot = w.forgot || forget
	w.killed[p.process] = time.Now()
	w.mu.Unlock()
	close(p.dead)
	w.net.cut(p.process)
	synctest.Wait() // a copy is of one moment
	next := filepath.Join(w.dir, fmt.Sprint("spool-", p.process))
	if err := os.MkdirAll(next, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if !forget {
		if err := os.CopyFS(next, os.DirFS(p.spool)); err != nil {
			w.t.Fatal(err)
		}
	}
	p.stop()
	time.Sleep(time.Duration(w.roll(30_000)) * time.Millisecond)
	w.startWorker(name, next)
}

// A listening account wants to hear that answers begin.
type listening struct {
	*hub.Account
	w *world
}

func (l listening) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	p.Begun = func() {
		l.w.mu.Lock()
		defer l.w.mu.Unlock()
		l.w.begunTold++
		if !slices.ContainsFunc(l.w.ledger, func(paid payment) bool { return paid.attempt == p.Attempt }) {
			l.w.t.Errorf("%s has begun, and was never sent", p.Attempt)
		}
	}
	return l.Account.Send(ctx, p)
}

// A chargingWire is a provider that answers after a while and charges when it is
// asked.
type chargingWire struct {
	w *world
	p *workerProcess
}

func (c *chargingWire) Prepare(nightshift.Request) (providers.Prepared, error) {
	return providers.Prepared{}, errors.New("workers prepare nothing")
}

func (c *chargingWire) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	select {
	case <-c.p.dead:
		<-c.w.ctx.Done() // a process that was killed does nothing
		return providers.Exchange{Err: &nightshift.Error{Class: nightshift.ClassCancelled}}
	default:
	}
	attempt := fnv.New64a()
	_, _ = attempt.Write([]byte(p.Attempt)) // never fails
	random := rand.New(rand.NewPCG(c.w.seed, attempt.Sum64()))
	if random.IntN(15) == 0 && !c.w.healthy {
		return providers.Exchange{
			Sent: true, Err: &nightshift.Error{Class: nightshift.ClassServer, Status: 500, Message: "trouble"},
			Response: nightshift.Response{Status: 500}}
	}
	tokens := int64(1 + random.IntN(50))
	c.w.mu.Lock()
	n := len(c.w.ledger)
	c.w.ledger = append(c.w.ledger,
		payment{attempt: p.Attempt, key: p.Key, at: time.Now(), tokens: tokens, process: c.p.process})
	c.w.mu.Unlock()
	took := time.Duration(50+random.IntN(3000)) * time.Millisecond
	if p.Begun != nil {
		p.Begun()
	}
	select {
	case <-time.After(took):
	case <-c.p.dead:
		<-c.w.ctx.Done()
	case <-ctx.Done():
		return providers.Exchange{Sent: true, Err: &nightshift.Error{Class: nightshift.ClassCancelled, MaybeBilled: true}}
	}
	c.w.mu.Lock()
	c.w.ledger[n].answered = time.Now()
	c.w.mu.Unlock()
	text := "answer to " + p.Key
	return providers.Exchange{Sent: true, Response: nightshift.Response{Text: &text, Status: 200, RequestHash: p.Hash,
		StopReason: nightshift.StopEnd, Latency: took,
		Usage: nightshift.Usage{Input: nightshift.Tokens(10), Output: nightshift.Tokens(tokens)}}}
}

// play runs the world until every row has a record, with kills and cuts.
func (w *world) play() {
	w.startHub(filepath.Join(w.dir, "run1"))
	for i := range 3 {
		w.startWorker(fmt.Sprint("w", i), filepath.Join(w.dir, fmt.Sprint("spool", i)))
	}
	for range 12 {
		time.Sleep(time.Duration(w.roll(2500)) * time.Millisecond)
		if w.over() {
			break
		}
		w.trouble()
	}
	w.finish()
}

// finish waits until every row has a record, and lets everything that is late arrive.
func (w *world) finish() {
	for !w.over() {
		time.Sleep(time.Second)
		if time.Since(w.begun) > time.Hour {
			w.t.Errorf("not finished after an hour")
			break
		}
	}
	time.Sleep(5 * time.Minute) // for what is late
	p := w.hub
	state := "finished"
	if p.spent {
		state = "stopped"
	}
	if err := p.store.Close(state); err != nil {
		w.t.Error(err)
	}
	time.Sleep(10 * time.Second) // for what the last records let go
	p.hub.Close(!p.spent)
	w.stop()
	w.all.Wait()
	time.Sleep(5 * time.Minute) // for what is still on its way
}

func (w *world) over() bool {
	select {
	case <-w.hub.done:
		return true
	default:
		return false
	}
}

// trouble makes one thing go wrong.
func (w *world) trouble() {
	synctest.Wait() // what was begun in this moment is under way
	name := fmt.Sprint("w", w.roll(3))
	w.mu.Lock()
	process := w.workers[name].process
	w.mu.Unlock()
	kind := w.roll(10)
	if w.onlyHubs {
		kind = 9
	}
	switch kind {
	case 0, 1:
		w.killWorker(name, false)
	case 2:
		w.killWorker(name, true)
	case 3:
		w.net.cut(process)
	case 4, 5: // frozen, or cut off without a word
		w.lostMost += 8
		d := time.Duration(w.roll(90)) * time.Second
		w.net.stall(process, 0, d)
		w.net.stall(process, 1, d+time.Duration(w.roll(20)-10)*time.Second)
	case 6:
		w.lostMost += 8
		w.net.stall(process, w.roll(2), time.Duration(w.roll(60))*time.Second)
	default:
		w.killHub()
	}
}

// check compares records, bill and ledger.
func (w *world) check() {
	dir := w.hub.dir
	late, err := view.Late(dir)
	if err != nil {
		w.t.Fatal(err)
	}
	attempts := map[string]nightshift.Attempt{}
	seen := map[int64]int{}
	for rec, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		seen[rec.Row]++
		log, err := attemptlog.Parse(*rec.AttemptLog)
		if err != nil {
			w.t.Fatal(err)
		}
		switch {
		case rec.Outcome == nightshift.OutcomeFailed && lostOften(log):
		case rec.Outcome != nightshift.OutcomeOK:
			w.t.Errorf("row %d ended as %s", rec.Row, rec.Outcome)
		case rec.Text == nil || *rec.Text != fmt.Sprintf("answer to sim-m-%d-0-0", rec.Row):
			w.t.Errorf("row %d has the answer of another", rec.Row)
		}
		for _, a := range late.Settle(log) {
			attempts[a.Job] = a
		}
	}
	if w.begunTold == 0 {
		w.t.Error("of no answer it was heard that it had begun")
	}
	for i := range int64(rows) {
		if seen[i] != 1 {
			w.t.Errorf("row %d has %d records", i, seen[i])
		}
	}
	w.checkLedger(attempts)
}

// checkBudget compares what the provider has charged with the budget and with what
// is on record.
func (w *world) checkBudget() {
	var charged nightshift.NanoUSD
	for _, p := range w.ledger {
		charged += nightshift.NanoUSD(price * p.tokens)
	}
	if booked := w.booked(w.hub.dir); charged > booked || booked > w.budget {
		w.t.Errorf("seed %d: %d was charged, the records say at most %d, the budget was %d", w.seed, charged, booked,
			w.budget)
	}
}

// lostOften reports whether a row was lost with workers so often that it may be
// what ends them.
func lostOften(log []nightshift.Attempt) bool {
	n := 0
	for _, a := range log {
		if a.Class == nightshift.ClassUnknownOutcome {
			n++
		}
	}
	return n >= 4
}

func (w *world) checkLedger(attempts map[string]nightshift.Attempt) {
	paid, last, times := map[string]bool{}, map[string]payment{}, map[string]int{}
	for _, p := range w.ledger {
		a, announced := attempts[p.attempt]
		switch {
		case !announced:
			w.t.Errorf("%s was paid for and is on no record", p.attempt)
		case paid[p.attempt]:
			w.t.Errorf("%s was paid for twice", p.attempt)
		case a.Class == nightshift.ClassUnknownOutcome &&
			(a.WorstCost < nightshift.NanoUSD(price*p.tokens) || !a.MaybeBilled):
			w.t.Errorf("%s cost %d tokens; the record says at most %d", p.attempt, p.tokens, a.WorstCost)
		case a.Class == nightshift.ClassUnknownOutcome && w.spooled(p):
			w.t.Errorf("%s is unknown, although its answer was in a spool", p.attempt)
		case a.Class == "" && (a.Cost == nil || *a.Cost != nightshift.NanoUSD(price*p.tokens)):
			w.t.Errorf("%s cost %d tokens, and is on the bill with %v", p.attempt, p.tokens, a.Cost)
		}
		paid[p.attempt] = true
		if before, ok := last[p.key]; ok && number(p.attempt) < number(before.attempt) &&
			epoch(p.attempt) == epoch(before.attempt) {
			w.t.Errorf("%s was begun after %s, which took its place", p.attempt, before.attempt)
		}
		last[p.key] = p
		times[p.key]++
	}
	twice := 0
	for _, n := range times {
		twice += n - 1
	}
	if twice > w.lostMost {
		w.t.Errorf("%d paid twice; at most %d were in flight where something was lost", twice, w.lostMost)
	}
	if *tell {
		w.t.Logf("seed %d: %d payments, %d twice, %d starts of hubs, %d of workers, %v", w.seed, len(w.ledger), twice, w.hubs,
			w.boots, time.Since(w.begun).Round(time.Second))
	}
}

// spooled reports whether the answer to a payment was surely in a spool, and no
// disk was lost.
func (w *world) spooled(p payment) bool {
	killed, dead := w.killed[p.process]
	return !w.forgot && !p.answered.IsZero() && (!dead || p.answered.Before(killed))
}

func number(attempt string) (n int) {
	_, _ = fmt.Sscan(attempt[strings.LastIndexByte(attempt, '-')+1:], &n)
	return n
}

func epoch(attempt string) string { return attempt[:strings.LastIndexByte(attempt, '-')] }
