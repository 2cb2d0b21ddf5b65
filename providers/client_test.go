package providers_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/providers"
	"nightshift/providers/limits"
)

// A script answers attempts by number, counted from 0.
type script struct {
	takes time.Duration
	media nightshift.Media // of every request
	say   func(n int, key string) providers.Exchange

	mu   sync.Mutex
	sent []string // keys, in order
}

func (s *script) Prepare(req nightshift.Request) (providers.Prepared, error) {
	if req.Model == "unsayable" {
		return providers.Prepared{}, &nightshift.Error{Class: nightshift.ClassUntranslatable}
	}
	return providers.Prepared{Key: req.Key, Model: req.Model, InputText: 100, MaxOutput: 50, Media: s.media,
		Hash: "h-" + req.Key, Body: []byte(`{"tools":[],"messages":[{"role":"user"}]}`)}, nil
}

func (s *script) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	s.mu.Lock()
	n := len(s.sent)
	s.sent = append(s.sent, p.Key)
	s.mu.Unlock()
	if !pass(ctx, s.takes) {
		return broken(ctx)
	}
	return s.say(n, p.Key)
}

func good() providers.Exchange {
	text := "yes"
	return providers.Exchange{Sent: true, Response: nightshift.Response{
		Status: 200, Text: &text,
		Usage: nightshift.Usage{Input: nightshift.Tokens(25), Output: nightshift.Tokens(10)},
	}}
}

func bad(class nightshift.ErrorClass, status int) providers.Exchange { return fails(class, status) }

// lastly answers with each of the given exchanges in turn and then with the
// last for ever.
func lastly(all ...providers.Exchange) func(int, string) providers.Exchange {
	return func(n int, _ string) providers.Exchange { return all[min(n, len(all)-1)] }
}

// A notebook is a AttemptLog that remembers.
type notebook struct {
	intents  []nightshift.Intent
	accepted []nightshift.Intent
	failed   []nightshift.Attempt
	full     error
}

func (w *notebook) Sending(i nightshift.Intent) error {
	w.intents = append(w.intents, i)
	return w.full
}

func (w *notebook) Accepted(i nightshift.Intent) error {
	w.accepted = append(w.accepted, i)
	return nil
}

func (w *notebook) Failed(a nightshift.Attempt) error {
	w.failed = append(w.failed, a)
	return nil
}

func price(_ string, u nightshift.Usage) (nightshift.NanoUSD, string, bool) {
	return nightshift.NanoUSD(u.InputTotal().N() + 5*u.Output.N()), "list", true
}

func worstPrice(_ string, in, out int64, _ nightshift.Media) (nightshift.NanoUSD, bool) {
	return nightshift.NanoUSD(in + 5*out), true
}

func newClient(w providers.Wire) *providers.Client {
	return &providers.Client{
		Endpoint: "corp", Flow: "m", Price: price, WorstPrice: worstPrice,
		Routes: []providers.ClientRoute{{Name: "one", Wire: w, Limiter: limits.New(limits.Config{})}},
	}
}

func classesOf(attempts []nightshift.Attempt) string {
	var all []string
	for _, a := range attempts {
		class := string(a.Class)
		if class == "" {
			class = "ok"
		}
		all = append(all, class)
	}
	return strings.Join(all, " ")
}

func TestWhatFollowsFromAnError(t *testing.T) {
	year := bad(nightshift.ClassRateLimit, 429)
	year.Limits.RetryAfter, year.Limits.HasRetryAfter = 365*24*time.Hour, true
	never := false
	pointless := bad(nightshift.ClassConflict, 409)
	pointless.Limits.ShouldRetry = &never
	lost := bad(nightshift.ClassCut, 200)
	lost.Err.MaybeBilled = true
	daily := bad(nightshift.ClassQuota, 429)
	daily.Limits.RetryAfter, daily.Limits.HasRetryAfter = 3*time.Hour, true
	ofModel, unreleased := bad(nightshift.ClassQuota, 429), bad(nightshift.ClassPermission, 403)
	ofModel.Err.OfModel, unreleased.Err.OfModel = true, true
	server := bad(nightshift.ClassServer, 500)
	refused := bad(nightshift.ClassRateLimit, 429)

	for _, tc := range []struct {
		name     string
		say      func(int, string) providers.Exchange
		attempts string // classes
		ends     string // "answer", "row", "stop", "model"
		maybe    bool   // cost unknown
	}{
		{"an answer", lastly(good()), "ok", "answer", false},
		{"refused for a while", lastly(refused, refused, refused, refused, refused, refused, good()),
			"rate_limit rate_limit rate_limit rate_limit rate_limit rate_limit ok", "answer", false},
		{"three failures", lastly(server, server, server, good()), "server server server ok", "answer", false},
		{"four failures", lastly(server, server, server, server, good()), "server server server server", "row", false},
		{"an answer that was cut", lastly(lost, good()), "cut ok", "answer", true},
		{"a conflict that the server gives up on", lastly(pointless), "conflict", "row", false},
		{"a wrong request", lastly(bad(nightshift.ClassInvalidRequest, 400)), "invalid_request", "row", false},
		{"a wrong key", lastly(bad(nightshift.ClassAuth, 401)), "auth", "stop", false},
		{"no money", lastly(bad(nightshift.ClassQuota, 402)), "quota", "stop", false},
		{"the quota of the day", lastly(daily), "quota", "stop", false},
		{"the quota of one model", lastly(ofModel), "quota", "model", false},
		{"a model that the key may not use", lastly(unreleased), "permission", "model", false},
		{"an unknown model", lastly(bad(nightshift.ClassNotFound, 404)), "not_found", "model", false},
		{"a pause of a year", lastly(year), "rate_limit", "stop", false},
		{"a web page", lastly(bad(nightshift.ClassNotAnAPI, 200)), "not_an_api not_an_api not_an_api", "stop", false},
		{"a body that cannot be read", lastly(bad(nightshift.ClassBadResponse, 200)), "bad_response bad_response",
			"row", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wire := &script{say: tc.say}
				client := newClient(wire)
				var events []providers.Event
				client.OnEvent = func(e providers.Event) { events = append(events, e) }
				seen := &notebook{}
				resp, err := client.Complete(t.Context(), nightshift.Request{Model: "m", Key: "r", AttemptLog: seen})
				if got := classesOf(resp.Attempts); got != tc.attempts {
					t.Errorf("attempts = %q, want %q", got, tc.attempts)
				}
				if got := ending(err); got != tc.ends {
					t.Errorf("ended with %s (%v), want %s", got, err, tc.ends)
				}
				if (resp.Cost == nil) != tc.maybe {
					t.Errorf("cost = %v, want unknown %v", resp.Cost, tc.maybe)
				}
				untold := len(resp.Attempts) - len(seen.failed)
				if final := tc.ends == "answer" || tc.ends == "row"; (untold == 1) != final ||
					len(seen.intents) != len(resp.Attempts) {
					t.Errorf("%d attempts, %d intents and %d failures told for %s", len(resp.Attempts),
						len(seen.intents), len(seen.failed), tc.ends)
				}
				if tc.ends != "answer" && len(events) == 0 {
					t.Error("nobody was told")
				}
				if tc.ends == "stop" || tc.ends == "model" {
					before := len(wire.sent)
					_, err := client.Complete(t.Context(), nightshift.Request{Model: "m", Key: "next"})
					if ending(err) != tc.ends || len(wire.sent) != before {
						t.Errorf("the next row ended with %v after %d more attempts", err, len(wire.sent)-before)
					}
				}
			})
		})
	}
}

func ending(err error) string {
	var stop *nightshift.StopError
	var row *nightshift.Error
	switch {
	case err == nil:
		return "answer"
	case errors.As(err, &stop) && stop.Endpoint != "corp":
		return "a stop without its endpoint"
	case errors.As(err, &stop) && stop.Model != "":
		return "model"
	case errors.As(err, &stop):
		return "stop"
	case errors.As(err, &row):
		return "row"
	}
	return err.Error()
}

func TestQuotaEndsAtItsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		daily := bad(nightshift.ClassQuota, 429)
		daily.Limits.Requests = &limits.Window{Limit: 100, Remaining: 0, Reset: 3 * time.Hour, Period: 24 * time.Hour}
		client := newClient(&script{say: lastly(daily, good())})
		_, err := client.Complete(t.Context(), nightshift.Request{Model: "m"})
		var stop *nightshift.StopError
		if !errors.As(err, &stop) || time.Until(stop.Until).Round(time.Minute) != 3*time.Hour {
			t.Fatalf("Complete = %v, want a stop of three hours", err)
		}
		time.Sleep(3*time.Hour + time.Second)
		if _, err := client.Complete(t.Context(), nightshift.Request{Model: "m"}); err != nil {
			t.Errorf("after the reset: %v", err)
		}
	})
}

func TestResponseSumsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient(&script{takes: time.Second, say: lastly(bad(nightshift.ClassServer, 500), good())})
		earlier := nightshift.NanoUSD(7)
		resp, err := client.Complete(t.Context(), nightshift.Request{Model: "m", Key: "r", Attempts: []nightshift.Attempt{
			{N: 1, Class: nightshift.ClassServer, Cost: &earlier},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if got := classesOf(resp.Attempts); got != "server server ok" || resp.Attempts[2].N != 3 {
			t.Errorf("attempts = %q, last number %d", got, resp.Attempts[2].N)
		}
		if resp.Cost == nil || *resp.Cost != 7+25+50 || resp.PriceID != "list" {
			t.Errorf("cost = %v by %q, want 82 by list", resp.Cost, resp.PriceID)
		}
		if resp.RequestHash != "h-r" || resp.Latency != time.Second || resp.Backoff == 0 {
			t.Errorf("hash %q, latency %v, backoff %v", resp.RequestHash, resp.Latency, resp.Backoff)
		}
	})
}

// What is known of an attempt without an answer, or of an answer without all
// of its usage, has a price: at least that. The budget holds the worst case,
// and both together are what the record says.
func TestPartialUsageCostsAtLeast(t *testing.T) {
	cut := bad(nightshift.ClassCut, 200)
	cut.Err.MaybeBilled = true
	cut.Response.Usage = nightshift.Usage{Input: nightshift.Tokens(25)}
	silent := bad(nightshift.ClassCut, 200)
	silent.Err.MaybeBilled = true
	refused := bad(nightshift.ClassServer, 500)
	refused.Response.Usage = good().Response.Usage
	whole := bad(nightshift.ClassCut, 200)
	whole.Err.MaybeBilled = true
	whole.Response.Usage = nightshift.Usage{Input: nightshift.Tokens(25), Output: nightshift.Tokens(4)}
	partial := good()
	partial.Response.Usage.Output = nightshift.Count{}
	unpriced := good()
	unpriced.Response.Usage.ServiceTier = "fast"
	for _, tc := range []struct {
		name  string
		first providers.Exchange
		cost  nightshift.NanoUSD // at least, of the first attempt; -1 is unknown
		known bool               // of the whole row
	}{
		{"cut, input known", cut, 25, false},
		{"cut, all known", whole, 25 + 5*4, false},
		{"cut, nothing known", silent, -1, false},
		{"failed, with its usage", refused, 75, true},
		{"answered, output unknown", partial, 25, false},
		{"answered in a tier without a price", unpriced, -1, false},
		{"answered", good(), 75, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			client := newClient(&script{say: lastly(tc.first, good())})
			client.Price = func(m string, u nightshift.Usage) (nightshift.NanoUSD, string, bool) {
				cost, id, _ := price(m, u)
				return cost, id, u.ServiceTier == ""
			}
			client.Budget = &limits.Budget{Cost: 1_000_000}
			resp, err := client.Complete(t.Context(), nightshift.Request{Model: "m"})
			if err != nil {
				t.Fatal(err)
			}
			first := resp.Attempts[0]
			switch {
			case tc.cost < 0 && first.Cost != nil, tc.cost >= 0 && (first.Cost == nil || *first.Cost != tc.cost):
				t.Errorf("%s: the attempt costs %s, want %d", tc.name, show(first), tc.cost)
			case (resp.Cost != nil) != tc.known:
				t.Errorf("%s: the row costs %v, known is to be %v", tc.name, resp.Cost, tc.known)
			case !tc.known && first.WorstCost == 0:
				t.Errorf("%s: there is no worst case: %+v", tc.name, first)
			}
			var most nightshift.NanoUSD // as the store counts it
			for _, a := range resp.Attempts {
				sure := nightshift.NanoUSD(0)
				if a.Cost != nil {
					sure = *a.Cost
				}
				most += max(sure, a.WorstCost)
			}
			if _, spent := client.Budget.Spent(); spent != most {
				t.Errorf("%s: the budget has spent %d, the record owes at most %d", tc.name, spent, most)
			}
		})
	}
}

// show is an attempt as the log has it.
func show(a nightshift.Attempt) string {
	return string(attemptlog.Append(nil, []nightshift.Attempt{a}))
}

func TestEarlierAttemptsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &script{say: lastly(bad(nightshift.ClassServer, 500))}
		before := make([]nightshift.Attempt, 3)
		for i := range before {
			before[i] = nightshift.Attempt{N: i + 1, Class: nightshift.ClassServer, Status: 500}
		}
		resp, err := newClient(wire).Complete(t.Context(), nightshift.Request{Model: "m", Attempts: before})
		if ending(err) != "row" || len(wire.sent) != 1 || len(resp.Attempts) != 4 {
			t.Errorf("%v after %d sends and %d attempts, want a failed row after 1 and 4", err, len(wire.sent),
				len(resp.Attempts))
		}
	})
}

func TestCancelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &script{takes: time.Minute, say: lastly(good())}
		client := newClient(wire)
		client.Budget = &limits.Budget{Tokens: 10_000}
		seen := &notebook{}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		resp, err := client.Complete(ctx, nightshift.Request{Model: "m", Key: "in flight", AttemptLog: seen})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || classesOf(resp.Attempts) != "cancelled" ||
			!resp.Attempts[0].MaybeBilled || len(seen.failed) != 1 {
			t.Errorf("in flight: %v, %+v", err, resp.Attempts)
		}
		if tokens, _ := client.Budget.Spent(); tokens != resp.Attempts[0].WorstTokens || tokens == 0 {
			t.Errorf("spent %d, want the worst case %d", tokens, resp.Attempts[0].WorstTokens)
		}

		client = newClient(wire)
		client.Routes[0].Limiter = limits.New(limits.Config{Concurrency: 1})
		go client.Complete(t.Context(), nightshift.Request{Model: "m", Key: "first"})
		synctest.Wait()
		waiting, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		resp, err = client.Complete(t.Context(),
			nightshift.Request{Model: "m", Key: "waiting", AttemptLog: seen, Unsent: waiting})
		if !errors.Is(err, context.DeadlineExceeded) || len(resp.Attempts) != 0 || slices.Contains(wire.sent, "waiting") {
			t.Errorf("waiting: %v, %+v", err, resp.Attempts)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()

		wire.say, wire.takes = lastly(bad(nightshift.ClassServer, 500)), 0
		waiting, stop = context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()
		resp, err = client.Complete(t.Context(), nightshift.Request{Model: "m", Key: "standing back", Unsent: waiting})
		if !errors.Is(err, context.DeadlineExceeded) || len(resp.Attempts) != 1 {
			t.Errorf("standing back: %v, %+v", err, resp.Attempts)
		}
	})
}

func TestAttemptLogThatCannotWriteSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &script{say: lastly(good())}
		client := newClient(wire)
		client.Budget = &limits.Budget{Tokens: 10_000}
		full := errors.New("disk full")
		_, err := client.Complete(t.Context(), nightshift.Request{Model: "m", AttemptLog: &notebook{full: full}})
		if !errors.Is(err, full) || len(wire.sent) != 0 {
			t.Errorf("Complete = %v after %d sends, want %v after none", err, len(wire.sent), full)
		}
		if s := client.Routes[0].Limiter.State(); s.InFlight != 0 || s.Sent != 0 {
			t.Errorf("limiter = %+v, want the permit back", s)
		}
		if tokens, _, _ := client.Budget.Reserved(); tokens != 0 {
			t.Errorf("%d tokens stay reserved", tokens)
		}
	})
}

func TestPanicKeepsNothingHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient(&script{say: func(int, string) providers.Exchange { panic("bug") }})
		client.Budget = &limits.Budget{Tokens: 10_000}
		func() {
			defer func() { recover() }()
			client.Complete(t.Context(), nightshift.Request{Model: "m"})
		}()
		if s := client.Routes[0].Limiter.State(); s.InFlight != 0 {
			t.Errorf("%d in flight after a panic", s.InFlight)
		}
		if spent, _ := client.Budget.Spent(); spent == 0 {
			t.Error("what may have been billed was not kept")
		}
	})
}

func TestFirstRequestsAllWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &script{say: lastly(bad(nightshift.ClassInvalidRequest, 400))}
		client := newClient(wire)
		for i := range 30 {
			_, err := client.Complete(t.Context(), nightshift.Request{Model: "m"})
			if want := "row"; i < 19 && ending(err) != want {
				t.Fatalf("row %d: %v, want a failed row", i, err)
			} else if i >= 19 && ending(err) != "model" {
				t.Fatalf("row %d: %v, want a stop", i, err)
			}
		}
		if len(wire.sent) != 20 {
			t.Errorf("%d requests were sent, want 20", len(wire.sent))
		}
	})
}

func TestRowLargerThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := &script{takes: 100 * time.Millisecond, say: func(_ int, key string) providers.Exchange {
			if key == "big" {
				return bad(nightshift.ClassRateLimit, 429)
			}
			return good()
		}}
		client := newClient(wire)
		done := make(chan error, 1)
		go func() {
			_, err := client.Complete(t.Context(), nightshift.Request{Model: "m", Key: "big"})
			done <- err
		}()
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			go func() {
				for ctx.Err() == nil {
					client.Complete(ctx, nightshift.Request{Model: "m", Key: "small"})
				}
			}()
		}
		var row *nightshift.Error
		if err := <-done; !errors.As(err, &row) || row.Class != nightshift.ClassExceedsLimit {
			t.Errorf("the big row ended with %v, want %s", err, nightshift.ClassExceedsLimit)
		}
		cancel()
	})
}

func TestRoutesFailOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := &script{say: lastly(bad(nightshift.ClassAuth, 401))}
		fine := &script{takes: time.Second, say: lastly(good())}
		client := newClient(dead)
		client.Routes = []providers.ClientRoute{
			{Name: "dead", Wire: dead, Limiter: limits.New(limits.Config{}), Weight: 1000},
			{Name: "fine", Wire: fine, Limiter: limits.New(limits.Config{})},
		}
		resp, err := client.Complete(t.Context(), nightshift.Request{Model: "m"})
		if err != nil || classesOf(resp.Attempts) != "auth ok" || resp.Attempts[0].Route != "dead" ||
			resp.Attempts[1].Route != "fine" {
			t.Fatalf("Complete = %v, %+v", err, resp.Attempts)
		}
		for range 10 {
			if _, err := client.Complete(t.Context(), nightshift.Request{Model: "m"}); err != nil {
				t.Fatal(err)
			}
		}
		if len(dead.sent) != 1 {
			t.Errorf("the stopped route was asked %d times, want once", len(dead.sent))
		}
		fine.say = lastly(bad(nightshift.ClassAuth, 401))
		if _, err := client.Complete(t.Context(), nightshift.Request{Model: "m"}); ending(err) != "stop" {
			t.Errorf("with no route left: %v", err)
		}
	})
}

func TestRoutesSkipOneThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := &script{say: lastly(bad(nightshift.ClassServer, 503))}
		fine := &script{takes: time.Second, say: lastly(good())}
		client := newClient(nil)
		client.Routes = []providers.ClientRoute{
			{Name: "down", Wire: down, Limiter: limits.New(limits.Config{})},
			{Name: "fine", Wire: fine, Limiter: limits.New(limits.Config{})},
		}
		drive(client, 20, 10*time.Minute)
		if d, f := len(down.sent), len(fine.sent); d > f/20 {
			t.Errorf("%d requests to the route that is down, %d to the other", d, f)
		}
	})
}

func TestRoutesShareByWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, three := &script{takes: time.Second, say: lastly(good())}, &script{takes: time.Second, say: lastly(good())}
		client := newClient(nil)
		client.Routes = []providers.ClientRoute{
			{Name: "one", Wire: one, Limiter: limits.New(limits.Config{Concurrency: 100})},
			{Name: "three", Wire: three, Limiter: limits.New(limits.Config{Concurrency: 100}), Weight: 3},
		}
		drive(client, 20, 10*time.Minute)
		if ratio := float64(len(three.sent)) / float64(len(one.sent)); ratio < 2 || ratio > 4 {
			t.Errorf("sent %d and %d, want one to three", len(one.sent), len(three.sent))
		}
	})
}

func TestRetriesStayWithinTheirBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Every fourth request fails for ever: too few to open the breaker.
		wire := &script{takes: 100 * time.Millisecond, say: func(_ int, key string) providers.Exchange {
			if strings.HasSuffix(key, "0") || strings.HasSuffix(key, "4") {
				return bad(nightshift.ClassServer, 500)
			}
			return good()
		}}
		client := newClient(wire)
		var mu sync.Mutex
		retries := 0
		client.OnEvent = func(e providers.Event) {
			if e.Kind == providers.EventRetry && e.Wait > 0 {
				mu.Lock()
				retries++
				mu.Unlock()
			}
		}
		const minutes = 10
		drive(client, 50, minutes*time.Minute)
		if most := len(wire.sent)/10 + 3*60*minutes + 100; retries > most {
			t.Errorf("%d retries in %d sends, want %d at most", retries, len(wire.sent), most)
		}
	})
}

func TestBudgetRefusesWhatItCannotBound(t *testing.T) {
	client := newClient(&script{say: lastly(good())})
	client.Budget = &limits.Budget{Cost: 1000}
	client.WorstPrice = nil
	if _, err := client.Complete(t.Context(), nightshift.Request{Model: "m"}); !errors.Is(err, nightshift.ErrBudget) {
		t.Errorf("without a price: %v", err)
	}
	audio := &script{say: lastly(good()), media: nightshift.Media{AudioInput: true}}
	client = newClient(audio)
	client.Budget = &limits.Budget{Cost: 1e6}
	client.WorstPrice = func(_ string, _, _ int64, m nightshift.Media) (nightshift.NanoUSD, bool) {
		return 1, !m.AudioInput
	}
	if _, err := client.Complete(t.Context(), nightshift.Request{Model: "m"}); !errors.Is(err, nightshift.ErrBudget) ||
		!strings.Contains(err.Error(), "audio") || len(audio.sent) > 0 {
		t.Errorf("audio without a price: %v, %d sent", err, len(audio.sent))
	}
	client = newClient(&unbounded{})
	client.Budget = &limits.Budget{Tokens: 1000}
	if _, err := client.Complete(t.Context(), nightshift.Request{Model: "m"}); !errors.Is(err, nightshift.ErrBudget) {
		t.Errorf("without a bound on output: %v", err)
	}
	client.MaxOutput = 100
	if _, err := client.Complete(t.Context(), nightshift.Request{Model: "m"}); err != nil {
		t.Errorf("with one: %v", err)
	}
	if spent, _ := client.Budget.Spent(); spent < 100 {
		t.Errorf("spent %d for an answer without usage, want its worst case", spent)
	}
	client = newClient(&unbounded{choices: 5})
	client.Budget, client.MaxOutput = &limits.Budget{Tokens: 1000}, 100
	if _, err := client.Complete(t.Context(), nightshift.Request{Model: "m"}); err != nil {
		t.Errorf("five choices: %v", err)
	}
	if spent, _ := client.Budget.Spent(); spent < 500 {
		t.Errorf("spent %d for five choices of 100 tokens", spent)
	}
}

// unbounded answers without usage and sets no cap on output.
type unbounded struct{ choices int64 }

func (u unbounded) Prepare(nightshift.Request) (providers.Prepared, error) {
	return providers.Prepared{InputText: 10, Choices: u.choices}, nil
}

func (unbounded) Send(context.Context, providers.Prepared) providers.Exchange {
	return providers.Exchange{Sent: true}
}

func TestCompleteWithoutSending(t *testing.T) {
	if _, err := (&providers.Client{}).Complete(t.Context(), nightshift.Request{}); err == nil {
		t.Error("a client without routes answered")
	}
	_, err := newClient(&script{}).Complete(t.Context(), nightshift.Request{Model: "unsayable"})
	if ending(err) != "row" {
		t.Errorf("a request that cannot be encoded: %v", err)
	}
}

func TestStalledEndpointStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := newClient(&script{say: lastly(good(), bad(nightshift.ClassServer, 503))})
		client.Routes[0].Limiter = limits.New(limits.Config{MaxStall: 10 * time.Minute})
		if _, err := client.Complete(t.Context(), nightshift.Request{Model: "m"}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				_, err := client.Complete(t.Context(), nightshift.Request{Model: "m", Key: fmt.Sprint(i)})
				if e := ending(err); e != "stop" && e != "row" {
					t.Errorf("row %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took < 9*time.Minute || took > 11*time.Minute {
			t.Errorf("gave up after %v, want ten minutes", took)
		}
	})
}

func TestEstimatorLearns(t *testing.T) {
	e := &providers.Estimator{}
	p := providers.Prepared{InputText: 1000, MaxOutput: 4096}
	first := e.Cost("m", p)
	if first.Input < 200 || first.Input > 350 || first.Output < 1 || first.Output > 4096 {
		t.Errorf("first guess = %+v", first)
	}
	for range 500 {
		e.Observe("m", p, nightshift.Usage{Input: nightshift.Tokens(500), Output: nightshift.Tokens(50)})
	}
	if c := e.Cost("m", p); c.Input < 495 || c.Input > 505 || c.Output < 49 || c.Output > 52 || c.MaxOutput != 4096 {
		t.Errorf("after 500 answers = %+v, want 500 and 50", c)
	}
	if c := e.Cost("other", p); c != first {
		t.Errorf("another model = %+v, want %+v", c, first)
	}
	if c := e.Cost("m", providers.Prepared{MaxOutput: 7}); c.Output != 7 {
		t.Errorf("output = %d, want the cap 7", c.Output)
	}
	e.Observe("silent", p, nightshift.Usage{})
	if c := e.Cost("silent", p); c != first {
		t.Errorf("after an answer without usage = %+v, want %+v", c, first)
	}
}

// A client that is given nothing but a wire works: without a limiter, a budget,
// prices or an attempt log.
func TestBareClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := bad(nightshift.ClassRateLimit, 429)
		w := &script{say: lastly(bad(nightshift.ClassServer, 503), refused, good())}
		c := &providers.Client{Routes: []providers.ClientRoute{{Wire: w}}}
		resp, err := c.Complete(t.Context(), nightshift.Request{Model: "m"})
		if err != nil || resp.Text == nil || len(resp.Attempts) != 3 {
			t.Errorf("%d attempts, %v", len(resp.Attempts), err)
		}
	})
	if _, err := (&providers.Client{}).Complete(t.Context(), nightshift.Request{}); err == nil {
		t.Error("a client without routes answers")
	}
}
