package providers_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
)

// A modelServer is a server's rate limiter in memory, seen through a Wire. It
// says nothing about prompts and answers; it decides, charges and counts.
type modelServer struct {
	seed uint64

	requests, input, output, tokens float64 // per minute; 0 is no limit
	burst                           float64 // seconds of the rate that a bucket holds; 0 means 60
	window                          float64 // seconds of a fixed window; 0 means buckets
	// "" at the end, "max" at the start, "refund" at the start with the rest given back
	charge       string
	slots        int           // requests in flight; 0 is no limit
	tell         string        // "headers", "late" (headers as of the end), "retry-after", "nothing"
	errors       float64       // share of requests that fail with 529
	hang         time.Duration // the outage is silence of that length, not a quick 503
	outage       [2]float64    // seconds from the start
	neighbour    float64       // share of the rate that another client takes
	period, busy float64       // seconds: for busy out of every period
	refusals     float64       // share of requests refused at random, whatever the level

	meanIn, meanOut float64 // tokens
	tail            float64 // sigma of the outputs' logarithm
	maxTokens       int64
	perToken        time.Duration // 0 means 20 ms

	mu       *sync.Mutex
	start    time.Time
	at       float64
	buckets  [4]bucket // requests, tokens, input, output
	inFlight int
	rng      *rand.Rand
	seen     ledger
}

type bucket struct {
	rate, size, level float64
	window            float64 // when it began, for fixed windows
}

// A ledger counts what a server saw after the warm-up.
type ledger struct {
	sent, refused, failed, answered int64
	used                            [4]float64 // charged to us
	others                          [4]float64 // taken by the neighbour
	slotSeconds                     float64
	perSecond                       []float64 // answered output tokens, by second of the first hour
	worstInFlight                   int
	billed                          int64
}

const warmUp = 300.0 // seconds that are not counted

func (s *modelServer) begin() *modelServer {
	s.start, s.mu = time.Now(), new(sync.Mutex)
	s.seen.perSecond = make([]float64, 3600)
	s.rng = rand.New(rand.NewPCG(s.seed, 7))
	if s.burst == 0 {
		s.burst = 60
	}
	if s.perToken == 0 {
		s.perToken = 20 * time.Millisecond
	}
	if s.meanIn == 0 {
		s.meanIn = 600
	}
	if s.meanOut == 0 {
		s.meanOut = 400
	}
	if s.tail == 0 {
		s.tail = 0.5
	}
	if s.maxTokens == 0 {
		s.maxTokens = 1024
	}
	for i, perMinute := range []float64{s.requests, s.tokens, s.input, s.output} {
		b := &s.buckets[i]
		b.rate = perMinute / 60
		b.size = b.rate * s.burst
		if s.window > 0 {
			b.size = b.rate * s.window
		}
		b.level = b.size
	}
	return s
}

// row returns the true size of a request.
func (s *modelServer) row(key string) (in, out int64) {
	n, _ := strconv.ParseUint(strings.TrimPrefix(key, "row-"), 10, 64)
	rng := rand.New(rand.NewPCG(s.seed, n))
	in = int64(s.meanIn*math.Exp(0.3*rng.NormFloat64()-0.045)) + 1
	out = int64(s.meanOut*math.Exp(s.tail*rng.NormFloat64()-s.tail*s.tail/2)) + 1
	return in, min(out, s.maxTokens)
}

func (s *modelServer) Prepare(req nightshift.Request) (providers.Prepared, error) {
	in, _ := s.row(req.Key)
	return providers.Prepared{Key: req.Key, Model: req.Model, InputText: 4 * in, MaxOutput: s.maxTokens}, nil
}

// advance refills the buckets and lets the neighbour take its share.
func (s *modelServer) advance(now float64) {
	dt := now - s.at
	if now > warmUp {
		s.seen.slotSeconds += float64(s.inFlight) * min(dt, now-warmUp)
	}
	for step := 0.0; step < dt; step += 0.1 {
		s.refill(s.at+step, min(0.1, dt-step))
		if s.neighbour == 0 && s.window == 0 {
			s.refill(s.at+step, dt-step-min(0.1, dt-step))
			break
		}
	}
	s.at = now
}

func (s *modelServer) refill(at, dt float64) {
	busy := s.neighbour > 0 && (s.period == 0 || math.Mod(at, s.period) < s.busy)
	for i := range s.buckets {
		b := &s.buckets[i]
		switch {
		case b.rate == 0:
			continue
		case s.window == 0:
			b.level = min(b.size, b.level+b.rate*dt)
		case at+dt >= b.window+s.window:
			b.window += s.window
			b.level = b.size
		}
		if busy {
			take := clampTo(b.rate*s.neighbour*dt, b.level)
			b.level -= take
			if at > warmUp {
				s.seen.others[i] += take
			}
		}
	}
}

func clampTo(x, high float64) float64 { return max(0, min(x, high)) }

func (s *modelServer) seconds() float64 { return time.Since(s.start).Seconds() }

// Send makes one attempt: half a round trip, the decision, the answer, and
// half a round trip back.
func (s *modelServer) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	in, out := s.row(p.Key)
	halfTrip := 40*time.Millisecond + ownInstant(s.seed, p.Key)
	if !pass(ctx, halfTrip) {
		return broken(ctx)
	}
	ex, admitted := s.admit(float64(in), float64(p.MaxOutput))
	if !admitted {
		if ex.Err.Class == nightshift.ClassTimeoutFirstByte && !pass(ctx, s.hang) {
			return broken(ctx)
		}
		pass(ctx, halfTrip)
		return ex
	}
	jitter := 0.8 + 0.4*rand.New(rand.NewPCG(uint64(in), uint64(out))).Float64()
	took := 500*time.Millisecond + time.Duration(float64(out)*float64(s.perToken)*jitter)
	whole := pass(ctx, took)
	s.finish(&ex, float64(in), float64(out), float64(p.MaxOutput), whole)
	if !whole || !pass(ctx, halfTrip) {
		return broken(ctx)
	}
	ex.Response.Usage = nightshift.Usage{Input: nightshift.Tokens(in), Output: nightshift.Tokens(out)}
	return ex
}

// ownInstant is less than a millisecond, and different for each key: what was
// sent together reaches a server one after the other. Timers that are due at
// the same instant go off in random order, and no run would be like another.
func ownInstant(seed uint64, key string) time.Duration {
	h := fnv.New64a()
	fmt.Fprint(h, seed, key)
	return time.Duration(h.Sum64() % 999_983)
}

func pass(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func broken(ctx context.Context) providers.Exchange {
	return providers.Exchange{
		Sent: true, Err: &nightshift.Error{Class: nightshift.ClassCancelled, Err: ctx.Err(), MaybeBilled: true}}
}

// admit decides on a request and charges what is charged on arrival.
func (s *modelServer) admit(in, most float64) (providers.Exchange, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.seconds()
	s.advance(now)
	counts := now > warmUp
	if counts {
		s.seen.sent++
	}
	if now >= s.outage[0] && now < s.outage[1] {
		if counts {
			s.seen.failed++
		}
		if s.hang > 0 {
			return fails(nightshift.ClassTimeoutFirstByte, 0), false
		}
		return fails(nightshift.ClassServer, 503), false
	}
	if s.errors > 0 && s.rng.Float64() < s.errors {
		if counts {
			s.seen.failed++
		}
		return fails(nightshift.ClassOverloaded, 529), false
	}
	wait := 0.0
	for i, need := range s.arrival(in, most) {
		b := &s.buckets[i]
		if b.rate > 0 && (b.level < need || b.level <= 0) {
			wait = max(wait, (max(need, 1)-b.level)/b.rate)
			if s.window > 0 {
				wait = b.window + s.window - now
			}
		}
	}
	if wait > 0 || (s.slots > 0 && s.inFlight >= s.slots) || (s.refusals > 0 && s.rng.Float64() < s.refusals) {
		if counts {
			s.seen.refused++
		}
		ex := fails(nightshift.ClassRateLimit, 429)
		if s.tell != "nothing" {
			ex.Limits.RetryAfter, ex.Limits.HasRetryAfter = time.Duration(math.Ceil(max(wait, 0.5)))*time.Second, true
		}
		if s.tell == "headers" || s.tell == "late" {
			ex.Limits = s.report(ex.Limits)
		}
		return ex, false
	}
	for i, n := range s.arrival(in, most) {
		s.take(i, n, counts && (s.charge == "max" || i == 0 || i == 2))
	}
	s.inFlight++
	s.seen.worstInFlight = max(s.seen.worstInFlight, s.inFlight)
	ex := providers.Exchange{Sent: true, Response: nightshift.Response{Status: 200}}
	if s.tell == "headers" {
		ex.Limits = s.report(ex.Limits)
	}
	return ex, true
}

// arrival is what a request needs, and is charged, when it arrives.
func (s *modelServer) arrival(in, most float64) [4]float64 {
	if s.charge == "" {
		return [4]float64{1, in, in, 0}
	}
	return [4]float64{1, in + most, in, most}
}

func (s *modelServer) take(i int, n float64, counts bool) {
	if s.buckets[i].rate > 0 {
		s.buckets[i].level -= n
	}
	if counts {
		s.seen.used[i] += n
	}
}

func (s *modelServer) finish(ex *providers.Exchange, in, out, most float64, whole bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.seconds()
	s.advance(now)
	s.inFlight--
	counts := now > warmUp && whole // what was cut off at the end of the run is not in its time
	late := out
	switch s.charge {
	case "max":
		late = 0
	case "refund":
		late = out - most
	}
	s.take(1, late, false)
	s.take(3, late, false)
	if counts && s.charge != "max" {
		s.seen.used[1] += in + out
		s.seen.used[3] += out
	}
	if counts {
		s.seen.answered++
	}
	s.seen.billed += int64(in + out)
	if now < float64(len(s.seen.perSecond)) {
		s.seen.perSecond[int(now)] += out
	}
	if s.tell == "late" {
		ex.Limits = s.report(ex.Limits)
	}
}

// report says what a server's headers say.
func (s *modelServer) report(r limits.Report) limits.Report {
	for i, w := range []**limits.Window{&r.Requests, &r.Tokens, &r.Input, &r.Output} {
		if b := s.buckets[i]; b.rate > 0 {
			*w = &limits.Window{Limit: 60 * b.rate, Remaining: math.Floor(max(0, b.level)), Reset: -1}
		}
	}
	return r
}

func fails(class nightshift.ErrorClass, status int) providers.Exchange {
	return providers.Exchange{
		Sent:     true,
		Response: nightshift.Response{Status: status},
		Err:      &nightshift.Error{Class: class, Status: status},
	}
}

// share is how much of the binding limit was used between the warm-up and
// end, in percent; what a neighbour took is not ours to use, and neither is
// what an outage took.
func (s *modelServer) share(end float64) float64 {
	whole := end - warmUp - (s.outage[1] - s.outage[0])
	if s.slots > 0 {
		return 100 * s.seen.slotSeconds / (float64(s.slots) * whole)
	}
	most := 0.0
	for i, b := range s.buckets {
		if b.rate > 0 {
			most = max(most, 100*s.seen.used[i]/(b.rate*whole-s.seen.others[i]))
		}
	}
	return most
}

// refusedShare is the percentage of requests that were refused.
func (s *modelServer) refusedShare() float64 {
	return 100 * float64(s.seen.refused) / float64(max(s.seen.sent, 1))
}

// recovery is how many seconds after the outage the rate is back at 90 % of
// the limit on output, over ten seconds.
func (s *modelServer) recovery() float64 {
	want := 0.9 * s.output / 60 * 10
	for t := int(s.outage[1]); t+10 < len(s.seen.perSecond); t++ {
		sum := 0.0
		for _, n := range s.seen.perSecond[t : t+10] {
			sum += n
		}
		if sum >= want {
			return float64(t) + 10 - s.outage[1]
		}
	}
	return math.Inf(1)
}
