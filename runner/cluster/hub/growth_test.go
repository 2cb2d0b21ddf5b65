package hub_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
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

// Workers each with a server of 100 requests/s for itself bring as many times 100,
// however they come: the first that is there gets all rows at once, more than its
// server's bucket holds.
func TestServersOfWorkers(t *testing.T) {
	if os.Getenv("NIGHTSHIFT_LONG") == "" {
		t.Skip("sends 100,000 requests; set NIGHTSHIFT_LONG=1")
	}
	for _, n := range []int{1, 2, 4, 8} {
		for _, apart := range []time.Duration{0, 100 * time.Millisecond, time.Second} {
			rate := rateOf(t, n, apart)
			t.Logf("%d workers, %v apart: %.1f requests/s", n, apart, rate)
			if rate < 0.95*100*float64(n) {
				t.Errorf("%d workers, %v apart: %.1f requests/s", n, apart, rate)
			}
		}
	}
}

// rateOf is how many requests a second so many workers bring, counted for 15
// seconds from 5 seconds after the last has come.
func rateOf(t *testing.T, n int, apart time.Duration) (rate float64) {
	base := memoryDir(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		r := &limitedRun{t: t, dir: base, ctx: ctx,
			client: &providers.Client{Endpoint: "corp", Flow: "m", MaxOutput: 20, RoutesCome: true}}
		h := hub.New(hub.Options{Run: "run", Version: "v", Epoch: 1})
		h.Add("corp", limitedEndpoint, func(a *hub.Account) {
			l := limits.New(limits.Config{Concurrency: 50 * n})
			l.Seed(1)
			a.OnPlaces(l.SetPlaces)
			r.client.AddRoute(providers.ClientRoute{Name: a.Name, Wire: durable{a, h}, Limiter: l})
		}, r.client.LookAgain)
		r.rows(9 * 50 * n)
		servers := make([]*simulator.Server, n)
		for i := range servers {
			servers[i] = r.workerWithServer(h, fmt.Sprint("w", i))
			time.Sleep(apart)
		}
		passed := func() (sum int64) {
			for _, s := range servers {
				l := s.Ledger().Totals
				sum += l.Received - l.Refused
			}
			return sum
		}
		time.Sleep(5 * time.Second)
		before := passed()
		time.Sleep(15 * time.Second)
		rate = float64(passed()-before) / 15
		stop()
		r.all.Wait()
		for _, s := range servers {
			s.Close()
		}
		time.Sleep(5 * time.Minute)
	})
	return rate
}

// rows sends so many rows at a time.
func (r *limitedRun) rows(atATime int) {
	var next atomic.Int64
	for range atATime {
		r.all.Go(func() {
			for r.ctx.Err() == nil {
				n := fmt.Sprint(next.Add(1))
				req := nightshift.Request{Model: "sim-large", Key: n,
					Messages: []nightshift.Message{{Role: nightshift.RoleUser, Text: "say " + n}}}
				_, _ = r.client.Complete(r.ctx, req)
			}
		})
	}
}

// workerWithServer starts a worker that alone reaches a server.
func (r *limitedRun) workerWithServer(h *hub.Hub, name string) *simulator.Server {
	server := simulator.New(simulator.Config{MaxLedger: -1, Limits: simulator.Limits{Requests: 6000, Burst: time.Second},
		Latency: simulator.Latency{Base: 200 * time.Millisecond}})
	began := time.Now()
	o := worker.Options{Name: name, Spool: filepath.Join(r.dir, name), Version: "v",
		Private: map[string]string{"corp": "http://" + name + "/v1"},
		Clock:   func() time.Duration { return time.Since(began) },
		Open: func(providers.Endpoint) (providers.Wire, secrets.Secret, error) {
			w, err := wire.New(wire.Config{Endpoint: limitedEndpoint, Transport: server.Transport()})
			return w, secrets.Secret{}, err
		},
		Dial: func(context.Context) (net.Conn, error) {
			here, there := net.Pipe()
			go h.ServeConn(there)
			return here, nil
		}}
	r.all.Go(func() { _ = worker.Run(r.ctx, r.ctx, o) })
	return server
}
