package providers_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
)

// A randomServer refuses a share of the requests at random, as some queues,
// gateways and shared servers do. It has no limit beside, or a bucket of a
// second's requests.
type randomServer struct {
	share  float64
	after  time.Duration // Retry-After; 0 is none
	answer time.Duration
	limit  float64 // requests a second; 0 is none

	mu                sync.Mutex
	rng               *rand.Rand
	answered, refused int
	level             float64
	at                time.Time
}

// admits decides on a request.
func (s *randomServer) admits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.limit > 0 {
		s.level = min(s.limit, s.level+s.limit*now.Sub(s.at).Seconds())
		s.at = now
	}
	if s.rng.Float64() < s.share || s.limit > 0 && s.level < 1 {
		s.refused++
		return false
	}
	s.level--
	return true
}

func (s *randomServer) Prepare(req nightshift.Request) (providers.Prepared, error) {
	return providers.Prepared{Key: req.Key, Model: req.Model, InputText: 400, MaxOutput: 100}, nil
}

func (s *randomServer) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	if !pass(ctx, 2*time.Millisecond+ownInstant(1, p.Key)) {
		return broken(ctx)
	}
	if !s.admits() {
		ex := fails(nightshift.ClassRateLimit, 429)
		ex.Limits.RetryAfter, ex.Limits.HasRetryAfter = s.after, s.after > 0
		return ex
	}
	if !pass(ctx, s.answer) {
		return broken(ctx)
	}
	s.mu.Lock()
	s.answered++
	s.mu.Unlock()
	return providers.Exchange{Sent: true, Response: nightshift.Response{
		Status: 200, Usage: nightshift.Usage{Input: nightshift.Tokens(100), Output: nightshift.Tokens(50)},
	}}
}

func (s *randomServer) count() (answered, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered, s.refused
}

// A randomCase is a server without limits and the most that its refusals may
// cost, in percent of what it answers without them.
type randomCase struct {
	share float64
	cost  float64
}

var randomCases = []randomCase{{0.001, 5}, {0.005, 10}, {0.02, 15}, {0.05, 25}}

// answeredBetween is how many rows the server answers, and refuses, between two
// times, asked by a client that may have so many in flight.
func answeredBetween(t *testing.T, s *randomServer, config limits.Config, seed uint64, from, to time.Duration) (n,
	refused int) {
	synctest.Test(t, func(t *testing.T) {
		s.rng, s.at = rand.New(rand.NewPCG(seed, 3)), time.Now()
		limiter := limits.New(config)
		limiter.Seed(seed)
		client := &providers.Client{Endpoint: "model", Flow: "m",
			Routes: []providers.ClientRoute{{Wire: s, Limiter: limiter}}}
		var answeredBefore, refusedBefore int
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(from)
			answeredBefore, refusedBefore = s.count()
		})
		drive(client, min(9*config.Concurrency, 4096), to)
		wg.Wait()
		n, refused = s.count()
		n, refused = n-answeredBefore, refused-refusedBefore
	})
	return n, refused
}

// TestRandomRefusals: refusals that come at any rate cost little more than
// the requests that are refused, whether limits are configured or not and
// whether the server says how long to wait or not.
func TestRandomRefusals(t *testing.T) {
	type server struct {
		inFlight int
		answer   time.Duration
	}
	servers := []server{{64, time.Second}}
	from, to, seeds := 30*time.Second, 90*time.Second, uint64(1)
	if long() { // quick answers to a thousand are many: a few seconds of them
		servers = append(servers, server{64, 100 * time.Millisecond}, server{64, 20 * time.Millisecond},
			server{1000, time.Second}, server{1000, 100 * time.Millisecond})
	}
	m := table{
		file: "rate-control-random.md", title: "Refusals at random, measured",
		about: "Throughput that is lost to a share of refusals, in percent; without and with configured limits, without\n" +
			"`Retry-After` and with one of a second.",
		head: "server | 0.1 % refused | 0.5 % | 2 % | 5 %",
	}
	for _, sv := range servers {
		lost := make([]span, len(randomCases))
		for name, config := range map[string]limits.Config{
			"limits not configured": {Concurrency: sv.inFlight},
			"limits configured":     {Concurrency: sv.inFlight, Requests: 10_000_000, Tokens: 1e9},
		} {
			start, end := from, to
			if sv.inFlight > 64 && sv.answer < time.Second {
				start = 15 * time.Second
			}
			if sv.answer < time.Second { // as many requests in less time
				end = start + 5*time.Second
			}
			whole, _ := answeredBetween(t, &randomServer{answer: sv.answer}, config, 1, start, end)
			for _, after := range []time.Duration{0, time.Second} {
				for i, tc := range randomCases {
					for seed := uint64(1); seed <= seeds; seed++ {
						n, _ := answeredBetween(t, &randomServer{answer: sv.answer, share: tc.share, after: after},
							config, seed, start, end)
						cost := 100 * (1 - float64(n)/float64(whole))
						t.Logf("| %d in flight, answers of %v, %s | %v | %.1f | %.1f |", sv.inFlight, sv.answer, name,
							after, 100*tc.share, cost)
						lost[i].add(max(0, cost))
						if cost > tc.cost {
							t.Errorf("%d in flight, answers of %v, %s, Retry-After %v, seed %d: %.1f %% random "+
								"refusals cost %.1f %%, want %.0f %% at most",
								sv.inFlight, sv.answer, name, after, seed, 100*tc.share, cost, tc.cost)
						}
					}
				}
			}
		}
		cells := []string{fmt.Sprintf("%d in flight, answers of %v", sv.inFlight, sv.answer)}
		for _, s := range lost {
			cells = append(cells, s.text(1))
		}
		m.add(t, cells...)
	}
	if long() {
		m.write(t)
	}
}

// TestRandomRefusalsOfAShortRun: refusals that come at any rate cost a run of
// 30,000 rows in ten seconds no larger a share than a long one, from the first
// request of a new limiter on.
func TestRandomRefusalsOfAShortRun(t *testing.T) {
	cases, seeds := []randomCase{randomCases[1], randomCases[3]}, uint64(1)
	if long() {
		cases, seeds = randomCases, 5
	}
	const answer, length = 20 * time.Millisecond, 10 * time.Second
	for name, config := range map[string]limits.Config{
		"limits not configured": {Concurrency: 64},
		"limits configured":     {Concurrency: 64, Requests: 10_000_000, Tokens: 1e9},
	} {
		whole, _ := answeredBetween(t, &randomServer{answer: answer}, config, 1, 0, length)
		for i, tc := range cases {
			for _, after := range afters(i) {
				for seed := uint64(1); seed <= seeds; seed++ {
					n, _ := answeredBetween(t, &randomServer{answer: answer, share: tc.share, after: after}, config, seed, 0, length)
					cost := 100 * (1 - float64(n)/float64(whole))
					t.Logf("| %s | %v | %.1f | %.1f |", name, after, 100*tc.share, cost)
					if cost > tc.cost {
						t.Errorf("%s, Retry-After %v, seed %d: %.1f %% random refusals cost %.1f %% of %d answers, want %.0f %% at most",
							name, after, seed, 100*tc.share, cost, whole, tc.cost)
					}
				}
			}
		}
	}
}

// afters are the values of Retry-After for the i-th case: both in the long form,
// else one by turns.
func afters(i int) []time.Duration {
	both := []time.Duration{0, time.Second}
	if long() {
		return both
	}
	return both[i%2 : i%2+1]
}

// TestLimitOfManyRequests: where many requests are sent and a first refusal
// therefore pauses nobody, a limit that nobody told of is found all the same,
// also one that is hardly below what is sent. What is counted begins ten
// seconds after the start, so what was measured first may still be too low.
func TestLimitOfManyRequests(t *testing.T) {
	parts, seeds := []float64{0.9, 0.1}, uint64(1)
	if long() {
		parts, seeds = []float64{0.97, 0.9, 0.5, 0.1}, 2
	}
	const answer, start, end = 20 * time.Millisecond, 10 * time.Second, 30 * time.Second
	config := limits.Config{Concurrency: 64}
	whole, _ := answeredBetween(t, &randomServer{answer: answer}, config, 1, 0, 10*time.Second)
	for i, part := range parts {
		for _, after := range afters(i) {
			for seed := uint64(1); seed <= seeds; seed++ {
				s := &randomServer{answer: answer, after: after, limit: part * float64(whole) / 10}
				n, refused := answeredBetween(t, s, config, seed, start, end)
				used := percent(int64(n), int64(s.limit*(end-start).Seconds()))
				refusals := percent(int64(refused), int64(n+refused))
				t.Logf("| %v | %v | %.1f | %.2f |", part, after, used, refusals)
				if used < 75 || refusals > 1 {
					t.Errorf("a limit of %v of what could be sent, Retry-After %v, seed %d: %.1f %% used, %.2f %% "+
						"refused; want 75 %%, 1 %%",
						part, after, seed, used, refusals)
				}
			}
		}
	}
}

// TestLimitBesideRandomRefusals: a limit is still found and used where some
// requests are refused at random too. Where a refusal comes once a minute only, it takes
// half of an hour until there are enough of them to tell, and a small bucket
// may look smaller: there the aim of 90 % is missed.
func TestLimitBesideRandomRefusals(t *testing.T) {
	end, seeds := 20*time.Minute, uint64(1)
	if long() {
		end, seeds = time.Hour, 3
	}
	m := table{
		file: "rate-control-beside-random.md", title: "A limit beside refusals at random, measured",
		about: fmt.Sprintf("80,000 output tokens a minute; %v simulated, %d seeds; percent.", end, seeds),
		head:  "server | 0.5 % refused: used | refused | 2 %: used | refused | 5 %: used | refused",
	}
	servers := []scenario{
		{"60 s bucket, headers", modelServer{output: 80_000, tell: "headers"}, limits.Config{}, 90, 1},
		{"60 s bucket, limits configured", modelServer{output: 80_000, tell: "nothing"},
			limits.Config{OutputTokens: 80_000}, 80, 1},
		{"5 s burst bucket, headers", modelServer{output: 80_000, burst: 5, tell: "headers"}, limits.Config{}, 80, 1},
	}
	if long() { // Eight seeds of an hour use 82 % or more, and have at most 2.1 % refused beyond the share.
		servers = append(servers, scenario{"60 s bucket, limits unknown", modelServer{output: 80_000, tell: "nothing"},
			limits.Config{}, 75, 3})
	}
	for _, sc := range servers {
		cells := []string{sc.name}
		for _, share := range []float64{0.005, 0.02, 0.05} {
			var used, refused span
			for seed := uint64(1); seed <= seeds; seed++ {
				sc.server.refusals = share
				r := simulate(t, sc, seed, end)
				used.add(r.share)
				refused.add(r.refused)
				t.Logf("%.1f %% at random: %s", 100*share, r.text)
				if r.share < sc.want || r.refused > 100*share+sc.refuse {
					t.Errorf("%s, seed %d: %.1f %% of the limit used, %.2f %% refused; want %.0f %%, %.1f %%",
						sc.name, seed, r.share, r.refused, sc.want, 100*share+sc.refuse)
				}
			}
			cells = append(cells, used.text(0), refused.text(1))
		}
		m.add(t, cells...)
	}
	m.write(t)
}
