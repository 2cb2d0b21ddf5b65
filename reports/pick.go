package reports

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"

	"nightshift"
	"nightshift/reports/compare"
	"nightshift/runner/store"
	"nightshift/runner/store/view"
)

// Rows kept in a report, by why they are.
const (
	keptFailed    = 250
	keptTruncated = 150
	keptRefused   = 150
	keptFlagged   = 100
	keptExpensive = 120
	keptSlow      = 40
	keptDifferent = 300
	keptSample    = 1500
	// mostUnits bounds how many stretches of the dataset are read again for
	// the rows that are kept, so that the time for a report has a bound too.
	mostUnits = 24
)

// A picker chooses rows to keep while a run is read once: those that need a
// look, the dearest, and an even sample of the rest. The same run gives the
// same rows.
type picker struct {
	kinds map[string]*best
}

func newPicker() *picker {
	return &picker{kinds: map[string]*best{
		"failed": {keep: keptFailed}, "truncated": {keep: keptTruncated}, "refused": {keep: keptRefused},
		"flagged":   {keep: keptFlagged},
		"expensive": {keep: keptExpensive}, "slow": {keep: keptSlow}, "sample": {keep: keptSample},
	}}
}

func (p *picker) add(row *summaryRow, e *entry) {
	key := compare.ItemKey{Row: row.Row, Epoch: row.Epoch}
	chance := even(key)
	switch o := nightshift.Outcome(row.Outcome); {
	case !o.Answered():
		p.kinds["failed"].add(key, chance)
	case o == nightshift.OutcomeTruncated:
		p.kinds["truncated"].add(key, chance)
	case o != nightshift.OutcomeOK:
		p.kinds["refused"].add(key, chance)
	}
	if row.Flags != nil || row.Attempts > 1 {
		p.kinds["flagged"].add(key, chance)
	}
	p.kinds["expensive"].add(key, float64(e.CostNanoUSD))
	p.kinds["slow"].add(key, view.Value(row.LatencyMS))
	p.kinds["sample"].add(key, chance)
}

// even spreads keys evenly over [0, 1).
func even(k compare.ItemKey) float64 {
	h := fnv.New64a()
	var b [12]byte
	binary.LittleEndian.PutUint64(b[:], uint64(k.Row))
	binary.LittleEndian.PutUint32(b[8:], uint32(k.Epoch))
	h.Write(b[:])
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}

// best keeps the keys with the highest values.
type best struct {
	keep   int
	values map[compare.ItemKey]float64
	least  float64 // what a new key must exceed once there are enough
}

func (b *best) add(k compare.ItemKey, v float64) {
	if b.values == nil {
		b.values = map[compare.ItemKey]float64{}
	}
	if len(b.values) >= b.keep && v <= b.least {
		return
	}
	b.values[k] = max(v, b.values[k])
	if len(b.values) >= 2*b.keep {
		b.trim()
	}
}

func (b *best) trim() {
	keys := b.sorted()
	for _, k := range keys[b.keep:] {
		delete(b.values, k)
	}
	b.least = b.values[keys[b.keep-1]]
}

// sorted returns the keys, best first.
func (b *best) sorted() []compare.ItemKey {
	return slices.SortedFunc(maps.Keys(b.values), func(x, y compare.ItemKey) int {
		return cmp.Or(cmp.Compare(b.values[y], b.values[x]), cmp.Compare(x.Row, y.Row), cmp.Compare(x.Epoch, y.Epoch))
	})
}

// chosen returns the keys by kind by turns, so that a tight space holds some
// of each; different come with the others.
func (p *picker) chosen(different []compare.ItemKey) []compare.ItemKey {
	lists := [][]compare.ItemKey{different[:min(len(different), keptDifferent)]}
	for _, kind := range []string{"failed", "expensive", "truncated", "refused", "flagged", "slow", "sample"} {
		b := p.kinds[kind]
		keys := b.sorted()
		lists = append(lists, keys[:min(len(keys), b.keep)])
	}
	var order []compare.ItemKey
	seen := map[compare.ItemKey]bool{}
	for i := 0; ; i++ {
		any := false
		for _, l := range lists {
			if i < len(l) {
				any = true
				if !seen[l[i]] {
					seen[l[i]] = true
					order = append(order, l[i])
				}
			}
		}
		if !any {
			return order
		}
	}
}

// inUnits keeps the keys of the units that hold most of them.
func inUnits(keys []compare.ItemKey, units []store.Chunk) (kept []compare.ItemKey, read []store.Chunk) {
	unitOf := func(k compare.ItemKey) int {
		i, found := slices.BinarySearchFunc(units, k.Row, func(s store.Chunk, row int64) int {
			return cmp.Compare(s.First, row)
		})
		if !found {
			i--
		}
		return i
	}
	weight := map[int]int{}
	for i, k := range keys {
		weight[unitOf(k)] += 1 + max(0, 200-i)/10
	}
	order := slices.SortedFunc(maps.Keys(weight), func(a, b int) int { return cmp.Or(weight[b]-weight[a], a-b) })
	order = order[:min(len(order), mostUnits)]
	for _, k := range keys {
		if slices.Contains(order, unitOf(k)) {
			kept = append(kept, k)
		}
	}
	slices.Sort(order)
	for _, i := range order {
		if i >= 0 {
			read = append(read, units[i])
		}
	}
	return kept, read
}
