#!/bin/sh
# Runs the tests behind docs/durability.md and prints their figures.
#
#   runner/store/prove.sh         the form for every change, a few minutes
#   runner/store/prove.sh long    the long form
set -eu
cd "$(dirname "$0")"

points=10000
if [ "${1:-short}" = long ]; then
	export NIGHTSHIFT_LONG=1
	points=100000
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT

figures() {
	if ! go test -timeout 2h "$@" -v . >"$log" 2>&1; then
		cat "$log"
		exit 1
	fi
	grep -E '^(ok|---|Benchmark)|^    [a-z_]+_test.go' "$log"
}

NIGHTSHIFT_CRASH_POINTS=$points figures -run 'PowerLoss'
NIGHTSHIFT_LONG=1 figures -run 'EveryOperation'
figures -run 'FullDisk|NoRoom|JournalDeleted|DirectoryVanishes'
figures -run 'CutAtEveryByte|BitFlips'
figures -run 'Kill'
NIGHTSHIFT_LONG=1 figures -run 'ManyProcesses'
figures -tags nightshift_crash -run 'CrashPoints'
figures -run 'Hostile|LongAnswer' -hostile 60000
figures -run 'XXX' -bench 'Put|Intent|Encode' -benchtime 2s
figures -run 'XXX' -bench 'Commit|Resume' -benchtime 3x
