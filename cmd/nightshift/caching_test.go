package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nightshift"
	"nightshift/providers/simulator"
	"nightshift/reports"
	"nightshift/runner/store/view"
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
	w := &workspace{dir: d.dir}
	w.write(t, "data.jsonl", data.String())
	w.write(t, "plan.yaml", text)
	return d
}

// TestKillWithCache kills runs that write and read a prompt cache, with a budget that
// is never exceeded: each start writes each prefix once at most, the bill bounds what
// the server charged, and equals it where nothing was killed.
func TestKillWithCache(t *testing.T) {
	t.Parallel()
	random := seeded(t)
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
	known, lost, lostRequests := chargedFor(t, s, calm.out, d.out)
	if known != whole+cost || known+lost != invoice() {
		t.Errorf("the server charged %d for what is on record, the bills say %d; with %d for what is not, it charged %d",
			known, whole+cost, lost, invoice())
	}
	if lostRequests > 3*16 { // what was in flight at each kill
		t.Errorf("%d requests were answered and are on no record", lostRequests)
	}
}

// chargedFor is what the server charged for requests that are in the attempt logs of runs, and for
// others, in nano-dollars.
func chargedFor(t *testing.T, s *server, dirs ...string) (known, other int64, others int) {
	t.Helper()
	onRecord := map[string]bool{}
	for _, dir := range dirs {
		for r, err := range view.Rows[nightshift.Record](dir, view.ReadOptions{}) {
			var log []struct {
				RequestID string `json:"request_id"`
			}
			if err == nil {
				err = json.Unmarshal([]byte(view.Value(r.AttemptLog)), &log)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range log {
				onRecord[a.RequestID] = true
			}
		}
	}
	for _, e := range s.entries(t) {
		switch {
		case !e.Answered:
		case onRecord[e.RequestID]:
			known += cachingPrice[e.Model].Cost(e.Tokens)
		default:
			other, others = other+cachingPrice[e.Model].Cost(e.Tokens), others+1
		}
	}
	return known, other, others
}

// TestCacheWithEverything: each prefix is written once and read by all other requests, whatever else the
// plan has, and the bill equals what the server charged. Rows in batches are sent as without a cache.
func TestCacheWithEverything(t *testing.T) {
	t.Parallel()
	const rows = 40
	for name, tc := range map[string]struct {
		plan               string // in place of the dataset's line
		model              string // of the model, further keys
		prefixes, requests int64
	}{
		"variants": {`dataset: {path: rows.jsonl}
variants: [{name: a, system: "file:one.txt"}, {name: b, system: "file:two.txt"}]`, "", 2, 2 * rows},
		"datasets": {`datasets:
  - {name: x, path: rows.jsonl, system: "file:one.txt"}
  - {name: y, path: rows.jsonl, system: "file:two.txt"}`, "", 2, 2 * rows},
		"epochs": {`dataset: {path: rows.jsonl, system: "file:one.txt"}
epochs: 3`, "", 1, 3 * rows},
		"turns":   {`dataset: {path: turns.jsonl, system: "file:one.txt"}`, "", 1, 3 * rows},
		"batches": {`dataset: {path: rows.jsonl, system: "file:one.txt"}`, "mode: batch, ", 0, rows},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			models := simulator.New(simulator.Config{Cache: simulator.Cache{On: true}})
			var marked atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if bytes.Contains(body, []byte("cache_control")) {
					marked.Add(1)
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				models.ServeHTTP(w, r)
			}))
			t.Cleanup(func() { server.Close(); models.Close() })
			w := &workspace{dir: t.TempDir()}
			var single, several strings.Builder
			for i := range rows {
				fmt.Fprintf(&single, `{"prompt": "Question %d?"}`+"\n", i)
				fmt.Fprintf(&several, `{"turns": ["Question %d?", "Why?", "Are you sure?"]}`+"\n", i)
			}
			w.write(t, "rows.jsonl", single.String())
			w.write(t, "turns.jsonl", several.String())
			w.write(t, "one.txt", strings.Repeat("Rule one: answer in one line. ", 250))
			w.write(t, "two.txt", strings.Repeat("Rule two: answer in one word. ", 250))
			w.write(t, "plan.yaml", fmt.Sprintf(`version: 1
%s
models:
  - {name: m, endpoint: one, model: sim-large, %scache: auto, params: {max_tokens: 20}, price: {input: 3,
     cache_read: 0.3, cache_write_5m: 3.75, cache_write_1h: 6, output: 15, services: {batch: 0.5}}}
endpoints:
  one: {protocol: messages, base_url: %q, auth: none, limits: {concurrency: 16}}
batch: {poll: 20ms..50ms, min_requests: 5}
out: out
`, tc.plan, tc.model, server.URL))
			succeeds(t, "run", "-q", filepath.Join(w.dir, "plan.yaml"))
			l := models.Ledger()
			invoice, _ := l.Invoice(cachingPrice)
			if cost, most := billed(t, filepath.Join(w.dir, "out")); cost != invoice || most == nil || *most != cost {
				t.Errorf("the bill says %d, at most %v, the server charged %d", cost, most, invoice)
			}
			if tc.prefixes == 0 {
				if marked.Load() != 0 || l.BatchAnswered != tc.requests || l.BatchBilled.CacheWrite5m != 0 {
					t.Errorf("%d bodies have markers, %+v", marked.Load(), l.Totals)
				}
				return
			}
			one := l.Billed.CacheWrite5m / tc.prefixes
			// All requests share the prefix of their group; a second writing would make it twice as long.
			if got, want := l.Billed.CacheRead+l.Billed.CacheWrite5m, tc.requests*one; one < 1024 || got < want*98/100 ||
				got > want*102/100 || l.Answered != tc.requests || marked.Load() != tc.requests {
				t.Errorf("%d requests, %d with markers, read and wrote %d tokens of prefixes of %d, want %d", l.Answered,
					marked.Load(), got, one, want)
			}
			if l.Billed.CacheRead < l.CacheReadable*95/100 {
				t.Errorf("%d tokens were read of %d", l.Billed.CacheRead, l.CacheReadable)
			}
		})
	}
}

// TestCacheKeyInResponses: requests in the format of Responses have prompt_cache_key where the API takes it,
// the same for all that share a prefix and another for each prefix; without cache: they have none.
func TestCacheKeyInResponses(t *testing.T) {
	t.Parallel()
	for _, cache := range []string{"auto", "off"} {
		models := simulator.New(simulator.Config{Cache: simulator.Cache{On: true}})
		var mu sync.Mutex
		keys := map[string]map[string]int{} // by system prompt
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			raw, _ := io.ReadAll(r.Body)
			var body struct {
				Instructions string
				Key          *string `json:"prompt_cache_key"`
			}
			if err := json.Unmarshal(raw, &body); err != nil || !strings.HasSuffix(r.URL.Path, "/responses") {
				t.Errorf("%s: %v: %.200s", r.URL, err, raw)
			}
			mu.Lock()
			if keys[body.Instructions[:8]] == nil {
				keys[body.Instructions[:8]] = map[string]int{}
			}
			key := "none"
			if body.Key != nil {
				key = *body.Key
			}
			keys[body.Instructions[:8]][key]++
			mu.Unlock()
			r.Body = io.NopCloser(bytes.NewReader(raw))
			models.ServeHTTP(w, r)
		}))
		w := &workspace{dir: t.TempDir()}
		var rows strings.Builder
		for i := range 40 {
			fmt.Fprintf(&rows, `{"system": %q, "prompt": "Question %d?"}`+"\n",
				strings.Repeat(fmt.Sprintf("Rule %d%d: answer in one line. ", i%2, i%2), 250), i)
		}
		w.write(t, "rows.jsonl", rows.String())
		w.write(t, "plan.yaml", fmt.Sprintf(`version: 1
dataset: {path: rows.jsonl}
models:
  - {name: m, endpoint: openai, model: gpt-5, cache: "%s", params: {max_output_tokens: 20},
     price: {input: 3, cache_read: 0.3, output: 15}}
endpoints:
  openai: {preset: openai, protocol: responses, base_url: "%s/v1", auth: none, limits: {concurrency: 16}}
out: out
`, cache, server.URL))
		succeeds(t, "run", "-q", filepath.Join(w.dir, "plan.yaml"))
		server.Close()
		models.Close()
		seen := map[string]bool{}
		for system, of := range keys {
			for key, n := range of {
				if seen[key] && key != "none" || n != 20 || (key == "none") != (cache == "off") ||
					cache != "off" && !strings.HasPrefix(key, "nightshift-") {
					t.Errorf("cache: %s: %d requests with %q have the key %s", cache, n, system, key)
				}
				seen[key] = true
			}
		}
		if len(keys) != 2 {
			t.Errorf("%d system prompts", len(keys))
		}
	}
}

// TestCacheExample runs what the first lines of examples/cache say, in a folder that has nothing but the
// examples: the prefix is written once, and without a cache the same rows cost more.
func TestCacheExample(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "examples"), os.DirFS(filepath.Join(repository(t), "examples"))); err != nil {
		t.Fatal(err)
	}
	plan, err := os.ReadFile(filepath.Join(dir, "examples/cache/plan.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for line := range strings.Lines(string(plan)) {
		command, is := strings.CutPrefix(line, "#     nightshift ")
		if !is {
			continue
		}
		args := strings.Fields(command)
		cmd := exec.Command(mustBinary(t), args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("nightshift %s: %v\n%s", command, err, out)
		}
		said[args[0]] += string(out)
	}
	for command, words := range map[string]string{"check": "caching", "run": "cache", "cost": "prefix"} {
		if !strings.Contains(said[command], words) {
			t.Errorf("nightshift %s says nothing of %s:\n%s", command, words, said[command])
		}
	}
	bill := func(name string) *reports.Bill {
		b, err := reports.Cost([]string{filepath.Join(dir, "runs", name)}, reports.CostOptions{By: []string{"prefix"}})
		if err != nil || len(b.Lines) != 1 {
			t.Fatalf("%s: %v: %+v", name, err, b)
		}
		return b
	}
	with, without := bill("cache").Total, bill("nocache").Total
	if with.CacheWrite == 0 || with.CacheRead != (with.Rows-1)*with.CacheWrite || without.CacheRead != 0 ||
		with.CostNanoUSD >= without.CostNanoUSD || with.Rows != without.Rows {
		t.Errorf("with a cache %+v, without %+v", with, without)
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
