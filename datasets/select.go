package datasets

import (
	"math/bits"
	"slices"
)

// A selection says which of the rows that pass the filter are wanted. The rows
// are counted by their ordinal: 0 for the first that passes.
type selection struct {
	total   int64 // rows selected
	passing int64
	partial bool // fewer than all passing rows are selected

	sample, offset, limit int64
	seed                  uint64
	starts                []pick // where each chunk begins
}

// A pick is a place in the selection: how many rows passed before it, and how
// many of them the sample took.
type pick struct{ passed, sampled int64 }

// selection works out the choice from the numbers of passing rows alone.
func (s *Spec) selection(all []Chunk, passing int64) selection {
	sel := selection{passing: passing, sample: s.Sample, offset: s.Offset, limit: s.Limit, seed: s.Seed}
	if sel.sample >= passing {
		sel.sample = 0 // all of them
	}
	var at pick
	for i := range all {
		sel.starts = append(sel.starts, at)
		before := at
		at = sel.after(at, all[i].passed)
		all[i].Selected = sel.within(at) - sel.within(before)
		sel.total += all[i].Selected
	}
	sel.partial = sel.total < passing
	return sel
}

// after moves on by n passing rows.
func (s *selection) after(at pick, n int64) pick {
	if s.sample == 0 {
		return pick{at.passed + n, at.sampled + n}
	}
	for range n {
		if s.draws(at) {
			at.sampled++
		}
		at.passed++
	}
	return at
}

// draws reports whether the sample takes the row at this place. This is
// selection sampling (Knuth, volume 2, algorithm 3.4.2 S): each row is taken
// with the chance that leaves exactly as many as wanted, in one pass.
func (s *selection) draws(at pick) bool {
	left := s.passing - at.passed
	wanted := s.sample - at.sampled
	high, _ := bits.Mul64(mix(s.seed, uint64(at.passed)), uint64(left))
	return int64(high) < wanted
}

// mix makes a random-looking number of a seed and a count (the finalizer of
// SplitMix64).
func mix(seed, n uint64) uint64 {
	z := seed + (n+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// within is how many of the first at.sampled rows offset and limit leave.
func (s *selection) within(at pick) int64 {
	n := max(0, at.sampled-s.offset)
	if s.limit > 0 {
		n = min(n, s.limit)
	}
	return n
}

// next reports whether the passing row at this place is selected, and moves on.
func (s *selection) next(at *pick) bool {
	after := s.after(*at, 1)
	yes := s.within(after) > s.within(*at)
	*at = after
	return yes
}

// has reports whether the passing row with this ordinal is selected. Asked in
// ascending order it costs little.
func (s *selection) has(ordinal int64) bool {
	if s.sample == 0 {
		at := pick{ordinal, ordinal}
		return s.next(&at)
	}
	i, found := slices.BinarySearchFunc(s.starts, ordinal, func(p pick, o int64) int {
		switch {
		case p.passed < o:
			return -1
		case p.passed > o:
			return 1
		}
		return 0
	})
	if !found {
		i--
	}
	at := s.after(s.starts[i], ordinal-s.starts[i].passed)
	return s.next(&at)
}
