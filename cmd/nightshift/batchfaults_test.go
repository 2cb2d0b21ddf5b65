package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nightshift/providers/simulator"
	"nightshift/reports"
	"nightshift/runner/store/view"
)

// batchPlan is a run of 20 rows in batches of ten against the embedded
// simulator, whose batches take 21 minutes.
const batchPlan = `
dataset: {path: rows.jsonl}
out: out
models:
  - name: m
    endpoint: sim
    model: sim-large
    mode: batch
    params: {max_tokens: 100}
    price: {input: 1, output: 2, services: {batch: 0.5}}
endpoints:
  sim:
    preset: simulator-chat
    simulator: {batches: "validate=1m,run=20m,cancel=5m,window=1h", faults: %s, ledger_file: %q}
batch: {max_requests: 10, %s}
`

// A batchOutcome is what a run under a fault came to.
type batchOutcome struct {
	ok, failed int // rows on record
	billed     int // rows that the server billed
	extras     int // answers that were paid for and are in no record, as the run lists them
	maybe      int // rows that the run lists as billed perhaps
	noUsage    int // answers that do not say what they used
	exit       int
}

// runUnderFault runs the plan in simulated time.
func runUnderFault(t *testing.T, faults, settings string) (o batchOutcome, l simulator.Ledger, s reports.Summary,
	log string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var rows strings.Builder
	for i := range 20 {
		fmt.Fprintf(&rows, `{"id":"q%d","prompt":"Question %d?"}`+"\n", i, i)
	}
	list, err := json.Marshal(strings.Split(faults, ","))
	if err != nil {
		t.Fatal(err)
	}
	write("rows.jsonl", rows.String())
	write("plan.yaml", fmt.Sprintf(batchPlan, list, filepath.Join(dir, "ledger.json"), settings))
	errw, exit := inBubble(t, filepath.Join(dir, "plan.yaml"))
	o.exit = exit
	read := func(name string, into any) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, errw)
		}
	}
	read("ledger.json", &l)
	read("out/summary.json", &s)
	batches, err := view.Batches(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range batches {
		o.extras += int(b.Sums.Extras)
	}
	o.billed = int(l.BatchAnswered + l.Answered)
	for outcome, n := range s.Models[0].Outcomes {
		switch outcome {
		case "ok", "truncated":
			o.ok += int(n)
		default:
			o.failed += int(n)
		}
	}
	o.noUsage = int(s.Models[0].AnswersNoUsage)
	o.maybe = int(s.Models[0].MaybeBilled)
	return o, l, s, errw
}

// inBubble runs a plan in simulated time, in a process of its own: what the
// writer of Parquet files keeps for its next file must not pass from one
// simulated time to another. It returns what the program says and its exit code.
func inBubble(t *testing.T, plan string) (log string, exit int) {
	t.Helper()
	var errw bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // else it hangs
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestRunInBubble$")
	c.Env = append(os.Environ(), bubblePlan+"="+plan)
	c.Stderr = &errw
	err := c.Run()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return errw.String(), c.ProcessState.ExitCode()
}

// bubblePlan is the variable that names the plan for TestRunInBubble.
const bubblePlan = "NIGHTSHIFT_BUBBLE_PLAN"

// TestRunInBubble is the other half of inBubble.
func TestRunInBubble(t *testing.T) {
	plan := os.Getenv(bubblePlan)
	if plan == "" {
		t.Skip("a part of other tests")
	}
	signals := make(chan os.Signal, 1) // the loop that hears signals must not be born in simulated time
	signal.Notify(signals, syscall.SIGTERM)
	exit := 0
	synctest.Test(t, func(*testing.T) {
		exit = run(context.Background(), []string{"run", "-q", plan}, strings.NewReader(""), io.Discard, os.Stderr,
			os.LookupEnv)
	})
	os.Exit(exit)
}

// batchFaultOutcomes say what a run comes to under each fault of batches. Where
// nothing else is said all 20 rows are answered, billed once and on record.
var batchFaultOutcomes = []struct {
	faults   string // the first one is that which is meant
	settings string // of the plan's batch block
	want     batchOutcome
}{
	{"upload_error=100%;call=1", "", allHome},
	{"upload_cut=100%;call=1", "", allHome},
	{"file_unseen=100%", "", allHome},
	{"create_error=100%;batch=1", "", allHome},
	{"create_error_made=100%;batch=1", "", allHome},
	{"create_timeout_made=100%;batch=1", "", allHome},
	{"create_cut_made=100%;batch=1", "", allHome},
	{"create_no_id=100%;batch=1", "", allHome},
	{"list_lag=100%", "", allHome},
	{"list_hides_newest=100%;call=1-3,create_error_made=100%;batch=1", "", allHome},
	{"list_disorder=100%,create_error_made=100%;batch=1", "", allHome},
	{"same_size_others=100%,create_error_made=100%;batch=1", "", allHome},
	{"get_404=100%,list_lag=100%", "", allHome},
	{"get_429=100%;call=1-2", "", allHome},
	{"unknown_state=100%;batch=1", "", allHome},
	{"stuck_validating=100%;batch=1", "deadline: 40m", allHome},
	{"stuck_running=100%;batch=1", "deadline: 40m", allHome},
	{"failed_line=100%;batch=1", "", batchOutcome{ok: 19, failed: 1, billed: 19, exit: exitFailedRows}},
	{"failed_token_limit=100%;batch=1", "", allHome},
	{"late_handle=100%", "", allHome},
	{"empty_handle=100%", "", allHome},
	{"wrong_counts=100%", "", allHome},
	{"expired_half=100%;batch=1", "", allHome},
	// five of ten had run; the other batch is still away: it is billed for what has run
	{"cancelled_by_others=100%;batch=1", "", batchOutcome{ok: 5, billed: stillRunning, exit: exitStopped}},
	{"cancel_ignored=100%", "deadline: 10m", allHome},
	// it was answered and billed, and is sent again
	{"cancelled_row_lost=100%;batch=1,stuck_running=100%;batch=1", "deadline: 40m",
		batchOutcome{ok: 20, billed: 21, maybe: 1}},
	{"counters_back=100%", "", allHome},
	{"content_404=100%;call=1", "", allHome},
	{"download_cut=100%;call=1-3", "", allHome},
	{"download_stall=100%;call=1", "", allHome},
	{"wrong_bytes=100%", "", allHome},
	{"rows_shuffled=100%", "", allHome},
	{"row_missing=100%;contains=Question 7?;first=1", "", batchOutcome{ok: 20, billed: 21, maybe: 1}},
	// the run cannot know that the server bills them once
	{"row_twice=100%;contains=Question 7?", "", batchOutcome{ok: 20, billed: 20, extras: 1}},
	{"row_in_both=100%;contains=Question 7?", "", allHome},
	{"foreign_row=100%;contains=Question 7?", "", allHome},
	{"bad_line=100%;batch=1", "", batchOutcome{ok: 20, billed: 21, maybe: 1}},
	// such a row may have been billed, and was not
	{"row_status_0=100%;contains=Question 7?;first=1", "", batchOutcome{ok: 20, billed: 20, maybe: 1}},
	{"body_as_text=100%", "", allHome},
	{"error_as_text=100%;first=1", "", allHome},
	{"row_error=100%;first=1", "", allHome},
	// the other batch has ended too, and is collected by the next start
	{"credit_ends=100%;batch=1", "", batchOutcome{ok: 5, billed: 15, exit: exitStopped}},
	{"rows_400=100%;batch=1", "", batchOutcome{ok: 10, failed: 10, billed: 10, exit: exitFailedRows}},
	{"row_no_usage=100%", "", batchOutcome{ok: 20, billed: 20, noUsage: 20}},
	{"row_no_tier=100%", "", allHome},
	{"huge_row=100%;batch=1", "", allHome},
	{"other_project=100%;batch=1", "", batchOutcome{ok: 20, billed: 30, maybe: 10}},
	{"batch_deleted=100%;batch=1", "", batchOutcome{ok: 20, billed: 30, maybe: 10}},
	{"results_expired=100%;batch=1", "", batchOutcome{ok: 20, billed: 30, maybe: 10}},
	{"clock_ahead=100%,create_error_made=100%;batch=1", "", allHome},
	{"failed_file_not_found=100%;batch=1", "", allHome},
}

var allHome = batchOutcome{ok: 20, billed: 20}

// stillRunning stands for 5 rows and some of 10, by when the batches were looked at.
const stillRunning = -1

// TestBatchFaultOutcomes runs the program under every fault of the simulator's
// batches: which rows are on record, what the server billed, what the run says
// of answers beyond its records, and how it ends. The bill holds in all of them.
func TestBatchFaultOutcomes(t *testing.T) {
	t.Parallel()
	for _, tc := range batchFaultOutcomes {
		name, _, _ := strings.Cut(tc.faults, "=")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, l, s, log := runUnderFault(t, tc.faults, tc.settings)
			if tc.want.billed == stillRunning && o.billed > 5 && o.billed < 15 {
				o.billed = stillRunning
			}
			if o != tc.want {
				t.Errorf("%+v, want %+v\n%s", o, tc.want, log)
			}
			if l.Faults[name] == 0 && name != "clock_ahead" {
				t.Errorf("the fault did not strike: %v", l.Faults)
			}
			for id, r := range l.Rows {
				if r.Answered > 1 {
					t.Errorf("row %s was billed %d times", id, r.Answered)
				}
			}
			if o.exit == exitStopped {
				return // batches that are still away are billed and in no record yet
			}
			price := simulator.Price{Input: 1000, Output: 2000}
			invoice, _ := l.Invoice(map[string]simulator.Price{"sim-large": price})
			bill := s.Total
			if o.billed > o.ok+o.maybe || bill.AtMostNanoUSD != nil && invoice > *bill.AtMostNanoUSD {
				t.Errorf("%d rows and %d billed, the run says %d rows, %d perhaps, at most %v", o.billed, invoice, o.ok, o.maybe,
					*bill.AtMostNanoUSD)
			}
			if o.maybe+o.extras+o.noUsage == 0 && invoice != bill.CostNanoUSD {
				t.Errorf("the server billed %d, the run says %d", invoice, bill.CostNanoUSD)
			}
		})
	}
}
