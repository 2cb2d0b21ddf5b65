package providers_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
)

// usualClient is what most people write: try, and on any refusal or failure
// sleep twice as long as the last time, with jitter, obeying Retry-After. It
// is here to be compared with; each of its workers learns alone.
type usualClient struct{ wire providers.Wire }

func (c usualClient) Complete(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
	p, err := c.wire.Prepare(req)
	if err != nil {
		return nightshift.Response{}, err
	}
	sleep := 500 * time.Millisecond
	for {
		ex := c.wire.Send(ctx, p)
		if ex.Err == nil || ctx.Err() != nil {
			return ex.Response, ctx.Err()
		}
		wait := time.Duration(float64(sleep) * (0.75 + 0.25*rand.Float64()))
		if ex.Limits.HasRetryAfter {
			wait = max(wait, ex.Limits.RetryAfter)
		}
		if !pass(ctx, wait) {
			return ex.Response, ctx.Err()
		}
		sleep = min(2*sleep, 8*time.Second)
	}
}

// The table of docs/rate-control.md: every scenario with this client, and with
// 64 workers that back off exponentially. Printed with -v in the long form.
func TestSideBySide(t *testing.T) {
	if !long() {
		t.Skip("takes a minute; set NIGHTSHIFT_LONG=1 and -v to see the table")
	}
	m := table{
		file: "rate-control-models.md", title: "Rate control against server models, measured",
		about: "One simulated hour each, five seeds; percent, lowest to highest seed.",
		head:  "server | used | refused | 64 workers: used | refused",
	}
	for _, sc := range scenarios {
		var ours, theirs, refused, refusedTheirs span
		var recovery span
		for seed := uint64(1); seed <= 5; seed++ {
			r := simulate(t, sc, seed, time.Hour)
			ours.add(r.share)
			refused.add(r.refused)
			if r.recovery > 0 {
				recovery.add(r.recovery)
			}
			synctest.Test(t, func(t *testing.T) {
				server := sc.server
				server.seed = seed
				server.begin()
				drive(usualClient{&server}, 64, time.Hour)
				theirs.add(server.share(3600))
				refusedTheirs.add(server.refusedShare())
			})
		}
		name := sc.name
		if recovery.n > 0 {
			name += fmt.Sprintf(" (back after %s s)", recovery.text(0))
		}
		m.add(t, name, ours.text(1), refused.text(2), theirs.text(0), refusedTheirs.text(0))
	}
	m.write(t)
}

// A span is the least and the most of some figures.
type span struct {
	least, most float64
	n           int
}

func (s *span) add(x float64) {
	if s.n == 0 {
		s.least, s.most = x, x
	}
	s.least, s.most, s.n = min(s.least, x), max(s.most, x), s.n+1
}

func (s *span) text(digits int) string {
	low, high := fmt.Sprintf("%.*f", digits, s.least), fmt.Sprintf("%.*f", digits, s.most)
	if low == high {
		return low
	}
	return low + "–" + high
}

// A day (two hours in the short form) of errors, refusals and an outage: no
// goroutine stays behind, and the heap does not grow.
func TestLongRun(t *testing.T) {
	hours, want := 2, int64(25_000)
	if long() {
		hours, want = 24, 300_000
	}
	synctest.Test(t, func(t *testing.T) {
		server := modelServer{output: 112_000, tell: "headers", errors: 0.02, refusals: 0.002,
			outage: [2]float64{4000, 4300}, seed: 3}
		server.meanOut = 400
		server.begin()
		client := &providers.Client{Endpoint: "model", Flow: "m",
			Routes: []providers.ClientRoute{{Wire: &server, Limiter: limits.New(limits.Config{})}}}
		before := runtime.NumGoroutine()
		var heap []uint64
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			for pass(ctx, 30*time.Minute) {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				heap = append(heap, m.HeapAlloc)
			}
		})
		failed := drive(client, 100, time.Duration(hours)*time.Hour)
		cancel()
		wg.Wait()
		synctest.Wait()
		// The count is the whole process's, and the runtime starts workers of
		// its own; a leak of ours would be one of every so many requests. A
		// goroutine is counted until it has been off its processor once more.
		left := runtime.NumGoroutine() - before
		for try := 0; left > 4 && try < 10_000; try++ {
			runtime.Gosched()
			left = runtime.NumGoroutine() - before
		}
		if left > 4 {
			t.Errorf("%d goroutines are left", left)
		}
		state := client.Routes[0].Limiter.State()
		if state.InFlight != 0 || state.Waiting != 0 || state.Sent < want {
			t.Errorf("%d sent, want %d; %d in flight and %d waiting at the end", state.Sent, want, state.InFlight, state.Waiting)
		}
		if failed > state.Sent/1000 {
			t.Errorf("%d rows of %d failed", failed, state.Sent)
		}
		first, last := heap[min(3, len(heap)-2)], heap[len(heap)-1]
		t.Logf("%d requests, heap %d kB after two hours, %d kB at the end", state.Sent, first>>10, last>>10)
		if float64(last) > 1.1*float64(first)+1<<20 {
			t.Errorf("the heap grew from %d to %d bytes", first, last)
		}
	})
}

// A thousand runs (a hundred in the short form) of clients with wrong
// estimates against servers with faults, models sharing one budget: what the
// servers billed never passes it, and every row either ended or has not run.
func TestBudgetHoldsThroughFaults(t *testing.T) {
	runs := uint64(100)
	if long() {
		runs = 1000
	}
	for seed := range runs {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			budget := &limits.Budget{Tokens: 20_000 + rng.Int64N(400_000)}
			if rng.IntN(2) == 0 {
				budget.Cost = nightshift.NanoUSD(budget.Tokens * (1 + rng.Int64N(4)))
			}
			var servers []*modelServer
			var wg sync.WaitGroup
			end := time.Duration(2+rng.IntN(60)) * time.Minute
			for range 1 + rng.IntN(3) {
				server := &modelServer{
					seed: seed, output: 1e5 + 1e6*rng.Float64(), tell: []string{"headers", "nothing", "retry-after"}[rng.IntN(3)],
					errors: 0.3 * rng.Float64(), refusals: 0.2 * rng.Float64(), tail: 1.5 * rng.Float64(),
					meanIn: 10 + 2000*rng.Float64(), meanOut: 10 + 800*rng.Float64(), maxTokens: 50 + rng.Int64N(4000),
				}
				server.begin()
				servers = append(servers, server)
				client := &providers.Client{
					Endpoint: "model", Flow: "m", Budget: budget, Price: price, WorstPrice: worstPrice,
					Routes: []providers.ClientRoute{{Wire: server, Limiter: limits.New(limits.Config{})}},
				}
				workers := 1 + rng.IntN(60)
				wg.Go(func() { spendAll(client, workers, end) })
			}
			wg.Wait()
			time.Sleep(time.Hour) // answers that nobody waits for are billed too
			var tokens int64
			for _, s := range servers {
				tokens += s.seen.billed
			}
			booked, cost := budget.Spent()
			if tokens > budget.Tokens || booked < tokens || (budget.Cost > 0 && cost > budget.Cost) {
				t.Errorf("seed %d: %d tokens billed and %d booked of %d; %d of %d spent", seed, tokens, booked,
					budget.Tokens, cost, budget.Cost)
			}
		})
	}
}

// spendAll asks until the budget is spent or the time over.
func spendAll(p nightshift.Provider, workers int, end time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), end)
	defer cancel()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := w; ctx.Err() == nil; n += workers {
				_, err := p.Complete(ctx, nightshift.Request{Model: "m", Key: fmt.Sprintf("row-%d", n)})
				if e := ending(err); err != nil && ctx.Err() == nil && e != "row" {
					return // the budget
				}
			}
		})
	}
	wg.Wait()
}
