package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nightshift/providers/simulator"
)

// A pacing is one server with limits, shown to two clients in real time: the
// program itself, from a cold start to its last row, and a client as most
// people write it.
type pacing struct {
	name    string
	limits  string  // of nightshift simulate
	plan    string  // limits in the plan
	rows    int     // of each of two models
	refused float64 // most, in percent
	// early is the most that are sent too early: a refusal is on its way for
	// up to 150 ms here, and the ledger forgives 100.
	early int64
	used  float64 // of what the server had to give at least, in percent; machines under load are slow
}

const pacingLatency = "base=50ms,first=20ms,jitter=0.4"

var pacings = []pacing{
	{name: "cold start, headers", limits: "requests=12000,burst=2s", rows: 500, refused: 1, early: 0},
	{name: "cold start, limits unknown", limits: "requests=12000,burst=2s,headers=none", rows: 800, refused: 8},
	{name: "headers", limits: "requests=6000,burst=5s", rows: 3500, refused: 1, early: 0, used: 80},
	{name: "output tokens, headers", limits: "output=60000,burst=5s", rows: 3000, refused: 1, early: 0,
		used: 80},
	{name: "Retry-After only", limits: "requests=6000,burst=5s,headers=retry-after", rows: 3500, refused: 3, early: 100,
		used: 80},
	{name: "limits unknown", limits: "requests=6000,burst=5s,headers=none", rows: 3500, refused: 3,
		used: 75},
	{name: "two limiters, one bucket", limits: "requests=6000,burst=5s", plan: "{concurrency: 400}", rows: 3500,
		refused: 25, early: 2500},
}

// TestRateControlInRealTime runs the program against a served simulator, asks
// the ledger what it did, runs the usual client beside it and prints a table. It
// needs a machine of its own; in simulated time the same is tested in providers.
func TestRateControlInRealTime(t *testing.T) {
	if os.Getenv("NIGHTSHIFT_REALTIME") == "" {
		t.Skip("takes minutes; set NIGHTSHIFT_REALTIME=1")
	}
	for _, p := range pacings {
		t.Run(p.name, func(t *testing.T) {
			s := serve(t, "--limits", p.limits, "--latency", pacingLatency)
			d := newTable(t, p.rows, s.url, "")
			p.rewrite(t, d)
			began := time.Now()
			c := start(t, "run", d.plan, "-q")
			if code := c.wait(t); code != exitOK {
				t.Fatalf("exit code %d\n%s", code, c.errs.String())
			}
			l := s.totals(t)
			t.Log(p.line("nightshift", l, time.Since(began)))
			if l.Answered != int64(2*p.rows) {
				t.Errorf("%d answers for %d rows", l.Answered, 2*p.rows)
			}
			refused := 100 * float64(l.Refused) / float64(l.Received)
			if refused > p.refused || l.Early > p.early {
				t.Errorf("%.2f %% refused, %d early; want %.0f %%, %d", refused, l.Early, p.refused, p.early)
			}
			if used := p.share(l); used < p.used {
				t.Errorf("%.1f %% of what there was used, want %.0f %%", used, p.used)
			}
			t.Log(p.usual(t, d))
		})
	}
}

// rewrite lets the plan find its own concurrency; p.plan are the limits of the
// second endpoint, which then is another account.
func (p pacing) rewrite(t *testing.T, d *table) {
	t.Helper()
	b, err := os.ReadFile(d.plan)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), ", limits: {concurrency: 16}", "")
	if p.plan != "" {
		text = strings.Replace(text, `/v1", auth: none`, `/v1", auth: none, limits: `+p.plan, 1)
	}
	if err := os.WriteFile(d.plan, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// line is a row of the table in docs/rate-control.md.
func (p pacing) line(who string, l simulator.Ledger, took time.Duration) string {
	return fmt.Sprintf("| %s | %s | %.0f s | %d | %.1f | %d (%.2f %%) | %d |", p.name, who, took.Seconds(), l.Received,
		p.share(l), l.Refused, 100*float64(l.Refused)/float64(max(l.Received, 1)), l.Early)
}

// share is how much of what the server gave in that time was used, its burst
// included, in percent.
func (p pacing) share(l simulator.Ledger) float64 {
	limits, err := simulator.ParseLimits(p.limits)
	if err != nil {
		panic(err) // the server has parsed it
	}
	span := l.Last.Sub(l.First).Seconds() + limits.Burst.Seconds()
	used := 0.0
	if limits.Requests > 0 {
		used = float64(l.Answered) / (float64(limits.Requests) / 60 * span)
	}
	if limits.Output > 0 {
		used = max(used, float64(l.Billed.Output)/(float64(limits.Output)/60*span))
	}
	return 100 * used
}

// usual sends the same rows with 64 workers that each back off exponentially,
// to a server of its own.
func (p pacing) usual(t *testing.T, d *table) string {
	t.Helper()
	s := serve(t, "--limits", p.limits, "--latency", pacingLatency)
	took := usualWorkers(t, s.url, d)
	return p.line("64 workers", s.totals(t), took)
}

// usualWorkers sends the rows of d with 64 workers that each back off
// exponentially, and returns how long that took.
func usualWorkers(t *testing.T, url string, d *table) time.Duration {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	began := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for n := next.Add(1) - 1; n < int64(2*len(d.prompts)); n = next.Add(1) - 1 {
				model := []string{"sim-large", "sim-small"}[n%2]
				if err := askUntilAnswered(t.Context(), client, url, model, d.prompts[n/2]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// TestRandomRefusalsInRealTime runs the program and 64 workers against a server
// without limits that refuses some requests at random. What refusals cost is
// told against the same client and the same server without them: machines
// under load are slow.
func TestRandomRefusalsInRealTime(t *testing.T) {
	if os.Getenv("NIGHTSHIFT_REALTIME") == "" {
		t.Skip("takes minutes; set NIGHTSHIFT_REALTIME=1")
	}
	rows := 15_000 // of each of two models
	if n, err := strconv.Atoi(os.Getenv("NIGHTSHIFT_ROWS")); err == nil {
		rows = n / 2
	}
	rate := func(share, headers string) (ours, workers float64) {
		args := []string{"--latency", "base=80ms,first=20ms,jitter=0.2", "--limits", "headers=" + headers}
		if share != "" {
			args = append(args, "--faults", "rate_limit="+share)
		}
		s := serve(t, args...)
		d := newTable(t, rows, s.url, "")
		text, err := os.ReadFile(d.plan)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(d.plan, bytes.ReplaceAll(text, []byte("concurrency: 16"), []byte("concurrency: 32")),
			0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		c := start(t, "run", d.plan, "-q")
		if code := c.wait(t); code != exitOK {
			t.Fatalf("exit code %d\n%s", code, c.errs.String())
		}
		ours = float64(2*rows) / time.Since(began).Seconds()
		return ours, float64(2*rows) / usualWorkers(t, serve(t, args...).url, d).Seconds()
	}
	whole, wholeWorkers := rate("", "none")
	t.Logf("| 0 %% | | %.0f | | %.0f | |", whole, wholeWorkers)
	for _, share := range []string{"0.5%", "2%"} {
		for _, headers := range []string{"none", "retry-after"} {
			ours, workers := rate(share, headers)
			t.Logf("| %s | %s | %.0f | %.0f %% | %.0f | %.0f %% |", share, headers, ours, 100*(1-ours/whole), workers,
				100*(1-workers/wholeWorkers))
			if most := map[string]float64{"0.5%": 0.2, "2%": 0.25}[share]; 1-ours/whole > most {
				t.Errorf("%s refused at random, headers %s: %.0f rows a second instead of %.0f", share, headers, ours,
					whole)
			}
		}
	}
}

// askUntilAnswered tries again after sleeping twice as long as the last time,
// with jitter, and never shorter than Retry-After.
func askUntilAnswered(ctx context.Context, client *http.Client, url, model, prompt string) error {
	body, err := json.Marshal(map[string]any{
		"model": model, "max_tokens": 200,
		"messages": []map[string]string{{"role": "user", "content": prompt}},
	})
	if err != nil {
		return err
	}
	for sleep := 500 * time.Millisecond; ; sleep = min(2*sleep, 8*time.Second) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/messages", bytes.NewReader(body))
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
		wait := time.Duration(float64(sleep) * (0.75 + 0.25*rand.Float64()))
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
			wait = max(wait, time.Duration(seconds)*time.Second)
		}
		asleep(wait)
	}
}
