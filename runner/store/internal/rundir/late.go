package rundir

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"

	"nightshift"
	"nightshift/runner/store/internal/disk"
)

// lateFile lists attempts that records have as unknown, and what late answers
// said of them: the rows had been sent again by then.
const lateFile = "late.jsonl"

// A Late is a line of it. The first of an attempt has it as it is in the record,
// as unknown; the second, with Settled, as it turned out to be.
type Late struct {
	Model   string             `json:"model"`
	Settled bool               `json:"settled,omitempty"`
	Attempt nightshift.Attempt `json:"attempt"` // Job is its id
}

// ReadLate reads the attempts that were recorded as unknown, in the order in
// which that was noted, and what they turned out to be; settled is nil for those
// that nobody knows of. A line that was not finished is none.
func ReadLate(fsys disk.FS, dir Dir) (open []Late, settled map[string]nightshift.Attempt, err error) {
	name := dir.At(lateFile)
	f, err := fsys.Open(name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, disk.Wrap("reading", name, err)
	}
	defer f.Close()
	all, err := io.ReadAll(f)
	if err != nil {
		return nil, nil, disk.Wrap("reading", name, err)
	}
	settled = map[string]nightshift.Attempt{}
	seen := map[string]bool{}
	for line := range bytes.Lines(all) {
		var l Late
		if json.Unmarshal(line, &l) != nil || l.Attempt.Job == "" {
			continue
		}
		if id := l.Attempt.Job; l.Settled {
			settled[id] = l.Attempt
		} else if !seen[id] {
			seen[id] = true
			open = append(open, l)
		}
	}
	return open, settled, nil
}

// AppendLate adds a line, durably. One that was not finished before is ended.
func AppendLate(fsys disk.FS, dir Dir, l Late) error {
	line, err := json.Marshal(l)
	if err != nil {
		return err
	}
	name := dir.At(lateFile)
	f, err := fsys.Open(name, os.O_RDWR|os.O_CREATE|os.O_APPEND)
	if err != nil {
		return disk.Wrap("writing", name, err)
	}
	_, err = f.Write(append(append([]byte{'\n'}, line...), '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = fsys.SyncDir(dir.At(""))
	}
	return disk.Wrap("writing", name, err)
}
