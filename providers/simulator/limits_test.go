package simulator

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/providers/simulator/internal/ledger"
)

// flood sends a request every interval for the given time, whatever comes
// back, and returns how many were answered.
func flood(t *testing.T, cfg Config, interval, total time.Duration, extra string) (answered int64, l ledger.Ledger) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(cfg)
		var group sync.WaitGroup
		for start, i := time.Now(), 0; time.Since(start) < total; i++ {
			group.Go(func() { c.post(chatPath, simple("m", fmt.Sprint("Tell me a fact, number ", i), extra)) })
			time.Sleep(interval)
		}
		group.Wait()
		l = c.Ledger()
		answered = l.Delivered
	})
	return answered, l
}

func TestRatesAreExact(t *testing.T) {
	const minutes = 5
	for _, tc := range []struct {
		name  string
		cfg   Config
		want  func(l ledger.Ledger) (got, want float64) // per flood of 5 minutes
		slack float64
	}{
		{"bucket of a minute", Config{Limits: Limits{Requests: 120}}, requestsOf(120*minutes + 120), 1},
		{"bucket of 5 s", Config{Limits: Limits{Requests: 120, Burst: 5 * time.Second}}, requestsOf(120*minutes + 10), 1},
		{"bucket of 1 s", Config{Limits: Limits{Requests: 60, Burst: time.Second}}, requestsOf(60*minutes + 1), 1},
		{"window", Config{Limits: Limits{Requests: 120, Window: time.Minute}}, requestsOf(120 * minutes), 0},
		{"sliding minute", Config{Limits: Limits{Requests: 120, Sliding: time.Minute}}, requestsOf(120 * minutes), 0},
		{"sliding minute of input", Config{Limits: Limits{Input: 1200, Sliding: time.Minute}},
			func(l ledger.Ledger) (float64, float64) {
				return float64(l.Billed.Input), 1200 * minutes
			}, 25 * minutes},
		{"input", Config{Limits: Limits{Input: 1200, Burst: 5 * time.Second}}, func(l ledger.Ledger) (float64, float64) {
			return float64(l.Billed.Input), 1200*minutes + 100
		}, 25},
		// an answer is charged when it is there: the last ones may overdraw
		{"output", Config{Limits: Limits{Output: 6000, Burst: 5 * time.Second}}, func(l ledger.Ledger) (float64, float64) {
			return float64(l.Billed.Output), 6000*minutes + 500
		}, 400},
		{"total tokens", Config{Limits: Limits{Tokens: 6000, Burst: 5 * time.Second}},
			func(l ledger.Ledger) (float64, float64) {
				return float64(l.Billed.Total()), 6000*minutes + 500
			}, 400},
		{"max_tokens up front", Config{Limits: Limits{Output: 30_000, Charge: ChargeMax}},
			requestsOf((30_000*minutes + 30_000) / 300), 1},
		{"a neighbour takes half",
			Config{Limits: Limits{Requests: 120, Burst: 5 * time.Second}, Competitor: Competitor{Share: 0.5}},
			requestsOf(60*minutes + 10), 1},
		{"a neighbour takes all for half of the time",
			Config{Limits: Limits{Requests: 120, Burst: 5 * time.Second},
				Competitor: Competitor{Share: 1, Period: 20 * time.Second, Busy: 10 * time.Second}},
			requestsOf(60*minutes + 10), 2},
		{"a neighbour in windows",
			Config{Limits: Limits{Requests: 120, Window: time.Minute},
				Competitor: Competitor{Share: 0.5, Period: time.Minute, Busy: 10 * time.Second}},
			requestsOf(110 * minutes), minutes},
		{"24 at once", Config{Limits: Limits{Concurrency: 24}, Latency: Latency{FirstToken: 10 * time.Second}},
			requestsOf(24 * minutes * 60 / 10), 24},
		{"an outage",
			Config{Outages: []Window{{At: time.Minute, For: 2 * time.Minute}},
				Limits: Limits{Requests: 60, Window: time.Minute}}, requestsOf(60 * 3), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, l := flood(t, tc.cfg, 100*time.Millisecond, minutes*time.Minute, "")
			got, want := tc.want(l)
			if math.Abs(got-want) > tc.slack {
				t.Errorf("got %v, want %v ± %v (%+v)", got, want, tc.slack, l.Totals)
			}
			if l.Answered+l.Refused+l.Faulted != l.Received {
				t.Errorf("%d answered + %d refused + %d faulted, %d received", l.Answered, l.Refused, l.Faulted, l.Received)
			}
			if limit := tc.cfg.Limits.Concurrency; limit > 0 && l.MaxInFlight > int64(limit)+1 {
				t.Errorf("%d in flight", l.MaxInFlight)
			}
		})
	}
}

func requestsOf(want float64) func(ledger.Ledger) (float64, float64) {
	return func(l ledger.Ledger) (float64, float64) { return float64(l.Delivered), want }
}

// TestRetryAfterIsRight: whoever waits as long as told is answered.
func TestRetryAfterIsRight(t *testing.T) {
	for _, dialect := range []string{"anthropic", "openai", "azure", "openrouter", "retry-after"} {
		for _, limits := range []Limits{{Requests: 20, Burst: 3 * time.Second}, {Requests: 20, Window: time.Minute},
			{Requests: 20, Sliding: time.Minute}, {Input: 150, Burst: 10 * time.Second},
			{Output: 900, Charge: ChargeMax, Burst: 2 * time.Second}} {
			limits.Headers = dialect
			synctest.Test(t, func(t *testing.T) {
				c := inProcess(Config{Limits: limits})
				for range 30 {
					g := c.post(chatPath, simple("m", "What is 2 + 2?", ""))
					if g.status == 429 {
						time.Sleep(told(t, dialect, g.header))
						g = c.post(chatPath, simple("m", "What is 2 + 2?", ""))
					}
					if g.status != 200 {
						t.Fatalf("%s %+v: %d after waiting as told: %v", dialect, limits, g.status, g.header)
					}
				}
				if l := c.Ledger(); l.Early != 0 || l.Refused == 0 {
					t.Errorf("%s: %d early, %d refused", dialect, l.Early, l.Refused)
				}
			})
		}
	}
}

// told reads how long to wait, as a client of that dialect would.
func told(t *testing.T, dialect string, h http.Header) time.Duration {
	t.Helper()
	switch dialect {
	case "openai":
		ms, err := strconv.Atoi(h.Get("Retry-After-Ms"))
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(ms) * time.Millisecond
	case "openrouter":
		ms, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Until(time.UnixMilli(ms))
	}
	s, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || s < 1 {
		t.Fatalf("Retry-After %q", h.Get("Retry-After"))
	}
	return time.Duration(s) * time.Second
}

func TestEarlyRequestsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(Config{Limits: Limits{Requests: 6, Burst: time.Second}})
		for range 3 { // the second is refused, and the third comes before that is known
			c.post(messagesPath, simple("m", "Hi", ""))
		}
		time.Sleep(time.Second)
		c.post(messagesPath, simple("m", "Hi", "")) // told 10 s
		time.Sleep(9 * time.Second)
		c.post(messagesPath, simple("m", "Hi", ""))
		if l := c.Ledger(); l.Early != 1 || l.Refused != 3 || l.Delivered != 2 {
			t.Errorf("early %d, refused %d, delivered %d", l.Early, l.Refused, l.Delivered)
		}
	})
}

func TestHeaderDialects(t *testing.T) {
	apart := Limits{Requests: 60, Input: 6000, Output: 600_000}
	together := Limits{Requests: 60, Tokens: 6000}
	for _, tc := range []struct {
		dialect, path string
		limits        Limits
		want          map[string]string
	}{
		{"", messagesPath, apart, map[string]string{
			"Anthropic-Ratelimit-Requests-Limit": "60", "Anthropic-Ratelimit-Requests-Remaining": "59",
			"Anthropic-Ratelimit-Requests-Reset":     "2000-01-01T00:00:01Z",
			"Anthropic-Ratelimit-Input-Tokens-Limit": "6000", "Anthropic-Ratelimit-Input-Tokens-Remaining": "5991",
			"Anthropic-Ratelimit-Output-Tokens-Remaining": "600000"}},
		// These headers have no word for input or output alone.
		{"auto", chatPath, apart, map[string]string{
			"X-Ratelimit-Limit-Requests": "60", "X-Ratelimit-Limit-Tokens": "", "X-Ratelimit-Remaining-Tokens": ""}},
		{"auto", chatPath, together, map[string]string{
			"X-Ratelimit-Limit-Requests": "60", "X-Ratelimit-Remaining-Requests": "59", "X-Ratelimit-Reset-Requests": "1s",
			"X-Ratelimit-Limit-Tokens": "6000", "X-Ratelimit-Remaining-Tokens": "5991", "X-Ratelimit-Reset-Tokens": "90ms"}},
		{"azure", chatPath, together,
			map[string]string{"X-Ratelimit-Reset-Requests": "1", "X-Ratelimit-Renewalperiod-Tokens": "60",
				"X-Ratelimit-Reset-Tokens": "1"}},
		{"none", chatPath, apart,
			map[string]string{"X-Ratelimit-Limit-Requests": "", "Anthropic-Ratelimit-Requests-Limit": ""}},
		{"retry-after", messagesPath, apart, map[string]string{"Anthropic-Ratelimit-Requests-Limit": "", "Retry-After": ""}},
	} {
		synctest.Test(t, func(t *testing.T) {
			limits := tc.limits
			limits.Headers = tc.dialect
			c := inProcess(Config{Limits: limits})
			g := c.post(tc.path, simple("m", "What is 17 + 25?", ""))
			for name, want := range tc.want {
				if got := g.header.Get(name); got != want {
					t.Errorf("%s: %s = %q, want %q", tc.dialect, name, got, want)
				}
			}
		})
	}
}

func TestLimitWords(t *testing.T) {
	c := inProcess(Config{Limits: Limits{Tokens: 50}})
	g := c.post(chatPath, simple("m", strings.Repeat("long ", 100), ""))
	if g.status != 429 || !strings.Contains(g.body, "Request too large for m") ||
		!strings.Contains(g.body, "Limit 50, Requested 10") || !strings.Contains(g.body, `"type":"tokens"`) {
		t.Errorf("larger than the limit: %d %s", g.status, g.body)
	}
	c = inProcess(Config{Limits: Limits{Requests: 1}})
	c.post(messagesPath, simple("m", "Hi", ""))
	if g := c.post(messagesPath, simple("m", "Hi", "")); g.status != 429 ||
		!strings.Contains(g.body, `"type":"rate_limit_error"`) || g.header.Get("X-Should-Retry") != "true" {
		t.Errorf("Messages: %d %s %v", g.status, g.body, g.header)
	}
	if g := c.post(chatPath, simple("m", "Hi", "")); g.status != 429 ||
		!strings.Contains(g.body, `"code":"rate_limit_exceeded"`) || !strings.Contains(g.body, "Please try again in") {
		t.Errorf("Chat: %d %s", g.status, g.body)
	}
}

func TestLimitsAreKeptPerKeyAndModel(t *testing.T) {
	c := inProcess(Config{Limits: Limits{Requests: 1, PerModel: true}})
	for _, tc := range []struct {
		key, model string
		want       int
	}{{"a", "m", 200}, {"a", "m", 429}, {"b", "m", 200}, {"a", "n", 200}, {"b", "n", 200}, {"b", "n", 429}} {
		if g := c.post(messagesPath, simple(tc.model, "Hi", ""), "X-Api-Key", tc.key); g.status != tc.want {
			t.Errorf("key %s, model %s: %d, want %d", tc.key, tc.model, g.status, tc.want)
		}
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(
			Config{Latency: Latency{Base: time.Second, FirstToken: 2 * time.Second, PerToken: 10 * time.Millisecond},
				Models: map[string]Model{"slow": {Speed: 3}}})
		for _, extra := range []string{"", `"stream":true,`} {
			start := time.Now()
			a := parse(t, messagesPath, c.post(messagesPath, simple("m", "Describe the sea in detail.", extra)))
			want := 3*time.Second + time.Duration(a.in("output_tokens"))*10*time.Millisecond
			if took := time.Since(start); took != want {
				t.Errorf("%s took %v, want %v", extra, took, want)
			}
		}
		start := time.Now()
		parse(t, messagesPath, c.post(messagesPath, simple("slow", "Hi", "")))
		if took := time.Since(start); took < 9*time.Second {
			t.Errorf("the slow model took %v", took)
		}
	})
}

func TestJitterIsLogNormal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := inProcess(Config{Latency: Latency{Base: time.Second, Jitter: 0.5}})
		sum, squares, n := 0.0, 0.0, 2000.0
		for i := range int(n) {
			start := time.Now()
			c.post(messagesPath, simple("m", fmt.Sprint("Question ", i), ""))
			x := math.Log(time.Since(start).Seconds())
			sum, squares = sum+x, squares+x*x
		}
		mean, sigma := sum/n, math.Sqrt(squares/n-sum*sum/n/n)
		if math.Abs(mean) > 0.04 || math.Abs(sigma-0.5) > 0.03 {
			t.Errorf("mean of the logarithm %.3f, sigma %.3f, want 0, 0.5", mean, sigma)
		}
	})
}
