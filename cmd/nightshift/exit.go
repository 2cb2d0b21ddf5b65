package main

import (
	"context"
	"errors"
	"fmt"

	"nightshift"
	"nightshift/datasets"
	"nightshift/runner/plan"
	"nightshift/runner/store"
)

// Exit codes, part of the contract with scripts.
const (
	exitOK          = 0
	exitInternal    = 1
	exitUsage       = 2   // usage, plan or dataset invalid; nothing was sent
	exitFailedRows  = 3   // finished, but more rows failed than tolerated
	exitStopped     = 4   // stopped early, resumable
	exitGate        = 5   // a gate was missed
	exitStorage     = 6   // storage failed
	exitMismatch    = 7   // the run directory belongs to another plan or dataset
	exitRunning     = 75  // the run is already running
	exitInterrupted = 130 // interrupted, resumable
)

// An exitError ends the command with a code. Its message may be empty when
// everything has been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitCode is the one place that turns an error into an exit code.
func exitCode(err error) int {
	var (
		exit     *exitError
		problems *datasets.Problems
		mistakes *plan.Errors
		changed  *datasets.ChangedError
		mismatch *store.MismatchError
		locked   *store.LockedError
		storage  *store.StorageError
		stop     *nightshift.StopError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &problems), errors.As(err, &mistakes):
		return exitUsage
	case errors.As(err, &changed), errors.As(err, &mismatch):
		return exitMismatch
	case errors.As(err, &locked):
		return exitRunning
	case errors.As(err, &storage):
		return exitStorage
	case errors.Is(err, nightshift.ErrBudget), errors.As(err, &stop):
		return exitStopped
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitInternal
}
