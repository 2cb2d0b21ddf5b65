package limits

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A bucketServer is as much of a server as the package needs to learn from:
// one limit on output, counted in one of the ways that there are.
type bucketServer struct {
	rate, size float64 // a second, tokens
	window     float64 // seconds of a fixed window; 0 is a bucket
	charge     rule
	most       float64 // max_tokens of every request
	tell       bool    // remaining, as of the arrival

	mu        sync.Mutex
	level, at float64
	start     time.Time

	used, refused, sent float64 // after ten minutes
}

func (s *bucketServer) now() float64 {
	now := time.Since(s.start).Seconds()
	if s.window > 0 && math.Floor(now/s.window) > math.Floor(s.at/s.window) {
		s.level = s.size
	} else if s.window == 0 {
		s.level = min(s.size, s.level+(now-s.at)*s.rate)
	}
	s.at = now
	return now
}

func (s *bucketServer) arrive() (Report, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, need := s.now(), 1.0
	if s.charge != atEnd {
		need = s.most
	}
	fits := s.level >= need
	if now > 600 {
		s.sent++
		if !fits {
			s.refused++
		}
	}
	if fits && s.charge != atEnd {
		s.level -= s.most
	}
	var r Report
	if s.tell {
		r.Output = &Window{Limit: 60 * s.rate, Remaining: max(0, math.Floor(s.level)), Reset: -1}
	}
	return r, fits
}

func (s *bucketServer) finish(out float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	switch s.charge {
	case atEnd:
		s.level -= out
	case refunding:
		s.level += s.most - out
	}
	if s.charge == atStart {
		out = s.most
	}
	if now > 600 {
		s.used += out
	}
}

// ask keeps a limiter busy against the server for a time.
func (s *bucketServer) ask(l *Limiter, workers int, end time.Duration) {
	s.start, s.level = time.Now(), s.size
	ctx, cancel := context.WithTimeout(context.Background(), end)
	defer cancel()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			apart := time.Duration(w) * 1013 * time.Nanosecond // timers due at one instant go off in any order
			time.Sleep(apart)
			turn := First
			for n := w; ; n++ {
				out := 200 + 97*(n%5)
				p, err := l.Wait(ctx, "m", Cost{Input: 100, Output: 394, MaxOutput: int64(s.most), Turn: turn})
				if err != nil {
					return
				}
				time.Sleep(40*time.Millisecond + apart)
				report, ok := s.arrive()
				if !ok {
					time.Sleep(40 * time.Millisecond)
					p.Refused(report)
					turn = Retry
					continue
				}
				time.Sleep(time.Duration(2000+n%7*1000+n*w*37%1000) * time.Millisecond)
				s.finish(float64(out))
				time.Sleep(40 * time.Millisecond)
				p.Success(used(100, int64(out)), report)
				turn = First
			}
		})
	}
	wg.Wait()
}

func TestLearnsHowTheServerCounts(t *testing.T) {
	for name, tc := range map[string]struct {
		server *bucketServer
		config Config
	}{
		"a bucket, limits unknown":        {&bucketServer{}, Config{}},
		"a small bucket":                  {&bucketServer{size: 1}, Config{OutputTokens: 60_000}},
		"a small bucket, told":            {&bucketServer{size: 1, tell: true}, Config{}},
		"max_tokens for good, told":       {&bucketServer{charge: atStart, tell: true}, Config{}},
		"max_tokens for good, not told":   {&bucketServer{charge: atStart}, Config{OutputTokens: 60_000}},
		"max_tokens, the rest given back": {&bucketServer{charge: refunding, tell: true}, Config{}},
		"a fixed window, told":            {&bucketServer{window: 60, tell: true}, Config{}},
		"a fixed window":                  {&bucketServer{window: 60}, Config{OutputTokens: 60_000}},
		"half of what is said":            {&bucketServer{}, Config{OutputTokens: 120_000}},
		"a quarter less than is said, max": {&bucketServer{charge: atStart},
			Config{OutputTokens: 80_000, Charge: ChargeMaxTokens}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := tc.server
				s.rate, s.most = 1000, 2000
				if s.size == 0 {
					s.size = 60
				}
				s.size *= s.rate
				const minutes = 70
				l := New(tc.config)
				l.Seed(1)
				s.ask(l, 60, minutes*time.Minute)
				share := s.used / (s.rate * (minutes - 10) * 60)
				refused := s.refused / s.sent
				t.Logf("%.1f %% used, %.2f %% refused, %+v", 100*share, 100*refused, l.State().Share)
				if share < 0.8 || refused > 0.1 {
					t.Errorf("%.1f %% of the limit used, %.2f %% refused", 100*share, 100*refused)
				}
			})
		})
	}
}

func TestLearnerForgetsARateThatWasNone(t *testing.T) {
	l := learner{began: 1, answered: 100, rate: 3}
	l.refused(50, 0, true, false)
	if l.rate != 0 {
		t.Errorf("rate = %v after a limit on concurrency was found, want none", l.rate)
	}
	if l.debt(10) != 0 || l.wait() != 0 {
		t.Error("a learner without a rate makes wait")
	}
}

func TestShareRecovers(t *testing.T) {
	s := share{now: 1, last: 1}
	for range 100 {
		s.refused(0, true)
	}
	if s.now != leastShare {
		t.Errorf("share = %v after a hundred refusals, want %v", s.now, leastShare)
	}
	for now := 0.0; now < 7200; now += 10 {
		s.advance(now, 10, false)
	}
	if s.now != 1 {
		t.Errorf("share = %v two quiet hours later, want 1", s.now)
	}
}

func TestWindowTellsRatesFromCounts(t *testing.T) {
	w := newWindow(0)
	for now := range 20 {
		w.accepted(float64(now), int(w.size), true)
	}
	if !w.refused(20) || w.rated || w.ceiling != 19 {
		t.Fatalf("%+v after the first refusal, want a ceiling of 19", w)
	}
	w.refused(12)
	if w.refused(10); !w.rated || !math.IsInf(w.ceiling, 1) {
		t.Fatalf("%+v after refusals far below the ceiling, want a rate", w)
	}
	w.refused(11) // below what was accepted: still a rate
	if !w.rated {
		t.Fatal("a refusal like the others changed the mind")
	}
	for range 4 {
		w.accepted(20, 30, false)
		w.refused(31)
	}
	if w.rated {
		t.Errorf("%+v after refusals above all that was accepted only, want a ceiling", w)
	}
	w = newWindow(0)
	if w.refused(1); !w.rated {
		t.Error("a refusal with nothing else in flight is not about concurrency")
	}
}

func TestWindowDoublesOnceASecond(t *testing.T) {
	w := newWindow(0)
	for n := range 4000 { // answers every millisecond
		w.accepted(float64(n)/1000, int(w.size), true)
		if most := firstWindow * math.Exp2(1+float64(n/1000)); w.size > most {
			t.Fatalf("size = %v after %d ms, want %v at most", w.size, n, most)
		}
	}
	if w.size < 64 {
		t.Errorf("size = %v after four seconds of quick answers, want 64", w.size)
	}
}

func TestWindowFollowsARisingCeiling(t *testing.T) {
	w := newWindow(0)
	w.refused(11)
	for now := range 20_000 {
		w.accepted(float64(now), int(w.size), true)
	}
	if w.size < 50 {
		t.Errorf("size = %v after 20,000 answers and no refusal, want growth", w.size)
	}
}

func TestEndedPermitsDoNothing(t *testing.T) {
	l := New(Config{})
	p := take(t, l, "m", Cost{})
	p.Release()
	p.Success(used(1, 1), Report{})
	if p.Refused(Report{}) != (Refusal{}) || p.Failed(Report{}) {
		t.Error("a permit that has ended had an effect")
	}
	if s := l.State(); s.Succeeded+s.Refused+s.Failed != 0 || s.InFlight != 0 {
		t.Errorf("state = %+v", s)
	}
}

func TestFailureWithRetryAfterPausesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Concurrency: 5})
		if take(t, l, "m", Cost{}).Failed(retryAfter(20 * time.Second)) {
			t.Error("a failure with Retry-After counts against its row")
		}
		began := time.Now()
		take(t, l, "m", Cost{}).Failed(Report{}) // the trial
		if wait := time.Since(began); wait < 20*time.Second || wait > 22*time.Second {
			t.Errorf("the next went after %v, want twenty seconds", wait)
		}
	})
}
