// Package batchlog is the log of the batches of a run: rows that travel
// together to a provider that answers them hours later. Each line is one step of
// one batch, checksummed like those of the journal. The log is only appended
// to, and is the only place that knows under which ids the provider can be
// asked for answers that are being paid for.
package batchlog

import (
	"time"

	"nightshift"
)

// Kinds of lines, in the order in which a batch passes them.
const (
	kindHead      = "batches"   // first line: whose log this is
	kindTorn      = "torn"      // the bytes before it were being written when a process ended
	kindPlanned   = "planned"   // the input file is written
	kindUploaded  = "uploaded"  // the provider has the file
	kindCreating  = "creating"  // the batch is about to be created: the intent of all its rows
	kindCreated   = "created"   // the provider has said under which id
	kindSuspect   = "suspect"   // batches of the provider that may be this one
	kindState     = "state"     // what the provider says of it has changed
	kindCancel    = "cancel"    // it is about to be cancelled
	kindEnded     = "ended"     // it has ended at the provider
	kindFetched   = "fetched"   // its results are on the disk
	kindCollected = "collected" // the journal has them
	kindClosed    = "closed"    // nothing is left to do
)

// synced reports whether a line of this kind is durable before what it tells of
// goes on. The others reach the disk with the next one that is.
func synced(kind string) bool {
	switch kind {
	case kindUploaded, kindSuspect, kindState, kindEnded, kindClosed:
		return false
	}
	return true
}

// head is the first line of the log.
type head struct {
	K     string `json:"k"`
	RunID string `json:"run_id"`
}

// torn is a line that follows bytes that are none: how many, from where.
type torn struct {
	K     string `json:"k"`
	Off   int64  `json:"off"`
	Bytes int64  `json:"bytes"`
}

// A line is a step of a batch.
type line struct {
	K     string    `json:"k"`
	Batch int       `json:"batch"`
	At    time.Time `json:"at"`

	Plan     *plan       `json:"plan,omitempty"`   // planned; creating has it again, so that no single damage loses it
	File     *file       `json:"file,omitempty"`   // uploaded
	Create   *create     `json:"create,omitempty"` // creating
	Remote   *remote     `json:"remote,omitempty"` // created, state, ended
	Adopted  bool        `json:"adopted,omitempty"`
	Suspects []string    `json:"suspects,omitempty"`
	ID       string      `json:"id,omitempty"`      // cancel: which of the provider's batches
	By       string      `json:"by,omitempty"`      // cancel: who asked
	Results  []LocalFile `json:"results,omitempty"` // fetched
	Sums     *Sums       `json:"sums,omitempty"`    // collected
	Left     string      `json:"left,omitempty"`    // closed: what became of it
}

// A plan is a batch as it was cut: which rows, where they go, what they can
// cost. Its rows are of one shard and one generation of that.
type plan struct {
	Model string `json:"model"`
	Shard int    `json:"unit"`
	Gen   int    `json:"generation"`
	// Round is 1 on the first trip of rows, and one more each time some go again.
	Round int `json:"round"`
	// Name is that of the input file, and of the batch where it has one.
	Name    string  `json:"name"`
	Account account `json:"account"`

	Items  Items  `json:"items"`
	Rows   int64  `json:"rows"`  // items, that is
	Bytes  int64  `json:"bytes"` // of the input file
	SHA256 string `json:"sha256"`

	// What all rows can take at most, at the price of batches, and how many
	// tokens go in, as limits on what may wait count them.
	WorstTokens int64              `json:"worst_tokens"`
	WorstCost   nightshift.NanoUSD `json:"worst_cost_nano_usd"`
	InputTokens int64              `json:"input_tokens,omitempty"`
	// Retention is how many seconds after the end of a batch its results are
	// deleted by the provider; 0 when that is not known.
	Retention int64 `json:"results_kept_s,omitempty"`
}

// account is a [nightshift.BatchAccount] as the log has it.
type account struct {
	BaseURL string `json:"base_url,omitempty"`
	Key     string `json:"key,omitempty"` // fingerprint of the key, never the key
	Route   string `json:"route,omitempty"`
}

// file is a [nightshift.BatchFile] as the log has it.
type file struct {
	ID        string    `json:"id"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// create is what is known when a batch is about to be created.
type create struct {
	Server time.Time `json:"server_time"`    // by the clock of the server
	Host   string    `json:"host,omitempty"` // a hash of where the run directory lies
}

// remote is a [nightshift.Batch] as the log has it.
type remote struct {
	ID        string                 `json:"id"`
	Phase     nightshift.BatchPhase  `json:"phase,omitempty"`
	State     string                 `json:"state,omitempty"`
	CreatedAt time.Time              `json:"created_at,omitzero"`
	ExpiresAt time.Time              `json:"expires_at,omitzero"`
	EndedAt   time.Time              `json:"ended_at,omitzero"`
	Counts    nightshift.BatchCounts `json:"counts,omitzero"`
	Usage     nightshift.Usage       `json:"usage,omitzero"`
	FileID    string                 `json:"file,omitempty"`
	Results   []string               `json:"results,omitempty"`
	Failure   *failure               `json:"failure,omitempty"`
}

// failure is a [nightshift.BatchError] as the log has it.
type failure struct {
	Class   nightshift.ErrorClass `json:"class,omitempty"`
	Status  int                   `json:"status,omitempty"`
	Code    string                `json:"code,omitempty"`
	Message string                `json:"message,omitempty"`
	Next    nightshift.BatchNext  `json:"next,omitempty"`
	Cause   nightshift.BatchCause `json:"cause,omitempty"`
	Line    int                   `json:"line,omitempty"`
	Limit   int64                 `json:"limit,omitempty"`
}

// A LocalFile is a file with results, on this disk.
type LocalFile struct {
	Name   string `json:"name"`             // in the folder of batches
	ID     string `json:"id,omitempty"`     // of the provider's batch
	Handle string `json:"handle,omitempty"` // of the file, there
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Lines  int64  `json:"lines"`
	Cut    bool   `json:"cut,omitempty"` // it could not be had whole
}

// Sums are what collecting a batch came to.
type Sums struct {
	Answers int64 `json:"answers"`           // rows with an answer
	Failed  int64 `json:"failed,omitempty"`  // rows that failed for good
	Again   int64 `json:"again,omitempty"`   // rows that go again, live or in another batch
	Expired int64 `json:"expired,omitempty"` // rows that the provider did not run in time
	Missing int64 `json:"missing,omitempty"` // rows that are in no file
	Foreign int64 `json:"foreign,omitempty"` // lines that are not of this batch
	Extras  int64 `json:"extras,omitempty"`  // answers beyond the first of a row: paid for, and in no record

	Cost        nightshift.NanoUSD `json:"cost_nano_usd"` // of all rows, as far as it is known
	CostUnknown int64              `json:"cost_unknown,omitempty"`
	ExtraInput  int64              `json:"extra_input_tokens,omitempty"` // of the extras
	ExtraOutput int64              `json:"extra_output_tokens,omitempty"`
	ExtraCost   nightshift.NanoUSD `json:"extra_cost_nano_usd,omitempty"`

	// Note says where counts or usage of the provider differ from the rows.
	Note string `json:"note,omitempty"`
}
