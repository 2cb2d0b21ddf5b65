package journal

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

// An Entry is a record in memory, or the place where it lies.
type Entry struct {
	Rec *nightshift.Record
	at  place
}

// Entry returns the record of an item; rec is that record where it is in
// memory. It is false when there is neither.
func (j *Index) Entry(item int64, rec *nightshift.Record) (Entry, bool) {
	e := Entry{rec, j.at[item]}
	return e, rec != nil || e.at.Len > 0
}

// Reader returns an index that reads entries while this one is in use.
func (j *Index) Reader() *Index { return &Index{files: j.files, names: j.names} }

// Ordered yields the records of the items from one on, in their order: those
// that are kept in memory, and of the others those that the journal has. A
// record is the reader's to keep.
func (j *Index) Ordered(from int64, kept map[int64]*nightshift.Record) func(func(*nightshift.Record, error) bool) {
	return func(yield func(*nightshift.Record, error) bool) {
		var list []Entry
		size := 0
		flush := func() bool {
			if err := j.Load(list); err != nil {
				yield(nil, err)
				return false
			}
			for _, e := range list {
				if !yield(e.Rec, nil) {
					return false
				}
			}
			list, size = list[:0], 0
			return true
		}
		for item := from; item < j.Items(); item++ {
			e, there := j.Entry(item, kept[item])
			if !there {
				continue
			}
			list = append(list, e)
			if size += int(e.at.Len); size >= fetchBytes && !flush() {
				return
			}
		}
		flush()
	}
}

// Load brings the records of the entries into memory.
func (j *Index) Load(list []Entry) error {
	var places []place
	for _, e := range list {
		if e.Rec == nil {
			places = append(places, e.at)
		}
	}
	lines, err := j.fetch(places)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].Rec != nil {
			continue
		}
		if list[i].Rec, err = j.decode(list[i].at, lines[0]); err != nil {
			return err
		}
		lines = lines[1:]
	}
	return nil
}

// fetch returns the lines at some places.
func (j *Index) fetch(places []place) ([][]byte, error) {
	order := make([]int, len(places))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return places[a].Compare(places[b]) })
	lines := make([][]byte, len(places))
	for len(order) > 0 {
		first := places[order[0]]
		end := first.Off + int64(first.Len)
		n := 1
		for ; n < len(order); n++ {
			next := places[order[n]]
			to := next.Off + int64(next.Len)
			if next.File != first.File || next.Off-end > fetchGap || to-first.Off > fetchRun {
				break
			}
			end = max(end, to)
		}
		run := make([]byte, end-first.Off)
		if got, err := j.files[first.File].ReadAt(run, first.Off); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		} else if got < len(run) {
			clear(run[got:]) // the lines there fail their checksum
		}
		for _, i := range order[:n] {
			from := places[i].Off - first.Off
			lines[i] = run[from : from+int64(places[i].Len)]
		}
		order = order[n:]
	}
	return lines, nil
}
