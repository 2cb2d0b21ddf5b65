package bucket

import (
	"path"
	"strings"
)

// What a path in a run is, for shipping.

// shipped reports whether a file of the run goes into the bucket. What belongs
// to a machine does not: locks, temporary files, what was set aside, a worker's
// spool; nor do the keys of a hub and its workers.
func shipped(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	switch first {
	case "join", "worker", setAsideDir:
		return false
	}
	for _, part := range strings.Split(name, "/") {
		switch {
		case part == "tmp", part == "quarantine", part == "lock", part == "ballast", strings.HasSuffix(part, ".tmp"),
			strings.HasPrefix(part, "."), part == noteFile, part == lockFile:
			return false
		}
	}
	return true
}

// grows reports whether a file is only ever added to: journals and logs.
func grows(name string) bool {
	if path.Base(path.Dir(name)) == "journal" {
		return true
	}
	return isLog(path.Base(name))
}

// isLog reports whether a name is that of a file in which a run notes steps.
func isLog(base string) bool {
	return base == "manifest.jsonl" || base == "batches.jsonl" || base == "late.jsonl"
}

// isResult reports whether a file is a finished Parquet file of answers.
func isResult(name string) bool {
	return path.Base(path.Dir(name)) == resultDir && strings.HasSuffix(name, ".parquet")
}
