package providers

import "nightshift"

// A Policy is what follows from an error: the one place that says so for
// every class.
type Policy struct {
	// Retry: the same request may succeed later.
	Retry bool
	// Counts: a try that ended so uses up one of the row's attempts. A rate
	// limit does not, and what feeds the breaker does only while it is closed.
	Counts bool
	// Pauses: it concerns everybody who shares the key; all of them wait.
	Pauses bool
	// StopsEndpoint: nobody may ask this endpoint any more. With Retry, after
	// MaxTries.
	StopsEndpoint bool
	// StopsModel: nobody may ask this endpoint for this model any more. With
	// Retry, after MaxTries.
	StopsModel bool
	// MaybeBilled: the attempt may have been charged for without an answer.
	MaybeBilled bool
	// FeedsBreaker: it speaks for the health of the endpoint.
	FeedsBreaker bool
	// Patient: nobody else is concerned and it may take hours. The row waits by
	// itself, longer each time, for as long as an endpoint may be silent.
	Patient bool
	// MaxTries is the most attempts of a row that may end so; 0 leaves it to
	// the row's own limit.
	MaxTries int
}

var (
	failRow      = Policy{}
	stopEndpoint = Policy{StopsEndpoint: true}
	tryAgain     = Policy{Retry: true, Counts: true}
	tryUnhealthy = Policy{Retry: true, Counts: true, FeedsBreaker: true}
)

// policies is the table. What is not in it fails the row.
var policies = map[nightshift.ErrorClass]Policy{
	nightshift.ClassRateLimit:  {Retry: true, Pauses: true},
	nightshift.ClassNoCapacity: {Retry: true, Patient: true},

	nightshift.ClassQuota:      stopEndpoint,
	nightshift.ClassAuth:       stopEndpoint,
	nightshift.ClassPermission: stopEndpoint,
	nightshift.ClassTLS:        stopEndpoint,
	nightshift.ClassRedirect:   stopEndpoint,
	nightshift.ClassNotFound:   {StopsModel: true},
	nightshift.ClassNoLogprobs: {StopsModel: true},
	nightshift.ClassNotAnAPI:   {Retry: true, Counts: true, StopsEndpoint: true, MaxTries: 3},

	nightshift.ClassExceedsLimit:   failRow,
	nightshift.ClassInvalidRequest: failRow,
	nightshift.ClassTooLarge:       failRow,
	nightshift.ClassContextLength:  failRow,
	nightshift.ClassContentPolicy:  failRow,
	nightshift.ClassUntranslatable: failRow,
	nightshift.ClassInput:          failRow,
	nightshift.ClassPanic:          failRow,
	nightshift.ClassCancelled:      failRow,
	nightshift.ClassBatchExpired:   {Retry: true}, // it has not run

	nightshift.ClassConflict:         tryAgain,
	nightshift.ClassOverloaded:       tryUnhealthy,
	nightshift.ClassServer:           tryUnhealthy,
	nightshift.ClassConnection:       tryUnhealthy,
	nightshift.ClassTimeoutConnect:   tryUnhealthy,
	nightshift.ClassTimeoutFirstByte: tryUnhealthy,
	nightshift.ClassTimeoutIdle:      tryUnhealthy,
	nightshift.ClassTimeoutTotal:     tryAgain, // a long answer, not a sick server
	nightshift.ClassCut:              tryUnhealthy,
	nightshift.ClassEmptyResponse:    tryUnhealthy,
	nightshift.ClassBadResponse:      {Retry: true, Counts: true, MaxTries: 2},
	nightshift.ClassTooLong:          {Retry: true, Counts: true, MaxTries: 2},

	// A worker was lost with the request: that says nothing of row or endpoint,
	// unless it happens to one row again and again.
	nightshift.ClassUnknownOutcome: {Retry: true, MaxTries: 4},
}

// PolicyOf says what follows from an error. A nil error asks for nothing.
func PolicyOf(e *nightshift.Error) Policy {
	if e == nil {
		return Policy{}
	}
	p := policies[e.Class]
	switch {
	case e.Class == nightshift.ClassNotFound && e.Status == 503:
		// A gateway without a channel for the model: a typo, or a moment.
		p = Policy{Retry: true, Counts: true, StopsModel: true, MaxTries: 2}
	case e.Class == nightshift.ClassBadResponse && (e.Code == CodeTooDeep || e.Code == CodeMisaligned):
		p = failRow
	}
	if e.OfModel && p.StopsEndpoint {
		p.StopsEndpoint, p.StopsModel = false, true
	}
	p.MaybeBilled = e.MaybeBilled
	return p
}

// CodeMisaligned is the Code of a bad_response whose tokens are not those of the
// text to be scored: that row will not fare better when it is sent again.
const CodeMisaligned = "misaligned"
