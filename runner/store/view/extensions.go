package view

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"nightshift/runner/store/internal/disk"
	"nightshift/runner/store/internal/rundir"
)

// Extensions reads how often and from what the run in dir was extended. It
// reads run.json only; there are none where that is not there.
func Extensions(dir string) ([]rundir.Extension, error) {
	b, err := disk.ReadAll(disk.OS{}, rundir.Dir(dir).At(rundir.RunFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, disk.Wrap("reading", rundir.Dir(dir).At(rundir.RunFile), err)
	}
	var doc struct {
		Extensions []rundir.Extension `json:"extensions"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, &disk.StorageError{Op: "reading", Path: rundir.Dir(dir).At(rundir.RunFile),
			Err: fmt.Errorf("damaged: %w", err), Hint: "restore it from a copy, or give another --out"}
	}
	return doc.Extensions, nil
}
