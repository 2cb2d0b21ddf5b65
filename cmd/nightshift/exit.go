package main

import "nightshift/runner/session"

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
	exitSubmitted   = 8   // batches are submitted; the same command collects them
	exitRunning     = 75  // the run is already running
	exitInterrupted = 130 // interrupted, resumable
)

var exitCodes = map[session.Reason]int{
	session.Internal: exitInternal, session.Usage: exitUsage, session.FailedRows: exitFailedRows,
	session.Stopped:    exitStopped,
	session.GateMissed: exitGate, session.Storage: exitStorage, session.Mismatch: exitMismatch,
	session.Submitted: exitSubmitted, session.Running: exitRunning,
	session.Interrupted: exitInterrupted,
}

// exitCode is the one place that turns an error into an exit code.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	return exitCodes[session.ReasonOf(err)]
}

func usageError(format string, args ...any) error { return session.Usagef(format, args...) }
