package session

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/runner"
	"nightshift/runner/plan"
	"nightshift/runner/store/view"
)

// Sending ends when the time left is what requests have taken lately, with some to
// spare, and what is in flight is given up at the deadline itself.
func TestDeadline(t *testing.T) {
	for _, tc := range []struct {
		name    string
		latency time.Duration // of requests; 0 where none has ended
		whole   time.Duration
		ends    time.Duration // how long before the deadline sending ends
	}{
		{"known latency", 8 * time.Second, time.Hour, 11 * time.Second},
		{"nothing known", 0, time.Hour, 30 * time.Second},
		{"nothing known, and little time", 0, 10 * time.Second, 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSession(&plan.Resolved{Deadline: "07:00"}, Options{Log: slog.New(slog.DiscardHandler)})
				s.clients = &clients{}
				if tc.latency > 0 {
					s.clients.latest.ended(tc.latency)
				}
				at := time.Now().Add(tc.whole)
				calls, stop := s.underDeadline(t.Context(), at)
				defer stop()
				<-s.Sending.Done()
				if left := time.Until(at); left > tc.ends || left < tc.ends-deadlineTick {
					t.Errorf("sending ended %s before the deadline, want %s", left, tc.ends)
				}
				if !errors.Is(context.Cause(s.Sending), errDeadline) || calls.Err() != nil {
					t.Errorf("sending: %v, calls: %v", context.Cause(s.Sending), calls.Err())
				}
				<-calls.Done()
				if late := time.Since(at); late < 0 || late > deadlineTick || !errors.Is(context.Cause(calls), errAtDeadline) {
					t.Errorf("calls ended %s after the deadline: %v", late, context.Cause(calls))
				}
			})
		})
	}
}

// Ctrl-C before the deadline is still an interrupt, and a run that ends in time
// leaves nothing behind that waits for it.
func TestDeadlineAndInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sending, interrupt := context.WithCancelCause(t.Context())
		s := newSession(&plan.Resolved{Deadline: "07:00"}, Options{Sending: sending})
		s.clients = &clients{}
		_, stop := s.underDeadline(t.Context(), time.Now().Add(time.Hour))
		interrupt(ErrInterrupted)
		synctest.Wait()
		if cause := context.Cause(s.Sending); !errors.Is(cause, ErrInterrupted) {
			t.Errorf("%v", cause)
		}
		stop()
	})
}

// A run that the deadline stopped can be resumed (exit code 4); one that was done by
// then is finished.
func TestEndAtDeadline(t *testing.T) {
	folder := t.TempDir()
	rows := []byte(`{"prompt":"a"}` + "\n" + `{"prompt":"b"}` + "\n")
	if err := os.WriteFile(filepath.Join(folder, "rows.jsonl"), rows, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), resolved(t, folder, "deadline: 07:00\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Dataset.Close()
	all := s.items()
	for rows, want := range map[int64]string{all - 1: "stopped: deadline", all: "finished"} {
		totals := view.Totals{Models: map[string]view.Tally{"m": {Rows: rows}}}
		e := s.ending(totals, []runner.Stop{{Model: "m", Err: errDeadline}}[:all-rows], nil, errDeadline)
		if e.state != want || (e.err != nil) != (rows < all) || e.err != nil && ReasonOf(e.err) != Stopped {
			t.Errorf("%d of %d: %q, %v", rows, all, e.state, e.err)
		}
	}
}

// Attempts of earlier starts say nothing about how long requests take now.
func TestTimedProvider(t *testing.T) {
	var l latency
	p := timedProvider{answered{1000, 2000}, &l}
	if _, err := p.Complete(t.Context(), nightshift.Request{Attempts: make([]nightshift.Attempt, 1)}); err != nil {
		t.Fatal(err)
	}
	if want := 2*time.Second + 500*time.Millisecond + deadlineMargin; l.need(time.Hour) != want {
		t.Errorf("%s, want %s", l.need(time.Hour), want)
	}
}

// answered is a provider whose attempts take so many milliseconds.
type answered []float64

func (a answered) Complete(context.Context, nightshift.Request) (r nightshift.Response, err error) {
	for _, ms := range a {
		r.Attempts = append(r.Attempts, nightshift.Attempt{DurationMS: ms})
	}
	return r, nil
}
