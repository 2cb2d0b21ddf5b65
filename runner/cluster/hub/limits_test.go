package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
	"nightshift/providers/secrets"
	"nightshift/providers/simulator"
	"nightshift/providers/wire"
	"nightshift/runner/cluster/hub"
	"nightshift/runner/cluster/worker"
)

// A limited is a server with a rate limit.
type limited struct {
	name     string
	requests int64 // per minute
	headers  string
	minutes  int     // that are counted
	used     float64 // of the limit, in percent, at least
	long     bool
}

// Where no header tells the limit, the limiter infers it from refusals and then
// stays a little below: 94 to 99 % are used, alone as with workers.
var limitedServers = []limited{
	{"5/s, headers", 300, "auto", 10, 95, false},
	{"10/s, limits unknown", 600, "none", 10, 90, true},
	{"100/s, headers", 6000, "auto", 20, 95, true},
	{"100/s, limits unknown", 6000, "none", 20, 90, true},
	{"1,000/s, headers", 60_000, "auto", 3, 95, true},
}

// TestLimitsOfWorkers lets eight workers of one key use a server to its limit,
// beside a process that sends by itself: the hub has the same limiter, so they use
// as much and are refused as seldom.
func TestLimitsOfWorkers(t *testing.T) {
	for _, l := range limitedServers {
		if l.long && os.Getenv("NIGHTSHIFT_LONG") == "" {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			alone, refusedAlone := l.use(t, (*limitedRun).alone)
			workers, refused := l.use(t, func(r *limitedRun) { r.workers(8) })
			t.Logf("used: alone %.1f %%, eight workers %.1f %%; refused: %.2f %%, %.2f %%", alone, workers, refusedAlone,
				refused)
			if workers < l.used || refused > 1 || workers < alone-2 {
				t.Errorf("eight workers use %.1f %% and %.2f %% are refused; want %.0f %% and 1 %%, as alone", workers, refused,
					l.used)
			}
		})
	}
}

// A limitedRun is one client of a limited server.
type limitedRun struct {
	t      *testing.T
	server *simulator.Server
	client *providers.Client
	dir    string
	ctx    context.Context
	all    sync.WaitGroup
}

var limitedEndpoint = providers.Endpoint{Name: "corp", Protocol: nightshift.Chat, BaseURL: "https://simulator/v1",
	Auth: providers.Auth{Scheme: providers.AuthNone}}

func (r *limitedRun) wire() providers.Wire {
	w, err := wire.New(wire.Config{Endpoint: limitedEndpoint, Transport: r.server.Transport()})
	if err != nil {
		panic(err) // the endpoint above is wrong
	}
	return w
}

func newLimiter() *limits.Limiter {
	l := limits.New(limits.Config{})
	l.Seed(1)
	return l
}

func (r *limitedRun) alone() {
	r.client.Routes = []providers.ClientRoute{{Wire: r.wire(), Limiter: newLimiter()}}
}

// workers starts a hub and so many workers.
func (r *limitedRun) workers(n int) {
	h := hub.New(hub.Options{Run: "run", Version: "v", Epoch: 1})
	r.client.RoutesCome = true
	h.Add("corp", limitedEndpoint, func(a *hub.Account) {
		l := newLimiter()
		a.OnPlaces(l.SetPlaces)
		r.client.AddRoute(providers.ClientRoute{Name: a.Name, Wire: durable{a, h}, Limiter: l})
	}, r.client.LookAgain)
	began := time.Now()
	for i := range n {
		o := worker.Options{Name: fmt.Sprint("w", i), Spool: filepath.Join(r.dir, fmt.Sprint("w", i)), Version: "v",
			Clock: func() time.Duration { return time.Since(began) },
			Open: func(providers.Endpoint) (providers.Wire, secrets.Secret, error) {
				return r.wire(), secrets.New("key-of-all"), nil
			},
			Dial: func(context.Context) (net.Conn, error) {
				here, there := net.Pipe()
				go h.ServeConn(there)
				return here, nil
			}}
		r.all.Go(func() { _ = worker.Run(r.ctx, r.ctx, o) })
	}
	time.Sleep(5 * time.Second)
}

// A durable account has its answers on record as soon as they are there.
type durable struct {
	*hub.Account
	hub *hub.Hub
}

func (d durable) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	ex := d.Account.Send(ctx, p)
	d.hub.Durable("", "m", []string{`[{"n":1,"job":"` + p.Attempt + `"}]`})
	return ex
}

// use drives a client for five minutes and those that are counted.
func (l limited) use(t *testing.T, prepare func(*limitedRun)) (used, refused float64) {
	base := memoryDir(t)
	synctest.Test(t, func(t *testing.T) {
		server := simulator.New(simulator.Config{MaxLedger: -1,
			Limits:  simulator.Limits{Requests: l.requests, Burst: 5 * time.Second, Headers: l.headers},
			Latency: simulator.Latency{Base: 200 * time.Millisecond, PerToken: 5 * time.Millisecond}})
		defer server.Close()
		ctx, stop := context.WithCancel(t.Context())
		r := &limitedRun{t: t, server: server, dir: base, ctx: ctx,
			client: &providers.Client{Endpoint: "corp", Flow: "m", MaxOutput: 20}}
		prepare(r)
		var next atomic.Int64
		for range 64 + l.requests/60*4 {
			r.all.Go(func() {
				for ctx.Err() == nil {
					n := fmt.Sprint(next.Add(1))
					req := nightshift.Request{Model: "sim-large", Key: n,
						Params:   []nightshift.Param{{Name: "max_tokens", Value: json.RawMessage("20")}},
						Messages: []nightshift.Message{{Role: "user", Text: "say " + n}}}
					_, _ = r.client.Complete(ctx, req)
				}
			})
		}
		time.Sleep(5 * time.Minute)
		before := server.Ledger().Totals
		time.Sleep(time.Duration(l.minutes) * time.Minute)
		after := server.Ledger().Totals
		stop()
		r.all.Wait()
		time.Sleep(5 * time.Minute)
		used = 100 * float64(after.Answered-before.Answered) / float64(l.requests*int64(l.minutes))
		refused = 100 * float64(after.Refused-before.Refused) / float64(after.Received-before.Received)
	})
	return used, refused
}
