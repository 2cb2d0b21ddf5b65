package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
	"nightshift/providers/pricing"
	"nightshift/providers/secrets"
	"nightshift/providers/simulator"
	"nightshift/providers/wire"
	"nightshift/runner"
)

// cachePrice is what the tests' model costs: in nano-dollars a token, so that the
// server's invoice can be compared.
var cachePrice = simulator.Price{Input: 3000, CacheRead: 300, CacheWrite5m: 3750, CacheWrite1h: 6000, Output: 15000}

func cachePrices() pricing.Price {
	rate := func(n int64) *pricing.Rate { return new(pricing.Rate(n * 1_000_000)) }
	return pricing.Price{Rates: pricing.Rates{Input: *rate(cachePrice.Input), Output: *rate(cachePrice.Output),
		CacheRead: rate(cachePrice.CacheRead), CacheWrite5m: rate(cachePrice.CacheWrite5m),
		CacheWrite1h: rate(cachePrice.CacheWrite1h)}}
}

// document is a text of about so many tokens that begins like no other.
func document(n, tokens int) string {
	var b strings.Builder
	for i := 0; b.Len() < tokens*4; i++ {
		fmt.Fprintf(&b, "Section %d of book %d says a thing. ", i, n)
	}
	return b.String()
}

// A cacheNight is a run of rows that share documents of 4,000 tokens.
type cacheNight struct {
	protocol        nightshift.Protocol
	documents, each int
	inText          bool // the document stands before the question in one text, not in the system prompt
	stream          bool
	caching         *runner.Caching
	config          simulator.Config
	budget          *limits.Budget
	order           runner.Order // nil is the dataset's
}

func (n cacheNight) rows() string {
	var rows []string
	for d := range n.documents {
		text := document(d, 4000)
		for i := range n.each {
			question := fmt.Sprintf("Question %d about book %d?", i, d)
			row := map[string]string{"id": fmt.Sprintf("%d-%d", d, i), "system": text, "prompt": question}
			if n.inText {
				row["system"], row["prompt"] = "Answer in one line.", text+"\n\n"+question
			}
			line, _ := json.Marshal(row) // a map of texts
			rows = append(rows, string(line))
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return strings.Join(rows, "\n") + "\n"
}

func (n cacheNight) server() *simulator.Server {
	if n.config.Latency == (simulator.Latency{}) {
		n.config.Latency = simulator.Latency{FirstToken: 400 * time.Millisecond, PerToken: 20 * time.Millisecond}
	}
	n.config.Cache.On = true
	return simulator.New(n.config)
}

func (n cacheNight) trial(t *testing.T, server *simulator.Server) *trial {
	w, err := wire.New(wire.Config{
		Endpoint: providers.Endpoint{Name: "sim", Protocol: n.protocol, BaseURL: "http://simulator.invalid", AllowHTTP: true,
			IncludeUsage: true, Auth: providers.Auth{Scheme: providers.AuthBearer}},
		Key: secrets.New("sk-none-0123456789"), Transport: server.Transport(),
	})
	if err != nil {
		t.Fatal(err)
	}
	price := cachePrices()
	client := &providers.Client{Endpoint: "sim", Flow: "m", Budget: n.budget,
		Routes: []providers.ClientRoute{{Wire: w, Limiter: limits.New(limits.Config{Concurrency: 64})}},
		Price: func(_ string, u nightshift.Usage) (nightshift.NanoUSD, string, bool) {
			c, ok := pricing.Cost(price, u)
			return c, "test", ok
		},
		WorstPrice: func(_ string, in, out int64, media nightshift.Media) (nightshift.NanoUSD, bool) {
			return pricing.WorstCase(price, in, out, media)
		},
	}
	p := pool("m", nil)
	p.Provider = client
	p.ModelID, p.Protocol, p.Stream, p.Concurrency, p.InFlight = "sim-large", n.protocol, n.stream, 576, 64
	p.Params = []nightshift.Param{{Name: "max_tokens", Value: json.RawMessage("40")}}
	if n.caching != nil {
		c := *n.caching
		c.TokensPerByte = providers.TokensPerByte
		c.Minimum, c.Step = 3792, 948 // 1,024 and 256 tokens
		if c.Lifetime == 0 {
			c.Lifetime = 5 * time.Minute
		}
		p.Caching = &c
	}
	tr := newTrial(t, n.rows(), p)
	tr.spec.ShardRows = 20_000
	tr.tune = func(r *runner.Run) { r.Order = n.order }
	return tr
}

// run makes the whole run, and reports its records, the server's ledger and how
// long it took.
func (n cacheNight) run(t *testing.T) (records []nightshift.Record, l simulator.Ledger, took time.Duration) {
	t.Helper()
	bubble(t, func(t *testing.T) {
		server := n.server()
		defer server.Close()
		tr := n.trial(t, server)
		began := time.Now()
		records = tr.finish()
		took, l = time.Since(began), server.Ledger()
	})
	if len(records) != n.documents*n.each {
		t.Fatalf("%d records of %d", len(records), n.documents*n.each)
	}
	var billed int64
	for _, r := range records {
		if r.CostNanoUSD == nil {
			t.Fatalf("row %d has no cost: %v", r.Row, r.ErrorMessage)
		}
		billed += *r.CostNanoUSD
	}
	if want, _ := l.Invoice(map[string]simulator.Price{"sim-large": cachePrice}); billed != want {
		t.Errorf("billed %d, the ledger says %d", billed, want)
	}
	return records, l, took
}

// TestCacheReads compares what is read from the prompt cache with what an oracle
// could read, and the time with that of the dataset's order.
func TestCacheReads(t *testing.T) {
	marked := &runner.Caching{Marker: "5m"}
	order := &runner.Caching{}
	for _, tc := range []struct {
		name  string
		night cacheNight
		least float64 // of what an oracle reads
	}{
		{"one prefix, markers", cacheNight{protocol: nightshift.Messages, documents: 1, each: 2000, caching: marked,
			stream: true}, 0.98},
		{"one prefix, automatic", cacheNight{protocol: nightshift.Chat, documents: 1, each: 2000, caching: order}, 0.98},
		{"50 prefixes, markers", cacheNight{protocol: nightshift.Messages, documents: 50, each: 40, caching: marked,
			inText: true}, 0.95},
		{"50 prefixes, automatic", cacheNight{protocol: nightshift.Chat, documents: 50, each: 40, caching: order,
			stream: true, inText: true}, 0.95},
		{"10 prefixes, automatic", cacheNight{protocol: nightshift.Chat, documents: 10, each: 200, caching: order,
			stream: true}, 0.98},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if testing.Short() || os.Getenv("NIGHTSHIFT_LONG") == "" {
				tc.night.each /= 10
				if tc.night.documents > 10 {
					tc.night.documents, tc.night.each = tc.night.documents/10, tc.night.each*10
				}
				tc.least -= 0.1 // the writing of each prefix weighs ten times as much
			}
			_, l, took := tc.night.run(t)
			share := float64(l.Billed.CacheRead) / float64(l.CacheReadable)
			t.Logf("read %d of %d (%.2f %%), wrote %d, in %v", l.Billed.CacheRead, l.CacheReadable, 100*share,
				l.Billed.CacheWrite5m, took)
			if share < tc.least {
				t.Errorf("read %.1f %% of what could be read, want %.0f %%", 100*share, 100*tc.least)
			}
			if os.Getenv("NIGHTSHIFT_LONG") == "" {
				return
			}
			tc.night.caching = nil
			_, plain, plainTook := tc.night.run(t)
			t.Logf("undirected: read %d of %d, in %v", plain.Billed.CacheRead, plain.CacheReadable, plainTook)
			if slack := plainTook/20 + time.Second; took > plainTook+slack {
				t.Errorf("took %v, undirected %v", took, plainTook)
			}
		})
	}
}

// A fixedOrder sends rows in an order, and never enough of them.
type fixedOrder []int64

func (o fixedOrder) Rows() []int64 { return o }

func (fixedOrder) Next(ctx context.Context, _ string, _ int) bool { return ctx.Err() == nil }

func (fixedOrder) Enough(string) <-chan struct{} { return nil }

func (fixedOrder) Ended(string) {}

// TestCacheInOrder: rows that have to go in an order of their own find their prefix in the cache
// as well, and all that can be read is, but for what each prefix and each time of reading writes.
func TestCacheInOrder(t *testing.T) {
	for _, n := range []cacheNight{
		{protocol: nightshift.Messages, documents: 1, each: 600, caching: &runner.Caching{Marker: "5m"}, stream: true},
		{protocol: nightshift.Chat, documents: 10, each: 20, caching: &runner.Caching{}, inText: true},
	} {
		order := make(fixedOrder, n.documents*n.each)
		for i, row := range rand.New(rand.NewPCG(3, 4)).Perm(len(order)) {
			order[i] = int64(row)
		}
		n.order = order
		_, l, _ := n.run(t)
		share := float64(l.Billed.CacheRead) / float64(l.CacheReadable)
		t.Logf("%d prefixes: read %.2f %% of what could be read, wrote %d", n.documents, 100*share, l.Billed.CacheWrite5m)
		if share < 0.9 {
			t.Errorf("%d prefixes: read %.1f %% of what could be read, want 90 %%", n.documents, 100*share)
		}
	}
}

// TestCacheResumed: a prefix whose cache has died is written again once, by one
// request, and so is each prefix of a run that goes on after it was stopped.
func TestCacheResumed(t *testing.T) {
	n := cacheNight{protocol: nightshift.Messages, documents: 3, each: 60, caching: &runner.Caching{Marker: "5m"}}
	bubble(t, func(t *testing.T) {
		server := n.server()
		defer server.Close()
		tr := n.trial(t, server)
		stopped, stop := context.WithCancel(t.Context())
		defer stop()
		time.AfterFunc(2*time.Second, stop)
		if _, err := tr.start(stopped); err != nil {
			t.Fatal(err)
		}
		first := server.Ledger()
		if first.Answered == 0 || first.Answered == 180 {
			t.Fatalf("%d rows were answered before the stop", first.Answered)
		}
		time.Sleep(10 * time.Minute)
		before := first.Billed.CacheWrite5m
		tr = &trial{t: t, dir: tr.dir, pools: n.trial(t, server).pools, epochs: 1, spec: tr.spec}
		if got := len(tr.finish()); got != 180 {
			t.Errorf("%d records", got)
		}
		l := server.Ledger()
		one := before / max(before/4000, 1)
		if wrote := l.Billed.CacheWrite5m - before; wrote > 3*one+one/2 {
			t.Errorf("the second start wrote %d tokens, a prefix has %d", wrote, one)
		}
	})
}

// TestCacheBudget: a budget ends a run that is sent by prefixes, and holds.
func TestCacheBudget(t *testing.T) {
	n := cacheNight{protocol: nightshift.Messages, documents: 2, each: 60, caching: &runner.Caching{Marker: "5m"},
		budget: &limits.Budget{Cost: 100_000_000}}
	bubble(t, func(t *testing.T) {
		server := n.server()
		defer server.Close()
		stops, err := n.trial(t, server).start(t.Context())
		if err != nil || len(stops) != 1 {
			t.Errorf("stops %v, error %v", stops, err)
		}
		spent, _ := server.Ledger().Invoice(map[string]simulator.Price{"sim-large": cachePrice})
		if spent == 0 || spent > 100_000_000 {
			t.Errorf("spent %d of 100,000,000", spent)
		}
	})
}

// TestCacheFailedWriter: when the request that writes a prefix fails, the next
// takes its place, and all rows are answered.
func TestCacheFailedWriter(t *testing.T) {
	faults, err := simulator.ParseFaults("server_error=30%;first=1")
	if err != nil {
		t.Fatal(err)
	}
	n := cacheNight{protocol: nightshift.Chat, documents: 4, each: 20, caching: &runner.Caching{Key: true},
		config: simulator.Config{Faults: faults, Seed: 3}}
	records, _, _ := n.run(t)
	for _, r := range records {
		if !r.Outcome.Answered() || !strings.Contains(*r.AttemptLog, `"key":"nightshift-`) {
			t.Fatalf("row %d: %s, %s", r.Row, r.Outcome, *r.AttemptLog)
		}
	}
}
