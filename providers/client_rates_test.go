package providers_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"context"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
	"nightshift/providers/simulator"
	"nightshift/providers/wire"
)

// The scenarios of this file run the whole way down: client, limiter, encoder,
// HTTP, header parser. The other side is the simulator, whose rate limits were
// written by others and which tells of them in the vendors' own headers.

// A loadTest is a simulated server, what the client knows beforehand, and
// the figures to reach.
type loadTest struct {
	name     string
	protocol nightshift.Protocol
	stream   bool
	limits   string // as `nightshift simulate --limits` takes them
	faults   string
	latency  string // empty is slowAnswers
	outage   bool   // five minutes, after ten
	share    float64
	period   time.Duration // of the neighbour, who is busy for
	busy     time.Duration
	config   limits.Config
	before   int     // requests of another client, half a minute before ours begins
	want     float64 // share of the limit at least, in percent
	refuse   float64 // refused requests at most, in percent
	short    bool    // belongs to the short form too
}

const (
	slowAnswers  = "base=80ms,first=400ms,per_token=20ms,jitter=0.3"
	quickAnswers = "base=20ms,first=30ms,jitter=0.4"
	rowTokens    = 1024 // max_tokens of every request
)

var loadTests = []loadTest{
	{name: "output limit, headers", protocol: nightshift.Messages, limits: "output=80000", want: 95, refuse: 1},
	{name: "the same, streamed", protocol: nightshift.Messages, stream: true, limits: "output=80000", want: 95, refuse: 1},
	{name: "three limits, limited by output", protocol: nightshift.Messages,
		limits: "requests=4000,input=400000,output=80000,burst=15s", want: 95, refuse: 1},
	{name: "three limits, limited by input", protocol: nightshift.Messages,
		limits: "requests=4000,input=30000,output=160000,burst=15s", want: 95, refuse: 1, short: true},
	{name: "output, burst 5 s", protocol: nightshift.Messages, limits: "output=80000,burst=5s", want: 95, refuse: 1,
		short: true},
	{name: "output, burst 2 s", protocol: nightshift.Messages, limits: "output=80000,burst=2s", want: 95, refuse: 1},
	{name: "output, burst 1 s", protocol: nightshift.Messages, limits: "output=80000,burst=1s", want: 95, refuse: 1},
	{name: "total tokens, OpenAI headers", protocol: nightshift.Chat, limits: "requests=2000,tokens=120000", want: 95,
		refuse: 1},
	{name: "total tokens, burst 5 s, OpenAI headers", protocol: nightshift.Chat,
		limits: "requests=2000,tokens=120000,burst=5s", want: 95, refuse: 1, short: true},
	{name: "max_tokens charged, OpenAI headers, charge configured", protocol: nightshift.Chat,
		limits: "tokens=240000,charge=max_tokens", config: limits.Config{Charge: limits.ChargeMaxTokens}, want: 95,
		refuse: 1},
	{name: "max_tokens charged, OpenAI headers, charge unknown", protocol: nightshift.Chat,
		limits: "tokens=240000,charge=max_tokens", want: 95, refuse: 1, short: true},
	{name: "max_tokens charged, Retry-After only, charge unknown", protocol: nightshift.Chat,
		limits: "tokens=240000,charge=max_tokens,headers=retry-after", config: limits.Config{Tokens: 240_000}, want: 95,
		refuse: 1},
	{name: "Azure: requests and tokens", protocol: nightshift.Chat,
		limits: "requests=600,tokens=120000,headers=azure,burst=10s", want: 95, refuse: 1},
	{name: "OpenRouter: reset only when refused, limits configured", protocol: nightshift.Chat,
		limits: "tokens=120000,headers=openrouter", config: limits.Config{Tokens: 120_000}, want: 95, refuse: 1},
	{name: "output limit, Retry-After only, limits configured", protocol: nightshift.Messages,
		limits: "output=80000,headers=retry-after", config: limits.Config{OutputTokens: 80_000}, want: 95, refuse: 1},
	{name: "output limit, limits unknown", protocol: nightshift.Messages, limits: "output=80000,headers=none", want: 85,
		refuse: 1},
	{name: "output, burst 5 s, limits unknown", protocol: nightshift.Messages,
		limits: "output=80000,burst=5s,headers=none", want: 85, refuse: 1},
	{name: "output, burst 5 s, Retry-After only", protocol: nightshift.Messages,
		limits: "output=80000,burst=5s,headers=retry-after", want: 85, refuse: 1, short: true},
	// One seed of eight takes the rate for a limit on requests in flight for
	// twenty minutes, and has 1.2 % refused.
	{name: "requests, burst 5 s, limits unknown", protocol: nightshift.Chat,
		limits: "requests=300,burst=5s,headers=none", want: 85, refuse: 1.5, short: true},
	{name: "requests, burst 2 s, headers, quick answers", protocol: nightshift.Messages, latency: quickAnswers,
		limits: "requests=3000,burst=2s", want: 95, refuse: 1},
	{name: "requests, burst 1 s, limits configured, quick answers", protocol: nightshift.Messages,
		latency: quickAnswers, limits: "requests=3000,burst=1s,headers=none", config: limits.Config{Requests: 3000},
		want: 95, refuse: 1},
	{name: "requests, burst 2 s, limits unknown, quick answers", protocol: nightshift.Messages, latency: quickAnswers,
		limits: "requests=3000,burst=2s,headers=none", want: 85, refuse: 1},
	{name: "fixed minutes, headers", protocol: nightshift.Messages, limits: "output=80000,window=60s", want: 95,
		refuse: 1},
	{name: "fixed minutes of requests, headers", protocol: nightshift.Chat, limits: "requests=300,window=60s", want: 95,
		refuse: 1},
	{name: "fixed minutes, limits configured", protocol: nightshift.Messages,
		limits: "output=80000,window=60s,headers=none", config: limits.Config{OutputTokens: 80_000}, want: 95, refuse: 1},
	{name: "sliding minute, 60 requests, limits configured", protocol: nightshift.Chat, latency: quickAnswers,
		limits: "requests=60,sliding=60s,headers=none", config: limits.Config{Requests: 60}, want: 95, refuse: 1,
		short: true},
	{name: "sliding minute, 60 requests, limits unknown", protocol: nightshift.Chat, latency: quickAnswers,
		limits: "requests=60,sliding=60s,headers=none", want: 95, refuse: 3},
	{name: "sliding minute, 40 requests, limits configured", protocol: nightshift.Chat, latency: quickAnswers,
		limits: "requests=40,sliding=60s,headers=none", config: limits.Config{Requests: 40}, want: 95, refuse: 1},
	{name: "sliding minute, 40 requests, limits unknown", protocol: nightshift.Chat, latency: quickAnswers,
		limits: "requests=40,sliding=60s,headers=none", want: 95, refuse: 3},
	{name: "sliding minute, 60 requests, half full, limits unknown", protocol: nightshift.Chat, latency: quickAnswers,
		limits: "requests=60,sliding=60s,headers=none", before: 30, want: 95, refuse: 3},
	{name: "sliding minute, 40 requests, half full, limits unknown", protocol: nightshift.Chat, latency: quickAnswers,
		limits: "requests=40,sliding=60s,headers=none", before: 20, want: 95, refuse: 3},
	{name: "sliding minute, 60 requests, half full, limits configured", protocol: nightshift.Chat,
		latency: quickAnswers, limits: "requests=60,sliding=60s,headers=none", config: limits.Config{Requests: 60},
		before: 30, want: 95, refuse: 1},
	{name: "sliding minute, 40 requests, half full, limits configured", protocol: nightshift.Chat,
		latency: quickAnswers, limits: "requests=40,sliding=60s,headers=none", config: limits.Config{Requests: 40},
		before: 20, want: 95, refuse: 1},
	{name: "24 concurrent, limits unknown", protocol: nightshift.Messages, limits: "concurrency=24", want: 85, refuse: 1},
	{name: "5 concurrent, limits unknown", protocol: nightshift.Chat, limits: "concurrency=5", want: 85, refuse: 1},
	{name: "24 concurrent and a request limit", protocol: nightshift.Messages, limits: "concurrency=24,requests=2000",
		want: 85, refuse: 1, short: true},
	{name: "outage of 5 min", protocol: nightshift.Messages, limits: "output=80000", outage: true, want: 95, refuse: 1},
	{name: "outage of 5 min, burst 5 s", protocol: nightshift.Messages, limits: "output=80000,burst=5s", outage: true,
		want: 95, refuse: 1},
	{name: "10 % overloaded", protocol: nightshift.Messages, limits: "output=80000", faults: "overloaded=10%", want: 95,
		refuse: 1},
	{name: "5 % mixed faults", protocol: nightshift.Chat, limits: "tokens=120000",
		faults: "server_error=2%,cut_body=1%,reset=1%,bad_gateway_html=1%", want: 95, refuse: 1},
	{name: "2 % of all refused at random", protocol: nightshift.Messages, limits: "output=80000",
		faults: "rate_limit=2%", want: 85, refuse: 3, short: true},
	{name: "competing client takes all for 10 s of 20", protocol: nightshift.Messages, limits: "output=80000", share: 1,
		period: 20 * time.Second, busy: 10 * time.Second, want: 90, refuse: 5},
	{name: "the same, burst 5 s", protocol: nightshift.Messages, limits: "output=80000,burst=5s", share: 1,
		period: 20 * time.Second, busy: 10 * time.Second, want: 85, refuse: 5, short: true},
	{name: "the same, Retry-After only, limits configured", protocol: nightshift.Messages,
		limits: "output=80000,headers=retry-after", config: limits.Config{OutputTokens: 80_000}, share: 1,
		period: 20 * time.Second, busy: 10 * time.Second, want: 90, refuse: 5},
	{name: "competing client takes 150 % for 40 s of 120", protocol: nightshift.Messages, limits: "output=80000",
		share: 1.5, period: 2 * time.Minute, busy: 40 * time.Second, want: 83, refuse: 5},
	{name: "competing client takes a third, always", protocol: nightshift.Messages, limits: "output=80000",
		share: 1. / 3, want: 90, refuse: 5},
	{name: "tiny limits", protocol: nightshift.Messages, limits: "requests=5,output=1500", want: 95, refuse: 1,
		short: true},
	{name: "large limits", protocol: nightshift.Messages, limits: "output=400000", want: 95, refuse: 1},
}

// server builds the simulator of a loadTest.
func (r loadTest) server(t *testing.T, seed uint64) *simulator.Server {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := simulator.Config{Seed: seed, MaxLedger: -1}
	if r.latency == "" { // some 300 tokens an answer, six seconds
		c.Models = map[string]simulator.Model{"sim-large": {Verbosity: 3}}
	}
	var err error
	c.Limits, err = simulator.ParseLimits(r.limits)
	must(err)
	latency := r.latency
	if latency == "" {
		latency = slowAnswers
	}
	c.Latency, err = simulator.ParseLatency(latency)
	must(err)
	if r.faults != "" {
		c.Faults, err = simulator.ParseFaults(r.faults)
		must(err)
	}
	if r.outage {
		c.Outages = []simulator.Window{{At: outageAt, For: outageFor}}
	}
	c.Competitor = simulator.Competitor{Share: r.share, Period: r.period, Busy: r.busy}
	must(c.Validate())
	return simulator.New(c)
}

const (
	outageAt  = 10 * time.Minute
	outageFor = 5 * time.Minute
)

// An apartWire sends no two requests at one instant, so that every run of a
// seed is like the others.
type apartWire struct {
	providers.Wire
	seed uint64
}

func (w apartWire) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	pass(ctx, ownInstant(w.seed, p.Key))
	return w.Wire.Send(ctx, p)
}

// client speaks to it through the real wire.
func (r loadTest) client(t *testing.T, s *simulator.Server, seed uint64) *providers.Client {
	t.Helper()
	e := providers.Endpoint{
		Name: "simulator", Protocol: r.protocol, BaseURL: "http://localhost/v1",
		Auth: providers.Auth{Scheme: providers.AuthNone}, Limits: r.config,
	}
	w, err := wire.New(wire.Config{Endpoint: e, Transport: s.Transport()})
	if err != nil {
		t.Fatal(err)
	}
	limiter := limits.New(r.config)
	limiter.Seed(seed)
	return &providers.Client{
		Endpoint: "simulator", Flow: "m",
		Routes: []providers.ClientRoute{{Wire: apartWire{w, seed}, Limiter: limiter}},
	}
}

// usedBefore lets another client use up a part of the limit.
func (r loadTest) usedBefore(t *testing.T, s *simulator.Server, seed uint64) {
	other := rows{r.client(t, s, seed), false}
	for n := range r.before {
		if _, err := other.Complete(t.Context(),
			nightshift.Request{Model: "sim-large", Key: fmt.Sprint("row-9", n)}); err != nil {
			t.Error(err)
		}
	}
	if r.before > 0 {
		time.Sleep(30 * time.Second)
	}
}

// rows asks for rows of all lengths.
type rows struct {
	nightshift.Provider
	stream bool
}

func (p rows) Complete(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
	n, _ := strconv.Atoi(strings.TrimPrefix(req.Key, "row-"))
	rng := rand.New(rand.NewPCG(uint64(n), 5))
	req.Model, req.Stream = "sim-large", p.stream
	req.Messages = []nightshift.Message{{
		Role: nightshift.RoleUser,
		Text: fmt.Sprintf("Row %d: write about lighthouses and harbours in winter.%s", n,
			strings.Repeat(" The coast was quiet.", rng.IntN(40))),
	}}
	req.Params = []nightshift.Param{{Name: "max_tokens", Value: json.RawMessage(strconv.Itoa(rowTokens))}}
	return p.Provider.Complete(ctx, req)
}

// A course is the ledger's totals, second by second.
type course struct {
	at    []simulator.Totals
	slots []float64 // in flight, at most as many as permitted
}

// begin watches a server until stop is called.
func (c *course) begin(t *testing.T, s *simulator.Server, slots int) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		c.watch(ctx, s, slots)
	}()
	return func() {
		cancel()
		<-watched
	}
}

// watch reads the ledger each second until ctx ends.
func (c *course) watch(ctx context.Context, s *simulator.Server, slots int) {
	for pass(ctx, time.Second) {
		l := s.Ledger()
		c.at = append(c.at, l.Totals)
		c.slots = append(c.slots, math.Min(float64(l.InFlight), float64(slots)))
	}
}

// between is what happened from one second to another.
func (c *course) between(from, to int) simulator.Totals {
	to = min(to, len(c.at)) - 1
	if to < 0 {
		return simulator.Totals{}
	}
	t := c.at[to]
	if from > 0 {
		was := c.at[min(from, len(c.at))-1]
		t.Received -= was.Received
		t.Refused -= was.Refused
		t.Early -= was.Early
		t.Answered -= was.Answered
		t.Billed.Input -= was.Billed.Input
		t.Billed.Output -= was.Billed.Output
	}
	return t
}

// used is the share of the limit that binds which was used from one second to
// another, in percent, leaving out the outage and what the neighbour may take.
func (r loadTest) used(c *course, from, to int) float64 {
	l, err := simulator.ParseLimits(r.limits)
	if err != nil {
		panic(err) // it was parsed before
	}
	length := float64(to - from)
	if o := int(outageAt / time.Second); r.outage && from <= o && o < to {
		length -= outageFor.Seconds()
	}
	if r.share > 0 {
		taken := min(r.share, 1)
		if r.period > 0 {
			taken *= r.busy.Seconds() / r.period.Seconds()
		}
		length *= 1 - taken
	}
	t := c.between(from, to)
	output := float64(t.Billed.Output)
	if l.Charge == simulator.ChargeMax {
		output = rowTokens * float64(t.Answered)
	}
	most := 0.0
	use := func(n float64, perMinute int64) {
		if perMinute > 0 {
			most = max(most, 100*n/(float64(perMinute)/60*length))
		}
	}
	use(float64(t.Answered), l.Requests)
	use(float64(t.Billed.Input), l.Input)
	use(output, l.Output)
	use(float64(t.Billed.Input)+output, l.Tokens)
	if l.Concurrency > 0 {
		sum := 0.0
		for _, n := range c.slots[from:min(to, len(c.slots))] {
			sum += n
		}
		most = max(most, 100*sum/(float64(l.Concurrency)*length))
	}
	return most
}

// recovery is how many seconds after the outage ten seconds had nine tenths of
// the limit.
func (r loadTest) recovery(c *course) float64 {
	for end := int((outageAt+outageFor)/time.Second) + 10; end <= len(c.at); end++ {
		if r.used(c, end-10, end) >= 90 {
			return float64(end) - (outageAt + outageFor).Seconds()
		}
	}
	return math.Inf(1)
}

// A figure is what one loadTest reached.
type figure struct {
	used, refused, early, recovery float64 // percent, percent, percent, seconds
	firstMinute, firstRefused      float64 // percent
	sent, failed                   int64
	limitedBy                      string
}

func percent(n, of int64) float64 { return 100 * float64(n) / float64(max(of, 1)) }

// measure runs for so many minutes; the first five are not counted, but for
// the figures of the first minute.
func measure(t *testing.T, r loadTest, seed uint64, minutes int) (f figure) {
	synctest.Test(t, func(t *testing.T) {
		server := r.server(t, seed)
		client := r.client(t, server, seed)
		var c course
		l, _ := simulator.ParseLimits(r.limits)
		stop := c.begin(t, server, l.Concurrency)
		r.usedBefore(t, server, seed)
		f.failed = drive(rows{client, r.stream}, lots, time.Duration(minutes)*time.Minute+time.Second)
		stop()
		end := 60 * minutes
		late := c.between(300, end)
		f.used, f.refused = r.used(&c, 300, end), percent(late.Refused, late.Received)
		f.early = percent(late.Early, late.Received)
		first := c.between(0, 60)
		f.firstMinute, f.firstRefused = r.used(&c, 0, 60), percent(first.Refused, first.Received)
		f.sent = c.between(0, end).Received
		if r.outage {
			f.recovery = r.recovery(&c)
		}
		f.limitedBy = fmt.Sprint(client.Routes[0].Limiter.State().LimitedFor)
	})
	return f
}

// TestLoad holds limiter and client against the simulator's limits: a
// few minutes each, an hour and five seeds in the long form.
func TestLoad(t *testing.T) {
	// The long form has the aims as they are; five minutes of a short run count,
	// in which a refusal weighs ten times as much.
	minutes, seeds, slack, more := 10, uint64(1), 5.0, 2.0
	if long() {
		minutes, seeds, slack, more = 60, 5, 0, 0
	}
	if n, err := strconv.Atoi(os.Getenv("NIGHTSHIFT_MINUTES")); err == nil {
		minutes = n
	}
	if n, err := strconv.ParseUint(os.Getenv("NIGHTSHIFT_SEEDS"), 10, 64); err == nil {
		seeds = n
	}
	m := table{
		file: "rate-control-simulator.md", title: "Rate control against the simulator, measured",
		about: fmt.Sprintf("%d simulated minutes each, %d seeds; percent, lowest to highest seed.", minutes, seeds),
		head:  "server | used | refused | early | first minute: used | refused",
	}
	measured := 0
	for _, r := range loadTests {
		t.Run(r.name, func(t *testing.T) {
			if !long() && os.Getenv("NIGHTSHIFT_MINUTES") == "" && !r.short {
				t.Skip("in the long form only; set NIGHTSHIFT_LONG=1 or NIGHTSHIFT_MINUTES=20")
			}
			if r.outage && minutes < 20 {
				t.Skip("an outage takes longer than a short run")
			}
			var used, refused, early, back, first, firstRefused span
			for seed := uint64(1); seed <= seeds; seed++ {
				f := measure(t, r, seed, minutes)
				t.Logf("seed %d: used %.1f %%, refused %.2f %%, early %.2f %%; first minute %.1f %%, %.2f %%; %d "+
					"sent, %d rows failed; back %.0f s; %s",
					seed, f.used, f.refused, f.early, f.firstMinute, f.firstRefused, f.sent, f.failed, f.recovery, f.limitedBy)
				used.add(f.used)
				refused.add(f.refused)
				early.add(f.early)
				back.add(f.recovery)
				first.add(f.firstMinute)
				firstRefused.add(f.firstRefused)
				if f.used < r.want-slack || f.refused > r.refuse+more || f.recovery > 30 {
					t.Errorf("seed %d: used %.1f %%, refused %.2f %%, back after %.0f s; want %.0f %%, %.0f %%, 30 s",
						seed, f.used, f.refused, f.recovery, r.want, r.refuse)
				}
			}
			name := r.name
			if r.outage {
				name += " (back after " + back.text(0) + " s)"
			}
			m.add(t, name, used.text(1), refused.text(2), early.text(2), first.text(0), firstRefused.text(1))
			measured++
		})
	}
	if measured == len(loadTests) {
		m.write(t)
	}
}

// Many requests that go at once empty a small bucket, and overtake each other on
// their way: what each answer then says remains is as of another moment than was
// thought. The rate is found all the same.
func TestManyAtOnce(t *testing.T) {
	seeds := uint64(2)
	if long() {
		seeds = 20
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		r := loadTest{protocol: nightshift.Chat, latency: "base=200ms", limits: "requests=6000,burst=1s",
			config: limits.Config{Concurrency: 200}}
		const settled, end = 10, 30 // seconds
		var used, refused float64
		synctest.Test(t, func(t *testing.T) {
			server := r.server(t, seed)
			client := r.client(t, server, seed)
			var c course
			stop := c.begin(t, server, 0)
			drive(rows{client, false}, lots, (end+1)*time.Second)
			stop()
			late := c.between(settled, end)
			used, refused = r.used(&c, settled, end), percent(late.Refused, late.Received)
		})
		t.Logf("seed %d: used %.1f %%, refused %.2f %%", seed, used, refused)
		if used < 95 || refused > 1 {
			t.Errorf("seed %d: used %.1f %%, refused %.2f %%; want 95 %%, 1 %%", seed, used, refused)
		}
	}
}

// A sliding minute: a run from its first row to its last, on an idle key and on
// one whose minute is half used up.
func TestSlidingMinute(t *testing.T) {
	seeds := uint64(1)
	if long() {
		seeds = 5
	}
	for _, tc := range []struct {
		limits     string
		perMinute  int
		rows       int
		configured bool
	}{
		{"requests=60,sliding=60s,headers=none", 60, 400, true},
		{"requests=40,sliding=60s,headers=none", 40, 90, true},
		{"requests=60,sliding=60s,headers=none", 60, 400, false},
		{"requests=40,sliding=60s,headers=none", 40, 90, false},
	} {
		for _, before := range []int{0, tc.perMinute / 2} {
			for seed := uint64(1); seed <= seeds; seed++ {
				r := loadTest{protocol: nightshift.Chat, latency: quickAnswers, limits: tc.limits, before: before}
				if tc.configured {
					r.config.Requests = float64(tc.perMinute)
				}
				took, refused := r.finish(t, seed, tc.rows)
				least := 60 * float64(tc.rows) / float64(tc.perMinute)
				used := 100 * least / took.Seconds()
				t.Logf("| %d a minute, %d used before, %d rows, configured %v | %.0f s | %.1f | %.1f |", tc.perMinute,
					before, tc.rows, tc.configured, took.Seconds(), used, refused)
				if used < 95 {
					t.Errorf("seed %d: %.1f %% used, want 95 %%", seed, used)
				}
			}
		}
	}
}

// finish is how long so many rows take, and how many requests are refused.
func (r loadTest) finish(t *testing.T, seed uint64, n int) (took time.Duration, refused float64) {
	synctest.Test(t, func(t *testing.T) {
		server := r.server(t, seed)
		client := rows{r.client(t, server, seed), false}
		r.usedBefore(t, server, seed)
		began, before := time.Now(), server.Ledger().Totals
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				pass(t.Context(), time.Duration(i)*1013*time.Nanosecond)
				if _, err := client.Complete(t.Context(), nightshift.Request{Key: fmt.Sprint("row-", i)}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		took = time.Since(began)
		after := server.Ledger().Totals
		refused = percent(after.Refused-before.Refused, after.Received-before.Received)
	})
	return took, refused
}
