package limits

import (
	"math"
	"time"

	"nightshift"
)

// A LimitedBy names what holds the next request back.
type LimitedBy uint8

const (
	LimitNothing     LimitedBy = iota // nobody waits: the machine or the dataset
	LimitRequests                     // limit on requests
	LimitTokens                       // limit on input and output together
	LimitInput                        // limit on input tokens
	LimitOutput                       // limit on output tokens
	LimitInferred                     // a limit found by being refused
	LimitConcurrency                  // requests in flight
	LimitPause                        // the server asked to wait
	LimitBreaker                      // the server is down
	numLimits
)

var limitOf = [numDims]LimitedBy{LimitRequests, LimitTokens, LimitInput, LimitOutput}

var limitNames = [numLimits]string{
	"nothing", "request limit", "token limit", "input token limit", "output token limit",
	"limit learned from refusals", "concurrency", "pause after a refusal", "endpoint failing",
}

func (b LimitedBy) String() string { return limitNames[b] }

// State is what a Limiter is doing, for people and metrics.
type State struct {
	Requests, Tokens, Input, Output Rate

	InFlight int
	Waiting  int
	Window   int  // most in flight at present
	Found    bool // Window is near a ceiling that the endpoint has

	PausedUntil time.Time // zero when not paused
	Failing     float64   // share of failures lately
	BreakerOpen bool
	Inferred    float64 // requests a minute learned from refusals; 0 is none
	Share       float64 // of the known limits that is asked for at present

	LimitedBy LimitedBy // what holds the next request back
	// LimitedFor is how long each has held requests back in all.
	LimitedFor map[LimitedBy]time.Duration

	Sent, Succeeded, Refused, Failed int64

	Failure *Failure              // nil when the last request was answered
	Stopped *nightshift.StopError // nil while in use
}

// A Rate is one dimension, in units a minute.
type Rate struct {
	Limit float64 // 0 when unknown
	Used  float64 // by answers in the last minute
}

// State returns a snapshot.
func (l *Limiter) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.advance(now)
	s := State{
		InFlight:    l.inFlight,
		Waiting:     l.queue.waiting,
		Window:      int(l.window.size),
		Found:       !math.IsInf(l.window.ceiling, 1),
		Failing:     l.health.failing,
		BreakerOpen: l.health.open,
		Inferred:    60 * l.learn.rate,
		Share:       l.share.now,
		LimitedFor:  map[LimitedBy]time.Duration{},
		Sent:        l.counts.sent,
		Succeeded:   l.counts.succeeded,
		Refused:     l.counts.refused,
		Failed:      l.counts.failed,
	}
	for i, r := range [numDims]*Rate{&s.Requests, &s.Tokens, &s.Input, &s.Output} {
		*r = Rate{60 * l.dims[i].rate, l.dims[i].used.perMinute(now)}
	}
	if l.pause.until > now {
		s.PausedUntil = time.Now().Add(seconds(l.pause.until - now))
	}
	if last := l.failures.last; last != nil {
		s.Failure = &Failure{last, l.start.Add(seconds(l.failures.since))}
	}
	if l.queue.waiting > 0 {
		s.LimitedBy = l.limitedBy
	}
	for b, t := range l.limitedFor {
		if t > 0 {
			s.LimitedFor[LimitedBy(b)] = seconds(t)
		}
	}
	if l.closed() != nil {
		s.Stopped = l.stopped
	}
	return s
}

// Spare says how ready the limiter is for another request, for choosing among
// several: 0 when it must not be asked, up to 1 when nothing holds it back.
func (l *Limiter) Spare() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.advance(now)
	if l.closed() != nil || l.health.open {
		return 0
	}
	spare := 1 - float64(l.inFlight)/math.Floor(l.window.size)
	for i := range l.dims {
		if d := &l.dims[i]; d.rate > 0 {
			spare = min(spare, d.level/(ahead*d.rate))
		}
	}
	if l.pause.until > now {
		spare = min(spare, 0)
	}
	// A queue is as good as full, and a long one worse than a short one.
	return clamp(spare, leastSpare, 1) / float64(1+l.queue.waiting)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
