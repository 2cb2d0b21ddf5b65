package session

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/batch"
	"nightshift/providers/batching"
	"nightshift/providers/formats"
	"nightshift/providers/limits"
	"nightshift/providers/pricing"
	"nightshift/providers/secrets"
	"nightshift/providers/simulator"
	"nightshift/providers/wire"
	"nightshift/runner"
	"nightshift/runner/plan"
)

// clients are everything that a plan's models are reached through: one worker
// pool and client a model, one limiter for each rate-limit key, one budget for
// all.
//
// Judges are added while the run's models and its state are in use.
type clients struct {
	pools      []runner.Pool
	budget     *limits.Budget
	limiters   map[RateLimitKey]*limits.Limiter
	simulators map[string]*simulator.Server
	wires      []*wire.Wire
	batchers   []*batch.Batcher
	keys       []secrets.Secret
	redactor   atomic.Pointer[secrets.Redactor]
	cluster    *cluster // whose workers send; nil where this process does
	log        *slog.Logger
	maxStall   time.Duration    // how long a limiter goes on without a success
	away       map[string]worst // of batches that are away, by run directory: counted as spent
	latest     *latency         // of the requests of all models

	keysMu sync.Mutex // held while keys changes
	mu     sync.Mutex
	order  []namedLimiter // the limiters, as first met
}

// A namedLimiter is called after the endpoint that was met first.
type namedLimiter struct {
	name   string
	models []string // that use it
	config limits.Config
	*limits.Limiter
}

// newClients opens the way to a plan's models.
func newClients(p *plan.Resolved, log *slog.Logger) (*clients, error) {
	return newClientsOver(p, log, nil, &latency{})
}

// newClientsOver is newClients where workers send, unless c is nil; latest is told how
// long requests take.
func newClientsOver(p *plan.Resolved, log *slog.Logger, c *cluster, latest *latency) (*clients, error) {
	f := &clients{
		cluster: c,
		budget:  &limits.Budget{}, limiters: map[RateLimitKey]*limits.Limiter{}, simulators: map[string]*simulator.Server{},
		log: log, maxStall: p.MaxStall, away: map[string]worst{}, latest: latest,
	}
	if p.BudgetTokens != nil {
		f.budget.Tokens = *p.BudgetTokens
	}
	if p.BudgetUSD != nil {
		f.budget.Cost = *p.BudgetUSD
	}
	var problems []error
	for _, m := range p.Models {
		pool, err := f.pool(m, p)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		f.pools = append(f.pools, pool)
	}
	f.redactKeys()
	return f, errors.Join(problems...)
}

func (f *clients) pool(m plan.ResolvedModel, p *plan.Resolved) (runner.Pool, error) {
	client, err := f.client(m, p)
	if err != nil {
		return runner.Pool{}, err
	}
	rows := rowsAtHand(m.Endpoint.Limits.Concurrency)
	var provider nightshift.Provider = timedProvider{client, f.latest}
	if n := m.RowsPerRequest; n > 1 {
		provider = &batching.Batcher{Provider: provider, Size: n}
		rows = min(rows*n, 4096*16)
	}
	return runner.Pool{
		Model: m.Name, ModelID: m.ModelID, Endpoint: m.Endpoint.Name, Protocol: m.Endpoint.Protocol,
		Provider: provider, Likelihoods: runner.Likelihoods(m.Likelihoods), Params: m.Params, Stream: m.Stream,
		Concurrency: rows,
		InFlight:    m.Endpoint.Limits.Concurrency * max(m.RowsPerRequest, 1),
		Waits:       client.Waits,
		Workers:     f.remote(m),
		Variant:     m.Variant, VariantOf: m.VariantOf,
		Caching: cachingOf(m),
	}, nil
}

// cachingOf is how a model's rows are sent for its prompt cache; nil where they are
// not, which is so with the requests of embeddings.
func cachingOf(m plan.ResolvedModel) *runner.Caching {
	c := m.Cache
	if c.Mode == plan.CacheOff || !formats.Writes(m.Endpoint.Protocol) {
		return nil
	}
	minimum, step := c.Bytes()
	return &runner.Caching{Minimum: minimum, Step: step, Pays: c.Pays, Lifetime: c.Lifetime,
		TokensPerByte: providers.TokensPerByte, Marker: c.Marker, Key: c.Key, AtEnd: c.AtEnd,
		ByMarker: c.Known && c.Style == providers.CacheMarker}
}

// rowsAtHand is how many rows a worker pool takes up where so many may be in flight,
// which the limiter sees to: rows that wait because their own request was
// refused must not keep others from being sent. 0 is no bound of the plan's.
func rowsAtHand(inFlight int) int { return max(inFlight, min(9*inFlight, 4096)) }

func (f *clients) client(m plan.ResolvedModel, p *plan.Resolved) (*providers.Client, error) {
	var routes []providers.ClientRoute
	if !f.remote(m) {
		var err error
		if routes, err = f.routes(m); err != nil {
			return nil, err
		}
	}
	c := &providers.Client{
		Endpoint: m.Endpoint.Name, Flow: m.Name, Routes: routes, Budget: f.budget,
		MaxOutput: m.MaxOutput, MaxAttempts: p.Attempts, OnEvent: f.event,
		Flex: m.Tier() == plan.TierFlex,
	}
	if m.Price != nil {
		price := *m.Price
		c.Price = func(_ string, u nightshift.Usage) (nightshift.NanoUSD, string, bool) {
			cost, ok := pricing.Cost(price, u)
			return cost, m.PriceID, ok
		}
		c.WorstPrice = func(_ string, in, out int64, media nightshift.Media) (nightshift.NanoUSD, bool) {
			return pricing.WorstCase(price, in, out, media)
		}
	}
	if f.remote(m) {
		f.attach(m, c)
	}
	return c, nil
}

// routes opens one wire for each key or base URL of a model's endpoint.
func (f *clients) routes(m plan.ResolvedModel) ([]providers.ClientRoute, error) {
	all := append([]providers.Route{{Weight: 1}}, m.Endpoint.Routes...)
	var routes []providers.ClientRoute
	for i, r := range all {
		route, err := f.route(m, r)
		if err != nil {
			return nil, err
		}
		if route.Name == "" && i > 0 {
			route.Name = fmt.Sprint(i)
		}
		routes = append(routes, route)
	}
	return routes, nil
}

// route is the endpoint of a model with what one route changes.
func (f *clients) route(m plan.ResolvedModel, r providers.Route) (providers.ClientRoute, error) {
	e := with(m.Endpoint, r)
	key, err := f.key(e)
	if err != nil {
		return providers.ClientRoute{}, err
	}
	var transport http.RoundTripper
	if m.Simulated {
		if transport, err = f.simulator(m); err != nil {
			return providers.ClientRoute{}, err
		}
	}
	w, err := wire.New(wire.Config{
		Endpoint: e, Key: key, ReadKey: f.readKey(e.Auth), Transport: transport, Concurrency: e.Limits.Concurrency,
	})
	if err != nil {
		return providers.ClientRoute{}, Usagef("endpoint %s: %w", e.Name, err)
	}
	f.wires = append(f.wires, w)
	return providers.ClientRoute{Name: r.Name, Wire: w, Limiter: f.limiter(m, e), Weight: r.Weight,
		MostInput: mostInput(e.Limits)}, nil
}

// mostInput is the most input tokens that limits let through in a minute, 0 when
// they do not say.
func mostInput(l limits.Config) int64 {
	if l.InputTokens > 0 && (l.Tokens == 0 || l.InputTokens < l.Tokens) {
		return int64(l.InputTokens)
	}
	return int64(l.Tokens)
}

// key reads an endpoint's key and tells the redactor of it.
func (f *clients) key(e providers.Endpoint) (secrets.Secret, error) {
	key, err := e.Auth.Key()
	if err != nil {
		return secrets.Secret{}, Usagef("endpoint %s: %w", e.Name, err)
	}
	f.know(key)
	return key, nil
}

// know keeps a key for the redactor.
func (f *clients) know(key secrets.Secret) {
	f.keysMu.Lock()
	defer f.keysMu.Unlock()
	if !slices.Contains(f.keys, key) {
		f.keys = append(f.keys, key)
	}
}

// redactKeys makes the redactor take out all keys that are known.
func (f *clients) redactKeys() {
	f.keysMu.Lock()
	defer f.keysMu.Unlock()
	f.redactor.Store(secrets.NewRedactor(f.keys...))
}

// readKey reads a key again, and tells the redactor of the new one as well; nil
// for keys that do not change.
func (f *clients) readKey(auth providers.Auth) func() (secrets.Secret, error) {
	if !auth.Changes() {
		return nil
	}
	return func() (secrets.Secret, error) {
		key, err := auth.Key()
		if err != nil {
			f.log.Warn("the key cannot be read again", "error", f.redact(err.Error()))
			return key, err
		}
		f.know(key)
		f.redactKeys()
		return key, nil
	}
}

// A RateLimitKey is what a server counts requests against: the place, the key
// and what is known of its limits. Endpoints that agree in all three share one
// limiter, also where they speak different protocols.
type RateLimitKey struct {
	server  string
	key     secrets.Secret
	missing providers.Auth // where the key would be, when it is not set
	limits  limits.Config
	account string // which key of workers; empty for one of this process
}

// RateLimitKeyOf is the rate-limit key of a model at an endpoint.
func RateLimitKeyOf(m plan.ResolvedModel, e providers.Endpoint) RateLimitKey {
	at := RateLimitKey{server: serverOf(m, e), limits: e.Limits}
	key, err := e.Auth.Key()
	if at.key = key; err != nil {
		at.missing = e.Auth
	}
	return at
}

// serverOf is the place where a server counts requests.
func serverOf(m plan.ResolvedModel, e providers.Endpoint) string {
	if u, err := url.Parse(e.BaseURL); err == nil && u.Host != "" && !m.Simulated {
		return u.Scheme + "://" + u.Host
	}
	return e.Name
}

// limiter returns the one limiter of a rate-limit key, shared by all models that
// use it.
func (f *clients) limiter(m plan.ResolvedModel, e providers.Endpoint) *limits.Limiter {
	return f.limiterAt(RateLimitKeyOf(m, e), e.Name, m, e)
}

func (f *clients) limiterAt(at RateLimitKey, name string, m plan.ResolvedModel, e providers.Endpoint) *limits.Limiter {
	f.mu.Lock()
	defer f.mu.Unlock()
	l, ok := f.limiters[at]
	if !ok {
		config := e.Limits
		config.MaxStall = f.maxStall
		l = limits.New(config)
		f.limiters[at] = l
		f.order = append(f.order, namedLimiter{name: name, config: e.Limits, Limiter: l})
	}
	for i := range f.order {
		if used := &f.order[i]; used.Limiter == l && !slices.Contains(used.models, m.Name) {
			used.models = append(used.models, m.Name)
		}
	}
	return l
}

// CheckSimulators finds what is wrong with the settings of simulators, each
// endpoint's once.
func CheckSimulators(p *plan.Resolved) error {
	seen := map[string]bool{}
	var problems []error
	for _, m := range p.Models {
		name := m.Endpoint.Name
		if !m.Simulated || seen[name] {
			continue
		}
		seen[name] = true
		if _, err := simulator.ParseConfig(m.Simulator); err != nil {
			problems = append(problems, Usagef("endpoint %s: simulator: %w", name, err))
		}
	}
	return errors.Join(problems...)
}

// simulator returns the in-process server behind an endpoint.
func (f *clients) simulator(m plan.ResolvedModel) (http.RoundTripper, error) {
	name := m.Endpoint.Name
	s, ok := f.simulators[name]
	if !ok {
		config, err := simulator.ParseConfig(m.Simulator)
		if err == nil {
			err = config.LoadAnswers(m.Folder)
		}
		if err != nil {
			return nil, Usagef("endpoint %s: simulator: %w", name, err)
		}
		s = simulator.New(config)
		f.simulators[name] = s
	}
	return s.Transport(), nil
}

// event logs what the clients tell.
func (f *clients) event(e providers.Event) {
	attrs := []any{"model", e.Flow}
	if e.Attempt > 0 {
		attrs = append(attrs, "attempt", e.Attempt)
	}
	if e.Err != nil {
		attrs = append(attrs, "error", f.redact(e.Err.Error()))
	}
	if e.Wait > 0 {
		attrs = append(attrs, "wait", e.Wait.Round(time.Millisecond))
	}
	if e.Kind == providers.EventStopped {
		f.log.Warn("stopped asking "+e.Endpoint, attrs...)
		return
	}
	if e.Kind == providers.EventSilent {
		f.log.Warn(e.Endpoint+" gives no answers and is tried now and then", attrs...)
		return
	}
	f.log.Debug(string(e.Kind), attrs...)
}

// Close ends idle connections and the simulators.
func (f *clients) Close() {
	for _, w := range f.wires {
		w.CloseIdleConnections()
	}
	for _, b := range f.batchers {
		b.Close()
	}
	for _, s := range f.simulators {
		s.Close()
	}
}
