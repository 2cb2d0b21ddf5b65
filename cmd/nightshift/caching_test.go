package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nightshift/providers/simulator"
	"nightshift/reports"
)

// cachingPrice is the price in the plan of cachingTable, in nano-dollars a token.
var cachingPrice = map[string]simulator.Price{
	"sim-large": {Input: 3000, CacheRead: 300, CacheWrite5m: 3750, CacheWrite1h: 6000, Output: 15000}}

const cachingBooks, cachingRows = 3, 120

// cachingTable is a table whose rows share long system prompts, with markers.
func cachingTable(t *testing.T, url string) *table {
	t.Helper()
	d := &table{dir: t.TempDir()}
	d.plan, d.out = filepath.Join(d.dir, "plan.yaml"), filepath.Join(d.dir, "out")
	var data strings.Builder
	for i := range cachingRows {
		book := strings.Repeat(fmt.Sprintf("Rule %d: answer in one line. ", i%cachingBooks), 250)
		row, _ := json.Marshal(map[string]string{"system": book, "prompt": fmt.Sprintf("Question %d?", i)})
		data.Write(append(row, '\n'))
	}
	text := fmt.Sprintf(`version: 1
dataset: {path: data.jsonl}
models:
  - {name: m, endpoint: one, model: sim-large, cache: auto, stream: true, params: {max_tokens: 40},
     price: {input: 3, cache_read: 0.3, cache_write_5m: 3.75, cache_write_1h: 6, output: 15}}
endpoints:
  one: {protocol: messages, base_url: %q, auth: none, limits: {concurrency: 16}}
out: out
`, url)
	for name, s := range map[string]string{"data.jsonl": data.String(), "plan.yaml": text} {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// TestKillWithCache kills runs that write and read a prompt cache, with a budget that
// is never exceeded: each start writes each prefix once at most, the bill bounds what
// the server charged, and equals it where nothing was killed.
func TestKillWithCache(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := serve(t, "--cache", "on", "--latency", "first=20ms,per_token=1ms")
	invoice := func() int64 {
		total, _ := s.totals(t).Invoice(cachingPrice)
		return total
	}
	d := cachingTable(t, s.url)
	calm := *d
	calm.out = d.out + "-calm"
	if code := start(t, "run", d.plan, "-q", "--out", calm.out).wait(t); code != exitOK {
		t.Fatalf("the undisturbed run: exit code %d", code)
	}
	whole, l := invoice(), s.totals(t)
	one := l.Billed.CacheWrite5m / cachingBooks
	if cost, _ := billed(t, calm.out); cost != whole || one < 1024 {
		t.Errorf("the bill says %d, the server charged %d; a prefix has %d tokens", cost, whole, one)
	}

	budget := whole * 3 / 4
	arg := fmt.Sprintf("%.9f", float64(budget)/1e9)
	starts := int64(0)
	for range 3 {
		c := start(t, "run", d.plan, "-q", "--budget-usd", arg)
		asleep(time.Duration(30+random.IntN(300)) * time.Millisecond)
		c.cmd.Process.Kill()
		c.wait(t)
		starts++
	}
	if code := start(t, "run", d.plan, "-q", "--budget-usd", arg).wait(t); code != exitStopped {
		t.Errorf("on three quarters of the money: exit code %d", code)
	}
	if spent := invoice() - whole; spent > budget {
		t.Errorf("the server charged %d of a budget of %d", spent, budget)
	}
	if code := start(t, "run", d.plan, "-q").wait(t); code != exitOK {
		t.Fatalf("the last start: exit code %d", code)
	}
	starts += 2
	if n := len(d.records(t)); n != cachingRows {
		t.Errorf("%d rows on record", n)
	}
	if wrote := s.totals(t).Billed.CacheWrite5m - l.Billed.CacheWrite5m; wrote > starts*cachingBooks*one*11/10 {
		t.Errorf("%d starts wrote %d tokens, %d prefixes have %d each", starts, wrote, cachingBooks, one)
	}
	cost, most := billed(t, d.out)
	if spent := invoice() - whole; spent < cost || most != nil && spent > *most {
		t.Errorf("the server charged %d, the bill says %d, at most %v", spent, cost, most)
	}
}

// billed is what a run cost by its files, and at most.
func billed(t *testing.T, dir string) (cost int64, most *int64) {
	t.Helper()
	bill, err := reports.Cost([]string{dir}, reports.CostOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return bill.Total.CostNanoUSD, bill.Total.AtMostNanoUSD
}
