package main

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nightshift/runner/plan"
)

// TestReportErrorsAreTold: a report that cannot be made or written is told of
// however the run ended, beside the reason for its end.
func TestReportErrorsAreTold(t *testing.T) {
	s := func(dir string) *session {
		return &session{
			app: &app{out: io.Discard, err: io.Discard}, job: &job{plan: &plan.Resolved{Out: dir}}, log: slog.New(slog.DiscardHandler),
		}
	}
	interrupted := errors.New("interrupted with 3 of 9 answers on record")
	end := endState{"interrupted", exitInterrupted, interrupted}
	s(filepath.Join(t.TempDir(), "none")).report(nil, &end)
	if end.code != exitInterrupted || !errors.Is(end.err, interrupted) || !strings.Contains(end.err.Error(), "report cannot be made") {
		t.Errorf("no run directory: code %d, %v", end.code, end.err)
	}

	// A directory stands where report.md is to be.
	_, out := slowPlan(t)
	code, _, errs := call(t, t.Context(), "run", filepath.Join(filepath.Dir(out), "slow.yaml"), "-q", "--budget-tokens", "400")
	if code != exitStopped {
		t.Fatalf("the run ended with %d\n%s", code, errs)
	}
	if err := errors.Join(os.Remove(filepath.Join(out, "report.md")), os.Mkdir(filepath.Join(out, "report.md"), 0o700)); err != nil {
		t.Fatal(err)
	}
	end = endState{"interrupted", exitInterrupted, interrupted}
	s(out).report(nil, &end)
	if end.code != exitStorage || !errors.Is(end.err, interrupted) || !strings.Contains(end.err.Error(), "report.md") {
		t.Errorf("report.md in the way: code %d, %v", end.code, end.err)
	}
}
