package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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
				if tc.latency > 0 {
					s.latest.ended(tc.latency)
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

// Judges keep the deadline when stored answers are scored: the judge, who answers
// nothing before it, is asked no more than may be in flight, the end can be resumed,
// and the next start asks the rest. Scorers that send nothing have no deadline.
func TestScoreDeadline(t *testing.T) {
	const rows, concurrency = 60, 2
	var asked atomic.Int64
	answers := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if io.Copy(io.Discard, r.Body); !answers {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id": "x", "object": "chat.completion", "model": "j", "choices": [{"index": 0, "finish_reason":
			"stop", "message": {"role": "assistant", "content": "GRADE: C"}}], "usage": {"prompt_tokens": 10,
			"completion_tokens": 5, "total_tokens": 15}}`)
	}))
	defer server.Close()
	judged := fmt.Sprintf(`endpoints:
  judge: {base_url: %s/v1, protocol: chat, auth: {scheme: none}, limits: {concurrency: %d}}
scorers: [{type: judge_grade, name: helpful, endpoint: judge, model: j, params: {max_tokens: 50}}]
`, server.URL, concurrency)
	first := simulated(t, rows, "")
	if _, err := Run(t.Context(), first, Options{}); err != nil {
		t.Fatal(err)
	}
	score := func(within time.Duration, more string) ([]ScoreTable, error) {
		p := again(t, first, more)
		p.Deadline = time.Now().Add(within).Format(time.RFC3339Nano)
		return Score(t.Context(), p.Out, p, Options{})
	}
	_, err := score(time.Second, judged)
	if err == nil || ReasonOf(err) != Stopped || !strings.Contains(err.Error(), "stopped for the deadline") {
		t.Errorf("at the deadline: %v", err)
	}
	if n := asked.Load(); n > concurrency { // none on a machine that needs half a second to begin
		t.Errorf("%d requests, want at most %d", n, concurrency)
	}
	answers = true
	tables, err := score(24*time.Hour, judged)
	if err != nil || len(tables) != 1 || tables[0].Tallies[0].Scored != rows {
		t.Errorf("%v, %v", tables, err)
	}
	if _, err := score(-time.Hour, judged); err == nil || ReasonOf(err) != Usage {
		t.Errorf("a deadline that has passed: %v", err)
	}
	if _, err := score(-time.Hour, "scorers: [includes]\n"); err != nil {
		t.Errorf("nothing is sent: %v", err)
	}
}
