package runner_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nightshift"
	"nightshift/internal/attemptlog"
	"nightshift/providers/limits"
	"nightshift/runner"
	"nightshift/runner/store"
)

// batched is a pool whose rows travel in batches.
func batched(api nightshift.Batcher) runner.Pool {
	p := pool("m", func(context.Context, nightshift.Request) (nightshift.Response, error) {
		return nightshift.Response{}, errors.New("nothing goes live here")
	})
	p.Batch = &runner.Batching{API: api, Submit: true, MinRows: 1}
	return p
}

// A batchTrial is a trial of one pool in batches, against a fake API.
type batchTrial struct {
	*trial
	api *fakeAPI
	b   *runner.Batching
}

// bubble runs a test with time of its own. What the Parquet library keeps for
// others to use must not leave the bubble: it holds channels. Two collections
// empty its pools.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	defer runtime.GC()
	defer runtime.GC()
	synctest.Test(t, test)
}

// inBatches runs a test of a pool in batches with time of its own.
func inBatches(t *testing.T, rows int, test func(t *testing.T, tr *batchTrial)) {
	t.Helper()
	if _, err := os.Stat("/dev/shm"); err == nil {
		t.Setenv("TMPDIR", "/dev/shm") // nothing here has to outlive the machine
	}
	bubble(t, func(t *testing.T) {
		api := newFake()
		p := batched(api)
		test(t, &batchTrial{newTrial(t, prompts(rows), p), api, p.Batch})
	})
}

// log is the attempt log of a record.
func attemptsOf(t *testing.T, r nightshift.Record) []nightshift.Attempt {
	t.Helper()
	if r.AttemptLog == nil {
		return nil
	}
	log, err := attemptlog.Parse(*r.AttemptLog)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// classes are the classes of a record's attempts.
func classes(t *testing.T, r nightshift.Record) (list []nightshift.ErrorClass) {
	t.Helper()
	for _, a := range attemptsOf(t, r) {
		list = append(list, a.Class)
	}
	return list
}

// expectAnswers fails unless every row has an answer, and was billed as often as
// is said.
func (tr *batchTrial) expectAnswers(t *testing.T, records []nightshift.Record, rows, billed int) {
	t.Helper()
	if len(records) != rows {
		t.Errorf("%d records, want %d", len(records), rows)
	}
	for _, r := range records {
		if r.Outcome != nightshift.OutcomeOK || *r.Text != fmt.Sprintf("answer to p%d", r.Row) {
			t.Errorf("row %d: %s %v", r.Row, r.Outcome, r.Text)
		}
	}
	for prompt, n := range tr.api.billed {
		if n != billed {
			t.Errorf("%s was billed %d times, want %d", prompt, n, billed)
		}
	}
}

func TestBatches(t *testing.T) {
	inBatches(t, 35, func(t *testing.T, tr *batchTrial) {
		began := time.Now()
		records := tr.finish()
		tr.expectAnswers(t, records, 35, 1)
		for i, r := range records {
			if *r.CostNanoUSD != fakePrice || *r.RequestHash != fmt.Sprintf("hash-p%d", i) || r.LatencyMS != nil {
				t.Errorf("row %d: cost, hash or latency is wrong: %+v", i, r)
			}
			log := attemptsOf(t, r)
			if len(log) != 1 || log[0].Batch != fmt.Sprintf("batch-%d", 2*(i/10+1)) || log[0].N != 1 {
				t.Errorf("row %d: attempts %+v", i, log)
			}
		}
		if got := tr.api.sizes(); !slices.Equal(got, []int{10, 10, 10, 5}) {
			t.Errorf("batches of %v rows, want one a shard", got)
		}
		if took := time.Since(began); took < 20*time.Minute || took > 22*time.Minute {
			t.Errorf("it took %v", took)
		}
		if n := tr.api.calls["get"]; n > 40 {
			t.Errorf("the server was asked %d times how 4 batches stand", n)
		}
	})
}

// Limits cut batches, and what may not wait at the provider waits here.
func TestBatchLimits(t *testing.T) {
	line := int64(len(`{"id":"ns1-abcdef-0-b1-0-0-0-abcd","prompt":"p0"}`) + 1)
	for _, test := range []struct {
		name  string
		set   func(*runner.Batching, *fakeAPI)
		sizes []int
		away  int // most batches at once
	}{
		{"rows of the plan", func(b *runner.Batching, _ *fakeAPI) { b.MaxRows = 4 }, []int{4, 4, 2, 4, 4, 2}, 6},
		{"rows of the API", func(_ *runner.Batching, f *fakeAPI) { f.limits.Rows = 7 }, []int{7, 3, 7, 3}, 4},
		{"bytes", func(b *runner.Batching, _ *fakeAPI) { b.MaxBytes = 6*line - 1 }, []int{5, 5, 5, 5}, 4},
		{"tokens in the queue", func(b *runner.Batching, _ *fakeAPI) { b.MaxTokens = 40 }, []int{10, 10}, 1},
		{"tokens, less than a shard", func(_ *runner.Batching, f *fakeAPI) { f.limits.Tokens = 24 }, []int{6, 4, 2, 6, 2}, 2},
		{"batches at once", func(_ *runner.Batching, f *fakeAPI) { f.limits.Away = 1 }, []int{10, 10}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBatches(t, 20, func(t *testing.T, tr *batchTrial) {
				test.set(tr.b, tr.api)
				most := 0
				tr.api.before = func(op string, _ int) error {
					if op == "get" {
						most = max(most, tr.api.away())
					}
					return nil
				}
				tr.expectAnswers(t, tr.finish(), 20, 1)
				if got := tr.api.sizes(); !slices.Equal(got, test.sizes) {
					t.Errorf("batches of %v rows, want %v", got, test.sizes)
				}
				if most > test.away {
					t.Errorf("%d batches at once, want %d", most, test.away)
				}
			})
		})
	}
}

// A budget is the real one, as the runner sees it.
type budget struct{ *limits.Budget }

func (b budget) Hold(tokens int64, cost nightshift.NanoUSD) runner.Reservation {
	return b.Budget.Hold(tokens, cost)
}

// A budget that covers the worst case of six rows lets six go, then what the
// answers leave of it, and stops the run when that is less than a row.
func TestBatchBudget(t *testing.T) {
	inBatches(t, 30, func(t *testing.T, tr *batchTrial) {
		spent := &limits.Budget{Cost: 6 * fakeWorst}
		tr.b.Budget = budget{spent}
		stops, err := tr.start(context.Background())
		if err != nil || len(stops) != 1 || !errors.Is(stops[0].Err, nightshift.ErrBudget) {
			t.Fatalf("stops %v, %v, want the budget", stops, err)
		}
		_, cost := spent.Spent()
		rows := len(tr.records())
		if cost != nightshift.NanoUSD(rows*fakePrice) || spent.Cost-cost >= fakeWorst {
			t.Errorf("%d rows for %d of %d", rows, cost, spent.Cost)
		}
		if _, reserved, _ := spent.Reserved(); reserved != 0 {
			t.Errorf("%d stays reserved", reserved)
		}
	})
}

// What a row's line says decides what becomes of it.
func TestBatchRowErrors(t *testing.T) {
	again := fakeResult{Class: nightshift.ClassOverloaded, Next: nightshift.BatchAgain, inErrors: true}
	for _, test := range []struct {
		name    string
		line    fakeResult
		times   int // how often row 3 comes to it
		outcome nightshift.Outcome
		classes []nightshift.ErrorClass
		batches int
	}{
		{"again, then an answer", again, 1, nightshift.OutcomeOK, []nightshift.ErrorClass{"overloaded", ""}, 2},
		{"again, until the attempts are used up", again, 9, nightshift.OutcomeFailed,
			[]nightshift.ErrorClass{"overloaded", "overloaded", "overloaded", "overloaded"}, 4},
		{"final", fakeResult{Class: nightshift.ClassContextLength}, 1, nightshift.OutcomeFailed,
			[]nightshift.ErrorClass{"context_length"}, 1},
		{"model unknown, for one row only", fakeResult{Class: nightshift.ClassNotFound, Next: nightshift.BatchStop}, 1,
			nightshift.OutcomeFailed, []nightshift.ErrorClass{"not_found"}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
				times := 0
				tr.api.state = func(_ *fakeBatch, s *nightshift.Batch) {
					s.Counts.Completed, s.Counts.Failed = nightshift.Tokens(10), nightshift.Tokens(0) // which is not so
				}
				tr.api.result = func(_ *fakeBatch, row fakeRow) []fakeResult {
					if row.Prompt == "p3" && times < test.times {
						times++
						line := test.line
						line.ID = row.ID
						return []fakeResult{line}
					}
					return answered(row)
				}
				r := tr.finish()[3]
				if r.Outcome != test.outcome || !slices.Equal(classes(t, r), test.classes) {
					t.Errorf("%s after %v, want %s after %v", r.Outcome, classes(t, r), test.outcome, test.classes)
				}
				if len(tr.api.batches) != test.batches {
					t.Errorf("%d batches, want %d", len(tr.api.batches), test.batches)
				}
				for prompt, n := range tr.api.sent() {
					if prompt != "p3" && n != 1 {
						t.Errorf("%s was sent %d times", prompt, n)
					}
				}
			})
		})
	}
}

func answered(row fakeRow) []fakeResult {
	return []fakeResult{{ID: row.ID, Text: "answer to " + row.Prompt}}
}

// Errors that concern all rows stop the pool and leave the rows untouched; the
// next start sends them.
func TestBatchStops(t *testing.T) {
	for _, test := range []struct {
		name  string
		class nightshift.ErrorClass
		rows  string // prompts that come to it begin with this
		left  int
	}{
		{"key refused on every row", nightshift.ClassAuth, "p", 10},
		{"credit used up midway", nightshift.ClassQuota, "p5", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
				tr.api.result = func(_ *fakeBatch, row fakeRow) []fakeResult {
					if strings.HasPrefix(row.Prompt, test.rows) {
						return []fakeResult{{ID: row.ID, Class: test.class, Next: nightshift.BatchStop, inErrors: true}}
					}
					return answered(row)
				}
				stops, err := tr.start(context.Background())
				var stop *nightshift.StopError
				if err != nil || len(stops) != 1 || !errors.As(stops[0].Err, &stop) || stop.Err.Class != test.class {
					t.Fatalf("stops %v, %v", stops, err)
				}
				if n := len(tr.records()); n != 10-test.left {
					t.Errorf("%d rows on record, want %d", n, 10-test.left)
				}
				tr.api.result = nil
				records := tr.finish()
				tr.expectAnswers(t, records, 10, 1)
				for _, r := range records {
					if r.Attempts != 1 {
						t.Errorf("row %d has %d attempts: those that did not run count", r.Row, r.Attempts)
					}
				}
			})
		})
	}
}

// Rows of a batch that expired go on as the plan says.
func TestBatchExpired(t *testing.T) {
	expire := func(times int) func(*fakeBatch, fakeRow) []fakeResult {
		return func(b *fakeBatch, row fakeRow) []fakeResult {
			b.phase = nightshift.BatchExpired
			if b.n <= times && strings.HasSuffix(row.Prompt, "0") {
				return []fakeResult{{ID: row.ID, Class: nightshift.ClassBatchExpired, inErrors: true}}
			}
			b.phase = nightshift.BatchCompleted
			return answered(row)
		}
	}
	live := func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
		resp, err := echo(ctx, req)
		resp.Attempts = append(slices.Clone(req.Attempts), resp.Attempts...)
		return resp, err
	}
	const ex = nightshift.ClassBatchExpired
	for _, test := range []struct {
		name    string
		then    runner.Then
		times   int
		outcome nightshift.Outcome
		text    string
		classes []nightshift.ErrorClass
		batches int
	}{
		{"next", runner.ThenNext, 1, nightshift.OutcomeOK, "answer to p0", []nightshift.ErrorClass{ex, ""}, 2},
		{"next, three times", runner.ThenNext, 9, nightshift.OutcomeFailed, "", []nightshift.ErrorClass{ex, ex, ex}, 3},
		{"live", runner.ThenLive, 1, nightshift.OutcomeOK, "echo: p0", []nightshift.ErrorClass{ex, ""}, 1},
		{"fail", runner.ThenFail, 1, nightshift.OutcomeFailed, "", []nightshift.ErrorClass{ex}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
				tr.b.Then, tr.api.result = test.then, expire(test.times)
				tr.pools[0].Provider = provider(live)
				records := tr.finish()
				r := records[0]
				if r.Outcome != test.outcome || r.Text != nil && *r.Text != test.text ||
					!slices.Equal(classes(t, r), test.classes) {
					t.Errorf("%s %v after %v", r.Outcome, r.Text, classes(t, r))
				}
				if r.Outcome == nightshift.OutcomeFailed && *r.ErrorClass != string(ex) {
					t.Errorf("class %s", *r.ErrorClass)
				}
				if len(tr.api.batches) != test.batches || len(records) != 10 {
					t.Errorf("%d batches and %d records", len(tr.api.batches), len(records))
				}
			})
		})
	}
}

// The turns of a row go in batches one after the other.
func TestBatchTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		api := newFake()
		rows := `{"turns": ["a", "b", "c"]}` + "\n" + `{"turns": ["d"]}` + "\n"
		tr := newTrial(t, rows, batched(api))
		records := tr.finish()
		if len(records) != 2 || *records[0].Text != "answer to a|answer to a|b|answer to a|answer to a|b|c" ||
			*records[1].Text != "answer to d" {
			t.Fatalf("%+v", records)
		}
		if got := api.sizes(); !slices.Equal(got, []int{2, 1, 1}) {
			t.Errorf("batches of %v rows", got)
		}
		if n := attemptsOf(t, records[0]); len(n) != 3 || *records[0].CostNanoUSD != 3*fakePrice {
			t.Errorf("%d attempts, cost %d", len(n), *records[0].CostNanoUSD)
		}
	})
}

// lost is the error of a create call whose answer did not come.
func lost() error {
	return &nightshift.BatchError{Lost: true, Err: &nightshift.Error{Class: nightshift.ClassConnection, Message: "reset"}}
}

func refused(cause nightshift.BatchCause, next nightshift.BatchNext,
	class nightshift.ErrorClass) *nightshift.BatchError {
	return &nightshift.BatchError{Cause: cause, Next: next, Err: &nightshift.Error{Class: class, Message: "refused"}}
}

// However a create call ends, every row is billed once.
func TestBatchCreateLost(t *testing.T) {
	const n = 10
	for _, test := range []struct {
		name    string
		fault   func(*fakeAPI)
		batches int // that the server has made
		least   time.Duration
		billed  int
	}{
		{"not created", func(f *fakeAPI) {
			f.before = onCall("create", 1, lost())
		}, 1, 15 * time.Minute, 1},
		{"created", func(f *fakeAPI) {
			f.after = onCall("create", 1, lost())
		}, 1, 0, 1},
		{"created, and the list is a minute late", func(f *fakeAPI) {
			f.after = first(onCall("create", 1, lost()), upTo("find", 4, lost()))
		}, 1, 0, 1},
		{"the list fails for a while", func(f *fakeAPI) {
			f.after = onCall("create", 1, lost())
			f.before = upTo("find", 3, refused("", nightshift.BatchAgain, nightshift.ClassServer))
		}, 1, 0, 1},
		{"created after the first looks", func(f *fakeAPI) {
			f.before = onCall("create", 1, lost())
			f.late = 5 * time.Minute
		}, 1, 5 * time.Minute, 1},
		{"created after the file was deleted: it fails", func(f *fakeAPI) {
			f.before = onCall("create", 1, lost())
			f.late = 20 * time.Minute
		}, 1, 15 * time.Minute, 1},
		{"hidden for longer than anybody looks", func(f *fakeAPI) {
			f.after = first(onCall("create", 1, lost()), upTo("find", 25, lost()))
		}, 2, 15 * time.Minute, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBatches(t, n, func(t *testing.T, tr *batchTrial) {
				test.fault(tr.api)
				began := time.Now()
				records := tr.finish()
				// What was created and never seen ends by itself; it is billed.
				time.Sleep(time.Hour)
				tr.api.endAll()
				tr.expectAnswers(t, records, n, test.billed)
				if len(tr.api.batches) != test.batches {
					t.Errorf("%d batches, want %d", len(tr.api.batches), test.batches)
				}
				if took := time.Since(began) - time.Hour - tr.api.takes; took < test.least {
					t.Errorf("it took %v beyond the batch's time, want %v", took, test.least)
				}
			})
		})
	}
}

// onCall fails the n-th call of an operation, upTo all until that one.
func onCall(op string, n int, err error) func(string, int) error {
	return func(got string, call int) error {
		if got == op && call == n {
			return err
		}
		return nil
	}
}

func upTo(op string, n int, err error) func(string, int) error {
	return func(got string, call int) error {
		if got == op && call <= n {
			return err
		}
		return nil
	}
}

func first(faults ...func(string, int) error) func(string, int) error {
	return func(op string, n int) error {
		for _, f := range faults {
			if err := f(op, n); err != nil {
				return err
			}
		}
		return nil
	}
}

// Where only time and size tell batches apart, those of others are told from
// ours by their first result.
func TestBatchSuspects(t *testing.T) {
	for _, made := range []bool{true, false} {
		t.Run(fmt.Sprint("made ", made), func(t *testing.T) {
			inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
				tr.api.limits.Inline = true
				foreign := tr.api.addForeign(10)
				if made {
					tr.api.after = onCall("create", 1, lost())
				} else {
					tr.api.before = onCall("create", 1, lost())
				}
				tr.expectAnswers(t, tr.finish(), 10, 1)
				if len(tr.api.batches) != 2 || !foreign.cancelled.IsZero() {
					t.Errorf("%d batches; the other's was cancelled: %v", len(tr.api.batches), foreign.cancelled)
				}
			})
		})
	}
}

// Batches that are refused as a whole.
func TestBatchRefused(t *testing.T) {
	bad := func(line int) *nightshift.BatchError {
		e := refused(nightshift.BatchBadRow, nightshift.BatchFinal, nightshift.ClassInvalidRequest)
		e.Line = line
		return e
	}
	full := refused(nightshift.BatchQueueFull, nightshift.BatchAgain, nightshift.ClassRateLimit)
	full.Limit = 20
	for _, test := range []struct {
		name    string
		atOnce  bool // by the create call, and not when it is checked
		err     *nightshift.BatchError
		batches int // the first that are refused
		failed  int
		sizes   []int // of the batches that are made
		stops   bool
	}{
		{"one bad line, when checked", false, bad(4), 1, 1, []int{10, 9}, false},
		{"one bad line, at once", true, bad(4), 1, 1, []int{9}, false},
		{"a bad line each time", false, bad(1), 99, 10, []int{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}, true},
		{"no line", false, bad(0), 1, 0, []int{10}, true},
		{"the queue is full, when checked", false, full, 1, 0, []int{10, 5, 5}, false},
		{"the queue is full, at once", true, full, 1, 0, []int{5, 5}, false},
		{"the file is not found, when checked", false, refused(nightshift.BatchFileMissing, nightshift.BatchAgain,
			nightshift.ClassNotFound), 4, 0, []int{10, 10, 10, 10, 10}, false},
		{"the file is never found", false, refused(nightshift.BatchFileMissing, nightshift.BatchAgain,
			nightshift.ClassNotFound), 99, 0, []int{10, 10, 10, 10, 10}, true},
		{"the key", true, refused("", nightshift.BatchStop, nightshift.ClassAuth), 1, 0, []int{}, true},
		{"a busy server", true, refused("", nightshift.BatchAgain, nightshift.ClassOverloaded), 3, 0, []int{10}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
				tr.api.takes = 2 * time.Minute
				if test.atOnce {
					tr.api.before = upTo("create", test.batches, test.err)
				} else {
					tr.api.fails = func(b *fakeBatch) *nightshift.BatchError {
						if b.n <= test.batches {
							return test.err
						}
						return nil
					}
				}
				stops, err := tr.start(context.Background())
				if err != nil || (len(stops) == 1) != test.stops {
					t.Fatalf("stops %v, %v", stops, err)
				}
				failed := 0
				for _, r := range tr.records() {
					if r.Outcome == nightshift.OutcomeFailed {
						failed++
					}
				}
				if got := tr.api.sizes(); failed != test.failed || !slices.Equal(got, test.sizes) {
					t.Errorf("%d rows failed, batches of %v rows; want %d and %v", failed, got, test.failed, test.sizes)
				}
			})
		})
	}
}

// An upload is repeated freely, and a file that is seen late is waited for.
func TestBatchUpload(t *testing.T) {
	missing := refused(nightshift.BatchFileMissing, nightshift.BatchAgain, nightshift.ClassNotFound)
	for _, test := range []struct {
		name    string
		before  func(string, int) error
		uploads int
	}{
		{"the server fails twice", upTo("upload", 2, refused("", nightshift.BatchAgain, nightshift.ClassServer)), 3},
		{"cut midway", onCall("upload", 1, refused("", nightshift.BatchAgain, nightshift.ClassConnection)), 2},
		{"the file is seen late", upTo("create", 2, missing), 1},
		{"the file is not seen at all", upTo("create", 6, missing), 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
				tr.api.before = test.before
				tr.expectAnswers(t, tr.finish(), 10, 1)
				if n := tr.api.calls["upload"]; n != test.uploads || len(tr.api.batches) != 1 {
					t.Errorf("%d uploads and %d batches", n, len(tr.api.batches))
				}
			})
		})
	}
}

// Whatever a server says of a batch while it runs, its rows come home once.
func TestBatchStates(t *testing.T) {
	var once atomic.Bool
	for _, test := range []struct {
		name   string
		before func(string, int) error
		state  func(b *fakeBatch, s *nightshift.Batch)
	}{
		{"an unknown word", nil, func(b *fakeBatch, s *nightshift.Batch) {
			if !s.Phase.Ended() {
				s.Phase, s.State = nightshift.BatchStrange, "pondering"
			}
		}},
		{"an unknown word to the end", nil, func(b *fakeBatch, s *nightshift.Batch) {
			s.Phase, s.State = nightshift.BatchStrange, "accomplished"
		}},
		{"not found once", nil, func(b *fakeBatch, s *nightshift.Batch) {
			if once.CompareAndSwap(false, true) {
				return // the answer to the create call
			}
			if time.Since(b.created) < time.Minute {
				*s = nightshift.Batch{ID: s.ID, Phase: nightshift.BatchGone}
			}
		}},
		{"files are two hours late", nil, func(b *fakeBatch, s *nightshift.Batch) {
			if time.Since(b.created) < 2*time.Hour {
				s.Results = nil
			}
		}},
		{"counts are wrong", nil, func(b *fakeBatch, s *nightshift.Batch) {
			s.Counts.Completed, s.Counts.Failed = nightshift.Tokens(10), nightshift.Tokens(0)
		}},
		{"counts are zero", nil, func(b *fakeBatch, s *nightshift.Batch) { s.Counts.Completed = nightshift.Tokens(0) }},
		{"stuck long past its end", nil, func(b *fakeBatch, s *nightshift.Batch) {
			if time.Since(b.created) < 50*time.Hour {
				s.Phase, s.Results = nightshift.BatchRunning, nil
			}
		}},
		{"the server fails for an hour", func(op string, n int) error {
			if op == "get" && n < 50 {
				return refused("", nightshift.BatchAgain, nightshift.ClassServer)
			}
			return nil
		}, nil},
		{"downloads fail", upTo("fetch", 3, refused("", nightshift.BatchAgain, nightshift.ClassServer)), nil},
		{"files are not there at first", upTo("fetch", 3,
			refused(nightshift.BatchFileMissing, nightshift.BatchAgain, nightshift.ClassNotFound)), nil},
		{"downloads are cut", upTo("fetch", 3, refused("", nightshift.BatchAgain, nightshift.ClassCut)), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
				tr.api.before, tr.api.state = test.before, test.state
				tr.expectAnswers(t, tr.finish(), 10, 1)
				if len(tr.api.batches) != 1 {
					t.Errorf("%d batches", len(tr.api.batches))
				}
			})
		})
	}
}

// Whatever stands in the result files, the first answer to a row counts.
func TestBatchFiles(t *testing.T) {
	for _, test := range []struct {
		name   string
		lines  func(row fakeRow) []fakeResult
		extras int64
		sent   int // times that the row was sent
	}{
		{"twice", func(row fakeRow) []fakeResult { return append(answered(row), answered(row)...) }, 1, 1},
		{"in both files", func(row fakeRow) []fakeResult {
			return append(answered(row), fakeResult{ID: row.ID, Class: nightshift.ClassServer, Next: nightshift.BatchAgain,
				inErrors: true})
		}, 0, 1},
		{"an error, then an answer", func(row fakeRow) []fakeResult {
			failed := fakeResult{ID: row.ID, Class: nightshift.ClassServer, Next: nightshift.BatchAgain}
			return append([]fakeResult{failed}, answered(row)...)
		}, 0, 1},
		{"beside lines that are not ours", func(row fakeRow) []fakeResult {
			return append(answered(row), fakeResult{ID: "of-somebody-else", Text: "x"},
				fakeResult{ID: strings.Replace(row.ID, "-b1-", "-b7-", 1), Text: "x"})
		}, 0, 1},
		{"beside lines that are no JSON", func(row fakeRow) []fakeResult {
			return append([]fakeResult{{raw: "{cut"}, {raw: "\r"}, {raw: "\xff\xfe"}, {raw: "null"}}, answered(row)...)
		}, 0, 1},
		{"behind a byte order mark, with carriage returns", func(row fakeRow) []fakeResult {
			return []fakeResult{{raw: "\uFEFF" + `{"id":"` + row.ID + `","text":"answer to ` + row.Prompt + "\"}\r"}}
		}, 0, 1},
		{"under the id of another row", func(row fakeRow) []fakeResult {
			return []fakeResult{{ID: row.ID[:len(row.ID)-4] + "0000", Text: "x"}}
		}, 0, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
				tr.api.result = func(b *fakeBatch, row fakeRow) []fakeResult {
					if row.Prompt == "p3" && b.n == 1 {
						return test.lines(row)
					}
					return answered(row)
				}
				records := tr.finish()
				tr.api.billed = nil
				tr.expectAnswers(t, records, 10, 1)
				if n := tr.api.sent()["p3"]; n != test.sent {
					t.Errorf("the row was sent %d times, want %d", n, test.sent)
				}
			})
		})
	}
}

// A row that is in no file may have been paid for: it is looked for twice more,
// and then goes again or not, as the plan says.
func TestBatchRowMissing(t *testing.T) {
	for _, skip := range []bool{false, true} {
		t.Run(fmt.Sprint("skip ", skip), func(t *testing.T) {
			inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
				tr.skip = skip
				tr.api.result = func(b *fakeBatch, row fakeRow) []fakeResult {
					if row.Prompt == "p3" && b.n == 1 {
						return nil
					}
					return answered(row)
				}
				r := tr.finish()[3]
				log := attemptsOf(t, r)
				if log[0].Class != nightshift.ClassUnknownOutcome || !log[0].MaybeBilled || log[0].WorstCost != fakeWorst {
					t.Errorf("attempts %+v", log)
				}
				want := map[bool]nightshift.Outcome{false: nightshift.OutcomeOK, true: nightshift.OutcomeUnknown}[skip]
				if r.Outcome != want {
					t.Errorf("outcome %s", r.Outcome)
				}
				if n := tr.api.calls["fetch"]; n < 6 {
					t.Errorf("the files were fetched %d times", n)
				}
			})
		})
	}
}

// A batch that the server does not know (any more) is never taken for one that
// was not submitted.
func TestBatchGone(t *testing.T) {
	inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
		tr.skip = true
		tr.api.before = onCall("create", 3, refused("", nightshift.BatchStop, nightshift.ClassAuth))
		tr.api.state = func(b *fakeBatch, s *nightshift.Batch) {
			if time.Since(b.created) > 5*time.Minute {
				*s = nightshift.Batch{ID: s.ID, Phase: nightshift.BatchGone}
			}
		}
		for _, r := range tr.finish() {
			if r.Outcome != nightshift.OutcomeUnknown || !r.MaybeBilled {
				t.Errorf("row %d: %s", r.Row, r.Outcome)
			}
		}
		if len(tr.api.batches) != 1 {
			t.Errorf("%d batches", len(tr.api.batches))
		}
	})
}

func TestBatchOfAnotherKey(t *testing.T) {
	inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
		tr.detach(t)
		tr.api.account.Key = "key-2"
		tr.api.state = func(_ *fakeBatch, s *nightshift.Batch) {
			*s = nightshift.Batch{ID: s.ID, Phase: nightshift.BatchGone}
		}
		stops, err := tr.start(context.Background())
		if err != nil || len(stops) != 1 || !strings.Contains(stops[0].Err.Error(), "key-1") ||
			!strings.Contains(stops[0].Err.Error(), "key-2") {
			t.Fatalf("stops %v, %v", stops, err)
		}
		tr.api.account.Key, tr.api.state = "key-1", nil
		tr.expectAnswers(t, tr.finish(), 10, 1)
	})
}

// detach submits and ends.
func (tr *batchTrial) detach(t *testing.T) {
	t.Helper()
	tr.tune = func(r *runner.Run) { r.Detach = true }
	stops, err := tr.start(context.Background())
	if err != nil || len(stops) != 1 || !errors.Is(stops[0].Err, runner.ErrSubmitted) {
		t.Fatalf("stops %v, %v, want that it is submitted", stops, err)
	}
	tr.tune = nil
}

// A run that is detached comes back for its answers, and nothing is sent twice;
// what is away stays reserved.
func TestBatchDetach(t *testing.T) {
	inBatches(t, 30, func(t *testing.T, tr *batchTrial) {
		began := time.Now()
		tr.detach(t)
		if time.Since(began) > time.Minute || len(tr.api.batches) != 3 {
			t.Errorf("%d batches in %v", len(tr.api.batches), time.Since(began))
		}
		time.Sleep(time.Hour)
		spent := &limits.Budget{Cost: 1} // less than what is away
		tr.b.Budget = budget{spent}
		tr.expectAnswers(t, tr.finish(), 30, 1)
		if _, cost := spent.Spent(); cost != 30*fakePrice {
			t.Errorf("%d spent, want %d", cost, 30*fakePrice)
		}
		if len(tr.api.batches) != 3 {
			t.Errorf("%d batches in the end", len(tr.api.batches))
		}
	})
}

// A model that goes live beside one that is detached is finished.
func TestBatchDetachBesideLive(t *testing.T) {
	inBatches(t, 30, func(t *testing.T, tr *batchTrial) {
		slow := func(ctx context.Context, req nightshift.Request) (nightshift.Response, error) {
			time.Sleep(time.Minute)
			return echo(ctx, req)
		}
		tr.pools = append(tr.pools, pool("live", slow))
		tr.detach(t)
		if n := len(tr.records()); n != 30 {
			t.Errorf("%d rows on record, want the 30 of the live model", n)
		}
	})
}

// When a person interrupts, a create call that is under way is waited for.
func TestBatchInterrupted(t *testing.T) {
	inBatches(t, 30, func(t *testing.T, tr *batchTrial) {
		ctx, interrupt := context.WithCancel(context.Background())
		tr.api.before = func(op string, n int) error {
			if op == "create" && n == 2 {
				interrupt()
				time.Sleep(5 * time.Second)
			}
			return nil
		}
		if _, err := tr.start(ctx); err != nil {
			t.Fatal(err)
		}
		if len(tr.api.batches) != 2 {
			t.Errorf("%d batches", len(tr.api.batches))
		}
		tr.expectAnswers(t, tr.finish(), 30, 1)
		if tr.api.calls["find"] > 0 {
			t.Error("the batch that was under way had to be looked for")
		}
	})
}

// Batches that are away are collected before a plan that says live sends the
// rest.
func TestBatchesThenLive(t *testing.T) {
	inBatches(t, 30, func(t *testing.T, tr *batchTrial) {
		tr.api.limits.Away = 2
		tr.detach(t)
		tr.b.Submit = false
		tr.pools[0].Provider = provider(echo)
		records := tr.finish()
		batches, live := 0, 0
		for _, r := range records {
			switch *r.Text {
			case fmt.Sprintf("answer to p%d", r.Row):
				batches++
			case fmt.Sprintf("echo: p%d", r.Row):
				live++
			}
		}
		if batches != 20 || live != 10 || len(tr.api.batches) != 2 {
			t.Errorf("%d rows in %d batches, %d live", batches, len(tr.api.batches), live)
		}
	})
}

// A deadline ends a batch; what has not run by then goes on as the plan says,
// and never before its end.
func TestBatchDeadline(t *testing.T) {
	for _, ignored := range []bool{false, true} {
		t.Run(fmt.Sprint("ignored ", ignored), func(t *testing.T) {
			inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
				tr.api.takes, tr.b.Deadline, tr.b.Then = 5*time.Hour, time.Hour, runner.ThenLive
				tr.api.deaf, tr.api.cancels = ignored, 30*time.Minute
				tr.api.before = onCall("create", 3, refused("", nightshift.BatchStop, nightshift.ClassAuth))
				ended := false
				tr.api.state = func(_ *fakeBatch, s *nightshift.Batch) { ended = s.Phase.Ended() }
				tr.pools[0].Provider = provider(func(ctx context.Context,
					req nightshift.Request) (nightshift.Response, error) {
					if !ended {
						t.Error("a row went live while its batch could still finish")
					}
					return echo(ctx, req)
				})
				want := "echo: p0"
				if ignored {
					want = "answer to p0"
				}
				if r := tr.finish()[0]; *r.Text != want {
					t.Errorf("%q, want %q", *r.Text, want)
				}
				if tr.api.calls["cancel"] == 0 || len(tr.api.batches) != 1 {
					t.Errorf("%d cancels, %d batches", tr.api.calls["cancel"], len(tr.api.batches))
				}
			})
		})
	}
}

// Somebody else's cancel stops the run; the next start goes on with the rest.
func TestBatchCancelledByOthers(t *testing.T) {
	inBatches(t, 10, func(t *testing.T, tr *batchTrial) {
		tr.api.before = func(op string, n int) error {
			if op == "get" && n == 2 {
				tr.api.batches[0].cancelled = time.Now()
			}
			return nil
		}
		stops, err := tr.start(context.Background())
		if err != nil || len(stops) != 1 || !strings.Contains(stops[0].Err.Error(), "cancelled by somebody else") {
			t.Fatalf("stops %v, %v", stops, err)
		}
		tr.expectAnswers(t, tr.finish(), 10, 1)
	})
}

// A person calls back what is away.
func TestBatchRecall(t *testing.T) {
	for _, wait := range []bool{true, false} {
		t.Run(fmt.Sprint("wait ", wait), func(t *testing.T) {
			inBatches(t, 30, func(t *testing.T, tr *batchTrial) {
				tr.api.limits.Away = 2
				tr.detach(t)
				recall := runner.RecallAsk
				if wait {
					recall = runner.RecallWait
				}
				tr.tune = func(r *runner.Run) { r.Recall = recall }
				if stops, err := tr.start(context.Background()); err != nil || len(stops) > 0 {
					t.Fatalf("stops %v, %v", stops, err)
				}
				if n := tr.api.calls["cancel"]; n != 2 || len(tr.api.batches) != 2 {
					t.Errorf("%d cancels, %d batches", n, len(tr.api.batches))
				}
				if left := tr.away(t); wait && left > 0 || !wait && left != 2 {
					t.Errorf("%d batches are away", left)
				}
				tr.tune = nil
				tr.expectAnswers(t, tr.finish(), 30, 1)
			})
		})
	}
}

// away is how many batches the run directory lists as away.
func (tr *batchTrial) away(t *testing.T) (n int) {
	t.Helper()
	tr.tune = func(r *runner.Run) {
		for _, b := range r.Store.Batches() {
			if b.Stage == store.BatchCreated {
				n++
			}
		}
		r.Pools = nil
	}
	if _, err := tr.start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return n
}

// Files at the provider are deleted after their shard is committed, and only
// where the plan says so.
func TestBatchDelete(t *testing.T) {
	for _, want := range []bool{true, false} {
		inBatches(t, 20, func(t *testing.T, tr *batchTrial) {
			tr.b.Delete = want
			tr.api.before = func(op string, n int) error {
				if op == "delete" && len(tr.records()) == 0 {
					t.Error("deleted before anything was on record")
				}
				committed, err := filepath.Glob(filepath.Join(tr.dir, "results", "*.parquet"))
				if op == "delete" && (err != nil || len(committed) < n) {
					t.Errorf("deletion %d with %d shards committed, %v", n, len(committed), err)
				}
				return nil
			}
			tr.expectAnswers(t, tr.finish(), 20, 1)
			for _, b := range tr.api.batches {
				if b.deleted != want {
					t.Errorf("batch %d deleted: %v, want %v", b.n, b.deleted, want)
				}
			}
		})
	}
}

// Rows that no batch can carry are recorded, and the others travel.
func TestBatchUncarriedRows(t *testing.T) {
	bubble(t, func(t *testing.T) {
		api := newFake()
		api.limits.LineBytes = 200
		rows := prompts(3) + `{"prompt": "bad"}` + "\n" + `{"prompt": "` + strings.Repeat("long ", 60) + `"}` + "\n"
		records := newTrial(t, rows, batched(api)).finish()
		if len(records) != 5 || *records[3].ErrorClass != "untranslatable" || *records[4].ErrorClass != "request_too_large" ||
			records[4].Attempts != 0 {
			t.Errorf("%+v", records)
		}
		if got := api.sizes(); !slices.Equal(got, []int{3}) {
			t.Errorf("batches of %v rows", got)
		}
	})
}
