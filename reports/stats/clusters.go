package stats

import (
	"cmp"
	"slices"
)

// Group labels items by key: equal keys get equal labels, counted from 0 in
// order of first appearance. It returns the labels and how many there are.
func Group(keys []uint64) (labels []int32, groups int) {
	type keyed struct {
		key uint64
		at  int32
	}
	order := make([]keyed, len(keys)) // the keys with their places: a sort that looks them up takes twice as long
	for i, key := range keys {
		order[i] = keyed{key, int32(i)}
	}
	slices.SortFunc(order, func(a, b keyed) int {
		if a.key != b.key {
			return cmp.Compare(a.key, b.key)
		}
		return cmp.Compare(a.at, b.at)
	})
	first := make([]int32, len(keys)) // the first item with the same key
	for k, o := range order {
		first[o.at] = o.at
		if k > 0 && order[k-1].key == o.key {
			first[o.at] = first[order[k-1].at]
		}
	}
	return number(first)
}

// Union merges two labellings of the same items: items that share a label in
// either end up together. Labels are 0 or higher.
func Union(a, b []int32) (labels []int32, groups int, err error) {
	if len(a) != len(b) {
		return nil, 0, errLengths
	}
	parent := make([]int32, len(a))
	for i := range parent {
		parent[i] = int32(i)
	}
	join(parent, a)
	join(parent, b)
	for i := range parent {
		parent[i] = root(parent, int32(i))
	}
	labels, groups = number(parent)
	return labels, groups, nil
}

// join unites the items of each label in a forest where a root is the lowest
// item of its tree.
func join(parent, labels []int32) {
	size := int32(0)
	for _, l := range labels {
		size = max(size, l+1)
	}
	seen := make([]int32, size) // 1 + an item of the label
	for i, l := range labels {
		if seen[l] == 0 {
			seen[l] = int32(i) + 1
			continue
		}
		x, y := root(parent, seen[l]-1), root(parent, int32(i))
		parent[max(x, y)] = min(x, y)
	}
}

func root(parent []int32, i int32) int32 {
	for parent[i] != i {
		parent[i] = parent[parent[i]]
		i = parent[i]
	}
	return i
}

// number turns "first item of my group" into labels 0, 1, 2, ….
func number(first []int32) (labels []int32, groups int) {
	labels = make([]int32, len(first))
	for i, f := range first {
		if int(f) == i {
			labels[i] = int32(groups)
			groups++
		} else {
			labels[i] = labels[f]
		}
	}
	return labels, groups
}
