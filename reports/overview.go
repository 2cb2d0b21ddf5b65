package reports

import (
	"encoding/json"
	"os"
	"path/filepath"

	"nightshift/reports/render"
)

// SummaryFile is the file in a run directory that holds its last summary.
const SummaryFile = "summary.json"

// ReadSummary reads the summary that a run directory keeps. The error is
// fs.ErrNotExist where none was written yet.
func ReadSummary(dir string) (*Summary, error) {
	b, err := os.ReadFile(filepath.Join(dir, SummaryFile))
	if err != nil {
		return nil, err
	}
	s := new(Summary)
	return s, json.Unmarshal(b, s)
}

// BuildSummary makes the summary of a run directory from its files, without a
// comparison.
func BuildSummary(dir string) (*Summary, error) {
	s, _, err := summarize(dir, nil)
	return s, err
}

// An Overview is what the first screen of a report says.
type Overview struct {
	Headline string
	Findings []render.Finding // verdicts and gates, then answers, cost, tokens and time
	Warnings []string
	Grids    []render.Grid
}

// Overview is the summary as it is read.
func (s *Summary) Overview() Overview {
	return Overview{s.headline(), (&Page{Summary: s}).banner(), s.allWarnings(), s.grids()}
}

// Recorded is how many rows of all models the summary counts.
func (s *Summary) Recorded() int64 {
	var n int64
	for _, m := range s.Models {
		n += m.Rows
	}
	return n
}
