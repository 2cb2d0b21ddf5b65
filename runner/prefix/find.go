package prefix

import (
	"cmp"
	"slices"

	"nightshift"
)

// A Prefix is a beginning that several prompts share.
type Prefix struct {
	Hash   uint64  // of the beginning; the same in all processes
	Bytes  int64   // of its text
	Rows   int     // that share it, of those looked at
	Parent *Prefix // a shorter one that all of them share too; nil without
	ends   int     // boundaries before its end
	first  int     // of its rows, in the order in which they were added
}

// path are a prefix and the shorter ones within it, shortest first.
func (p *Prefix) path() (list []*Prefix) {
	for ; p != nil; p = p.Parent {
		list = append(list, p)
	}
	slices.Reverse(list)
	return list
}

// A Rule says which beginnings are worth a prefix.
type Rule struct {
	Minimum int64               // bytes of the shortest
	Step    int64               // bytes that a longer one must have more than the one within it
	Pays    func(rows int) bool // whether so many rows are enough; nil is two or more
}

// A Finder looks at prompts one after another. It keeps the hashes of their
// boundaries, about a tenth of the size of long prompts, and no texts.
type Finder struct{ rows []ends }

// ends are the boundaries of one prompt.
type ends struct {
	hashes []uint64
	bytes  []uint32
}

// Add looks at the next prompt.
func (f *Finder) Add(req *nightshift.Request) {
	list := outlineOf(req).ends
	e := ends{make([]uint64, len(list)), make([]uint32, len(list))}
	for i, b := range list {
		e.hashes[i], e.bytes[i] = b.hash, uint32(b.bytes)
	}
	f.rows = append(f.rows, e)
}

// Find returns the longest prefix of every prompt, in the order in which they
// were added; nil for those that share none that is worth it.
func (f *Finder) Find(r Rule) []*Prefix {
	s := &search{Rule: r, rows: f.rows, found: make([]*Prefix, len(f.rows)), order: make([]int, len(f.rows))}
	for i := range s.order {
		s.order[i] = i
	}
	slices.SortFunc(s.order, func(a, b int) int {
		return cmp.Or(slices.Compare(f.rows[a].hashes, f.rows[b].hashes), cmp.Compare(a, b))
	})
	if len(s.order) > 1 {
		s.split(s.order, 0, nil)
	}
	return s.found
}

type search struct {
	Rule
	rows  []ends
	order []int // rows in the order of their hashes: those that agree longest are neighbours
	found []*Prefix
}

// split looks at rows that agree up to the boundary of that number.
func (s *search) split(rows []int, depth int, parent *Prefix) {
	first, last := s.rows[rows[0]].hashes, s.rows[rows[len(rows)-1]].hashes
	for depth < min(len(first), len(last)) && first[depth] == last[depth] {
		depth++ // what the outermost agree in, all do
	}
	if p := s.prefix(rows, depth, parent); p != nil {
		parent = p
		for _, row := range rows {
			s.found[row] = p
		}
	}
	next := func(row int) (uint64, bool) {
		if h := s.rows[row].hashes; depth < len(h) {
			return h[depth], true
		}
		return 0, false
	}
	for from := 0; from < len(rows); {
		h, goesOn := next(rows[from])
		to := from + 1
		for ; to < len(rows); to++ {
			if other, ok := next(rows[to]); other != h || ok != goesOn {
				break
			}
		}
		if goesOn && to-from > 1 {
			s.split(rows[from:to], depth+1, parent)
		}
		from = to
	}
}

// prefix is what rows agree in, where that is worth it.
func (s *search) prefix(rows []int, depth int, parent *Prefix) *Prefix {
	if depth == 0 || len(rows) < 2 || s.Pays != nil && !s.Pays(len(rows)) {
		return nil
	}
	one := s.rows[rows[0]]
	size := int64(one.bytes[depth-1])
	if size < s.Minimum || parent != nil && size-parent.Bytes < s.Step {
		return nil
	}
	return &Prefix{Hash: one.hashes[depth-1], Bytes: size, Rows: len(rows), Parent: parent, ends: depth,
		first: slices.Min(rows)}
}

// Order sorts rows so that those of one prefix, and those of the prefixes within
// one, follow each other; else they keep their order. found is from
// [Finder.Find].
func Order(found []*Prefix) []int {
	order := make([]int, len(found))
	keys := make([][]int, len(found))
	for i, p := range found {
		order[i] = i
		for _, part := range p.path() {
			keys[i] = append(keys[i], part.first)
		}
		keys[i] = append(keys[i], i)
	}
	slices.SortFunc(order, func(a, b int) int { return slices.Compare(keys[a], keys[b]) })
	return order
}
