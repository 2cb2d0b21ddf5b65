package scoring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"nightshift/internal/fsx"
)

// evaluationFile lies in the run directory.
const evaluationFile = "evaluation.json"

// An Evaluation is how a run is scored and compared: the scorers whose tables
// are there, in the order of the plan, and what the plan says about comparing.
// It is kept in the run directory, so that comparing needs no plan.
type Evaluation struct {
	Plan     string      `json:"plan,omitempty"`  // absolute path of the plan; empty for a run without one
	Given    []string    `json:"given,omitempty"` // scorers as the command line gave them, in place of the plan's
	Scorers  []Described `json:"scorers"`
	Baseline string      `json:"baseline,omitempty"`
	Along    string      `json:"along,omitempty"` // what models with variants are compared along
	Alpha    float64     `json:"alpha,omitempty"`
	Average  string      `json:"average,omitempty"` // what an average over several datasets weighs them by
	Gates    []string    `json:"gates,omitempty"`
	Stop     *StopRule   `json:"stop_when,omitempty"` // when the comparison needs no more rows; nil is never
}

// ReadEvaluation returns what is known about the scoring of a run; the zero
// Evaluation when nothing is.
func ReadEvaluation(dir string) (Evaluation, error) {
	var e Evaluation
	path := filepath.Join(dir, evaluationFile)
	b, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &e)
	}
	if err != nil {
		return e, fmt.Errorf("%s: %w", path, err)
	}
	return e, nil
}

// Put adds a scorer, in the place of the one of its name.
func (e *Evaluation) Put(d Described) {
	i := slices.IndexFunc(e.Scorers, func(s Described) bool { return s.Name == d.Name })
	if i < 0 {
		e.Scorers = append(e.Scorers, d)
		return
	}
	e.Scorers[i] = d
}

// WriteFile keeps the evaluation in the run directory, whole or not at all.
func (e Evaluation) WriteFile(dir string) error {
	return writeJSON(filepath.Join(dir, evaluationFile), e)
}

func writeJSON(path string, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	return fsx.WriteFile(path, b.Bytes())
}
