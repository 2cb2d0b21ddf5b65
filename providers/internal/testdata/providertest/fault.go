// Package providertest holds what every wire must pass: a suite of good
// answers in all formats, streamed and not, and a catalogue of faulty servers
// with the outcome that each must have.
package providertest

import (
	"crypto/x509"
	"net"
	"testing"
	"time"

	"nightshift"
	"nightshift/providers"
)

// An Outcome is what must become of one attempt.
type Outcome string

const (
	OK        Outcome = "ok"         // an answer is on record
	Wait      Outcome = "wait"       // everybody pauses, the row is not charged
	Retry     Outcome = "retry"      // again, counted, certainly unpaid
	Unknown   Outcome = "unknown"    // again, counted, perhaps paid
	Fail      Outcome = "fail"       // the row has failed
	Stop      Outcome = "stop"       // the endpoint is not asked any more
	StopModel Outcome = "stop model" // the model is not asked any more
	Break     Outcome = "break"      // again, and it speaks for the endpoint's health; certainly unpaid
	RetryStop Outcome = "retry stop" // again a few times, then the endpoint is not asked any more
	Cancelled Outcome = "cancelled"  // ended from this side
)

// A Want says what an attempt must bring back.
type Want struct {
	Outcome Outcome
	Class   nightshift.ErrorClass // "" for OK
	// MaybeBilled is checked on every error. Unknown implies it.
	MaybeBilled bool
	// Text is the answer's text, or the part of it that must be kept; nil is
	// not checked.
	Text func(Case) *string
	// Flags must all be there.
	Flags []string
	// RetryAfter is what the headers asked for; negative for silence. It is
	// checked when CheckRetryAfter is set, give or take a second for dates.
	RetryAfter      time.Duration
	CheckRetryAfter bool
	// Requests is how many whole requests the server must have read; 0 means 1,
	// negative none.
	Requests int
	// Also checks what is particular to the fault.
	Also func(tb testing.TB, c Case, x providers.Exchange)
}

// A Fault is one faulty server of the catalogue.
type Fault struct {
	Number int // row of the catalogue
	Name   string
	// Respond answers one request. nil when Listen is set.
	Respond func(x *Exchange)
	// Listen makes a server that is broken below HTTP.
	Listen func(tb testing.TB, c Case) *Server
	Want   Want
	// Applies says for which cases the fault makes sense; nil for all.
	Applies func(Case) bool
	// Differs returns another Want for some cases; nil for none.
	Differs func(Case, Want) Want
	// Timeouts are short where the fault is one of time.
	Timeouts providers.Timeouts
	// Cancel ends the attempt's context after that long; 0 never.
	Cancel time.Duration
	// Trust is set when the server has a certificate that is to be trusted.
	Trust bool
	// Dial is set where the fault lies in the dialling.
	Dial func(network, addr string) (net.Conn, error)
	// MaxBody and MaxLine are lower caps than the wire's own, for speed.
	MaxBody int64
	MaxLine int
	// Client marks rows whose outcome lies in the client's loop as well: a
	// single attempt shows only a part of it.
	Client bool
}

// A Setup is what a wire is made of.
type Setup struct {
	Endpoint providers.Endpoint
	Key      string
	Roots    *x509.CertPool // nil for the system's
	Dial     func(network, addr string) (net.Conn, error)
	MaxBody  int64 // 0 for the wire's own cap
	MaxLine  int
}

// Make makes the wire under test.
type Make func(tb testing.TB, s Setup) providers.Wire

// Canary is the key of every fault test. It must not be found in anything
// that comes back.
const Canary = "sk-canary-7f3a9c51+e08b/42d6"

// Generous are the timeouts of faults that are not about time.
var Generous = providers.Timeouts{Connect: 20 * time.Second, FirstByte: 20 * time.Second, Idle: 20 * time.Second,
	Total: 40 * time.Second}

// Start starts the fault's server for a case.
func (f Fault) Start(tb testing.TB, c Case) *Server {
	tb.Helper()
	if f.Listen != nil {
		return f.Listen(tb, c)
	}
	return serve(tb, listen(tb), "http", talk(c, f.Respond))
}

// Setup is how a wire reaches the fault's server.
func (f Fault) Setup(c Case, s *Server) Setup {
	t := f.Timeouts
	fill := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	fill(&t.Connect, Generous.Connect)
	fill(&t.FirstByte, Generous.FirstByte)
	fill(&t.Idle, Generous.Idle)
	fill(&t.Total, Generous.Total)
	setup := Setup{
		Endpoint: providers.Endpoint{Name: "faulty", Protocol: c.Protocol(), BaseURL: s.URL, Auth: c.auth(),
			IncludeUsage: true, Timeouts: t},
		Key:     Canary,
		Dial:    f.Dial,
		MaxBody: f.MaxBody,
		MaxLine: f.MaxLine,
	}
	if f.Trust {
		setup.Roots = testRoots()
	}
	return setup
}

// wanted is the Want for a case.
func (f Fault) wanted(c Case) Want {
	w := f.Want
	if f.Differs != nil {
		w = f.Differs(c, w)
	}
	if w.Outcome == Unknown {
		w.MaybeBilled = true
	}
	return w
}

// Faults is the catalogue: every row of it, most in several variants.
func Faults() []Fault {
	var all []Fault
	for _, part := range [][]Fault{refusals(), statuses(), bodies(), contents(), protocols(), connections(), streams(),
		rest()} {
		all = append(all, part...)
	}
	return all
}

func streamed(c Case) bool { return c.Stream }

// fullText and headText are what is kept of the answer.
func fullText(Case) *string { s := Text; return &s }

func headText(c Case) *string {
	if !c.Stream {
		return nil
	}
	s := head
	return &s
}
