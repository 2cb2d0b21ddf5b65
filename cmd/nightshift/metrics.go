package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nightshift/providers/limits"
	"nightshift/runner/cluster/hub"
	"nightshift/runner/session"
)

// metricsAddress completes an address for metrics: the loopback interface
// unless an IP address says otherwise. Host names other than localhost are
// refused, since what they resolve to is nobody's decision.
func metricsAddress(addr string) (string, error) {
	if !strings.Contains(addr, ":") {
		addr = ":" + addr
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("%q is no address; write 9090, 127.0.0.1:9090 or [::1]:9090", addr)
	}
	switch {
	case host == "" || host == "localhost":
		host = "127.0.0.1"
	case net.ParseIP(host) == nil:
		return "", fmt.Errorf("%q is no IP address: metrics are served on this machine (127.0.0.1) unless an IP "+
			"address is given", host)
	}
	return net.JoinHostPort(host, port), nil
}

// serveMetrics serves /metrics at addr until close is called.
func serveMetrics(addr string, state func() session.State, log *slog.Logger) (bound string, close func(), err error) {
	if addr, err = metricsAddress(addr); err != nil {
		return "", nil, usageError("--metrics-addr: %w", err)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, usageError("--metrics-addr: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector(state), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer func() { done <- struct{}{} }()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("metrics are not served any more", "error", err)
		}
	}()
	return l.Addr().String(), func() { server.Close(); <-done }, nil
}

// startMetrics returns what serves metrics at an address; nil for none.
func startMetrics(addr string, log *slog.Logger) func(func() session.State) (func(), error) {
	if addr == "" {
		return nil
	}
	return func(state func() session.State) (end func(), err error) {
		bound, end, err := serveMetrics(addr, state, log)
		if err == nil {
			log.Info("metrics at http://" + bound + "/metrics")
		}
		return end, err
	}
}

// A collector reads where the run stands whenever it is asked, so that nothing
// is counted twice.
type collector func() session.State

// The metrics, by the names that docs/metrics.md documents.
var (
	metricRowsWanted = desc("rows_wanted", "Answers that the run is to bring: rows, models and epochs.")
	metricRows       = desc("rows_total", "Answers on record, those of earlier starts included.", "model", "outcome")
	metricAttempts   = desc("attempts_total", "Requests sent for the answers on record.", "model")
	metricTokens     = desc("tokens_total", "Tokens billed for the answers on record, as the servers reported them.",
		"model", "kind")
	metricCost        = desc("cost_usd_total", "What the answers on record cost, as far as it is known.", "model")
	metricCostUnknown = desc("cost_unknown_rows", "Answers whose cost is not known.", "model")
	metricRequests    = desc("requests_total", "Requests of this process by what became of them.", "endpoint",
		"result")
	metricInFlight = desc("in_flight", "Requests in flight.", "endpoint")
	metricWaiting  = desc("waiting", "Requests that wait for the limiter.", "endpoint")
	metricWindow   = desc("window", "Most requests in flight at present.", "endpoint")
	metricUsed     = desc("used_per_minute", "What answers used in the last minute.", "endpoint", "dimension")
	metricLimit    = desc("limit_per_minute", "The limit that is known, per minute; absent when none is.",
		"endpoint", "dimension")
	metricInferred = desc("learned_requests_per_minute", "The rate learned from refusals; absent when none is.",
		"endpoint")
	metricPaused = desc("paused_seconds", "How long the endpoint will not be asked; 0 when it may be.",
		"endpoint")
	metricFailing  = desc("failing_ratio", "Share of failures lately.", "endpoint")
	metricBreaker  = desc("breaker_open", "1 while the endpoint counts as down.", "endpoint")
	metricHeldBack = desc("held_back_seconds_total", "How long each thing has held requests back.", "endpoint",
		"bound")
	metricBudgetLimit  = desc("budget_limit", "The budget; absent when there is none.", "unit")
	metricBudgetSpent  = desc("budget_spent", "What is spent, earlier starts included.", "unit")
	metricBudgetOpen   = desc("budget_reserved", "The worst case of what is in flight.", "unit")
	metricBudgetNeeded = desc("budget_waiting", "Requests that wait for budget.")
	metricWorkers      = desc("workers", "Workers that are connected; absent without --listen.")
	metricWorkerInfo   = desc("worker_info", "1 for a worker that is connected, 0 for one that is away or gone.",
		"worker", "version")
	metricWorkerRequests = desc("worker_requests_total", "Requests of a worker by what became of them.",
		"worker", "result")
	metricWorkerSlots = desc("worker_slots", "Most requests in flight on a worker; 0 when it is not connected.",
		"worker")
	metricWorkerInFlight = desc("worker_in_flight", "Requests in flight on a worker.", "worker")
	metricWorkerHeld     = desc("worker_held", "Answers that a worker keeps until they are on record.", "worker")
)

// allMetrics are those above.
var allMetrics []*prometheus.Desc

func desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("nightshift_"+name, help, append([]string{"run"}, labels...), nil)
	allMetrics = append(allMetrics, d)
	return d
}

func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range allMetrics {
		out <- d
	}
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	state := c()
	put := func(kind prometheus.ValueType) func(*prometheus.Desc, float64, ...string) {
		return func(d *prometheus.Desc, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(d, kind, v, append([]string{state.Name}, labels...)...)
		}
	}
	count, gauge := put(prometheus.CounterValue), put(prometheus.GaugeValue)
	gauge(metricRowsWanted, float64(state.Items))
	for model, t := range state.Run.Totals.Models {
		for outcome, n := range t.Outcomes {
			count(metricRows, float64(n), model, string(outcome))
		}
		count(metricAttempts, float64(t.Attempts), model)
		count(metricTokens, float64(t.BilledInputTokens.N()), model, "input")
		count(metricTokens, float64(t.BilledOutputTokens.N()), model, "output")
		count(metricCost, t.Cost.Dollars(), model)
		gauge(metricCostUnknown, float64(t.CostUnknown), model)
	}
	for _, e := range state.Endpoints {
		limiterMetrics(e.Name, e.Limiter, count, gauge)
	}
	budgetMetrics(state.Budget, gauge)
	if state.Workers != nil {
		workerMetrics(state.Workers, count, gauge)
	}
}

func workerMetrics(list []hub.Worker, count, gauge putFunc) {
	connected := 0
	for _, w := range list {
		there, slots := 0.0, 0.0
		if w.Connected {
			there, slots = 1, float64(w.Slots)
			connected++
		}
		name := strings.ToValidUTF8(w.Name, "?")
		gauge(metricWorkerInfo, there, name, strings.ToValidUTF8(w.Version, "?"))
		for result, n := range map[string]int64{"answered": w.Answered, "refused": w.Refused, "failed": w.Failed,
			"lost": w.Lost, "late": w.Late} {
			count(metricWorkerRequests, float64(n), name, result)
		}
		gauge(metricWorkerSlots, slots, name)
		gauge(metricWorkerInFlight, float64(w.InFlight), name)
		gauge(metricWorkerHeld, float64(w.Held), name)
	}
	gauge(metricWorkers, float64(connected))
}

type putFunc = func(d *prometheus.Desc, v float64, labels ...string)

func limiterMetrics(name string, s limits.State, count, gauge putFunc) {
	for result, n := range map[string]int64{"answered": s.Succeeded, "refused": s.Refused, "failed": s.Failed} {
		count(metricRequests, float64(n), name, result)
	}
	gauge(metricInFlight, float64(s.InFlight), name)
	gauge(metricWaiting, float64(s.Waiting), name)
	gauge(metricWindow, float64(s.Window), name)
	for _, d := range session.Rates(s) {
		dimension := strings.ReplaceAll(d.Name, " ", "_")
		gauge(metricUsed, d.Used, name, dimension)
		if d.Limit > 0 {
			gauge(metricLimit, d.Limit, name, dimension)
		}
	}
	if s.Inferred > 0 {
		gauge(metricInferred, s.Inferred, name)
	}
	gauge(metricPaused, max(0, time.Until(s.PausedUntil).Seconds()), name)
	gauge(metricFailing, s.Failing, name)
	open := 0.0
	if s.BreakerOpen {
		open = 1
	}
	gauge(metricBreaker, open, name)
	for b := limits.LimitRequests; b <= limits.LimitBreaker; b++ {
		count(metricHeldBack, s.LimitedFor[b].Seconds(), name, b.String())
	}
}

func budgetMetrics(b session.Budget, gauge putFunc) {
	if b.Tokens > 0 {
		gauge(metricBudgetLimit, float64(b.Tokens), "tokens")
	}
	if b.USD > 0 {
		gauge(metricBudgetLimit, b.USD, "usd")
	}
	gauge(metricBudgetSpent, float64(b.SpentTokens), "tokens")
	gauge(metricBudgetSpent, b.SpentUSD, "usd")
	gauge(metricBudgetOpen, float64(b.ReservedTokens), "tokens")
	gauge(metricBudgetOpen, b.ReservedUSD, "usd")
	gauge(metricBudgetNeeded, float64(b.Waiting))
}
