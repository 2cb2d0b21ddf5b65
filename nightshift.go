// Package nightshift holds the nouns that every part of the program speaks of:
// a [Sample] of a dataset becomes a [Request], a [Provider] answers it with a
// [Response], and what is kept of all that is a [Record], one row of the
// output files.
//
// The package imports the standard library only. Everything else imports it.
package nightshift

import "context"

// A Provider answers requests. Complete is safe for concurrent use, waits for
// rate limits and budgets, tries again where that may help, and returns when
// the request is settled or ctx has ended.
//
// When err is not nil the Response still says what was spent: attempts,
// waiting, and any usage or partial text that the server sent. The error is an
// [*Error] when one row is concerned, a [*StopError] when the whole endpoint
// (or the whole run, for [ErrBudget]) must stop.
type Provider interface {
	Complete(ctx context.Context, req Request) (Response, error)
}
