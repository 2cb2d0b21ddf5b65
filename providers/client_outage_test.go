package providers_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
)

// said is a failure with the server's words.
func said(class nightshift.ErrorClass, status int, words string, cause error) providers.Exchange {
	return providers.Exchange{Sent: true, Err: &nightshift.Error{Class: class, Status: status, Message: words, Err: cause}}
}

var (
	nobodyThere = said(nightshift.ClassConnection, 0, "dial tcp 127.0.0.1:9: connect: connection refused",
		&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	noSuchHost = said(nightshift.ClassConnection, 0, "no such host", &net.DNSError{Err: "no such host", IsNotFound: true})
	badRow     = said(nightshift.ClassServer, 500, "image input is not supported", nil)
)

// sendAll sends n rows at once, concurrency at a time, and says how each ended,
// and after how long all had.
func sendAll(t *testing.T, client *providers.Client, n, concurrency int) (errs []error, took time.Duration) {
	began := time.Now()
	errs = make([]error, n)
	var wg sync.WaitGroup
	places := make(chan struct{}, concurrency)
	for i := range n {
		places <- struct{}{}
		wg.Go(func() {
			_, errs[i] = client.Complete(t.Context(), nightshift.Request{Model: "m", Key: fmt.Sprint(i)})
			<-places
		})
	}
	wg.Wait()
	return errs, time.Since(began)
}

func endings(errs []error) map[string]int {
	count := map[string]int{}
	for _, err := range errs {
		count[ending(err)]++
	}
	return count
}

// Where nothing has ever answered, a run ends with the cause: soon where only a
// person can help, after minutes where all say the same, and after the time
// that was set where it may pass.
func TestEndpointThatNeverAnswers(t *testing.T) {
	changing := func(n int, _ string) providers.Exchange {
		return said(nightshift.ClassServer, 500+n%2, "trouble", nil)
	}
	for _, tc := range []struct {
		name  string
		say   func(int, string) providers.Exchange
		rows  int
		after time.Duration // it ends, or sooner where rows use up their attempts
		class nightshift.ErrorClass
		words string
	}{
		{"nobody listens", lastly(nobodyThere), 40, 40 * time.Second, nightshift.ClassConnection, "connection refused"},
		{"no such host", lastly(noSuchHost), 40, 40 * time.Second, nightshift.ClassConnection, "no such host"},
		{"closed without HTTP",
			lastly(providers.Exchange{
				Err: &nightshift.Error{Class: nightshift.ClassConnection, Code: providers.CodeNoHTTP,
					Message: "reset by peer"}}), 40, 40 * time.Second, nightshift.ClassConnection, "reset by peer"},
		{"nobody listens, one row", lastly(nobodyThere), 1, 15 * time.Second, nightshift.ClassConnection,
			"connection refused"},
		{"a gateway without its upstream", lastly(said(nightshift.ClassServer, 502, "Bad Gateway", nil)), 40,
			5 * time.Minute, nightshift.ClassServer, "Bad Gateway"},
		{"empty answers", lastly(said(nightshift.ClassEmptyResponse, 200, "the server answered with nothing", nil)), 40,
			5 * time.Minute, nightshift.ClassEmptyResponse, "answered with nothing"},
		{"always the same words", lastly(said(nightshift.ClassServer, 500, "only claude model supported convert", nil)),
			40, 5 * time.Minute, nightshift.ClassServer, "only claude"},
		{"overloaded, which passes", lastly(said(nightshift.ClassOverloaded, 529, "busy", nil)), 40, time.Hour,
			nightshift.ClassOverloaded, "busy"},
		{"now this, now that", changing, 40, time.Hour, nightshift.ClassServer, "trouble"},
		{"refused for a rate for ever", lastly(said(nightshift.ClassRateLimit, 429, "slow down", nil)), 40, time.Hour,
			nightshift.ClassRateLimit, "slow down"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newClient(&script{takes: 50 * time.Millisecond, say: tc.say})
				client.Routes[0].Limiter = limits.New(limits.Config{MaxStall: time.Hour})
				var mu sync.Mutex
				var told []providers.Event
				client.OnEvent = func(e providers.Event) {
					mu.Lock()
					defer mu.Unlock()
					if e.Kind == providers.EventSilent {
						told = append(told, e)
					}
				}
				errs, took := sendAll(t, client, tc.rows, tc.rows)
				if took > tc.after+5*time.Second || took < tc.after*9/10 && tc.rows > 1 {
					t.Errorf("ended after %v, want %v", took, tc.after)
				}
				for i, err := range errs {
					var stop *nightshift.StopError
					if !errors.As(err, &stop) || stop.Endpoint != "corp" || stop.Err.Class != tc.class ||
						!strings.Contains(err.Error(), tc.words) {
						t.Fatalf("row %d ended with %v, want a stop of class %s with %q", i, err, tc.class, tc.words)
					}
				}
				if tc.rows > 1 &&
					(len(told) == 0 || !strings.Contains(told[0].Err.Error(), tc.words) ||
						told[0].Time.Sub(time.Now().Add(-took)) > 6*time.Minute) {
					t.Errorf("people were told %v", told)
				}
				if len(told) > 2 {
					t.Errorf("people were told %d times in an hour", len(told))
				}
			})
		})
	}
}

// Rows that always fail end within their attempts while others are answered,
// and when nothing else is left to do.
func TestRowsThatAlwaysFail(t *testing.T) {
	for _, tc := range []struct {
		name        string
		rows        int
		bad         func(i int) bool
		concurrency int
		attempts    int
		most        time.Duration
	}{
		{"three of fifty-three", 53, func(i int) bool { return i%20 == 3 }, 100, 4, 2 * time.Minute},
		{"the last four of twenty-four", 24, func(i int) bool { return i >= 20 }, 100, 4, 2 * time.Minute},
		{"every second of twenty", 20, func(i int) bool { return i%2 == 0 }, 100, 4, 2 * time.Minute},
		{"the second half of twenty", 20, func(i int) bool { return i >= 10 }, 100, 4, 4 * time.Minute},
		{"a judge with two attempts", 20, func(i int) bool { return i%2 == 0 }, 100, 2, time.Minute},
		{"the second half, four at once", 20, func(i int) bool { return i >= 10 }, 4, 4, 9 * time.Minute},
		{"one at a time", 12, func(i int) bool { return i >= 8 }, 1, 4, 4 * time.Minute},
		{"a third of three hundred", 300, func(i int) bool { return i%3 == 0 }, 64, 4, 3 * time.Minute},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wire := &script{takes: 300 * time.Millisecond, say: func(_ int, key string) providers.Exchange {
					var i int
					fmt.Sscan(key, &i)
					if tc.bad(i) {
						return badRow
					}
					return good()
				}}
				client := newClient(wire)
				client.MaxAttempts = tc.attempts
				client.Routes[0].Limiter.Seed(1)
				errs, took := sendAll(t, client, tc.rows, tc.concurrency)
				for i, err := range errs {
					if want := map[bool]string{true: "row", false: "answer"}[tc.bad(i)]; ending(err) != want {
						t.Errorf("row %d ended with %v, want %s", i, err, want)
					}
				}
				if took > tc.most {
					t.Errorf("all ended after %v, want %v", took, tc.most)
				}
				t.Logf("%v, %d requests", took, len(wire.sent))
			})
		})
	}
}

// An outage in the middle costs no rows: those that wait are sent again when it
// is over.
func TestOutageCostsNoRows(t *testing.T) {
	for _, tc := range []struct {
		name        string
		fault       providers.Exchange
		concurrency int
		lost        int // rows, at most
	}{
		{"nobody listens", nobodyThere, 64, 0},
		{"nobody listens, four at once", nobodyThere, 4, 0},
		{"a gateway without its upstream", said(nightshift.ClassServer, 502, "Bad Gateway", nil), 64, 0},
		{"500 from the service", said(nightshift.ClassServer, 500, "internal", nil), 64, 0},
		// Where four rows at once fail for a quarter of an hour with one and the same
		// answer, they cannot be told from bad rows: some are lost.
		{"500 from the service, four at once", said(nightshift.ClassServer, 500, "internal", nil), 4, 50},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				wire := &script{takes: time.Second, say: func(int, string) providers.Exchange {
					if past := time.Since(began); past > time.Minute && past < 20*time.Minute {
						return tc.fault
					}
					return good()
				}}
				client := newClient(wire)
				client.Routes[0].Limiter = limits.New(limits.Config{Concurrency: tc.concurrency})
				client.Routes[0].Limiter.Seed(1)
				errs, took := sendAll(t, client, 90*tc.concurrency, tc.concurrency*4)
				ends := endings(errs)
				if ends["row"] > tc.lost || ends["answer"]+ends["row"] != len(errs) {
					t.Errorf("rows ended with %v", ends)
				}
				t.Log(took, ends)
			})
		})
	}
}

// A row whose endpoint is paused holds none of the budget meanwhile.
func TestPausedEndpointHoldsNoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := bad(nightshift.ClassRateLimit, 429)
		refused.Limits.RetryAfter, refused.Limits.HasRetryAfter = 10*time.Minute, true
		budget := &limits.Budget{Tokens: 1300}
		paused, idle := newClient(&script{takes: time.Second, say: lastly(refused, good())}),
			newClient(&script{takes: time.Second, say: lastly(good())})
		paused.Budget, idle.Budget = budget, budget
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				if _, err := paused.Complete(t.Context(), nightshift.Request{Model: "m", Key: fmt.Sprint(i)}); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(5 * time.Second)
		if _, err := idle.Complete(t.Context(), nightshift.Request{Model: "m"}); err != nil ||
			time.Since(began) > 10*time.Second {
			t.Errorf("the idle endpoint answered %v after %v, want at once", err, time.Since(began))
		}
		wg.Wait()
	})
}

// What a row used up before it was run again does not count.
func TestSettledAttemptsDoNotCount(t *testing.T) {
	for class, sends := range map[nightshift.ErrorClass]int{nightshift.ClassServer: 4, nightshift.ClassBadResponse: 2} {
		synctest.Test(t, func(t *testing.T) {
			wire := &script{say: lastly(bad(class, 500))}
			var before []nightshift.Attempt
			for i := range 4 {
				before = append(before, nightshift.Attempt{N: i + 1, Class: class, Status: 500})
			}
			resp, err := newClient(wire).Complete(t.Context(), nightshift.Request{Model: "m", Attempts: before, Settled: 4})
			if ending(err) != "row" || len(wire.sent) != sends || len(resp.Attempts) != 4+sends {
				t.Errorf("%s: %v after %d sends and %d attempts, want %d sends", class, err, len(wire.sent),
					len(resp.Attempts), sends)
			}
		})
	}
}

// Filters and limits of size judge the row: however many come first, they do
// not speak against the plan.
func TestFirstRequestsJudgedOneByOne(t *testing.T) {
	for _, e := range []struct {
		class  nightshift.ErrorClass
		status int
	}{{nightshift.ClassContentPolicy, 400}, {nightshift.ClassContextLength, 400}, {nightshift.ClassTooLarge, 413},
		{nightshift.ClassExceedsLimit, 429}} {
		synctest.Test(t, func(t *testing.T) {
			client := newClient(&script{say: lastly(bad(e.class, e.status))})
			for i := range 60 {
				if _, err := client.Complete(t.Context(), nightshift.Request{Model: "m"}); ending(err) != "row" {
					t.Fatalf("%s, row %d: %v, want a failed row", e.class, i, err)
				}
			}
		})
	}
}
