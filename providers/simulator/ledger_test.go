package simulator

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"nightshift/providers/simulator/internal/ledger"
	"nightshift/providers/simulator/testdata/simtest"
)

// TestAnswersDoNotDependOnOrder asks the same questions one after another and
// all at once, in another order, of another server.
func TestAnswersDoNotDependOnOrder(t *testing.T) {
	rows := quickstart(t)
	faults, err := ParseFaults("mixed=30%")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Seed: 7, Faults: faults}
	ask := func(c *caller, i int) string {
		var log []string
		for range 20 {
			g := c.post([]string{messagesPath, chatPath}[i%2], simple("sim-medium", rows[i].Prompt, ""))
			if g.err == nil && g.status == 200 && strings.Contains(g.body, "role") && json.Valid([]byte(g.body)) {
				return fmt.Sprint(log, parse(t, []string{messagesPath, chatPath}[i%2], g).Text)
			}
			log = append(log, fmt.Sprint(g.status, g.err != nil))
		}
		return fmt.Sprint(log)
	}
	inOrder := make([]string, len(rows))
	first := inProcess(cfg)
	for i := range rows {
		inOrder[i] = ask(first, i)
	}
	second := inProcess(cfg)
	var group sync.WaitGroup
	for _, i := range rand.Perm(len(rows)) {
		group.Go(func() {
			if again := ask(second, i); again != inOrder[i] {
				t.Errorf("%s: %q, then %q", rows[i].Prompt, inOrder[i], again)
			}
		})
	}
	group.Wait()
	if a, b := first.Ledger().Billed, second.Ledger().Billed; a != b {
		t.Errorf("billed %+v, then %+v", a, b)
	}
	if other := inProcess(Config{Seed: 8, Faults: faults}); ask(other, 0)+ask(other, 1)+ask(other, 2)+ask(other,
		3) == strings.Join(inOrder[:4], "") {
		t.Error("another seed gives the same run")
	}
}

// TestLedgerUnderConcurrency has clients read whole answers, give up at once,
// and hang up in the middle, all at the same time. What a client read whole
// must be in the ledger as delivered, and sums must agree whatever happens.
func TestLedgerUnderConcurrency(t *testing.T) {
	faults, err := ParseFaults("cut_stream=5%,reset=5%,server_error=5%,empty=3%,rate_limit=4%,no_usage=3%")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	log, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var logged int64
	everyWay(t, Config{Faults: faults, Log: log}, func(t *testing.T, c *caller) {
		const requests = 2000
		var mu sync.Mutex
		read := map[string]int64{}
		var tokens int64
		var group sync.WaitGroup
		slots := make(chan struct{}, 32)
		for i := range requests {
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				prompt := fmt.Sprintf("Question %d about lighthouses", i%500)
				whole, used := c.behave(i, prompt)
				mu.Lock()
				defer mu.Unlock()
				if whole {
					read[simtest.Key("m", "", prompt)]++
					tokens += used
				}
			})
		}
		group.Wait()
		waitIdle(t, c.Server)
		l := c.Prompts()
		var received, answered, delivered int64
		for key, n := range l.Prompts {
			if n.Delivered < read[key] || n.Answered < n.Delivered || n.Received < n.Answered {
				t.Errorf("%s: read %d times, counter %+v", key, read[key], n)
			}
			received, answered, delivered = received+n.Received, answered+n.Answered, delivered+n.Delivered
		}
		if l.Received != received || l.Answered != answered || l.Delivered != delivered {
			t.Errorf("totals %+v, counters %d %d %d", l.Totals, received, answered, delivered)
		}
		if l.Models["m"] != l.Totals || l.InFlight != 0 {
			t.Errorf("model %+v, totals %+v, in flight %d", l.Models["m"], l.Totals, l.InFlight)
		}
		if tokens == 0 || l.DeliveredTokens.Total() < tokens || l.Billed.Total() < l.DeliveredTokens.Total() {
			t.Errorf("clients read %d tokens, delivered %d, billed %d", tokens, l.DeliveredTokens.Total(), l.Billed.Total())
		}
		logged += l.Received
		if l.Aborted == 0 || l.Faulted == 0 {
			t.Errorf("nothing went wrong: %+v", l.Totals)
		}
	})
	n := 0
	for range 2000 { // a line is written after the ledger has its entry
		if n = checkLog(t, path); int64(n) == logged {
			return
		}
		<-tick()
	}
	t.Errorf("%d lines, want %d", n, logged)
}

// behave sends one request as a client of some temper, and reports whether
// it read a whole answer, and with how many tokens.
func (c *caller) behave(i int, prompt string) (whole bool, tokens int64) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream := i%4 >= 2
	extra := ""
	if stream {
		extra = `"stream":true,`
	}
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, c.base+messagesPath,
		strings.NewReader(simple("m", prompt, extra)))
	switch i % 7 {
	case 0: // gives up at once
		go cancel()
	case 1: // hangs up after a few bytes
		if resp, err := c.client.Do(req); err == nil {
			_, _ = io.ReadFull(resp.Body, make([]byte, 20))
			resp.Body.Close()
		}
		return false, 0
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return false, 0
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || len(b) == 0 || i%7 == 0 {
		return false, 0
	}
	var m struct{ Usage map[string]int64 }
	if stream {
		return strings.Contains(string(b), "message_stop"), 0
	}
	if json.Unmarshal(b, &struct{ Usage *struct{} }{}) != nil {
		return false, 0
	}
	_ = json.Unmarshal(b, &m)
	return true, m.Usage["input_tokens"] + m.Usage["output_tokens"]
}

// waitIdle waits until the server has settled everything. It polls, because
// over TCP nothing tells when a server has noticed that a client is gone.
func waitIdle(t *testing.T, s *Server) {
	t.Helper()
	for range 2000 {
		if s.Ledger().InFlight == 0 {
			return
		}
		<-tick()
	}
	t.Fatalf("still %d in flight", s.Ledger().InFlight)
}

// checkLog reads the log and returns its number of lines.
func checkLog(t *testing.T, path string) (n int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); n++ {
		var e ledger.Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		if e.Outcome == "" || e.Model != "m" || e.Key == "" || (e.Outcome == ledger.Delivered) != e.Delivered {
			t.Errorf("entry %+v", e)
		}
	}
	return n
}

func TestInvoice(t *testing.T) {
	c := inProcess(Config{})
	for _, model := range []string{"a", "a", "b", "c"} {
		c.post(chatPath, simple(model, "What is 2 + 2?", ""))
	}
	l := c.Ledger()
	a, b := l.Models["a"].Billed, l.Models["b"].Billed
	total, unpriced := l.Invoice(map[string]ledger.Price{"a": {Input: 3000, Output: 15000}, "b": {Input: 1, Output: 2}})
	want := 3000*a.Input + 15000*a.Output + b.Input + 2*b.Output
	if total != want || len(unpriced) != 1 || unpriced[0] != "c" {
		t.Errorf("Invoice = %d, %v, want %d, [c]", total, unpriced, want)
	}
}

func TestLedgerIsBounded(t *testing.T) {
	c := inProcess(Config{MaxLedger: 3})
	for i := range 10 {
		c.post(chatPath, simple("m", fmt.Sprint("Question ", i), ""))
	}
	if l := c.Prompts(); len(l.Prompts) != 3 || l.Uncounted != 7 || l.Delivered != 10 {
		t.Errorf("%d counters, %d uncounted, %d delivered", len(l.Prompts), l.Uncounted, l.Delivered)
	}
}

func TestQuota(t *testing.T) {
	for kind, status := range map[string]int{"": 429, "insufficient_quota": 429, "payment": 402, "credit": 400,
		"forbidden": 403, "token": 401} {
		c := inProcess(Config{Quota: Quota{Requests: 2, Kind: kind}})
		for i := range 4 {
			want := 200
			if i >= 2 {
				want = status
			}
			for _, path := range []string{messagesPath, chatPath} {
				if i == 1 && path == chatPath || i == 0 && path == chatPath {
					continue
				}
				if g := c.post(path, simple("m", "Hi", ""), "X-Api-Key", "k"); g.status != want || g.body == "" {
					t.Errorf("%s: request %d: %d %s, want %d", kind, i, g.status, g.body, want)
				}
			}
		}
		if g := c.post(messagesPath, simple("m", "Hi", ""), "X-Api-Key", "another"); g.status != 200 {
			t.Errorf("%s: another key: %d", kind, g.status)
		}
	}
}

func TestVary(t *testing.T) {
	c := inProcess(Config{Vary: true})
	texts := map[string]bool{}
	for range 5 {
		texts[parse(t, chatPath, c.post(chatPath, simple("m", "Tell me about otters.", ""))).Text] = true
	}
	if len(texts) != 5 {
		t.Errorf("%d different answers of 5", len(texts))
	}
	byKey := func(key string) string {
		return parse(t, chatPath, c.post(chatPath, simple("m", "Tell me about otters.", ""), "Idempotency-Key", key)).Text
	}
	if x, again, y := byKey("x"), byKey("x"), byKey("y"); x != again || x == y {
		t.Error("the idempotency key does not decide the sample")
	}
	seeded := func(n string) string {
		return parse(t, chatPath,
			inProcess(Config{}).post(chatPath, simple("m", "Tell me about otters.", `"seed":`+n+","))).Text
	}
	if x, again, y := seeded("1"), seeded("1"), seeded("2"); x != again || x == y {
		t.Error("the seed does not decide the sample")
	}
}
