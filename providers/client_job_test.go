package providers_test

import (
	"context"
	"testing"

	"nightshift"
	"nightshift/providers"
	"nightshift/providers/limits"
)

// A jobWire makes answers in the background: it says under which id, or is asked
// for one.
type jobWire struct {
	script
	asked []string
}

func (w *jobWire) Send(ctx context.Context, p providers.Prepared) providers.Exchange {
	w.asked = append(w.asked, p.Job)
	if p.Job == "" && p.Accepted != nil {
		p.Accepted("resp_new")
	}
	return w.script.Send(ctx, p)
}

func TestJobsAreOnRecord(t *testing.T) {
	wire := &jobWire{script: script{say: lastly(good())}}
	client := newClient(wire)
	seen := &notebook{}
	if _, err := client.Complete(t.Context(), nightshift.Request{Model: "m", AttemptLog: seen}); err != nil {
		t.Fatal(err)
	}
	if len(seen.accepted) != 1 || seen.accepted[0].Job != "resp_new" || seen.accepted[0].Route != "one" ||
		seen.accepted[0].WorstTokens != seen.intents[0].WorstTokens {
		t.Errorf("%+v after %+v", seen.accepted, seen.intents)
	}
}

// An answer that an earlier process asked for is taken up: one attempt, booked
// once, on the route that was asked, and no new intent. When it is gone, the
// request is sent again, as another attempt.
func TestJobsOfAnEarlierProcess(t *testing.T) {
	first := &notebook{}
	_, _ = newClient(&script{say: lastly(good())}).Complete(t.Context(), nightshift.Request{Model: "m", AttemptLog: first})
	worst := first.intents[0].WorstTokens
	gone := bad(nightshift.ClassCut, 404)
	gone.Err.MaybeBilled, gone.Sent = true, true
	for _, tc := range []struct {
		name     string
		say      func(int, string) providers.Exchange
		asked    int
		classes  string
		intents  int
		maxSpent int64
	}{
		{"there", lastly(good()), 1, "ok", 0, 35},
		{"gone", lastly(gone, good()), 2, "cut ok", 1, worst + 35},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wire := &jobWire{script: script{say: tc.say}}
			client := newClient(wire)
			client.Budget = &limits.Budget{Tokens: 2 * worst}
			client.Budget.Spend(worst, 0) // as a start books what is not known
			seen := &notebook{}
			earlier := nightshift.Attempt{N: 1, Class: nightshift.ClassUnknownOutcome, Job: "resp_old", Route: "one",
				WorstTokens: worst, MaybeBilled: true}
			resp, err := client.Complete(t.Context(),
				nightshift.Request{Model: "m", AttemptLog: seen, Attempts: []nightshift.Attempt{earlier}})
			if err != nil || len(wire.asked) != tc.asked || wire.asked[0] != "resp_old" ||
				classesOf(resp.Attempts) != tc.classes || len(seen.intents) != tc.intents {
				t.Errorf("%v, asked %q, %s, %d intents", err, wire.asked, classesOf(resp.Attempts), len(seen.intents))
			}
			if spent, _ := client.Budget.Spent(); spent > tc.maxSpent || spent < 35 {
				t.Errorf("spent %d, want at most %d", spent, tc.maxSpent)
			}
			if reserved, _, _ := client.Budget.Reserved(); reserved != 0 {
				t.Errorf("%d reserved", reserved)
			}
		})
	}
}

// Work that failed before, and outcomes that nobody can be asked for, are sent
// again.
func TestJobsThatCannotBeAskedFor(t *testing.T) {
	lost := nightshift.Attempt{N: 1, Class: nightshift.ClassUnknownOutcome, WorstTokens: 9, MaybeBilled: true}
	old := lost
	old.Job = "resp_old"
	failed := nightshift.Attempt{N: 2, Class: nightshift.ClassServer}
	for name, req := range map[string]nightshift.Request{
		"no id":            {Attempts: []nightshift.Attempt{lost}},
		"another since":    {Attempts: []nightshift.Attempt{old, failed}},
		"a settled record": {Attempts: []nightshift.Attempt{old}, Settled: 1},
	} {
		wire := &jobWire{script: script{say: lastly(good())}}
		req.Model = "m"
		resp, err := newClient(wire).Complete(t.Context(), req)
		if err != nil || len(wire.asked) != 1 || wire.asked[0] != "" || len(resp.Attempts) != len(req.Attempts)+1 {
			t.Errorf("%s: %v, asked %q, %d attempts", name, err, wire.asked, len(resp.Attempts))
		}
	}
}

// A lateWire is a [providers.RemoteWire] that knows what became of attempts.
type lateWire struct {
	jobWire
	late map[string]providers.Exchange // by attempt
}

func (w *lateWire) Away() bool         { return false }
func (w *lateWire) NewAttempt() string { return nightshift.WorkerJob + "run-2-1" }

func (w *lateWire) Late(attempt string) (providers.Exchange, bool) {
	ex, ok := w.late[attempt]
	delete(w.late, attempt)
	return ex, ok
}

// An earlier attempt's late answer settles a row while its last attempt is still
// with a worker: that one stays on record, and booked at what it costs at most
// unless its answer is there too.
func TestJobsBesideALateAnswer(t *testing.T) {
	const worst = 175 // tokens of an attempt
	lost, last := nightshift.WorkerJob+"run-1-30", nightshift.WorkerJob+"run-1-47"
	answer := good()
	answer.Response.RequestHash = "h-"
	for _, tc := range []struct {
		name    string
		late    map[string]providers.Exchange
		classes string
		spent   int64
	}{
		{"with a worker", map[string]providers.Exchange{lost: answer}, "ok unknown_outcome", 35 + worst},
		{"answered too", map[string]providers.Exchange{lost: answer, last: answer}, "ok ok", 35 + 35},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wire := &lateWire{jobWire: jobWire{script: script{say: lastly(good())}}, late: tc.late}
			client := newClient(wire)
			client.RoutesCome = true
			client.Budget = &limits.Budget{Tokens: 10 * worst}
			client.Budget.Spend(2*worst, 0) // as a start books what is not known
			attempt := nightshift.Attempt{N: 1, Class: nightshift.ClassUnknownOutcome, Job: lost, WorstTokens: worst,
				MaybeBilled: true}
			second := attempt
			second.N, second.Job = 2, last
			resp, err := client.Complete(t.Context(),
				nightshift.Request{Model: "m", Attempts: []nightshift.Attempt{attempt, second}})
			if err != nil || len(wire.asked) != 0 || resp.Text == nil {
				t.Errorf("%v, asked %q, %+v", err, wire.asked, resp)
			}
			if got := classesOf(resp.Attempts); got != tc.classes {
				t.Fatalf("attempts %q, want %q", got, tc.classes)
			}
			if resp.Attempts[1].Job != last || resp.Attempts[1].N != 2 {
				t.Errorf("%+v", resp.Attempts[1])
			}
			if spent, _ := client.Budget.Spent(); spent != tc.spent {
				t.Errorf("spent %d, want %d", spent, tc.spent)
			}
			if reserved, _, _ := client.Budget.Reserved(); reserved != 0 {
				t.Errorf("%d reserved", reserved)
			}
		})
	}
}

// An attempt that was announced and that no worker could be given is on record as
// not sent: it costs nothing, even when no other attempt follows it.
func TestAnnouncedAndNotSent(t *testing.T) {
	for _, ends := range []bool{false, true} {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		answers := lastly(providers.Exchange{Returned: true}, good())
		wire := &lateWire{jobWire: jobWire{script: script{say: answers}}}
		client := newClient(wire)
		client.RoutesCome = true
		seen := &notebook{}
		req := nightshift.Request{Model: "m", AttemptLog: seen}
		if ends {
			unsent, end := context.WithCancel(t.Context())
			req.Unsent = unsent
			wire.say = func(n int, key string) providers.Exchange {
				end()
				return answers(n, key)
			}
		}
		resp, err := client.Complete(ctx, req)
		if (err != nil) != ends || len(seen.failed) != 1 {
			t.Fatalf("%v; not sent: %+v", err, seen.failed)
		}
		a := seen.failed[0]
		if a.N != 1 || a.Job != seen.intents[0].Job || a.Class != nightshift.ClassCancelled || a.MaybeBilled {
			t.Errorf("%+v of %+v", a, seen.intents[0])
		}
		if want := map[bool]string{false: "ok", true: ""}[ends]; classesOf(resp.Attempts) != want {
			t.Errorf("attempts %q, want %q", classesOf(resp.Attempts), want)
		}
	}
}
