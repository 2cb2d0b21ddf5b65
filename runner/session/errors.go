package session

import (
	"context"
	"errors"
	"fmt"

	"nightshift"
	"nightshift/datasets"
	"nightshift/runner/plan"
	"nightshift/runner/store"
	"nightshift/runner/store/bucket"
)

// A Reason is why something ended otherwise than well.
type Reason int

const (
	Internal    Reason = iota // a fault of the program
	Usage                     // plan, dataset or arguments are wrong; nothing was sent
	FailedRows                // finished, but more rows failed than tolerated
	Stopped                   // stopped early, can be resumed
	GateMissed                // finished, but a gate was missed
	Storage                   // storage failed
	Mismatch                  // the run directory belongs to another plan or dataset
	Running                   // the run is under way in another process
	Interrupted               // interrupted, can be resumed
	Submitted                 // batches are at the provider; the same command collects them
)

// An Error is an error with its reason.
type Error struct {
	Reason Reason
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Usagef is an error in what the caller asks for.
func Usagef(format string, args ...any) error { return &Error{Usage, fmt.Errorf(format, args...)} }

// ErrInterrupted is the cause for which [Options.Sending] ends when a person
// interrupts the run.
var ErrInterrupted = errors.New("interrupted")

// ReasonOf is the reason of an error of this program that is not nil.
func ReasonOf(err error) Reason {
	var (
		known    *Error
		problems *datasets.Problems
		mistakes *plan.Errors
		changed  *datasets.ChangedError
		mismatch *store.MismatchError
		locked   *store.LockedError
		storage  *store.StorageError
		used     *bucket.InUseError
		taken    *bucket.TakenOverError
		away     *bucket.AwayError
		stop     *nightshift.StopError
	)
	switch {
	case errors.As(err, &known):
		return known.Reason
	case errors.As(err, &problems), errors.As(err, &mistakes):
		return Usage
	case errors.As(err, &changed), errors.As(err, &mismatch):
		return Mismatch
	case errors.As(err, &locked), errors.As(err, &used), errors.As(err, &taken):
		return Running
	case errors.As(err, &storage), errors.As(err, &away):
		return Storage
	case errors.Is(err, nightshift.ErrBudget), errors.As(err, &stop):
		return Stopped
	case errors.Is(err, context.Canceled):
		return Interrupted
	}
	return Internal
}
