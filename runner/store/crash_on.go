//go:build nightshift_crash

package store

import "nightshift/runner/store/internal/disk"

// CrashPoints are the names that NIGHTSHIFT_CRASH_AT knows, in the order in
// which a run passes them.
var CrashPoints = disk.CrashPoints
