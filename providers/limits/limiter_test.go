package limits

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
)

func take(t *testing.T, l *Limiter, flow string, c Cost) *Permit {
	t.Helper()
	p, err := l.Wait(t.Context(), flow, c)
	if err != nil {
		t.Fatalf("Wait = %v", err)
	}
	return p
}

func used(in, out int64) nightshift.Usage {
	return nightshift.Usage{Input: nightshift.Tokens(in), Output: nightshift.Tokens(out)}
}

func retryAfter(d time.Duration) Report { return Report{RetryAfter: d, HasRetryAfter: true} }

// waiting starts a Wait that is still blocked when it returns.
func waiting(ctx context.Context, l *Limiter, c Cost) <-chan outcome {
	ch := make(chan outcome, 1)
	go func() {
		p, err := l.Wait(ctx, "m", c)
		ch <- outcome{p, err, time.Now()}
	}()
	synctest.Wait()
	return ch
}

type outcome struct {
	permit *Permit
	err    error
	at     time.Time
}

func TestWaitPacesEachDimension(t *testing.T) {
	for name, tc := range map[string]struct {
		config Config
		cost   Cost
		want   float64 // requests a minute
	}{
		"requests": {Config{Requests: 60}, Cost{Input: 10, Output: 10}, 60},
		"input":    {Config{InputTokens: 6000}, Cost{Input: 100, Output: 10}, 60},
		"output":   {Config{OutputTokens: 6000}, Cost{Input: 10, Output: 100}, 60},
		"both":     {Config{Tokens: 6000}, Cost{Input: 40, Output: 60}, 60},
		"the tightest": {Config{Requests: 600, InputTokens: 6000, OutputTokens: 60000},
			Cost{Input: 100, Output: 100}, 60},
		"max_tokens": {Config{OutputTokens: 6000, Charge: ChargeMaxTokens},
			Cost{Input: 10, Output: 50, MaxOutput: 100}, 60},
		"max_tokens and input": {Config{Tokens: 6000, Charge: ChargeMaxTokens},
			Cost{Input: 20, Output: 50, MaxOutput: 80}, 60},
		"larger than the bucket": {Config{OutputTokens: 600}, Cost{Output: 1200}, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(tc.config)
				began, n := time.Now(), 0
				for time.Since(began) < 30*time.Minute {
					take(t, l, "m", tc.cost).Success(used(tc.cost.Input, tc.cost.Output), Report{})
					n++
				}
				if got := float64(n) / 30; got > tc.want*1.02+0.1 || got < tc.want*0.96 {
					t.Errorf("%.2f requests a minute, want %.2f", got, tc.want)
				}
			})
		})
	}
}

func TestNoBurstAfterIdleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Requests: 600})
		take(t, l, "m", Cost{}).Success(used(1, 1), Report{})
		time.Sleep(8 * time.Hour)
		began, n := time.Now(), 0
		for time.Since(began) < time.Second {
			take(t, l, "m", Cost{}).Success(used(1, 1), Report{})
			n++
		}
		if n > 10+21 {
			t.Errorf("%d requests in the first second after eight idle hours, want two seconds' worth more than usual", n)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 1})
		held := take(t, l, "m", Cost{})
		ctx, cancel := context.WithCancel(t.Context())
		second, third := waiting(ctx, l, Cost{}), waiting(t.Context(), l, Cost{})
		cancel()
		if got := <-second; !errors.Is(got.err, context.Canceled) {
			t.Errorf("Wait = %v, want %v", got.err, context.Canceled)
		}
		if _, err := l.Wait(ctx, "m", Cost{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Wait under an ended context = %v", err)
		}
		held.Release()
		held.Release() // the first call counts
		got := <-third
		if got.err != nil {
			t.Fatal(got.err)
		}
		got.permit.Cancel()
		if s := l.State(); s.InFlight != 0 || s.Waiting != 0 || s.Sent != 1 {
			t.Errorf("state = %+v, want nothing in flight and one sent", s)
		}
	})
}

func TestPermitGrantedWhileCancelled(t *testing.T) {
	for range 300 {
		l := New(Config{Concurrency: 1})
		held := take(t, l, "m", Cost{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if p, err := l.Wait(ctx, "m", Cost{}); err == nil {
				p.Release()
			}
		}()
		time.Sleep(10 * time.Microsecond)
		go cancel()
		held.Release()
		<-done
		take(t, l, "m", Cost{}).Release() // would hang, had a permit leaked
		cancel()
	}
}

func TestRefusalPausesEverybodyThenOneTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 10})
		first := take(t, l, "m", Cost{})
		time.Sleep(50 * time.Millisecond)
		refusal := first.Refused(retryAfter(10 * time.Second))
		if refusal.Trial || !refusal.Biggest && refusal.Passed == 0 {
			t.Logf("refusal = %+v", refusal)
		}
		began := time.Now()
		var all []<-chan outcome
		for range 5 {
			all = append(all, waiting(t.Context(), l, Cost{}))
		}
		if s := l.State(); s.LimitedBy != LimitPause || s.PausedUntil.Sub(began) < 10*time.Second {
			t.Errorf("state = %+v, want a pause of ten seconds", s)
		}
		trial := <-all[0]
		if wait := trial.at.Sub(began); wait < 10*time.Second || wait > 11*time.Second {
			t.Errorf("the trial went after %v, want a little over ten seconds", wait)
		}
		synctest.Wait()
		if s := l.State(); s.InFlight != 1 {
			t.Errorf("%d in flight during the trial, want 1", s.InFlight)
		}
		// Refused again: the pause grows, and says so.
		if r := trial.permit.Refused(retryAfter(10 * time.Second)); !r.Trial {
			t.Error("the refusal of the trial does not say that it was one")
		}
		again := time.Now()
		second := <-all[1]
		if wait := second.at.Sub(again); wait < 15*time.Second {
			t.Errorf("the second trial went after %v, want more than the first", wait)
		}
		second.permit.Success(used(1, 1), Report{})
		for _, ch := range all[2:] {
			if got := <-ch; got.at != second.at {
				t.Errorf("another waited until %v although the trial was answered at %v", got.at, second.at)
			}
		}
	})
}

func TestTrialWithoutAnAnswerHoldsOthersBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 10})
		take(t, l, "m", Cost{}).Refused(retryAfter(0))
		began := time.Now()
		first, second := waiting(t.Context(), l, Cost{}), waiting(t.Context(), l, Cost{})
		if wait := (<-first).at.Sub(began); wait != 250*time.Millisecond {
			t.Errorf("after Retry-After 0 the trial went after %v, want the floor of 250 ms", wait)
		}
		if wait := (<-second).at.Sub(began); wait < 350*time.Millisecond || wait > time.Second {
			t.Errorf("the others went after %v, want soon after the trial", wait)
		}
	})
}

func TestTrialThatIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 10})
		take(t, l, "m", Cost{}).Refused(retryAfter(time.Second))
		trial := take(t, l, "m", Cost{})
		trial.Cancel()
		if next := take(t, l, "m", Cost{}); !next.trial {
			t.Error("the next after a cancelled trial is not a trial")
		} else {
			next.Release() // it was sent, and says nothing against the others
		}
		a, b := take(t, l, "m", Cost{}), take(t, l, "m", Cost{})
		a.Failed(Report{})
		b.Release()
	})
}

func TestOneReactionPerRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 100})
		var all []*Permit
		for range 50 {
			all = append(all, take(t, l, "m", Cost{}))
		}
		time.Sleep(100 * time.Millisecond)
		for _, p := range all {
			p.Refused(retryAfter(time.Second))
		}
		if wait := time.Until(l.State().PausedUntil); wait > 1100*time.Millisecond {
			t.Errorf("fifty refusals of one moment pause for %v, want as long as one", wait)
		}
	})
}

func TestLongWaitsParkTheEndpoint(t *testing.T) {
	reset := Report{Requests: &Window{Limit: 1000, Remaining: 0, Reset: 5 * time.Hour, Period: 24 * time.Hour}}
	for name, end := range map[string]func(*Permit){
		"Retry-After": func(p *Permit) { p.Refused(retryAfter(5 * time.Hour)) },
		"reset":       func(p *Permit) { p.Refused(reset) },
		"failure":     func(p *Permit) { p.Failed(retryAfter(5 * time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Config{Concurrency: 1})
				p := take(t, l, "m", Cost{})
				other := waiting(t.Context(), l, Cost{})
				end(p)
				var stop *nightshift.StopError
				if got := <-other; !errors.As(got.err, &stop) || time.Until(stop.Until) != 5*time.Hour {
					t.Fatalf("who waited got %v, want a stop of five hours", got.err)
				}
				if _, err := l.Wait(t.Context(), "m", Cost{}); !errors.As(err, &stop) {
					t.Errorf("Wait = %v, want a stop", err)
				}
				if s := l.State(); s.Stopped == nil || l.Spare() != 0 {
					t.Errorf("state = %+v, spare %v, want stopped", s, l.Spare())
				}
				time.Sleep(5*time.Hour + time.Second)
				take(t, l, "m", Cost{}).Release()
			})
		})
	}
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 1})
		held := take(t, l, "m", Cost{})
		var all []<-chan outcome
		for _, turn := range []Turn{First, Retry, Repeat, Solo} {
			all = append(all, waiting(t.Context(), l, Cost{Turn: turn}))
		}
		why := &nightshift.StopError{Err: &nightshift.Error{Class: nightshift.ClassAuth}}
		l.Stop(why)
		for _, ch := range all {
			if got := <-ch; got.err != why {
				t.Errorf("Wait = %v, want %v", got.err, why)
			}
		}
		held.Success(used(1, 1), Report{}) // still valid
	})
}

func TestGivesUpWithoutSuccess(t *testing.T) {
	for name, failing := range map[string]bool{"refused": false, "failing": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Config{MaxStall: 30 * time.Minute})
				time.Sleep(10 * time.Hour) // idleness is not a stall
				began := time.Now()
				for {
					p, err := l.Wait(t.Context(), "m", Cost{})
					if err != nil {
						var stop *nightshift.StopError
						if took := time.Since(began); !errors.As(err, &stop) || took < 29*time.Minute || took > 31*time.Minute {
							t.Errorf("%v after %v, want a stop after half an hour", err, took)
						}
						return
					}
					time.Sleep(time.Second)
					if failing {
						p.Failed(Report{})
					} else {
						p.Refused(Report{})
					}
				}
			})
		})
	}
}

func TestFlowsShareTokensFairly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Tokens: 600_000})
		var mu sync.Mutex
		got := map[string]float64{}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for flow, size := range map[string]int64{"small": 100, "large": 5000, "middle": 900} {
			for range 120 {
				wg.Go(func() {
					for {
						p, err := l.Wait(ctx, flow, Cost{Input: size, Output: size})
						if err != nil {
							return
						}
						time.Sleep(2 * time.Second)
						p.Success(used(size, size), Report{})
						mu.Lock()
						got[flow] += float64(2 * size)
						mu.Unlock()
					}
				})
			}
		}
		wg.Wait()
		for flow, tokens := range got {
			if share := tokens / (got["small"] + got["large"] + got["middle"]); share < 0.31 || share > 0.36 {
				t.Errorf("flow %s got %.1f %% of the tokens, want a third", flow, 100*share)
			}
		}
	})
}

func TestFlowThatWasAwayDoesNotCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Requests: 60, Concurrency: 1000})
		take(t, l, "away", Cost{Input: 10}).Release()
		for range 200 {
			take(t, l, "busy", Cost{Input: 10}).Success(used(10, 0), Report{})
		}
		order := make(chan string, 40)
		for i := range 20 {
			for _, flow := range []string{"away", "busy"} {
				go func() {
					p, err := l.Wait(t.Context(), flow, Cost{Input: 10})
					if err == nil {
						order <- flow
						p.Success(used(10, 0), Report{})
					}
				}()
			}
			_ = i
		}
		away := 0
		for range 20 {
			if <-order == "away" {
				away++
			}
		}
		if away > 12 {
			t.Errorf("%d of the first 20 went to the flow that was away, want about half", away)
		}
		for range 20 {
			<-order
		}
	})
}

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 1})
		held := take(t, l, "m", Cost{})
		order := make(chan string, 4)
		for _, w := range []struct {
			name string
			turn Turn
		}{{"first", First}, {"repeat", Repeat}, {"retry", Retry}, {"suspect", Solo}} {
			go func() {
				p, err := l.Wait(t.Context(), "m", Cost{Turn: w.turn})
				if err == nil {
					order <- w.name
					p.Success(used(1, 1), Report{})
				}
			}()
			synctest.Wait()
		}
		held.Success(used(1, 1), Report{})
		var got []string
		for range 4 {
			got = append(got, <-order)
		}
		if s := strings.Join(got, " "); s != "suspect retry repeat first" {
			t.Errorf("order = %s, want suspect retry repeat first", s)
		}
	})
}

func TestRepeatsWaitForTheirBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 1000})
		began := time.Now()
		for range 330 {
			take(t, l, "m", Cost{Turn: Repeat}).Release()
		}
		// 30 at once, then three a second, and one in ten of what was sent.
		if took := time.Since(began); took < 85*time.Second || took > 101*time.Second {
			t.Errorf("330 repeats took %v, want about 90 s", took)
		}
		take(t, l, "m", Cost{}).Release()
		if time.Since(began) > 101*time.Second {
			t.Error("a first attempt waited for the budget of repeats")
		}
	})
}

func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 64})
		before := take(t, l, "m", Cost{})
		for i := range brokenRow {
			p := take(t, l, "m", Cost{})
			time.Sleep(100 * time.Millisecond)
			if own := p.Failed(Report{}); own != (i < brokenRow-1) {
				t.Errorf("failure %d counts against its row: %v", i, own)
			}
		}
		if s := l.State(); !s.BreakerOpen || l.Spare() != 0 {
			t.Fatalf("state = %+v after %d failures in a row, want the breaker open", s, brokenRow)
		}
		before.Success(used(1, 1), Report{})
		if !l.State().BreakerOpen {
			t.Error("an answer to a request from before the outage closed the breaker")
		}
		sent, began := 0, time.Now()
		for time.Since(began) < 10*time.Minute {
			p := take(t, l, "m", Cost{})
			time.Sleep(100 * time.Millisecond)
			if p.Failed(Report{}) {
				t.Error("a failed probe counts against its row")
			}
			sent++
		}
		if sent < 10*60/8 || sent > 10*60/4 {
			t.Errorf("%d probes in ten minutes, want one every five seconds or so", sent)
		}
		p := take(t, l, "m", Cost{})
		p.Success(used(1, 1), Report{})
		if s := l.State(); s.BreakerOpen || s.Window < 48 {
			t.Errorf("state = %+v after a good probe, want it closed and the window near where it was", s)
		}
	})
}

func TestBreakerProbesThroughSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 64})
		fail := func() {
			var all []*Permit
			for range brokenRow {
				all = append(all, take(t, l, "m", Cost{}))
			}
			time.Sleep(time.Minute) // failures are slow: a probe's silence says nothing
			for _, p := range all {
				p.Failed(Report{})
			}
		}
		fail()
		began := time.Now()
		var probes []*Permit
		for range mostProbes {
			probes = append(probes, take(t, l, "m", Cost{}))
		}
		if took := time.Since(began); took > mostProbes*longestProbe*time.Second {
			t.Errorf("%d probes took %v: they waited for each other", mostProbes, took)
		}
		blocked := waiting(t.Context(), l, Cost{})
		time.Sleep(5 * time.Minute)
		if s := l.State(); s.InFlight != mostProbes || s.LimitedBy != LimitBreaker {
			t.Errorf("state = %+v, want %d probes and no more", s, mostProbes)
		}
		probes[0].Release() // refused for what it is: the server answers
		if got := <-blocked; got.err != nil {
			t.Error(got.err)
		}
	})
}

func TestProbeThatDoesNotFailAtOnceGivesExplore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 64})
		for range brokenRow {
			p := take(t, l, "m", Cost{})
			time.Sleep(50 * time.Millisecond)
			p.Failed(Report{})
		}
		probe := take(t, l, "m", Cost{})
		sent := time.Now()
		next := take(t, l, "m", Cost{})
		if wait := time.Since(sent); wait > 2*time.Second {
			t.Errorf("the next went %v after a probe that was still alive, want a second or so", wait)
		}
		next.Failed(Report{}) // it was not back
		if !l.State().BreakerOpen {
			t.Error("one failure did not open the breaker again")
		}
		probe.Success(used(1, 1), Report{})
		if l.State().BreakerOpen {
			t.Error("the answer did not close the breaker")
		}
	})
}

func TestFailuresShrinkTheWindowOnlyWhenMany(t *testing.T) {
	for share, want := range map[int]bool{10: false, 3: true} { // one in so many fails
		synctest.Test(t, func(t *testing.T) {
			l := New(Config{Concurrency: 100})
			for i := range 300 {
				p := take(t, l, "m", Cost{})
				time.Sleep(10 * time.Millisecond)
				if i%share == 0 {
					p.Failed(Report{})
				} else {
					p.Success(used(1, 1), Report{})
				}
			}
			s := l.State()
			if got := s.Window < 90; got != want {
				t.Errorf("one failure in %d: window %d of 100, shrunk should be %v", share, s.Window, want)
			}
			if math.Abs(s.Failing-1/float64(share)) > 0.2 {
				t.Errorf("one failure in %d: State says %.2f", share, s.Failing)
			}
		})
	}
}

// The window finds ceilings of any size by itself.
func TestWindowFindsCeiling(t *testing.T) {
	for _, slots := range []int{1, 2, 7, 100, 3000} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(Config{})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				var mu sync.Mutex
				inside, refused, answered := 0, 0, 0
				var wg sync.WaitGroup
				for range slots + slots/2 + 2 {
					wg.Go(func() {
						for {
							p, err := l.Wait(ctx, "m", Cost{})
							if err != nil {
								return
							}
							time.Sleep(50 * time.Millisecond)
							mu.Lock()
							full := inside >= slots
							if full {
								refused++
							} else {
								inside++
							}
							mu.Unlock()
							if full {
								time.Sleep(50 * time.Millisecond)
								p.Refused(Report{})
								continue
							}
							time.Sleep(5 * time.Second)
							mu.Lock()
							inside--
							answered++
							mu.Unlock()
							time.Sleep(50 * time.Millisecond)
							p.Success(used(10, 10), Report{})
						}
					})
				}
				wg.Wait()
				if most := 600 / 5.1 * float64(slots); float64(answered) < 0.8*most || float64(refused) > 0.03*float64(answered)+8 {
					t.Errorf("%d answered of %.0f possible, %d refused", answered, most, refused)
				}
				// A request holds its slot for 5.0 of its 5.1 s, so that a few more may be in
				// flight; where one more was accepted, the window tries a tenth more. After a refusal it
				// steps back.
				least, most := int(stepBack*float64(slots)), int(ceilingRises*5.1/5.0*float64(slots))+2
				if s := l.State(); !s.Found || s.Window < least || s.Window > most {
					t.Errorf("window %d, found %v, want %d to %d", s.Window, s.Found, least, most)
				}
			})
		})
	}
}

func TestCacheReadsMayBeFree(t *testing.T) {
	cached := used(10, 0)
	cached.CacheRead = nightshift.Tokens(90)
	for free, want := range map[bool]float64{false: 100, true: 10} {
		synctest.Test(t, func(t *testing.T) {
			l := New(Config{InputTokens: 60_000, FreeCacheReads: free})
			take(t, l, "m", Cost{Input: 100}).Success(cached, Report{})
			if got := l.State().Input; got.Used != want || got.Limit != 60_000 {
				t.Errorf("free %v: %v, want %v used of 60000", free, got, want)
			}
		})
	}
}

func TestReportedLimitsAreAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{OutputTokens: 1000})
		p := take(t, l, "m", Cost{Input: 10, Output: 10})
		p.Success(used(10, 10), Report{
			Requests: &Window{Limit: 50, Remaining: 49, Reset: -1},
			Output:   &Window{Limit: 90_000, Remaining: 89_000},                   // more than was configured as ours
			Input:    &Window{Limit: -4, Remaining: 7},                            // nonsense
			Tokens:   &Window{Limit: 1e6, Remaining: 1e6, Period: 24 * time.Hour}, // not to be paced by
		})
		s := l.State()
		if s.Requests.Limit != 50 || math.Round(s.Output.Limit) != 1000 || s.Input.Limit != 0 || s.Tokens.Limit != 0 {
			t.Errorf("limits = %v %v %v %v, want 50, 1000, none, none", s.Requests, s.Output, s.Input, s.Tokens)
		}
		if spare := l.Spare(); spare <= 0 || spare > 1 {
			t.Errorf("Spare = %v", spare)
		}
		take(t, l, "m", Cost{}).Refused(retryAfter(time.Second))
		if spare := l.Spare(); spare > 0.01 {
			t.Errorf("Spare in a pause = %v", spare)
		}
	})
}

func TestStateSaysWhatBinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 1})
		p := take(t, l, "m", Cost{})
		if got := l.State().LimitedBy; got != LimitNothing {
			t.Errorf("nobody waits: %v", got)
		}
		other := waiting(t.Context(), l, Cost{})
		time.Sleep(time.Minute)
		s := l.State()
		if s.LimitedBy != LimitConcurrency || s.LimitedFor[LimitConcurrency] != time.Minute ||
			s.LimitedBy.String() != "concurrency" {
			t.Errorf("limited by %v for %v, want concurrency for a minute", s.LimitedBy, s.LimitedFor)
		}
		p.Release()
		(<-other).permit.Release()
	})
}

func TestReportUntil(t *testing.T) {
	for _, tc := range []struct {
		report Report
		want   time.Duration
		ok     bool
	}{
		{Report{}, 0, false},
		{retryAfter(0), 0, false},
		{retryAfter(-time.Second), 0, false},
		{retryAfter(time.Hour), time.Hour, true},
		{Report{Input: &Window{Remaining: 5, Reset: time.Hour}}, 0, false},
		{Report{Input: &Window{Remaining: 0, Reset: 20 * time.Second},
			Output: &Window{Remaining: 0, Reset: 3 * time.Second}}, 20 * time.Second, true},
		{Report{Input: &Window{Remaining: 0, Reset: -1}}, 0, false},
	} {
		if got, ok := tc.report.Until(); ok != tc.ok || (ok && got != tc.want) {
			t.Errorf("Until(%+v) = %v, %v, want %v, %v", tc.report, got, ok, tc.want, tc.ok)
		}
	}
}

func TestMeterForgets(t *testing.T) {
	var m meter
	for s := range 120 {
		m.add(float64(s), 2)
	}
	if got := m.perMinute(119); got < 110 || got > 120 {
		t.Errorf("two a second for two minutes: %v a minute", got)
	}
	if got := m.perMinute(100_000); got != 0 {
		t.Errorf("a day later: %v", got)
	}
}

func TestPeakRemembersSeconds(t *testing.T) {
	var p peak
	p.note(10, 5)
	p.note(10.01, 9)
	p.note(11, 3)
	for _, tc := range []struct {
		since float64
		want  int
	}{{10, 9}, {10.5, 3}, {0, 9}} {
		if got := p.since(tc.since, 11); got != tc.want {
			t.Errorf("most in flight since %v = %d, want %d", tc.since, got, tc.want)
		}
	}
	if got := p.since(0, 100); got != 0 {
		t.Errorf("long after: %d", got)
	}
}

func TestRoundedRemainders(t *testing.T) {
	d := newDimension(dimOutput, 60_000, "")
	for _, said := range []float64{59_000, 58_000, 50_000} {
		d.round(said)
	}
	if d.grain != 1000 || d.difference(50_000, 50_900) != 0 || d.difference(50_000, 52_000) != -2000 {
		t.Errorf("grain %v: rounding down to thousands is taken for a difference", d.grain)
	}
	if d.round(51_231); d.grain != 1 {
		t.Errorf("grain = %v after 51,231, want 1", d.grain)
	}
}

// Nothing but real time can show contention, so this is for people to run.
func BenchmarkWaitSuccess(b *testing.B) {
	for name, cfg := range map[string]Config{"unlimited": {},
		"limited": {Requests: 1e12, OutputTokens: 1e15, InputTokens: 1e15}} {
		b.Run(name, func(b *testing.B) {
			cfg.Concurrency = 1 << 30
			l := New(cfg)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					p, err := l.Wait(context.Background(), "m", Cost{Input: 100, Output: 100})
					if err != nil {
						b.Error(err)
						return
					}
					p.Success(used(100, 100), Report{})
				}
			})
		})
	}
}

// 5,000 in flight and as many waiting: each answer wakes exactly one.
func BenchmarkHandOver(b *testing.B) {
	l := New(Config{Concurrency: 5000})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	turns := make(chan struct{})
	for range 10_000 {
		wg.Go(func() {
			for {
				p, err := l.Wait(ctx, "m", Cost{})
				if err != nil {
					return
				}
				select {
				case <-turns:
				case <-ctx.Done():
				}
				p.Success(used(1, 1), Report{})
			}
		})
	}
	b.ResetTimer()
	for range b.N {
		turns <- struct{}{}
	}
	b.StopTimer()
	cancel()
	wg.Wait()
}
