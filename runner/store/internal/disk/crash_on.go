//go:build nightshift_crash

package disk

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// crashAt and crashCount come from NIGHTSHIFT_CRASH_AT, "name" or "name:n":
// the process ends without a word when it passes the point name for the n-th
// time.
var (
	crashAt    string
	crashCount atomic.Int64
)

// CrashPoints are the names that NIGHTSHIFT_CRASH_AT knows, in the order in
// which a run passes them.
var CrashPoints = []string{
	"open.locked",
	"create.dirs-made", "create.units-written",
	"open.identified", "open.manifest-read", "open.parts-adopted", "open.batches-read", "open.journals-read",
	"open.stock-taken",
	"open.ballast-made",
	"journal.created", "intent.written", "accepted.written", "failed.written", "turn.written", "result.written",
	"draft.grown",
	"sync.before", "sync.after",
	"commit.sealed", "commit.part-written", "commit.part-synced", "commit.part-named", "commit.name-synced",
	"manifest.written", "commit.listed", "commit.old-part-moved", "commit.journal-removed",
	"batch.file-written", "batch.file-named", "batch.planned.written", "batch.planned.synced",
	"batch.uploaded.written", "batch.creating.written", "batch.creating.synced",
	"batch.created.written", "batch.created.synced", "batch.suspect.written", "batch.state.written",
	"batch.cancel.written", "batch.cancel.synced", "batch.ended.written",
	"batch.fetched.written", "batch.fetched.synced",
	"batch.collected.begin", "batch.collected.written", "batch.collected.synced",
	"batch.files-removed", "batch.closed.written",
	"close.begin", "close.settled", "close.state-written",
	"extend.locked", "extend.units-written", "extend.written",
}

func init() {
	name, n, _ := strings.Cut(os.Getenv("NIGHTSHIFT_CRASH_AT"), ":")
	crashAt = name
	count, err := strconv.ParseInt(n, 10, 64)
	if err != nil {
		count = 1
	}
	crashCount.Store(count)
}

// CrashPoint ends the process when NIGHTSHIFT_CRASH_AT names it.
func CrashPoint(name string) {
	if name != crashAt || crashCount.Add(-1) != 0 {
		return
	}
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		p.Kill()
	}
	select {} // the signal is on its way
}
