package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"nightshift"
	"nightshift/internal/words"
	"nightshift/runner/plan"
)

// errDeadline is the cause for which sending ends in time for the plan's deadline.
var errDeadline = errors.New("the deadline is near")

// errAtDeadline is the cause for which requests in flight are given up.
var errAtDeadline = errors.New("the deadline has come")

// asked reports whether sending ended because the user wanted it to.
func asked(cause error) bool {
	return errors.Is(cause, ErrInterrupted) || errors.Is(cause, errDeadline)
}

const (
	deadlineTick   = 250 * time.Millisecond
	deadlineMargin = time.Second      // for keeping the last answers
	unknownLatency = 30 * time.Second // what a request is taken to last before one has ended
)

// deadline is when the run has to have ended; zero is never.
func (s *Session) deadline() (at time.Time, err error) {
	if s.Plan.Deadline == "" {
		return time.Time{}, nil
	}
	if at, err = plan.DeadlineAt(s.Plan.Deadline, time.Now()); err != nil {
		return at, Usagef("deadline: %w", err)
	}
	if !at.After(time.Now()) {
		return at, Usagef("the deadline %s has passed; give another one with --deadline", s.Plan.Deadline)
	}
	return at, nil
}

// underDeadline lets the session send for as long as what is sent then still ends
// before the deadline. What has not ended by then is given up with the context that
// it returns. Without a deadline it does nothing.
func (s *Session) underDeadline(ctx context.Context, at time.Time) (calls context.Context, stop func()) {
	if at.IsZero() {
		return ctx, func() {}
	}
	calls, giveUp := context.WithCancelCause(ctx)
	sending, endSending := context.WithCancelCause(s.sending(ctx))
	s.Sending = sending
	done := make(chan struct{})
	var waiting sync.WaitGroup
	waiting.Go(func() { s.keepDeadline(at, endSending, giveUp, done) })
	s.Log.Info(fmt.Sprintf("deadline %s (in %s): sending stops in time for what is in flight to end before it",
		at.Format(time.DateTime), words.Duration(time.Until(at))))
	return calls, func() {
		close(done)
		waiting.Wait()
		endSending(nil)
		giveUp(nil)
	}
}

// endedBy is the error with which scoring ended, where that was not an interrupt but
// the deadline.
func (s *Session) endedBy(ctx context.Context, err error) error {
	var known *Error
	if errors.As(err, &known) || !errors.Is(err, context.Canceled) ||
		!errors.Is(context.Cause(s.sending(ctx)), errDeadline) {
		return err
	}
	return &Error{Stopped, fmt.Errorf("stopped for the deadline %s", s.Plan.Deadline)}
}

// keepDeadline ends sending in time, and what is in flight at the deadline.
func (s *Session) keepDeadline(at time.Time, endSending, giveUp context.CancelCauseFunc, done <-chan struct{}) {
	whole := time.Until(at)
	tick := time.NewTicker(deadlineTick)
	defer tick.Stop()
	for sending := true; ; {
		left := time.Until(at)
		if need := s.latest.need(whole); sending && left <= need {
			s.Log.Warn(fmt.Sprintf("the deadline %s is near: nothing more is sent, requests take up to %s",
				at.Format(time.TimeOnly), words.Duration(need)))
			endSending(errDeadline)
			sending = false
		}
		if left <= 0 {
			giveUp(errAtDeadline)
			return
		}
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

// A latency is how long requests have taken lately. It is safe for concurrent use.
type latency struct {
	mu      sync.Mutex
	longest time.Duration
}

// ended tells of a request. Those of long ago are forgotten little by little:
// after 700 others, half of the longest.
func (l *latency) ended(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.longest = max(d, l.longest-l.longest/1000)
}

// need is the time before a deadline at which sending has to end. Before any
// request has ended it is half of the whole time, or less.
func (l *latency) need(whole time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.longest == 0 {
		return min(unknownLatency, whole/2)
	}
	return l.longest + l.longest/4 + deadlineMargin
}

// A timedProvider tells how long the requests of a provider take.
type timedProvider struct {
	nightshift.Provider
	latest *latency
}

func (t timedProvider) Complete(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
	resp, err := t.Provider.Complete(ctx, req)
	for _, a := range resp.Attempts[min(len(req.Attempts), len(resp.Attempts)):] { // not those of earlier starts
		t.latest.ended(time.Duration(a.DurationMS * float64(time.Millisecond)))
	}
	return resp, err
}
