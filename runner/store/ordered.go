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

// An entry is a record in memory, or the place where it lies.
type entry struct {
	rec *nightshift.Record
	at  loc
}

// ordered yields the records of the items from one on, in their order: those
// that are kept in memory, and of the others those that the journal has. A
// record is the reader's to keep.
func (j *journal) ordered(from int64, kept map[int64]*nightshift.Record) func(func(*nightshift.Record, error) bool) {
	return func(yield func(*nightshift.Record, error) bool) {
		var list []entry
		size := 0
		flush := func() bool {
			if err := j.load(list); err != nil {
				yield(nil, err)
				return false
			}
			for _, e := range list {
				if !yield(e.rec, nil) {
					return false
				}
			}
			list, size = list[:0], 0
			return true
		}
		for item := from; item < int64(len(j.at)); item++ {
			e := entry{kept[item], j.at[item]}
			if e.rec == nil && e.at.n == 0 {
				continue
			}
			list = append(list, e)
			if size += int(e.at.n); size >= fetchBytes && !flush() {
				return
			}
		}
		flush()
	}
}

// load brings the records of the entries into memory.
func (j *journal) load(list []entry) error {
	var places []loc
	for _, e := range list {
		if e.rec == nil {
			places = append(places, e.at)
		}
	}
	lines, err := j.fetch(places)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].rec != nil {
			continue
		}
		if list[i].rec, err = j.decode(list[i].at, lines[0]); err != nil {
			return err
		}
		lines = lines[1:]
	}
	return nil
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
