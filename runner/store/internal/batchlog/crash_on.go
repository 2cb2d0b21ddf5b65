//go:build nightshift_crash

package batchlog

// kinds are all kinds that are about a batch.
var kinds = []string{kindPlanned, kindUploaded, kindCreating, kindCreated, kindSuspect, kindState, kindCancel,
	kindEnded, kindFetched, kindCollected, kindClosed}

// CrashPoints are the names of the points that writing the log passes.
func CrashPoints() (names []string) {
	for _, kind := range kinds {
		names = append(names, "batch."+kind+".written")
		if synced(kind) {
			names = append(names, "batch."+kind+".synced")
		}
	}
	return names
}
