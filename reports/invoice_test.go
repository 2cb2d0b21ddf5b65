package reports_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nightshift"
	"nightshift/datasets"
	"nightshift/providers"
	"nightshift/providers/limits"
	"nightshift/providers/pricing"
	"nightshift/providers/secrets"
	"nightshift/providers/simulator"
	"nightshift/providers/wire"
	"nightshift/reports"
	"nightshift/runner"
	"nightshift/runner/store"
)

func long() bool { return os.Getenv("NIGHTSHIFT_LONG") != "" }

// A night is one small run with everything about it drawn at random.
type night struct {
	seed     uint64
	protocol nightshift.Protocol
	stream   bool
	modes    []string // how usage is reported
	faults   string
	rows     int
	prices   [2]simulator.Price // as run, and to price again
}

// unbilled are faults of which the server bills nothing.
var unbilled = []string{"rate_limit", "server_error", "overloaded", "unavailable", "bad_gateway_html"}

// billed are faults that are billed and bring no usage, or less than there was.
var billed = []string{"cut_stream", "cut_body", "reset", "malformed_json", "no_usage"}

// hopeless are reports that no client can tell from others that mean
// something else: whether cached tokens are in the prompt, and whether
// reasoning that exceeds the completion is part of it (real gateways that
// report so bill it on top, and so does the decoder).
var hopeless = map[string]bool{"cache_included": true, "cached_outside": true, "reasoning_over": true}

func drawNight(seed uint64, exact bool) night {
	r := rand.New(rand.NewPCG(seed, 17))
	n := night{seed: seed, protocol: nightshift.Messages, stream: r.IntN(2) == 0, rows: 2 + r.IntN(7)}
	if r.IntN(2) == 0 {
		n.protocol = nightshift.Chat
	}
	modes := simulator.UsageModes(exact)
	for range 1 + r.IntN(4) {
		m := modes[r.IntN(len(modes))]
		if !hopeless[m] {
			n.modes = append(n.modes, m)
		}
	}
	kinds := unbilled
	if !exact {
		kinds = append(append([]string(nil), unbilled...), billed...)
	}
	n.faults = fmt.Sprintf("%s=%d%%;first=1", kinds[r.IntN(len(kinds))], 10*r.IntN(6))
	for i := range n.prices {
		in := 100 + r.Int64N(9000)
		n.prices[i] = simulator.Price{Input: in, CacheRead: in / 10, CacheWrite5m: in * 5 / 4, CacheWrite1h: in * 2,
			Output: 5 * in}
	}
	return n
}

// listed is a price of the simulator as the program knows it.
func listed(p simulator.Price) pricing.Price {
	rate := func(perToken int64) *pricing.Rate {
		r := pricing.Rate(perToken * 1_000_000)
		return &r
	}
	return pricing.Price{Provider: "simulator", Model: "sim-large", Rates: pricing.Rates{
		Input: *rate(p.Input), Output: *rate(p.Output), CacheRead: rate(p.CacheRead),
		CacheWrite5m: rate(p.CacheWrite5m), CacheWrite1h: rate(p.CacheWrite1h),
	}}
}

// dataset writes prompts that share a long beginning, so that caches are used.
func (n night) dataset(t testing.TB, dir string) *datasets.Dataset {
	r := rand.New(rand.NewPCG(n.seed, 3))
	var b bytes.Buffer
	shared := strings.Repeat("You are a careful assistant who answers in one line. ", 1+r.IntN(40))
	for i := range n.rows {
		ttl := ""
		if r.IntN(3) == 0 {
			ttl = `,"ttl":"1h"`
		}
		fmt.Fprintf(&b,
			`{"messages":[{"role":"user","content":[{"type":"text","text":%q,`+
				`"cache_control":{"type":"ephemeral"%s}},{"type":"text","text":"What is %d + %d? %s"}]}]}`+"\n",
			shared, ttl, i, r.IntN(100), strings.Repeat("Explain. ", r.IntN(5)))
	}
	path := filepath.Join(dir, "prompts.jsonl")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := datasets.Open(t.Context(), datasets.Spec{Paths: []string{path}, AllowDuplicateIDs: true})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// run makes the night's run into a directory and returns the server's ledger.
func (n night) run(t *testing.T) (dir string, ledger simulator.Ledger) {
	t.Helper()
	faults, err := simulator.ParseFaults(n.faults)
	if err != nil {
		t.Fatal(err)
	}
	reasoning := int(n.seed % 3 * 20)
	server := simulator.New(simulator.Config{Seed: n.seed, Usage: n.modes, CacheMinimum: 16, Faults: faults,
		Models: map[string]simulator.Model{"sim-large": {Reasoning: reasoning}}})
	defer server.Close()
	w, err := wire.New(wire.Config{
		Endpoint: providers.Endpoint{Name: "sim", Protocol: n.protocol, BaseURL: "http://simulator.invalid",
			AllowHTTP: true, IncludeUsage: true,
			Auth: providers.Auth{Scheme: providers.AuthBearer}},
		Key: secrets.New("sk-none-0123456789"), Transport: server.Transport(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.CloseIdleConnections()
	price := listed(n.prices[0])
	client := &providers.Client{Endpoint: "sim", Flow: "m", MaxAttempts: 6, MaxOutput: 400,
		Routes: []providers.ClientRoute{{Wire: w, Limiter: limits.New(limits.Config{Concurrency: 4})}},
		Price: func(_ string, u nightshift.Usage) (nightshift.NanoUSD, string, bool) {
			c, ok := pricing.Cost(price, u)
			return c, "test", ok
		},
		WorstPrice: func(_ string, in, out int64, media nightshift.Media) (nightshift.NanoUSD, bool) {
			return pricing.WorstCase(price, in, out, media)
		},
	}
	base := t.TempDir()
	data := n.dataset(t, base)
	defer data.Close()
	dir = filepath.Join(base, "run")
	id := store.Identity{Name: "night", Tool: "test", DatasetHash: data.Info().Hash, DatasetRows: data.Info().Rows,
		Epochs: 1,
		Models: []string{"m"}, Plan: []byte("{}"), PlanHash: "p"}
	for _, s := range data.Chunks() {
		id.Chunks = append(id.Chunks, store.Chunk{First: s.First, Rows: s.Rows, Hash: s.Hash})
	}
	st, err := store.Open(dir, id, store.Options{ReserveFile: -1})
	if err != nil {
		t.Fatal(err)
	}
	run := &runner.Run{Name: "night", Store: st, Dataset: data, Raw: runner.RawNone, Log: slog.New(slog.DiscardHandler),
		Pools: []runner.Pool{{Model: "m", ModelID: "sim-large", Endpoint: "sim", Protocol: n.protocol, Provider: client,
			Params: []nightshift.Param{{Name: "max_tokens", Value: []byte("400")}}, Stream: n.stream, Concurrency: 4}}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := run.Do(ctx, ctx); err != nil {
		t.Fatal(err)
	}
	if err := st.Close("finished"); err != nil {
		t.Fatal(err)
	}
	return dir, server.Ledger()
}

// TestInvoice runs random nights with every way of reporting usage from which
// the truth can be worked out, and compares the bill with the server's own, to
// the nano-dollar: as recorded, and priced again from the files alone.
func TestInvoice(t *testing.T) {
	nights := uint64(25)
	if long() {
		nights = 1000
	}
	sideBySide(t, nights, func(t *testing.T, seed uint64) {
		n := drawNight(seed, true)
		dir, ledger := n.run(t)
		for i, o := range []reports.CostOptions{{}, {Prices: n.table(t)}, {By: []string{"hour", "attempt"}}} {
			price := n.prices[0]
			if i == 1 {
				price = n.prices[1]
			}
			want, _ := ledger.Invoice(map[string]simulator.Price{"sim-large": price})
			bill, err := reports.Cost([]string{dir}, o)
			if err != nil {
				t.Fatal(err)
			}
			total := bill.Total
			if total.CostNanoUSD != want || total.AtLeast() || total.AtMostNanoUSD == nil || *total.AtMostNanoUSD != want {
				t.Errorf("night %d %+v, way %d: billed %d (at least: %v), the invoice says %d; %+v of %+v", seed, n, i,
					total.CostNanoUSD, total.AtLeast(), want, total, ledger.Billed)
			}
			if got := [5]int64{total.Input, total.CacheRead, total.CacheWrite, total.Output}; got != [5]int64{
				ledger.Billed.Input, ledger.Billed.CacheRead, ledger.Billed.CacheWrite5m + ledger.Billed.CacheWrite1h,
				ledger.Billed.Output} {
				t.Errorf("night %d %+v, way %d: tokens %v, the ledger says %+v", seed, n, i, got, ledger.Billed)
			}
		}
	})
}

// sideBySide runs nights at the same time: most of a night is waiting.
func sideBySide(t *testing.T, nights uint64, night func(t *testing.T, seed uint64)) {
	seeds := make(chan uint64)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			for seed := range seeds {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { night(t, seed) })
			}
		})
	}
	for seed := range nights {
		if t.Failed() {
			break
		}
		seeds <- seed
	}
	close(seeds)
	wg.Wait()
}

// table is the night's other price as a price table.
func (n night) table(t testing.TB) *pricing.Table {
	var b bytes.Buffer
	if err := pricing.WriteCSV(&b, "again", time.Time{}, []pricing.Price{listed(n.prices[1])}); err != nil {
		t.Fatal(err)
	}
	table, err := pricing.Read("again.csv", b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestInvoiceWithDoubt adds what hides usage: the bill then says so, and the
// invoice lies between its two bounds.
func TestInvoiceWithDoubt(t *testing.T) {
	nights := uint64(12)
	if long() {
		nights = 500
	}
	var doubtful atomic.Int64
	sideBySide(t, nights, func(t *testing.T, seed uint64) {
		n := drawNight(seed+1_000_000, false)
		dir, ledger := n.run(t)
		bill, err := reports.Cost([]string{dir}, reports.CostOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want, _ := ledger.Invoice(map[string]simulator.Price{"sim-large": n.prices[0]})
		total := bill.Total
		if total.AtLeast() {
			doubtful.Add(1)
		}
		if !total.AtLeast() && total.CostNanoUSD != want || total.CostNanoUSD > want || total.AtMostNanoUSD == nil ||
			*total.AtMostNanoUSD < want {
			t.Errorf("night %d %+v: billed %d (at least: %v, at most %v), the invoice says %d; %+v of %+v", seed, n,
				total.CostNanoUSD, total.AtLeast(), deref(total.AtMostNanoUSD), want, total, ledger.Billed)
		}
	})
	if doubtful.Load() == 0 {
		t.Error("no night had anything to doubt: the test shows nothing")
	}
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
