package compare

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"nightshift/reports/stats"
	"nightshift/runner/store/view"
)

// align gives every item of every run its place in the matrix. Rows of one
// dataset are the same item when they are the same row; rows of different
// datasets when they have the same id.
func (m *matrix) align() error {
	oneDataset := true
	for _, r := range m.runs {
		oneDataset = oneDataset && r.info.DatasetHash == m.runs[0].info.DatasetHash
	}
	for _, r := range m.runs {
		r.order = r.table.inOrder()
		double := r.table.doubles(r.order)
		if len(double) > 0 && !oneDataset {
			id := r.idOf(r.table.items[double[0]].row)
			return incomparable("%s has %d rows whose id another row has (first: %s, row %d), so its rows cannot be "+
				"matched with those of another dataset; give each an id of its own",
				r.called, len(double), id, r.table.items[double[0]].row)
		}
		for _, i := range double {
			binary.BigEndian.PutUint64(r.table.items[i].key[8:], uint64(r.table.items[i].row))
		}
		if len(double) > 0 {
			r.order = r.table.inOrder()
		}
	}
	keys := m.collectKeys()
	m.items = len(keys)
	for _, r := range m.runs {
		r.place(keys)
	}
	if err := m.fingerprints(); err != nil {
		return err
	}
	m.describeRows()
	m.divide()
	if err := m.cluster(); err != nil {
		return err
	}
	for _, r := range m.runs {
		r.table.forget()
	}
	return nil
}

// A placed is the beginning of an item's key, and where its table has the item.
type placed struct {
	key uint64
	at  int32
}

// inOrder are the items in the order of their keys, those of one key in that of the
// table.
func (t *itemTable) inOrder() []placed {
	order := make([]placed, len(t.items))
	for i := range order {
		order[i] = placed{binary.BigEndian.Uint64(t.items[i].key[:]), int32(i)}
	}
	slices.SortFunc(order, func(a, b placed) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return cmp.Or(bytes.Compare(t.items[a.at].key[:], t.items[b.at].key[:]), cmp.Compare(a.at, b.at))
	})
	return order
}

// doubles returns the places of rows whose id an earlier row has.
func (t *itemTable) doubles(order []placed) []int {
	var double []int
	for k := 1; k < len(order); k++ {
		if t.items[order[k].at].key == t.items[order[k-1].at].key {
			double = append(double, int(order[k].at))
		}
	}
	return double
}

// collectKeys makes the sorted list of all items.
func (m *matrix) collectKeys() (all [][16]byte) {
	for _, r := range m.runs {
		keys := make([][16]byte, len(r.order))
		for i, p := range r.order {
			keys[i] = r.table.items[p.at].key
		}
		all = union(all, keys)
	}
	return all
}

// union merges two sorted lists of keys into one that has each once.
func union(a, b [][16]byte) [][16]byte {
	if len(a) == 0 {
		return b
	}
	all := make([][16]byte, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		c := bytes.Compare(a[0][:], b[0][:])
		if c <= 0 {
			all, a = append(all, a[0]), a[1:]
		} else {
			all = append(all, b[0])
		}
		if c >= 0 {
			b = b[1:]
		}
	}
	return slices.Clip(append(append(all, a...), b...))
}

// place finds the matrix's items of a run.
func (r *comparedRun) place(keys [][16]byte) {
	r.items = make([]int32, len(r.table.items))
	at := 0
	for _, p := range r.order {
		for keys[at] != r.table.items[p.at].key {
			at++
		}
		r.items[p.at] = int32(at)
	}
	r.order = nil
}

// A fingerprint is what a row asks and wants in a run.
type fingerprint struct {
	prompt, target uint64
	run            *comparedRun
}

// targetUnknown reports whether one of the two comes from a file that does not say
// what is wanted.
func (f fingerprint) targetUnknown(other fingerprint) bool {
	return f.target == 0 && f.run.plan.Imported != "" || other.target == 0 && other.run.plan.Imported != ""
}

// fingerprints refuses runs whose rows of one id ask or want something else.
func (m *matrix) fingerprints() error {
	if m.options.AnyPrompts || len(m.runs) == 1 {
		return nil
	}
	first := make([]fingerprint, m.items)
	for _, r := range m.runs {
		differ, example := 0, 0
		what := "prompt"
		var other *comparedRun
		for i, item := range r.items {
			have := fingerprint{r.table.items[i].prompt, r.table.items[i].target, r}
			f := &first[item]
			if f.run == nil {
				*f = have
				continue
			}
			if f.prompt == have.prompt && (f.target == have.target || f.targetUnknown(have)) {
				continue
			}
			if differ == 0 {
				example, other = i, f.run
				if f.prompt == have.prompt {
					what = "target"
				}
			}
			differ++
		}
		if differ > 0 {
			return incomparable("%s and %s are not comparable: %d rows of the same id differ in prompt or target "+
				"(first: the %s of %s); where that is what you are after, --any-prompts compares them all the same",
				other.called, r.called, differ, what, r.idOf(r.table.items[example].row))
		}
	}
	return nil
}

// idOf looks up the id of a row, for people.
func (r *comparedRun) idOf(row int64) string {
	type idRow struct {
		Row int64  `parquet:"row"`
		ID  string `parquet:"id"`
	}
	for one, err := range view.Rows[idRow](r.dir, view.ReadOptions{From: row, To: row + 1}) {
		if err == nil && one.Row == row {
			return one.ID
		}
	}
	return sprintf("row %d", row)
}

// describeRows fills in what the first run to have an item says of it.
func (m *matrix) describeRows() {
	m.prompts = make([]uint64, m.items)
	m.categories = make([]int32, m.items)
	for i := range m.categories {
		m.categories[i] = -1
	}
	byName := map[string]int32{}
	for _, r := range m.runs {
		global := make([]int32, len(r.table.categories))
		for i, name := range r.table.categories {
			if _, ok := byName[name]; !ok {
				byName[name] = int32(len(m.names))
				m.names = append(m.names, name)
			}
			global[i] = byName[name]
		}
		for i, item := range r.items {
			if m.prompts[item] == 0 {
				m.prompts[item] = r.table.items[i].prompt
			}
			if c := r.table.items[i].category; c >= 0 && m.categories[item] < 0 {
				m.categories[item] = global[c]
			}
		}
	}
}

// cluster labels items that depend on each other: those of one cluster of the
// plan, and those that ask the same.
func (m *matrix) cluster() error {
	labels, groups := stats.Group(m.prompts)
	facts := clusterFacts{Clusters: groups, Duplicates: m.items - groups}
	keys := make([]uint64, m.items)
	named := false
	for _, r := range m.runs {
		for i, item := range r.items {
			if keys[item] == 0 {
				keys[item] = r.table.items[i].cluster
			}
			named = named || keys[item] != 0
		}
	}
	if named {
		if i := slices.Index(keys, 0); i >= 0 {
			return m.withoutCluster(i)
		}
		byField, _ := stats.Group(keys)
		var err error
		if labels, facts.Clusters, err = stats.Union(labels, byField); err != nil {
			return err
		}
	}
	if facts.Clusters == m.items {
		return nil
	}
	m.labels, m.clusters = labels, &facts
	return nil
}

func (m *matrix) withoutCluster(item int) error {
	for _, r := range m.runs {
		if i := slices.Index(r.items, int32(item)); i >= 0 {
			return incomparable("row %s of %s has no cluster, and others have: which rows depend on each other must "+
				"be known for all of them", r.idOf(r.table.items[i].row), r.called)
		}
	}
	return incomparable("a row has no cluster, and others have")
}

// DependentRows says which rows of a run ask the same or are of one cluster, as
// a comparison does: one score has one interval, wherever it stands. nil when
// all rows are independent, or their clusters are not known for all.
func DependentRows(dir string) (label func(row int64) int32, err error) {
	m := &matrix{}
	r, err := openCompared(dir, nil)
	if err != nil {
		return nil, err
	}
	if err := r.loadItems(); err != nil {
		return nil, err
	}
	m.runs = []*comparedRun{r}
	err = m.align()
	var unfit *IncomparableError
	if errors.As(err, &unfit) {
		return nil, nil // the comparison says what is wrong
	}
	if err != nil || m.labels == nil {
		return nil, err
	}
	return func(row int64) int32 {
		if at, ok := r.table.find(row, -1); ok {
			return m.labels[r.items[at]]
		}
		return int32(m.items) + int32(row) // written since
	}, nil
}
