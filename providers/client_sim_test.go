package providers_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
)

// A scenario is a server, what the client is told about it, and the figures
// to reach.
type scenario struct {
	name   string
	server modelServer
	config limits.Config
	want   float64 // share of the limit at least, in percent
	refuse float64 // refused requests at most, in percent
}

const lots = 256 // workers that would like to send

var scenarios = []scenario{
	{"60 s bucket, headers", modelServer{output: 80_000, tell: "headers"}, limits.Config{}, 95, 1},
	{"60 s bucket, late headers", modelServer{output: 80_000, tell: "late"}, limits.Config{}, 95, 1},
	{"5 s burst bucket, headers", modelServer{output: 80_000, burst: 5, tell: "headers"}, limits.Config{}, 95, 1},
	{"60 s bucket, Retry-After only", modelServer{output: 80_000, tell: "retry-after"},
		limits.Config{OutputTokens: 80_000}, 95, 1},
	{"5 s burst, limits unknown", modelServer{output: 80_000, burst: 5, tell: "nothing"}, limits.Config{}, 85, 1},
	{"60 s bucket, limits unknown", modelServer{output: 80_000, tell: "nothing"}, limits.Config{}, 85, 1},
	{"5 s burst, limits configured", modelServer{output: 80_000, burst: 5, tell: "nothing"},
		limits.Config{OutputTokens: 80_000}, 95, 1},
	{"fixed 60 s window, headers", modelServer{output: 80_000, window: 60, tell: "headers"}, limits.Config{}, 95, 1},
	{"fixed 60 s window, configured", modelServer{output: 80_000, window: 60, tell: "nothing"},
		limits.Config{OutputTokens: 80_000}, 95, 1},
	{"max_tokens charged, configured", modelServer{output: 80_000, charge: "max", tell: "retry-after"},
		limits.Config{OutputTokens: 80_000, Charge: limits.ChargeMaxTokens}, 95, 1},
	{"max_tokens charged, configured, headers", modelServer{output: 80_000, charge: "max", tell: "headers"},
		limits.Config{Charge: limits.ChargeMaxTokens}, 95, 1},
	{"max_tokens charged, inferred from headers", modelServer{output: 80_000, charge: "max", tell: "headers"},
		limits.Config{}, 95, 1},
	{"max_tokens charged, inferred from late headers", modelServer{output: 80_000, charge: "max", tell: "late"},
		limits.Config{}, 95, 1},
	{"max_tokens charged, inferred from refusals", modelServer{output: 80_000, charge: "max", tell: "nothing"},
		limits.Config{OutputTokens: 80_000}, 95, 1},
	{"max_tokens charged and refunded, headers", modelServer{output: 80_000, charge: "refund", tell: "headers"},
		limits.Config{}, 95, 1},
	{"24 concurrent, limits unknown", modelServer{slots: 24, tell: "nothing"}, limits.Config{}, 85, 1},
	{"24 concurrent, Retry-After", modelServer{slots: 24, tell: "retry-after"}, limits.Config{}, 85, 1},
	{"3 concurrent, limits unknown", modelServer{slots: 3, tell: "nothing"}, limits.Config{}, 85, 1},
	{"5 min outage", modelServer{output: 80_000, tell: "headers", outage: [2]float64{600, 900}}, limits.Config{}, 95, 1},
	{"5 min of silence", modelServer{output: 80_000, tell: "headers", hang: time.Minute, outage: [2]float64{600, 900}},
		limits.Config{}, 95, 1},
	{"10 % overloaded errors", modelServer{output: 80_000, tell: "headers", errors: 0.1}, limits.Config{}, 95, 1},
	{"competing client in bursts, headers",
		modelServer{output: 80_000, tell: "headers", neighbour: 1, period: 20, busy: 10}, limits.Config{}, 90, 5},
	{"competing client in bursts, Retry-After",
		modelServer{output: 80_000, tell: "retry-after", neighbour: 1, period: 20, busy: 10},
		limits.Config{OutputTokens: 80_000}, 90, 5},
	{"competing client in long bursts",
		modelServer{output: 80_000, tell: "headers", neighbour: 1.5, period: 120, busy: 40}, limits.Config{}, 90, 5},

	{"1 s burst bucket, headers", modelServer{output: 80_000, burst: 1, tell: "headers"}, limits.Config{}, 95, 1},
	{"1 s burst bucket, late headers", modelServer{output: 80_000, burst: 1, tell: "late"}, limits.Config{}, 95, 1},
	{"1 s burst bucket, configured", modelServer{output: 80_000, burst: 1, tell: "nothing"},
		limits.Config{OutputTokens: 80_000}, 95, 1},
	{"1 s burst bucket, slow answers", modelServer{output: 20_000, burst: 1, tell: "headers"}, limits.Config{}, 95, 1},

	{"long-tailed outputs", modelServer{output: 80_000, tell: "headers", tail: 1.4, maxTokens: 8192}, limits.Config{},
		95, 1},
	{"limited by input", modelServer{input: 200_000, output: 80_000, tell: "headers", meanIn: 4000, meanOut: 60},
		limits.Config{}, 95, 1},
	{"limited by requests", modelServer{requests: 240, output: 80_000, tell: "headers", meanOut: 50}, limits.Config{},
		95, 1},
	{"limited by requests, 1 s burst", modelServer{requests: 240, burst: 1, tell: "retry-after", meanOut: 50},
		limits.Config{Requests: 240}, 95, 1},
	{"total tokens", modelServer{tokens: 150_000, tell: "headers"}, limits.Config{}, 95, 1},
	{"tiny limits", modelServer{requests: 5, output: 1500, tell: "headers"}, limits.Config{}, 95, 1},
	{"big max_tokens, charged at the end", modelServer{output: 80_000, tell: "headers", maxTokens: 32_000},
		limits.Config{}, 95, 1},
	{"big max_tokens, charged at the start",
		modelServer{output: 400_000, charge: "max", tell: "headers", maxTokens: 32_000},
		limits.Config{Charge: limits.ChargeMaxTokens}, 95, 1},
	{"big max_tokens, inferred from headers",
		modelServer{output: 400_000, charge: "max", tell: "headers", maxTokens: 32_000}, limits.Config{}, 95, 1},
	{"large limits", modelServer{output: 600_000, tell: "headers"}, limits.Config{}, 95, 1},
}

func TestSimulatedHour(t *testing.T) {
	// The long form has the aims as they are. The short form counts a quarter
	// of an hour instead of fifty-five minutes: what a refusal or an idle
	// second costs weighs four times as much.
	end, seeds, slack, more := 20*time.Minute, uint64(1), 4.0, 1.0
	if long() {
		end, seeds, slack, more = time.Hour, 5, 0, 0
	}
	if n, err := strconv.ParseUint(os.Getenv("NIGHTSHIFT_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	if n, err := strconv.Atoi(os.Getenv("NIGHTSHIFT_MINUTES")); err == nil {
		end = time.Duration(n) * time.Minute
	}
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			for seed := uint64(1); seed <= seeds; seed++ {
				r := simulate(t, sc, seed, end)
				t.Log(r.text)
				if r.share < sc.want-slack || r.refused > sc.refuse+more || r.recovery > 30 {
					t.Errorf("seed %d: %.1f %% of the limit, %.2f %% refused, recovered in %.0f s; want %.0f %%, %.0f %%, 30 s",
						seed, r.share, r.refused, r.recovery, sc.want, sc.refuse)
				}
			}
		})
	}
}

// The same seed gives the same run, request by request: what the figures say
// of one run can be looked into in the next.
func TestSimulationIsRepeatable(t *testing.T) {
	for _, sc := range []scenario{
		{name: "errors and a competing client",
			server: modelServer{output: 80_000, burst: 5, tell: "headers", errors: 0.1, neighbour: 0.5, period: 20,
				busy: 10, outage: [2]float64{400, 430}}},
		{name: "limits unknown", server: modelServer{output: 80_000, burst: 1, tell: "nothing"}},
	} {
		once, again := simulate(t, sc, 1, 15*time.Minute), simulate(t, sc, 1, 15*time.Minute)
		if once != again {
			t.Errorf("two runs of one seed differ:\n%s\n%s", once.text, again.text)
		}
		if other := simulate(t, sc, 2, 15*time.Minute); other == once {
			t.Errorf("another seed changes nothing:\n%s", once.text)
		}
	}
}

func long() bool { return os.Getenv("NIGHTSHIFT_LONG") != "" }

// A result is what one simulated run reached.
type result struct {
	share, refused, recovery float64 // percent, percent, seconds
	text                     string
}

func simulate(t *testing.T, sc scenario, seed uint64, end time.Duration) (r result) {
	synctest.Test(t, func(t *testing.T) {
		server := sc.server
		server.seed = seed
		server.begin()
		limiter := limits.New(sc.config)
		limiter.Seed(seed)
		client := &providers.Client{
			Endpoint: "model", Flow: "m",
			Routes: []providers.ClientRoute{{Wire: &server, Limiter: limiter}},
		}
		failed := drive(client, lots, end)
		r = result{share: server.share(end.Seconds()), refused: server.refusedShare()}
		r.text = fmt.Sprintf("| %s | %d | %.1f | %.2f |", sc.name, seed, r.share, r.refused)
		if server.outage[1] > 0 {
			r.recovery = server.recovery()
			r.text += fmt.Sprintf(" recovery %.0f s", r.recovery)
		}
		r.text += fmt.Sprint(" ", server.seen.sent, " sent ", failed, " failed rows ", limiter.State().LimitedFor)
	})
	return r
}

// drive lets workers ask row after row until the time is over, and returns
// how many rows failed.
func drive(p nightshift.Provider, workers int, end time.Duration) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), end)
	defer cancel()
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			pass(ctx, time.Duration(w)*1013*time.Nanosecond) // in a known order
			for ctx.Err() == nil {
				key := "row-" + strconv.FormatInt(next.Add(1), 10)
				if _, err := p.Complete(ctx, nightshift.Request{Model: "m", Key: key}); err != nil && ctx.Err() == nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return failed.Load()
}

// Two limiters that share a bucket and know nothing of each other, as two
// processes with one key do: each asks for the whole limit, and finds its part
// by being refused.
func TestTwoLimitersOneBucket(t *testing.T) {
	end, seeds := 20*time.Minute, uint64(1)
	if long() {
		end, seeds = time.Hour, 5
	}
	for _, sc := range []scenario{
		{"requests, headers", modelServer{requests: 600, burst: 5, tell: "headers", meanOut: 50}, limits.Config{}, 90, 5},
		{"requests, Retry-After", modelServer{requests: 600, burst: 5, tell: "retry-after", meanOut: 50},
			limits.Config{}, 85, 5},
		// What the other uses may look like max_tokens being charged: then both
		// are content with less.
		{"output, headers", modelServer{output: 80_000, tell: "headers"}, limits.Config{}, 75, 5},
		{"output, burst 5 s, headers", modelServer{output: 80_000, burst: 5, tell: "headers"}, limits.Config{}, 85, 5},
		{"output, burst 5 s, limits unknown", modelServer{output: 80_000, burst: 5, tell: "nothing"}, limits.Config{}, 85, 5},
	} {
		t.Run(sc.name, func(t *testing.T) {
			for seed := uint64(1); seed <= seeds; seed++ {
				share, refused := simulateTwo(t, sc, seed, end)
				t.Logf("| %s | %d | %.1f | %.2f |", sc.name, seed, share, refused)
				if share < sc.want || refused > sc.refuse {
					t.Errorf("seed %d: %.1f %% of the limit, %.2f %% refused; want %.0f %%, %.0f %%", seed, share,
						refused, sc.want, sc.refuse)
				}
			}
		})
	}
}

func simulateTwo(t *testing.T, sc scenario, seed uint64, end time.Duration) (share, refused float64) {
	synctest.Test(t, func(t *testing.T) {
		server := sc.server
		server.seed = seed
		server.begin()
		var both sync.WaitGroup
		for i := range 2 {
			limiter := limits.New(sc.config)
			limiter.Seed(seed + uint64(i))
			client := &providers.Client{
				Endpoint: "model", Flow: "m",
				Routes: []providers.ClientRoute{{Wire: &server, Limiter: limiter}},
			}
			both.Go(func() {
				pass(t.Context(), time.Duration(i)*509*time.Nanosecond)
				drive(ownRows{client, strconv.Itoa(i + 1)}, lots/2, end)
			})
		}
		both.Wait()
		share, refused = server.share(end.Seconds()), server.refusedShare()
	})
	return share, refused
}

// ownRows gives the rows of one client numbers that another's do not have.
type ownRows struct {
	nightshift.Provider
	prefix string
}

func (p ownRows) Complete(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
	req.Key = "row-" + p.prefix + strings.TrimPrefix(req.Key, "row-")
	return p.Provider.Complete(ctx, req)
}
