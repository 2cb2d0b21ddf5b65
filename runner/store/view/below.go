package view

import (
	"io/fs"
	"path/filepath"
	"strings"
)

// mostDepth and mostFolders bound the search for runs below a folder.
const (
	mostDepth   = 5
	mostFolders = 20_000
)

// RunsBelow are the run directories at and below a path. Runs inside of runs,
// those of judges, are not among them, and links are not followed.
func RunsBelow(path string) (dirs []string) {
	seen := 0
	_ = filepath.WalkDir(path, func(at string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // a folder that cannot be read holds no run for us
		}
		rel, _ := filepath.Rel(path, at)
		if seen++; seen > mostFolders {
			return fs.SkipAll
		}
		if _, err := ReadInfo(at); err == nil {
			dirs = append(dirs, at)
			return fs.SkipDir
		}
		if name := d.Name(); rel != "." && (strings.HasPrefix(name, ".") || name == "node_modules") ||
			strings.Count(rel, string(filepath.Separator)) >= mostDepth-1 {
			return fs.SkipDir
		}
		return nil
	})
	return dirs
}
