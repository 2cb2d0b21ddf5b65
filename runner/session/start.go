package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// startFile holds a [Start].
const startFile = "start.json"

// A Start says how a run was started last, so that its plan is found again from
// the run directory. It holds no keys.
type Start struct {
	Plan     string              `json:"plan,omitempty"`    // path of the plan file
	Options  map[string][]string `json:"options,omitempty"` // of flags and the environment, by flag
	RowsFrom string              `json:"rows_from,omitempty"`
	Rows     string              `json:"rows,omitempty"`
}

// keepStart notes how the run was started.
func (s *Session) keepStart() error {
	if s.Start == nil {
		return nil
	}
	return writeFile(filepath.Join(s.Plan.Out, startFile), func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(s.Start)
	})
}

// ReadStart reads how a run was started. ok is false where it does not say it, as
// runs of other programs and of older versions do not.
func ReadStart(dir string) (s Start, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, startFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Start{}, false, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return Start{}, false, fmt.Errorf("how the run was started: %w", err)
	}
	return s, true, nil
}
