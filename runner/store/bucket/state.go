package bucket

import (
	"maps"
	"slices"
)

// A state is what the log says of the run's files, and which pieces say it.
type state struct {
	files  map[string]*file
	pieces map[int64]*held // those that are there, but for claims
	last   head            // of the highest piece
}

// A file is one of the run's as the bucket has it.
type file struct {
	parts  []part // of a file that grows
	size   int64
	sum    string // SHA-256 in hex of a file that does not grow
	object string // key, where it is an object of its own
	seq    int64  // of the piece that has a whole file, or its key
}

// A part is a range of a file that grows.
type part struct {
	seq      int64
	off, len int64
}

// held is a piece: how many files need it, and how large it is.
type held struct {
	refs int
	size int64
}

func newState() *state {
	return &state{files: map[string]*file{}, pieces: map[int64]*held{}}
}

// apply adds a piece. Objects that nothing names any more are returned.
func (s *state) apply(p piece) (unused []string) {
	seq := p.head.Seq
	if seq > s.last.Seq {
		s.last = p.head
	}
	if p.head.Kind != kindClaim {
		s.pieces[seq] = &held{size: p.size}
	}
	for _, e := range p.entries {
		switch e.Kind {
		case entryAt:
			f := s.files[e.Path]
			if f == nil {
				f = &file{}
				s.files[e.Path] = f
			}
			f.parts = append(f.parts, part{seq, e.Off, e.Len})
			f.size = max(f.size, e.Off+e.Len)
			s.hold(seq)
		case entryFile, entryObject:
			unused = append(unused, s.drop(e.Path)...)
			f := &file{size: e.Size, sum: e.SHA256, object: e.Object, seq: seq}
			if e.Kind == entryFile && grows(e.Path) { // it was written anew
				f.size, f.seq, f.parts = e.Len, 0, []part{{seq, 0, e.Len}}
			}
			s.files[e.Path] = f
			s.hold(seq)
		case entryGone:
			unused = append(unused, s.drop(e.Path)...)
		}
	}
	return unused
}

func (s *state) hold(seq int64) {
	if p := s.pieces[seq]; p != nil {
		p.refs++
	}
}

func (s *state) letGo(seq int64) {
	if p := s.pieces[seq]; p != nil {
		p.refs--
	}
}

// drop forgets a file, and returns the object that it was.
func (s *state) drop(name string) (unused []string) {
	f := s.files[name]
	if f == nil {
		return nil
	}
	for _, p := range f.parts {
		s.letGo(p.seq)
	}
	if f.seq != 0 {
		s.letGo(f.seq)
	}
	delete(s.files, name)
	if f.object != "" {
		return []string{f.object}
	}
	return nil
}

// obsolete are the pieces that no file needs, but for the highest.
func (s *state) obsolete() (seqs []int64) {
	for seq, p := range s.pieces {
		if p.refs <= 0 && seq < s.last.Seq {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs
}

// small are the pieces below a size that files need, but for the highest.
func (s *state) small(size int64) map[int64]bool {
	found := map[int64]bool{}
	for seq, p := range s.pieces {
		if p.refs > 0 && p.size < size && seq < s.last.Seq {
			found[seq] = true
		}
	}
	return found
}

// names are the files, sorted.
func (s *state) names() []string { return slices.Sorted(maps.Keys(s.files)) }
