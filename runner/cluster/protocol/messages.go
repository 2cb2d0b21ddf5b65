package protocol

import (
	"fmt"

	"nightshift/internal/rawjson"
	"nightshift/providers"
)

// Hello is the first word of a worker.
type Hello struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"` // of the program
	Name     string `json:"name"`
	Boot     string `json:"boot"`  // random, another for each process
	Slots    int    `json:"slots"` // requests that it sends at once
	// AllowSkew is set where another version of the program may be used.
	AllowSkew bool `json:"allow_skew,omitempty"`
}

// Welcome lets a worker in.
type Welcome struct {
	Run       string     `json:"run"`   // id of the run
	Epoch     int64      `json:"epoch"` // which start of the run's hub this is; only ever higher
	Endpoints []Endpoint `json:"endpoints"`
}

// An Endpoint is one that workers are asked to send to. There is no key in it:
// Auth says where the worker finds its own.
type Endpoint struct {
	ID       string             `json:"id"`
	Endpoint providers.Endpoint `json:"endpoint"`
}

// Endpoints adds to those of the Welcome.
type Endpoints struct {
	Endpoints []Endpoint `json:"endpoints"`
}

// Reasons of a [Refusal].
const (
	RefusedVersion = "version"
	RefusedName    = "name" // another process has that name
	RefusedHello   = "hello"
	RefusedKey     = "key" // they do not know each other
)

// A Refusal is why a worker is not let in. It does not help to try again.
type Refusal struct {
	Reason string `json:"reason"`
	Text   string `json:"text"` // for people
}

func (r *Refusal) Error() string { return r.Text }

// Ready says what a worker holds of the run and what it can send.
type Ready struct {
	// Held are the attempts of the run that it has an answer of, or is making.
	Held []string `json:"held,omitempty"`
	Offer
}

// An Offer says which endpoints a worker can send to.
type Offer struct {
	Accounts []Account `json:"accounts,omitempty"`
	Missing  []Missing `json:"missing,omitempty"`
}

// An Account is an endpoint with a key, or one that only the worker reaches.
// Workers that have the same key have the same mark.
type Account struct {
	Endpoint string `json:"endpoint"`         // its ID
	Mark     string `json:"mark,omitempty"`   // of the key; empty for none
	Private  bool   `json:"private,omitzero"` // nobody else reaches it
}

// Missing is an endpoint that a worker cannot send to.
type Missing struct {
	Endpoint string `json:"endpoint"`
	Why      string `json:"why"` // for people
}

// Alive is said every now and then. Its answer renews the worker's lease.
type Alive struct {
	N    int64 `json:"n"`
	Held int   `json:"held"` // answers that are not kept by the hub yet
}

// Do gives a worker an attempt. The body is a blob.
type Do struct {
	ID       string   `json:"id"`
	Endpoint string   `json:"endpoint"`
	Prepared Prepared `json:"prepared"`
}

// NotSent says that an attempt was certainly not begun.
type NotSent struct {
	ID  string `json:"id"`
	Why string `json:"why"`
}

// IDs name attempts: that the hub has on record (kept), or gives up (cancel), or
// whose answers have begun to come (begun).
type IDs struct {
	IDs []string `json:"ids"`
}

// End says that the run's hub ends.
type End struct {
	// Complete is true when everything is on record: what is held is of no more
	// use.
	Complete bool `json:"complete"`
}

// Pack makes a frame of a message.
func Pack(kind Kind, head any, blobs ...[]byte) (Frame, error) {
	b, err := rawjson.Marshal(head)
	return Frame{Kind: kind, Head: b, Blobs: blobs}, err
}

// Unpack reads the head of a frame.
func Unpack[T any](f Frame) (head T, err error) {
	if len(f.Head) == 0 {
		return head, nil
	}
	if err := rawjson.Unmarshal(f.Head, &head); err != nil {
		return head, fmt.Errorf("a message of kind %d: %w", f.Kind, err)
	}
	return head, nil
}
