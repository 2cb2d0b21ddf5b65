package session

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/providers"
	"nightshift/providers/limits"
	"nightshift/reports"
	"nightshift/reports/scoring"
	"nightshift/runner/cluster/hub"
	"nightshift/runner/cluster/join"
	"nightshift/runner/cluster/worker"
	"nightshift/runner/plan"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// Workers say that workers on other machines send the requests of a run, and
// where they reach it.
type Workers struct {
	Listen    string        // host:port; port 0 takes a free one
	Join      string        // directory of the join files; "" is join in the run directory, made when it is not there
	Local     bool          // this process works as well, with the keys that it has
	AllowSkew bool          // take workers of another version
	Silence   time.Duration // after which a worker is given up whose connection seems to stand; 0 is the default
	Beat      time.Duration // of the protocol, as the workers have it; 0 is the default
}

// LeastSilence is how long after its last word a worker certainly begins nothing
// any more, and how long the hub waits for one whose connection has ended.
func LeastSilence(beat time.Duration) time.Duration {
	if beat <= 0 {
		beat = worker.Beat
	}
	return 15 * beat / 2
}

// Names below the run directory.
const (
	epochFile = "hub.json" // which start of the hub this is
	joinDir   = "join"
	localDir  = "worker" // spool of the worker in the hub's own process
)

// A cluster is the workers of a run and what they need of it. nil is a run
// without.
type cluster struct {
	Workers
	listener net.Listener
	log      *slog.Logger
	local    sync.WaitGroup

	mu     sync.Mutex
	hub    *hub.Hub              // nil until the run directory is open
	stores map[string]*store.Run // by directory: the run's, and its judges'
	prices map[string]func(nightshift.Usage) (nightshift.NanoUSD, string, bool)
}

func newCluster(w *Workers) *cluster {
	if w == nil {
		return nil
	}
	return &cluster{Workers: *w, stores: map[string]*store.Run{},
		prices: map[string]func(nightshift.Usage) (nightshift.NanoUSD, string, bool){}}
}

// open begins to listen for workers of a run.
func (c *cluster) open(ctx context.Context, s *Session, st *store.Run) error {
	if c == nil {
		return nil
	}
	c.log = s.Log
	c.enter(s.Plan.Out, st)
	file, path, err := c.joinFile(s.Plan.Out)
	if err != nil {
		return err
	}
	o := hub.Options{Run: st.RunID(), Dir: s.Plan.Out, Version: s.Version, AllowSkew: c.AllowSkew, Silence: c.Silence,
		Back: LeastSilence(c.Beat), Log: s.Log, Note: c.note}
	if s.Kept == nil { // with a bucket, what is on the disk here may not be there yet
		o.OnRecord = c.onRecord
	}
	if o.Epoch, err = nextEpoch(st, s.Plan.Out); err != nil {
		return err
	}
	if o.Unknown, err = unsettled(s.Plan.Out); err != nil {
		return err
	}
	listener, err := file.Listen(c.Listen)
	if err != nil {
		return Usagef("--listen %s: %w", c.Listen, err)
	}
	c.listener = listener
	c.mu.Lock()
	c.hub = hub.New(o)
	c.mu.Unlock()
	c.local.Go(func() {
		if err := c.hub.Serve(listener); err != nil {
			s.Log.Error("no more workers are taken", "error", err)
		}
	})
	s.Log.Info(fmt.Sprintf("waiting for workers on %s: nightshift work %s", listener.Addr(), path))
	if c.Local {
		c.workHere(ctx, s)
	}
	return nil
}

// unsettled are the attempts of a run and its judges that are on record as
// unknown, and that no late answer has settled.
func unsettled(out string) (list []hub.Unknown, err error) {
	for _, dir := range append([]string{out}, reports.InnerRuns(out)...) {
		late, err := view.Late(dir)
		if err != nil {
			return nil, err
		}
		for _, l := range late.Open {
			if _, settled := late.Settled[l.Attempt.Job]; !settled {
				list = append(list, hub.Unknown{Dir: dir, Model: l.Model, Attempt: l.Attempt})
			}
		}
	}
	return list, nil
}

// onRecord reads the attempt logs of the records of a run and its judges.
func (c *cluster) onRecord(each func(log string)) error {
	type row struct {
		AttemptLog string `parquet:"attempt_log,optional"`
	}
	c.mu.Lock()
	dirs := slices.Collect(maps.Keys(c.stores)) // that are open, so that what they have is durable
	c.mu.Unlock()
	for _, dir := range dirs {
		for r, err := range view.Rows[row](dir, view.ReadOptions{}) {
			if err != nil {
				return err
			}
			each(r.AttemptLog)
		}
	}
	return nil
}

// joinFile reads the hub's file, or makes those of a new hub; path is that of the
// workers'.
func (c *cluster) joinFile(out string) (f *join.File, path string, err error) {
	dir := c.Join
	if dir == "" {
		dir = filepath.Join(out, joinDir)
		if _, err := os.Stat(filepath.Join(dir, join.HubFile)); errors.Is(err, os.ErrNotExist) {
			address, err := reachable(c.Listen)
			if err != nil {
				return nil, "", Usagef("--listen %s: %w", c.Listen, err)
			}
			if err := join.Make(dir, address); err != nil {
				return nil, "", &Error{Storage, err}
			}
		}
	}
	f, err = join.ReadHub(filepath.Join(dir, join.HubFile))
	if err != nil {
		return nil, "", Usagef("--join: %w", err)
	}
	return f, words.FromHere(filepath.Join(dir, join.WorkerFile)), nil
}

// reachable is an address at which others probably reach what listens.
func reachable(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", err
	}
	if n, err := strconv.Atoi(port); err != nil || n == 0 {
		return "", errors.New("name the port, or make join files with nightshift join-key and name them with --join")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			return "", err
		}
	}
	return net.JoinHostPort(host, port), nil
}

// nextEpoch counts the starts of a run's hub.
func nextEpoch(st *store.Run, out string) (int64, error) {
	var doc struct {
		Epoch int64 `json:"epoch"`
	}
	path := filepath.Join(out, epochFile)
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &doc)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, &store.StorageError{Op: "reading", Path: path, Err: err}
	}
	doc.Epoch++
	text, err = json.Marshal(doc)
	if err != nil {
		return 0, err
	}
	return doc.Epoch, st.WriteFile(epochFile, append(text, '\n'))
}

// onlyErrors leaves out what the hub says of its worker as well.
type onlyErrors struct{ slog.Handler }

func (onlyErrors) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

// workHere runs a worker in this process.
func (c *cluster) workHere(ctx context.Context, s *Session) {
	o := worker.Options{
		Name: "hub", Spool: filepath.Join(s.Plan.Out, localDir), Version: s.Version, Beat: c.Beat,
		Log: slog.New(onlyErrors{s.Log.Handler()}), AllowCommands: true,
		Dial: func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			c.local.Go(func() { c.hub.ServeConn(there) })
			return here, nil
		},
	}
	c.local.Go(func() {
		if err := worker.Run(ctx, ctx, o); err != nil && ctx.Err() == nil {
			s.Log.Error("this process does not send any more: its worker has ended", "error", err)
		}
	})
}

// enter makes a run directory known by its records' attempts.
func (c *cluster) enter(dir string, st *store.Run) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stores[dir] = st
}

// durable tells the hub what is on record in a directory; nil without workers.
func (c *cluster) durable(dir string) func(model string, logs []string) {
	if c == nil {
		return nil
	}
	return func(model string, logs []string) {
		c.mu.Lock()
		h := c.hub
		c.mu.Unlock()
		if h != nil {
			h.Durable(dir, model, logs)
		}
	}
}

// note puts an attempt on record that a record has as unknown or, with late, what
// it turned out to be.
func (c *cluster) note(u hub.Unknown, late *providers.Exchange) error {
	c.mu.Lock()
	st, price := c.stores[u.Dir], c.prices[u.Model]
	c.mu.Unlock()
	if st == nil {
		return fmt.Errorf("the run in %s is not open", u.Dir)
	}
	a := u.Attempt
	if u.Model == "" {
		if price = c.onlyPrice(); price == nil {
			return errors.New("it is not known which model answered")
		}
	}
	if late != nil {
		a = providers.SettleLate(a, *late, price)
		c.log.Info("an answer came after its row had been sent again: it is on the bill", "model", u.Model,
			"worker", late.Worker)
	}
	return st.PutLate(u.Model, a, late != nil)
}

// onlyPrice is the price of the run's model where there is but one.
func (c *cluster) onlyPrice() func(nightshift.Usage) (nightshift.NanoUSD, string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, price := range c.prices {
		if len(c.prices) == 1 {
			return price
		}
	}
	return nil
}

// Close tells the workers how the run has ended. state is as in run.json.
func (c *cluster) Close(state string) error {
	if c == nil || c.hub == nil {
		return nil
	}
	err := c.listener.Close()
	c.hub.Close(scoring.Complete(state))
	c.local.Wait()
	return err
}

// workers are those that are known; none without a hub.
func (c *cluster) workers() []hub.Worker {
	if c == nil || c.hub == nil {
		return nil
	}
	return c.hub.Workers()
}

// remote reports whether workers send a model's requests. A simulator in this
// process is out of their reach.
func (f *clients) remote(m plan.ResolvedModel) bool { return f.cluster != nil && !m.Simulated }

// attach gives a client the routes that workers bring, as they come.
func (f *clients) attach(m plan.ResolvedModel, c *providers.Client) {
	c.RoutesCome = true
	f.cluster.mu.Lock()
	if price := c.Price; price != nil {
		f.cluster.prices[m.Name] = func(u nightshift.Usage) (nightshift.NanoUSD, string, bool) { return price(m.ModelID, u) }
	}
	f.cluster.mu.Unlock()
	for i, r := range append([]providers.Route{{Weight: 1}}, m.Endpoint.Routes...) {
		e := with(m.Endpoint, r)
		f.cluster.hub.Add(endpointID(e), e, func(a *hub.Account) {
			l := f.accountLimiter(m, e, a)
			a.OnPlaces(l.SetPlaces)
			c.AddRoute(providers.ClientRoute{Name: routeName(r, i, a), Wire: a, Limiter: l, Weight: r.Weight,
				MostInput: mostInput(e.Limits)})
		}, c.LookAgain)
	}
}

// routeName tells the routes of a model apart.
func routeName(r providers.Route, i int, a *hub.Account) string {
	name := r.Name
	if name == "" && i > 0 {
		name = fmt.Sprint(i)
	}
	return strings.TrimSpace(name + " " + a.Name)
}

// with is an endpoint with what one route changes.
func with(e providers.Endpoint, r providers.Route) providers.Endpoint {
	e.Routes = nil
	if r.BaseURL != "" {
		e.BaseURL = r.BaseURL
	}
	if r.Auth != nil {
		e.Auth = *r.Auth
	}
	if r.Limits != nil {
		e.Limits = *r.Limits
	}
	return e
}

// endpointID names an endpoint for workers: what agrees in everything is one.
func endpointID(e providers.Endpoint) string {
	e.Limits = limits.Config{} // the hub's own matter
	text, err := json.Marshal(e)
	if err != nil {
		return e.Name
	}
	sum := sha256.Sum256(text)
	return e.Name + "-" + hex.EncodeToString(sum[:4])
}

// accountLimiter is the limiter of a key that workers have, or of a worker's own
// server.
func (f *clients) accountLimiter(m plan.ResolvedModel, e providers.Endpoint, a *hub.Account) *limits.Limiter {
	at := RateLimitKey{server: serverOf(m, e), limits: e.Limits, account: a.Account()}
	name := e.Name
	if a.Name != "" {
		name += " (" + a.Name + ")"
	}
	return f.limiterAt(at, name, m, e)
}
