package store

import (
	"fmt"
	"strings"
	"time"
)

// A LockedError says that another process works on the run directory. Nothing
// was changed. The program ends with exit code 75.
type LockedError struct {
	Dir   string
	PID   int       // 0 when unknown
	Host  string    // may be empty
	Since time.Time // zero when unknown
}

func (e *LockedError) Error() string {
	s := e.Dir + " is in use"
	if e.PID != 0 {
		s += fmt.Sprintf(" by process %d", e.PID)
	}
	if e.Host != "" {
		s += " on " + e.Host
	}
	if !e.Since.IsZero() {
		s += " since " + e.Since.Local().Format(time.DateTime)
	}
	return s + "; nothing was sent"
}

// A MismatchError says that the run directory belongs to another plan or
// dataset. Nothing was changed. The program ends with exit code 7.
type MismatchError struct {
	Dir         string
	Differences []string // each "what: there → here"
	// OnlyEndpoint is true when nothing differs but where models are reached.
	OnlyEndpoint bool
}

func (e *MismatchError) Error() string {
	remedy := "go on with the plan and dataset it was made from, or give another --out; `nightshift compare A B` " +
		"compares two runs"
	if e.OnlyEndpoint {
		remedy = "if the same models are now served there, add --moved-endpoint; otherwise " + remedy
	}
	return fmt.Sprintf("%s belongs to another run; what differs:\n  %s\n%s",
		e.Dir, strings.Join(e.Differences, "\n  "), remedy)
}
