package datasets

import (
	"fmt"

	"nightshift/datasets/internal/problem"
)

// A Problem is one reason why a dataset cannot be used as it is.
type Problem = problem.Problem

// Problems is everything that Open found wrong, in the order of the files.
type Problems = problem.Problems

// A Place is where in a file a template is written.
type Place = problem.Place

// A RowError says why a row cannot be sent. It is data: the run goes on.
type RowError struct {
	Index int64  // 0-based row of the dataset
	File  string // as the user named it
	Line  int64  // 1-based line, or record number where there are no lines
	What  string // what is wrong
	Hint  string // what to try; may be empty

	why problem.Reason
}

func (e *RowError) Error() string {
	s := fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// A ChangedError says that the data is not what was indexed. Nothing of the
// chunk in question has been yielded, unless the change happened in the middle
// of reading it.
type ChangedError struct {
	File     string
	What     string
	Chunk    int  // -1 when not at one chunk
	Appended bool // the file only grew, as far as its size says
}

func (e *ChangedError) Error() string {
	s := e.File + ": " + e.What
	if e.Appended {
		s += " (extend the run, or start a new one)"
	} else {
		s += " (start a new run with another --out, or put the old file back)"
	}
	return s
}
