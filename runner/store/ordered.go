package store

import (
	"errors"
	"io"
	"slices"

	"nightshift"
)

// Records lie in a journal in the order in which answers came. To take them
// out in the order of the items with one read each would be a system call for
// every record: they are fetched many at a time, neighbours in one read.
const (
	fetchBytes = 4 << 20  // of records that are fetched at a time
	fetchRun   = 1 << 20  // the longest read, unless one record is longer
	fetchGap   = 16 << 10 // what may lie between neighbours, and is read too
)

// ordered yields the records of a journal in the order of its items. A record
// is the reader's to keep.
func (j *journal) ordered() func(func(*nightshift.Record, error) bool) {
	return func(yield func(*nightshift.Record, error) bool) {
		var places []loc
		size := 0
		flush := func() bool {
			lines, err := j.fetch(places)
			for i := 0; i < len(places) && err == nil; i++ {
				var rec *nightshift.Record
				if rec, err = j.decode(places[i], lines[i]); err == nil && !yield(rec, nil) {
					return false
				}
			}
			places, size = places[:0], 0
			return err == nil || yield(nil, err) && false
		}
		for _, at := range j.at {
			if at.n == 0 {
				continue
			}
			places = append(places, at)
			if size += int(at.n); size >= fetchBytes && !flush() {
				return
			}
		}
		flush()
	}
}

// fetch returns the lines at some places.
func (j *journal) fetch(places []loc) ([][]byte, error) {
	order := make([]int, len(places))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return places[a].compare(places[b]) })
	lines := make([][]byte, len(places))
	for len(order) > 0 {
		first := places[order[0]]
		end := first.off + int64(first.n)
		n := 1
		for ; n < len(order); n++ {
			next := places[order[n]]
			to := next.off + int64(next.n)
			if next.file != first.file || next.off-end > fetchGap || to-first.off > fetchRun {
				break
			}
			end = max(end, to)
		}
		run := make([]byte, end-first.off)
		if got, err := j.files[first.file].ReadAt(run, first.off); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		} else if got < len(run) {
			clear(run[got:]) // the lines there fail their checksum
		}
		for _, i := range order[:n] {
			from := places[i].off - first.off
			lines[i] = run[from : from+int64(places[i].n)]
		}
		order = order[n:]
	}
	return lines, nil
}
