package nightshift

import (
	"context"
	"io"
	"time"
)

// A Batcher reaches the batch API of one endpoint for one model: many requests
// go there as one file, and their answers come within hours, at a lower price.
//
// Every method makes one exchange, or the few that a long list takes, and none
// tries again. Whoever calls them keeps a log of it, by which nothing is lost
// or paid for twice. Errors are a [*BatchError], or that of the context. The
// methods are safe for concurrent use.
type Batcher interface {
	// Limits say what a batch may hold and what the API can do.
	Limits() BatchLimits
	// Account says whose batches these are.
	Account() BatchAccount
	// ServerTime is the time by the server's clock, as far as its answers have
	// told it, and ours before that.
	ServerTime() time.Time

	// Encode appends the line of one request to dst, with its newline. The
	// error is an [*Error] when the request can never be sent, and wraps
	// [ErrBudget] when a budget needs a bound of its cost and there is none.
	Encode(dst []byte, id string, req Request) (line []byte, cost BatchCost, err error)
	// Upload sends an input file of size bytes. Where requests travel within
	// the create call it does nothing and returns a zero file.
	Upload(ctx context.Context, name string, r io.Reader, size int64) (BatchFile, error)
	// Create makes a batch. It sends at most once, and its error says whether
	// there may be a batch now all the same ([BatchError.Lost]).
	Create(ctx context.Context, o BatchOrder) (Batch, error)
	// Find looks for the batches that Create made of an order, among those
	// created since a time by the server's clock, oldest first. Where only time
	// and size tell batches apart they are suspects.
	Find(ctx context.Context, o BatchOrder, since time.Time) ([]Batch, error)
	// Get returns how batches stand, in any order, with as few calls as the API
	// lets. One that the server does not know has the phase [BatchGone]. What an
	// error left out is missing.
	Get(ctx context.Context, ids []string) ([]Batch, error)
	// Fetch writes one of the result files of b to w. On error part of it may be
	// written. A file that is not there (any more) is the cause [BatchFileMissing].
	Fetch(ctx context.Context, b Batch, handle string, w io.Writer) error
	// ResultID is the id in a line of a result file; empty when there is none.
	ResultID(line []byte) string
	// Read reads a line of a result file. The error says that it is none.
	Read(line []byte) (BatchResult, error)
	// Cancel asks the server to end a batch. What has run by then is paid for.
	Cancel(ctx context.Context, id string) error
	// Delete removes at the server what b names: its input file, its result
	// files, the batch itself. What is gone already is no error.
	Delete(ctx context.Context, b Batch) error
}

// BatchLimits are what a batch API lets through and what it can do. A number
// that is 0 is no limit that is known.
type BatchLimits struct {
	Rows      int   // in a batch
	Bytes     int64 // of an input file
	LineBytes int64 // of one request in it
	Tokens    int64 // of input, in all batches of the model that have not ended
	Away      int   // batches that have not ended

	Window    string        // within which answers are wanted, in the server's words
	Poll      time.Duration // shortest time between two questions how batches stand
	Retention time.Duration // how long results are kept after the end
	Cancel    bool          // a batch can be cancelled
	Inline    bool          // requests travel within the create call: there is no input file that a lost batch is found by
}

// A BatchAccount is where batches are made, and by whom.
type BatchAccount struct {
	BaseURL string
	Key     string // fingerprint of the key, not the key
	Route   string // name of the route, where a model has several
}

// BatchCost is the most that one request of a batch can use and cost.
type BatchCost struct {
	Input, Output int64   // tokens
	Cost          NanoUSD // at the batch price; 0 when that is not known
	Queued        int64   // input tokens as well as they can be guessed, as limits on what may wait count them
	Hash          string  // hex SHA-256 of the request body
}

// A BatchFile is an input file at the server.
type BatchFile struct {
	ID        string
	ExpiresAt time.Time // zero when not said
}

// A BatchOrder is what Create makes a batch of.
type BatchOrder struct {
	Name     string // of the input file, and of the batch where it has a name
	File     BatchFile
	Path     string // of the input file on this machine
	Rows     int
	Bytes    int64
	Window   string            // empty is that of the limits
	Metadata map[string]string // where the API takes it
}

// A BatchPhase says in our words how a batch stands.
type BatchPhase string

const (
	BatchWaiting    BatchPhase = "waiting"    // is checked, or waits for its turn
	BatchRunning    BatchPhase = "running"    //
	BatchCancelling BatchPhase = "cancelling" // has been asked to end
	BatchStrange    BatchPhase = "strange"    // a word that we do not know
	BatchCompleted  BatchPhase = "completed"  // every request was tried
	BatchExpired    BatchPhase = "expired"    // the time was up
	BatchCancelled  BatchPhase = "cancelled"  // ended because somebody asked for it
	BatchFailed     BatchPhase = "failed"     // none of its requests has run: Failure says why
	BatchGone       BatchPhase = "gone"       // the server does not know it (any more)
)

// Ended reports whether the batch will not change any more.
func (p BatchPhase) Ended() bool {
	switch p {
	case BatchCompleted, BatchExpired, BatchCancelled, BatchFailed, BatchGone:
		return true
	}
	return false
}

// A Batch is a batch as its server describes it.
type Batch struct {
	ID    string
	Phase BatchPhase
	State string // the server's own word

	CreatedAt time.Time // by the server's clock; these are zero when not said
	ExpiresAt time.Time
	EndedAt   time.Time

	Counts  BatchCounts
	Usage   Usage       // of all its requests, where the server says it
	FileID  string      // input file
	Results []string    // handles of the result files that are there, that of the answers first
	Failure *BatchError // why a batch failed; nil otherwise

	// Suspect says that it may be the batch that was looked for: only its age
	// and its size fit.
	Suspect bool
	// RetryAfter is how long the server asks to wait before it is asked again.
	RetryAfter time.Duration
	// Run and Name are our marks, where the server keeps them.
	Run, Name string
}

// BatchCounts are a server's counts of requests; they are often late and
// sometimes wrong.
type BatchCounts struct {
	Total     Count `json:"total,omitzero"`
	Completed Count `json:"completed,omitzero"`
	Failed    Count `json:"failed,omitzero"` // not run ones included
}

// A BatchResult is a line of a result file.
type BatchResult struct {
	ID string
	// Response is the answer, or what came instead of one. It has one attempt,
	// with status, class, usage and cost at the batch price.
	Response Response
	// Err is why there is no answer; nil when there is one. A request that has
	// not run has class [ClassBatchExpired] or [ClassCancelled].
	Err  *Error
	Next BatchNext
}

// BatchNext says what is to follow an error.
type BatchNext int

const (
	BatchFinal BatchNext = iota // nothing: it would end the same way again
	BatchAgain                  // another try
	BatchStop                   // nothing more may be sent: a person has to act (key, credit, model)
)

// A BatchCause is why a batch was refused or failed, where that decides what is
// to be done.
type BatchCause string

const (
	BatchBadRow      BatchCause = "bad_row"      // the line Line of the input file; the others have not run either
	BatchQueueFull   BatchCause = "queue_full"   // too much waits already, for now
	BatchFileMissing BatchCause = "file_missing" // the file is not there, or not yet
)

// A BatchError is why a call of a [Batcher] came to nothing, or why a batch
// failed. Without a cause, Next says what is to follow.
type BatchError struct {
	Err        *Error
	Next       BatchNext
	Cause      BatchCause    // empty when it is another
	Line       int           // 1-based; 0 when none is named
	Limit      int64         // tokens that may wait at once, where the server named it
	RetryAfter time.Duration // 0 when not said
	// Lost is true of a create call whose end is not known: there may be a
	// batch.
	Lost bool
}

func (e *BatchError) Error() string { return e.Err.Error() }

func (e *BatchError) Unwrap() error { return e.Err }
