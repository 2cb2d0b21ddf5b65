package main

import (
	"encoding/json"
	"nightshift/runner/session/estimate"
	"strings"
	"testing"

	"nightshift/reports"
)

// TestCalibrationIsBilled: what check --calibrate sends is on the run's bill
// and within its budget, is there for the run that follows, and is not sent
// twice.
func TestCalibrationIsBilled(t *testing.T) {
	s := serve(t)
	d := newTable(t, 60, s.url, "budget: {usd: 0.02}\n")
	calibrate := func(args ...string) (estimate.Forecast, int64) {
		t.Helper()
		before := s.totals(t).Received
		code, out, errs := call(t, t.Context(), append([]string{"check", d.plan, "--json"}, args...)...)
		if code != exitOK {
			t.Fatalf("exit code %d\n%s", code, errs)
		}
		var f estimate.Forecast
		if err := json.Unmarshal([]byte(out), &f); err != nil {
			t.Fatal(err)
		}
		return f, s.totals(t).Received - before
	}
	f, sent := calibrate("--calibrate", "3")
	if sent != 6 || f.Calibration["m"].Answers != 3 || f.Calibration["c"].Answers != 3 ||
		f.Calibration["m"].CostUSD == 0 {
		t.Errorf("%d requests, calibration %+v and %+v", sent, f.Calibration["m"], f.Calibration["c"])
	}
	f, sent = calibrate("--calibrate", "3")
	if sent != 0 || f.Calibration["m"].Answers != 3 {
		t.Errorf("again: %d requests, %+v", sent, f.Calibration["m"])
	}

	code, _, errs := call(t, t.Context(), "run", d.plan, "-q")
	if code != exitStopped {
		t.Fatalf("the run ended with %d\n%s", code, errs)
	}
	before := spentOf(t, d.out)
	_, sent = calibrate("--calibrate", "50")
	after := spentOf(t, d.out)
	if after > 0.02 || after < before {
		t.Errorf("$%v was spent before and $%v after %d requests; the budget is $0.02", before, after, sent)
	}
	// Every request is on the bill.
	bill := billOf(t, d.out)
	if received := s.totals(t).Received; bill.Total.Attempts != received {
		t.Errorf("the bill has %d requests, the server %d", bill.Total.Attempts, received)
	}
	if len(bill.Judges) != 1 || bill.Judges[0].Key[0] != "calibration" || bill.Judges[0].Attempts < 6 {
		t.Errorf("beside the models: %+v", bill.Judges)
	}
	_, text, _ := call(t, t.Context(), "cost", d.out)
	if !strings.Contains(text, "\ncalibration ") {
		t.Errorf("cost says\n%s", text)
	}
}

func billOf(t *testing.T, dir string) *reports.Bill {
	t.Helper()
	code, out, errs := call(t, t.Context(), "cost", dir, "--json")
	var b reports.Bill
	if err := json.Unmarshal([]byte(out), &b); code != exitOK || err != nil {
		t.Fatalf("cost: %d %v\n%s", code, err, errs)
	}
	return &b
}

// spentOf is what a run cost, in dollars, what may have been billed included.
func spentOf(t *testing.T, dir string) float64 {
	b := billOf(t, dir)
	if most := b.Total.AtMostNanoUSD; most != nil {
		return float64(*most) / 1e9
	}
	return float64(b.Total.CostNanoUSD) / 1e9
}
